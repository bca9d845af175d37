"""Keyspaces that come, change and go on a running cluster, and FLUSHDB."""

import json
import unittest

from harness import scenario
from harness.scenario import martlet
from harness.waiting import until


def keyspaces(node):
    with node.connect() as connection:
        return {k["name"]: k for k in json.loads(connection.call("MARTLET", "KEYSPACE", "LIST"))["keyspaces"]}


class Keyspaces(scenario.Scenario):
    def cli(self, *words, node=None):
        return martlet(*words, "--host", (node or self.n1).address)

    def tearDown(self):
        for name in keyspaces(self.n1):
            if name != "default":
                self.assertEqual(self.cli("keyspace", "drop", name).returncode, 0)

    def test_created_altered_and_dropped(self):
        self.cluster.wait_all_up()
        made = self.cli("keyspace", "create", "cache", "--ttl", "90s", "--read", "ONE", "--json")
        self.assertEqual(made.returncode, 0, made.stderr)
        answer = json.loads(made.stdout)
        self.assertEqual((answer["name"], answer["ttl_ms"], answer["read"], answer["index"]),
                         ("cache", 90_000, "ONE", 1))
        # Everywhere at once, by name and by index, and apart from the first.
        with self.n2.connect() as second, self.n3.connect() as third:
            self.assertEqual(second.call("SELECT", "cache"), "OK")
            self.assertEqual(third.call("SELECT", "1"), "OK")
            self.assertEqual(second.call("SET", "k", "there"), "OK")
            self.assertEqual(third.call("GET", "k"), b"there")
            self.assertIn(second.call("TTL", "k"), (89, 90))
            self.assertEqual(third.call("CONSISTENCY"), [b"ONE", b"QUORUM"])
            self.assertEqual(third.call("RESET"), "RESET")
            self.assertIsNone(third.call("GET", "k"))
            self.assertEqual(self.cli("get", "k", "--keyspace", "cache").stdout, "there\n")
            self.assertEqual(self.cli("get", "k").returncode, 1)
            with self.n1.connect(port=7380) as cluster:
                self.assertEqual(cluster.call("SELECT", "cache"), "OK")
                self.assertEqual(cluster.call("GET", "k"), b"there")

            altered = self.cli("keyspace", "alter", "cache", "--ttl", "0s", node=self.n2)
            self.assertEqual(altered.returncode, 0, altered.stderr)
            for node in self.cluster.nodes:
                self.assertEqual(keyspaces(node)["cache"]["ttl_ms"], 0)

            dropped = self.cli("keyspace", "drop", "cache", node=self.n3)
            self.assertEqual(dropped.returncode, 0, dropped.stderr)
            self.assertIn("does not exist any more", second.refusal("GET", "k").text)
            self.assertIn("no keyspace is named 'cache': there are default",
                          third.refusal("SELECT", "cache").text)

    def test_what_is_refused_says_why(self):
        for words, status, text in [
                (("show", "nope"), 7, "there are default"),
                (("create", "default"), 7, "already"),
                (("create", "Upper"), 7, "a-z 0-9 _ -"),
                (("create", "k", "--ttl", "5"), 7, "with its unit"),
                (("create", "k", "--conflict", "best"), 7, "allowed: lww"),
                (("create", "k", "--replication-factor", "mars:2"), 7, "no node is in a data centre 'mars'"),
                (("alter", "default"), 2, "nothing to change"),
                (("alter", "default", "--conflict", "siblings"), 7, "can not be changed"),
                (("alter", "default", "--replication-factor", "5"), 7, "add nodes first"),
                (("alter", "default", "--replication-factor", "8"), 7, "allowed: 1 to 7"),
                (("alter", "default", "--replication-factor", "default:4"), 7, "add nodes first"),
                (("alter", "default", "--replication-factor", "5", "--plan"), 7, "martlet up --add 1"),
                (("alter", "default", "--read", "ONE", "--plan"), 2, "--replication-factor"),
                (("alter", "default", "--read", "ANY"), 7, "allowed: ONE"),
                (("drop", "default"), 7, "FLUSHDB empties it")]:
            done = self.cli("keyspace", *words)
            self.assertEqual(done.returncode, status, f"{words}: {done.stderr}")
            self.assertIn(text, done.stderr)
        with self.n1.connect() as connection:
            refused = connection.refusal("MARTLET", "KEYSPACE", "CREATE", "k", "colour", "red")
            self.assertIn("there are replication_factor, conflict, read, write, sloppy_quorum, ttl",
                          refused.text)
        self.assertEqual(list(keyspaces(self.n1)), ["default"])

    def test_a_node_that_was_away_hears_of_it(self):
        self.n3.kill()
        until("n1 sees n3 down", lambda: self.n1.sees("n3") == "down", 30)
        self.assertEqual(self.cli("keyspace", "create", "later").returncode, 0)
        with self.n1.connect() as connection:
            connection.call("SELECT", "later")
            connection.call("SET", "k", "v")
        self.n3.start()
        until("n3 knows the keyspace", lambda: "later" in keyspaces(self.n3), 60)
        with self.n3.connect() as connection:
            connection.call("SELECT", "later")
            self.assertEqual(connection.call("GET", "k"), b"v")


class Flushes(scenario.Scenario):
    def test_redis_py_and_pipelines(self):
        client = scenario.redis_py(self.n1)
        other = scenario.redis_py(self.n2)
        client.flushall()
        client.mset({f"k{i}": "v" for i in range(300)})
        self.assertEqual(other.dbsize(), 300)
        self.assertTrue(client.flushdb())
        self.assertEqual(other.dbsize(), 0)
        self.assertIsNone(other.get("k7"))
        pipeline = client.pipeline(transaction=False)
        pipeline.set("a", "1").flushdb(asynchronous=True).set("b", "2").get("a").get("b")
        self.assertEqual(pipeline.execute()[2:], [True, None, "2"])
        self.assertTrue(other.flushall())
        self.assertIsNone(client.get("b"))
        with self.n1.connect() as connection:
            self.assertEqual(connection.refusal("FLUSHDB", "NOW").text, "ERR syntax error")
        for node in self.cluster.nodes:
            until(f"{node.name} has swept",
                  lambda node=node: node.metrics()["martlet_swept_records_total"] > 0, 20)

    def test_nothing_comes_back(self):
        with self.n1.connect() as connection:
            for i in range(200):
                connection.call("SET", f"old{i}", "v")
            self.n3.kill()
            until("n1 sees n3 down", lambda: self.n1.sees("n3") == "down", 30)
            for i in range(200):
                connection.call("SET", f"old{i}", "missed by n3")
            self.assertEqual(connection.call("FLUSHDB"), "OK")
            connection.call("SET", "new", "v")
        self.n3.start()
        until("n1's hints are delivered",
              lambda: self.n1.metrics().get("martlet_hints", 0) == 0, 60)
        with self.n3.connect() as connection:
            connection.call("CONSISTENCY", "ONE")
            until("n3 has heard of the flush", lambda: connection.call("DBSIZE") == 1, 30)
            for i in range(200):
                self.assertIsNone(connection.call("GET", f"old{i}"))
                self.assertEqual(connection.call("VGET", f"old{i}", "LOCAL"), [None, []])
            self.assertEqual(connection.call("GET", "new"), b"v")
        # And not after all have been started again either.
        for node in self.cluster.nodes:
            node.kill()
        for node in self.cluster.nodes:
            node.spawn()
        for node in self.cluster.nodes:
            node.wait_ready()
        with self.n2.connect() as connection:
            self.assertEqual(connection.call("DBSIZE"), 1)
            self.assertEqual(connection.call("GET", "new"), b"v")

    def test_without_enough_owners_it_is_refused(self):
        with self.n1.connect() as connection:
            connection.call("SET", "k", "v")
            self.n2.kill()
            self.n3.kill()
            until("n1 sees both down",
                  lambda: self.n1.sees("n2") == "down" and self.n1.sees("n3") == "down", 30)
            self.assertIn("UNAVAILABLE op=write level=QUORUM", connection.refusal("FLUSHDB").text)
            connection.call("CONSISTENCY", "ONE")
            self.assertEqual(connection.call("GET", "k"), b"v")
            self.assertEqual(connection.call("FLUSHDB"), "OK")
            self.assertIsNone(connection.call("GET", "k"))


if __name__ == "__main__":
    unittest.main()
