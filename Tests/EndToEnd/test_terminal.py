"""What martlet does on a terminal, and what it doesn't do where there is none."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import cluster as clusters
from harness import network
from harness.redis_double import ScanServer
from harness.scenario import Scenario, martlet, run
from harness.terminal import ENTERED, LEFT, Terminal, plain


def program():
    return os.path.join(clusters.programs, "martlet")


class Top(Scenario):
    def terminal(self, *words, **more):
        command = [program(), "top", "--interval", "200ms", "--host", self.n1.address, *words]
        return Terminal(command, **more)

    def live(self, **more):
        terminal = self.terminal(**more)
        self.addCleanup(terminal.__exit__)
        terminal.expect(ENTERED)
        terminal.expect(b"q quits; sort by")
        self.assertTrue(terminal.is_raw)
        return terminal

    def left(self, terminal, status):
        code, text = terminal.finish()
        self.assertEqual(code, status, text)
        self.assertTrue(text.endswith(LEFT), text[-200:])
        self.assertTrue(terminal.is_as_before)

    def test_keys_sort_and_q_quits(self):
        terminal = self.live(columns=160)
        screen = plain(terminal.expect(b"q quits"))
        for word in ("node", "ops/s", "p99", "in flight", "compaction", "n1", "n2", "n3", "command"):
            self.assertIn(word, screen)
        for key, title in (("m", "memory"), ("9", "p99"), ("l", "liveness")):
            terminal.press(key.encode())
            terminal.expect(f"{title}↓".encode())
            terminal.press(key.encode())
            terminal.expect(f"{title}↑".encode())
        # What is no key of a column changes nothing, an arrow neither.
        terminal.press(b"x\x1b[A")
        terminal.expect("liveness↑".encode())
        terminal.press(b"q")
        self.left(terminal, 0)

    def test_every_end_gives_the_terminal_back(self):
        for number, status in ((signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, 0),
                               (signal.SIGQUIT, 0), (signal.SIGSEGV, -signal.SIGSEGV),
                               (signal.SIGILL, -signal.SIGILL)):
            with self.subTest(signal=number):
                terminal = self.live()
                os.kill(terminal.process.pid, number)
                self.left(terminal, status)
        terminal = self.live()
        terminal.press(b"\x03")
        self.left(terminal, 130)

    def test_it_is_stopped_and_goes_on(self):
        terminal = self.live()
        terminal.press(b"\x1a")
        terminal.expect(LEFT)
        _, how = os.waitpid(terminal.process.pid, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(how))
        self.assertTrue(terminal.is_as_before)
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.expect(ENTERED)
        terminal.expect(b"q quits")
        terminal.press(b"q")
        self.left(terminal, 0)

    def test_it_fits_a_window_that_changes(self):
        terminal = self.live(rows=30, columns=200)
        for rows, columns in ((10, 50), (5, 20), (24, 80)):
            terminal.resize(rows, columns)
            os.kill(terminal.process.pid, signal.SIGWINCH)
            terminal.expect(b"\x1b[J")
            screen = terminal.expect(b"\x1b[J")
            lines = plain(screen).replace("\r", "").split("\n")
            self.assertLessEqual(len(lines), rows)
            self.assertLessEqual(max(len(line) for line in lines), columns, lines)
        terminal.press(b"q")
        self.left(terminal, 0)

    def test_nodes_that_die_do_not_end_it(self):
        terminal = self.live()
        self.n1.kill()
        terminal.expect(b"as n2 sees it")
        self.n2.kill()
        self.n3.kill()
        terminal.expect(b"no node answers")
        self.n3.spawn()
        terminal.expect(b"as n3 sees it")
        terminal.press(b"q")
        self.left(terminal, 0)

    def test_elsewhere_it_is_one_table(self):
        done = martlet("top", "--interval", "100ms", "--host", self.n1.address)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("\x1b", done.stdout)
        self.assertEqual(done.stdout.count("ops/s"), 2)
        with self.terminal(environment={"TERM": "dumb"}) as terminal:
            code, text = terminal.finish()
            self.assertEqual(code, 0, text)
            self.assertNotIn(b"\x1b", text)
        with self.terminal("--once", columns=60) as terminal:
            code, text = terminal.finish()
            self.assertEqual(code, 0, text)
            self.assertIn(b"\x1b[", text)
            self.assertNotIn(ENTERED, text)
            self.assertLessEqual(max(len(line) for line in plain(text).splitlines()), 60)

    def test_json_is_an_object_a_sample(self):
        process = subprocess.Popen(
            [program(), "top", "--json", "--interval", "100ms", "--host", self.n1.address],
            stdout=subprocess.PIPE, text=True, env=clusters.clean_environment())
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        with self.n1.connect() as connection:
            connection.call("SET", "top", "1")
        samples = [json.loads(process.stdout.readline()) for _ in range(3)]
        self.assertEqual([n["name"] for n in samples[0]["nodes"]], ["n1", "n2", "n3"])
        # Whoever read it is gone, and so is it.
        process.stdout.close()
        self.assertEqual(process.wait(10), 0)


class Tables(Scenario):
    def shown(self, *words, columns=80, environment=None):
        with Terminal([program(), *words, "--host", self.n1.address], columns=columns,
                      environment=environment) as terminal:
            code, text = terminal.finish()
        self.assertEqual(code, 0, text)
        return text

    def test_they_fit_the_terminal(self):
        with self.n1.connect() as connection:
            connection.call("SET", "wide", "x" * 500)
        for words in (("status", ), ("ring", ), ("hints", ), ("top", "--once", "--interval", "100ms"),
                      ("metrics", "--match", "martlet_*"), ("get", "wide", "--meta")):
            for columns in (30, 60, 100):
                with self.subTest(words=words, columns=columns):
                    lines = plain(self.shown(*words, columns=columns)).splitlines()
                    # The first line of status and ring is a sentence, which the terminal wraps.
                    table = lines[2:] if words[0] in ("status", "ring", "top") else lines
                    self.assertLessEqual(max(map(len, table or [""])), columns, lines)

    def test_colours_are_for_terminals_that_want_them(self):
        self.assertIn(b"\x1b[", self.shown("status"))
        self.assertNotIn(b"\x1b", self.shown("status", environment={"NO_COLOR": "1"}))
        self.assertIn(b"\x1b[", self.shown("status", environment={"NO_COLOR": ""}))
        self.assertNotIn(b"\x1b", self.shown("status", environment={"TERM": "dumb"}))
        self.assertNotIn("\x1b", martlet("status", "--host", self.n1.address).stdout)


class Scans(unittest.TestCase):
    """Against a double, whose pages come as slowly and as brokenly as they must here."""

    def setUp(self):
        self.network = network.allocate()

    def server(self, pages, **more):
        server = ScanServer(f"{self.network}.1", pages, **more)
        self.addCleanup(server.__exit__)
        return server

    def scan(self, server, *words):
        return subprocess.run([program(), "scan", *words, "--host", server.place], capture_output=True,
                              timeout=60, env=clusters.clean_environment(), check=False)

    def test_keys_byte_for_byte_and_options(self):
        server = self.server([[b"a", b"b c"], [], [b"\xff\x00\n", "é".encode()]])
        done = self.scan(server)
        self.assertEqual(done.stdout, b"a\nb c\n\xff\x00\n\n\xc3\xa9\n")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        lines = [json.loads(line) for line in self.scan(server, "--json").stdout.splitlines()]
        self.assertEqual([line["key"] for line in lines], ["a", "b c", "/wAK", "é"])
        self.assertEqual([line["encoding"] for line in lines], ["utf8", "utf8", "base64", "utf8"])
        self.assertEqual(self.scan(server, "--limit", "3", "--raw").stdout, b"a\nb c\n\xff\x00\n\n")
        self.assertEqual(self.scan(server, "--count-only").stdout, b"4\n")
        counted = json.loads(self.scan(server, "--count-only", "--json").stdout)
        self.assertEqual(counted, {"format": 1, "keys": 4})
        server.asked.clear()
        self.scan(server, "--match", "a*", "--count", "7", "--type", "string", "--limit", "1")
        self.assertEqual(server.asked[-1], [b"SCAN", b"0", b"COUNT", b"7", b"MATCH", b"a*", b"TYPE",
                                            b"string"])

    def test_it_goes_on_where_a_connection_broke(self):
        server = self.server([[b"a"], [b"b"], [b"c"]], breaks_at=1)
        done = self.scan(server)
        self.assertEqual((done.returncode, done.stdout), (0, b"a\nb\nc\n"), done.stderr)

    def test_keys_are_quoted_on_a_terminal(self):
        server = self.server([[b"plain", b"a b", b"\x1b[2J", b"\xff\"\\", b""]])
        with Terminal([program(), "scan", "--host", server.place]) as terminal:
            code, text = terminal.finish()
        self.assertEqual(code, 0)
        self.assertEqual(text, b"plain\r\n\"a b\"\r\n\"\\x1b[2J\"\r\n\"\\xff\\\"\\\\\"\r\n\"\"\r\n")

    def test_a_bar_shows_how_far_it_is(self):
        server = self.server([[b"k%d" % i] * 10 for i in range(10)], delay_s=0.15)
        with tempfile.TemporaryFile() as file:
            with Terminal([program(), "scan", "--host", server.place], stdout=file) as terminal:
                code, text = terminal.finish()
            file.seek(0)
            self.assertEqual(len(file.read().splitlines()), 100)
        self.assertEqual(code, 0, text)
        said = plain(text)
        self.assertRegex(said, r"scanning \[=+> *\] \d\d% \d+ keys, [\d.]+/s, [\d.]+m?s left")
        self.assertTrue(text.endswith(b"\r\x1b[K"))
        # Quick work is done without one, and so is any whose stderr is no terminal.
        with tempfile.TemporaryFile() as file:
            quick = self.server([[b"a"]])
            with Terminal([program(), "scan", "--host", quick.place], stdout=file) as terminal:
                self.assertEqual(terminal.finish(), (0, b""))
        self.assertEqual(self.scan(server, "--limit", "40").stderr, b"")


class Completion(unittest.TestCase):
    def script(self, shell):
        done = martlet("completion", shell)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def bash(self, *words):
        """What a real bash offers for the last word."""
        line = " ".join(words)
        quoted = " ".join(f"'{word}'" for word in words)
        source = (f"{self.script('bash')}\nCOMP_WORDS=({quoted}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
                  f"COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _martlet martlet\n"
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
        done = run("bash", "--norc", "-c", source)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return sorted(set(done.stdout.split()))

    def test_bash_completes(self):
        self.assertEqual(self.bash("martlet", "sta"), ["status"])
        self.assertEqual(
            self.bash("martlet", "config", ""), sorted(["check", "--config", "--json", "--help"]))
        self.assertEqual(self.bash("martlet", "get", "key", "--le"), ["--level"])
        self.assertEqual(self.bash("martlet", "get", "--level", "LOCAL_"), ["LOCAL_ONE", "LOCAL_QUORUM"])
        self.assertEqual(self.bash("martlet", "completion", "f"), ["fish"])
        # A value that looks like a command is none.
        self.assertEqual(self.bash("martlet", "--config", "get", "stat"), ["status"])
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "cluster.yaml")
            with open(path, "w", encoding="utf-8"):
                pass
            self.assertEqual(self.bash("martlet", "--config", folder + "/cl"), [path])
            self.assertEqual(self.bash("martlet", "config", "check", folder + "/cl"), [path])

    def test_fish_completes(self):
        if shutil.which("fish") is None:
            self.skipTest("needs fish")

        def offered(line):
            done = run("fish", "--no-config", "-c",
                       f"{self.script('fish')}\ncomplete -C '{line}'")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return [each.split("\t")[0] for each in done.stdout.splitlines()]
        self.assertEqual(offered("martlet sta"), ["status"])
        self.assertEqual(offered("martlet config ch"), ["check"])
        self.assertEqual(offered("martlet get --lev"), ["--level"])
        self.assertEqual(offered("martlet get --level LOCAL_"), ["LOCAL_ONE", "LOCAL_QUORUM"])

    def test_scripts_are_sound(self):
        for shell in ("bash", "zsh", "fish"):
            with self.subTest(shell=shell), tempfile.NamedTemporaryFile("w") as file:
                file.write(self.script(shell))
                file.flush()
                if shutil.which(shell) is None:
                    continue
                done = run(shell, "-n", file.name)
                self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
