"""Redis clients read and write through any node."""

import json
import os
import sys
import unittest

from harness.network import PORTS
from harness.resp import Refused
from harness.scenario import Scenario, redis_cli, redis_py, run
from harness.waiting import until

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Examples")


class Clients(Scenario):
    def test_redis_cli_writes_through_one_node_and_reads_through_another(self):
        self.assertEqual(redis_cli(self.n2, "set", "a", "1").stdout, "OK\n")
        for node in self.cluster.nodes:
            self.assertEqual(redis_cli(node, "get", "a").stdout, "1\n")
        self.assertEqual(redis_cli(self.n3, "del", "a").stdout, "1\n")
        self.assertEqual(redis_cli(self.n1, "get", "a").stdout, "\n")

    def benchmark(self, node, *more):
        return run("redis-benchmark", "-h", node.address, "-p", "7379", "-t", "set,get", "-n", "20000", "-q",
                   *more)

    def test_redis_benchmark_runs_through(self):
        done = self.benchmark(self.n1)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("Error", done.stdout + done.stderr)
        self.assertIn("SET:", done.stdout)
        self.assertIn("GET:", done.stdout)

    def test_redis_benchmark_with_pipelining_runs_through(self):
        done = self.benchmark(self.n2, "-P", "16", "-r", "1000")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn("Error", done.stdout + done.stderr)

    def a_script(self, protocol):
        with redis_py(self.n1, protocol) as one, redis_py(self.n3, protocol) as three:
            self.assertTrue(one.ping())
            self.assertTrue(one.set("user:1", "Ada"))
            self.assertEqual(three.get("user:1"), "Ada")
            self.assertTrue(one.mset({"user:2": "Grace", "user:3": "Edsger"}))
            self.assertEqual(three.mget("user:1", "user:2", "nobody"), ["Ada", "Grace", None])
            self.assertEqual(three.exists("user:1", "user:2", "nobody"), 2)
            self.assertTrue(one.set("short", "x", ex=100))
            self.assertTrue(0 < three.ttl("short") <= 100)
            self.assertEqual(three.ttl("user:1"), -1)
            self.assertEqual(three.ttl("nobody"), -2)
            self.assertTrue(three.expire("user:2", 50))
            self.assertTrue(0 < one.ttl("user:2") <= 50)
            self.assertEqual(one.delete("user:1", "nobody"), 1)
            self.assertIsNone(three.get("user:1"))
            pipe = one.pipeline(transaction=False)
            for i in range(200):
                pipe.set(f"pipe:{i}", i)
            self.assertTrue(all(pipe.execute()))
            pipe = three.pipeline(transaction=False)
            for i in range(200):
                pipe.get(f"pipe:{i}")
            self.assertEqual(pipe.execute(), [str(i) for i in range(200)])

    def test_the_example_of_sessions(self):
        done = run(sys.executable, os.path.join(EXAMPLES, "sessions.py"), self.n2.address)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("all replicas agree on ['user=ann;cart=7']", done.stdout)
        self.assertIn("['user=ann;cart=8', 1, None]", done.stdout)

    def test_a_redis_py_script(self):
        self.a_script(protocol=2)

    def test_a_redis_py_script_in_resp3(self):
        self.a_script(protocol=3)

    def test_walks_over_the_keys_cover_the_cluster(self):
        # Other tests' keys are there too, of any bytes.
        with (redis_py(self.n1, decode_responses=False) as one,
              redis_py(self.n3, decode_responses=False) as three):
            before = set(one.scan_iter(count=1000))
            keys = {b"walk:%d" % i for i in range(3000)}
            pipe = one.pipeline(transaction=False)
            for key in keys:
                pipe.set(key, "x")
            pipe.execute()
            listed = list(three.scan_iter(count=70))
            self.assertEqual(set(listed), before | keys)
            self.assertEqual(len(listed), len(set(listed)))
            # From page to page through another node.
            cursor, met = 0, []
            for client in [one, three] * 1000:
                cursor, page = client.scan(cursor, match="walk:*", count=500)
                met += page
                if cursor == 0:
                    break
            self.assertEqual(sorted(met), sorted(keys))
            self.assertEqual(three.dbsize(), len(before | keys))
            self.assertEqual(set(one.keys("walk:12*")), {key for key in keys if key.startswith(b"walk:12")})
            self.assertIn(three.randomkey(), before | keys)
            self.assertEqual(one.delete(*keys), 3000)
            self.assertEqual(three.dbsize(), len(before))
            self.assertEqual(three.keys("walk:*"), [])

    def test_parts_of_strings_and_what_is_said_of_them(self):
        with redis_py(self.n1) as one, redis_py(self.n2) as two:
            self.assertEqual(one.append("part", "hello"), 5)
            self.assertEqual(two.append("part", " world"), 11)
            self.assertEqual(one.getrange("part", -5, -1), "world")
            self.assertEqual(two.setrange("part", 6, "WORLD"), 11)
            self.assertEqual(one.strlen("part"), 11)
            self.assertEqual(two.type("part"), "string")
            self.assertEqual(one.object("encoding", "part"), "embstr")
            self.assertGreater(two.memory_usage("part"), 11)
            self.assertEqual(one.getex("part", ex=100), "hello WORLD")
            self.assertTrue(0 < two.ttl("part") <= 100)
            self.assertEqual(one.getset("part", "2"), "hello WORLD")
            self.assertEqual(two.getdel("part"), "2")
            self.assertEqual(one.exists("part"), 0)
            self.assertTrue(one.setex("part", 100, "x"))
            self.assertEqual(two.wait(2, 1000), 1)
            self.assertEqual(len(two.time()), 2)

    def test_bytes_of_every_value_come_back(self):
        value = bytes(range(256)) * 4096
        key = b"\x00\xffkey\r\n"
        with redis_py(self.n1) as one, redis_py(self.n2, decode_responses=False) as two:
            one.set(key, value)
            self.assertEqual(two.get(key), value)

    def test_a_value_expires(self):
        with self.n1.connect() as one, self.n2.connect() as two:
            one.call("SET", "gone", "x", "PX", "100")
            until("the value has expired", lambda: two.call("GET", "gone") is None, 10)
            self.assertEqual(two.call("TTL", "gone"), -2)


class OwnCommands(Scenario):
    def test_consistency_is_a_sessions_own(self):
        with self.n1.connect() as one, self.n1.connect() as other:
            default = one.call("CONSISTENCY")
            self.assertEqual([level.decode() for level in default], ["QUORUM", "QUORUM"])
            self.assertEqual(one.call("CONSISTENCY", "one", "All"), "OK")
            self.assertEqual(one.call("CONSISTENCY"), [b"ONE", b"ALL"])
            self.assertEqual(other.call("CONSISTENCY"), default)
            self.assertEqual(one.call("CONSISTENCY", "DEFAULT"), "OK")
            self.assertEqual(one.call("CONSISTENCY"), default)
            self.assertTrue(one.refusal("CONSISTENCY", "ANY").text.startswith("ERR"))
            self.assertTrue(one.refusal("CONSISTENCY", "QURUM").text.startswith("ERR"))
            one.call("CONSISTENCY", "ALL")
            one.call("RESET")
            self.assertEqual(one.call("CONSISTENCY"), default)

    def test_every_level_reads_and_writes(self):
        levels = ["ONE", "TWO", "THREE", "QUORUM", "ALL", "LOCAL_ONE", "LOCAL_QUORUM", "EACH_QUORUM"]
        with self.n2.connect() as connection:
            for number, level in enumerate(levels + ["ANY"]):
                written = connection.call("VSET", f"level:{level}", number, "CONSISTENCY", level)
                self.assertEqual(len(written), 2)
            for number, level in enumerate(levels):
                context, values = connection.call("VGET", f"level:{level}", "CONSISTENCY", level)
                self.assertEqual(values, [str(number).encode()])
                self.assertTrue(context)

    def test_vget_vset_vdel(self):
        with self.n1.connect() as one, self.n2.connect() as two:
            self.assertEqual(one.call("VGET", "v:never"), [None, []])
            context, version = one.call("VSET", "v:a", "1")
            self.assertEqual(context, version)
            self.assertEqual(two.call("VGET", "v:a"), [context, [b"1"]])
            later, _ = two.call("VSET", "v:a", "2", "CONTEXT", context)
            self.assertEqual(one.call("VGET", "v:a"), [later, [b"2"]])
            deleted, _ = one.call("VDEL", "v:a", "CONTEXT", later)
            self.assertEqual(two.call("VGET", "v:a"), [deleted, []])
            self.assertEqual(one.refusal("VSET", "v:a", "3", "CONTEXT", "nonsense").code, "BADCONTEXT")
            self.assertIn("syntax error", one.refusal("VGET", "v:a", "LOCAL", "LOCAL").text)

    def test_every_node_has_its_local_copy(self):
        with self.n1.connect() as connection:
            connection.call("VSET", "v:local", "here", "CONSISTENCY", "ALL")
        for node in self.cluster.nodes:
            with node.connect() as connection:
                self.assertEqual(connection.call("VGET", "v:local", "LOCAL")[1], [b"here"])

    def test_a_version_sent_again_does_not_overtake(self):
        with self.n1.connect() as connection:
            _, version = connection.call("VSET", "v:again", "first")
            connection.call("VSET", "v:again", "second")
            connection.call("VSET", "v:again", "first", "VERSION", version)
            self.assertEqual(connection.call("VGET", "v:again")[1], [b"second"])

    def test_status_and_ring_are_as_documented(self):
        self.cluster.wait_all_up()
        status = self.n2.status()
        self.assertEqual((status["format"], status["cluster"], status["ring"]), (1, "martlet", "formed"))
        self.assertEqual(status["asked"], "n2")
        self.assertRegex(status["ring_digest"], "^[0-9a-f]{16}$")
        self.assertEqual([n["name"] for n in status["nodes"]], ["n1", "n2", "n3"])
        for node in status["nodes"]:
            self.assertRegex(node["id"], "^[0-9a-f]{40}$")
            self.assertEqual((node["state"], node["liveness"], node["tokens"]), ("normal", "up", 16))
            self.assertAlmostEqual(node["owns_percent"], 100.0)
            self.assertEqual(node["ports"], PORTS)
        with self.n1.connect() as connection:
            ring = json.loads(connection.call("MARTLET", "RING", "foo"))
        self.assertEqual((ring["format"], ring["keyspace"], ring["replication_factor"]), (1, "default", 3))
        self.assertEqual((ring["key"], ring["slot"]), ("foo", 12182))
        self.assertEqual(sorted(ring["replicas"]), ["n1", "n2", "n3"])
        self.assertEqual(len(ring["tokens"]), 48)
        self.assertEqual((ring["ranges"][0]["first"], ring["ranges"][-1]["last"]), (0, 16383))
        self.assertEqual(ring["ring_digest"], status["ring_digest"])

    def test_what_martlet_cannot_do_is_refused_in_words(self):
        with self.n1.connect() as connection:
            for command in [("MULTI",), ("SET", "k", "v", "NX")]:
                said = connection.refusal(*command)
                self.assertEqual(said.code, "ERR")
                self.assertGreater(len(said.text), 20)
            with self.assertRaises(Refused):
                connection.call("NOSUCHCOMMAND")
            self.assertEqual(connection.call("PING"), "PONG")


if __name__ == "__main__":
    unittest.main()
