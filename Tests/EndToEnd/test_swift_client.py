"""The Swift client's examples, against a real cluster."""

import os
import re
import subprocess
import tempfile
import unittest

from harness import cluster as clusters
from harness.network import PORTS
from harness.scenario import Scenario, run
from harness.waiting import until


def seeds(cluster):
    """The nodes as the client takes them: on the cluster face."""
    return [f"{node.address}:{PORTS['redis_cluster']}" for node in cluster.nodes]


def program(name):
    return os.path.join(clusters.programs, name)


def everything(file):
    """What a process has written so far."""
    file.seek(0)
    return file.read()


class SwiftClient(Scenario):
    def test_sessions(self):
        done = run(program("example-sessions"), *seeds(self.cluster))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.splitlines(), [
            "session 42 holds user=ann;cart=7",
            "session 42 holds user=ann;cart=8",
            "session 42 lives for another 1800 s",
            "began 100 sessions in one go",
            "session 42 holds nothing",
            "session short has ended by itself",
        ])

    def test_page_cache(self):
        done = run(program("example-page-cache"), *seeds(self.cluster))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        first, second, third = done.stdout.splitlines()
        self.assertEqual(first, "50 readers at once asked the source 1 time")
        self.assertGreater(int(re.search(r"found it (\d+) times", second)[1]), 500)
        self.assertGreater(int(re.search(r"early (\d+) times", third)[1]), 0)

    def test_shopping_cart(self):
        done = run(program("example-shopping-cart"), *seeds(self.cluster))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.splitlines(), [
            "8 devices added 200 items at once; the cart has 200",
            "without the one that was taken out: 199 items in 1 version",
            "checked out: 0 items",
        ])

    def spawn(self, said, *words):
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
            env=clusters.clean_environment(), preexec_fn=clusters.die_with_parent)

    def test_counting_up_while_nodes_are_killed(self):
        self.cluster.wait_all_up()
        with tempfile.TemporaryFile("w+") as said:
            process = self.spawn(said, program("client-exercise"), "8", *seeds(self.cluster))
            try:
                until("it runs", lambda: "running" in everything(said), 60)
                for node in (self.n3, self.n2):
                    node.kill()
                    until(f"{node.name} is seen down", lambda: self.n1.sees(node.name) == "down", 30)
                    node.start()
                    self.cluster.wait_all_up()
                self.assertEqual(process.wait(120), 0, everything(said))
            finally:
                process.kill()
                process.wait()
            seen = everything(said)
        figures = dict(re.findall(r"(\w+)=(\w+)", seen))
        self.assertEqual(figures["wrong_reads"], "0", seen)
        self.assertEqual(figures["failed_reads"], "0", seen)
        self.assertEqual(figures["failed_writes"], "0", seen)
        # Only what was under way with a node at its death is in doubt.
        self.assertLess(int(figures["lost_writes"]), 2 * 32 + 1, seen)
        self.assertGreater(int(figures["writes"]), 1_000, seen)
        self.assertEqual((figures["batch_read"], figures["listed"]), ("1000", "1000"), seen)

    def test_levels_while_a_node_is_killed(self):
        self.cluster.wait_all_up()
        with tempfile.TemporaryFile("w+") as said:
            process = self.spawn(said, program("example-levels"), *seeds(self.cluster))
            try:
                until("it asks for a kill", lambda: "Kill a node now" in everything(said), 60)
                self.n3.kill()
                self.assertEqual(process.wait(120), 0, everything(said))
                before, after = everything(said).split("Kill a node now")
            finally:
                process.kill()
                process.wait()
        for level in ("ANY", "ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_QUORUM", "EACH_QUORUM"):
            self.assertRegex(before, rf"(?m)^{level} .* written$")
        self.assertIn("Without n3:", after)
        for level in ("ONE", "TWO", "QUORUM", "LOCAL_QUORUM", "EACH_QUORUM"):
            self.assertRegex(after, rf"(?m)^{level} +written at {level} +written$")
        for level in ("THREE", "ALL"):
            refused = "unavailable: 2 of 3 alive, down: n3"
            self.assertRegex(after, rf"(?m)^{level} +{refused} +{refused}$")


if __name__ == "__main__":
    unittest.main()
