"""Hinted handoff: a node that was away gets what it missed, by hints alone."""

import json
import threading
import time
import unittest

from harness import scenario
from harness.waiting import until

MISSED = 4000
FILLED_WITHIN_S = 60
HEALED_WITHIN_S = 60
CLIENTS = 8


class Filler(threading.Thread):
    """Writes keys of its own, each once, and keeps those that were acknowledged with their versions."""

    def __init__(self, node, number):
        super().__init__(daemon=True)
        self.node, self.number = node, number
        self.acknowledged, self.errors = {}, []
        self.stopping = threading.Event()

    def run(self):
        try:
            with self.node.connect() as connection:
                count = 0
                while not self.stopping.is_set():
                    count += 1
                    key = f"hint:{self.number}:{count}"
                    context, version = connection.call("VSET", key, f"{count}" * 8, "CONSISTENCY", "QUORUM")
                    self.acknowledged[key] = version
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)


def hints(node):
    """What a node keeps for others."""
    with node.connect() as connection:
        return json.loads(connection.call("MARTLET", "HINTS"))["nodes"][0]


def local_version(connection, key):
    """The version of a node's own copy."""
    context, values = connection.call("VGET", key, "LOCAL", "META")
    return values[0][1] if values else None


class Hints(scenario.Scenario):
    def fill(self, nodes, count):
        """Writes at least so many keys through the nodes: the acknowledged ones, with their versions."""
        fillers = [Filler(nodes[i % len(nodes)], i) for i in range(CLIENTS)]
        for filler in fillers:
            filler.start()
        until(f"{count} keys are written",
              lambda: any(f.errors for f in fillers) or sum(len(f.acknowledged) for f in fillers) >= count,
              FILLED_WITHIN_S)
        for filler in fillers:
            filler.stopping.set()
        for filler in fillers:
            filler.join(30)
        self.assertEqual([e for f in fillers for e in f.errors], [])
        out = {}
        for filler in fillers:
            out.update(filler.acknowledged)
        return out

    def wait_drained(self, nodes):
        for node in nodes:
            until(f"{node.name} has no hints", lambda: not hints(node)["targets"], HEALED_WITHIN_S)

    def check_held(self, node, versions):
        missing = []
        with node.connect() as connection:
            for key, version in versions.items():
                if local_version(connection, key) != version:
                    missing.append(key)
        self.assertEqual(missing[:5], [], f"{len(missing)} of {len(versions)} keys are not at {node.name}")

    def test_a_node_that_was_away_is_healed_by_hints_alone(self):
        self.n3.stop()
        until("n1 sees n3 down", lambda: self.n1.sees("n3") == "down", 30)
        versions = self.fill([self.n1, self.n2], MISSED)
        self.assertGreater(len(versions), 1_000)
        kept = [hints(n) for n in (self.n1, self.n2)]
        self.assertEqual([t["target"] for node in kept for t in node["targets"]], ["n3", "n3"])
        self.assertEqual(sum(t["hints"] for node in kept for t in node["targets"]), len(versions))
        self.assertEqual({t["waits_for"] for node in kept for t in node["targets"]}, {"target_down"})
        own = next(n for n in self.n1.status()["nodes"] if n["name"] == "n1")
        self.assertGreater(own["hint_bytes"], 0)
        done = scenario.martlet("hints", "--json", "--host", self.n1.address)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["nodes"][0]["node"], "n1")
        began = time.monotonic()
        self.n3.start()
        self.wait_drained([self.n1, self.n2])
        took = time.monotonic() - began
        self.assertLess(took, HEALED_WITHIN_S)
        self.check_held(self.n3, versions)
        delivered = sum(n.metrics()["martlet_hints_delivered_total"] for n in (self.n1, self.n2))
        self.assertGreaterEqual(delivered, len(versions))
        print(f"{len(versions)} keys, healed {took:.1f} s after the start", flush=True)

    def test_hints_survive_kills_of_both_sides(self):
        self.n3.kill()
        versions = self.fill([self.n1], 1000)
        self.n1.kill()
        self.n1.start()
        self.n3.start()
        until("the replay has begun", lambda: self.n1.metrics()["martlet_hints_delivered_total"] > 0,
              HEALED_WITHIN_S)
        self.n3.kill()
        self.n3.start()
        self.wait_drained([self.n1])
        self.check_held(self.n3, versions)


class SloppyHints(scenario.Scenario):
    nodes = 4
    sections = "keyspaces: {default: {sloppy_quorum: true}}\n"

    def test_writes_go_on_with_two_owners_down(self):
        """Four nodes, three copies: with two down some keys have one owner left, and another stands in."""
        n1, n2 = self.cluster.node("n1"), self.cluster.node("n2")
        for name in ("n3", "n4"):
            self.cluster.node(name).kill()
        for name in ("n3", "n4"):
            until(f"n1 sees {name} down", lambda: n1.sees(name) == "down", 30)
        versions = {}
        with n1.connect() as connection:
            for i in range(200):
                versions[f"s:{i}"] = connection.call("VSET", f"s:{i}", "v", "CONSISTENCY", "QUORUM")[1]
        for name in ("n3", "n4"):
            self.cluster.node(name).start()
        for node in (n1, n2):
            until(f"{node.name} has no hints", lambda: not hints(node)["targets"], HEALED_WITHIN_S)
        held = {key: 0 for key in versions}
        for node in self.cluster.nodes:
            with node.connect() as connection:
                for key, version in versions.items():
                    held[key] += local_version(connection, key) == version
        self.assertEqual(set(held.values()), {3}, "each key is on its three owners")


if __name__ == "__main__":
    unittest.main()
