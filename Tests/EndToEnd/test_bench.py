"""martlet-bench: short loads on real servers."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import cluster as clusters
from harness import network
from harness.scenario import Scenario, run
from harness.waiting import until

PORT = 7379


def bench(*words):
    return run(os.path.join(clusters.programs, "martlet-bench"), *words)


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


class OnRedis(unittest.TestCase):
    def setUp(self):
        self.host = network.allocate() + ".1"
        folder = tempfile.TemporaryDirectory(prefix="martlet-bench-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, *options):
        server = subprocess.Popen(
            ["redis-server", "--bind", self.host, "--port", str(PORT), "--save", "", "--dir", self.folder,
             *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)

        def answers():
            with socket.create_connection((self.host, PORT), 1):
                return True
        until("redis-server answers", answers, 10, failing=(OSError,))
        return server

    def load(self, *words):
        done = bench("run", "--target", f"{self.host}:{PORT}", "--keys", "1000", "--json", "-",
                     "--warm-up", "0s", *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_a_closed_loop(self):
        self.start()
        histogram, plot = os.path.join(self.folder, "h.hgrm"), os.path.join(self.folder, "p.svg")
        result = self.load("--requests", "5000", "--connections", "7", "--pipeline", "3", "--threads", "2",
                           "--value-size", "1-300", "--histogram", histogram, "--plot", plot)
        self.assertEqual(result["operations"], 5000)
        self.assertEqual(result["errors"], {})
        latency = result["latency_ms"]
        self.assertEqual(latency["reads"]["count"] + latency["writes"]["count"], 5000)
        self.assertLessEqual(latency["all"]["p50"], latency["all"]["max"])
        self.assertGreater(result["server_cpu_seconds_per_1000"], 0)
        with open(histogram, encoding="utf-8") as file:
            self.assertIn("#[Max", file.read())
        with open(plot, encoding="utf-8") as file:
            self.assertTrue(file.read().startswith("<svg"))

    def test_every_workload(self):
        self.start()
        for letter in "ABCDEF":
            result = self.load("--workload", letter, "--requests", "500", "--connections", "4")
            self.assertEqual((letter, result["operations"], result["errors"]), (letter, 500, {}))

    def test_an_open_loop_keeps_its_rate(self):
        self.start()
        result = self.load("--rate", "2000", "--duration", "1s", "--connections", "16")
        # The last may be due at the very end.
        self.assertIn(result["operations"] + result["unsent"], range(1990, 2002))

    def spawn(self, *words):
        """A load beside which something happens; gives its JSON when it is asked."""
        process = subprocess.Popen(
            [os.path.join(clusters.programs, "martlet-bench"), "run", "--target", f"{self.host}:{PORT}",
             "--keys", "100", "--warm-up", "0s", "--json", "-", *words],
            stdout=subprocess.PIPE, text=True, env=clusters.clean_environment())
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        until("the load has begun", lambda: self.requests() > 1000, 20)
        return process

    def requests(self):
        text = run("redis-cli", "-h", self.host, "-p", str(PORT), "info", "stats").stdout
        return int(text.split("total_commands_processed:")[1].split()[0])

    def test_a_stall_shows_in_every_request_that_it_held_up(self):
        server = self.start()
        process = self.spawn("--rate", "2000", "--duration", "2s", "--connections", "4")
        server.send_signal(signal.SIGSTOP)
        self.assertRaises(subprocess.TimeoutExpired, process.wait, 0.6)
        server.send_signal(signal.SIGCONT)
        result = json.loads(process.communicate(timeout=30)[0])
        self.assertEqual(result["errors"], {})
        # A closed loop would have seen four slow requests of thousands.
        self.assertGreater(result["latency_ms"]["all"]["p90"], 100)

    def test_lost_connections_are_counted_and_made_anew(self):
        self.start()
        process = self.spawn("--rate", "2000", "--duration", "2s", "--connections", "4", "--allow-errors")
        run("redis-cli", "-h", self.host, "-p", str(PORT), "client", "kill", "type", "normal")
        before = self.requests()
        until("it goes on", lambda: self.requests() > before + 500, 20)
        result = json.loads(process.communicate(timeout=30)[0])
        self.assertEqual(process.returncode, 0)
        self.assertIn(set(result["errors"]), (set(), {"connection lost"}))
        self.assertGreater(result["operations"], 3000)

    def test_a_cluster_client(self):
        self.start("--cluster-enabled", "yes")
        address = ["-h", self.host, "-p", str(PORT)]
        self.assertIn("OK", run("redis-cli", *address, "cluster", "addslotsrange", "0", "16383").stdout)
        until("the slots are served",
              lambda: "cluster_state:ok" in run("redis-cli", *address, "cluster", "info").stdout, 10)
        result = self.load("--cluster", "--requests", "1000", "--connections", "4")
        self.assertEqual((result["operations"], result["errors"]), (1000, {}))

    def test_errors_are_counted_and_told(self):
        self.start("--maxmemory", "1")
        refused = bench("run", "--target", f"{self.host}:{PORT}", "--keys", "10", "--requests", "10")
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertIn("OOM", refused.stderr)
        words = ["run", "--target", f"{self.host}:{PORT}", "--keys", "10", "--requests", "100",
                 "--no-preload", "--reads", "0", "--warm-up", "0s", "--json", "-"]
        done = bench(*words)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(json.loads(done.stdout)["errors"]["OOM"]["count"], 100)
        self.assertEqual(bench(*words, "--allow-errors").returncode, 0)
        level = bench(*words, "--level", "ONE")
        self.assertEqual(level.returncode, 7)
        self.assertIn("CONSISTENCY", level.stderr)

    def test_nobody_there(self):
        done = bench("run", "--target", f"{self.host}:{PORT}")
        self.assertEqual(done.returncode, 4)
        self.assertIn(f"{self.host}:{PORT}", done.stderr)
        self.assertEqual(bench("run", "--connections", "none").returncode, 2)


class OnACluster(Scenario):
    def test_a_load_over_all_nodes(self):
        targets = [word for node in self.cluster.nodes for word in ("--target", node.address)]
        done = bench("run", *targets, "--keys", "500", "--requests", "3000", "--connections", "9",
                     "--workload", "A", "--level", "ONE:QUORUM", "--json", "-")
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual((result["operations"], result["errors"]), (3000, {}))
        self.assertGreater(result["server_cpu_seconds_per_1000"], 0)


class Compare(unittest.TestCase):
    def test_a_comparison_leaves_nothing_behind(self):
        with tempfile.TemporaryDirectory(prefix="martlet-bench-test-") as folder:
            table = os.path.join(folder, "page.md")
            with open(table, "w", encoding="utf-8") as file:
                file.write("<!-- martlet-bench compare: begin -->\n<!-- martlet-bench compare: end -->\n")
            done = self.compare(folder, "--stage", "batch", "--table", table, "--output", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(table, encoding="utf-8") as file:
                self.assertIn("| 64 connections, batch |", file.read())
            with open(os.path.join(folder, "compare.json"), encoding="utf-8") as file:
                self.assertEqual(len(json.load(file)["trials"]), 2)

    def compare(self, folder, *words):
        place = os.path.join(folder, "temporary")
        os.mkdir(place)
        done = subprocess.run(
            [os.path.join(clusters.programs, "martlet-bench"), "compare", "--rounds", "1", "--seconds", "0.2",
             *words], capture_output=True, text=True, timeout=100, check=False,
            env=clusters.clean_environment(TMPDIR=place, MARTLET_TEST_NETWORK=network.allocate()))
        self.assertEqual([n for n in os.listdir(place) if not n.endswith(".lock")], [])
        return done

    def test_ctrl_c_stops_the_servers(self):
        with tempfile.TemporaryDirectory(prefix="martlet-bench-test-") as place:
            process = subprocess.Popen(
                [os.path.join(clusters.programs, "martlet-bench"), "compare", "--stage", "periodic",
                 "--seconds", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env=clusters.clean_environment(TMPDIR=place, MARTLET_TEST_NETWORK=network.allocate()))
            self.addCleanup(process.kill)
            servers = until("all servers run",
                            lambda: len(children_of(process.pid)) == 7 and children_of(process.pid), 60)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), 130)
            self.assertEqual([pid for pid in servers if os.path.exists(f"/proc/{pid}")], [])
            self.assertEqual([n for n in os.listdir(place) if not n.endswith(".lock")], [])


class Rebalance(unittest.TestCase):
    def rebalance(self, place, *words):
        done = subprocess.run(
            [os.path.join(clusters.programs, "martlet-bench"), "rebalance", "--bytes", "4MiB",
             "--rate", "300", "--connections", "4", "--settle", "0s", "--quiet", "1s", *words],
            capture_output=True, text=True, timeout=300, check=False,
            env=clusters.clean_environment(TMPDIR=place, MARTLET_TEST_NETWORK=network.allocate()))
        self.assertEqual([n for n in os.listdir(place) if not n.endswith(".lock")], [])
        return done

    def test_nodes_come_go_and_die_under_load_and_nothing_is_lost_or_sent_twice(self):
        with tempfile.TemporaryDirectory(prefix="martlet-bench-test-") as place:
            done = self.rebalance(place, "--json", "-")
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        self.assertEqual(found["copies_found"], 3 * found["keys"])
        self.assertEqual([r["step"] for r in found["results"]], ["join", "leave", "replace", "double"])
        self.assertEqual(found["results"][-1]["after"], ["n1", "n4", "n5", "n6", "n7"])
        for result in found["results"]:
            self.assertEqual(result["errors"], {})
            self.assertGreater(result["records_moved"], 0)
            # Not 1.05, as measured: on a busy machine replicas lag, and exchanges bring that too. Two that
            # join at once are two changes, and the second takes from the first.
            self.assertLess(result["over_least"], 2 if result["step"] == "double" else 1.5)

    def test_a_step_that_takes_too_long_is_the_last_one_and_the_table_is_written(self):
        with (tempfile.TemporaryDirectory(prefix="martlet-bench-test-") as place,
              tempfile.NamedTemporaryFile("w+", suffix=".md") as page):
            marks = [f"<!-- martlet-bench rebalance: {end} -->" for end in ("begin", "end")]
            page.write("\n".join(marks) + "\n")
            page.flush()
            done = self.rebalance(place, "--within", "1ms", "--table", page.name)
            page.seek(0)
            table = page.read()
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn("a node joins: not over in 0.001 s", done.stderr)
        self.assertIn("| a node joins (3 to 4) | not in ", table)
        self.assertNotIn("a node leaves", table)
        self.assertIn("The run ended early", table)


class DataCenters(unittest.TestCase):
    def datacenters(self, place, *words, **environment):
        done = subprocess.run(
            [os.path.join(clusters.programs, "martlet-bench"), "datacenters", "--duration", "0.5s",
             "--keys", "50", "--round-trip", "20ms", "--connections", "2", "--json", "-", *words],
            capture_output=True, text=True, timeout=120, check=False,
            env=clusters.clean_environment(
                TMPDIR=place, MARTLET_TEST_NETWORK=network.allocate(), **environment))
        self.assertEqual([n for n in os.listdir(place) if not n.endswith(".lock")], [])
        return done

    def test_levels_that_go_far_take_a_round_trip(self):
        with tempfile.TemporaryDirectory(prefix="martlet-bench-test-") as place:
            done = self.datacenters(place, "--level", "LOCAL_QUORUM", "--level", "EACH_QUORUM")
        if done.returncode == 7 and "need the rights" in done.stderr:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 0, done.stderr)
        near, far = json.loads(done.stdout)["levels"]
        for kind in ("reads", "writes"):
            self.assertGreater(near[kind]["per_second"], far[kind]["per_second"])
            self.assertGreaterEqual(far[kind]["p50_ms"], 20)
        self.assertLess(near["reads"]["p50_ms"], 20)

    def test_it_says_what_is_missing(self):
        with tempfile.TemporaryDirectory(prefix="martlet-bench-test-") as place:
            done = self.datacenters(place, PATH="/nowhere")
        self.assertEqual(done.returncode, 7)
        self.assertIn("ip isn't installed", done.stderr)
