"""A data folder that is lost, or set back to an older copy: its node rebuilds it, by itself."""

import os
import shutil
import time

from harness import scenario
from harness.load import Load
from harness.waiting import until

KEYS = 2000
REBUILT_WITHIN_S = 90
SEEN_S = 30


def local_version(connection, key):
    """The version of a node's own copy."""
    _, values = connection.call("VGET", key, "LOCAL", "META")
    return values[0][1] if values else None


class Rebuild(scenario.Scenario):
    def state(self, node, asked=None):
        return next(n["state"] for n in (asked or self.n1).status()["nodes"] if n["name"] == node.name)

    def identity(self, node):
        return next(n["id"] for n in self.n1.status()["nodes"] if n["name"] == node.name)

    def write(self, prefix, count=KEYS, value="x"):
        """Keys at QUORUM, through n1."""
        with self.n1.connect() as connection:
            for number in range(count):
                connection.call("SET", f"{prefix}:{number}", f"{value}{number}" * 8)
        return [f"{prefix}:{number}" for number in range(count)]

    def wait_rebuilt(self, node):
        def is_rebuilt():
            assert node.is_running, f"{node.name} exited with {node.process.returncode}\n{node.log_tail()}"
            return "event=rebuilt" in node.log_text() and all(
                self.state(node, asked) == "normal" for asked in self.cluster.nodes)
        until(f"{node.name} is rebuilt", is_rebuilt, REBUILT_WITHIN_S)

    def check_equal_copies(self, keys):
        differing = []
        connections = [node.connect() for node in self.cluster.nodes]
        for key in keys:
            versions = {local_version(connection, key) for connection in connections}
            if len(versions) != 1 or None in versions:
                differing.append((key, versions))
        for connection in connections:
            connection.close()
        self.assertEqual(differing[:5], [], f"{len(differing)} of {len(keys)} keys differ")

    def stale(self, load, node):
        """Keys that a read at QUORUM through the node shows older than what was acknowledged before it."""
        out = []
        with node.connect() as connection:
            connection.call("CONSISTENCY", "QUORUM", "QUORUM")
            for writer in load.writers:
                for key in sorted(writer.acknowledged.copy()):
                    acknowledged = writer.acknowledged[key]
                    raw = connection.call("GET", key)
                    if raw is None or int(raw) < acknowledged:
                        out.append((key, raw, acknowledged))
        return out

    def rebuild(self, node, change, keys):
        """Stops the node, changes its folder, and starts it under load; nothing read may be wrong."""
        others = [n for n in self.cluster.nodes if n is not node]
        identity = self.identity(node)
        with Load(others) as load:
            until("writes", lambda: load.acknowledged_count > 200, SEEN_S)
            node.kill()
            change()
            node.start()
            pid = node.process.pid
            while "event=rebuilt" not in node.log_text():
                self.assertEqual(self.stale(load, node), [])
                self.assertEqual(self.stale(load, others[0]), [])
                self.assertTrue(node.is_running, node.log_tail())
                time.sleep(0.2)
            self.wait_rebuilt(node)
        self.assertEqual(load.errors_through(*others), [])
        for reader in self.cluster.nodes:
            self.assertEqual(load.lost(reader), [], f"read through {reader.name}")
        self.assertEqual(node.process.pid, pid)
        self.assertEqual(self.identity(node), identity)
        self.check_equal_copies(keys)

    def test_a_wiped_folder_is_rebuilt(self):
        keys = self.write("wiped")
        self.rebuild(self.n3, lambda: shutil.rmtree(self.n3.data_folder), keys)

    def test_an_older_copy_is_rebuilt(self):
        """Copied while the node runs, and put back after it has acknowledged more."""
        keys = self.write("old")
        copy = os.path.join(self.cluster.folder, "copy")
        shutil.copytree(self.n2.data_folder, copy)
        self.write("old", KEYS // 2, value="y")
        keys += self.write("new")

        def put_back():
            shutil.rmtree(self.n2.data_folder)
            shutil.move(copy, self.n2.data_folder)
        self.rebuild(self.n2, put_back, keys)

    def test_a_copy_made_while_stopped_is_rebuilt(self):
        self.assertEqual(self.n3.stop(), 0)
        copy = os.path.join(self.cluster.folder, "stopped")
        shutil.copytree(self.n3.data_folder, copy)
        self.n3.start()
        keys = self.write("late")

        def put_back():
            shutil.rmtree(self.n3.data_folder)
            shutil.move(copy, self.n3.data_folder)
        self.rebuild(self.n3, put_back, keys)
