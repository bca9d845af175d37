"""A network that can be cut: each node in a network namespace of its own, all on one switch.

Needs root and `ip`.

A node that is cut off keeps running and keeps its clients, which are in its namespace; what it sends to
others is lost without a word, as behind a switch that has died.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import unittest

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def require():
    """Skips the test where namespaces can't be made."""
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root: it makes network namespaces")
    if shutil.which("ip") is None:
        raise unittest.SkipTest("needs ip (package iproute2)")
    probe = f"mt{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
    if made.returncode != 0:
        raise unittest.SkipTest(f"no network namespace can be made here: {made.stderr.decode().strip()}")
    subprocess.run(["ip", "netns", "del", probe], check=False)


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Switch:
    """Namespaces for nodes at these addresses (one /24), joined by a bridge in a namespace of its own."""

    def __init__(self, addresses):
        self.name = f"mt{os.getpid()}"
        self.addresses = addresses
        self.spaces = {address: f"{self.name}n{i}" for i, address in enumerate(addresses, 1)}
        self.made = []
        self._add(self.name)
        _ip("-n", self.name, "link", "add", "switch", "type", "bridge")
        _ip("-n", self.name, "link", "set", "switch", "up")
        for address, space in self.spaces.items():
            self._add(space)
            port = self.port(address)
            _ip("-n", self.name, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("-n", self.name, "link", "set", port, "master", "switch", "up")
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", space, "link", "set", "eth0", "up")
            _ip("-n", space, "link", "set", "lo", "up")

    def _add(self, space):
        _ip("netns", "add", space)
        self.made.append(space)

    def port(self, address):
        return f"p{self.addresses.index(address) + 1}"

    def cut(self, address):
        """Nothing goes to this node or comes from it."""
        _ip("-n", self.name, "link", "set", self.port(address), "nomaster")

    def heal(self, address):
        _ip("-n", self.name, "link", "set", self.port(address), "master", "switch")

    @contextlib.contextmanager
    def inside(self, address):
        """This thread's sockets are made in the node's namespace."""
        with open("/proc/thread-self/ns/net", "rb") as home:
            with open(f"/run/netns/{self.spaces[address]}", "rb") as there:
                self._enter(there)
            try:
                yield
            finally:
                self._enter(home)

    @staticmethod
    def _enter(file):
        if _libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def command(self, address):
        """What a command begins with that is to run in the node's namespace."""
        return ["ip", "netns", "exec", self.spaces[address]]

    def remove(self):
        for space in reversed(self.made):
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)
