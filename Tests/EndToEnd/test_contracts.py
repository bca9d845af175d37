"""The contracts that others write scripts against: exit codes, JSON, logs, files, cluster.yaml.

What a field means and what else can go wrong is tested elsewhere; here it is that nothing is renamed, dropped
or given another type.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import cluster as clusters
from harness import network
from harness.scenario import Scenario, martlet
from harness.waiting import until

HERE = os.path.dirname(os.path.abspath(__file__))
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def log_events():
    with open(os.path.join(HERE, "contracts", "log_events.txt"), encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip() and not line.startswith("#")]


class Shape:
    """What a JSON value looks like: types by name, with `?` where it may be null; members in their order."""

    TYPES = {"text": str, "integer": int, "number": (int, float), "flag": bool}

    @classmethod
    def differences(cls, value, shape, where="$"):
        if isinstance(shape, str):
            if value is None and shape.endswith("?"):
                return
            wanted = cls.TYPES[shape.rstrip("?")]
            if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
                yield f"{where}: {value!r} is no {shape}"
        elif isinstance(shape, list):
            if not isinstance(value, list):
                yield f"{where}: {value!r} is no array"
                return
            for i, element in enumerate(value):
                yield from cls.differences(element, shape[0], f"{where}[{i}]")
        else:
            if not isinstance(value, dict):
                yield f"{where}: {value!r} is no object"
                return
            names = [n for n in value if n in shape]
            if names != list(shape):
                yield f"{where}: members {list(value)}, wanted in this order {list(shape)}"
            for name in names:
                yield from cls.differences(value[name], shape[name], f"{where}.{name}")


NODE = {
    "id": "text", "name": "text", "address": "text",
    "ports": {"peers": "integer", "redis": "integer", "redis_cluster": "integer", "http": "integer"},
    "zone": "text", "datacenter": "text", "state": "text", "liveness": "text", "tokens": "integer",
    "owns_percent": "number", "bytes": "integer?", "hint_bytes": "integer?", "uptime_s": "integer?",
    "version": "text", "clock_offset_ms": "number?"}
PURGE = {"keyspace": "text", "floor_ms": "integer?",
         "blocked_by": [{"node": "text", "waits_for": "text", "since_s": "number"}]}
STATUS = {"format": "integer", "cluster": "text", "ring": "text", "ring_digest": "text", "agreed": "flag",
          "asked": "text", "nodes": [NODE], "purges": [PURGE]}
RING = {"format": "integer", "keyspace": "text", "replication_factor": "integer", "ring_digest": "text",
        "tokens": [{"slot": "integer", "node": "text"}],
        "ranges": [{"first": "integer", "last": "integer", "replicas": ["text"]}]}
RING_KEY = {**RING, "key": "text", "slot": "integer", "token": "text", "replicas": ["text"]}
TARGET = {"target": "text", "hints": "integer", "bytes": "integer", "oldest_age_s": "number?",
          "rate_bytes_per_s": "number", "eta_s": "number?", "waits_for": "text"}
HINTS = {"format": "integer",
         "nodes": [{"node": "text", "overflow_total": "integer", "targets": [TARGET]}]}
GET = {"format": "integer", "key": "text", "found": "flag", "encoding": "text", "values": ["text"],
       "context": "text?"}
GET_META = {**GET, "versions": [{"value": "text?", "version": "text", "writer": "text",
                                 "expires_at_ms": "integer?", "tombstone": "flag"}]}
PUT = {"format": "integer", "key": "text", "context": "text", "version": "text"}
INFO = {"format": "integer", "node": "text?", "sections": {"server": {"redis_version": "text"}}}
METRICS = {"format": "integer", "nodes": [{"node": "text", "families": [
    {"name": "text", "type": "text", "help": "text",
     "samples": [{"name": "text", "labels": {}, "value": "number?"}]}]}]}
TOP_NODE = {"name": "text", "liveness": "text", "operations_per_s": "number?", "reads_per_s": "number?",
            "writes_per_s": "number?", "errors_per_s": "number?", "p50_ms": "number?", "p99_ms": "number?",
            "in_flight": "number?", "clients": "number?", "compaction_pending_bytes": "number?",
            "sync_p99_ms": "number?", "cache_hit_percent": "number?", "memory_bytes": "number?",
            "stored_bytes": "number?", "uptime_s": "number?"}
TOP = {"format": "integer", "time": "text", "interval_s": "number", "cluster": "text", "asked": "text",
       "nodes": [TOP_NODE], "commands": [{
           "name": "text", "operations_per_s": "number?", "errors_per_s": "number?", "p50_ms": "number?",
           "p99_ms": "number?", "total": "number?"}]}
CONFIG_GOOD = {"format": "integer", "file": "text", "accepted": "flag", "cluster": "text", "nodes": ["text"],
               "keyspaces": ["text"], "warnings": ["text"]}
CONFIG_BAD = {"format": "integer", "file": "text", "accepted": "flag", "issues": [{
    "line": "integer?", "key": "text?", "found": "text", "allowed": "text", "hint": "text?", "text": "text"}]}
COMPLETION = {"format": "integer", "shell": "text", "script": "text"}
KEY = {"format": "integer", "key": "text", "encoding": "text"}
COUNT = {"format": "integer", "keys": "integer"}
ERROR = {"error": {"code": "text", "text": "text"}}


class Contract(Scenario):
    def shaped(self, text, shape):
        self.assertEqual(text.count("\n"), 1, "one object on one line")
        value = json.loads(text)
        self.assertEqual(list(Shape.differences(value, shape)), [])
        if shape is not ERROR:
            self.assertEqual(value["format"], 1)
        return value

    def cli(self, *words, status=0, node=None):
        done = martlet(*words, "--host", (node or self.n1).address)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done


class JSON(Contract):
    def test_status(self):
        self.cluster.wait_all_up()
        for node in self.cluster.nodes:
            status = self.shaped(self.cli("status", "--json", node=node).stdout, STATUS)
            self.assertEqual(status["asked"], node.name)
            self.assertEqual([n["name"] for n in status["nodes"]], ["n1", "n2", "n3"])
            self.assertEqual({n["id"] for n in status["nodes"] if re.fullmatch("[0-9a-f]{40}", n["id"])},
                             {n["id"] for n in status["nodes"]})
            self.assertEqual({(n["state"], n["liveness"]) for n in status["nodes"]}, {("normal", "up")})
            self.assertAlmostEqual(sum(n["owns_percent"] for n in status["nodes"]), 300, delta=0.1)
            # What only a node itself knows, each of them was asked for.
            for each in status["nodes"]:
                self.assertIsNotNone(each["bytes"], each)
                self.assertIsNotNone(each["uptime_s"], each)

    def test_status_of_a_node_that_is_down_is_null(self):
        self.n3.kill()
        until("n1 sees n3 down", lambda: self.n1.sees("n3") == "down", 30)
        status = self.shaped(self.cli("status", "--json").stdout, STATUS)
        dead = status["nodes"][2]
        self.assertEqual((dead["liveness"], dead["bytes"], dead["uptime_s"]), ("down", None, None))
        hints = self.cli("hints").stderr + martlet("hints", "--config", self.cluster.config_path).stderr
        self.assertIn("n3 is down", hints)

    def test_ring(self):
        ring = self.shaped(self.cli("ring", "--json").stdout, RING)
        self.assertEqual((ring["ranges"][0]["first"], ring["ranges"][-1]["last"]), (0, 16383))
        self.assertEqual(len(ring["tokens"]), 48)
        place = self.shaped(self.cli("ring", "foo", "--json").stdout, RING_KEY)
        self.assertEqual((place["key"], place["slot"]), ("foo", 12182))
        self.assertRegex(place["token"], "^[0-9a-f]{16}$")
        self.assertEqual(sorted(place["replicas"]), ["n1", "n2", "n3"])
        # "Zm9v" is foo in base64.
        binary = json.loads(self.cli("ring", "Zm9v", "--base64-key", "--json").stdout)
        self.assertEqual((binary["key"], binary["slot"]), ("foo", 12182))

    def test_hints(self):
        hints = self.shaped(self.cli("hints", "--json").stdout, HINTS)
        self.assertEqual([n["node"] for n in hints["nodes"]], ["n1"])
        every = martlet("hints", "--json", "--config", self.cluster.config_path)
        self.assertEqual([n["node"] for n in json.loads(every.stdout)["nodes"]], ["n1", "n2", "n3"])
        self.assertIn("no hints wait", self.cli("hints").stdout)

    def test_values(self):
        put = self.shaped(self.cli("put", "json", "1", "--json").stdout, PUT)
        self.assertEqual(put["context"], put["version"], "a register's context is its version")
        got = self.shaped(self.cli("get", "json", "--json").stdout, GET)
        self.assertEqual(got, {"format": 1, "key": "json", "found": True, "encoding": "utf8",
                               "values": ["1"], "context": put["context"]})
        meta = self.shaped(self.cli("get", "json", "--meta", "--json").stdout, GET_META)
        self.assertEqual(meta["versions"][0]["version"], put["version"])
        self.shaped(self.cli("del", "json", "--json").stdout, PUT)
        gone = self.shaped(self.cli("get", "json", "--json", status=1).stdout, GET)
        self.assertEqual((gone["found"], gone["values"]), (False, []))
        meta = self.shaped(self.cli("get", "json", "--meta", "--json", status=1).stdout, GET_META)
        self.assertEqual((meta["versions"][0]["tombstone"], meta["versions"][0]["value"]), (True, None))
        never = self.shaped(self.cli("get", "never", "--json", status=1).stdout, GET)
        self.assertIsNone(never["context"])

    def test_scan(self):
        with self.n1.connect() as connection:
            for i in range(50):
                connection.call("SET", f"scan:{i}", "1")
            connection.call("SET", b"scan:\xff", "1")
        lines = self.cli("scan", "--match", "scan:*", "--count", "7", "--json").stdout.splitlines(True)
        keys = [self.shaped(line, KEY) for line in lines]
        self.assertEqual(sorted(k["key"] for k in keys if k["encoding"] == "utf8"),
                         sorted(f"scan:{i}" for i in range(50)))
        self.assertEqual([k["key"] for k in keys if k["encoding"] == "base64"], ["c2Nhbjr/"])
        counted = self.shaped(self.cli("scan", "--match", "scan:*", "--count-only", "--json").stdout, COUNT)
        self.assertEqual(counted["keys"], 51)
        self.assertEqual(len(self.cli("scan", "--limit", "9").stdout.splitlines()), 9)
        self.assertEqual(self.cli("scan", "--type", "hash").stdout, "")

    def test_every_other_command(self):
        self.shaped(self.cli("info", "server", "--json").stdout, INFO)
        self.shaped(self.cli("metrics", "--json").stdout, METRICS)
        self.shaped(self.cli("metrics", "--match", "clients", "--json").stdout, METRICS)
        self.shaped(self.cli("top", "--once", "--interval", "100ms", "--json").stdout, TOP)
        self.shaped(martlet("completion", "bash", "--json").stdout, COMPLETION)
        self.shaped(martlet("config", "check", self.cluster.config_path, "--json").stdout, CONFIG_GOOD)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("nodes: []\nlog: {level: loud}\n")
            file.flush()
            self.shaped(martlet("config", "check", file.name, "--json").stdout, CONFIG_BAD)


class Values(Contract):
    """Each option of VGET, VSET and VDEL, by the command line."""

    def test_levels(self):
        for level in ("ANY", "ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_ONE", "local_quorum",
                      "EACH_QUORUM"):
            with self.subTest(level=level):
                self.cli("put", "level", level, "--level", level)
                if level != "ANY":
                    self.assertEqual(self.cli("get", "level", "--level", level).stdout, level + "\n")
                self.cli("del", "level", "--level", level)
        self.assertIn("ANY is for writes", self.cli("get", "level", "--level", "ANY", status=2).stderr)

    def test_contexts_and_versions(self):
        first = json.loads(self.cli("put", "c", "1", "--json").stdout)
        second = json.loads(self.cli("put", "c", "2", "--context", first["context"], "--json").stdout)
        # The first version sent again doesn't overtake the second.
        again = json.loads(self.cli("put", "c", "1", "--retry", first["version"], "--json").stdout)
        self.assertEqual(again["version"], first["version"])
        self.assertEqual(self.cli("get", "c").stdout, "2\n")
        self.cli("del", "c", "--retry", first["version"])
        self.assertEqual(self.cli("get", "c").stdout, "2\n")
        self.cli("del", "c", "--context", second["context"], "--timeout", "1s")
        self.cli("get", "c", status=1)

    def test_lives(self):
        def left():
            with self.n1.connect() as connection:
                return connection.call("PTTL", "life")
        self.cli("put", "life", "1", "--ex", "1h")
        self.assertTrue(3_500_000 < left() <= 3_600_000)
        self.cli("put", "life", "2", "--keep-ttl")
        self.assertTrue(3_500_000 < left() <= 3_600_000)
        self.cli("put", "life", "3", "--expire-at", "4102444800.5")
        meta = json.loads(self.cli("get", "life", "--meta", "--json").stdout)
        self.assertEqual(meta["versions"][0]["expires_at_ms"], 4102444800500)
        self.assertIn("2100-01-01T00:00:00.500Z", self.cli("get", "life", "--meta").stdout)
        self.cli("put", "life", "4")
        self.assertEqual(left(), -1)

    def test_local_copies(self):
        self.cli("put", "local", "1", "--level", "ALL")
        for node in self.cluster.nodes:
            self.assertEqual(self.cli("get", "local", "--local", node=node).stdout, "1\n")

    def test_bytes_from_files_and_in_keys(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(range(256)))
            file.flush()
            # "/wAK" is 0xff 0 10.
            self.cli("put", "/wAK", "--base64-key", "--file", file.name)
        with self.n1.connect() as connection:
            self.assertEqual(connection.call("GET", b"\xff\x00\n"), bytes(range(256)))
        program = os.path.join(clusters.programs, "martlet")
        raw = subprocess.run([program, "get", "/wAK", "--base64-key", "--raw", "--host", self.n1.address],
                             capture_output=True, check=True, env=clusters.clean_environment())
        self.assertEqual(raw.stdout, bytes(range(256)))
        told = json.loads(self.cli("get", "/wAK", "--base64-key", "--json").stdout)
        self.assertEqual((told["key"], told["key_encoding"]), ("/wAK", "base64"))
        self.cli("del", "/wAK", "--base64-key")
        done = subprocess.run([program, "get", b"\xff", "--host", self.n1.address], capture_output=True,
                              check=False, env=clusters.clean_environment())
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"--base64-key", done.stderr)


class ExitCodes(Contract):
    """Every status of martlet, and with --json the error as an object on stderr."""

    def refused(self, status, code, *words, environment=None, stdout=subprocess.PIPE):
        program = os.path.join(clusters.programs, "martlet")
        with tempfile.TemporaryDirectory() as folder:
            for extra in ((), ("--json", )):
                done = subprocess.run(
                    [program, *extra, *words], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60,
                    stdin=subprocess.DEVNULL, check=False, cwd=folder,
                    env=clusters.clean_environment(**(environment or {})))
                self.assertEqual(done.returncode, status, done.stderr)
                if extra:
                    self.assertEqual(self.shaped(done.stderr, ERROR)["error"]["code"], code)
                else:
                    self.assertTrue(done.stderr.startswith("martlet"), done.stderr)
        return done.stderr

    def test_done(self):
        host = ("--host", self.n1.address)
        # Nodes that have just formed a ring tell each other which one a moment later.
        until("the nodes agree", lambda: martlet("status", "--check", *host).returncode == 0, 20)
        with tempfile.TemporaryDirectory() as folder:
            for words in (["--version"], ["--help"], ["help", "get"], ["put", "--help"],
                          ["put", "x", "1", *host], ["del", "absent", *host], ["status", *host],
                          ["status", "--check", *host], ["ring", *host], ["hints", *host],
                          ["info", *host], ["metrics", *host], ["scan", *host], ["completion", "zsh"],
                          ["config", "check", self.cluster.config_path]):
                with self.subTest(words=words):
                    done = martlet(*words, cwd=folder)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_negative(self):
        for words in (["get", "absent"], ["get", "absent", "--local"], ["metrics", "--match", "absent"]):
            with self.subTest(words=words):
                self.cli(*words, status=1)
        self.assertEqual(martlet("config", "check", "/absent.yaml").returncode, 1)

    def test_wrong_use(self):
        for words in ([], ["stats"], ["config"], ["get"], ["get", "a", "b"], ["put", "a"],
                      ["get", "a", "--leve"], ["get", "a", "--level"], ["get", "a", "--level", "MOST"],
                      ["get", "a", "--local=1"], ["get", "a", "--timeout", "2x"],
                      ["get", "a", "--level", "ONE", "--local"],
                      ["get", "a", "--raw", "--meta"], ["get", "=", "--base64-key"],
                      ["put", "a", "1", "--ex", "0s"], ["put", "a", "1", "--ex", "1s", "--keep-ttl"],
                      ["put", "a", "1", "--expire-at", "soon"], ["put", "a", "1", "--file", "x"],
                      ["put", "a", "--file", "/absent"], ["get", "a", "--host", "1.2.3"],
                      ["get", "a", "--host", "h", "--node", "n1"], ["scan", "--limit", "0"],
                      ["scan", "--raw", "--count-only"], ["top", "--interval", "1ms"], ["completion", "tcsh"],
                      ["info", "absent", "--host", self.n1.address], ["up", "--nodes", "0"]):
            with self.subTest(words=words):
                self.refused(2, "USAGE", *words)
        for words in (["status", "--node", "n9"], ["down", "--node", "n9"]):
            with self.subTest(words=words):
                self.refused(2, "USAGE", *words, "--config", self.cluster.config_path)

    def test_configuration(self):
        self.refused(3, "CONFIGURATION", "status", "--config", "absent.yaml")
        self.refused(3, "CONFIGURATION", "up")
        self.refused(3, "CONFIGURATION", "down")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write("nodes: 1\n")
            file.flush()
            self.refused(3, "CONFIGURATION", "status", "--config", file.name)
        said = self.refused(3, "CONFIGURATION", "status", "--config", self.cluster.config_path,
                            environment={"MARTLET_STORAGE_BLOK_CACHE": "1GiB"})
        self.assertIn("MARTLET_STORAGE_BLOCK_CACHE", said)

    def test_nobody_answers(self):
        for command in (["status"], ["get", "a"], ["put", "a", "1"], ["del", "a"], ["ring"], ["hints"],
                        ["scan"], ["info"], ["metrics"], ["top", "--once"]):
            with self.subTest(command=command):
                said = self.refused(4, "UNREACHABLE", *command, "--host", f"{self.cluster.network}.99")
                self.assertIn(f"{self.cluster.network}.99:7379", said)

    def test_unavailable(self):
        self.n3.kill()
        until("n1 sees n3 down", lambda: self.n1.sees("n3") == "down", 30)
        for words in (["put", "a", "1"], ["get", "a"], ["del", "a"]):
            with self.subTest(words=words):
                said = self.refused(5, "UNAVAILABLE", *words, "--level", "ALL", "--host", self.n1.address)
                self.assertIn("down=n3", said)
                self.assertIn("(key a, asked ", said)

    def test_timeout(self):
        self.cluster.wait_all_up()
        # Stopped, it is still held for up for a while: long enough for these.
        self.n3.signal(signal.SIGSTOP)
        try:
            said = self.refused(6, "TIMEOUT", "put", "late", "1", "--level", "ALL", "--timeout", "50ms",
                                "--host", self.n1.address)
        finally:
            self.n3.signal(signal.SIGCONT)
        text = json.loads(said)["error"]["text"]
        self.assertIn("unknown=n3", text)
        version = re.search(r"version=(\S+)", text).group(1)
        done = json.loads(self.cli("put", "late", "1", "--retry", version, "--json").stdout)
        self.assertEqual(done["version"], version)
        # So it is for a node that takes the connection and then says nothing.
        self.cluster.wait_all_up()

    def test_other_refusals(self):
        host = ("--host", self.n1.address)
        self.refused(7, "BADCONTEXT", "put", "a", "1", "--context", "AAAA", *host)
        self.refused(7, "ERR", "get", "a", "--keyspace", "absent", *host)
        self.refused(7, "TOOLARGE", "get", "k" * (64 << 10) + "k", *host)
        self.refused(7, "REFUSED", "up", "--add", "1", "--config", self.cluster.config_path)
        with open("/dev/full", "w", encoding="utf-8") as full:
            program = os.path.join(clusters.programs, "martlet")
            done = subprocess.run([program, "status", *host], stdout=full, stderr=subprocess.PIPE, text=True,
                                  check=False, env=clusters.clean_environment())
        self.assertEqual(done.returncode, 7)
        self.assertIn("stdout can't be written: no space left on device", done.stderr)

    def test_interrupted(self):
        program = os.path.join(clusters.programs, "martlet")
        process = subprocess.Popen(
            [program, "top", "--json", "--interval", "100ms", "--host", self.n1.address],
            stdout=subprocess.PIPE, text=True, env=clusters.clean_environment())
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.assertTrue(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 130)

    def test_bench_is_found_or_said_how_to_make(self):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "martlet")
            # A copy, beside which there is what is put there.
            shutil.copy(os.path.join(clusters.programs, "martlet"), program)
            stand_in = os.path.join(folder, "martlet-bench")
            with open(stand_in, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 42\n")
            os.chmod(stand_in, 0o755)
            environment = clusters.clean_environment(PATH=folder + ":/usr/bin:/bin")
            words = [program, "--config", self.cluster.config_path, "bench"]
            done = subprocess.run([*words, "--x", "-y"], capture_output=True, text=True, check=False,
                                  env=environment)
            self.assertEqual(done.returncode, 42, "its own status")
            targets = [w for n in self.cluster.nodes for w in ("--target", f"{n.address}:7379")]
            self.assertEqual(done.stdout.split(), ["run", "--x", "-y", *targets])
            os.remove(stand_in)
            done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
            self.assertEqual(done.returncode, 7)
            self.assertIn("swift build", done.stderr)


class Daemon(Contract):
    """martletd's statuses and what it leaves; those of wrong starts are in test_refusals."""

    nodes = 1
    starts = False
    sections = "keyspaces: {default: {replication_factor: 1}}\n"

    def test_statuses(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.n1.start()
            self.n1.signal(number)
            self.assertEqual(self.n1.process.wait(15), 0)
        for flags, status in ((["--help"], 0), (["--version"], 0), (["--nmae", "n1"], 2),
                              (["--set", "x=1"], 3), (["--set", "storage.data=/dev/null/x"], 5)):
            with self.subTest(flags=flags):
                self.assertEqual(self.n1.run_to_exit(*flags)[0], status)
        # How Swift ends on a broken invariant; a shell shows 134.
        for number in (signal.SIGILL, signal.SIGTRAP):
            self.n1.start()
            self.n1.signal(number)
            self.assertEqual(self.n1.process.wait(15), -signal.SIGABRT)

    def test_files(self):
        self.n1.start()
        folder = self.n1.data_folder
        names = ["EPOCH", "IDENTITY", "LOCK", "STAMP", "SYNCED", "db"]
        self.assertEqual(sorted(set(os.listdir(folder)) - {"TREES"}), names)

        def fields(name):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                return dict(line.rstrip("\n").split("=", 1) for line in file)
        identity, epoch = fields("IDENTITY"), fields("EPOCH")
        self.assertEqual(list(identity), ["format", "cluster", "node", "name", "created_ms", "checksum"])
        self.assertEqual((identity["format"], identity["cluster"], identity["name"]), ("1", "martlet", "n1"))
        self.assertRegex(identity["node"], "^[0-9a-f]{40}$")
        self.assertEqual(identity["node"], self.n1.status()["nodes"][0]["id"])
        with open(os.path.join(folder, "LOCK"), encoding="utf-8") as file:
            self.assertEqual(file.read().split()[0], str(self.n1.process.pid))
        # An unclean end raises the epoch, a clean one doesn't; the identity stays for ever.
        self.n1.kill()
        self.n1.start()
        raised = fields("EPOCH")
        self.assertEqual(int(raised["epoch"]), int(epoch["epoch"]) + 1)
        self.assertEqual(self.n1.stop(), 0)
        self.n1.start()
        self.assertEqual(fields("EPOCH")["epoch"], raised["epoch"])
        self.assertEqual(fields("IDENTITY"), identity)
        # It comes with a clean end.
        self.assertEqual(sorted(os.listdir(folder)), sorted(names + ["TREES"]))
        self.assertEqual(self.n1.stop(), 0)


class Logs(Contract):
    """One line an event: time, level, node, event, fields, text last."""

    nodes = 2
    sections = "keyspaces: {default: {replication_factor: 2}}\n"
    BARE = r'[!#-<>-~]+'
    QUOTED = r'"(?:[^"\\\x00-\x1f]|\\.)*"'

    def lines(self, node):
        with open(node.log_path, encoding="utf-8") as file:
            return [line.rstrip("\n") for line in file if not line.startswith("--- start")]

    def events(self):
        """What two nodes say over a start, a death and a return."""
        self.cluster.wait_all_up()
        self.n2.kill()
        until("n1 sees n2 down", lambda: self.n1.sees("n2") == "down", 30)
        self.n2.start()
        self.cluster.wait_all_up()
        self.assertEqual(self.n2.stop(), 0)
        self.n2.start()
        return self.lines(self.n1) + self.lines(self.n2)

    def check(self, fields):
        self.assertEqual(list(fields)[:4], ["time", "level", "node", "event"], fields)
        self.assertRegex(fields["time"], f"^{TIME}$")
        self.assertIn(fields["level"], ("debug", "info", "warn", "error"))
        self.assertIn(fields["node"], ("n1", "n2"))
        self.assertIn(fields["event"], log_events())
        self.assertTrue("text" not in fields or list(fields)[-1] == "text", fields)

    def test_lines(self):
        seen = set()
        for line in self.events():
            pairs = re.findall(rf"([a-z_]+)=({self.QUOTED}|{self.BARE})(?: |$)", line)
            self.assertEqual(" ".join(f"{name}={value}" for name, value in pairs), line)
            for _, value in pairs:
                # Quoted only when needed.
                if value.startswith('"'):
                    inside = json.loads(value)
                    self.assertTrue(not re.fullmatch(self.BARE, inside), line)
            fields = {name: json.loads(v) if v.startswith('"') else v for name, v in pairs}
            self.check(fields)
            seen.add(fields["event"])
        self.assertLessEqual({"starting", "ring_forming", "ring_formed", "started", "peer_up", "peer_down",
                              "peer_left", "stopping", "stopped"}, seen)


class LogsAsJSON(Logs):
    sections = Logs.sections + "log: {format: json, level: debug}\n"

    def test_lines(self):
        seen = set()
        for line in self.events():
            fields = json.loads(line)
            self.check(fields)
            seen.add((fields["level"], fields["event"]))
        self.assertLessEqual({("info", "starting"), ("warn", "peer_down"), ("info", "stopped")}, seen)
        # What a level leaves out.
        self.assertEqual(self.n1.stop(), 0)
        os.truncate(self.n1.log_path, 0)
        self.n1.start("--set", "log.level=error")
        self.assertEqual(self.lines(self.n1), [])


class Configuration(Contract):
    """cluster.yaml: what overrides what, and who a node is."""

    nodes = 1
    starts = False
    sections = "keyspaces: {default: {replication_factor: 1}}\nrequests: {timeout: 3s, siblings_max: 65}\n"

    def setting(self, name):
        with self.n1.connect() as connection:
            return connection.call("CONFIG", "GET", name)[1].decode()

    def test_precedence(self):
        self.n1.start("--set", "requests.timeout=5s",
                      environment={"MARTLET_REQUESTS_TIMEOUT": "4s", "MARTLET_STORAGE_BLOCK_CACHE": "1GiB",
                                   "MARTLET_REQUESTS_SIBLINGS_WARN": "17"})
        self.assertEqual(self.setting("requests.timeout"), "5s", "a flag before the environment")
        self.assertEqual(self.setting("storage.block_cache"), "1GiB", "the environment before the default")
        self.assertEqual(self.setting("requests.siblings_warn"), "17")
        self.assertEqual(self.setting("requests.siblings_max"), "65", "the file before the default")
        self.assertEqual(self.setting("storage.memtable"), "64MiB", "the default")
        self.assertEqual(self.n1.stop(), 0)
        self.n1.start(environment={"MARTLET_REQUESTS_TIMEOUT": "4s"})
        self.assertEqual(self.setting("requests.timeout"), "4s", "the environment before the file")
        self.assertEqual(self.n1.stop(), 0)

    def test_who_a_node_is(self):
        program = os.path.join(clusters.programs, "martletd")
        elsewhere = os.path.join(self.cluster.folder, "elsewhere")

        def starts(flags, environment):
            with open(self.n1.log_path, "ab") as log:
                process = subprocess.Popen(
                    [program, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    cwd=self.cluster.folder, env=clusters.clean_environment(**environment))
            self.n1.process = process
            self.n1.wait_ready()
            self.assertEqual(self.n1.status()["asked"], "n1")
            self.assertEqual(self.n1.stop(), 0)
        config = self.cluster.config_path
        starts([], {"MARTLET_NAME": "n1"})
        starts(["--address", self.n1.address], {"MARTLET_CONFIG": config})
        starts([], {"MARTLET_CONFIG": config, "MARTLET_ADDRESS": self.n1.address,
                    "MARTLET_DATA": elsewhere})
        self.assertTrue(os.path.exists(os.path.join(elsewhere, "n1", "IDENTITY")))

    def test_an_address_that_is_not_loopback(self):
        with open(self.cluster.config_path, "w", encoding="utf-8") as file:
            file.write("nodes: [{name: n1, address: 192.0.2.1}]\n" + self.sections)
        code, said = self.n1.run_to_exit()
        self.assertEqual(code, 3)
        self.assertIn("--insecure", said)
        # Said so, it goes on to where the system has no such address.
        code, said = self.n1.run_to_exit("--insecure")
        self.assertNotEqual(code, 0)
        self.assertNotIn("--insecure if", said)
        self.cluster.write_config()


class Up(unittest.TestCase):
    """What `martlet up` writes and starts; what goes wrong there is in test_up."""

    def setUp(self):
        self.network = network.allocate()
        folder = tempfile.TemporaryDirectory(prefix="martlet-up-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.config = os.path.join(self.folder, "cluster.yaml")
        self.data = os.path.join(self.folder, "data")
        self.write(f"{self.network}.")

    def write(self, prefix):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("storage: {disk_free_min: 16MiB}\nnodes:\n")
            file.write("".join(f"  - {{name: n{i}, address: {prefix}{i}}}\n" for i in (1, 2, 3)))

    def up(self, *words, status=0):
        self.addCleanup(martlet, "down", "--config", self.config)
        done = martlet("up", "--detach", "--config", self.config, *words)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def nodes(self):
        path = os.path.join(self.data, "cluster.yaml")
        with open(path, encoding="utf-8") as file:
            return re.findall(r"- \{name: (\w+), address: ([\d.]+)", file.read())

    def test_fewer_nodes_lower_the_replication_factor(self):
        done = self.up("--nodes", "2", "--json")
        told = json.loads(done.stdout)
        shape = {"format": "integer", "cluster": "text", "config": "text", "notes": ["text"], "nodes": [{
            "name": "text", "address": "text", "redis_port": "integer", "pid": "integer", "folder": "text",
            "state": "text"}]}
        self.assertEqual(list(Shape.differences(told, shape)), [])
        self.assertIn("replication_factor", told["notes"][0])
        self.assertEqual(self.nodes(), [("n1", f"{self.network}.1"), ("n2", f"{self.network}.2")])
        names = ["EPOCH", "IDENTITY", "LOCK", "STAMP", "SYNCED", "db", "martletd.log", "martletd.pid"]
        self.assertEqual(sorted(os.listdir(os.path.join(self.data, "n1"))), names)
        # It has returned, so every node serves.
        for node in told["nodes"]:
            self.assertEqual(martlet("put", "a", "1", "--host", node["address"]).returncode, 0)
        with open(os.path.join(self.data, "n1", "martletd.pid"), encoding="utf-8") as file:
            with open(f"/proc/{int(file.read())}/cmdline", "rb") as line:
                words = line.read().decode().split("\0")
        self.assertEqual(words[1:-1], ["--config", os.path.join(self.data, "cluster.yaml"), "--name", "n1"])
        down = json.loads(martlet("down", "--config", self.config, "--json").stdout)
        shape = {"format": "integer", "nodes": [{"name": "text", "pid": "integer", "result": "text"}]}
        self.assertEqual(list(Shape.differences(down, shape)), [])

    def test_more_nodes_take_the_next_addresses(self):
        self.up("--nodes", "5")
        self.assertEqual(self.nodes(), [(f"n{i}", f"{self.network}.{i}") for i in range(1, 6)])
        status = json.loads(martlet("status", "--config", self.config, "--json").stdout)
        self.assertEqual({n["liveness"] for n in status["nodes"]}, {"up"})

    def test_addresses_that_are_not_loopback_are_not_made_up(self):
        self.write("192.0.2.")
        self.assertIn("loopback", self.up("--nodes", "4", status=2).stderr)

    def test_a_network(self):
        other = network.allocate()
        self.up("--network", other)
        self.assertEqual(self.nodes(), [(f"n{i}", f"{other}.{i}") for i in (1, 2, 3)])


if __name__ == "__main__":
    unittest.main()
