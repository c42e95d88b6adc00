"""BatchNormalization, LRN and Softmax on NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import describe, value_error
from ...ops import avg_pool2d, prepare_conv2d
from .layout import channels_last, channels_second

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def batch_normalization(
    arrays: tuple[Array, ...], attributes: Attributes, version: int, outputs: int
) -> tuple[Array, ...]:
    """Return the operator's outputs; `arrays` are x, scale, bias, mean and variance.

    Before version 14 what is trained and what not is told by the number of outputs, before 7 by
    `is_test`.
    """
    x, scale, bias, mean, variance = arrays
    epsilon = float(attributes.get("epsilon", 1e-5))
    axes, shape = _statistics_axes(x, scale, attributes)
    if is_trained(attributes, version, outputs):
        wide = np.float32 if x.dtype.itemsize < 4 else x.dtype
        momentum = float(attributes.get("momentum", 0.9))
        batch_mean, batch_variance = x.mean(axis=axes, dtype=wide), x.var(axis=axes, dtype=wide)
        moving = [
            (old * momentum + new * (1 - momentum)).astype(old.dtype)
            for old, new in ((mean, batch_mean), (variance, batch_variance))
        ]
        saved = [value.astype(mean.dtype) for value in (batch_mean, batch_variance)]
        mean, variance = batch_mean, batch_variance
    else:
        moving, saved = [], []
    factor, offset = affine(scale, bias, mean, variance, epsilon)
    wide = np.result_type(x.dtype, np.float32)
    y = x * factor.reshape(shape).astype(wide)
    y += offset.reshape(shape).astype(wide)
    return (y.astype(x.dtype, copy=False), *(moving + saved)[: outputs - 1])


def is_trained(attributes: Attributes, version: int, outputs: int) -> bool:
    """Return whether the statistics are those of the batch."""
    if version >= 14:
        return bool(attributes.get("training_mode"))
    return outputs > 1 if version >= 7 else not attributes.get("is_test")


def affine(
    scale: Array, bias: Array, mean: Array, variance: Array, epsilon: float
) -> tuple[Array, Array]:
    """Return factor and offset, float64: scale * (x - mean) / root + bias = factor * x + offset."""
    with np.errstate(all="ignore"):
        root = np.sqrt(variance.astype(np.float64) + epsilon)
        factor = scale.astype(np.float64) / root
        return factor, bias.astype(np.float64) - factor * mean.astype(np.float64)


def local_response(x: Array, attributes: Attributes) -> Array:
    """Return LRN's output: x / (bias + alpha * mean of x^2 over size channels) ** beta.

    The sum over channels is an average pool of the squares, whose padding counts; the power is
    taken through logarithm and exponential, which NumPy vectorizes.
    """
    size, beta = int(attributes["size"]), float(attributes.get("beta", 0.75))
    if size < 1 or x.ndim < 3:
        rule = "at least 1, and X of samples, channels and spatial axes"
        raise value_error("LRN", "size", rule, f"{describe(size)} and shape {x.shape}")
    with np.errstate(all="ignore"):
        squares = np.square(x if x.dtype.itemsize >= 4 else x.astype(np.float32))
        around = ((size - 1) // 2, size // 2), (0, 0)
        images = squares.reshape(x.shape[0], 1, x.shape[1], -1)
        y = avg_pool2d(images, (size, 1), 1, around).reshape(x.shape)
        y *= y.dtype.type(attributes.get("alpha", 1e-4))
        y += y.dtype.type(attributes.get("bias", 1.0))
        np.log(y, out=y)
        y *= y.dtype.type(-beta)
        np.exp(y, out=y)
        y *= x
    return y.astype(x.dtype, copy=False)


def softmax(x: Array, axis: int | None, version: int, logarithm: bool) -> Array:
    """Return Softmax's output, or LogSoftmax's.

    Before version 13 all axes from `axis` on are one, 1 by default; since then it is the last one.
    """
    if axis is None:
        axis = 1 if version < 13 else -1
    if not -x.ndim <= axis <= x.ndim:
        rule = f"an axis of X of shape {x.shape}"
        raise value_error("Softmax", "axis", rule, describe(axis))
    if version < 13:
        flat = x.reshape(math.prod(x.shape[: axis % max(x.ndim, 1)]), -1)
        return softmax(flat, 1, 13, logarithm).reshape(x.shape)
    y = x - x.max(axis=axis, keepdims=True, initial=-np.inf)
    powers = np.exp(y, out=None if logarithm else y)
    total = powers.sum(axis=axis, keepdims=True)
    return np.subtract(y, np.log(total), out=y) if logarithm else np.divide(y, total, out=y)


class Affine:
    """x * factor + offset a channel, and a relu if wanted: a depthwise convolution of one tap.

    So it is one pass over memory, by as many threads as a convolution has.
    """

    def __init__(self, factor: Array, offset: Array, relu: bool, dtype: np.dtype) -> None:
        w = factor.reshape(1, 1, 1, -1).astype(np.promote_types(dtype, np.float32))
        self._run = prepare_conv2d(
            *(w, offset.astype(w.dtype), 1, 0, 1, factor.size),
            activation="relu" if relu else None,
            data_format="NHWC",
        )

    def __call__(self, x: Array) -> Array:
        """Return the result, with channels last in memory."""
        images = x if x.ndim == 4 else x.reshape(*x.shape[:2], 1, -1)
        y = channels_second(self._run(channels_last(images)))
        return y.reshape(x.shape).astype(x.dtype, copy=False)


def _statistics_axes(
    x: Array, scale: Array, attributes: Attributes
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the axes that are averaged over, and the shape in which numbers meet x."""
    if x.ndim < 2:
        raise value_error("BatchNormalization", "X", "of at least 2 axes", f"shape {x.shape}")
    if attributes.get("spatial") == 0:
        return (0,), x.shape[1:]
    if scale.shape != (x.shape[1],):
        rule = f"of shape ({x.shape[1]},), a number a channel of X"
        raise value_error("BatchNormalization", "scale", rule, f"shape {scale.shape}")
    return (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
