# Martlet. `make` lists what there is; every target does its own set-up.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
DESTDIR ?=
# Where the systemd unit goes; Debian's place for units that an administrator installs.
UNITDIR ?= /etc/systemd/system
SEEDS ?= 200
TIME ?= 60

RELEASE := .build/release
# Installed programs carry Swift's runtime, so that they run where there is no toolchain.
PORTABLE := swift build -c release --static-swift-stdlib --scratch-path .build/install
PROGRAMS := martletd martlet martlet-bench

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build, start three nodes from cluster.yaml, stop them with Ctrl-C
	@$(RELEASE)/martlet up --config cluster.yaml || { status=$$?; [ $$status -eq 130 ] || exit $$status; }

.PHONY: test
test: ## everything that must pass before a change lands
	@scripts/bootstrap --test
	@scripts/test

.PHONY: build
build: ## release build of all programs into .build/release
	@scripts/bootstrap
	@swift build -c release

.PHONY: lint
lint: ## format lint and the tidy check
	@scripts/bootstrap --test
	@swift format lint --strict --recursive Sources Tests Benchmarks Examples Package.swift
	@scripts/tidy

.PHONY: fmt
fmt: ## format the Swift sources in place, fold long comments
	@swift format --in-place --recursive Sources Tests Benchmarks Examples Package.swift
	@scripts/tidy --wrap

.PHONY: docs
docs: ## write docs/CONFIGURATION.md and docs/REDIS.md anew from the tables of settings and commands
	@scripts/bootstrap
	@UPDATE_DOCS=1 swift test --filter DocumentTests

.PHONY: fuzz
fuzz: ## look for bytes that break a property, TIME (60) seconds in all
	@scripts/bootstrap --fuzz
	@scripts/fuzz $(TIME)

.PHONY: client-docs
client-docs: ## build the Swift client's documentation; warnings are failures
	@scripts/bootstrap
	@scripts/client-docs

.PHONY: simulate-large
simulate-large: build ## whole nodes, NODES (200), join, leave, are replaced and cut off
	@$(RELEASE)/martlet-sim --large --nodes $(or $(NODES),200) --seed 1 --jobs 1

.PHONY: simulate
simulate: build ## run the simulator over seeds 1 to SEEDS (200)
	@$(RELEASE)/martlet-sim --seeds 1..$(SEEDS)

.PHONY: bench
bench: build ## Martlet beside redis-server on this machine; the table goes into docs/PERFORMANCE.md
	@scripts/bootstrap --test
	@$(RELEASE)/martlet-bench compare --output .build/bench --table docs/PERFORMANCE.md

.PHONY: bench-ring
bench-ring: build ## placement and membership, simulated; tables and plots go into docs/
	@$(RELEASE)/martlet-bench placement --output docs/plots --table docs/BENCHMARKS.md
	@$(RELEASE)/martlet-bench membership --output docs/plots --table docs/BENCHMARKS.md

.PHONY: bench-rebalance
bench-rebalance: build ## real nodes come, go and die under load; the table goes into docs/BENCHMARKS.md
	@$(RELEASE)/martlet-bench rebalance --output docs/plots --table docs/BENCHMARKS.md

.PHONY: bench-datacenters
bench-datacenters: build ## three data centres 50 ms apart (as root); the table goes into docs/BENCHMARKS.md
	@$(RELEASE)/martlet-bench datacenters --table docs/BENCHMARKS.md

.PHONY: install
install: ## install programs, cluster.yaml and the systemd unit (PREFIX, DESTDIR, UNITDIR)
	@scripts/bootstrap
	@$(PORTABLE)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(UNITDIR) $(DESTDIR)/etc/martlet
	install -m 0755 $(addprefix .build/install/release/,$(PROGRAMS)) $(DESTDIR)$(PREFIX)/bin
	sed 's|@PREFIX@|$(PREFIX)|g' scripts/martletd.service > $(DESTDIR)$(UNITDIR)/martletd.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/martletd.service
	test -e $(DESTDIR)/etc/martlet/cluster.yaml \
		|| install -m 0644 cluster.yaml $(DESTDIR)/etc/martlet/cluster.yaml

.PHONY: clean
clean: ## remove what the build made; data folders stay
	rm -rf .build
