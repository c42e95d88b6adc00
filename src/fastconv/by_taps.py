"""The generic way: a sum over taps, each the 1x1 convolution of the pixels that it meets.

    out[:, :, i, j] += w[:, :, r, s] * x[:, :, i * stride - pad + r * dilation, ...]

For every tap only the outputs whose pixel lies inside of the image take part, so nothing is ever
multiplied with padding: infinite weights stay where they belong, and no stride, dilation or padding
is too large. It copies x once a tap, and is the last row of every table of the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ._core import conv, weights
from .geometry import ConvGeometry
from .threads import useful_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

AT_ONCE = 1 << 22  # elements of images and outputs


@dataclass(frozen=True)
class _Tap:
    """One tap: its place in the kernel, the pixels it meets, and the outputs it adds to."""

    kernel: tuple[slice, ...]
    pixels: tuple[slice, ...]
    outputs: tuple[slice, ...]
    numbers: Array
    threads: int
    driver: str


def _meeting(
    size: int, out: int, stride: int, dilation: int, pad: int, tap: int
) -> tuple[slice, slice] | None:
    """Return the outputs of one axis whose pixel a tap finds inside, and those pixels."""
    shift = tap * dilation - pad
    low = max(0, -(shift // stride))
    high = min(out, (size - 1 - shift) // stride + 1)
    if low >= high:
        return None
    first = low * stride + shift
    return slice(low, high), slice(first, (high - 1) * stride + shift + 1, stride)


def _taps(geometry: ConvGeometry) -> Iterator[_Tap]:
    g = geometry
    last = g.data_format == "NHWC"
    whole = slice(None)
    for r in range(g.kernel_h):
        rows = _meeting(g.height, g.out_h, g.stride_h, g.dilation_h, g.pad_top, r)
        for s in range(g.kernel_w) if rows else ():
            columns = _meeting(g.width, g.out_w, g.stride_w, g.dilation_w, g.pad_left, s)
            if rows is None or columns is None:
                continue
            outputs, pixels = zip(rows, columns, strict=True)
            size = [axis.stop - axis.start for axis in outputs]
            numbers = g.numbers.copy()
            numbers[2:4] = numbers[14:16] = size  # height and width, out_h and out_w
            numbers[5:11] = 1  # kernel, stride, dilation
            numbers[11:13] = 0  # padding
            work = g.samples * size[0] * size[1] * g.filters * (g.channels // g.groups)
            yield _Tap(
                kernel=(whole, whole, slice(r, r + 1), slice(s, s + 1)),
                pixels=(whole, *pixels) if last else (whole, whole, *pixels),
                outputs=(whole, *outputs) if last else (whole, whole, *outputs),
                numbers=numbers,
                threads=useful_threads(work),
                driver="rows" if numbers[-1] else "panels",
            )


def _pieces(geometry: ConvGeometry) -> Iterator[tuple[slice, ConvGeometry]]:
    """Yield some images after the others: NumPy's passes are short, and what a tap adds small."""
    g = geometry
    each = max(1, AT_ONCE // max(1, prod(g.x_shape[1:]) + prod(g.out_shape[1:])))
    for first in range(0, g.samples, each):
        last = min(first + each, g.samples)
        yield slice(first, last), replace(g, samples=last - first) if each < g.samples else g


def start(out: Array, bias: Array | None, data_format: str) -> None:
    """Fill out with what a sum over nothing gives: the bias, or zero."""
    out[...] = 0
    if bias is not None:
        out += bias if data_format == "NHWC" else bias[:, None, None]


def forward(
    geometry: ConvGeometry, x: Array, w: Array, bias: Array | None, out: Array, relu: bool
) -> None:
    """Fill out with the convolution of x with w."""
    for images, inner in _pieces(geometry):
        _forward(inner, x[images], w, bias, out[images], relu)


def _forward(
    geometry: ConvGeometry, x: Array, w: Array, bias: Array | None, out: Array, relu: bool
) -> None:
    start(out, bias, geometry.data_format)
    for tap in _taps(geometry):
        part = np.empty_like(out[tap.outputs], order="C")
        image = np.ascontiguousarray(x[tap.pixels])
        conv.forward(
            tap.numbers, image, w[tap.kernel], None, part, False, tap.threads, True, tap.driver
        )
        with np.errstate(all="ignore"):
            out[tap.outputs] += part
    if relu:
        np.maximum(out, 0, out=out)


def grad_x(geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array) -> None:
    """Fill out with the gradient for x, plus a bias for each of its channels."""
    for images, inner in _pieces(geometry):
        _grad_x(inner, grad[images], w, bias, out[images])


def _grad_x(geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array) -> None:
    start(out, bias, geometry.data_format)
    for tap in _taps(geometry):
        part = np.empty_like(out[tap.pixels], order="C")
        grads = np.ascontiguousarray(grad[tap.outputs])
        conv.grad_x(tap.numbers, grads, w[tap.kernel], None, part, tap.threads, True, tap.driver)
        with np.errstate(all="ignore"):
            out[tap.pixels] += part


def grad_w(geometry: ConvGeometry, grad: Array, x: Array, out: Array) -> None:
    """Fill out with the gradient for w."""
    out[...] = 0
    for tap in _taps(geometry):
        image = np.ascontiguousarray(x[tap.pixels])
        grads = np.ascontiguousarray(grad[tap.outputs])
        weights.grad_w(tap.numbers, grads, image, out[tap.kernel], tap.threads, True, "lanes")
