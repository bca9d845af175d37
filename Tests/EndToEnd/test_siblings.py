"""Concurrent writes are kept: versions and contexts, and a set that grows on both sides of a partition."""

import json
import threading
import time
import unittest

from harness import cluster as clusters
from harness import namespaces, scenario
from harness.resp import Closed, Connection, Refused
from harness.scenario import martlet
from harness.waiting import until

KEYSPACES = """keyspaces:
  default: {replication_factor: 3}
  carts: {replication_factor: 3, conflict: siblings}
requests: {timeout: 1s}
"""


def values(connection, key, *options):
    return connection.call("VGET", key, *options)[1]


class Siblings(scenario.Scenario):
    sections = KEYSPACES

    def carts(self, node):
        connection = node.connect()
        self.addCleanup(connection.close)
        connection.call("SELECT", "carts")
        return connection

    def test_concurrent_versions_are_kept_until_one_replaces_them(self):
        one, two, three = (self.carts(node) for node in self.cluster.nodes)
        one.call("VSET", "cart", "a")
        seen = two.call("VGET", "cart")[0]
        two.call("VSET", "cart", "b", "CONTEXT", seen)
        three.call("VSET", "cart", "c", "CONTEXT", seen)
        self.assertEqual(sorted(values(one, "cart")), [b"b", b"c"])
        refused = one.refusal("GET", "cart")
        self.assertEqual(refused.text, "SIBLINGS 2 concurrent versions of this key: read them with VGET")
        both = one.call("VGET", "cart")[0]
        one.call("VSET", "cart", "d", "CONTEXT", both)
        for connection in (one, two, three):
            self.assertEqual(connection.call("GET", "cart"), b"d")
        # A delete that has seen less leaves the rest.
        two.call("VDEL", "cart", "CONTEXT", both)
        self.assertEqual(values(three, "cart"), [b"d"])
        self.assertEqual(three.call("DEL", "cart"), 1)
        self.assertEqual(values(one, "cart"), [])

    def test_contexts_that_are_not_of_this_key_are_refused(self):
        one = self.carts(self.n1)
        context, _ = one.call("VSET", "forged", "1")
        for key, text, reason in (
                ("other", context, "key"), ("forged", context[:-3] + b"AAA", "checksum"),
                ("forged", context[:5], "truncated"), ("forged", b"nonsense!", "truncated")):
            refused = one.refusal("VSET", key, "2", "CONTEXT", text)
            self.assertEqual((refused.code, refused.fields["reason"]), ("BADCONTEXT", reason))
        self.assertEqual(values(one, "forged"), [b"1"])
        self.assertEqual(values(one, "other"), [])

    def test_a_key_takes_no_more_than_siblings_max(self):
        one = self.carts(self.n1)
        for number in range(64):
            one.call("SET", "full", number)
        refused = self.carts(self.n2).refusal("SET", "full", "more")
        self.assertEqual(refused.code, "TOOMANYSIBLINGS")
        self.assertEqual(refused.fields["key"], "full")
        self.assertEqual(len(values(one, "full")), 64)
        metrics = [node.metrics() for node in self.cluster.nodes]
        self.assertGreater(sum(m["martlet_siblings_warned_total"] for m in metrics), 0)
        self.assertEqual(sum(m["martlet_siblings_refused_total"] for m in metrics), 1)
        self.assertGreater(sum(m['martlet_siblings_bucket{le="64"}'] for m in metrics), 60)
        one.call("VSET", "full", "one", "CONTEXT", one.call("VGET", "full")[0])
        self.assertEqual(one.call("GET", "full"), b"one")

    def test_the_command_shows_who_wrote_what_and_when(self):
        one, three = self.carts(self.n1), self.carts(self.n3)
        before = time.time() * 1000
        one.call("VSET", "shown", "a")
        three.call("VSET", "shown", "b")
        done = martlet("siblings", "shown", "--keyspace", "carts", "--host", self.n2.address, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = json.loads(done.stdout)
        self.assertEqual([v["value"] for v in shown["versions"]], ["a", "b"])
        self.assertEqual([v["node"] for v in shown["versions"]], ["n1", "n3"])
        for version in shown["versions"]:
            self.assertLess(abs(version["written_at_ms"] - before), 60_000)
        self.assertEqual(sorted(s["node"] for s in shown["seen"]), ["n1", "n3"])
        text = martlet("siblings", "shown", "--keyspace", "carts", "--host", self.n2.address)
        self.assertIn("2 concurrent versions", text.stdout)
        self.assertEqual(
            martlet("siblings", "never", "--keyspace", "carts", "--host", self.n2.address).returncode, 1)


class Adder(threading.Thread):
    """Adds unique elements to a set: reads it, adds one, writes it back with the context of the read."""

    def __init__(self, switch, node, keyspace, level, number):
        super().__init__(daemon=True)
        self.switch, self.node, self.keyspace, self.level, self.number = switch, node, keyspace, level, number
        self.acknowledged, self.errors = [], []
        self.stopping = threading.Event()

    def run(self):
        connection = None
        count = 0
        while not self.stopping.is_set():
            count += 1
            try:
                if connection is None:
                    with self.switch.inside(self.node.address):
                        connection = Connection(self.node.address, 7379, 10)
                    connection.call("SELECT", self.keyspace)
                self.add(connection, f"{self.number}.{count}".encode())
            except Refused as refused:
                if refused.code not in ("UNAVAILABLE", "TIMEOUT", "OVERLOADED"):
                    self.errors.append(refused)
                    return
                self.stopping.wait(0.05)
            except (OSError, Closed) as error:
                self.errors.append(error)
                return
        if connection:
            connection.close()

    def add(self, connection, element):
        key = f"set:{self.level}"
        context, found = connection.call("VGET", key, "CONSISTENCY", self.level)
        elements = {element}
        for value in found:
            elements.update(value.split(b","))
        words = ["CONTEXT", context] if context is not None else []
        connection.call("VSET", key, b",".join(sorted(elements)), "CONSISTENCY", self.level, *words)
        self.acknowledged.append(element)


class Partition(unittest.TestCase):
    """n3 is cut off from the others, and clients on both sides go on."""

    def setUp(self):
        namespaces.require()
        self.cluster = clusters.Cluster(sections=KEYSPACES)
        self.addCleanup(self.cluster.remove)
        # Not loopback: a namespace has a loopback of its own.
        third = self.cluster.network.rsplit(".", 1)[1]
        for i, node in enumerate(self.cluster.nodes, 1):
            node.address = f"10.97.{third}.{i}"
        self.cluster.write_config()
        self.switch = namespaces.Switch([node.address for node in self.cluster.nodes])
        self.addCleanup(self.switch.remove)
        for node in self.cluster.nodes:
            node.spawn("--insecure", prefix=self.switch.command(node.address))
        for node in self.cluster.nodes:
            with self.switch.inside(node.address):
                node.wait_ready()

    def call(self, node, *words, keyspace="default"):
        with self.switch.inside(node.address), node.connect() as connection:
            connection.call("SELECT", keyspace)
            return connection.call(*words)

    def elements(self, node, keyspace, level):
        _, found = self.call(node, "VGET", f"set:{level}", "CONSISTENCY", "ALL", keyspace=keyspace)
        out = set()
        for value in found:
            out.update(value.split(b","))
        return out

    def contended(self):
        total = 0
        for node in self.cluster.nodes:
            with self.switch.inside(node.address):
                total += node.metrics()["martlet_lww_contended_total"]
        return total

    def test_a_set_that_grows_on_both_sides_loses_nothing(self):
        n1, _, n3 = self.cluster.nodes
        adders = [
            Adder(self.switch, node, keyspace, level, f"{keyspace[0]}{level[0]}{i}")
            for keyspace in ("default", "carts") for level in ("ONE", "QUORUM")
            for i, node in enumerate((n1, n1, n3, n3))]
        for adder in adders:
            adder.start()

        def each(count):
            """So many more are acknowledged in each keyspace at each level, on the majority's side."""
            marks = {a: len(a.acknowledged) + count for a in adders if a.node is n1}
            until(f"{count} more elements each",
                  lambda: any(a.errors for a in adders) or all(
                      len(a.acknowledged) >= mark for a, mark in marks.items()), 120)
            self.assertEqual([a.errors for a in adders if a.errors], [])

        each(20)
        self.switch.cut(n3.address)
        alone = [a for a in adders if a.node is n3 and a.level == "ONE"]
        marks = {a: len(a.acknowledged) + 20 for a in alone}
        each(20)
        until("the minority adds at ONE", lambda: all(len(a.acknowledged) >= marks[a] for a in alone), 60)
        self.switch.heal(n3.address)
        each(20)
        for adder in adders:
            adder.stopping.set()
        for adder in adders:
            adder.join(30)
        lost = {}
        for keyspace in ("default", "carts"):
            for level in ("ONE", "QUORUM"):
                added = {e for a in adders if (a.keyspace, a.level) == (keyspace, level)
                         for e in a.acknowledged}
                until("all replicas answer", lambda: self.elements(n1, keyspace, level) is not None, 60,
                      failing=(Refused, OSError))
                lost[keyspace, level] = len(added - self.elements(n3, keyspace, level)), len(added)
        print(f"lost of acknowledged: {lost}", flush=True)
        self.assertEqual(lost["carts", "ONE"][0], 0, lost)
        self.assertEqual(lost["carts", "QUORUM"][0], 0, lost)
        self.assertGreater(lost["default", "ONE"][0], 0, "the last writer wins without losing anybody's?")
        self.assertGreater(self.contended(), 0)


if __name__ == "__main__":
    unittest.main()
