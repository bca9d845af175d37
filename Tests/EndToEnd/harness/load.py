"""Clients that write without pause, and remember what was promised to them."""

import itertools
import threading

from .resp import Closed, Refused


class Writer(threading.Thread):
    """Counts up in keys of its own through one node. Of each key it knows the last number that was
    acknowledged and the last that was sent: whatever happens, a later read must be between the two."""

    _numbers = itertools.count()

    def __init__(self, node, keys, level):
        super().__init__(daemon=True)
        self.number, self.node, self.keys, self.level = next(self._numbers), node, keys, level
        self.acknowledged, self.sent, self.errors = {}, {}, []
        self.count = 0
        self.stopping = threading.Event()

    def run(self):
        try:
            with self.node.connect() as connection:
                connection.call("CONSISTENCY", "QUORUM", self.level)
                while not self.stopping.is_set():
                    self.write(connection)
        except (OSError, Closed, Refused) as error:
            # Of a node that is killed this is expected: its clients see their connection break.
            if not self.stopping.is_set():
                self.errors.append(error)

    def write(self, connection):
        self.count += 1
        key = f"load:{self.number}:{self.count % self.keys}"
        self.sent[key] = self.count
        try:
            connection.call("SET", key, self.count)
            self.acknowledged[key] = self.count
        except Refused as error:
            self.errors.append(error)


class Load:
    """Writers through the given nodes, `clients` through each."""

    def __init__(self, nodes, clients=4, keys=50, level="QUORUM"):
        self.writers = []
        for node in nodes:
            for _ in range(clients):
                self.writers.append(Writer(node, keys, level))

    def __enter__(self):
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for writer in self.writers:
            writer.stopping.set()
        for writer in self.writers:
            writer.join(30)

    @property
    def acknowledged_count(self):
        return sum(w.count for w in self.writers) - sum(len(w.errors) for w in self.writers)

    def errors_through(self, *nodes):
        return [e for w in self.writers if w.node in nodes for e in w.errors]

    def lost(self, node):
        """Every key whose value, read through `node`, isn't between what was acknowledged and what was
        sent."""
        out = []
        with node.connect() as connection:
            connection.call("CONSISTENCY", "QUORUM", "QUORUM")
            for writer in self.writers:
                for key, sent in sorted(writer.sent.items()):
                    raw = connection.call("GET", key)
                    value = int(raw) if raw is not None else 0
                    acknowledged = writer.acknowledged.get(key, 0)
                    if not acknowledged <= value <= sent:
                        out.append((key, value, acknowledged, sent))
        return out
