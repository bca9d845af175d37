"""A small Redis client that hides nothing: error texts, closed connections and raw bytes are the test's."""

import socket


class Refused(Exception):
    """An error reply. `code` is its first word, `fields` what stands as name=value before the colon."""

    def __init__(self, text):
        super().__init__(text)
        self.text = text
        self.code = text.split(" ", 1)[0]
        self.fields = {}
        for word in text.split(":", 1)[0].split(" ")[1:]:
            if "=" in word:
                name, value = word.split("=", 1)
                self.fields[name] = value


class Closed(ConnectionError):
    """The server closed the connection."""


def encode(*words):
    out = b"*%d\r\n" % len(words)
    for word in words:
        raw = word if isinstance(word, bytes) else str(word).encode()
        out += b"$%d\r\n%s\r\n" % (len(raw), raw)
    return out


class Connection:
    def __init__(self, host, port=7379, timeout_s=10):
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def call(self, *words):
        """The reply to a command; an error reply is raised as `Refused`."""
        self.send(encode(*words))
        return self.reply()

    def refusal(self, *words):
        """The error reply to a command; a failure when it is none."""
        try:
            answer = self.call(*words)
        except Refused as error:
            return error
        raise AssertionError(f"{words[:2]!r} was not refused: {answer!r}")

    def reply(self):
        answer = self._reply()
        if isinstance(answer, Refused):
            raise answer
        return answer

    def until_closed(self):
        """What the server says before it closes the connection."""
        out = self.buffer
        self.buffer = b""
        while True:
            try:
                chunk = self.socket.recv(65536)
            except ConnectionResetError:
                return out
            if not chunk:
                return out
            out += chunk

    def _fill(self):
        chunk = self.socket.recv(65536)
        if not chunk:
            raise Closed(f"closed with {self.buffer!r} unread")
        self.buffer += chunk

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _exactly(self, count):
        while len(self.buffer) < count + 2:
            self._fill()
        out, self.buffer = self.buffer[:count], self.buffer[count + 2:]
        return out

    def _reply(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Refused(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._exactly(int(rest))
        if kind == b"=":
            return self._exactly(int(rest))[4:]
        if kind in (b"*", b"~", b">"):
            return None if rest == b"-1" else [self._reply() for _ in range(int(rest))]
        if kind == b"%":
            pairs = [(self._reply(), self._reply()) for _ in range(int(rest))]
            return {k.decode() if isinstance(k, bytes) else k: v for k, v in pairs}
        raise AssertionError(f"no RESP: {line!r}")
