"""Times two threads beside one, ours and PyTorch's: `python -m bench.threads`.

All four are called in turn in one process, on the layers of enough work. With `--neighbour` another
process keeps a core busy meanwhile: then the smallest time is that of a lucky moment, so five calls
in a row are taken together, and medians count.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastconv as fc

from . import report, store
from .machine import Neighbours, cpus, describe
from .peers import OURS, Peer, installed
from .problems import FOLDER, QUICK, Layer, read_layers
from .readings import divided
from .report import Record
from .run import progress
from .timing import interleaved

WORK = 50e6  # operations: less is not worth a second thread everywhere
CALLS = 5  # in a row, beside a neighbour
PAUSE = 0.003  # for the other's threads to fall asleep
BUSY = "while True: pass"


def enough_work(pattern: str) -> list[Layer]:
    """Return the layers that two threads are timed on."""
    return [layer for layer in read_layers(pattern) if layer.operations >= WORK]


@contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """Keep a core busy, in a process of its own that goes where the system puts it."""
    process = subprocess.Popen([sys.executable, "-c", BUSY]) if wanted else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def in_threads(peer: Peer, call: Callable[[], Any], threads: int, calls: int) -> Callable[[], None]:
    """Return what makes so many calls on so many threads; setting them takes a microsecond."""

    def run() -> None:
        peer.set_threads(threads)
        for _ in range(calls):
            call()

    return run


def measure(
    op: str, layer: Layer, peers: dict[str, Peer], seconds: float, calls: int
) -> list[Record]:
    """Time one operation of a layer, everybody on one thread and on two."""
    arrays = layer.arrays("float32")
    runs, first = {}, {}
    for name, peer in peers.items():
        call = peer.prepare(op, layer, arrays, False).call
        for threads in (1, 2):
            runs[f"{name} {threads}"] = in_threads(peer, call, threads, calls)
            first[f"{name} {threads}"] = 0.0
            runs[f"{name} {threads}"]()
    found = []
    for key, timing in interleaved(runs, first, seconds, PAUSE).items():
        name, threads = key.split()
        timing.minimum, timing.median = timing.minimum / calls, timing.median / calls
        found.append(Record(op, "fresh", "float32", int(threads), layer.name, name, timing))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Time all layers of enough work."""
    parser = argparse.ArgumentParser(prog="bench.threads", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--neighbour", action="store_true", help="beside a process that keeps a core busy")
    add("--ops", default="forward,grad_x,grad_w", help="default: %(default)s")
    add("--layers", default="*", help="names: comma-separated patterns")
    add("--seconds", type=float, default=0.3, help="for each contender on each layer")
    add("--quick", action="store_true")
    add("--part", default="threads", help="name in the results file; default: %(default)s")
    add("--output", type=Path, default=FOLDER / "results" / "results.json")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds = 0.02
        options.layers = QUICK if options.layers == "*" else options.layers
    if (cpus() or 2) < 2:
        print("two threads need two CPUs, and this process may use one: not measured")
        return 1
    peers, missing = installed("torch")
    machine, others = describe(peers, missing), Neighbours()
    records: list[Record] = []
    with neighbour(options.neighbour):
        for op in options.ops.split(","):
            for layer in enough_work(options.layers):
                calls = CALLS if options.neighbour else 1
                found = measure(op, layer, peers, options.seconds, calls)
                records += found
                progress(line(found))
    fc.set_num_threads(1)
    machine["others"] = others.share()
    content = {"machine": machine, "records": [report.as_json(record) for record in records]}
    store.put(options.output, options.part, content)
    return 0


def line(found: list[Record]) -> str:
    """Return what one layer's threads brought."""
    times = {(record.peer, record.threads): record.timing for record in found if record.timing}
    text = f"{found[0].op} {found[0].problem}: one thread's time / two"
    for name in dict.fromkeys(record.peer for record in found):
        gain = divided(times[name, 1], times[name, 2])
        text += f"   {name} {gain.minimum:.2f}, of medians {gain.median:.2f}"
    if ("torch", 2) in times:
        ratio = divided(times["torch", 2], times[OURS, 2])
        text += f"   torch / ours on two {ratio.minimum:.2f}"
    return text


if __name__ == "__main__":
    sys.exit(main())
