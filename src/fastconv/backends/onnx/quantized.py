"""ConvInteger and QLinearConv on NumPy arrays: bytes, whose products float64 sums exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import describe, value_error
from .convolution import conv
from .windows import check_rank

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def conv_integer(
    x: Array,
    w: Array,
    x_zero: Array | None,
    w_zero: Array | None,
    attributes: Attributes,
    op: str = "ConvInteger",
) -> Array:
    """Return the operator's output, int32."""
    return whole(conv(*centred(op, x, w, x_zero, w_zero), None, attributes, op))


def centred(
    op: str, x: Array, w: Array, x_zero: Array | None, w_zero: Array | None
) -> tuple[Array, Array]:
    """Return bytes less their zero points, as float64."""
    return centred_image(op, x, x_zero), centred_weights(op, w, w_zero)


def centred_image(op: str, x: Array, zero: Array | None) -> Array:
    """Return x less its zero point, a scalar, as float64."""
    check_rank(op, x.shape)
    x = x.astype(np.float64)
    if zero is not None:
        if zero.size != 1:
            raise value_error(op, "x_zero_point", "a scalar", describe(zero))
        x -= zero.reshape(()).astype(np.float64)
    return x


def centred_weights(op: str, w: Array, zero: Array | None) -> Array:
    """Return w less its zero point, a scalar or one a filter, as float64."""
    w = w.astype(np.float64)
    if zero is not None:
        w -= per_filter(op, "w_zero_point", zero, w).astype(np.float64)
    return w


def per_filter(op: str, name: str, value: Array, w: Array) -> Array:
    """Return a scalar, or one number a filter, in a shape that broadcasts with w."""
    if value.size not in (1, w.shape[0]):
        rule = f"a scalar or of shape ({w.shape[0]},), one number a filter of W"
        raise value_error(op, name, rule, describe(value))
    return value.reshape(()) if value.size == 1 else value.reshape(-1, *(1,) * (w.ndim - 1))


def whole(sums: Array) -> Array:
    """Return sums of products of bytes, which float64 holds exactly but for rounding, as int32.

    The algorithms that save multiplications leave an error of some 1e-15 of the largest sum: far
    less than a half for any number of taps that fits in memory. Beyond int32 they wrap around.
    """
    return np.rint(sums, out=sums).astype(np.int64).astype(np.int32)


def requantized(
    op: str,
    sums: Array,
    w: Array,
    bias: Array | None,
    scales: tuple[Array, Array, Array],
    y_zero: Array | None,
    dtype: np.dtype,
) -> Array:
    """Return QLinearConv's output from the sums; `scales` are those of x, w and y."""
    x_scale, w_scale, y_scale = scales
    axes = (1,) * (sums.ndim - 2)
    if bias is not None:
        sums = sums + bias.reshape(-1, *axes)
    scale = np.ravel(x_scale) * np.ravel(per_filter(op, "w_scale", w_scale, w)) / np.ravel(y_scale)
    y = sums.astype(np.float32) * scale.reshape(-1, *axes).astype(np.float32)
    np.rint(y, out=y)
    if y_zero is not None:
        y += y_zero.reshape(()).astype(np.float32)
    limits = np.iinfo(dtype)
    return np.clip(y, limits.min, limits.max, out=y).astype(dtype)
