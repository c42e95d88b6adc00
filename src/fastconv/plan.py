"""Which driver runs: for every op an ordered table of rows, the first that accepts a geometry.

A row has a name, `accepts(geometry)` and `run(geometry, ...)`; the last of a table accepts all it
is given, and each row is right for whatever it accepts, so that tests may run them all. The choice
looks at the geometry of one image and never at the number of samples or threads: an image's result
does not depend on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._core import conv, pool, weights
from .geometry import ConvGeometry, PoolGeometry
from .threads import current

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

# multiply-adds below which a second thread costs more than it brings
WORK_OF_A_THREAD = 1 << 19


@dataclass(frozen=True)
class Row:
    """One way to compute an op."""

    name: str
    accepts: Callable[[ConvGeometry], bool]
    run: Callable[..., None]


def _threads(geometry: ConvGeometry) -> int:
    work = geometry.samples * geometry.out_h * geometry.out_w * geometry.filters
    work *= geometry.channels // geometry.groups * geometry.kernel_h * geometry.kernel_w
    return max(1, min(current(), work // WORK_OF_A_THREAD))


def _channels_last(geometry: ConvGeometry) -> bool:
    return geometry.data_format == "NHWC"


def _depthwise_last(geometry: ConvGeometry) -> bool:
    return _channels_last(geometry) and geometry.channels == geometry.filters == geometry.groups


def _forward_by(name: str) -> Callable[..., None]:
    def run(
        geometry: ConvGeometry, x: Array, w: Array, bias: Array | None, out: Array, relu: bool
    ) -> None:
        conv.forward(geometry.numbers, x, w, bias, out, relu, _threads(geometry), name)

    return run


def _grad_x_by(name: str) -> Callable[..., None]:
    def run(geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array) -> None:
        conv.grad_x(geometry.numbers, grad, w, bias, out, _threads(geometry), name)

    return run


def _grad_x_by_columns(
    geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array
) -> None:
    w = np.ascontiguousarray(w)
    conv.grad_x_by_columns(geometry.numbers, grad, w, bias, out, _threads(geometry))


def _grad_w_by(name: str) -> Callable[..., None]:
    def run(geometry: ConvGeometry, grad: Array, x: Array, out: Array) -> None:
        weights.grad_w(geometry.numbers, grad, x, out, _threads(geometry), name)

    return run


def _grad_w_by_taps(geometry: ConvGeometry, grad: Array, x: Array, out: Array) -> None:
    """Compute one tap after the other from the pixels it meets, gathered as an image of their own.

    For strides, dilations and paddings so large that a padded copy of x could not be held.
    """
    rows_axis = 1 if _channels_last(geometry) else 2
    shape = (geometry.samples, geometry.out_h, geometry.out_w, geometry.channels)
    if not _channels_last(geometry):
        shape = (geometry.samples, geometry.channels, geometry.out_h, geometry.out_w)
    pixels = np.empty(shape, x.dtype)
    numbers = geometry.numbers.copy()
    numbers[[2, 3]] = geometry.out_h, geometry.out_w  # height, width
    numbers[5:11] = 1  # kernel, stride, dilation
    numbers[[11, 12]] = 0  # padding
    for r in range(geometry.kernel_h):
        for s in range(geometry.kernel_w):
            y = np.arange(geometry.out_h) * geometry.stride_h
            z = np.arange(geometry.out_w) * geometry.stride_w
            y += r * geometry.dilation_h - geometry.pad_top
            z += s * geometry.dilation_w - geometry.pad_left
            rows = np.flatnonzero((y >= 0) & (y < geometry.height))
            columns = np.flatnonzero((z >= 0) & (z < geometry.width))
            pixels[...] = 0
            to = (slice(None),) * rows_axis + np.ix_(rows, columns)
            pixels[to] = x[(slice(None),) * rows_axis + np.ix_(y[rows], z[columns])]
            tap = out[:, :, r : r + 1, s : s + 1]
            weights.grad_w(numbers, grad, pixels, tap, _threads(geometry), "lanes")


# ---------------------------------------------------------------------------------- choice


def _band_pays(geometry: ConvGeometry) -> bool:
    """Whether the direct driver does less than gathering panels would.

    It multiplies the padded width of each row, panels pay for gathering each tap once a panel,
    which is about seven filters' worth of multiplications.
    """
    if _channels_last(geometry) or not conv.band_fits(geometry.numbers, 8):
        return False
    filters = geometry.filters // geometry.groups
    padded = geometry.out_w + (geometry.kernel_w - 1) * geometry.dilation_w // geometry.stride_w
    return padded / geometry.out_w <= 1 + 7 / filters


def _columns_pay(geometry: ConvGeometry) -> bool:
    """Whether a full convolution of the gradient would waste much: small maps without padding."""
    if _channels_last(geometry):
        return False
    return geometry.height * geometry.width >= 1.3 * geometry.out_h * geometry.out_w and (
        geometry.stride_h == geometry.stride_w == 1
    )


def _band_of_weights_fits(geometry: ConvGeometry) -> bool:
    return bool(weights.band_fits(geometry.numbers))


def _few_filters(geometry: ConvGeometry) -> bool:
    if _channels_last(geometry) or geometry.filters // geometry.groups > 4:
        return False
    return _band_of_weights_fits(geometry)


FORWARD = (
    Row("depthwise", _depthwise_last, _forward_by("depthwise")),
    Row("rows", _channels_last, _forward_by("rows")),
    Row("direct", _band_pays, _forward_by("direct")),
    Row("panels", lambda geometry: not _channels_last(geometry), _forward_by("panels")),
)
GRAD_X = (
    Row(
        "depthwise",
        lambda geometry: _depthwise_last(geometry) and geometry.stride_h == geometry.stride_w == 1,
        _grad_x_by("depthwise"),
    ),
    Row("rows", _channels_last, _grad_x_by("rows")),
    Row("columns", _columns_pay, _grad_x_by_columns),
    Row("direct", _band_pays, _grad_x_by("direct")),
    Row("panels", lambda geometry: not _channels_last(geometry), _grad_x_by("panels")),
)
GRAD_W = (
    Row("dot", _few_filters, _grad_w_by("dot")),
    Row("lanes", _band_of_weights_fits, _grad_w_by("lanes")),
    Row("taps", lambda geometry: True, _grad_w_by_taps),
)
ROWS = {"forward": FORWARD, "grad_x": GRAD_X, "grad_w": GRAD_W}


def choose(op: str, geometry: ConvGeometry) -> Row:
    """Return the first row of the op's table that accepts the geometry."""
    return next(row for row in ROWS[op] if row.accepts(geometry))


def algorithm(geometry: ConvGeometry, dtype: object = None) -> str:
    """Return the name of the row that the forward pass of a geometry runs."""
    return choose("forward", geometry).name


# --------------------------------------------------------------------------------- the ops


def _empty(geometry: ConvGeometry) -> bool:
    return geometry.samples == 0 or geometry.channels == 0 or geometry.filters == 0


def _fill(geometry: ConvGeometry, out: Array, bias: Array | None, relu: bool = False) -> None:
    """Fill out with what a sum over nothing gives: the bias, or zero."""
    if bias is None:
        out[...] = 0
    elif _channels_last(geometry):
        out[...] = bias
    else:
        out[...] = bias[:, None, None]
    if relu:
        np.maximum(out, 0, out=out)


def forward(
    geometry: ConvGeometry, x: Array, w: Array, bias: Array | None, out: Array, relu: bool
) -> None:
    """Fill out with the convolution of x with w."""
    if _empty(geometry):
        _fill(geometry, out, bias, relu)
    else:
        choose("forward", geometry).run(geometry, x, w, bias, out, relu)


def grad_x(geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array) -> None:
    """Fill out with the gradient for x, plus a bias for each of its channels."""
    if _empty(geometry):
        _fill(geometry, out, bias)
    else:
        choose("grad_x", geometry).run(geometry, grad, w, bias, out)


def grad_w(
    geometry: ConvGeometry, grad: Array, x: Array, out: Array, grad_bias: Array | None
) -> None:
    """Fill out with the gradient for w, and grad_bias with that for the bias."""
    if _empty(geometry):
        out[...] = 0
    else:
        choose("grad_w", geometry).run(geometry, grad, x, out)
    if grad_bias is not None:
        if geometry.samples == 0 or geometry.filters == 0:
            grad_bias[...] = 0
        else:
            weights.grad_bias(geometry.numbers, grad, grad_bias, _threads(geometry))


def max_pool(geometry: PoolGeometry, x: Array, out: Array, indices: Array | None) -> None:
    """Fill out with the maxima, and indices with their places."""
    if out.size:
        pool.max_pool(geometry.numbers, x, out, indices, current())


def max_pool_grad_x(geometry: PoolGeometry, grad: Array, indices: Array, out: Array) -> bool:
    """Fill out with the gradient for x; return whether every index was in range."""
    if out.size == 0:
        return True
    return bool(pool.max_pool_grad_x(geometry.numbers, grad, indices, out, current()))


def avg_pool(geometry: PoolGeometry, x: Array, out: Array) -> None:
    """Fill out with the means."""
    if out.size:
        pool.avg_pool(geometry.numbers, x, out, current())


def avg_pool_grad_x(geometry: PoolGeometry, grad: Array, out: Array) -> None:
    """Fill out with the gradient for x."""
    if out.size:
        pool.avg_pool_grad_x(geometry.numbers, grad, out, current())
