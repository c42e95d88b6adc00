"""MaxPool, AveragePool and their global kin on NumPy arrays of any number of spatial axes.

The last two axes go through the engine at once. Each one before them follows as the rows of an
image of its own: a maximum of maxima is the maximum, and as an average's divisor is the product
of one an axis, so is an average of averages the average.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ops import avg_pool2d, max_pool2d
from .layout import channels_last, channels_second
from .windows import Window, check_rank, window_of

Array = NDArray[Any]
Attributes = Mapping[str, Any]


def max_pool(x: Array, attributes: Attributes) -> Array:
    """Return the maxima, of one image's plane in the layout that x has in memory."""
    window, ceil_mode = _window("MaxPool", x, attributes), bool(attributes.get("ceil_mode"))
    if x.ndim == 4:
        if x.flags.c_contiguous:
            return max_pool2d(x, *_plane(window), ceil_mode)
        y = max_pool2d(channels_last(x), *_plane(window), ceil_mode, data_format="NHWC")
        return channels_second(y)
    y = max_pool2d(_planes(x), *_plane(window), ceil_mode)
    for axis in reversed(range(x.ndim - 4)):
        y = max_pool2d(_rows(y, x.shape, axis), *_one(window, axis), ceil_mode)
    return y.reshape(*x.shape[:2], *_places(window, x, ceil_mode))


def max_pool_with_indices(x: Array, attributes: Attributes) -> tuple[Array, Array]:
    """Return the maxima and where they were: numbers that count over the whole of x."""
    window, ceil_mode = _window("MaxPool", x, attributes), bool(attributes.get("ceil_mode"))
    y, at = max_pool2d(_planes(x), *_plane(window), ceil_mode, True)
    for axis in reversed(range(x.ndim - 4)):
        rows = _rows(y, x.shape, axis)
        y, found = max_pool2d(rows, *_one(window, axis), ceil_mode, True)
        # `found` counts rows of inner outputs; what these point to is the place in the inner image
        row, planes = found // rows.shape[-1], math.prod(rows.shape[:2])
        at = np.take_along_axis(at.reshape(planes, -1), found.reshape(planes, -1), 1)
        at = at.reshape(found.shape) + row * math.prod(x.shape[3 + axis :])
    spatial = x.shape[2:]
    at = at.reshape(*x.shape[0:2], *_places(window, x, ceil_mode))
    if attributes.get("storage_order"):
        at = np.ravel_multi_index(np.unravel_index(at, spatial), spatial, order="F")
    first = np.arange(math.prod(x.shape[:2])) * math.prod(spatial)
    at = at + first.reshape(*x.shape[:2], *(1,) * len(spatial))
    return y.reshape(at.shape), at


def average_pool(x: Array, attributes: Attributes) -> Array:
    """Return the averages, of one image's plane in the layout that x has in memory."""
    window = _window("AveragePool", x, attributes)
    ceil_mode = bool(attributes.get("ceil_mode"))
    padding_counts = bool(attributes.get("count_include_pad"))
    if x.ndim == 4:
        if x.flags.c_contiguous:
            return _average(x, *_plane(window), ceil_mode, padding_counts)
        last = channels_last(x)
        return channels_second(_average(last, *_plane(window), ceil_mode, padding_counts, "NHWC"))
    # halves are rounded once, at the end
    y = _planes(x) if x.ndim == 3 or x.dtype.itemsize >= 4 else _planes(x).astype(np.float32)
    y = _average(y, *_plane(window), ceil_mode, padding_counts)
    for axis in reversed(range(x.ndim - 4)):
        rows = _rows(y, x.shape, axis)
        y = _average(rows, *_one(window, axis), ceil_mode, padding_counts)
    y = y.reshape(*x.shape[:2], *_places(window, x, ceil_mode))
    return y.astype(x.dtype, copy=False)


def global_max_pool(x: Array) -> Array:
    """Return the maximum of every channel."""
    check_rank("GlobalMaxPool", x.shape)
    return x.max(axis=tuple(range(2, x.ndim)), keepdims=True)


def global_average_pool(x: Array) -> Array:
    """Return the average of every channel."""
    check_rank("GlobalAveragePool", x.shape)
    dtype = np.float32 if x.dtype.itemsize < 4 else x.dtype
    # with channels last in memory NumPy adds whole pixels; one axis after the other keeps the
    # chains of additions short
    y = np.moveaxis(x, 1, -1)
    for _ in range(2, x.ndim):
        y = y.mean(axis=-2, dtype=dtype)
    return y.astype(x.dtype, copy=False).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))


def _average(
    x: Array,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    padding_counts: bool,
    data_format: str = "NCHW",
) -> Array:
    sizes = kernel, stride, padding, ceil_mode, padding_counts
    return avg_pool2d(x, *sizes, dilation=dilation, data_format=data_format)


def _window(op: str, x: Array, attributes: Attributes) -> Window:
    check_rank(op, x.shape)
    return window_of(op, x.shape[2:], (), attributes)


def _plane(window: Window) -> tuple[Any, Any, Any, Any]:
    """Return kernel_size, stride, padding and dilation of the last two axes."""
    return window.kernel[-2:], window.strides[-2:], window.padding[-2:], window.dilations[-2:]


def _one(window: Window, axis: int) -> tuple[Any, Any, Any, Any]:
    """Return the same of one axis before them, as rows."""
    kernel, stride = (window.kernel[axis], 1), (window.strides[axis], 1)
    return kernel, stride, (window.padding[axis], (0, 0)), (window.dilations[axis], 1)


def _planes(x: Array) -> Array:
    """Return the last two axes as images; one as a row."""
    return x[:, :, None] if x.ndim == 3 else x.reshape(x.shape[0], -1, *x.shape[-2:])


def _rows(y: Array, x_shape: tuple[int, ...], axis: int) -> Array:
    """Return images whose rows are the spatial axis of this number, the inner ones done."""
    return y.reshape(x_shape[0], math.prod(x_shape[1 : 2 + axis]), x_shape[2 + axis], -1)


def _places(window: Window, x: Array, ceil_mode: bool) -> tuple[int, ...]:
    """Return how many windows there are on each spatial axis of x."""
    spatial = (1, x.shape[2]) if x.ndim == 3 else x.shape[2:]
    places = list(window.outputs(spatial))
    if ceil_mode:
        for i, size in enumerate(spatial):
            before, after = window.padding[i]
            spare = size + before + after - window.reach[i]
            more = -(-spare // window.strides[i]) + 1
            # the last window must begin in the image or in the padding before it
            places[i] = more - ((more - 1) * window.strides[i] >= size + before)
    return tuple(places[-1:] if x.ndim == 3 else places)
