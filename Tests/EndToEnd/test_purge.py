"""Deletes stay deleted: tombstones leave the disks, and a node that was away brings nothing back."""

import json
import unittest

from harness import scenario
from harness.waiting import until

KEYS = 300
PURGED_WITHIN_S = 60
BLOCKED_WITHIN_S = 30


class Purge(scenario.Scenario):
    sections = "repair: {repair_interval: 1s, tombstone_grace: 2s}\n"

    def swept(self, node):
        return node.metrics()["martlet_swept_records_total"]

    def local_count(self, node, keys):
        """How many of the keys the node has anything of on its disk, tombstones included."""
        with node.connect() as connection:
            return sum(bool(connection.call("VGET", key, "LOCAL", "META")[1]) for key in keys)

    def test_what_was_deleted_leaves_every_disk(self):
        keys = [f"gone:{i}" for i in range(KEYS)]
        with self.cluster.nodes[0].connect() as connection:
            for key in keys:
                connection.call("SET", key, "x" * 50)
            connection.call("SET", "stays", "here")
            connection.call("DEL", *keys)
            for node in self.cluster.nodes:
                until(f"{node.name} has deleted them", lambda: self.swept(node) >= KEYS, PURGED_WITHIN_S)
                self.assertEqual(self.local_count(node, keys), 0, node.name)
            self.assertEqual(connection.call("MGET", *keys), [None] * KEYS)
            self.assertEqual(connection.call("GET", "stays"), b"here")
            connection.call("SET", keys[0], "again")
            self.assertEqual(connection.call("GET", keys[0]), b"again")
            connection.call("DEL", keys[0], "stays")

    def test_a_node_that_was_away_is_waited_for_and_brings_nothing_back(self):
        first, second, away = self.cluster.nodes
        with first.connect() as connection:
            connection.call("CONSISTENCY", "ALL")
            connection.call("SET", "key", "value")
            away.kill()
            connection.call("CONSISTENCY", "QUORUM")
            connection.call("DEL", "key")
            until("n3 is named", lambda: self.blockers(first) == {("n3", "silent")}, BLOCKED_WITHIN_S)
            said = scenario.martlet("status", "--config", self.cluster.config_path).stdout
            self.assertIn("tombstones of default wait for n3 (silent)", said)
            before = [self.swept(node) for node in (first, second)]
            away.start()
            for node, count in zip((first, second), before):
                until(f"{node.name} has deleted it", lambda: self.swept(node) > count, PURGED_WITHIN_S)
            until("nobody is waited for", lambda: not self.blockers(first), BLOCKED_WITHIN_S)
        for node in self.cluster.nodes:
            with node.connect() as connection:
                connection.call("CONSISTENCY", "ONE", "QUORUM")
                self.assertIsNone(connection.call("GET", "key"), node.name)

    def blockers(self, node):
        with node.connect() as connection:
            status = json.loads(connection.call("MARTLET", "STATUS"))
        return {(b["node"], b["waits_for"]) for p in status["purges"] for b in p["blocked_by"]}


if __name__ == "__main__":
    unittest.main()
