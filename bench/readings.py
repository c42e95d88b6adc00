"""How the targets' values are read from a results file: ratios by layer, smallest and median."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from .kinds import is_grey, is_tiny, kind_of
from .peers import OURS
from .problems import Layer, Problem, problems_of
from .report import ratios
from .store import Document, records
from .timing import Timing

Values = dict[str, Timing]  # by layer; of a ratio, "minimum" is that of the smallest times
TOO_BUSY = 0.05  # of the CPUs' time, beyond which others disturbed the run


class Readings:
    """A results file, looked up by part."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.records = cache(lambda part: records(document, part))

    def ratios(self, op: str, part: str) -> dict[str, dict[str, Timing]]:
        """Return each peer's time / ours by problem, on one thread."""
        keys = {r.key for r in self.records(part) if r.op == op and r.threads == 1}
        if len(keys) > 1:
            raise SystemExit(f"the part {part} holds {op} in several settings: {sorted(keys)}")
        return ratios(self.records(part), keys.pop()) if keys else {}

    def timings(self, op: str, part: str, peer: str, threads: int = 1) -> Values:
        """Return one's own times by problem."""
        return {
            r.problem: r.timing
            for r in self.records(part)
            if (r.op, r.peer, r.threads) == (op, peer, threads) and r.timing
        }

    def notes(self) -> list[str]:
        """Tell what should be known of the run: other processes, parts on several machines."""
        lines = []
        for part, content in self.document.items():
            others = content["machine"].get("others")
            if others and others > TOO_BUSY:
                lines.append(f"{part}: other processes took {others:.0%} of the CPUs meanwhile")
        kept = {str(content["machine"]["processor"]) for content in self.document.values()}
        return lines + ([f"measured on several machines: {sorted(kept)}"] if len(kept) > 1 else [])


@cache
def _problem(op: str, name: str) -> Problem | None:
    return next((problem for problem in problems_of(op) if problem.name == name), None)


def _layers(values: Values, wanted: Callable[[Layer], bool], op: str = "forward") -> Values:
    """Return the values of the layers that are wanted."""
    found = {name: _problem(op, name) for name in values}
    return {
        name: values[name]
        for name, problem in found.items()
        if isinstance(problem, Layer) and wanted(problem)
    }


def divided(above: Timing, below: Timing) -> Timing:
    """Return the ratio of two times: of the smallest, and of the medians."""
    estimated = above.estimated or below.estimated
    return Timing(above.minimum / below.minimum, above.median / below.median, 0, estimated)


def torch_ratio(op: str, peer: str = "torch", part: str = "layers") -> Callable[[Readings], Values]:
    """Return a reading of a peer's times / ours."""

    def read(readings: Readings) -> Values:
        table = readings.ratios(op, part)
        return {name: row[peer] for name, row in table.items() if peer in row}

    return read


def among_kind(op: str, *kinds: str) -> Callable[[Readings], Values]:
    """Return a reading of PyTorch's times / ours, of layers of some kinds."""

    def read(readings: Readings) -> Values:
        return _layers(torch_ratio(op)(readings), lambda layer: kind_of(layer) in kinds)

    return read


def bandwidth(op: str) -> Callable[[Readings], Values]:
    """Return a reading of a copy's time / ours, to outputs that are there already."""
    return torch_ratio(op, "memory-copy", "reused")


def channels_last(op: str) -> Callable[[Readings], Values]:
    """Return a reading of our channels-first time / channels-last."""

    def read(readings: Readings) -> Values:
        last = torch_ratio(op, "fastconv-nhwc")(readings)
        return {name: Timing(1 / t.minimum, 1 / t.median, 0) for name, t in last.items()}

    return read


def our_time(wanted: Callable[[Layer], bool], scale: float) -> Callable[[Readings], Values]:
    """Return a reading of our forward time, in parts of a second."""

    def read(readings: Readings) -> Values:
        found = _layers(readings.timings("forward", "layers", OURS), wanted)
        return {n: Timing(t.minimum * scale, t.median * scale, 0) for n, t in found.items()}

    return read


def opencv_small(readings: Readings) -> Values:
    """Read OpenCV's time / ours on a small grey image."""
    found = torch_ratio("forward", "opencv")(readings)

    def small(layer: Layer) -> bool:
        return is_grey(layer) and not is_tiny(layer) and layer.height * layer.width <= 10_000

    return _layers(found, small)


def plain_python(grey: bool) -> Callable[[Readings], Values]:
    """Return a reading of the fastest of SciPy's functions and scikit-image's."""

    def read(readings: Readings) -> Values:
        best = {}
        for name, row in readings.ratios("forward", "layers").items():
            found = [t for peer, t in row.items() if peer.startswith(("scipy", "scikit"))]
            if found:
                best[name] = min(found, key=lambda t: t.minimum)
        return _layers(best, lambda layer: is_grey(layer) == grey)

    return read


def threads_gain(op: str, part: str, peer: str = OURS) -> Callable[[Readings], Values]:
    """Return a reading of the time of one thread / two."""

    def read(readings: Readings) -> Values:
        one, two = (readings.timings(op, part, peer, threads) for threads in (1, 2))
        return {name: divided(one[name], two[name]) for name in one if name in two}

    return read


def on_two_threads(op: str, part: str) -> Callable[[Readings], Values]:
    """Return a reading of PyTorch's time / ours, both on two threads."""

    def read(readings: Readings) -> Values:
        theirs, ours = (readings.timings(op, part, peer, 2) for peer in ("torch", OURS))
        return {name: divided(theirs[name], ours[name]) for name in ours if name in theirs}

    return read


def workspace(readings: Readings) -> Values:
    """Read the megabytes that a call takes beside its arrays and the packed weights."""
    return {name: _same(max(0, grown) / 2**20) for name, (grown, _) in _memory(readings).items()}


def share_of_images(readings: Readings) -> Values:
    """Read the same as a share of the images."""
    return {name: _same(max(0, grown) / x) for name, (grown, x) in _memory(readings).items()}


def _memory(readings: Readings) -> dict[str, tuple[int, int]]:
    rows = readings.document.get("memory", {}).get("records", [])
    return {
        f"{row['op']} {row['problem']}": (row["grown"] - row["packed"], row["images"])
        for row in rows
    }


def _same(value: float) -> Timing:
    return Timing(value, value, 0)


def training(who: str, threads: int) -> Callable[[Readings], Values]:
    """Return a reading of a step's time / ours by network."""

    def read(readings: Readings) -> Values:
        found = {}
        for row in readings.document.get("training", {}).get("records", []):
            steps = {name: Timing(**timing) for name, timing in row["steps"].items()}
            if row["threads"] == threads and who in steps:
                found[row["network"]] = divided(steps[who], steps[OURS])
        return found

    return read


def import_time(readings: Readings) -> Values:
    """Read the milliseconds of an import beyond NumPy's."""
    imports = readings.document.get("start", {}).get("imports")
    if not imports:
        return {}
    ours, numpy = (Timing(**imports[name]) for name in (OURS, "numpy"))
    beside = Timing(1e3 * (ours.minimum - numpy.minimum), 1e3 * (ours.median - numpy.median), 0)
    return {"import": beside}


def wheel_size(readings: Readings) -> Values:
    """Read the megabytes of the wheel."""
    wheel = readings.document.get("start", {}).get("wheel")
    return {wheel[0]: _same(wheel[1] / 1e6)} if wheel else {}
