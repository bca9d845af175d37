"""Nodes die, pause and come back under load."""

import os
import shutil
import signal
import tempfile
import time
import unittest

from harness import cluster as clusters
from harness.load import Load
from harness.resp import Closed, Refused
from harness.scenario import Scenario, run
from harness.waiting import until

# How many writes make a load of a phase; waited for, so that a slow machine has them too.
PHASE_WRITES = 300
SEEN_S = 30


class Faults(Scenario):
    def more_writes(self, load, count=PHASE_WRITES):
        goal = load.acknowledged_count + count
        until(f"{goal} writes", lambda: load.acknowledged_count >= goal, 60)

    def until_seen(self, nodes, node, liveness, within_s=SEEN_S):
        for seer in nodes:
            until(f"{seer.name} sees {node.name} {liveness}",
                  lambda: seer.sees(node.name) == liveness, within_s)

    def nothing_lost(self, load):
        for node in self.cluster.nodes:
            self.assertEqual(load.lost(node), [], f"read through {node.name}")

    def test_a_node_killed_under_load_is_not_noticed_at_quorum(self):
        for killed in self.cluster.nodes:
            others = [n for n in self.cluster.nodes if n is not killed]
            with Load(self.cluster.nodes) as load:
                self.more_writes(load)
                killed.kill()
                self.more_writes(load)
                self.until_seen(others, killed, "down")
                self.more_writes(load)
                self.unavailable_at_all(others[0], killed, others)
                killed.start()
                self.more_writes(load)
            self.assertEqual(load.errors_through(*others), [], f"{killed.name} was killed")
            self.nothing_lost(load)
            self.until_seen(others, killed, "up")

    def unavailable_at_all(self, asked, killed, others):
        with asked.connect() as connection:
            connection.call("CONSISTENCY", "ALL")
            for command, what in [(("SET", "all", "1"), "write"), (("GET", "all"), "read")]:
                said = connection.refusal(*command)
                self.assertEqual(said.code, "UNAVAILABLE", said.text)
                expected = {"op": what, "level": "ALL", "required": "3", "alive": "2",
                            "up": ",".join(n.name for n in others), "down": killed.name}
                self.assertEqual({k: said.fields.get(k) for k in expected}, expected, said.text)
                self.assertIn("nothing was sent", said.text)

    def test_two_nodes_killed_leave_one_that_says_so(self):
        self.n2.kill()
        self.n3.kill()
        self.until_seen([self.n1], self.n2, "down")
        self.until_seen([self.n1], self.n3, "down")
        with self.n1.connect() as connection:
            said = connection.refusal("SET", "alone", "1")
            self.assertEqual((said.code, said.fields["down"]), ("UNAVAILABLE", "n2,n3"), said.text)
            connection.call("CONSISTENCY", "ONE")
            self.assertEqual(connection.call("SET", "alone", "1"), "OK")
            self.assertEqual(connection.call("GET", "alone"), b"1")

    def test_all_nodes_killed_under_load_lose_nothing_acknowledged(self):
        for _ in range(2):
            with Load(self.cluster.nodes) as load:
                self.more_writes(load, 3 * PHASE_WRITES)
                self.cluster.kill_all()
            self.cluster.start()
            self.nothing_lost(load)

    def test_a_paused_node_refutes_and_is_up_again(self):
        with Load([self.n1, self.n2]) as load:
            self.more_writes(load)
            self.n3.signal(signal.SIGSTOP)
            self.until_seen([self.n1, self.n2], self.n3, "down")
            self.more_writes(load)
            self.n3.signal(signal.SIGCONT)
            self.until_seen([self.n1, self.n2], self.n3, "up", within_s=10)
            self.more_writes(load)
        self.assertEqual(load.errors_through(self.n1, self.n2), [])
        self.nothing_lost(load)

    def test_a_node_told_to_stop_drains(self):
        identity = next(n["id"] for n in self.n1.status()["nodes"] if n["name"] == "n3")
        with Load([self.n1, self.n2]) as load:
            self.more_writes(load)
            began = time.monotonic()
            self.assertEqual(self.n3.stop(), 0)
            self.assertLess(time.monotonic() - began, 5.5)
            self.more_writes(load)
            self.n3.start()
            self.more_writes(load)
        self.assertEqual(load.errors_through(self.n1, self.n2), [])
        self.nothing_lost(load)
        self.assertEqual(next(n["id"] for n in self.n3.status()["nodes"] if n["name"] == "n3"), identity)

    def test_a_rolling_restart_loses_nothing_and_keeps_the_ring(self):
        digest = self.n1.status()["ring_digest"]
        with Load(self.cluster.nodes) as load:
            for node in self.cluster.nodes:
                self.more_writes(load, 100)
                self.assertEqual(node.stop(), 0)
                node.start()
                self.cluster.wait_all_up()
        self.nothing_lost(load)
        self.assertEqual(self.n1.status()["ring_digest"], digest)

    def test_any_subset_starts_once_the_ring_has_formed(self):
        with self.n1.connect() as connection:
            connection.call("SET", "subset", "1")
        self.cluster.kill_all()
        for node in (self.n2, self.n3):
            node.spawn()
        for node in (self.n2, self.n3):
            node.wait_ready()
            with node.connect() as connection:
                until("a quorum answers", lambda: connection.call("GET", "subset") == b"1", SEEN_S,
                      failing=(Refused,))


class Forming(Scenario):
    starts = False

    def test_no_node_serves_before_all_founders_have_met(self):
        self.n1.spawn()
        self.n3.spawn()

        def loading():
            with self.n1.connect() as connection:
                return connection.refusal("GET", "a")
        said = until("n1 answers", loading, 30, failing=(OSError, Closed))
        self.assertEqual(said.code, "LOADING", said.text)
        self.assertIn("n2", said.fields.get("waits", ""))
        self.n2.spawn()
        for node in self.cluster.nodes:
            node.wait_ready()


class PowerCut(unittest.TestCase):
    """Data on a file system of its own, which is cut off without its unsynced pages."""

    image_bytes = 1 << 30

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root: it mounts a file system from a loop device")
        for program in ("mkfs.xfs", "xfs_io"):
            if shutil.which(program) is None:
                self.skipTest(f"needs {program} (package xfsprogs)")
        self.folder = tempfile.mkdtemp(prefix="martlet-power-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.image, self.mounted = os.path.join(self.folder, "disk"), os.path.join(self.folder, "mounted")
        os.mkdir(self.mounted)
        with open(self.image, "wb") as image:
            image.truncate(self.image_bytes)
        made = run("mkfs.xfs", "-q", self.image)
        self.assertEqual(made.returncode, 0, made.stderr)
        if not self.mount():
            self.skipTest("no loop device can be mounted here")
        self.addCleanup(run, "umount", "-l", self.mounted)

    def mount(self):
        return run("mount", "-o", "loop", self.image, self.mounted).returncode == 0

    def test_a_power_cut_loses_nothing_acknowledged(self):
        cluster = clusters.Cluster(data_folder=os.path.join(self.mounted, "data"))
        self.addCleanup(cluster.remove)
        cluster.start()
        with Load(cluster.nodes) as load:
            until("writes", lambda: load.acknowledged_count >= 2 * PHASE_WRITES, 60)
            # Without -f nothing is flushed, not even the file system's own log: what wasn't synced is gone.
            cut = run("xfs_io", "-x", "-c", "shutdown", self.mounted)
            self.assertEqual(cut.returncode, 0, cut.stderr)
            cluster.kill_all()
        self.assertEqual(run("umount", self.mounted).returncode, 0)
        self.assertTrue(self.mount())
        cluster.start()
        for node in cluster.nodes:
            self.assertEqual(load.lost(node), [], f"read through {node.name}\n{node.log_tail()}")


if __name__ == "__main__":
    unittest.main()
