"""Six functions of Keras's backend, with its arguments: kernels are (*sizes, in, out) always."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ops import avg_pool2d, max_pool2d
from . import dimensions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .dimensions import Array

    Size = int | Sequence[int]

_LAYOUTS = {"channels_last": "NHWC", "channels_first": "NCHW"}


def conv(
    inputs: Any,
    kernel: Any,
    strides: Size = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Size = 1,
) -> Array:
    """Convolve as `keras.ops.conv` does."""
    x, w = _tensor(inputs), _tensor(kernel)
    layout, channels = _layout(x, data_format)
    if channels % w.shape[-2] != 0:
        raise ValueError(
            "The number of input channels must be evenly divisible by kernel's in_channels. "
            f"Received input channels {channels} and kernel in_channels {w.shape[-2]}."
        )
    groups = channels // w.shape[-2]
    return _convolved(x, w, strides, padding, dilation_rate, groups, layout)


def depthwise_conv(
    inputs: Any,
    kernel: Any,
    strides: Size = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Size = 1,
) -> Array:
    """Convolve each channel with kernels of its own as `keras.ops.depthwise_conv` does."""
    x, w = _tensor(inputs), _tensor(kernel)
    layout, channels = _layout(x, data_format)
    _check_channels(channels, w.shape[-2])
    w = w.reshape(*w.shape[:-2], 1, channels * w.shape[-1])
    return _convolved(x, w, strides, padding, dilation_rate, channels, layout)


def separable_conv(
    inputs: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Size = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Size = 1,
) -> Array:
    """Convolve each channel, then mix the channels, as `keras.ops.separable_conv` does."""
    y = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(y, pointwise_kernel, data_format=data_format)


def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Size = 1,
    padding: str = "valid",
    output_padding: Size | None = None,
    data_format: str | None = None,
    dilation_rate: Size = 1,
) -> Array:
    """Transpose a convolution as `keras.ops.conv_transpose` does."""
    x, w = _tensor(inputs), _tensor(kernel)
    layout, channels = _layout(x, data_format)
    _check_channels(channels, w.shape[-1])
    steps, gaps = _sizes(x, strides), _sizes(x, dilation_rate)
    # Keras's own rule for its corners, told as JAX would pad: what that lacks of all is cropped.
    rule = _keras("common.backend_utils").compute_conv_transpose_padding_args_for_jax
    pads = rule(x.shape, w.shape, steps, _word(padding), output_padding, gaps)
    reach = [(size - 1) * gap for size, gap in zip(w.shape[: x.ndim - 2], gaps, strict=True)]
    crops = [(edge - low, edge - high) for edge, (low, high) in zip(reach, pads, strict=True)]
    y = dimensions.conv_transpose(x, w, steps, crops, gaps, layout)
    return _delivered(y, x, w)


def max_pool(
    inputs: Any,
    pool_size: Size,
    strides: Size | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Array:
    """Take the maximum of every window as `keras.ops.max_pool` does."""
    x = _tensor(inputs)
    layout, _ = _layout(x, data_format)
    window = _sizes(x, pool_size)
    steps = window if strides is None else _sizes(x, strides)
    return dimensions.pool(max_pool2d, x, window, steps, _word(padding), layout)


def average_pool(
    inputs: Any,
    pool_size: Size,
    strides: Size | None = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Array:
    """Take the average of every window as `keras.ops.average_pool` does: padding isn't counted."""
    x = _tensor(inputs)
    layout, _ = _layout(x, data_format)
    window = _sizes(x, pool_size)
    steps = window if strides is None else _sizes(x, strides)

    average = partial(avg_pool2d, count_include_pad=False)
    return dimensions.pool(average, x, window, steps, _word(padding), layout)


def _convolved(
    x: Array,
    w: Array,
    strides: Size,
    padding: str,
    dilation_rate: Size,
    groups: int,
    layout: str,
) -> Array:
    steps, gaps, word = _sizes(x, strides), _sizes(x, dilation_rate), _word(padding)
    sizes = x.shape[1:-1] if layout == "NHWC" else x.shape[2:]
    reach = [(size - 1) * gap for size, gap in zip(w.shape, gaps, strict=False)]
    if word == "valid" and any(edge >= size for edge, size in zip(reach, sizes, strict=True)):
        raise ValueError(
            "The convolution operation resulted in an empty output: the images are smaller than "
            f"the kernel. Received images of {sizes}, a kernel of {w.shape[:-2]} and "
            f"dilation_rate={gaps}."
        )
    return _delivered(dimensions.conv(x, w, steps, word, gaps, groups, layout), x, w)


def _keras(name: str) -> Any:
    """Return a module of Keras, which is there when a function of ours is in its place."""
    return importlib.import_module(f"keras.src.backend.{name}")


def _tensor(value: Any) -> Array:
    """Return the array that Keras takes a value for: of a variable its value, cast to its dtype.

    Keras copies what is an array already.
    """
    if type(value) is np.ndarray:
        return value
    return _keras("numpy.core").convert_to_tensor(value)


def _layout(x: Array, data_format: str | None) -> tuple[str, int]:
    """Return our word for Keras's layout, and how many channels the images have."""
    if not 3 <= x.ndim <= 5:
        raise ValueError(f"Images must have 1, 2 or 3 dimensions. Received shape {x.shape}.")
    layout = _LAYOUTS[_keras("config").standardize_data_format(data_format)]
    return layout, x.shape[-1 if layout == "NHWC" else 1]


def _sizes(x: Array, size: Size) -> tuple[int, ...]:
    """Return a size for each dimension of the images."""
    dims = x.ndim - 2
    sizes = (size,) * dims if isinstance(size, int) else tuple(size)
    if len(sizes) != dims:
        raise ValueError(f"A size for each of {dims} dimensions is needed. Received {size}.")
    return sizes


def _word(padding: str) -> str:
    word = padding.lower() if isinstance(padding, str) else padding
    if word not in ("valid", "same"):
        raise ValueError(f"Invalid padding '{padding}', must be 'same' or 'valid'.")
    return word


def _check_channels(channels: int, taken: int) -> None:
    if channels != taken:
        raise ValueError(
            "The number of input channels must be what the kernel takes. "
            f"Received input channels {channels}, and a kernel for {taken}."
        )


def _delivered(y: Array, x: Array, w: Array) -> Array:
    """Return a result in the dtype that Keras says it has: ours has int64 for all integers."""
    dtype = _keras("common.dtypes").result_type(x.dtype, w.dtype)
    return y.astype(dtype, copy=False)
