"""Signals in the middle of long calls: run in a process of its own, prints a line of JSON a call.

    python interrupted.py THREADS SECONDS MOST_BYTES ROUNDS [NAME]

Of each call: how long it takes, how late KeyboardInterrupt came, how late a handler ran that raises
nothing, whether the call was left in the middle, and whether results are right afterwards.
"""

import json
import signal
import sys
import time

import numpy as np
from long_calls import all_calls, grown, wholly_written

import fastconv as fc


class Clock:
    """A handler of SIGALRM, that says when it ran."""

    def __init__(self):
        self.ran = 0.0
        self.raises = False
        signal.signal(signal.SIGALRM, self.handle)

    def handle(self, number, frame):
        self.ran = time.perf_counter()
        if self.raises:
            raise KeyboardInterrupt

    def run(self, call, after, raises):
        """Run it with a signal on the way: the result, or None, and how late the handler ran."""
        self.ran, self.raises = 0.0, raises
        start = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, after)
        try:
            found = call()
        except KeyboardInterrupt:
            return None, time.perf_counter() - start - after
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return found, self.ran - start - after if self.ran else None


def examine(call, clock, rounds):
    call()
    start = time.perf_counter()
    want = [array.copy() for array in call()]
    passed = time.perf_counter() - start
    found = {"seconds": passed, "raised": [], "handled": [], "left": 0, "right": True}
    for number in range(rounds):
        after = passed * (0.15 + 0.6 * number / rounds)
        for array in call.__closure__ or ():
            value = array.cell_contents
            if isinstance(value, np.ndarray) and value.flags.writeable and value is call_out(call):
                value.fill(np.nan if value.dtype.kind == "f" else -77)
        got, late = clock.run(call, after, True)
        if got is None:
            found["raised"].append(late)
            out = call_out(call)
            found["left"] += out is None or not wholly_written(out)
        got, late = clock.run(call, after, False)
        if late is not None:
            found["handled"].append(late)
        found["right"] &= all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
    return found


def call_out(call):
    """The array that a call fills, if it is given one."""
    names = call.__code__.co_freevars
    if "out" not in names:
        return None
    return call.__closure__[names.index("out")].cell_contents


def main(threads, seconds, most_bytes, rounds, only=""):
    fc.set_num_threads(int(threads))
    clock = Clock()
    for long in all_calls():
        if only in long.name:
            call = grown(long, float(seconds), int(most_bytes))
            found = examine(call, clock, int(rounds))
            print(json.dumps({"name": long.name, **found}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
