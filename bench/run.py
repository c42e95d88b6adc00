"""Time fastconv's operations against every library installed: `python -m bench.run --help`.

For each problem all contenders are checked against float64 results, then called in turn. With
fresh outputs everybody allocates, as a user's program does; with reused outputs fastconv writes to
`out=` and malloc keeps freed memory, so that nobody pays for new pages.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import report, store
from .check import Expected, largest_error, tolerance
from .machine import Neighbours, describe
from .peers import OURS, Contender, Peer, Unsupported, installed
from .problems import FOLDER, OPS, QUICK, Problem, problems_of
from .report import Record
from .timing import Timing, interleaved, keep_freed_memory, once, pin


class Disagreement(Exception):
    """fastconv's result is wrong: nothing to time."""


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.pin:
        pin(options.pin)
    warnings.filterwarnings("ignore", category=UserWarning)
    peers, missing = installed(options.peers)
    machine = describe(peers, missing)
    neighbours = Neighbours()
    print(f"{machine['processor']}, {machine['cpus']} CPUs", *machine["fastconv"], sep="\n")
    for name, reason in missing.items():
        print(f"not installed: {name} ({reason})")
    records: list[Record] = []
    try:
        for key in settings(options):
            if key[1] == "reused" and not keep_freed_memory():
                print("malloc can't be told to keep memory here: peers pay for new pages")
            run_operation(key, peers, options, records)
            if text := report.table(records, key):
                print(f"\n{text}\n", flush=True)
    except Disagreement as error:
        print(f"STOPPED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: writing what there is", file=sys.stderr)
    machine["others"] = neighbours.share()
    content = {"machine": machine, "records": [report.as_json(record) for record in records]}
    store.put(options.output, options.part, content)
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--ops", default=",".join(OPS), help="comma-separated, of: %(default)s")
    add("--outputs", default="fresh,reused", help="default: %(default)s")
    add("--dtype", default="float32", choices=("float32", "float64"))
    add("--threads", default="1,2", help="comma-separated; default: %(default)s")
    add("--layers", default="*", help="names of layers and pools: comma-separated patterns")
    add("--peers", default="*", help="comma-separated names; default: all that are installed")
    add("--seconds", type=float, default=0.3, help="for each contender on each problem")
    add("--limit", type=float, default=2.0, help="seconds; a longer call is estimated, not made")
    add("--pin", default="", help="CPUs to stay on, comma-separated; or: one")
    add("--quick", action="store_true", help="a few layers, one thread, a few calls each")
    add("--part", default="layers", help="name in the results file; default: %(default)s")
    add("--output", type=Path, default=FOLDER / "results" / "results.json")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds, options.limit, options.threads = 0.02, 0.5, options.threads.split(",")[0]
        if options.layers == "*":
            options.layers = QUICK
    if unknown := set(options.ops.split(",")) - set(OPS):
        parser.error(f"unknown operations {sorted(unknown)}; there are {', '.join(OPS)}")
    if unknown := set(options.outputs.split(",")) - {"fresh", "reused"}:
        parser.error(f"--outputs takes fresh and reused, not {sorted(unknown)}")
    return options


def settings(options: argparse.Namespace) -> Iterator[report.Key]:
    """Fresh outputs first: once malloc keeps memory, it keeps it."""
    for outputs in sorted(options.outputs.split(",")):
        for threads in options.threads.split(","):
            for op in options.ops.split(","):
                yield op, outputs, options.dtype, int(threads)


def run_operation(
    key: report.Key, peers: dict[str, Peer], options: argparse.Namespace, records: list[Record]
) -> None:
    """Check and time one operation on all its problems."""
    op, threads = key[0], key[3]
    for peer in peers.values():
        peer.set_threads(threads)
    expected = Expected(peers)
    problems = problems_of(op, options.layers)
    for number, problem in enumerate(problems, 1):
        started = time.perf_counter()
        found = run_problem(key, problem, peers, expected, options)
        records.extend(found)
        timed = sum(record.timing is not None for record in found)
        progress(
            f"{op} {number}/{len(problems)} {problem.name}: {timed} timed in "
            f"{time.perf_counter() - started:.1f} s"
        )


def run_problem(
    key: report.Key,
    problem: Problem,
    peers: dict[str, Peer],
    expected: Expected,
    options: argparse.Namespace,
) -> list[Record]:
    """One record for each peer; those that can take part are checked first, then timed together."""
    op, outputs, dtype, threads = key
    arrays = problem.arrays(dtype)
    right = expected.results(op, problem, arrays)
    records: dict[str, Record] = {}
    calls, first = {}, {}
    for name, peer in peers.items():
        record = records[name] = Record(op, outputs, dtype, threads, problem.name, name)
        try:
            contender = peer.prepare(op, problem, arrays, outputs == "reused")
        except Unsupported as reason:
            record.reason = str(reason)
            continue
        seconds = admit(record, contender, peer, right, options.limit)
        if seconds is not None:
            calls[name], first[name] = contender.call, seconds
    pause = 0.003 if threads > 1 else 0.0
    for name, timing in interleaved(calls, first, options.seconds, pause).items():
        records[name].timing = timing
    return list(records.values())


def admit(
    record: Record, contender: Contender, peer: Peer, right: Any, limit: float
) -> float | None:
    """Call once and compare; None if that would take too long, or if the result is another."""
    if contender.estimate > limit:
        time = contender.estimate
        record.timing = Timing(time, time, 0, estimated=True)
        record.reason = f"a call would take about {time:.0f} s, beyond the limit of {limit:g} s"
        return None
    results: list[Any] = []
    seconds = once(lambda: results.append(contender.call()))
    if not contender.checked:
        return seconds
    record.error = largest_error(contender.to_numpy(results[0]), right)
    if record.error <= tolerance(record.peer, peer, record.dtype):
        return seconds
    message = f"{record.peer} disagrees on {record.op} {record.problem}: error {record.error:.2g}"
    if record.peer.startswith(OURS):
        raise Disagreement(message)
    record.reason = message
    progress(message)
    return None


def progress(text: str) -> None:
    """What goes on; on a terminal the next line overwrites it."""
    start, end = ("\r\033[K", "") if sys.stderr.isatty() else ("", "\n")
    print(f"{start}{text}", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
