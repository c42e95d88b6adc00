"""Convolutions and pools of one, two and three dimensions, all made of those of two.

An image of one dimension is one of two that has a single row. One of three is a stack of images: a
kernel's plane convolves those that it meets, and what its planes give is added; a pool's window is
one over rows and columns, then one over what these are stacked in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...ops import conv2d, conv_transpose2d

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Sizes = tuple[int, ...]


def conv(
    x: Array, w: Array, steps: Sizes, padding: str, gaps: Sizes, groups: int, layout: str
) -> Array:
    """Convolve images of up to three dimensions; w is (*sizes, in, out) in either layout."""
    if x.ndim == 3:
        row = _row_axis(layout)
        lifted = np.expand_dims(x, row), w[None], (1, *steps), padding, (1, *gaps)
        return conv(*lifted, groups, layout).squeeze(row)
    if x.ndim == 4:
        return conv2d(x, _ours(w, layout), None, steps, padding, gaps, groups, data_format=layout)
    stack = _stacked(x, layout)
    step, gap = steps[0], gaps[0]
    reach = (len(w) - 1) * gap
    count = stack.shape[1] - reach if padding == "valid" else stack.shape[1]
    count = -(-count // step)
    if padding == "same":
        total = max((count - 1) * step + reach + 1 - stack.shape[1], 0)
        edges = [(0, 0)] * stack.ndim
        edges[1] = (total // 2, total - total // 2)
        stack = np.pad(stack, edges)
    y: Any = 0
    for tap, plane in enumerate(_wide(w)):
        met = _every(stack, tap * gap, step, count)
        images = met.reshape(-1, *stack.shape[2:])
        y += conv(images, plane, steps[1:], padding, gaps[1:], groups, layout)
    return _unstacked(y.reshape(-1, count, *y.shape[1:]), layout)


def conv_transpose(
    x: Array,
    w: Array,
    steps: Sizes,
    crops: Sequence[tuple[int, int]],
    gaps: Sizes,
    layout: str,
) -> Array:
    """Transpose a convolution; w is (*sizes, out, in), and a negative crop adds zeros."""
    if x.ndim == 3:
        row = _row_axis(layout)
        lifted = np.expand_dims(x, row), w[None], (1, *steps), [(0, 0), *crops], (1, *gaps)
        return conv_transpose(*lifted, layout).squeeze(row)
    if x.ndim == 4:
        inner = [(low, max(high, 0)) for low, high in crops]
        y = conv_transpose2d(
            x, _ours(w, layout), None, steps, inner, 0, 1, gaps, data_format=layout
        )
        more = [(0, max(-high, 0)) for _, high in crops]
        if not any(high for _, high in more):
            return y
        return np.pad(y, [(0, 0), *more, (0, 0)] if layout == "NHWC" else [(0, 0), (0, 0), *more])
    stack = _stacked(x, layout)
    count, (low, high) = stack.shape[1], crops[0]
    images = stack.reshape(-1, *stack.shape[2:])
    size = (count - 1) * steps[0] + (len(w) - 1) * gaps[0] + 1
    total: Any = None
    for tap, plane in enumerate(_wide(w)):
        part = conv_transpose(images, plane, steps[1:], crops[1:], gaps[1:], layout)
        part = part.reshape(-1, count, *part.shape[1:])
        if total is None:
            total = np.zeros((len(x), size + max(-high, 0), *part.shape[2:]), part.dtype)
        _every(total, tap * gaps[0], steps[0], count)[...] += part
    return _unstacked(total[:, low : total.shape[1] - max(high, 0)], layout)


def pool(
    pool2d: Callable[..., Array],
    x: Array,
    window: Sizes,
    steps: Sizes,
    padding: str,
    layout: str,
) -> Array:
    """Pool images of up to three dimensions."""
    if x.ndim == 3:
        row = _row_axis(layout)
        lifted = np.expand_dims(x, row), (1, *window), (1, *steps), padding, layout
        return pool(pool2d, *lifted).squeeze(row)
    if x.ndim == 4:
        return pool2d(x, window, steps, padding, data_format=layout)
    last = layout == "NHWC"
    samples, depth, channels = len(x), x.shape[1 if last else 2], x.shape[4 if last else 1]
    # In either layout the stack's axis lies beside one of what pools of planes don't part.
    images = x.reshape(-1, *x.shape[2:]) if last else x.reshape(samples, -1, *x.shape[3:])
    planes = pool2d(images, window[1:], steps[1:], padding, data_format=layout)
    height, width = planes.shape[1:3] if last else planes.shape[2:]
    pixels = (samples, depth, -1, channels) if last else (samples, channels, depth, height * width)
    y = pool2d(planes.reshape(pixels), (window[0], 1), (steps[0], 1), padding, data_format=layout)
    if last:
        return y.reshape(samples, -1, height, width, channels)
    return y.reshape(samples, channels, -1, height, width)


def _row_axis(layout: str) -> int:
    return 1 if layout == "NHWC" else 2


def _ours(w: Array, layout: str) -> Array:
    """Return Keras's weights as our layout has them, without a copy."""
    return w if layout == "NHWC" else w.transpose(3, 2, 0, 1)


def _wide(w: Array) -> Array:
    """Return weights such that sums of parts are not rounded to 16 bits one after the other."""
    return w.astype(np.float32) if w.dtype.itemsize == 2 and w.dtype.kind not in "iu" else w


def _stacked(x: Array, layout: str) -> Array:
    """Return stacks of images, (samples, images, *image)."""
    return x if layout == "NHWC" else np.moveaxis(x, 2, 1)


def _unstacked(y: Array, layout: str) -> Array:
    return np.ascontiguousarray(y if layout == "NHWC" else np.moveaxis(y, 1, 2))


def _every(stack: Array, start: int, step: int, count: int) -> Array:
    return stack[:, start : start + (count - 1) * step + 1 : step]
