"""From records to tables: one row a problem, one column a peer, the peer's time divided by ours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from .peers import OURS, PEERS
from .problems import problems_of
from .timing import Timing

Key = tuple[str, str, str, int]  # operation, outputs, dtype, threads
WEIGHTS_PACKED = ("onnxruntime", "ncnn", "torch")  # whom a prepared convolution is held against
BEST = "best of " + ", ".join(WEIGHTS_PACKED)


@dataclass
class Record:
    """What one contender did on one problem: a timing, or the reason why there is none."""

    op: str
    outputs: str  # "fresh" or "reused"
    dtype: str
    threads: int
    problem: str
    peer: str
    timing: Timing | None = None
    error: float | None = None  # largest difference from float64, as a share of the largest value
    reason: str = ""

    @property
    def key(self) -> Key:
        return self.op, self.outputs, self.dtype, self.threads


def as_json(record: Record) -> dict[str, object]:
    return asdict(record)


def geometric_mean(values: Iterable[float]) -> float:
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else math.nan


def ratios(records: Iterable[Record], key: Key) -> dict[str, dict[str, Timing]]:
    """For each problem: for each peer, a Timing whose numbers are ratios to ours."""
    table: dict[str, dict[str, Timing]] = {}
    for record in records:
        if record.key == key and record.timing is not None:
            table.setdefault(record.problem, {})[record.peer] = record.timing
    result = {}
    for problem, timings in table.items():
        ours = timings.get(OURS)
        if ours is not None:
            result[problem] = {
                peer: Timing(t.minimum / ours.minimum, t.median / ours.median, 0, t.estimated)
                for peer, t in timings.items()
                if peer != OURS
            }
            _add_best(result[problem], key[0])
    return result


def _add_best(row: dict[str, Timing], op: str) -> None:
    """The smallest ratio of those who may pack weights beforehand, as prepared convolutions do."""
    rivals = [row[name] for name in WEIGHTS_PACKED if name in row]
    if op == "prepared" and len(rivals) > 1:
        row[BEST] = Timing(min(r.minimum for r in rivals), min(r.median for r in rivals), 0)


def table(records: list[Record], key: Key) -> str:
    """A text table of one operation, geometric means at its foot; empty if we timed nothing."""
    op, outputs, dtype, threads = key
    rows = ratios(records, key)
    if not rows:
        return ""
    order = [kind.name for kind in PEERS] + [BEST]
    peers = [name for name in order if any(name in row for row in rows.values())]
    ours = {r.problem: r.timing for r in records if r.key == key and r.peer == OURS and r.timing}
    problems = [problem for problem in problems_of(op) if problem.name in rows]
    plural = "s" if threads > 1 else ""
    lines = [f"{op}, {outputs} outputs, {dtype}, {threads} thread{plural}: time of peer / ours"]
    widths = [max(len(name), 7) for name in peers]
    head = "  ".join(name.rjust(width) for name, width in zip(peers, widths, strict=True))
    lines.append(f"  {'':18} {'ours':>9} {'rate':>12}  {head}")
    for problem in problems:
        row = rows[problem.name]
        seconds = ours[problem.name].minimum
        cells = [_cell(row.get(name)).rjust(w) for name, w in zip(peers, widths, strict=True)]
        rate = _rate(problem, seconds, dtype)
        lines.append(f"  {problem.name:18} {_time(seconds):>9} {rate:>12}  " + "  ".join(cells))
    for label, median in (("geometric mean", False), ("  of medians", True)):
        cells = []
        for name, width in zip(peers, widths, strict=True):
            found = [row[name] for row in rows.values() if name in row and not row[name].estimated]
            mean = geometric_mean(t.median if median else t.minimum for t in found)
            cells.append((f"{mean:.2f}" if found else "-").rjust(width))
        lines.append(f"  {label:18} {'':9} {'':12}  " + "  ".join(cells))
    if any(t.estimated for row in rows.values() for t in row.values()):
        lines.append("  ~ estimated from one plane, beyond the time limit; not in the means")
    return "\n".join(lines)


def _cell(timing: Timing | None) -> str:
    if timing is None:
        return "-"
    number = f"{timing.minimum:.2f}" if timing.minimum < 100 else f"{timing.minimum:.0f}"
    return ("~" if timing.estimated else "") + number


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.2f} us"
    return f"{seconds * 1e3:.2f} ms"


def _rate(problem: object, seconds: float, dtype: str) -> str:
    operations = getattr(problem, "operations", None)
    if operations is not None:
        return f"{operations / seconds / 1e9:.1f} GFLOP/s"
    elements = math.prod(problem.x_shape) + math.prod(problem.out_shape)  # type: ignore[attr-defined]
    return f"{elements * int(dtype[-2:]) // 8 / seconds / 1e9:.1f} GB/s"
