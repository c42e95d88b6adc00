"""The way of numbers so small that products with them take a processor a hundred times as long.

Instead of denormal numbers, powers of two times them are computed with, and the results divided by
these: exact but for results that are denormal, which are rounded once where every step would have
been. The engine says that it met such numbers (`runtime.SlowNumbers`) after it has begun. What it
meets in an image depends on that and the weights alone, and where it meets none the bits are the
same both ways; so an image's bits depend neither on what else is in the batch nor on the threads.

Where such a multiple overflows, the numbers are computed with as they are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ._core import runtime
from .geometry import ConvGeometry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

COPIED = 1 << 20  # elements of images at a time
# Powers of two, by the size of a number: for images, for weights, and for both operands of a
# gradient for weights. The multiples of denormal numbers are normal, as are most products of them.
POWERS = {4: (64, 32, 48), 8: (512, 256, 384)}


def by_images(
    compute: Callable[..., None],
    geometry: ConvGeometry,
    images: Array,
    w: Array,
    bias: Array | None,
    out: Array,
) -> None:
    """Fill out as `compute(geometry, images, w, bias, out)` does, of images or of gradients."""
    power, power_of_w, _ = POWERS[out.itemsize]
    power_of_w = power_of_w if _hold_denormals(w) else 0
    with _unwatched():
        multiple = _times(w, power_of_w) if power_of_w else w
        of_bias = None if bias is None else _times(bias, power + power_of_w)
        for part, inner in _pieces(geometry):
            target = out[part]
            compute(inner, _times(images[part], power), multiple, of_bias, target)
            overflown = np.flatnonzero(~np.isfinite(target).all(axis=(1, 2, 3)))
            _divide(target, power, power_of_w)
            for n in overflown:
                one = slice(n, n + 1)
                compute(_of_samples(geometry, 1), images[part][one], w, bias, target[one])


def grad_w(
    compute: Callable[..., None],
    geometry: ConvGeometry,
    grad: Array,
    x: Array,
    out: Array,
    grad_bias: Array | None,
) -> None:
    """Fill out and grad_bias as `compute(geometry, grad, x, out, grad_bias)` does."""
    alone, _, both = POWERS[out.itemsize]
    of_grad, of_x = both, both
    if _hold_denormals(grad) != _hold_denormals(x):
        of_grad, of_x = (alone, 0) if _hold_denormals(grad) else (0, alone)
    with _unwatched():
        multiples = (_times(a, power) if power else a for a, power in ((grad, of_grad), (x, of_x)))
        compute(geometry, *multiples, out, grad_bias)
        results = (out,) if grad_bias is None else (out, grad_bias)
        if not all(np.isfinite(result).all() for result in results):
            compute(geometry, grad, x, out, grad_bias)
            return
        _divide(out, of_x, of_grad)
        if grad_bias is not None:
            _divide(grad_bias, of_grad)


@contextmanager
def _unwatched() -> Generator[None, None, None]:
    """Let this thread compute whatever it meets, and NumPy be as quiet as the engine."""
    before = runtime.leave_unwatched(True)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        runtime.leave_unwatched(before)


def _hold_denormals(array: Array) -> bool:
    return bool(((np.abs(array) < np.finfo(array.dtype).tiny) & (array != 0)).any())


def _times(array: Array, power: int) -> Array:
    return array * array.dtype.type(2.0**power)


def _divide(array: Array, *powers: int) -> None:
    # one after the other: what is denormal after the first is nothing after the second
    for power in powers:
        if power:
            array *= array.dtype.type(2.0**-power)


def _pieces(geometry: ConvGeometry) -> Iterator[tuple[slice, ConvGeometry]]:
    """Yield some images after the others, and their geometry."""
    g = geometry
    each = max(1, COPIED // (g.channels * g.height * g.width + g.filters * g.out_h * g.out_w))
    for first in range(0, g.samples, each):
        last = min(first + each, g.samples)
        yield slice(first, last), _of_samples(g, last - first)


@lru_cache(maxsize=256)
def _of_samples(geometry: ConvGeometry, samples: int) -> ConvGeometry:
    return dataclasses.replace(geometry, samples=samples)
