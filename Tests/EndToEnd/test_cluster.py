"""Port 7380 looks like a Redis Cluster to those who speak its language."""

import json
import threading
import time
import unittest

import redis
from redis.cluster import RedisCluster

from harness.resp import Refused
from harness.scenario import Scenario, redis_cli, redis_py, run
from harness.waiting import until

CLUSTER = 7380
SLOTS = 16384


def redis_cluster(node, protocol=2, **more):
    """redis-py's client as users make it: with the retries that it has by itself."""
    arguments = {"host": node.address, "port": CLUSTER, "socket_timeout": 5, "decode_responses": True, **more}
    if int(redis.__version__.split(".")[0]) >= 5:
        arguments["protocol"] = protocol
    elif protocol != 2:
        raise unittest.SkipTest(f"redis-py {redis.__version__} has no RESP3")
    return RedisCluster(**arguments)


def masters(node):
    """The number of slots of each address, as the node says."""
    out = {}
    with node.connect(port=CLUSTER) as connection:
        for first, last, (address, *_) in connection.call("CLUSTER", "SLOTS"):
            out[address.decode()] = out.get(address.decode(), 0) + last - first + 1
    return out


class ClusterFace(Scenario):
    def test_all_nodes_show_the_same_masters(self):
        self.cluster.wait_all_up()
        shown = [masters(node) for node in self.cluster.nodes]
        self.assertEqual(shown[0], shown[1])
        self.assertEqual(shown[0], shown[2])
        self.assertEqual(sum(shown[0].values()), SLOTS)
        self.assertEqual(sorted(shown[0]), sorted(n.address for n in self.cluster.nodes))
        self.assertLess(max(shown[0].values()), 1.1 * SLOTS / 3)

    def test_each_face_says_what_it_is(self):
        with self.n1.connect() as single, self.n1.connect(port=CLUSTER) as cluster:
            self.assertIn(b"cluster_enabled:0", single.call("INFO", "cluster"))
            self.assertIn(b"cluster_enabled:1", cluster.call("INFO", "cluster"))
            self.assertIn("cluster support disabled", single.refusal("CLUSTER", "SLOTS").text)
            self.assertIn("not allowed in cluster mode", cluster.refusal("SELECT", "1").text)
            self.assertEqual(cluster.call("SELECT", "default"), "OK")
            info = cluster.call("CLUSTER", "INFO").decode()
            self.assertIn("cluster_state:ok", info)
            self.assertIn("cluster_slots_ok:16384", info)
            one, other = (json.loads(c.call("MARTLET", "STATUS")) for c in (single, cluster))
            self.assertEqual([n["id"] for n in one["nodes"]], [n["id"] for n in other["nodes"]])
            self.assertEqual(cluster.call("CLUSTER", "MYID").decode(), self.n1.status()["nodes"][0]["id"])

    def test_any_node_answers_for_any_key(self):
        with self.n1.connect(port=CLUSTER) as one, self.n2.connect(port=CLUSTER) as two:
            for number in range(50):
                self.assertEqual(one.call("SET", f"any:{number}", number), "OK")
            self.assertEqual(two.call("MGET", *(f"any:{number}" for number in range(50))),
                             [str(number).encode() for number in range(50)])

    def a_script(self, protocol):
        with redis_cluster(self.n2, protocol) as client:
            self.assertEqual(len(client.get_primaries()), 3)
            for number in range(200):
                self.assertTrue(client.set(f"cluster:{number}", number))
            self.assertEqual([client.get(f"cluster:{number}") for number in range(200)],
                             [str(number) for number in range(200)])
            self.assertEqual(client.mget_nonatomic(["cluster:1", "cluster:2", "nobody"]), ["1", "2", None])
            pipe = client.pipeline()
            for number in range(200):
                pipe.get(f"cluster:{number}")
            self.assertEqual(pipe.execute(), [str(number) for number in range(200)])
            self.assertEqual(client.delete("cluster:1"), 1)
            self.assertEqual(client.cluster_keyslot("foo"), 12182)
            nodes = client.cluster_nodes()
            self.assertEqual(sorted(nodes), sorted(f"{n.address}:{CLUSTER}" for n in self.cluster.nodes))
            self.assertTrue(client.ping(target_nodes=RedisCluster.ALL_NODES))
            self.assertEqual(client.info(target_nodes=client.get_random_node())["redis_mode"], "cluster")

    def test_a_redis_py_script(self):
        self.a_script(protocol=2)

    def test_a_redis_py_script_in_resp3(self):
        self.a_script(protocol=3)

    def test_keys_are_shared_out_among_the_nodes(self):
        self.cluster.wait_all_up()
        with redis_cluster(self.n1) as client, redis_py(self.n2) as single:
            for number in range(300):
                client.set(f"shared:{number}", number)
            mine = [client.get_redis_connection(node) for node in client.get_primaries()]
            sizes = [one.dbsize() for one in mine]
            self.assertEqual(sum(sizes), single.dbsize())
            self.assertTrue(all(size > 0 for size in sizes), sizes)
            everything = sorted(single.scan_iter(count=50))
            found = [key for one in mine for key in one.scan_iter(count=50)]
            self.assertEqual(sorted(found), everything)
            self.assertEqual(sorted(client.scan_iter(match="shared:*")),
                             sorted(f"shared:{number}" for number in range(300)))
            self.assertEqual(client.dbsize(target_nodes=RedisCluster.PRIMARIES), single.dbsize())
            slot = client.cluster_keyslot("shared:7")
            count = client.cluster_countkeysinslot(slot)
            self.assertGreaterEqual(count, 1)
            keys = mine[0].execute_command("CLUSTER GETKEYSINSLOT", slot, 1000)
            self.assertIn("shared:7", keys)
            self.assertEqual(len(keys), count)

    def test_redis_cli_with_and_without_c(self):
        for more in [(), ("-c",)]:
            done = run("redis-cli", "-h", self.n3.address, "-p", str(CLUSTER), *more, "set", "cli", "1")
            self.assertEqual(done.stdout, "OK\n", done.stderr)
            done = run("redis-cli", "-h", self.n1.address, "-p", str(CLUSTER), *more, "get", "cli")
            self.assertEqual(done.stdout, "1\n", done.stderr)
        self.assertEqual(redis_cli(self.n1, "-c", "get", "cli").stdout, "1\n")

    def test_redis_cli_finds_the_cluster_in_order(self):
        done = run("redis-cli", "--cluster", "check", f"{self.n1.address}:{CLUSTER}")
        self.assertIn("All nodes agree about slots configuration", done.stdout, done.stderr)
        self.assertIn("All 16384 slots covered", done.stdout)

    def test_redis_benchmark_with_cluster_runs_through(self):
        for more in [("--cluster",), ("--cluster", "-P", "16", "--threads", "2"), ()]:
            done = run("redis-benchmark", "-h", self.n1.address, "-p", str(CLUSTER), "-t", "set,get",
                       "-n", "20000", "-q", "-r", "1000", *more)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertNotIn("Error", done.stdout + done.stderr)
            self.assertIn("GET:", done.stdout)


class Users(threading.Thread):
    """A program that writes and reads through one client, and takes any error as its own."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.errors, self.rounds, self.slowest_s = client, [], 0, 0.0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            key = f"user:{self.rounds % 500}"
            began = time.monotonic()
            try:
                self.client.set(key, self.rounds)
                if self.client.get(key) != str(self.rounds):
                    self.errors.append(f"{key} is not {self.rounds}")
            except Exception as error:  # What a user's program would meet, of whatever kind.
                self.errors.append(error)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.rounds += 1

    def stop(self):
        self.stopping.set()
        self.join(60)


class ANodeDies(Scenario):
    def test_redis_py_goes_on_in_cluster_mode(self):
        self.cluster.wait_all_up()
        with redis_cluster(self.n1) as client:
            users = Users(client)
            users.start()
            until("the program has begun", lambda: users.rounds > 200, 30)
            self.n3.kill()
            until("n1 shows no slot of n3", lambda: self.n3.address not in masters(self.n1), 30)
            rounds = users.rounds
            until("the program goes on", lambda: users.rounds > rounds + 500, 60)
            # A node that comes back gets its slots again, and its clients with them.
            self.n3.start()
            until("n3 is a master again", lambda: self.n3.address in masters(self.n1), 30)
            rounds = users.rounds
            until("the program goes on", lambda: users.rounds > rounds + 500, 60)
            users.stop()
            self.assertEqual(users.errors, [], f"slowest: {users.slowest_s:.1f} s")

    def test_only_the_slots_of_the_dead_move(self):
        self.cluster.wait_all_up()
        before = masters(self.n1)
        self.n2.kill()
        until("n2 has no slots", lambda: self.n2.address not in masters(self.n1), 30)
        during = masters(self.n1)
        for node in (self.n1, self.n3):
            self.assertGreater(during[node.address], before[node.address])
        self.assertEqual(sum(during.values()), SLOTS)
        with self.n1.connect(port=CLUSTER) as connection:
            self.assertIn(b"cluster_state:ok", connection.call("CLUSTER", "INFO"))
            until("n2 is held dead", lambda: b"master,fail -" in connection.call("CLUSTER", "NODES"), 30)
        self.n2.start()
        until("all is as it was", lambda: masters(self.n1) == before, 30)

    def test_a_program_in_single_mode_reconnects_to_another_node(self):
        addresses = [self.n2, self.n1]
        client = redis_py(addresses[0])
        client.set("single", "1")
        self.n2.kill()
        with self.assertRaises(redis.exceptions.ConnectionError):
            client.get("single")
        client.close()
        with redis_py(addresses[1]) as client:
            self.assertEqual(client.get("single"), "1")
            self.assertTrue(client.set("single", "2"))
            self.assertEqual(client.get("single"), "2")

    def test_a_slot_without_a_live_owner_is_said_to_fail(self):
        self.n2.kill()
        self.n3.kill()
        with self.n1.connect(port=CLUSTER) as connection:
            until("n1 is the master of all", lambda: masters(self.n1) == {self.n1.address: SLOTS}, 30)
            self.assertIn(b"cluster_state:ok", connection.call("CLUSTER", "INFO"))
            with self.assertRaises(Refused) as refused:
                connection.call("GET", "single")
            self.assertEqual(refused.exception.code, "UNAVAILABLE")


if __name__ == "__main__":
    unittest.main()
