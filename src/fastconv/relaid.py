"""The other layout's way: some images at a time are brought to it, and what is made of them back.

Channels last, lanes are channels or filters: where there are few of them most lanes would be idle.
Channels first, lanes are pixels of a row, and the rows of small maps are short. The copies are of
as many images as the second cache holds, one at least.
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
    for part, inner in _pieces(geometry):
        grads = _relay(grad[part], _empty(inner.out_shape, grad), geometry)
        images = _relay(x[part], _empty(inner.x_shape, x), geometry)
        made = out if part.start == 0 else np.empty_like(out)
        native("grad_w", inner).run(inner, grads, images, made)
        if made is not out:
            out += made
