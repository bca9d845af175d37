#!/usr/bin/env python3
"""Web sessions on Martlet with redis-py: values with a time to live, and a level for each request.

Run it beside `make run`:

    python3 Examples/sessions.py                  # any node will do
    python3 Examples/sessions.py 127.0.0.2 7379
"""

import sys

import redis


def main() -> int:
    host = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 7379
    # With protocol=3, which redis-py has since 5.0, VGET answers a map of its names instead of a pair.
    store = redis.Redis(host=host, port=port, decode_responses=True)

    # SET with EX: the session ends by itself an hour after it was last written.
    store.set("session:42", "user=ann;cart=7", ex=3600)
    print("session:42 is", store.get("session:42"), "for another", store.ttl("session:42"), "s")

    # This connection may read from one replica: faster, and now and then a moment behind.
    store.execute_command("CONSISTENCY", "ONE", "QUORUM")
    print("read from one replica:", store.get("session:42"))

    # One request at another level than the session's. VGET answers [context, [value, ...]].
    context, values = store.execute_command("VGET", "session:42", "CONSISTENCY", "ALL")
    print("all replicas agree on", values)

    # A put with the context is stamped above what was read.
    store.execute_command("VSET", "session:42", "user=ann;cart=8", "CONTEXT", context, "EX", 3600)

    # redis-py pipelines are transactions unless told otherwise, and Martlet has none.
    pipeline = store.pipeline(transaction=False)
    pipeline.get("session:42")
    pipeline.delete("session:42")
    pipeline.get("session:42")
    print("in one round trip:", pipeline.execute())
    return 0


if __name__ == "__main__":
    sys.exit(main())
