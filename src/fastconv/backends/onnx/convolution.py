"""Conv and ConvTranspose on NumPy arrays of any number of spatial axes.

The engine is two-dimensional. One axis is lifted to a row of an image. Of three and more, those
before the last two are folded: each output's slices go to the channels, next to each other, so
that one convolution of channels * taps sums over them.

    y[n, f, d, i, j] = sum_ct conv2d(x'[(n, d), (c, t)], w'[f, (c, t)])[i, j],
    x'[(n, d), (c, t)] = x[n, c, d * stride + t * dilation - before]
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import describe, value_error
from ...ops import PreparedConv2D, conv2d, conv_transpose2d, prepare_conv2d
from .layout import channels_last, channels_second
from .windows import Window, auto_pad_of, check_rank, pairs, shared, sizes, window_of

Array = NDArray[Any]
Attributes = Mapping[str, Any]
_MOST_SHAPES = 64  # of images, that a convolution remembers what to do with


def conv(x: Array, w: Array, bias: Array | None, attributes: Attributes, op: str = "Conv") -> Array:
    """Return the operator's output."""
    window = _checked(op, x, w, attributes)
    groups = attributes.get("group") or 1
    y = conv2d(_images(x, window), _kernels(w), bias, *_plane(window), groups)
    return _volumes(y, x, window)


class Convolution:
    """Conv whose weights are known, packed once for each padding that an image's shape asks for.

    With two spatial axes channels are last in memory, here and in what is returned, see `layout`.
    """

    def __init__(
        self, w: Array, bias: Array | None, attributes: Attributes, relu: bool = False
    ) -> None:
        self._w, self._bias, self._attributes = w, bias, attributes
        self._activation = "relu" if relu else None
        self._groups = attributes.get("group") or 1
        self._prepared: dict[tuple[object, ...], PreparedConv2D] = {}
        self._known: dict[tuple[int, ...], tuple[Window, PreparedConv2D]] = {}

    def prepare(self, x_shape: tuple[int, ...]) -> None:
        """Pack the weights for images of a shape."""
        if len(x_shape) == self._w.ndim == 4:
            window = window_of("Conv", x_shape[2:], self._w.shape[2:], self._attributes)
            samples, channels, *plane = x_shape
            self._weights(window, (samples, *plane, channels))

    def __call__(self, x: Array) -> Array:
        """Return the operator's output."""
        known = self._known.get(x.shape)
        window, run = known or self._know(x)
        if x.ndim == 4:
            return channels_second(run(channels_last(x)))
        return _volumes(run(_images(x, window)), x, window)

    def _know(self, x: Array) -> tuple[Window, PreparedConv2D]:
        window = _checked("Conv", x, self._w, self._attributes)
        known = window, self._weights(window)
        if len(self._known) >= _MOST_SHAPES:
            self._known.clear()
        self._known[x.shape] = known
        return known

    def _weights(self, window: Window, x_shape: tuple[int, ...] | None = None) -> PreparedConv2D:
        plane = _plane(window)
        found = self._prepared.get(plane)
        if found is None:
            last = self._w.ndim == 4
            found = prepare_conv2d(
                self._w.transpose(2, 3, 1, 0) if last else _kernels(self._w),
                *(self._bias, *plane, self._groups),
                activation=self._activation,
                data_format="NHWC" if last else "NCHW",
                x_shape=x_shape,
            )
            found = self._prepared.setdefault(plane, found)
        return found


def conv_transpose(x: Array, w: Array, bias: Array | None, attributes: Attributes) -> Array:
    """Return the operator's output.

    Every slice of x before the last two axes spreads by every tap there, and is added to the
    slices where these fall. What is cropped, less than nothing included, is the rest.
    """
    op = "ConvTranspose"
    check_rank(op, x.shape)
    groups = attributes.get("group") or 1
    window = _crops(op, x, w, attributes)
    samples, filters = x.shape[0], w.shape[1] * groups
    spatial = _spatial(x)
    lead, taps = len(spatial) - 2, window.kernel[:-2]
    slices = np.moveaxis(x.reshape(samples, -1, *spatial), 1, 1 + lead)
    slices = slices.reshape(-1, x.shape[1], *spatial[-2:])
    kernels = w.reshape(w.shape[0], -1, *window.kernel[-2:])
    plane = window.strides[-2:], 0, 0, groups, window.dilations[-2:]
    y = conv_transpose2d(slices, kernels, bias if lead == 0 else None, *plane)
    full = [
        (size - 1) * step + reach
        for size, step, reach in zip(spatial, window.strides, window.reach, strict=True)
    ]
    if lead:
        y = y.reshape(samples, *spatial[:-2], filters, *taps, *full[-2:])
        y = _scattered(y, (samples, filters, *full), window, lead)
        if bias is not None:
            y += bias.reshape(-1, *(1,) * len(spatial)).astype(y.dtype, copy=False)
    if x.ndim == 3:
        return _cropped(op, y[:, :, 0], bias, window.padding[1:])
    return _cropped(op, y, bias, window.padding)


def _checked(op: str, x: Array, w: Array, attributes: Attributes) -> Window:
    check_rank(op, x.shape)
    if w.ndim != x.ndim:
        rule = f"of {x.ndim} axes, as many as X has"
        raise value_error(op, "W", rule, f"shape {w.shape}")
    groups = attributes.get("group") or 1
    if x.shape[1] != w.shape[1] * groups:
        rule = f"of as many channels as X of shape {x.shape} has in each of {groups} groups"
        raise value_error(op, "W", rule, f"shape {w.shape}")
    window = window_of(op, x.shape[2:], w.shape[2:], attributes)
    kernel = w.shape[2:]
    if window.kernel[-len(kernel) :] != kernel:
        rule = f"the spatial shape of W, {kernel}"
        raise value_error(op, "kernel_shape", rule, describe(attributes.get("kernel_shape")))
    lead = window.outputs(_spatial(x))[:-2]
    if lead and min(lead) < 1:
        rule = f"small enough to fit X of shape {x.shape} with its padding"
        raise value_error(op, "the kernel", rule, describe(kernel))
    return window


def _spatial(x: Array) -> tuple[int, ...]:
    return (1, x.shape[2]) if x.ndim == 3 else x.shape[2:]


def _plane(window: Window) -> tuple[Any, Any, Any]:
    """Return stride, padding and dilation of the last two axes, as `conv2d` takes them."""
    return window.strides[-2:], window.padding[-2:], window.dilations[-2:]


def _images(x: Array, window: Window) -> Array:
    """Return the images whose two-dimensional convolution it is."""
    if x.ndim <= 4:
        return x if x.ndim == 4 else x[:, :, None]
    lead = x.ndim - 4
    axes = tuple(range(2, 2 + lead))
    padding = [(0, 0), (0, 0), *window.padding[:-2], (0, 0), (0, 0)]
    views = np.lib.stride_tricks.sliding_window_view(
        np.pad(x, padding), window.reach[:-2], axis=axes
    )
    every = slice(None)
    strides = [slice(None, None, step) for step in window.strides[:-2]]
    taps = [slice(None, None, step) for step in window.dilations[:-2]]
    views = views[(every, every, *strides, every, every, *taps)]
    order = (0, *axes, 1, *range(x.ndim, x.ndim + lead), x.ndim - 2, x.ndim - 1)
    channels = x.shape[1] * math.prod(window.kernel[:-2])
    return views.transpose(order).reshape(-1, channels, *x.shape[-2:])


def _kernels(w: Array) -> Array:
    """Return the kernels for `_images`."""
    return w[:, :, None] if w.ndim == 3 else w.reshape(w.shape[0], -1, *w.shape[-2:])


def _volumes(y: Array, x: Array, window: Window) -> Array:
    """Return the output of `_images` as that of x."""
    if x.ndim <= 4:
        return y if x.ndim == 4 else y[:, :, 0]
    lead = window.outputs(_spatial(x))[:-2]
    split = y.reshape(x.shape[0], *lead, *y.shape[1:])
    return np.ascontiguousarray(np.moveaxis(split, 1 + len(lead), 1))


def _crops(op: str, x: Array, w: Array, attributes: Attributes) -> Window:
    """Return the window of a transposed convolution: its padding is what is cropped."""
    axes = x.ndim - 2
    if w.ndim != x.ndim:
        raise value_error(op, "W", f"of {x.ndim} axes, as many as X has", f"shape {w.shape}")
    kernel = sizes(op, "kernel_shape", attributes, axes, 1, w.shape[2:])
    if kernel != w.shape[2:]:
        rule = f"the spatial shape of W, {w.shape[2:]}"
        raise value_error(op, "kernel_shape", rule, describe(kernel))
    strides = sizes(op, "strides", attributes, axes, 1)
    dilations = sizes(op, "dilations", attributes, axes, 1)
    extra = sizes(op, "output_padding", attributes, axes, 0)
    auto_pad = auto_pad_of(op, attributes)
    wanted = attributes.get("output_shape")
    if auto_pad.startswith("SAME") and not wanted:
        wanted = [size * step for size, step in zip(x.shape[2:], strides, strict=True)]
    if wanted:
        # Older exporters give samples and channels too.
        wanted = sizes(op, "output_shape", {"output_shape": list(wanted)[-axes:]}, axes, 1)
        padding = []
        for i in range(axes):
            reach = (kernel[i] - 1) * dilations[i] + 1
            total = strides[i] * (x.shape[2 + i] - 1) + extra[i] + reach - wanted[i]
            # an output larger than what is reached has the rest at its end
            before, after = shared(total, auto_pad != "SAME_UPPER") if total > 0 else (0, total)
            padding.append((before, after - extra[i]))
    else:
        pads = pairs(op, {} if auto_pad == "VALID" else attributes, axes)
        padding = [
            (before, after - more) for (before, after), more in zip(pads, extra, strict=True)
        ]
    if axes == 1:
        return Window((1, *kernel), (1, *strides), (1, *dilations), ((0, 0), *padding))
    return Window(kernel, strides, dilations, tuple(padding))


def _scattered(y: Array, shape: tuple[int, ...], window: Window, lead: int) -> Array:
    """Add the slices (samples, *lead, filters, *taps, height, width) to where they fall."""
    full = np.zeros(shape, y.dtype)
    for tap in itertools.product(*map(range, window.kernel[:-2])):
        places = []
        for i in range(lead):
            start = tap[i] * window.dilations[i]
            places.append(slice(start, start + (y.shape[1 + i] - 1) * window.strides[i] + 1))
            places[-1] = slice(start, places[-1].stop, window.strides[i])
        every = (slice(None),) * (2 + lead)
        at: tuple[Any, ...] = (*every, *tap)
        full[(slice(None), slice(None), *places)] += np.moveaxis(y[at], 1 + lead, 1)
    return full


def _cropped(op: str, y: Array, bias: Array | None, crops: tuple[tuple[int, int], ...]) -> Array:
    """Crop; where the crop is negative nothing reached, so that the bias stands there alone."""
    sizes_left = [size - sum(crop) for size, crop in zip(y.shape[2:], crops, strict=True)]
    if sizes_left and min(sizes_left) < 1:
        rule = f"small enough to leave some of the {y.shape[2:]} outputs"
        raise value_error(op, "pads", rule, describe([list(crop) for crop in crops]))
    inner = [
        slice(max(before, 0), size - max(after, 0))
        for size, (before, after) in zip(y.shape[2:], crops, strict=True)
    ]
    cut = y[(slice(None), slice(None), *inner)]
    if min(min(crop) for crop in crops) >= 0:
        return np.ascontiguousarray(cut)
    whole_output = np.zeros((*y.shape[:2], *sizes_left), y.dtype)
    if bias is not None:
        whole_output += bias.reshape(-1, *(1,) * len(crops)).astype(y.dtype, copy=False)
    outer = [
        slice(max(-before, 0), max(-before, 0) + n)
        for (before, _), n in zip(crops, cut.shape[2:], strict=True)
    ]
    whole_output[(slice(None), slice(None), *outer)] = cut
    return whole_output
