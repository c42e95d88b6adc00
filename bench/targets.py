"""What the package is to reach, beside what a run reached: `python -m bench.targets results.json`.

`TARGETS` is the one place where speed targets stand; a row tells what was asked, and how it is
computed from a results file. Times are the smallest of a run, medians beside them. A target of
a kind of layers is asked of each of them: "met on average" means that their geometric mean reaches
it and some don't, whom the table names.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import kinds
from .problems import FOLDER
from .readings import (
    Readings,
    Values,
    among_kind,
    bandwidth,
    channels_last,
    import_time,
    on_two_threads,
    opencv_small,
    our_time,
    plain_python,
    share_of_images,
    threads_gain,
    torch_ratio,
    training,
    wheel_size,
    workspace,
)
from .report import BEST, geometric_mean
from .store import load

EACH, MEAN, WORST = "each", "mean", "worst"  # what is held against the number asked


@dataclass(frozen=True)
class Target:
    """One row: `read` finds its values in a run, by layer, as Timings (smallest and median)."""

    what: str
    asked: float | None  # None: for comparison
    read: Callable[[Readings], Values]
    of: str = EACH
    most: bool = False  # the number is the largest allowed, not the smallest
    by: str = "minimum"

    def meets(self, value: float) -> bool:
        if self.asked is None:
            return True
        return value <= self.asked if self.most else value >= self.asked


def _ratio(op: str, kind: str, asked: float) -> Target:
    return Target(kind, asked, among_kind(op, kind))


def _reused(op: str) -> Target:
    return Target("all layers, outputs reused", None, torch_ratio(op, part="reused"), MEAN)


def _no_layer(op: str) -> Target:
    return Target("no layer slower by more than 5 %", 0.95, torch_ratio(op), WORST)


def _gradient(op: str, mean: float) -> list[Target]:
    whole = Target("3x3 stride 1, 64+ channels, all maps", 2.0, among_kind(op, *kinds.DEEP))
    first = [_ratio(op, kinds.FIRST, 2.5)] if op == "grad_x" else []
    everything = Target("all layers", mean, torch_ratio(op), MEAN)
    return [whole, *first, everything, _no_layer(op), _reused(op)]


def _pool(op: str, asked: float) -> Target:
    return Target(op, asked, torch_ratio(op))


POOLS = ("max_pool", "max_pool_grad_x", "avg_pool", "avg_pool_grad_x")
CONVOLUTIONS = ("forward", "grad_x", "grad_w")

TARGETS: dict[str, list[Target]] = {
    "forward, PyTorch's time / ours": [
        _ratio("forward", kinds.DEEP_LARGE, 2.0),
        _ratio("forward", kinds.DEEP_MIDDLE, 1.5),
        _ratio("forward", kinds.FEW, 1.6),
        _ratio("forward", kinds.FIRST, 1.5),
        _ratio("forward", kinds.DEPTHWISE, 1.8),
        _ratio("forward", kinds.POINTWISE, 1.05),
        _ratio("forward", kinds.STRIDED, 1.05),
        _ratio("forward", kinds.LARGE_KERNEL, 1.05),
        _ratio("forward", kinds.DEEP_SMALL, 1.05),
        Target("all layers", 1.7, torch_ratio("forward"), MEAN),
        _no_layer("forward"),
        _reused("forward"),
    ],
    f"prepare_conv2d, time of the {BEST} / ours": [
        Target("all layers", 1.3, torch_ratio("prepared", BEST), MEAN),
        Target("no layer slower", 1.0, torch_ratio("prepared", BEST), WORST),
    ],
    "grad_x, PyTorch's time / ours": _gradient("grad_x", 1.8),
    "grad_w, PyTorch's time / ours": _gradient("grad_w", 1.7),
    "pools, PyTorch's time / ours": [
        _pool(op, asked) for op, asked in zip(POOLS, (10, 2, 2.5, 1.5), strict=True)
    ],
    "pools, a copy's time for as many bytes / ours": [
        Target(op, 0.8, bandwidth(op)) for op in POOLS
    ],
    "float64, PyTorch's time / ours": [
        Target(op, 2.5, torch_ratio(op, part="float64"), MEAN) for op in CONVOLUTIONS
    ],
    "NHWC, time of channels first / channels last": [
        Target(op, 0.85, channels_last(op)) for op in (*CONVOLUTIONS, *POOLS)
    ],
    "small calls": [
        Target("5x7 image, 2x3 kernel: us", 3.0, our_time(kinds.is_tiny, 1e6), most=True),
        Target("PyTorch's time / ours", 3.0, among_kind("forward", kinds.TINY)),
        Target("100x100 grey, 3x3: OpenCV's time / ours", 1.0, opencv_small),
    ],
    "two threads, layers of 50 MFLOP and more: time of one thread / two": [
        *(Target(f"{op}, idle cores", 1.7, threads_gain(op, "threads")) for op in CONVOLUTIONS),
        *(
            Target(f"{op}, one core busy", 0.95, threads_gain(op, "neighbour"), WORST, by="median")
            for op in CONVOLUTIONS
        ),
        *(
            Target(f"PyTorch's {op}, {state}", None, threads_gain(op, part, "torch"))
            for part, state in (("threads", "idle cores"), ("neighbour", "one core busy"))
            for op in CONVOLUTIONS
        ),
        *(
            Target(f"{op}, PyTorch's time / ours on two", None, on_two_threads(op, "threads"))
            for op in CONVOLUTIONS
        ),
    ],
    "the fastest of SciPy and scikit-image, its time / ours": [
        Target("batches", 50.0, plain_python(grey=False)),
        Target("one grey image", 3.0, plain_python(grey=True)),
    ],
    "memory beside the arrays, one thread, packed weights aside": [
        Target("workspace: MB", 16.0, workspace, most=True),
        Target("no copy of x: workspace / x", 0.5, share_of_images, most=True),
    ],
    "a step of training": [
        Target(f"{who}'s time / ours, threads: {threads}", asked, training(who, threads))
        for who, asked in (("PyTorch", 2.0), ("Keras", 3.0))
        for threads in (1, 2)
    ],
    "installed": [
        Target("import fastconv beside NumPy's: ms", 30.0, import_time, most=True),
        Target("wheel: MB", 3.0, wheel_size, most=True),
    ],
}


@dataclass
class Row:
    """What a target's values say."""

    target: Target
    values: Values

    def number(self, statistic: str) -> float:
        """Return the mean, or the worst where that is what counts."""
        values = [getattr(timing, statistic) for timing in self.values.values()]
        if self.target.most:
            return max(values)
        return min(values) if self.target.of == WORST else geometric_mean(values)

    @property
    def exceptions(self) -> dict[str, float]:
        """Return those that miss what is asked of each, the worst first."""
        if self.target.of == MEAN:
            return {}
        found = {name: getattr(timing, self.target.by) for name, timing in self.values.items()}
        missed = {name: value for name, value in found.items() if not self.target.meets(value)}
        return dict(sorted(missed.items(), key=lambda item: item[1], reverse=self.target.most))

    @property
    def worst(self) -> float:
        values = [getattr(timing, self.target.by) for timing in self.values.values()]
        return max(values) if self.target.most else min(values)

    @property
    def verdict(self) -> str:
        if not self.values:
            return "not measured"
        if self.target.asked is None:
            return ""
        if self.target.of != MEAN and not self.exceptions:
            return "met"
        if not self.target.meets(self.number(self.target.by)):
            return "short"
        return "met" if self.target.of == MEAN else "met on average"


def rows(readings: Readings) -> dict[str, list[Row]]:
    """Return every target's row, by heading."""
    return {
        heading: [Row(target, target.read(readings)) for target in targets]
        for heading, targets in TARGETS.items()
    }


HEAD = ("target", "of", "asked", "reached", "medians", "worst", "")


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table as text."""
    target = row.target
    asked = f"{'<=' if target.most else '>='} {target.asked:g}" if target.asked else ""
    if not row.values:
        return target.what, "", asked, "", "", "", row.verdict
    estimated = "~" if any(timing.estimated for timing in row.values.values()) else ""
    reached, medians = (estimated + _short(row.number(s)) for s in ("minimum", "median"))
    return (
        target.what,
        str(len(row.values)),
        asked,
        reached,
        medians,
        _short(row.worst) if len(row.values) > 1 else "",
        row.verdict,
    )


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def table(readings: Readings) -> str:
    """Return all rows, with the layers that miss what is asked of each."""
    found = rows(readings)
    texts = [cells(row) for group in found.values() for row in group]
    widths = [max(len(text[i]) for text in [HEAD, *texts]) for i in range(len(HEAD))]
    lines = ["  " + _joined(HEAD, widths)]
    for heading, group in found.items():
        lines.append(heading)
        for row in group:
            lines.append("  " + _joined(cells(row), widths))
            lines += _named(row.exceptions)
    lines += ["", *summary([row for group in found.values() for row in group]), *readings.notes()]
    return "\n".join(lines)


def _joined(texts: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(texts, widths, strict=True)
    right = "  ".join(text.rjust(width) for text, width in rest[:-1])
    return f"{first[0].ljust(first[1])}  {right}  {texts[-1]}".rstrip()


def _named(exceptions: dict[str, float], a_line: int = 5) -> list[str]:
    texts = [f"{name} {_short(value)}" for name, value in exceptions.items()]
    starts = range(0, len(texts), a_line)
    return [f"      {', '.join(texts[start : start + a_line])}" for start in starts]


def summary(found: list[Row]) -> list[str]:
    """Return how many rows have which verdict."""
    verdicts = [row.verdict for row in found if row.target.asked is not None]
    counts = {word: verdicts.count(word) for word in dict.fromkeys(sorted(verdicts))}
    text = ", ".join(f"{count} {word}" for word, count in counts.items())
    return [f"{len(verdicts)} targets: {text}"]


def markdown(readings: Readings) -> str:
    """Return the table for a page."""
    lines = ["| " + " | ".join(HEAD) + " | layers that miss it |", "| --- " * 8 + "|"]
    for heading, group in rows(readings).items():
        lines.append(f"| **{heading}** |" + " |" * 7)
        for row in group:
            missed = ", ".join(_named(row.exceptions, 1000)).strip()
            lines.append("| " + " | ".join(cells(row)) + f" | {missed} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table of a results file."""
    parser = argparse.ArgumentParser(prog="bench.targets", description=__doc__.splitlines()[0])
    default = FOLDER / "results" / "results.json"
    parser.add_argument("results", nargs="?", type=Path, default=default)
    parser.add_argument("--markdown", action="store_true", help="for a page")
    options = parser.parse_args(arguments)
    readings = Readings(load(options.results))
    print(markdown(readings) if options.markdown else table(readings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
