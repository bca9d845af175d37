"""A Redis that knows PING, SELECT and SCAN: as slow, as broken and with keys as odd as a test wants."""

import socket
import threading
import time

from .resp import encode


class ScanServer:
    """Gives `pages`, a list of lists of keys; each page's answer waits `delay_s`. A connection is cut in the
    middle of the page with index `breaks_at`, once."""

    def __init__(self, address, pages, delay_s=0.0, breaks_at=None):
        self.pages, self.delay_s, self.breaks_at = pages, delay_s, breaks_at
        self.asked = []
        self.listener = socket.create_server((address, 0))
        self.place = f"{address}:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, client.makefile("rb") as lines:
            try:
                while True:
                    head = lines.readline()
                    if not head:
                        return
                    words = []
                    for _ in range(int(head[1:])):
                        size = int(lines.readline()[1:])
                        words.append(lines.read(size + 2)[:-2])
                    self.asked.append(words)
                    client.sendall(self.answer(client, words))
            except (OSError, ValueError):
                return

    def answer(self, client, words):
        if words[0] == b"PING":
            return b"+PONG\r\n"
        if words[0] != b"SCAN":
            return b"-ERR unknown command\r\n"
        index = round(int(words[1]) / 2**64 * len(self.pages))
        time.sleep(self.delay_s)
        if index == self.breaks_at:
            self.breaks_at = None
            client.sendall(b"*2\r\n$1\r\n")
            client.shutdown(socket.SHUT_RDWR)
            return b""
        following = index + 1
        cursor = 0 if following == len(self.pages) else following * 2**64 // len(self.pages)
        keys = encode(*self.pages[index]) if self.pages[index] else b"*0\r\n"
        return b"*2\r\n" + encode(cursor)[4:] + keys
