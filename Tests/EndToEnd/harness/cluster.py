"""martletd processes in a folder of their own, on a network of their own. None outlives the test run."""

import atexit
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from . import network
from .resp import Closed, Connection, Refused
from .waiting import until

START_S = 30
STOP_S = 15
LOG_LINES_SHOWN = 40
PR_SET_PDEATHSIG = 1

programs = None
_clusters = []
_libc = ctypes.CDLL(None, use_errno=True)


def set_programs(folder):
    """The folder that has martletd and martlet; told once, by run.py."""
    global programs
    programs = os.path.abspath(folder)


def die_with_parent():
    # Even when this process is killed with -9, no node stays behind.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def clean_environment(**extra):
    """This environment without what would configure a node."""
    out = {k: v for k, v in os.environ.items() if not k.startswith("MARTLET_")}
    out.update(extra)
    return out


class Node:
    def __init__(self, cluster, name, address):
        self.cluster, self.name, self.address = cluster, name, address
        self.process = None
        self.log_path = os.path.join(cluster.folder, f"{name}.log")

    @property
    def data_folder(self):
        return os.path.join(self.cluster.data_folder, self.name)

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def spawn(self, *flags, environment=None, prefix=()):
        """Starts the process and returns at once; `prefix` is what its command begins with."""
        assert not self.is_running, f"{self.name} runs already"
        command = [*prefix, os.path.join(programs, "martletd"), "--config", self.cluster.config_path]
        command += ["--name", self.name, *flags]
        with open(self.log_path, "ab") as log:
            log.write(f"--- start: {' '.join(command)}\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.cluster.folder, env=clean_environment(**(environment or {})),
                start_new_session=True, preexec_fn=die_with_parent)

    def start(self, *flags, environment=None):
        self.spawn(*flags, environment=environment)
        self.wait_ready()

    def wait_ready(self, within_s=START_S):
        """Until it answers reads, which it does once the ring has formed and its data is there."""
        def serves():
            assert self.is_running, f"{self.name} exited with {self.process.returncode}\n{self.log_tail()}"
            with self.connect(timeout_s=2) as connection:
                connection.call("GET", "is-it-ready")
                return True
        try:
            until(f"{self.name} serves", serves, within_s, failing=(OSError, Refused))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_tail()}") from None

    def run_to_exit(self, *flags, within_s=START_S, environment=None):
        """For a start that must fail: its exit status and all that it said."""
        before = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        self.spawn(*flags, environment=environment)
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} still ran after {within_s} s\n{self.log_tail()}") from None
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            log.seek(before)
            return status, log.read()

    def connect(self, timeout_s=10, port=7379):
        return Connection(self.address, port, timeout_s)

    def status(self):
        """MARTLET STATUS, as this node sees the cluster."""
        with self.connect() as connection:
            return json.loads(connection.call("MARTLET", "STATUS"))

    def sees(self, name):
        """What this node holds another for: up, suspect or down."""
        return next((n["liveness"] for n in self.status()["nodes"] if n["name"] == name), None)

    def metrics(self):
        """MARTLET METRICS as a map of sample to value."""
        with self.connect() as connection:
            text = connection.call("MARTLET", "METRICS").decode()
        out = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                sample, value = line.rsplit(" ", 1)
                out[sample] = float(value)
        return out

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        """kill -9."""
        if self.is_running:
            self.process.kill()
        if self.process:
            self.process.wait(STOP_S)

    def stop(self, within_s=STOP_S):
        """SIGTERM; the exit status."""
        self.process.terminate()
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            text = f"{self.name} ran on {within_s} s after SIGTERM\n{self.log_tail()}"
            raise AssertionError(text) from None

    def log_text(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def log_tail(self):
        lines = self.log_text().splitlines()[-LOG_LINES_SHOWN:]
        return "".join(f"    {self.name} | {line}\n" for line in lines)


class Cluster:
    """`sections` are top-level parts of cluster.yaml beside nodes, as text to be put into it."""

    def __init__(self, nodes=3, sections="", name="martlet", data_folder=None, folder=None):
        self.network = network.allocate()
        self.owns_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="martlet-e2e-")
        self.data_folder = data_folder or os.path.join(self.folder, "data")
        self.config_path = os.path.join(self.folder, "cluster.yaml")
        self.name, self.sections = name, sections
        self.nodes = [Node(self, f"n{i}", f"{self.network}.{i}") for i in range(1, nodes + 1)]
        self.write_config()
        _clusters.append(self)

    def write_config(self, path=None, name=None, sections=None):
        lines = [f"cluster: {{name: {name or self.name}}}", "nodes:"]
        lines += [f"  - {{name: {n.name}, address: {n.address}}}" for n in self.nodes]
        text = sections if sections is not None else self.sections
        if "storage:" not in text:
            lines.append(f"storage: {{data: {json.dumps(self.data_folder)}, disk_free_min: 16MiB}}")
        with open(path or self.config_path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n" + text)

    def node(self, name):
        return next(n for n in self.nodes if n.name == name)

    def start(self):
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.wait_ready()
        return self

    def wait_all_up(self, within_s=START_S):
        """Until every running node holds every running node for up."""
        running = [n for n in self.nodes if n.is_running]
        for node in running:
            for other in running:
                until(f"{node.name} sees {other.name} up", lambda: node.sees(other.name) == "up", within_s,
                      failing=(OSError, Refused, Closed))

    def kill_all(self):
        """kill -9 of all at once: all signals first, then the waiting."""
        for node in self.nodes:
            if node.is_running:
                node.process.kill()
        for node in self.nodes:
            node.kill()

    def remove(self, keep=False):
        for node in self.nodes:
            if node.is_running:
                node.signal(signal.SIGCONT)
        self.kill_all()
        if self in _clusters:
            _clusters.remove(self)
        if self.owns_folder and not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def print_logs(self):
        for node in self.nodes:
            sys.stderr.write(node.log_tail())
        sys.stderr.flush()


@atexit.register
def _remove_all():
    for cluster in list(_clusters):
        cluster.remove()
