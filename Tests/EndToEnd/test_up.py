"""martlet up and down where things go wrong, and what a user's shell sees of them."""

import base64
import json
import os
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import cluster as clusters
from harness import network
from harness.scenario import martlet
from harness.waiting import until


class Upped(unittest.TestCase):
    """A cluster.yaml of three nodes in a folder of its own, which only `martlet up` starts."""

    def setUp(self):
        self.network = network.allocate()
        folder = tempfile.TemporaryDirectory(prefix="martlet-up-")
        self.addCleanup(folder.cleanup)
        self.config = os.path.join(folder.name, "cluster.yaml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("storage: {disk_free_min: 16MiB}\nnodes:\n")
            file.write("".join(f"  - {{name: n{i}, address: {self.network}.{i}}}\n" for i in (1, 2, 3)))
        self.data = os.path.join(folder.name, "data")
        self.addCleanup(self.kill_rest)

    def pid(self, name):
        try:
            with open(os.path.join(self.data, name, "martletd.pid"), encoding="utf-8") as file:
                return int(file.read())
        except FileNotFoundError:
            return None

    def kill_rest(self):
        for name in os.listdir(self.data) if os.path.isdir(self.data) else []:
            pid = self.pid(name) if os.path.isdir(os.path.join(self.data, name)) else None
            if pid and os.path.exists(f"/proc/{pid}"):
                os.kill(pid, signal.SIGKILL)

    def cli(self, *words, status=0):
        done = martlet(*words, "--config", self.config)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def foreground(self):
        """`martlet up`, once it is ready."""
        process = subprocess.Popen(
            [os.path.join(clusters.programs, "martlet"), "up", "--config", self.config],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clusters.clean_environment(),
            start_new_session=True, stdin=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        line = ""
        while "ready" not in line:
            line = process.stdout.readline()
            self.assertTrue(line, "it ended before it was ready")
        return process

    def test_a_port_in_use(self):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((f"{self.network}.3", 7379))
            taken.listen(1)
            said = self.cli("up", "--detach", status=7).stderr
        self.assertIn("n3 ended while it started: exit status 4", said)
        self.assertIn("n3 | ", said)
        self.assertEqual([self.pid(n) for n in ("n1", "n2", "n3")], [None] * 3)
        # Half-founded is no obstacle.
        self.cli("up", "--detach")
        self.cli("down")

    def test_a_node_that_dies_is_told_and_the_others_go_on(self):
        process = self.foreground()
        os.kill(self.pid("n2"), signal.SIGKILL)
        line = ""
        while "n2 ended: killed by signal 9" not in line:
            line = process.stdout.readline()
            self.assertTrue(line, "it ended too")
        self.cli("put", "a", "1")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(30), 0)
        self.assertEqual([self.pid(n) for n in ("n1", "n2", "n3")], [None] * 3)

    def test_down_ends_what_runs_in_the_foreground(self):
        process = self.foreground()
        self.cli("down")
        self.assertEqual(process.wait(30), 0)

    def test_nodes_that_run_are_left_alone(self):
        self.cli("up", "--detach")
        first, second = self.pid("n1"), self.pid("n2")
        self.cli("down", "--node", "n2")
        self.assertIn("n1 runs as process", self.cli("up", "--detach").stderr)
        self.assertEqual(self.pid("n1"), first)
        self.assertNotEqual(self.pid("n2"), second)
        moved = network.allocate()
        self.assertIn("down", self.cli("up", "--detach", "--network", moved, status=7).stderr)
        self.assertIn("n4", self.cli("up", "--detach", "--nodes", "4", status=7).stderr)
        self.assertIn("exclude each other", self.cli("up", "--add", "1", "--detach", status=2).stderr)
        down = json.loads(self.cli("down", "--json").stdout)
        self.assertEqual([n["result"] for n in down["nodes"]], ["stopped"] * 3)
        self.assertEqual(self.cli("down").stdout, "nothing runs\n")

    def test_a_stopped_process_is_passed_by_and_killed_in_the_end(self):
        self.cli("up", "--detach")
        os.kill(self.pid("n1"), signal.SIGSTOP)
        self.assertIn("as n2 sees it", self.cli("status").stdout)
        self.cli("status", "--node", "n1", status=4)
        self.assertIn("n1 did not stop by itself and was killed", self.cli("down").stdout)

    def test_a_process_id_that_was_used_again_is_not_killed(self):
        self.cli("up", "--detach")
        pid = self.pid("n1")
        os.kill(pid, signal.SIGKILL)
        other = subprocess.Popen(["sleep", "60"])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        with open(os.path.join(self.data, "n1", "martletd.pid"), "w", encoding="utf-8") as file:
            file.write(f"{other.pid}\n")
        self.assertIn("n1 didn't run", self.cli("down").stdout)
        self.assertIsNone(other.poll())

    def test_values_are_bytes(self):
        self.cli("up", "--detach")
        program = os.path.join(clusters.programs, "martlet")
        value = bytes(range(256)) * 1000
        subprocess.run(
            [program, "put", "binary", "-", "--config", self.config], input=value, check=True,
            stdout=subprocess.DEVNULL, env=clusters.clean_environment())
        got = subprocess.run(
            [program, "get", "binary", "--config", self.config], stdout=subprocess.PIPE, check=True,
            stdin=subprocess.DEVNULL, env=clusters.clean_environment())
        self.assertEqual(got.stdout, value + b"\n")
        answer = json.loads(self.cli("get", "binary", "--json").stdout)
        self.assertEqual(answer["encoding"], "base64")
        self.assertEqual(base64.b64decode(answer["values"][0]), value)
        self.cli("put", "brief", "1", "--ex", "300ms")
        until("it has expired", lambda: martlet("get", "brief", "--config", self.config).returncode == 1, 10)
        self.cli("down")

    def test_refusals_as_json(self):
        done = self.cli("put", "a", "1", "--level", "QURUM", "--json", status=2)
        self.assertEqual(json.loads(done.stderr)["error"]["code"], "USAGE")
        self.assertIn("did you mean QUORUM?", json.loads(done.stderr)["error"]["text"])
        done = self.cli("status", "--json", status=4)
        self.assertEqual(json.loads(done.stderr)["error"]["code"], "UNREACHABLE")
        with open(self.config, "a", encoding="utf-8") as file:
            file.write("requests: {timeout: 2}\n")
        done = self.cli("up", "--json", status=3)
        self.assertEqual(json.loads(done.stderr)["error"]["code"], "CONFIGURATION")


if __name__ == "__main__":
    unittest.main()
