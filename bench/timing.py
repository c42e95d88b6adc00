"""Interleaved timing: all contenders in turn, so that all see the same state of the machine."""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import os
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter, sleep

BATCH_SECONDS = 100e-6  # shorter calls are timed several at once: the clock itself takes 50 ns
SLOWER = 8  # times as long as the fastest: with fewer calls


@dataclass
class Timing:
    """Seconds of one call."""

    minimum: float
    median: float
    repetitions: int
    estimated: bool = False


def once(call: Callable[[], object]) -> float:
    """Seconds of a single call."""
    start = perf_counter()
    call()
    return perf_counter() - start


def interleaved(
    calls: Mapping[str, Callable[[], object]],
    first: Mapping[str, float],
    seconds: float,
    pause: float = 0.0,
    slow: float = 0.5,
) -> dict[str, Timing]:
    """Time all `calls`, round by round, for about `seconds` each.

    `first` is how long each one's first call took; beyond `slow` seconds that is all. The order
    within a round turns, so that nobody always follows the same neighbour. Before each turn there
    is a `pause`, in which the last one's threads may fall asleep. A call frees its result within
    the time taken, as in a user's loop. There are at least three rounds; who takes more than
    `SLOWER` times as long as the fastest takes part in some rounds alone, spread over all, so that
    the others have their number of calls.
    """
    timings = {name: Timing(first[name], first[name], 1) for name in calls if first[name] > slow}
    names = [name for name in calls if name not in timings]
    if not names:
        return timings
    # another two calls, warm, tell how many make a batch
    warm = {name: min(once(calls[name]), once(calls[name])) for name in names}
    batches = {name: max(1, round(BATCH_SECONDS / max(warm[name], 1e-7))) for name in names}
    costs = {name: warm[name] * batches[name] + pause for name in names}
    turns = turns_of_each(warm, costs, seconds)
    rounds = max(turns.values())
    samples: dict[str, list[float]] = {name: [] for name in names}
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(rounds):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                if not takes_part(turn, turns[name], rounds):
                    continue
                if pause:
                    sleep(pause)
                samples[name].append(_batch(calls[name], batches[name]))
    finally:
        if collecting:
            gc.enable()
    for name, values in samples.items():
        count = turns[name] * batches[name]
        timings[name] = Timing(min(values), statistics.median(values), count)
    return timings


def turns_of_each(
    warm: Mapping[str, float], costs: Mapping[str, float], seconds: float
) -> dict[str, int]:
    """Return in how many rounds each takes part: the fast ones in all, the slow ones in fewer."""
    fast = [name for name in warm if warm[name] <= SLOWER * min(warm.values())]
    rounds = rounds_in(seconds * len(fast), sum(costs[name] for name in fast))
    return {
        name: rounds if name in fast else min(rounds, rounds_in(seconds, costs[name]))
        for name in warm
    }


def rounds_in(seconds: float, cost: float) -> int:
    """Return how many rounds of that cost there are time for, from 3 to 1000."""
    return max(3, min(1000, int(seconds / cost)))


def takes_part(turn: int, turns: int, rounds: int) -> bool:
    """Whether somebody with so many turns in all rounds has one in round `turn`."""
    return (turn + 1) * turns // rounds > turn * turns // rounds


def _batch(call: Callable[[], object], count: int) -> float:
    if count == 1:
        return once(call)
    turns = range(count)
    start = perf_counter()
    for _ in turns:
        call()
    return (perf_counter() - start) / count


def keep_freed_memory() -> bool:
    """Let malloc keep what is freed, so that every library writes to warm pages, as with `out=`.

    Otherwise glibc hands the memory of a large result back to the system, and the next result's
    page faults are part of what is timed. Returns False where there is no such control.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(ctypes.util.find_library("c")), "mallopt", None)
    m_trim_threshold, m_mmap_max = -1, -4
    return bool(
        mallopt is not None and mallopt(m_mmap_max, 0) and mallopt(m_trim_threshold, 2**31 - 1)
    )


def pin(cpus: str) -> None:
    """Keep this process on the CPUs of a list such as "0,2"; on "one", the last that it may use."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)} if cpus == "one" else map(int, cpus.split(",")))
