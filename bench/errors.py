"""The error of every algorithm on every layer, beside PyTorch's: `python -m bench.errors --help`.

An error is what differs from the same sum in more bits: float64 for float32, long double for
float64. It is given as a share of the sum of |x| |w|, in units u of rounding (2^-24, 2^-53): the
root of the mean of squares over all results, and the largest. That is what an order of sums is
judged by, whatever cancels. `of largest` is the largest error as a share of the largest result.

Every algorithm of the plan that can run a layer does, chosen or not, in both layouts; `highest` is
what `fc.precision("highest")` makes, `torch` PyTorch. Batches and images are cut to what the plain
NumPy twin computes in a second: errors depend on channels and taps, and for grad_w on pixels.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import fastconv as fc
from fastconv import choice, plan, reference, relaid
from fastconv._core import conv, weights
from fastconv.geometry import ConvGeometry, conv_geometry

from . import store
from .machine import describe
from .peers import installed
from .peers.base import Arrays, Unsupported
from .peers.ours import Fastconv, FastconvChannelsLast
from .problems import FOLDER, QUICK, Layer, read_layers

OPS = ("forward", "grad_x", "grad_w")
UNITS = {"float32": 2.0**-24, "float64": 2.0**-53}
WIDER = {"float32": np.float64, "float64": np.longdouble}
MOST = {"float32": 1e8, "float64": 2e7}  # operations of a layer as it is cut
LIMITS = {"float32": 4e-6, "float64": 1e-14}  # of the largest result
OURS = {"NCHW": Fastconv(), "NHWC": FastconvChannelsLast()}


@dataclass
class Error:
    """The error of one algorithm on one layer."""

    op: str
    dtype: str
    layer: str
    algorithm: str
    layout: str
    mean: float  # the root of the mean of squares, in u
    most: float  # the largest, in u
    of_largest: float
    chosen: bool = False  # whether the plan takes this algorithm


class Right:
    """Operations on a layer's arrays in more bits, and their sums of |x| |w|."""

    def __init__(self, layer: Layer, dtype: str) -> None:
        self.layer, self.dtype, self.arrays = layer, dtype, layer.arrays(dtype)
        twin = Fastconv(reference)
        wide = {name: array.astype(WIDER[dtype]) for name, array in self.arrays.items()}
        sums = {name: np.abs(array).astype(np.float64) for name, array in self.arrays.items()}
        self.results = {op: twin.bound(op, layer, wide)() for op in OPS}
        self.sums = {op: twin.bound(op, layer, sums)() for op in OPS}

    def error(self, op: str, found: np.ndarray, algorithm: str, layout: str) -> Error:
        """Judge a result, laid out channels first."""
        want, sums = self.results[op], self.sums[op]
        difference = np.abs(found - want).astype(np.float64)
        unit = UNITS[self.dtype]
        mean = np.sqrt(np.sum(difference**2) / np.sum(sums**2)) / unit
        most = np.max(difference / np.maximum(sums, np.finfo(self.dtype).tiny)) / unit
        of_largest = float(difference.max() / np.abs(want).max())
        values = float(mean), float(most), of_largest
        return Error(op, self.dtype, self.layer.name, algorithm, layout, *values)


def cut(layer: Layer, most: float) -> Layer:
    """Return the layer with fewer samples, then fewer rows and columns, for `most` operations."""
    while layer.operations > most and layer.samples > 1:
        layer = replace(layer, samples=layer.samples // 2)
    least = 2 * layer.dilation * max(layer.kernel_h, layer.kernel_w) + 4
    while layer.operations > most and min(layer.height, layer.width) > least:
        height, width = (max(least, size * 3 // 4) for size in (layer.height, layer.width))
        layer = replace(layer, height=height, width=width)
    return layer


# --------------------------------------------------------------------------------- algorithms


def _several_a_group(g: ConvGeometry) -> bool:
    return 1 not in (g.channels // g.groups, g.filters // g.groups)


def _runs(op: str) -> dict[str, Callable[[ConvGeometry], bool]]:
    """Return which algorithms can run a geometry that they are not the best for."""
    gradient, last = op == "grad_x", choice.channels_last

    def tiles(g: ConvGeometry) -> bool:
        return g.stride_h * g.stride_w == 1 < g.kernel_h * g.kernel_w and _several_a_group(g)

    def strips(g: ConvGeometry) -> bool:
        return _several_a_group(g) and bool(conv.strips_fit(g.numbers, gradient))

    def direct(g: ConvGeometry) -> bool:
        return not (last(g) and g.groups > 1) and bool(conv.band_fits(g.numbers, gradient))

    if op == "grad_w":
        return {
            "winograd": tiles,
            "relaid": relaid.rows_fit,
            "dot": lambda g: not last(g) and bool(weights.band_fits(g.numbers, "dot")),
        }
    return {
        "winograd": tiles,
        "strips": strips,
        "direct": direct,
        "turned": lambda g: (
            not last(g) and _several_a_group(g) and bool(conv.turned_fits(g.numbers))
        ),
        "scatter": lambda g: _several_a_group(g) and bool(conv.scatter_fits(g.numbers)),
        "relaid": relaid.fits,
    }


def algorithms(op: str, geometry: ConvGeometry) -> Iterator[plan.Row]:
    """Yield all rows of the plan that can run a geometry."""
    runs = _runs(op)
    for row in plan.ROWS[op]:
        if row.accepts(geometry) or (row.name in runs and runs[row.name](geometry)):
            yield row


def geometry_of(layer: Layer, layout: str) -> ConvGeometry:
    x_shape, w_shape = layer.x_shape, layer.w_shape
    if layout == "NHWC":
        x_shape = tuple(x_shape[axis] for axis in (0, 2, 3, 1))
        w_shape = tuple(w_shape[axis] for axis in (2, 3, 1, 0))
    sizes = layer.stride, layer.padding, layer.dilation, layer.groups
    return conv_geometry("errors", x_shape, w_shape, *sizes, layout)


def run(op: str, row: plan.Row, geometry: ConvGeometry, arrays: Arrays) -> np.ndarray:
    """Return what a row makes of arrays, laid out channels first."""
    last = geometry.data_format == "NHWC"
    axes = (0, 2, 3, 1) if last else (0, 1, 2, 3)
    x, grad = (arrays[name].transpose(axes) for name in ("x", "grad"))
    x, grad, w = np.ascontiguousarray(x), np.ascontiguousarray(grad), arrays["w"]
    if op == "grad_w":
        out = np.full(w.shape, np.nan, w.dtype)
        row.run(geometry, grad, x, out)
        return out
    out = np.full(geometry.out_shape if op == "forward" else geometry.x_shape, np.nan, w.dtype)
    if op == "forward":
        row.run(geometry, x, w, None, out, False)
    else:
        row.run(geometry, grad, w, None, out)
    return out.transpose(0, 3, 1, 2) if last else out


def errors_of(layer: Layer, dtype: str, layouts: tuple[str, ...]) -> Iterator[Error]:
    """Yield the errors of all algorithms, and of PyTorch where it is installed."""
    right = Right(layer, dtype)
    torch = installed("torch")[0].get("torch")
    for op in OPS:
        for layout in layouts:
            geometry = geometry_of(layer, layout)
            chosen = plan.choose(op, geometry)
            for row in algorithms(op, geometry):
                found = run(op, row, geometry, right.arrays)
                error = right.error(op, found, row.name, layout)
                yield replace(error, chosen=row is chosen)
            with fc.precision("highest"):
                ours = OURS[layout].prepare(op, layer, right.arrays, False)
                yield right.error(op, ours.to_numpy(ours.call()), "highest", layout)
        if torch is not None:
            try:
                theirs = torch.prepare(op, layer, right.arrays, False)
            except Unsupported:
                continue
            yield right.error(op, theirs.to_numpy(theirs.call()), "torch", "NCHW")


# --------------------------------------------------------------------------------- tables


def by_algorithm(errors: list[Error]) -> str:
    """Return a Markdown table: a row for each operation and algorithm, over all layers."""
    lines = [
        "| | algorithm | layers | mean, u | at most, u | of the largest result |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    keys = dict.fromkeys((error.op, error.algorithm) for error in errors)
    for op, algorithm in sorted(keys, key=lambda key: (OPS.index(key[0]), key[1])):
        found = [error for error in errors if (error.op, error.algorithm) == (op, algorithm)]
        means = [error.mean for error in found]
        lines.append(
            f"| {op} | {algorithm} | {len({error.layer for error in found})} "
            f"| {min(means):.2f} to {max(means):.2f}, median {statistics.median(means):.2f} "
            f"| {max(error.most for error in found):.1f} "
            f"| {max(error.of_largest for error in found):.1e} |"
        )
    return "\n".join(lines)


def by_layer(errors: list[Error]) -> str:
    """Return a Markdown table: a row for each layer, with what the plan takes, channels first."""
    cells: dict[str, dict[str, str]] = {}
    for error in errors:
        if error.layout != "NCHW":
            continue
        row = cells.setdefault(error.layer, {})
        if error.chosen:
            row[error.op] = f"{error.algorithm} {error.mean:.2f}"
        elif error.algorithm in ("highest", "torch"):
            row[f"{error.op} {error.algorithm}"] = f"{error.mean:.2f}"
    names = [f"{op}{kind}" for op in OPS for kind in ("", " highest", " torch")]
    lines = ["| layer | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    for layer, row in cells.items():
        lines.append(f"| {layer} | " + " | ".join(row.get(name, "-") for name in names) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    description = __doc__.split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m bench.errors", description=description)
    add = parser.add_argument
    add("--dtypes", default="float32,float64", help="default: %(default)s")
    add("--layers", default="*", help="names of layers: comma-separated patterns")
    add("--quick", action="store_true", help="a few layers, cut small")
    add("--output", type=Path, default=FOLDER / "results" / "results.json")
    options = parser.parse_args(arguments)
    peers, missing = installed("torch")
    beyond: list[Error] = []
    records: list[Error] = []
    for dtype in options.dtypes.split(","):
        found = []
        for layer in read_layers(QUICK if options.quick else options.layers):
            small = cut(layer, MOST[dtype] / (20 if options.quick else 1))
            found += errors_of(small, dtype, ("NCHW", "NHWC"))
            print(f"{dtype} {layer.name}: {small.x_shape}", file=sys.stderr, flush=True)
        beyond += [error for error in found if not error.of_largest <= LIMITS[dtype]]
        records += found
        print(f"\n{dtype}, errors as shares of the sum of |x| |w|\n\n{by_algorithm(found)}")
        print(f"\n{by_layer(found)}\n", flush=True)
    for error in beyond:
        print(f"BEYOND the limit: {error}")
    content = {"machine": describe(peers, missing), "records": [asdict(e) for e in records]}
    store.put(options.output, "errors", content)
    return 1 if any(error.algorithm != "torch" for error in beyond) else 0


if __name__ == "__main__":
    sys.exit(main())
