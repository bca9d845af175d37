"""The documents against the programs: what a page names exists, and the README's tour works as printed."""

import glob
import os
import re
import subprocess
import tempfile
import unittest

from harness import cluster as clusters
from harness import network
from harness.resp import Refused
from harness.scenario import Scenario, martlet
from harness.waiting import until

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PAGES = ["README.md", "CHANGELOG.md", "Benchmarks/README.md", *sorted(glob.glob("docs/*.md", root_dir=ROOT))]
TOP_FOLDERS = ("Benchmarks", "Examples", "Fuzz", "Sources", "Tests", "docs", "scripts")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def blocks(text, language=r"\w*"):
    """The insides of fenced blocks."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def without_blocks(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def spans(text):
    """What stands between backticks, on one line or wrapped."""
    return [re.sub(r"\s+", " ", s) for s in re.findall(r"(?<!`)`([^`]+)`(?!`)", without_blocks(text))]


def anchors(text):
    """The ids that a heading gets where the pages are shown."""
    headings = re.findall(r"^#+ (.+)$", without_blocks(text), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def command_lines(program):
    """(page, words) of each call of a program that a page shows, in a block or between backticks."""
    for page in PAGES:
        text = read(page)
        lines = [re.sub(r"^\$ ", "", line) for block in blocks(text) for line in block.splitlines()]
        for line in lines + spans(text):
            if re.match(rf"{program}( |$)", line):
                yield page, re.sub(r"\s+#.*| [<>|&].*", "", line).split()[1:]


class Pages(unittest.TestCase):
    def test_links(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(read(page))):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                where = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
                with self.subTest(page=page, target=target):
                    self.assertTrue(os.path.exists(os.path.join(ROOT, where)), "no such file")
                    if anchor:
                        self.assertIn(anchor, anchors(read(where)))

    def test_each_page_is_linked_from_the_readme(self):
        for page in PAGES[1:]:
            self.assertIn(f"]({page})", read("README.md"))

    def test_each_checker_is_named(self):
        named = " ".join(read(page) for page in PAGES)
        for path in glob.glob("Sources/MartletSimulator/Checkers/*.swift", root_dir=ROOT):
            name = os.path.basename(path)
            with self.subTest(checker=name):
                self.assertTrue(name == "LevelTable.swift" or f"`Checkers/{name}`" in named)

    def test_paths(self):
        for page in PAGES:
            for span in spans(read(page)):
                if span.startswith("Checkers/"):
                    span = f"Sources/MartletSimulator/{span}"
                if re.fullmatch(rf"(?:{'|'.join(TOP_FOLDERS)})/[\w./+-]+", span):
                    with self.subTest(page=page, path=span):
                        self.assertTrue(os.path.exists(os.path.join(ROOT, span)))

    def test_targets(self):
        targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.M))
        for page, words in command_lines("make"):
            for word in words[:1]:
                with self.subTest(page=page, target=word):
                    self.assertIn(word, targets)

    def test_settings(self):
        known = re.findall(r"^### `(?:keyspaces\.<name>\.|nodes\[\]\.)?([\w.]+)`$",
                           read("docs/CONFIGURATION.md"), re.M)
        sections = {name.split(".")[0] for name in known if "." in name}
        self.assertLessEqual({"requests", "storage", "repair"}, sections)
        for page in PAGES:
            for span in spans(read(page)):
                name = re.fullmatch(r"(\w+)\.\w+", span)
                if name and name[1] in sections and span != "cluster.yaml":
                    with self.subTest(page=page):
                        self.assertTrue(span in known, f"there is no setting {span}")

    def test_each_log_event_is_explained(self):
        names = {n for n in read("Tests/EndToEnd/contracts/log_events.txt").split("\n")
                 if re.fullmatch(r"[a-z_]+", n)}
        text = read("docs/OPERATIONS.md")
        table = text[text.index("| event | means |"):].split("\n\n")[0]
        explained = [n for row in table.splitlines() for n in re.findall(r"`([a-z_]+)`", row.split("|")[1])]
        self.assertEqual(sorted(explained), sorted(names))
        for page in PAGES:
            for name in re.findall(r"\bevent=([a-z_]+)", read(page)):
                self.assertIn(name, names, page)


class Programs(Scenario):
    def test_metrics(self):
        # A family without samples counts too: hints, say, are shown by target.
        with self.n1.connect() as connection:
            names = set(re.findall(r"^# TYPE (\w+)", connection.call("MARTLET", "METRICS").decode(), re.M))
        for page in PAGES:
            for name in re.findall(r"\bmartlet_[a-z_]+", read(page)):
                with self.subTest(page=page):
                    self.assertTrue(name in names, f"there is no metric {name}")

    @staticmethod
    def depth(words):
        """How many words of a command line name the command: these have commands of their own."""
        return 2 if {"config", "keyspace"} & set(words[:1]) else 1

    def test_commands_and_their_options(self):
        seen = 0
        for program in ("martlet", "martletd", "martlet-bench", "martlet-sim"):
            helps = {}
            for page, words in command_lines(program):
                command = []
                for word in words:
                    if not re.fullmatch(r"[a-z]+", word) or len(command) == self.depth(words):
                        break
                    command.append(word)
                if program in ("martletd", "martlet-sim") or command in (["version"], ["help"]):
                    command = []
                key = tuple(command)
                if key not in helps:
                    done = subprocess.run(
                        [os.path.join(clusters.programs, program), *command, "--help"], capture_output=True,
                        text=True, check=False, env=clusters.clean_environment(), timeout=30)
                    self.assertEqual(done.returncode, 0, f"{page}: {program} {' '.join(command)}")
                    helps[key] = done.stdout
                for option in (w.partition("=")[0] for w in words if w.startswith("--")):
                    # What `martlet bench` takes is martlet-bench's own.
                    if command == ["bench"]:
                        continue
                    with self.subTest(page=page, command=words):
                        self.assertRegex(helps[key], rf"(?<![\w-]){option}(?![\w-])")
                seen += 1
        self.assertGreater(seen, 20)

    def fields(self, refused):
        """What PROTOCOL.md says that an error has, and what it has."""
        prefix, _, rest = str(refused).partition(" ")
        row = re.search(rf"^\| {prefix} \| (.*) \|$", read("docs/PROTOCOL.md"), re.M)
        self.assertIsNotNone(row, prefix)
        documented = re.sub(r"[\[\]]|:.*", "", row[1]).split()
        present = re.findall(r"(\w+)=", rest.partition(": ")[0])
        self.assertEqual(present, [n for n in documented if n in present], prefix)
        optional = re.findall(r"\[(\w+)\]", row[1])
        self.assertEqual(set(documented) - set(present) - set(optional), set(), prefix)

    def test_the_fields_of_errors(self):
        self.n3.kill()

        def refusal(*words):
            with self.n1.connect() as connection:
                try:
                    connection.call(*words)
                except Refused as refused:
                    return refused
            return None
        until("n1 misses n3", lambda: str(refusal("VGET", "a", "CONSISTENCY", "ALL")).startswith("UNAV"), 30)
        self.fields(refusal("VGET", "a", "CONSISTENCY", "ALL"))
        self.fields(refusal("SET", "a", "x" * (17 << 20)))
        self.fields(refusal("SET", "k" * (65 << 10), "x"))
        self.fields(refusal("VSET", "a", "b", "CONTEXT", "xyz"))


class Tour(unittest.TestCase):
    """The commands of the README as they are printed there, on a network of the test's own."""

    def setUp(self):
        self.network = network.allocate()
        folder = tempfile.TemporaryDirectory(prefix="martlet-tour-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.config = os.path.join(self.folder, "cluster.yaml")
        text = self.here(read("cluster.yaml"))
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text.replace("disk_free_min: 1GiB", "disk_free_min: 16MiB"))

    def here(self, text):
        return text.replace("127.0.0.", f"{self.network}.")

    def shell(self, line):
        path = clusters.programs + ":" + os.environ["PATH"]
        # FAKETTY: redis-cli prints as on a terminal.
        return subprocess.run(
            ["bash", "-c", line], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
            env=clusters.clean_environment(PATH=path, FAKETTY="1", NO_COLOR="1"))

    @staticmethod
    def pattern(lines):
        """`...` stands for what differs from run to run: within a line, or for whole lines."""
        out = ""
        for line in lines:
            if line == "...":
                out += r"(?:.*\n)*"
            else:
                words = [re.escape(word) for word in re.sub(r" +", " ", line).split("...")]
                out += ".*".join(words) + r"\n"
        return out

    def test_as_it_is_printed(self):
        tour = "".join(blocks(read("README.md"), "console"))
        steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", tour, re.M)
        self.assertGreater(len(steps), 10)
        self.addCleanup(martlet, "down", "--config", self.config)
        self.assertEqual(self.shell("martlet up --detach").returncode, 0)
        for line, shown in steps:
            said = self.shell(self.here(line)).stdout
            # redis-cli ends an error with an empty line; tables are as wide as what is in them.
            said = "".join(f"{re.sub(r' +', ' ', l).rstrip()}\n" for l in said.splitlines() if l)
            wanted = self.pattern(self.here(shown).splitlines())
            self.assertTrue(re.fullmatch(wanted, said), f"$ {line}\n{said}\nREADME.md has:\n{shown}")


if __name__ == "__main__":
    unittest.main()
