"""The ring changes under load, as operators change it: by `martlet`, with real processes."""

import binascii
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

import redis

from harness import cluster as clusters
from harness import network
from harness.load import Load
from harness.resp import Connection, Refused
from harness.scenario import martlet
from harness.waiting import until

KEYS = 400
SEEN_S = 30


class Member:
    """A node that `martlet up` started, as far as the harness's clients need it."""

    def __init__(self, name, address):
        self.name, self.address = name, address

    def connect(self, timeout_s=10, port=7379):
        return Connection(self.address, port, timeout_s)


class Operated(unittest.TestCase):
    """A cluster that `martlet up` has founded, with keys in it."""

    zones = ["default"] * 3

    def setUp(self):
        self.network = network.allocate()
        folder = tempfile.TemporaryDirectory(prefix="martlet-ops-")
        self.addCleanup(folder.cleanup)
        self.config = os.path.join(folder.name, "cluster.yaml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("storage: {disk_free_min: 16MiB, block_cache: 16MiB, memtable: 8MiB}\nnodes:\n")
            file.write("".join(f"  - {{name: n{i}, address: {self.network}.{i}, zone: {zone}}}\n"
                               for i, zone in enumerate(self.zones, 1)))
        self.data = os.path.join(folder.name, "data")
        self.addCleanup(self.kill_rest)
        self.cli("up", "--detach")
        self.keys = [f"key:{i}" for i in range(KEYS)]
        with self.node(1).connect() as connection:
            for key in self.keys:
                connection.call("SET", key, key * 20)

    def node(self, number):
        return Member(f"n{number}", f"{self.network}.{number}")

    def pid(self, number):
        with open(os.path.join(self.data, f"n{number}", "martletd.pid"), encoding="utf-8") as file:
            return int(file.read())

    def kill(self, number):
        os.kill(self.pid(number), signal.SIGKILL)

    def kill_rest(self):
        for name in os.listdir(self.data) if os.path.isdir(self.data) else []:
            try:
                with open(os.path.join(self.data, name, "martletd.pid"), encoding="utf-8") as file:
                    os.kill(int(file.read()), signal.SIGKILL)
            except (OSError, ValueError):
                pass

    def cli(self, *words, status=0):
        done = martlet(*words, "--config", self.config)
        self.assertEqual(done.returncode, status, f"{words}\n{done.stdout}{done.stderr}")
        return done

    def json(self, *words):
        return json.loads(self.cli(*words, "--json").stdout)

    def states(self, present=False):
        """Of all nodes, or of those that aren't gone: a name may be given again."""
        return {n["name"]: n["state"] for n in self.json("status")["nodes"]
                if not present or n["state"] not in ("left", "removed")}

    def owners(self, ring):
        """The replicas of each slot."""
        owners = {}
        for entry in ring["ranges"]:
            for slot in range(entry["first"], entry["last"] + 1):
                owners[slot] = set(entry["replicas"])
        return owners

    def check_placed(self, numbers):
        """Every key is on its owners, each of which has the same version, and nowhere else."""
        ring = self.json("ring")
        owners = self.owners(ring)
        connections = {f"n{i}": self.node(i).connect() for i in numbers}

        def strays():
            found = []
            for key in self.keys:
                slot = binascii.crc_hqx(key.encode(), 0) % 16384
                versions = {}
                for name, connection in connections.items():
                    _, values = connection.call("VGET", key, "LOCAL", "META")
                    if values:
                        versions[name] = values[0][1]
                if set(versions) != owners[slot] or len(set(versions.values())) != 1:
                    found.append((key, slot, versions, owners[slot]))
            return found
        # What a node holds no more it erases behind the change.
        until("every key is where it belongs", lambda: not strays(), SEEN_S)
        for connection in connections.values():
            connection.close()

    def wait_down(self, name):
        def is_down():
            nodes = self.json("status")["nodes"]
            return any(n["name"] == name and n["liveness"] == "down" for n in nodes)
        until(f"{name} is seen to be down", is_down, SEEN_S)


class Operators(Operated):
    """Nodes come and go, and keyspaces get other copies."""

    def test_nodes_come_and_go_while_clients_write(self):
        with Load([self.node(1)], clients=4, keys=40) as load:
            until("writes", lambda: load.acknowledged_count > 200, SEEN_S)
            plan = self.json("join", "--plan")
            self.assertEqual(plan["slots_moved"], plan["slots_least"])
            said = self.cli("up", "--add", "1").stdout
            self.assertIn("balance: the fullest node", said)
            self.assertEqual(self.states(), {f"n{i}": "normal" for i in (1, 2, 3, 4)})
            self.check_placed([1, 2, 3, 4])

            plan = self.json("decommission", "n2", "--plan")
            self.assertEqual({t["from"] for t in plan["transfers"]}, {"n2"})
            self.cli("decommission", "n2")
            self.assertEqual(self.states()["n2"], "left")
            self.check_placed([1, 3, 4])

            self.cli("up", "--add", "1")
            self.kill(3)
            self.wait_down("n3")
            self.cli("remove", "n3")
            self.assertEqual(self.states()["n3"], "removed")
            self.check_placed([1, 4, 5])
        self.assertEqual([e for w in load.writers for e in w.errors], [])
        self.assertEqual(load.lost(self.node(4)), [])
        self.assertEqual(load.lost(self.node(5)), [])
        # All of them are in the file now, and start again; one that left doesn't hold it up, nor does one
        # that was removed, which joins as a new node with an empty folder.
        self.cli("down")
        up = self.cli("up", "--detach")
        self.assertIn("n3 was removed: its id is never used again", up.stderr)
        self.assertIn("the cluster has removed n3, and goes on without it", up.stderr)
        self.assertRegex(up.stdout, "n3 +was removed")
        shutil.rmtree(os.path.join(self.data, "n3"))
        self.cli("up", "--detach")
        until("n3 is an owner", lambda: self.states(present=True).get("n3") == "normal", SEEN_S)
        self.check_placed([1, 3, 4, 5])

    def test_a_dead_node_is_replaced_and_the_ring_is_evened_out(self):
        self.cli("up", "--add", "1")
        self.assertIn("only a node that is down is replaced", self.cli("replace", "n3", status=7).stderr)
        self.assertIn("only a node that is down can be removed", self.cli("remove", "n3", status=7).stderr)
        with Load([self.node(1)], clients=2, keys=20) as load:
            before = {t["slot"] for t in self.json("ring")["tokens"] if t["node"] == "n3"}
            self.kill(3)
            self.wait_down("n3")
            plan = self.json("replace", "n3", "--plan")
            self.assertEqual({(t["from"], t["to"]) for t in plan["transfers"]}, {("n3", "n5")})
            self.cli("replace", "n3")
            after = {t["slot"] for t in self.json("ring")["tokens"] if t["node"] == "n5"}
            self.assertEqual(before, after)
            self.check_placed([1, 2, 4, 5])

            self.assertIn("has the token", self.cli("move", "n1", str(min(after)), status=7).stderr)
            self.cli("move", "n1", "5000", "13192")
            tokens = {t["slot"] for t in self.json("ring")["tokens"] if t["node"] == "n1"}
            self.assertEqual(tokens, {5000, 13192})
            self.check_placed([1, 2, 4, 5])
            plan = self.json("rebalance", "--plan")
            self.assertGreater(plan["before"]["fullest"], 1.05)
            self.assertLessEqual(plan["after"]["fullest"], 1.05)
            self.cli("rebalance", "--apply")
            self.assertEqual(self.json("rebalance", "--plan")["moves"], [])
            self.check_placed([1, 2, 4, 5])
        self.assertEqual([e for w in load.writers for e in w.errors], [])
        self.assertEqual(load.lost(self.node(5)), [])

    def copies(self):
        keyspace = self.json("keyspace", "show", "default")
        return keyspace["replication_factor"], keyspace["replication_factor_wanted"]

    def test_a_keyspace_gets_more_copies_and_fewer(self):
        self.cli("up", "--add", "2")
        with Load([self.node(1)], clients=4, keys=40) as load:
            until("writes", lambda: load.acknowledged_count > 200, SEEN_S)
            plan = self.json("keyspace", "alter", "default", "--replication-factor", "5", "--plan")
            self.assertEqual((plan["slots_moved"], plan["slots_least"]), (2 * 16384, 2 * 16384))
            self.cli("keyspace", "alter", "default", "--replication-factor", "5")
            self.assertEqual(self.copies(), (5, None))
            self.check_placed([1, 2, 3, 4, 5])
            self.assertIn("copies", self.cli("decommission", "n2", status=7).stderr)

            # With a voter stopped the change waits; it is called off by what is in force.
            os.kill(self.pid(5), signal.SIGSTOP)
            self.wait_down("n5")
            self.cli("keyspace", "alter", "default", "--replication-factor", "3", "--detach")
            self.assertEqual(self.copies(), (5, 3))
            self.assertIn("5 -> 3", self.cli("keyspace", "show", "default").stdout)
            self.assertIn("keyspace default: alter", self.cli("status").stdout)
            self.assertIn("is being given replication_factor 3",
                          self.cli("keyspace", "alter", "default", "--replication-factor", "2",
                                   status=7).stderr)
            self.cli("keyspace", "alter", "default", "--replication-factor", "5", "--detach")
            self.assertEqual(self.copies(), (5, None))
            os.kill(self.pid(5), signal.SIGCONT)
            self.cli("keyspace", "alter", "default", "--replication-factor", "3")
            self.assertEqual(self.copies(), (3, None))
            self.check_placed([1, 2, 3, 4, 5])
        self.assertEqual([e for w in load.writers for e in w.errors], [])
        self.assertEqual(load.lost(self.node(4)), [])

    def test_what_makes_no_sense_is_refused(self):
        self.assertIn("copies", self.cli("decommission", "n2", status=7).stderr)
        self.assertIn("martlet up --add 1", self.cli("decommission", "n2", "--plan", status=7).stderr)
        self.assertIn("did you mean", self.cli("decommission", "n22", status=2).stderr)
        self.assertIn("named twice", self.cli("move", "n1", "7", "7", status=2).stderr)
        self.assertIn("is no slot", self.cli("move", "n1", "16384", status=2).stderr)
        self.assertIn("--plan, --apply and --abort", self.cli("rebalance", status=2).stderr)
        self.assertIn("nothing to call off", self.cli("rebalance", "--abort", status=7).stderr)
        self.assertIn("in the ring already", self.cli("join", "n2", status=7).stderr)
        self.assertIn("an address of its own",
                      self.cli("join", "n9", "--address", f"{self.network}.2", status=2).stderr)
        self.cli("decommission", "n2", "--abort", status=7)
        self.assertEqual(self.states(), {f"n{i}": "normal" for i in (1, 2, 3)})

    def test_a_cluster_client_follows(self):
        client = redis.RedisCluster(host=f"{self.network}.1", port=7380, decode_responses=True)
        self.addCleanup(client.close)
        stopping, errors, count = threading.Event(), [], [0]

        def write():
            while not stopping.is_set():
                try:
                    client.set(f"cluster:{count[0] % 100}", count[0])
                    count[0] += 1
                except redis.RedisError as error:
                    errors.append(error)
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        self.addCleanup(writer.join, 10)
        self.addCleanup(stopping.set)
        self.cli("up", "--add", "1")
        with self.node(1).connect(port=7380) as connection:
            def masters():
                return {entry[2][0].decode() for entry in connection.call("CLUSTER", "SLOTS")}
            until("n4 is the master of slots", lambda: f"{self.network}.4" in masters(), SEEN_S)
        until("writes", lambda: count[0] > 200, SEEN_S)
        self.assertEqual(errors, [])

    def test_the_swift_client_follows(self):
        seeds = [f"{self.network}.{i}:7380" for i in (1, 2, 3)]
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(
                [os.path.join(clusters.programs, "client-exercise"), "8", *seeds], stdin=subprocess.DEVNULL,
                stdout=said, stderr=subprocess.STDOUT, env=clusters.clean_environment(),
                preexec_fn=clusters.die_with_parent)
            self.addCleanup(process.kill)
            self.cli("up", "--add", "1")
            self.cli("decommission", "n2")
            self.assertEqual(process.wait(120), 0)
            said.seek(0)
            seen = said.read()
        figures = dict(re.findall(r"(\w+)=(\w+)", seen))
        for what in ("wrong_reads", "failed_reads", "failed_writes"):
            self.assertEqual(figures[what], "0", seen)
        self.assertEqual((figures["batch_read"], figures["listed"]), ("1000", "1000"), seen)
        self.assertEqual(self.states()["n2"], "left")

    def test_a_joiner_and_a_source_that_crash_go_on(self):
        environment = clusters.clean_environment()
        program = os.path.join(clusters.programs, "martlet")
        with Load([self.node(1)], clients=2, keys=20) as load:
            until("writes", lambda: load.acknowledged_count > 100, SEEN_S)
            # A stopped voter holds the change: it can't be over before the crashes.
            os.kill(self.pid(3), signal.SIGSTOP)
            joining = subprocess.Popen([program, "up", "--add", "1", "--config", self.config],
                                       env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, text=True)
            self.addCleanup(joining.stdout.close)
            self.addCleanup(joining.kill)
            until("n4 joins", lambda: self.states().get("n4") == "joining", SEEN_S)
            self.kill(4)
            joining.communicate(timeout=60)
            self.kill(2)
            self.kill(3)
            # Both are started again, and n4 too, because it is in the file now.
            self.cli("up", "--detach")
            until("n4 is an owner", lambda: self.states().get("n4") == "normal", 60)
        self.check_placed([1, 2, 3, 4])
        self.assertEqual(load.lost(self.node(4)), [])

    def test_ctrl_c_leaves_the_change_going_on(self):
        self.cli("up", "--add", "1")
        os.kill(self.pid(3), signal.SIGSTOP)
        program = os.path.join(clusters.programs, "martlet")
        leaving = subprocess.Popen(
            [program, "decommission", "n2", "--node", "n1", "--config", self.config],
            env=clusters.clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        self.addCleanup(leaving.kill)
        until("n2 leaves", lambda: self.states().get("n2") == "leaving", SEEN_S)
        leaving.send_signal(signal.SIGINT)
        said, _ = leaving.communicate(timeout=30)
        self.assertEqual(leaving.returncode, 130, said)
        self.assertIn("the nodes go on with it", said)
        self.assertIn("n2: leave", self.cli("status").stdout)
        self.assertRegex(self.cli("status").stdout, re.compile("waits for .*n3"))
        os.kill(self.pid(3), signal.SIGCONT)
        # Called again, it waits again.
        self.cli("decommission", "n2")
        self.check_placed([1, 3, 4])

    def daemon(self, config, *flags):
        """A martletd by itself, and what it says."""
        said = tempfile.TemporaryFile("w+")
        process = subprocess.Popen(
            [os.path.join(clusters.programs, "martletd"), "--config", config, "--data",
             os.path.join(self.data, "joiners"), *flags],
            stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
            env=clusters.clean_environment(), preexec_fn=clusters.die_with_parent)
        self.addCleanup(said.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def text():
            said.seek(0)
            return said.read()
        return text

    def test_joiners_by_hand(self):
        """martletd alone, with a file that doesn't list it: let in, or told why not."""
        with open(self.config, encoding="utf-8") as file:
            text = file.read()

        def write(name, text):
            path = os.path.join(os.path.dirname(self.config), name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return path
        other = write("other.yaml", "cluster: {name: other}\n" + text)
        said = self.daemon(other, "--name", "x1", "--address", f"{self.network}.21")
        until("it is turned away", lambda: "this node is of cluster" in said(), SEEN_S)
        silent = write("silent.yaml", f"seeds: [{self.network}.99]\nnodes:\n"
                                      f"  - {{name: m1, address: {self.network}.98}}\n")
        said = self.daemon(silent, "--name", "x2", "--address", f"{self.network}.22")
        until("it says that nobody answers", lambda: "event=seeds_silent" in said(), SEEN_S)
        said = self.daemon(self.config, "--name", "x3", "--address", f"{self.network}.23", "--zone", "west")
        until("it is an owner", lambda: self.states().get("x3") == "normal", SEEN_S)
        zones = {n["name"]: n["zone"] for n in self.json("status")["nodes"]}
        self.assertEqual(zones["x3"], "west", said())
        self.assertNotIn("x1", zones)

    def test_a_node_drains_by_command(self):
        self.cli("drain", "n3")
        until("n3 has stopped", lambda: not os.path.exists(f"/proc/{self.pid(3)}"), SEEN_S)
        self.assertIn("n3 is down", self.cli("status", "--check", status=1).stderr)
        self.cli("up", "--detach")
        self.assertEqual(self.states()["n3"], "normal")


class Zones(Operated):
    """Five nodes in three zones."""

    zones = ["a", "b", "c", "a", "b"]

    def seen_zones(self):
        return {n["name"]: n["zone"] for n in self.json("status")["nodes"]}

    def check_spread(self):
        """Each slot's replicas are in as many zones as there are copies."""
        zones = self.seen_zones()
        for slot, owners in self.owners(self.json("ring")).items():
            self.assertEqual({zones[name] for name in owners}, {"a", "b", "c"}, (slot, owners))

    def check_values(self):
        with self.node(2).connect() as connection:
            for key in self.keys:
                self.assertEqual(connection.call("GET", key), (key * 20).encode(), key)

    def test_a_node_moves_to_another_zone_while_clients_write(self):
        self.check_spread()
        with Load([self.node(1), self.node(4)], clients=2, keys=40) as load:
            until("writes", lambda: load.acknowledged_count > 200, SEEN_S)
            plan = self.json("move", "n4", "--zone", "c", "--plan")
            self.assertGreater(plan["slots_moved"], 0)
            self.assertEqual([(m["node"], m["zone"]) for m in plan["moves"]], [("n4", "c")])
            self.assertEqual(self.seen_zones()["n4"], "a")
            self.cli("move", "n4", "--zone", "c")
            self.assertEqual(self.seen_zones(), {"n1": "a", "n2": "b", "n3": "c", "n4": "c", "n5": "b"})
            self.check_placed([1, 2, 3, 4, 5])
            self.check_spread()
            self.check_values()
            self.assertIn("the file of n4 says zone a, the ring c", self.cli("status").stdout)

            # With a voter stopped the move waits; it is called off.
            os.kill(self.pid(5), signal.SIGSTOP)
            self.wait_down("n5")
            self.cli("move", "n4", "--zone", "b", "--detach")
            self.assertIn("n4: move", self.cli("status").stdout)
            self.assertIn("moves already", self.cli("move", "n4", "--zone", "a", "--detach", status=7).stderr)
            self.cli("move", "n4", "--abort")
            os.kill(self.pid(5), signal.SIGCONT)
            until("nothing changes any more", lambda: self.json("status").get("change") is None, SEEN_S)
            self.assertEqual(self.seen_zones()["n4"], "c")
            self.check_placed([1, 2, 3, 4, 5])
            self.check_spread()
        self.assertEqual([e for w in load.writers for e in w.errors], [])
        self.assertEqual(load.lost(self.node(4)), [])
        self.check_values()

    def test_a_file_that_says_otherwise_moves_nobody(self):
        def configured():
            return {n["name"]: n["configured"] for n in self.json("status")["nodes"] if n["configured"]}
        before = self.owners(self.json("ring"))
        self.cli("down")
        with open(self.config, encoding="utf-8") as file:
            text = file.read()
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text.replace(f"{self.network}.2, zone: b", f"{self.network}.2, zone: c"))
        self.cli("up", "--detach")
        self.assertEqual(self.owners(self.json("ring")), before)
        self.assertEqual(self.seen_zones()["n2"], "b")
        self.assertEqual(configured(), {"n2": {"zone": "c", "datacenter": "default"}})
        self.assertIn("set the file right, or `martlet move n2 --zone c`", self.cli("status").stdout)
        with open(os.path.join(self.data, "n2", "martletd.log"), encoding="utf-8") as file:
            self.assertRegex(file.read(), "event=zone_differs file=c ring=b")
        self.cli("move", "n2", "--zone", "c")
        self.assertEqual((self.seen_zones()["n2"], configured()), ("c", {}))
        self.check_placed([1, 2, 3, 4, 5])
        self.check_spread()
        self.check_values()

    def test_a_move_that_makes_no_sense_is_refused(self):
        self.assertIn("where to?", self.cli("move", "n2", status=2).stderr)
        self.assertIn("no name of a zone", self.cli("move", "n2", "--zone", "a b", status=2).stderr)
        self.assertIn("did you mean", self.cli("move", "n22", "--zone", "a", status=2).stderr)
        self.assertIn("martlet decommission n2", self.cli("move", "n2", "--datacenter", "d", status=7).stderr)
        self.assertIn("nothing is under way", self.cli("move", "n2", "--abort", status=7).stderr)
        with self.node(2).connect() as connection:
            with self.assertRaisesRegex(Refused, "no name of a zone"):
                connection.call("MARTLET", "NODE", "MOVE", "ZONE", "a b")
            with self.assertRaisesRegex(Refused, "is no slot"):
                connection.call("MARTLET", "NODE", "MOVE", "x", "ZONE", "a")
            # To where it is: nothing to do.
            connection.call("MARTLET", "NODE", "MOVE", "ZONE", "b")
        self.assertIsNone(self.json("status").get("change"))
