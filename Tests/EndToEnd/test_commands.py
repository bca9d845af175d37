"""martlet, the command line: exit codes and JSON as documented."""

import json
import os
import signal
import subprocess
import tempfile
import unittest

from harness import cluster as clusters
from harness import network
from harness.resp import Connection
from harness.scenario import Scenario, martlet
from harness.waiting import until


class Commands(Scenario):
    def cli(self, *words):
        return martlet(*words, "--host", self.n1.address)

    def test_put_get_del(self):
        self.assertEqual(self.cli("put", "cli", "1").returncode, 0)
        done = self.cli("get", "cli", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual((answer["format"], answer["key"], answer["found"]), (1, "cli", True))
        self.assertEqual((answer["encoding"], answer["values"]), ("utf8", ["1"]))
        self.assertEqual(self.cli("get", "cli").stdout, "1\n")
        self.assertEqual(self.cli("del", "cli").returncode, 0)
        gone = self.cli("get", "cli", "--json")
        self.assertEqual(gone.returncode, 1)
        self.assertFalse(json.loads(gone.stdout)["found"])

    def test_status_and_ring(self):
        self.cluster.wait_all_up()
        status = self.cli("status", "--json")
        self.assertEqual(status.returncode, 0, status.stderr)
        self.assertEqual([n["name"] for n in json.loads(status.stdout)["nodes"]], ["n1", "n2", "n3"])
        human = self.cli("status").stdout
        for node in self.cluster.nodes:
            self.assertIn(node.address, human)
        # Nodes that have just formed a ring tell each other which one a moment later.
        until("the nodes agree", lambda: self.cli("status", "--check").returncode == 0, 20)
        ring = self.cli("ring", "foo", "--json")
        self.assertEqual(json.loads(ring.stdout)["slot"], 12182)

    def test_a_degraded_cluster(self):
        self.n3.kill()
        until("n1 sees n3 down", lambda: self.n1.sees("n3") == "down", 30)
        self.assertEqual(self.cli("status").returncode, 0)
        self.assertEqual(self.cli("status", "--check").returncode, 1)
        done = self.cli("put", "a", "1", "--level", "ALL", "--json")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertEqual(json.loads(done.stderr)["error"]["code"], "UNAVAILABLE")

    def test_wrong_use(self):
        self.assertEqual(martlet("stats").returncode, 2)
        self.assertIn("status", martlet("stats").stderr)
        self.assertEqual(martlet("--help").returncode, 0)
        nobody = martlet("status", "--host", f"{self.cluster.network}.99")
        self.assertEqual(nobody.returncode, 4, nobody.stderr)


class UpAndDown(unittest.TestCase):
    def setUp(self):
        self.network = network.allocate()
        folder = tempfile.TemporaryDirectory(prefix="martlet-up-")
        self.addCleanup(folder.cleanup)
        self.config = os.path.join(folder.name, "cluster.yaml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("nodes:\n" + "".join(f"  - {{name: n{i}, address: 127.0.0.{i}}}\n" for i in (1, 2, 3)))
        self.data = os.path.join(folder.name, "data")

    def pids(self):
        out = []
        for name in os.listdir(self.data) if os.path.isdir(self.data) else []:
            path = os.path.join(self.data, name, "martletd.pid")
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    out.append(int(file.read().strip() or 0))
        return [pid for pid in out if pid and os.path.exists(f"/proc/{pid}")]

    def kill_rest(self):
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)

    def test_up_detached_and_down(self):
        self.addCleanup(self.kill_rest)
        up = martlet(
            "up", "--config", self.config, "--network", self.network, "--nodes", "2", "--detach")
        self.assertEqual(up.returncode, 0, up.stdout + up.stderr)
        self.assertIn("replication_factor", up.stdout + up.stderr)
        self.assertEqual(len(self.pids()), 2)
        with Connection(f"{self.network}.2") as connection:
            self.assertEqual(connection.call("SET", "a", "1"), "OK")
        self.assertTrue(os.path.exists(os.path.join(self.data, "cluster.yaml")))
        down = martlet("down", "--config", self.config)
        self.assertEqual(down.returncode, 0, down.stdout + down.stderr)
        self.assertEqual(self.pids(), [])

    def test_up_in_the_foreground_stops_all_on_an_interrupt(self):
        self.addCleanup(self.kill_rest)
        process = subprocess.Popen(
            [os.path.join(clusters.programs, "martlet"), "up", "--config", self.config, "--network",
             self.network],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clusters.clean_environment(),
            start_new_session=True, stdin=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        said = []
        while not (said and "ready" in said[-1]):
            line = process.stdout.readline()
            self.assertTrue(line, f"it ended before it was ready: {said}")
            said.append(line)
        pids = self.pids()
        self.assertEqual(len(pids), 3)
        os.killpg(process.pid, signal.SIGINT)
        self.assertIn(process.wait(30), (0, 130))
        until("all nodes are gone", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 10)


if __name__ == "__main__":
    unittest.main()
