"""The other layout's way: some images at a time are brought to it, and what is made of them back.

Channels last, lanes are channels or filters: where there are few of them most lanes would be idle.
Channels first, lanes are pixels of a row, and the rows of small maps are short. The copies are of
as many images as the second cache holds, one at least; for grad_w of some rows of one, if it is
larger.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ._core.recycling import Recycler
from ._core.relay import relay
from .geometry import ConvGeometry
from .threads import current

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Native = Callable[[str, ConvGeometry], Any]

COPIED = 1 << 18  # elements of images and outputs at a time
MOST = 1 << 21  # of one image and its output
_memory = Recycler()  # of the copies: the next call finds its pages mapped


def fits(geometry: ConvGeometry) -> bool:
    """Whether the copy of one image and its output is small."""
    return _elements(geometry) <= MOST


def rows_fit(geometry: ConvGeometry) -> bool:
    """Whether the copies for grad_w are small: those of some rows, if channels are last."""
    g = geometry
    if g.data_format != "NHWC":
        return fits(g)
    rows = _rows_each(g)
    reached = min(g.height, (rows - 1) * g.stride_h + _reach(g))
    return reached * g.width * g.channels + rows * g.out_w * g.filters <= MOST


def _elements(geometry: ConvGeometry) -> int:
    g = geometry
    return g.channels * g.height * g.width + g.filters * g.out_h * g.out_w


@lru_cache(maxsize=4096)
def _other(geometry: ConvGeometry, samples: int) -> ConvGeometry:
    data_format = "NCHW" if geometry.data_format == "NHWC" else "NHWC"
    return dataclasses.replace(geometry, samples=samples, data_format=data_format)


def _pieces(geometry: ConvGeometry) -> Iterator[tuple[slice, ConvGeometry]]:
    """Yield some images after the others, and their geometry in the other layout."""
    each = max(1, COPIED // _elements(geometry))
    for first in range(0, geometry.samples, each):
        last = min(first + each, geometry.samples)
        yield slice(first, last), _other(geometry, last - first)


def _reach(geometry: ConvGeometry) -> int:
    return (geometry.kernel_h - 1) * geometry.dilation_h + 1


def _rows_each(geometry: ConvGeometry) -> int:
    """Return how many rows of outputs a copy is of: few would share little of what they read."""
    g = geometry
    row = g.stride_h * g.width * g.channels + g.out_w * g.filters
    return min(g.out_h, max(COPIED // row, -(-_reach(g) // g.stride_h)))


@lru_cache(maxsize=4096)
def _strips(geometry: ConvGeometry) -> list[tuple[slice, slice, ConvGeometry]]:
    """Return rows of an image's outputs, the rows of x that they read, and their geometry."""
    g = geometry
    count = -(-g.out_h // _rows_each(g))
    strips = []
    for strip in range(count):
        first, last = g.out_h * strip // count, g.out_h * (strip + 1) // count
        top = first * g.stride_h - g.pad_top
        bottom = (last - 1) * g.stride_h - g.pad_top + _reach(g)
        low, high = max(0, top), min(g.height, bottom)
        if low >= high:  # nothing but padding
            continue
        inner = dataclasses.replace(
            g,
            samples=1,
            height=high - low,
            pad_top=low - top,
            pad_bottom=bottom - high,
            out_h=last - first,
        )
        strips.append((slice(first, last), slice(low, high), inner))
    return strips


def _empty(shape: tuple[int, ...], like: Array) -> Array:
    with _memory.use():
        return np.empty(shape, like.dtype)


def _relay(images: Array, out: Array, geometry: ConvGeometry) -> Array:
    """Fill out with images that are in the geometry's layout, and return it."""
    _, a, b, c = images.shape
    rows, columns = (a * b, c) if geometry.data_format == "NHWC" else (a, b * c)
    relay(images, out, rows, columns, current())
    return out


def forward(
    native: Native,
    geometry: ConvGeometry,
    x: Array,
    w: Array,
    bias: Array | None,
    out: Array,
    relu: bool,
    prepared: Any = None,
) -> None:
    """Fill out with the convolution."""
    for part, inner in _pieces(geometry):
        images = _relay(x[part], _empty(inner.x_shape, x), geometry)
        made = _empty(inner.out_shape, out)
        kept = () if prepared is None else (prepared,)
        native("forward", inner).run(inner, images, w, bias, made, relu, *kept)
        _relay(made, out[part], inner)


def grad_x(
    native: Native,
    geometry: ConvGeometry,
    grad: Array,
    w: Array,
    bias: Array | None,
    out: Array,
) -> None:
    """Fill out with the gradient for x."""
    for part, inner in _pieces(geometry):
        grads = _relay(grad[part], _empty(inner.out_shape, grad), geometry)
        made = _empty(inner.x_shape, out)
        native("grad_x", inner).run(inner, grads, w, bias, made)
        _relay(made, out[part], inner)


def grad_w(native: Native, geometry: ConvGeometry, grad: Array, x: Array, out: Array) -> None:
    """Fill out with the gradient for w: the sum of those of the pieces, in order."""
    target = out
    for grads, images, inner in _pieces_of_grad_w(geometry, grad, x):
        grads = _relay(grads, _empty(inner.out_shape, grad), geometry)
        images = _relay(images, _empty(inner.x_shape, x), geometry)
        native("grad_w", inner).run(inner, grads, images, target)
        if target is not out:
            out += target
        target = np.empty_like(out)
    if target is out:  # no output's window reaches the image
        out[...] = 0


def _pieces_of_grad_w(
    geometry: ConvGeometry, grad: Array, x: Array
) -> Iterator[tuple[Array, Array, ConvGeometry]]:
    """Yield some images, or some rows of one, after the others."""
    if geometry.data_format != "NHWC" or _elements(geometry) <= COPIED:
        for part, inner in _pieces(geometry):
            yield grad[part], x[part], inner
        return
    for n in range(geometry.samples):
        for outputs, rows, strip in _strips(geometry):
            yield grad[n : n + 1, outputs], x[n : n + 1, rows], _other(strip, 1)
