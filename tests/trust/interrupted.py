"""Signals in the middle of long calls: run in a process of its own, prints a line of JSON a call.

    python interrupted.py THREADS SECONDS MOST_BYTES ROUNDS [CLOCK [FIRST STEP]]

Of each call: how long it takes, how late KeyboardInterrupt came, how late a handler ran that raises
nothing, whether the call was left in the middle, and whether results are right afterwards. By the
CPU's clock (CLOCK is "cpu"), so that other processes don't count, or that on the wall ("wall"). Of
all calls, or of every STEP-th from FIRST on.
"""

import json
import signal
import sys
import time

import numpy as np
from long_calls import all_calls, grown, wholly_written

import fastconv as fc


class Clock:
    """A handler of the clock's signal, that says when it ran."""

    def __init__(self, kind):
        self.ran = 0.0
        self.raises = False
        if kind == "cpu":
            number, self.timer, self.now = signal.SIGPROF, signal.ITIMER_PROF, time.process_time
        else:
            number, self.timer, self.now = signal.SIGALRM, signal.ITIMER_REAL, time.perf_counter
        signal.signal(number, self.handle)

    def handle(self, number, frame):
        self.ran = self.now()
        if self.raises:
            raise KeyboardInterrupt

    def run(self, call, after, raises):
        """Run it with a signal on the way: the result, or None, and how late the handler ran."""
        self.ran, self.raises = 0.0, raises
        start = self.now()
        signal.setitimer(self.timer, after)
        try:
            found = call()
        except KeyboardInterrupt:
            return None, self.now() - start - after
        finally:
            signal.setitimer(self.timer, 0)
        return found, self.ran - start - after if self.ran else None


def examine(call, clock, rounds):
    call()
    start = clock.now()
    got = call()
    passed = clock.now() - start
    want = [array.copy() for array in got]
    found = {"seconds": passed, "raised": [], "handled": [], "left": 0, "right": True}
    for number in range(rounds):
        after = passed * (0.15 + 0.6 * number / rounds)
        out = filled_by(call)
        if out is not None:
            out.fill(np.nan if out.dtype.kind == "f" else -77)
        got, late = clock.run(call, after, True)
        if got is None:
            found["raised"].append(late)
            found["left"] += out is None or not wholly_written(out)
        got, late = clock.run(call, after, False)
        if late is not None:
            found["handled"].append(late)
        found["right"] &= all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
    return found


def filled_by(call):
    """The array that a call fills, if it is given one."""
    names = call.__code__.co_freevars
    if "out" not in names:
        return None
    return call.__closure__[names.index("out")].cell_contents


def main(threads, seconds, most_bytes, rounds, clock="cpu", first=0, step=1):
    fc.set_num_threads(int(threads))
    clock = Clock(clock)
    for long in list(all_calls())[int(first) :: int(step)]:
        call = grown(long, float(seconds), int(most_bytes))
        found = examine(call, clock, int(rounds))
        print(json.dumps({"name": long.name, **found}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
