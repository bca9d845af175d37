"""Addresses for a cluster of a test's own.

MARTLET_TEST_NETWORK names a network (127.77.3). Without it, the first of 127.64.0 to 127.127.255 is taken
whose lock file in the temporary folder can be locked and on which no standard port is in use. The lock is
held until this process exits, so tests run beside each other and beside a running cluster.
"""

import errno
import fcntl
import os
import socket
import tempfile

PORTS = {"peers": 7600, "redis": 7379, "redis_cluster": 7380, "http": 7680}
HOSTS_CHECKED = 8
_locks = []


def in_use(network):
    """Whether something listens where nodes of this network would."""
    for host in range(1, HOSTS_CHECKED + 1):
        for name, port in PORTS.items():
            for kind in [socket.SOCK_STREAM] + ([socket.SOCK_DGRAM] if name == "peers" else []):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    try:
                        probe.bind((f"{network}.{host}", port))
                    except OSError as error:
                        if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
                            return True
                        raise
    return False


def lock(network):
    path = os.path.join(tempfile.gettempdir(), f"martlet-test-{network}.lock")
    try:
        file = open(path, "w", encoding="utf-8")
    except PermissionError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    _locks.append(file)
    return True


def allocate():
    """A network as `127.64.0`."""
    given = os.environ.get("MARTLET_TEST_NETWORK")
    if given:
        return given
    for second in range(64, 128):
        for third in range(256):
            network = f"127.{second}.{third}"
            if lock(network) and not in_use(network):
                return network
    raise RuntimeError("no network of 127.64.0 to 127.127.255 is free")
