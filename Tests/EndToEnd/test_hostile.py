"""Hostile and careless clients: they get an error or are closed, and leave nothing behind."""

import os
import re
import socket
import statistics
import struct
import time
import unittest

from harness.resp import Closed, Connection, Refused, encode
from harness.scenario import Scenario, redis_py
from harness.waiting import until

MIB = 1 << 20
OUTPUT_MAX = 8 * MIB


def descriptors(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def resident_bytes(node):
    with open(f"/proc/{node.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def metric(node, name):
    """The value of a sample of the node's metrics; 0 when it hasn't happened."""
    with node.connect() as connection:
        for line in connection.call("MARTLET", "METRICS").decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
    return 0.0


def raw(node, port=7379, receive_buffer=None):
    """A socket that has read nothing yet."""
    out = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        out.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    out.settimeout(20)
    out.connect((node.address, port))
    return out


def reset(connection):
    """Closes with a RST, as a host that vanishes and comes back does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def said_until_closed(connection):
    out = b""
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return out
        if not chunk:
            return out
        out += chunk


class Hostile(Scenario):
    sections = (f"requests: {{client_output_max: {OUTPUT_MAX >> 20}MiB, value_bytes_max: 4MiB, "
                "clients_max: 400}\n")

    def setUp(self):
        super().setUp()
        self.cluster.wait_all_up()

    def leaves_nothing(self, node, act):
        """Whatever `act` does, the node's descriptors and clients are what they were, within a time."""
        with node.connect() as watcher:
            def clients():
                return len(watcher.call("CLIENT", "LIST").decode().splitlines())
            # In this order: a connection has its descriptor once it is accepted.
            before, files = clients(), descriptors(node)
            act()
            until("the clients are gone", lambda: clients() <= before, 20)
            until("their descriptors are closed", lambda: descriptors(node) <= files, 20)
            self.assertEqual(watcher.call("PING"), "PONG")

    # MARK: Those who don't read

    def test_a_slow_reader_is_cut_at_its_limit_and_memory_is_bounded(self):
        with self.n1.connect() as connection:
            connection.call("SET", "big", b"x" * MIB)
        before, cut = resident_bytes(self.n1), metric(self.n1, "martlet_clients_cut_total")
        highest = 0

        def ask():
            nonlocal highest
            readers = [raw(self.n1, receive_buffer=4096) for _ in range(8)]
            for reader in readers:
                # Asked for in one go, and never read: 40 times the limit of them all.
                try:
                    reader.sendall(encode(*["MGET"] + ["big"] * 40))
                except OSError:
                    pass
            def cuts():
                nonlocal highest
                highest = max(highest, resident_bytes(self.n1))
                return metric(self.n1, "martlet_clients_cut_total") - cut
            until("all are cut", lambda: cuts() >= len(readers), 30)
            for reader in readers:
                self.assertLess(len(said_until_closed(reader)), 40 * MIB)
                reader.close()

        self.leaves_nothing(self.n1, ask)
        self.assertLess(highest - before, 8 * (OUTPUT_MAX + 8 * MIB) + 64 * MIB)
        self.assertIn("event=client_cut", self.n1.log_text())

    def test_a_reader_that_is_slow_but_within_its_limit_gets_everything(self):
        with self.n1.connect() as connection:
            connection.call("SET", "some", b"y" * 100_000)
        reader = raw(self.n1, receive_buffer=4096)
        reader.sendall(encode("GET", "some") * 300)
        with self.n1.connect() as watcher:
            # Replies that it hasn't read wait for it.
            until("replies wait", lambda: re.search(rb" obl=[1-9]", watcher.call("CLIENT", "LIST")), 20)
        out = 0
        while out < 300 * 100_011:
            chunk = reader.recv(65536)
            self.assertTrue(chunk, f"closed after {out} bytes")
            out += len(chunk)
        reader.close()

    def test_a_pipeline_that_is_never_read_waits_instead_of_growing(self):
        before = resident_bytes(self.n1)

        def ask():
            writer = raw(self.n1, receive_buffer=4096)
            writer.setblocking(False)
            sent, request = 0, encode("ECHO", b"z" * 1000) * 100
            quiet_since = time.monotonic()
            while time.monotonic() - quiet_since < 1 and sent < 200 * MIB:
                try:
                    sent += writer.send(request)
                    quiet_since = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.01)
            self.assertLess(sent, 200 * MIB, "the node read on though nobody took its replies")
            self.assertLess(resident_bytes(self.n1) - before, 64 * MIB)
            reset(writer)

        self.leaves_nothing(self.n1, ask)

    # MARK: Those who don't write, or not to the end

    def test_two_hundred_slow_loris_do_not_delay_a_ping(self):
        def act():
            lorises = [raw(self.n1) for _ in range(200)]
            times = []
            request = encode("SET", "loris", b"v" * 200)
            with self.n1.connect() as connection:
                for round_number in range(100):
                    for loris in lorises:
                        at = round_number % len(request)
                        loris.sendall(request[at:at + 1])
                    began = time.monotonic()
                    self.assertEqual(connection.call("PING"), "PONG")
                    times.append(time.monotonic() - began)
            self.assertLess(statistics.median(times), 0.1, f"worst {max(times):.3f} s")
            for loris in lorises:
                loris.close()

        self.leaves_nothing(self.n1, act)

    def test_half_closed_and_reset_connections_leave_nothing_behind(self):
        def act():
            for number in range(50):
                half = raw(self.n1)
                half.sendall(encode("SET", f"half:{number}", "1") + encode("GET", f"half:{number}"))
                half.shutdown(socket.SHUT_WR)
                self.assertEqual(said_until_closed(half), b"+OK\r\n$1\r\n1\r\n")
                half.close()
            for port in (7379, 7380):
                for piece in [b"", b"*", b"*3\r\n$3\r\nSET\r\n$1\r\na", b"*2\r\n$3\r\nGET\r\n$100000\r\nabc",
                              encode("GET", "a") * 1000, b"SET a 'unfinished"]:
                    for end in (reset, socket.socket.close):
                        connection = raw(self.n1, port)
                        connection.sendall(piece)
                        end(connection)

        self.leaves_nothing(self.n1, act)

    def test_a_reset_in_the_midst_of_writes_leaves_nothing_behind(self):
        def act():
            for _ in range(30):
                connection = raw(self.n1)
                connection.sendall(encode("SET", "reset", b"w" * 5000) * 100)
                reset(connection)

        self.leaves_nothing(self.n1, act)
        until("nothing is under way", lambda: metric(self.n1, "martlet_requests_in_flight") == 0, 20)

    # MARK: Odd bytes

    def test_every_byte_of_keys_and_values_is_kept(self):
        odd = [b"", b"\0", b"\r\n", b"*3\r\n$3\r\nSET\r\n", b"\xff\xfe\x80", b"\xc3(", b"a\0b", b" ", b"\"'",
               "ключ".encode(), bytes(range(256))]
        one, two = (redis_py(node, decode_responses=False) for node in (self.n1, self.n2))
        with one, two:
            for key in odd:
                for value in odd:
                    self.assertTrue(one.set(key, value))
                    self.assertEqual(two.get(key), value)
                self.assertEqual(one.exists(key), 1)
            self.assertEqual(two.mget(odd), [odd[-1]] * len(odd))
            self.assertEqual(one.delete(*odd), len(odd))
            self.assertEqual(two.exists(*odd), 0)

    # MARK: Other protocols

    def test_http_and_tls_get_an_error_and_a_close(self):
        requests = {
            "http": [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n",
                     b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 14\r\n\r\nSET stolen 1\r\n"],
            "tls": [bytes.fromhex("16030100c8010000c40303") + b"\x55" * 194],
        }
        for kind, all_bytes in requests.items():
            name = f'martlet_protocol_errors_total{{kind="{kind}"}}'
            before = metric(self.n1, name)
            for sent in all_bytes:
                for port in (7379, 7380):
                    connection = raw(self.n1, port)
                    connection.sendall(sent)
                    answer = said_until_closed(connection)
                    self.assertTrue(answer.startswith(b"-ERR this port speaks the Redis protocol"), answer)
                    self.assertEqual(answer.count(b"\r\n"), 1)
                    connection.close()
            self.assertEqual(metric(self.n1, name) - before, 2 * len(all_bytes))
        with self.n1.connect() as connection:
            self.assertIsNone(connection.call("GET", "stolen"))
        self.assertIn("event=bad_client_bytes", self.n1.log_text())

    # MARK: Limits, as Redis has them

    def refused_bytes(self, sent):
        """What a new connection is told for these bytes, after which it must be closed."""
        connection = raw(self.n1)
        try:
            connection.sendall(sent)
        except OSError:
            pass
        answer = said_until_closed(connection)
        connection.close()
        return answer

    def test_lengths_beyond_the_limits_end_the_connection(self):
        def act():
            for sent, said in [
                (b"*1048577\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
                (b"*99999999999999999999\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
                (b"*1\r\n$536870913\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
                (b"*1\r\n$-1\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
                (b"*2\r\n*2\r\n", b"-ERR Protocol error: expected '$', got '*'\r\n"),
                (b"a" * 70_000, b"-ERR Protocol error: too big inline request\r\n"),
                (b"*" + b"1" * 70_000, b"-ERR Protocol error: too big mbulk count string\r\n"),
                (b"*1\r\n$" + b"1" * 70_000, b"-ERR Protocol error: too big bulk count string\r\n"),
                (b"GET 'a\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n"),
            ]:
                self.assertEqual(self.refused_bytes(sent), said, sent[:40])

        self.leaves_nothing(self.n1, act)

    def test_a_value_beyond_the_limit_is_refused_and_the_connection_stays(self):
        before = resident_bytes(self.n1)
        with self.n1.connect() as connection:
            said = connection.refusal("SET", "large", b"q" * (5 * MIB))
            self.assertEqual(said.code, "TOOLARGE")
            said = connection.refusal("SET", b"k" * 70_000, "v")
            self.assertEqual(said.code, "TOOLARGE")
            self.assertEqual(connection.call("PING"), "PONG")
        # Announced only: nothing may be set aside for what is not there.
        announced = [raw(self.n1) for _ in range(50)]
        for connection in announced:
            connection.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4000000\r\nabc")
        self.assertLess(resident_bytes(self.n1) - before, 100 * MIB)
        for connection in announced:
            connection.close()

    def test_clients_max_refuses_further_ones_on_both_ports(self):
        def act():
            name = "martlet_clients_refused_total"
            before = metric(self.n1, name)
            held = []
            refused = 0
            for number in range(420):
                connection = Connection(self.n1.address, (7379, 7380)[number % 2])
                held.append(connection)
                try:
                    connection.call("PING")
                except Refused as error:
                    self.assertEqual(error.text, "ERR max number of clients reached")
                    refused += 1
                except ConnectionError:
                    # Closed before the request was written.
                    refused += 1
            for connection in held:
                connection.close()
            self.assertGreaterEqual(refused, 20)
            self.assertLessEqual(refused, 25)

            def places():
                with self.n1.connect() as connection:
                    return connection.call("PING")
            until("there is room again", places, 20, failing=(Refused, Closed, ConnectionError))
            # Those who looked for room too early were refused as well.
            self.assertGreaterEqual(metric(self.n1, name) - before, refused)

        self.leaves_nothing(self.n1, act)
        self.assertIn("event=clients_max", self.n1.log_text())

    def test_the_cluster_is_well_after_all_this(self):
        for node in self.cluster.nodes:
            self.assertEqual([n["liveness"] for n in node.status()["nodes"]], ["up"] * 3)


if __name__ == "__main__":
    unittest.main()
