"""Anti-entropy: owners that differ come to hold the same by themselves, without hints or a reader."""

import json
import os
import time
import unittest

from harness import scenario
from harness.waiting import until

KEYS = 400
HEALED_WITHIN_S = 60


class Repair(scenario.Scenario):
    # Each pair of owners exchanges about once a second, and nothing else brings back what was missed.
    sections = "repair: {hints: false, repair_interval: 1s}\n"

    def local(self, node, keys):
        """The node's own copies: each key's values, with their versions."""
        with node.connect() as connection:
            return [connection.call("VGET", key, "LOCAL", "META") for key in keys]

    def write(self, node, keys, value):
        with node.connect() as connection:
            for i, key in enumerate(keys):
                if i % 10 == 9:
                    connection.call("VDEL", key, "CONSISTENCY", "QUORUM")
                else:
                    connection.call("VSET", key, f"{value}:{i}", "CONSISTENCY", "QUORUM")

    def wait_equal(self, keys):
        def is_equal():
            copies = [self.local(node, keys) for node in self.cluster.nodes]
            return all(copy == copies[0] for copy in copies)
        began = time.monotonic()
        until("all nodes hold the same", is_equal, HEALED_WITHIN_S)
        return time.monotonic() - began

    def test_a_node_that_was_away_is_healed_by_exchanges_alone(self):
        keys = [f"repair:{i}" for i in range(KEYS)]
        self.write(self.n1, keys, "before")
        self.n3.stop()
        until("n1 sees n3 down", lambda: self.n1.sees("n3") == "down", 30)
        self.write(self.n2, keys, "after")
        with self.n1.connect() as connection:
            self.assertEqual(json.loads(connection.call("MARTLET", "HINTS"))["nodes"][0]["targets"], [])
        self.n3.start()
        took = self.wait_equal(keys)
        versions = self.local(self.n3, keys)
        self.assertEqual(versions[0][1][0][0], b"after:0")
        print(f"{len(keys)} keys, healed {took:.1f} s after the start", flush=True)

    def test_a_node_that_was_killed_is_healed_too(self):
        keys = [f"killed:{i}" for i in range(KEYS)]
        self.n3.kill()
        self.write(self.n1, keys, "after")
        self.n3.start()
        self.wait_equal(keys)

    def test_a_restarted_node_knows_its_trees_and_rebuilds_them_when_it_must(self):
        self.cluster.wait_all_up()
        keys = [f"trees:{i}" for i in range(50)]
        self.write(self.n1, keys, "value")
        self.wait_equal(keys)
        # Before its first exchange a node has no leaves to sum up.
        done = scenario.martlet("repair", "--wait", "--host", self.n3.address)
        self.assertEqual(done.returncode, 0, done.stderr)
        until("n3 has summed up its leaves",
              lambda: self.n3.metrics()["martlet_merkle_leaves_dirty"] == 0, 30)
        self.n3.stop()
        self.n3.start()
        self.assertGreater(self.n3.metrics()["martlet_merkle_leaves_recovered"], 200_000)
        self.assertIn("trees_recovered", self.n3.log_text())

        for spoil, reason in ((self.flip_a_bit, "damaged"), (os.remove, "no checkpoint")):
            self.n3.stop()
            spoil(os.path.join(self.n3.data_folder, "TREES"))
            self.n3.start()
            self.assertEqual(self.n3.metrics()["martlet_merkle_leaves_recovered"], 0)
            self.assertIn(reason, self.n3.log_text())
        self.n3.kill()
        self.write(self.n1, keys, "while it was away")
        self.n3.start()
        self.assertEqual(self.n3.metrics()["martlet_merkle_leaves_recovered"], 0)
        self.wait_equal(keys)

    def flip_a_bit(self, path):
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 4]))

    def test_repair_on_demand_tells_how_far_it_is(self):
        self.cluster.wait_all_up()
        keys = [f"asked:{i}" for i in range(20)]
        self.write(self.n1, keys, "value")
        done = scenario.martlet("repair", "--wait", "--json", "--host", self.n1.address)
        self.assertEqual(done.returncode, 0, done.stderr)
        node = json.loads(done.stdout)["nodes"][0]
        self.assertEqual((node["node"], node["waiting"]), ("n1", 0))
        self.assertGreaterEqual(node["asked_complete_total"], 2)
        text = scenario.martlet("repair", "--host", self.n1.address, "--range", "0-16383")
        self.assertIn("exchanges complete", text.stdout)
        for wrong in (["--range", "5-1"], ["--range", "x"], ["--keyspace", "nobody"]):
            self.assertNotEqual(scenario.martlet("repair", "--host", self.n1.address, *wrong).returncode, 0)
        with self.n1.connect() as connection:
            for wrong in (["STOP"], ["START", "RANGE", "5", "1"], ["START", "KEYSPACE"], ["START", "X"]):
                with self.assertRaises(Exception):
                    connection.call("MARTLET", "REPAIR", *wrong)


if __name__ == "__main__":
    unittest.main()
