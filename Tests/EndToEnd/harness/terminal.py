"""A pseudo-terminal with a program on it: what it draws, which keys it gets, and how it leaves things."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from . import cluster as clusters

ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
ENTERED, LEFT = b"\x1b[?1049h\x1b[?25l\x1b[?7l", b"\x1b[?7h\x1b[?25h\x1b[?1049l"


class Terminal:
    """`stdout` may be a file in place of the terminal."""

    def __init__(self, command, rows=24, columns=80, environment=None, stdout=None):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.text = b""

        def own_the_terminal():
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=stdout or self.slave, stderr=self.slave,
            preexec_fn=own_the_terminal,
            env=clusters.clean_environment(**{"TERM": "xterm", **(environment or {})}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys):
        os.write(self.master, keys)

    def read(self, within_s):
        ready, _, _ = select.select([self.master], [], [], within_s)
        if ready:
            self.text += os.read(self.master, 65536)
        return bool(ready)

    def expect(self, wanted, within_s=20):
        """Reads until the text is there; what came up to its end is given back and forgotten."""
        deadline = time.monotonic() + within_s
        while wanted not in self.text:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"{wanted!r} did not come: {self.text[-2000:]!r}")
            self.read(left)
        end = self.text.index(wanted) + len(wanted)
        out, self.text = self.text[:end], self.text[end:]
        return out

    def finish(self, within_s=20):
        """The exit status and what was written until then."""
        deadline = time.monotonic() + within_s
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it goes on: {self.text[-2000:]!r}"
            self.read(0.05)
        while self.read(0):
            pass
        return self.process.returncode, self.text

    @property
    def is_as_before(self):
        return termios.tcgetattr(self.slave) == self.before

    @property
    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO)


def plain(text):
    """Without escape sequences; as text."""
    return ESCAPE.sub(b"", text).decode(errors="replace")
