"""Wrong starts and bad bytes: a clear error each, and nothing lost or hung."""

import json
import os
import random
import shutil
import socket
import unittest

from harness import cluster as clusters
from harness.resp import Closed, Connection, Refused, encode
from harness.scenario import Scenario, martlet
from harness.waiting import until

LIMIT_KEY, LIMIT_VALUE = 64 << 10, 16 << 20
ONE_COPY = "keyspaces: {default: {replication_factor: 1}}\n"
FAKETIME = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"]


class Start(Scenario):
    """A start that must fail."""

    starts = False

    def refused(self, status, *parts, cluster=None, flags=()):
        """A start of n1 in a configuration of its own fails with the status and says the parts."""
        other = cluster or self.another()
        code, said = other.node("n1").run_to_exit(*flags)
        self.assertEqual(code, status, said)
        for part in parts:
            self.assertIn(part, said)
        return said

    def another(self, **more):
        other = clusters.Cluster(nodes=1, **more)
        self.addCleanup(other.remove)
        return other

    def broken(self, text):
        other = self.another()
        with open(other.config_path, "a", encoding="utf-8") as file:
            file.write(text)
        return other


class WrongConfigurations(Start):
    def test_an_unknown_key(self):
        self.refused(3, "cluster.yaml:5", "timeot", "timeout",
                     cluster=self.broken("requests: {timeot: 1s}\n"))

    def test_a_mistyped_value(self):
        self.refused(3, "cluster.yaml:5", "requests.timeout", "found \"2\"", "unit",
                     cluster=self.broken("requests: {timeout: 2}\n"))

    def test_what_is_no_yaml(self):
        self.refused(3, "cluster.yaml:5", cluster=self.broken("requests: a: b\n"))

    def test_no_file(self):
        other = self.another()
        os.remove(other.config_path)
        self.refused(3, other.config_path, cluster=other)

    def test_an_unknown_variable(self):
        other = self.another()
        code, said = other.node("n1").run_to_exit(environment={"MARTLET_REQUESTS_TIMEOT": "1s"})
        self.assertEqual(code, 3, said)
        self.assertIn("MARTLET_REQUESTS_TIMEOUT", said)

    def test_an_unknown_flag(self):
        self.refused(2, "--insecur", "usage", flags=["--insecur"])

    def test_a_name_that_is_not_listed(self):
        other = self.another()
        other.nodes[0].name = "n7"
        code, said = other.nodes[0].run_to_exit()
        self.assertEqual(code, 3, said)
        self.assertIn("n1", said)

    def test_an_address_for_all_without_authentication(self):
        other = self.another()
        with open(other.config_path, "w", encoding="utf-8") as file:
            file.write("nodes: [{name: n1, address: 192.0.2.1}]\n")
        self.refused(3, "192.0.2.1", "--insecure", cluster=other)

    def test_a_port_in_use(self):
        other = self.another()
        address = other.node("n1").address
        for port in (7600, 7379, 7380):
            with self.subTest(port=port), socket.socket() as taken:
                taken.bind((address, port))
                taken.listen()
                self.refused(4, address, str(port), cluster=other)

    def test_config_check_says_the_same(self):
        other = self.broken("log: {level: loud}\n")
        done = martlet("config", "check", other.config_path)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("cluster.yaml:5", done.stdout + done.stderr)
        self.assertEqual(martlet("config", "check", self.cluster.config_path).returncode, 0)


class WrongFolders(Start):
    """The cluster itself runs, and goes on."""

    starts = True

    def test_a_second_process_on_a_folder(self):
        second = self.another(data_folder=self.cluster.data_folder)
        self.refused(5, self.n1.data_folder, str(self.n1.process.pid), cluster=second)
        self.n1.wait_ready()

    def test_a_folder_of_another_cluster(self):
        other = self.another(name="other")
        shutil.copytree(self.n1.data_folder, other.node("n1").data_folder)
        self.refused(5, "martlet", "other", other.node("n1").data_folder, cluster=other)

    def test_a_folder_that_cannot_be(self):
        other = self.another()
        with open(other.data_folder, "w", encoding="utf-8") as file:
            file.write("in the way\n")
        self.refused(5, other.data_folder, cluster=other)

    def test_a_folder_that_may_not_be_written(self):
        if os.geteuid() == 0:
            self.skipTest("needs not to be root, who may write everywhere")
        other = self.another()
        os.makedirs(other.data_folder)
        os.chmod(other.data_folder, 0o500)
        self.refused(5, other.data_folder, cluster=other)

    def test_a_node_of_another_cluster_is_not_let_in(self):
        other = self.another(name="other", sections=ONE_COPY + f"seeds: [{self.n1.address}]\n")
        other.start()
        self.assertEqual([n["name"] for n in other.node("n1").status()["nodes"]], ["n1"])
        status = self.n1.status()
        self.assertEqual({n["name"]: n["address"] for n in status["nodes"]},
                         {n.name: n.address for n in self.cluster.nodes})


class BadBytes(Scenario):
    """What a client or a stranger sends. After each the node serves as before."""

    def tearDown(self):
        for node in self.cluster.nodes:
            self.assertTrue(node.is_running, node.log_tail())
            with node.connect() as connection:
                connection.call("SET", "after", "1")
                self.assertEqual(connection.call("GET", "after"), b"1")

    def counted(self, word, act):
        """`act` raises a counter whose name has the word."""
        def total():
            return sum(v for k, v in self.n1.metrics().items() if word in k)
        before = total()
        act()
        until(f"a counter with {word} in its name has risen", lambda: total() > before, 10)

    def answer(self, raw):
        with self.n1.connect() as connection:
            connection.send(raw)
            return connection.until_closed().decode(errors="replace")

    def test_malformed_resp(self):
        cases = [
            (b"*2\r\n$3\r\nGET\r\n$-2\r\n", "invalid bulk length"),
            (b"*2\r\n$3\r\nGET\r\n$2147483648\r\n", "invalid bulk length"),
            (b"*2\r\n$3\r\nGET\r\n$536870913\r\n", "invalid bulk length"),
            (b"*2147483648\r\n", "invalid multibulk length"),
            (b"*x\r\n", "invalid multibulk length"),
            (b"*1\r\n:1\r\n", "expected '$', got ':'"),
            (b"*1\r\n$x\r\n", "invalid bulk length"),
            (b"SET \"a\r\n", "unbalanced quotes in request"),
            (b"x" * (70 << 10), "too big inline request"),
        ]
        for raw, expected in cases:
            with self.subTest(raw=raw[:40]):
                def act():
                    self.assertIn(f"-ERR Protocol error: {expected}", self.answer(raw))
                self.counted("protocol_error", act)

    def test_truncated_resp(self):
        whole = encode("SET", "half", "x" * 1000)
        for cut in (1, 5, 14, len(whole) - 1):
            with self.n1.connect() as connection:
                connection.send(whole[:cut])
        with self.n1.connect() as connection:
            self.assertIsNone(connection.call("GET", "half"))

    def test_a_command_that_comes_byte_by_byte(self):
        with self.n1.connect() as connection:
            for byte in encode("SET", "slow", "1"):
                connection.send(bytes([byte]))
            self.assertEqual(connection.reply(), "OK")

    def test_keys_and_values_at_and_over_their_limits(self):
        with self.n1.connect() as connection:
            key = b"k" * LIMIT_KEY
            self.assertEqual(connection.call("SET", key, "1"), "OK")
            self.assertEqual(connection.call("GET", key), b"1")
            for command in [("SET", key + b"k", "1"), ("GET", key + b"k"), ("DEL", key + b"k")]:
                said = connection.refusal(*command)
                self.assertEqual((said.code, said.fields["what"]), ("TOOLARGE", "key"), said.text)
                self.assertEqual(said.fields["bytes"], str(LIMIT_KEY + 1))
                self.assertEqual(said.fields["max"], str(LIMIT_KEY))
            self.assertEqual(connection.call("SET", "large", b"v" * LIMIT_VALUE), "OK")
            self.assertEqual(len(connection.call("GET", "large")), LIMIT_VALUE)
            said = connection.refusal("SET", "large", b"v" * (LIMIT_VALUE + 1))
            self.assertEqual((said.code, said.fields["what"]), ("TOOLARGE", "value"), said.text)
            # The connection stays, and what was there is there.
            self.assertEqual(len(connection.call("GET", "large")), LIMIT_VALUE)
            self.assertEqual(connection.call("DEL", "large"), 1)

    def test_random_bytes_to_the_redis_port(self):
        source = random.Random(1)
        for _ in range(50):
            with self.n1.connect() as connection:
                try:
                    connection.send(source.randbytes(source.randint(1, 2000)) + b"\r\n")
                except OSError:
                    pass

    def test_strangers_at_the_peers_port(self):
        source = random.Random(2)
        frames = [b"", b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff" + b"x" * 100, b"\x80\x00\x00\x00",
                  b"\xff\xff\xff\xfe", b"GET / HTTP/1.1\r\n\r\n", source.randbytes(5000)]
        frames += [source.randbytes(source.randint(1, 300)) for _ in range(20)]

        def act():
            for frame in frames:
                with Connection(self.n1.address, 7600) as connection:
                    try:
                        connection.send(frame)
                    except OSError:
                        pass
        self.counted("handshake", act)

    def test_garbage_datagrams(self):
        source = random.Random(3)

        def act():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for size in [0, 1, 2, 8, 40, 1400, 9000] * 20:
                    sender.sendto(source.randbytes(size), (self.n1.address, 7600))
        self.counted("gossip", act)
        self.cluster.wait_all_up()

    def test_more_connections_that_say_nothing(self):
        silent = [self.n1.connect() for _ in range(200)]
        with self.n1.connect() as connection:
            self.assertEqual(connection.call("PING"), "PONG")
        for connection in silent:
            connection.close()


class SmallLimits(Scenario):
    sections = "requests: {clients_max: 8, value_bytes_max: 1KiB}\n"
    starts = False

    def test_clients_and_values_over_a_smaller_limit(self):
        self.cluster.start()
        with self.n1.connect() as connection:
            self.assertEqual(connection.refusal("SET", "a", "x" * 1025).code, "TOOLARGE")
        held = []

        # The first connection's end may still be on its way.
        def are_held():
            while len(held) < 8:
                connection = self.n1.connect()
                try:
                    connection.call("PING")
                except (Refused, Closed):
                    connection.close()
                    raise
                held.append(connection)
            return True
        until("eight clients are let in", are_held, 10, failing=(OSError, Refused, Closed))
        with self.n1.connect() as connection:
            self.assertIn("max number of clients reached", connection.until_closed().decode())
        for connection in held:
            connection.close()

        def serves():
            with self.n1.connect() as connection:
                return connection.call("PING") == "PONG"
        until("n1 takes clients again", serves, 10, failing=(OSError, Refused, Closed))


class FullDisk(Scenario):
    starts = False
    nodes = 1
    sections = ONE_COPY

    def test_too_little_room_refuses_writes_and_answers_reads(self):
        self.cluster.start()
        with self.n1.connect() as connection:
            connection.call("CONSISTENCY", "ONE")
            connection.call("SET", "before", "1")
        self.n1.stop()
        # More than any disk of a test has: so there is too little.
        folder = json.dumps(self.cluster.data_folder)
        self.cluster.write_config(
            sections=ONE_COPY + f"storage: {{data: {folder}, disk_free_min: 16384GiB}}\n")
        self.n1.start()
        with self.n1.connect() as connection:
            connection.call("CONSISTENCY", "ONE")
            self.assertEqual(connection.refusal("SET", "after", "1").code, "OVERLOADED")
            self.assertEqual(connection.call("GET", "before"), b"1")


class WrongClock(Scenario):
    def test_a_clock_an_hour_ahead_refuses_to_coordinate_writes(self):
        library = next((path for path in FAKETIME if os.path.exists(path)), None)
        if library is None:
            self.skipTest("needs libfaketime (package faketime)")
        self.assertEqual(self.n3.stop(), 0)
        # By variables: preloaded so, the library keeps Swift's runtime from seeing the command line.
        self.n3.start(environment={
            "LD_PRELOAD": library, "FAKETIME": "+1h", "DONT_FAKE_MONOTONIC": "1",
            "MARTLET_NAME": "n3", "MARTLET_CONFIG": self.cluster.config_path})
        self.cluster.wait_all_up()

        def refuses():
            with self.n3.connect() as connection:
                try:
                    connection.call("SET", "clock", "1")
                except Exception as error:  # noqa: BLE001 - whichever: its code is looked at
                    return getattr(error, "code", None) == "SKEW"
        until("n3 refuses for skew", refuses, 30)
        with self.n1.connect() as connection:
            self.assertEqual(connection.call("SET", "clock", "2"), "OK")
            self.assertEqual(connection.call("GET", "clock"), b"2")
        self.assertEqual(self.n3.stop(), 0)


if __name__ == "__main__":
    unittest.main()
