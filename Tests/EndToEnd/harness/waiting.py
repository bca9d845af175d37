"""Waiting for something to become true: by looking again until a deadline, never for a fixed time."""

import time

LOOK_AGAIN_S = 0.02


class Late(AssertionError):
    """A deadline passed."""


def until(what, look, within_s, failing=()):
    """Returns the first true thing that `look` returns. Exceptions of `failing` count as not yet."""
    deadline = time.monotonic() + within_s
    last = None
    while True:
        try:
            seen = look()
            if seen:
                return seen
            last = f"last seen: {seen!r}"
        except failing as error:
            last = f"last error: {error!r}"
        if time.monotonic() >= deadline:
            raise Late(f"not within {within_s} s: {what} ({last})")
        time.sleep(LOOK_AGAIN_S)
