"""The base of all tests: one cluster a class, its logs printed when a test fails."""

import os
import subprocess
import unittest

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from . import cluster as clusters

keep_folders = False
COMMAND_S = 120


def redis_py(node, protocol=2, **more):
    """redis-py without retries, so that each error shows. Older versions know RESP2 only."""
    arguments = {"host": node.address, "port": 7379, "socket_timeout": 10, "decode_responses": True, **more}
    if int(redis.__version__.split(".")[0]) >= 5:
        arguments["protocol"] = protocol
    elif protocol != 2:
        raise unittest.SkipTest(f"redis-py {redis.__version__} has no RESP3")
    return redis.Redis(retry=Retry(NoBackoff(), 0), **arguments)


def run(*command, within_s=COMMAND_S, **more):
    """A command to its end."""
    return subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False,
                          env=clusters.clean_environment(), stdin=subprocess.DEVNULL, **more)


def redis_cli(node, *words):
    return run("redis-cli", "-h", node.address, "-p", "7379", *words)


def martlet(*words, **more):
    return run(os.path.join(clusters.programs, "martlet"), *words, **more)


class Scenario(unittest.TestCase):
    """A class's tests share its cluster; a test leaves it as it found it: all nodes up."""

    nodes = 3
    sections = ""
    starts = True

    @classmethod
    def setUpClass(cls):
        cls.cluster = None
        cls.addClassCleanup(lambda: cls.cluster and cls.cluster.remove())
        cls.make_cluster()

    @classmethod
    def make_cluster(cls):
        cls.cluster = clusters.Cluster(nodes=cls.nodes, sections=cls.sections)
        if cls.starts:
            cls.cluster.start()

    def setUp(self):
        self.addCleanup(self.after_test)

    def after_test(self):
        if not self._outcome.success:
            # What a failed test left behind is no ground for the next one.
            self.cluster.print_logs()
            if keep_folders:
                print(f"kept: {self.cluster.folder}", flush=True)
            self.cluster.remove(keep=keep_folders)
            self.make_cluster()
        elif self.starts:
            for node in self.cluster.nodes:
                if not node.is_running:
                    node.spawn()
            for node in self.cluster.nodes:
                node.wait_ready()

    @property
    def n1(self):
        return self.cluster.node("n1")

    @property
    def n2(self):
        return self.cluster.node("n2")

    @property
    def n3(self):
        return self.cluster.node("n3")
