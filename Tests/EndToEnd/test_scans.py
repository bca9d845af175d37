"""Walks over the keys, on both faces, while nodes pause, die and come back, and others write and delete."""

import signal
import threading

import redis

from harness.resp import Closed, Refused
from harness.scenario import Scenario, redis_py
from harness.waiting import until
from test_cluster import CLUSTER, redis_cluster

STEADY = 3000
SEEN_S = 30
HUGE_BYTES = 64 << 10


def fill(node, keys, value="x"):
    with redis_py(node, decode_responses=False) as client:
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.set(key, value)
        pipe.execute()


class Churn(threading.Thread):
    """Writes and deletes keys of its own; errors are nothing to it."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.stopping, self.count, self.refused = node, threading.Event(), 0, 0

    def run(self):
        with self.node.connect() as connection:
            while not self.stopping.is_set():
                self.count += 1
                try:
                    connection.call("SET", b"churn:%d" % (self.count % 500), self.count)
                    connection.call("DEL", b"churn:%d" % ((self.count + 250) % 500))
                except Refused:
                    self.refused += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(30)


class Walker(threading.Thread):
    """Walks over all keys again and again, each page by the next of its nodes; a page that is refused is
    asked for again. What it found wrong is in `wrong`."""

    def __init__(self, nodes, steady, gone, count):
        super().__init__(daemon=True)
        self.nodes, self.steady, self.gone, self.count = nodes, steady, gone, count
        self.stopping, self.walks, self.refusals, self.wrong = threading.Event(), 0, [], []

    def run(self):
        try:
            connections = [node.connect() for node in self.nodes]
            while not self.stopping.is_set():
                self.walk(connections)
        except (OSError, Closed) as error:
            self.wrong.append(repr(error))

    def walk(self, connections):
        cursor, met, turn = b"0", [], 0
        while True:
            turn += 1
            try:
                cursor, page = connections[turn % len(connections)].call("SCAN", cursor, "COUNT", self.count)
            except Refused as error:
                self.refusals.append(error.text)
                if self.stopping.is_set():
                    return
                continue
            met += page
            if cursor == b"0":
                break
        self.walks += 1
        self.judge(met)

    def judge(self, met):
        missed = self.steady - set(met)
        if missed:
            self.wrong.append(f"{len(missed)} keys weren't listed, {sorted(missed)[0]!r} among them")
        if len(met) != len(set(met)):
            self.wrong.append(f"{len(met) - len(set(met))} keys were listed twice")
        back = self.gone & set(met)
        if back:
            self.wrong.append(f"{len(back)} deleted keys were listed, {sorted(back)[0]!r} among them")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(60)


class Scans(Scenario):
    def setUp(self):
        super().setUp()
        with redis_py(self.n1, decode_responses=False) as client:
            until("the store is empty", lambda: self.is_emptied(client), 60, failing=(redis.RedisError,))

    def is_emptied(self, client):
        keys = client.keys("*")
        for first in range(0, len(keys), 500):
            client.unlink(*keys[first:first + 500])
        return client.dbsize() == 0

    def heal(self):
        """What a node has missed while it was away is read key by key: not by all walkers at once."""
        self.cluster.wait_all_up()
        with self.n1.connect(timeout_s=30) as connection:
            connection.call("CONSISTENCY", "ALL", "QUORUM")
            until("all replicas agree", lambda: connection.call("KEYS", "*"), SEEN_S, failing=(Refused,))

    def until_seen(self, node, liveness):
        for seer in (self.n1, self.n2):
            until(f"{seer.name} sees {node.name} {liveness}",
                  lambda: seer.sees(node.name) == liveness, SEEN_S)

    def more_walks(self, walkers, count):
        goals = [walker.walks + count for walker in walkers]
        until(f"{count} walks more",
              lambda: all(w.wrong or w.walks >= g for w, g in zip(walkers, goals)), 120)

    def test_what_is_there_throughout_is_listed_whatever_happens_to_a_node(self):
        steady = {b"steady:%d" % i for i in range(STEADY)}
        gone = {b"gone:%d" % i for i in range(1000)}
        fill(self.n1, steady | gone)
        # n3 sleeps through the deletes, so it is wrong about them when it is asked.
        self.n3.signal(signal.SIGSTOP)
        with redis_py(self.n2, decode_responses=False) as client:
            names = sorted(gone)
            for first in range(0, len(names), 50):
                client.unlink(*names[first:first + 50])
        walkers = [Walker([self.n1, self.n2], steady, gone, 400), Walker([self.n2], steady, gone, 37)]
        with Churn(self.n1) as churn, walkers[0], walkers[1]:
            self.more_walks(walkers, 1)
            self.until_seen(self.n3, "down")
            self.n3.signal(signal.SIGCONT)
            self.until_seen(self.n3, "up")
            self.more_walks(walkers, 1)
            self.n3.kill()
            self.more_walks(walkers, 1)
            self.n3.start()
            self.more_walks(walkers, 1)
        for walker in walkers:
            self.assertEqual(walker.wrong, [], walker.refusals[-3:])
        self.assertGreater(churn.count, 0)
        self.exact_in_quiet(steady, gone)

    def exact_in_quiet(self, steady, gone):
        """Every node lists and counts the same on its own, through both faces."""
        self.cluster.wait_all_up()
        listings = []
        for node in self.cluster.nodes:
            with node.connect() as connection:
                keys = connection.call("KEYS", "*")
                self.assertEqual(connection.call("DBSIZE"), len(keys), node.name)
                listings.append(sorted(keys))
        self.assertEqual(listings[0], listings[1])
        self.assertEqual(listings[0], listings[2])
        self.assertLessEqual(steady, set(listings[0]))
        self.assertEqual(gone & set(listings[0]), set())
        shares = []
        for node in self.cluster.nodes:
            with node.connect(port=CLUSTER) as connection:
                keys = connection.call("KEYS", "*")
                self.assertEqual(connection.call("DBSIZE"), len(keys), node.name)
                shares += keys
        self.assertEqual(sorted(shares), listings[0])

    def test_a_cluster_client_walks_on_when_a_node_dies(self):
        steady = {f"steady:{i}" for i in range(STEADY)}
        fill(self.n1, steady)
        self.cluster.wait_all_up()
        with redis_cluster(self.n1) as client:
            self.assertEqual(set(client.scan_iter(count=100)), steady)
            self.n3.kill()
            until("the walk goes over the nodes that live",
                  lambda: set(client.scan_iter(count=100)) == steady, SEEN_S, failing=(redis.RedisError,))

    def test_more_scans_than_there_may_be_are_refused_with_a_sentence(self):
        fill(self.n1, {b"many:%d" % i for i in range(2000)})
        self.heal()
        asked = [self.n1.connect(timeout_s=30) for _ in range(200)]
        try:
            for connection in asked:
                connection.send(b"*2\r\n$4\r\nKEYS\r\n$1\r\n*\r\n*1\r\n$4\r\nPING\r\n")
            listed, refused = 0, []
            for connection in asked:
                try:
                    self.assertEqual(len(connection.reply()), 2000)
                    listed += 1
                except Refused as error:
                    refused.append(error)
                self.assertEqual(connection.reply(), "PONG")
        finally:
            for connection in asked:
                connection.close()
        self.assertGreaterEqual(listed, 64, refused[:1])
        for error in refused:
            self.assertEqual((error.code, error.fields), ("OVERLOADED", {"node": "n1", "limit": "scans_max"}))
            self.assertIn("refused before any work", error.text)

    def test_pages_of_any_size_and_keys_of_the_largest(self):
        huge = {b"%d:" % i + b"h" * (HUGE_BYTES - 3) for i in range(10)}
        huge = {key[:HUGE_BYTES] for key in huge}
        # Many of one slot, so that they are neighbours.
        tagged = {b"{tag}%d:" % i + b"t" * (HUGE_BYTES - 7) for i in range(30)}
        tagged = {key[:HUGE_BYTES] for key in tagged}
        small = {b"small:%d" % i for i in range(3000)}
        keys = huge | tagged | small
        fill(self.n2, keys)
        with self.n1.connect() as connection:
            self.assertEqual(connection.call("DBSIZE"), len(keys))
            for count in (1, 1_000_000, 2**63 - 1):
                cursor, met = b"0", []
                while True:
                    cursor, page = connection.call("SCAN", cursor, "COUNT", count)
                    met += page
                    if cursor == b"0":
                        break
                self.assertEqual((len(met), set(met)), (len(keys), keys), count)
            self.assertEqual(set(connection.call("KEYS", "{tag}*")), tagged)
            self.assertEqual(connection.refusal("SET", b"k" * (HUGE_BYTES + 1), "x").code, "TOOLARGE")


class CostlyScans(Scenario):
    """On nodes of their own: what was deleted here is still passed by every later walk."""

    def test_large_values_and_many_tombstones_dont_keep_a_walk_from_its_end(self):
        large = {b"large:%d" % i for i in range(120)}
        fill(self.n1, large, b"v" * (1 << 20))
        gone = [b"gone:%d" % i for i in range(20_000)]
        with redis_py(self.n1, decode_responses=False) as client:
            for first in range(0, len(gone), 1000):
                client.mset({key: "x" for key in gone[first:first + 1000]})
                client.unlink(*gone[first:first + 1000])
            self.assertEqual(client.dbsize(), len(large))
            self.assertEqual(set(client.scan_iter(count=1000)), large)
            self.assertIn(client.randomkey(), large)
