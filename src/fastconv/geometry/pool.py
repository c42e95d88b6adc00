"""The geometry of a pool and of its gradient."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..errors import describe, value_error
from . import sizes
from .plain import (
    DATA_FORMATS,
    Padding,
    Pair,
    Shape,
    is_plain,
    plain_flag,
    plain_padding,
    plain_pair,
    plain_word,
)
from .shapes import check_image, check_shape, in_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GEOMETRIES_KEPT = 4096


@dataclass(frozen=True, eq=False, slots=True)
class PoolGeometry:
    """Every size of one pool, checked; immutable.

    Made by `pool_geometry` and `unpool_geometry`, which keep what they made: a call of the same
    sizes gets the same object.

    Attributes
    ----------
    x_shape, out_shape : tuple of int
        The shapes of the arrays in the layout of `data_format`.
    numbers : ndarray of int64
        What the engine reads, in the order of its struct; read-only.
    """

    samples: int
    channels: int
    height: int
    width: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_bottom: int
    pad_left: int
    pad_right: int
    out_h: int
    out_w: int
    data_format: str
    count_include_pad: bool
    x_shape: Shape = field(init=False)
    out_shape: Shape = field(init=False)
    numbers: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        layout = self.data_format
        x_shape = in_layout((self.samples, self.channels, self.height, self.width), layout)
        out_shape = in_layout((self.samples, self.channels, self.out_h, self.out_w), layout)
        last = layout == "NHWC" and self.channels > 1  # of one channel the layouts are one
        numbers = np.array(
            [
                *(self.samples, self.channels, self.height, self.width),
                *(self.kernel_h, self.kernel_w, self.stride_h, self.stride_w),
                *(self.dilation_h, self.dilation_w),
                *(self.pad_top, self.pad_bottom, self.pad_left, self.pad_right),
                *(self.out_h, self.out_w, last, self.count_include_pad),
            ],
            dtype=np.int64,
        )
        numbers.flags.writeable = False
        # The class is frozen to everyone else.
        object.__setattr__(self, "x_shape", x_shape)
        object.__setattr__(self, "out_shape", out_shape)
        object.__setattr__(self, "numbers", numbers)


def pool_geometry(
    function: str,
    x_shape: tuple[int, ...],
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
    ceil_mode: object,
    count_include_pad: object,
    data_format: object,
) -> PoolGeometry:
    """Return the geometry of a pool or of its gradient.

    Parameters
    ----------
    function : str
        The public function, for the messages. Where it ends in "_grad_x", the image's shape is its
        argument "x_shape", else "x".
    x_shape : tuple of int
        Exact ints: an array's shape, or what `plain_shape` returned.
    kernel_size, stride, padding, dilation, ceil_mode, count_include_pad, data_format
        As the caller gave them.
    """
    # What may goes to the cache as it is: this is the path of every small call.
    if not (
        (type(kernel_size) is int or is_plain(kernel_size))
        and (stride is None or type(stride) is int or is_plain(stride))
        and (type(padding) is int or is_plain(padding))
        and (type(dilation) is int or is_plain(dilation))
        and type(ceil_mode) is bool
        and type(count_include_pad) is bool
        and type(data_format) is str
    ):
        kernel_size, stride, padding, dilation = _plain_sizes(
            function, kernel_size, stride, padding, dilation
        )
        ceil_mode = plain_flag(function, "ceil_mode", ceil_mode)
        count_include_pad = plain_flag(function, "count_include_pad", count_include_pad)
        data_format = plain_word(function, "data_format", data_format, DATA_FORMATS)
    return _pool_geometry(
        function,
        x_shape,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad,
        data_format,
    )


def _plain_sizes(
    function: str, kernel_size: object, stride: object, padding: object, dilation: object
) -> tuple[int | Pair, int | Pair | None, Padding, int | Pair]:
    return (
        plain_pair(function, "kernel_size", kernel_size),
        None if stride is None else plain_pair(function, "stride", stride),
        plain_padding(function, "padding", padding),
        plain_pair(function, "dilation", dilation),
    )


@lru_cache(maxsize=_GEOMETRIES_KEPT)
def _pool_geometry(
    function: str,
    x_shape: tuple[int, ...],
    kernel_size: int | Pair,
    stride: int | Pair | None,
    padding: Padding,
    dilation: int | Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    data_format: str,
) -> PoolGeometry:
    x_name = "x_shape" if function.endswith("_grad_x") else "x"
    plain_word(function, "data_format", data_format, DATA_FORMATS)
    kernel_size, stride, padding, dilation = _plain_sizes(
        function, kernel_size, stride, padding, dilation
    )
    samples, channels, height, width = check_image(function, x_name, x_shape, data_format)
    kernel = sizes.checked_pair(function, "kernel_size", kernel_size, 1)
    moves = kernel if stride is None else sizes.checked_pair(function, "stride", stride, 1)
    dilations = sizes.checked_pair(function, "dilation", dilation, 1)
    axes = []
    for axis in zip(
        sizes.padding_of_axes(function, padding),
        (height, width),
        kernel,
        moves,
        dilations,
        strict=True,
    ):
        axes.append(_axis(function, x_name, x_shape, kernel_size, padding, ceil_mode, *axis))
    rows, columns = axes
    sizes.check_extent(function, "padding", max(height, width), rows, columns)
    out_shape = samples, channels, rows.out, columns.out
    sizes.check_count(function, "padding", "the output", out_shape)
    return PoolGeometry(
        *(samples, channels, height, width, *kernel, *moves, *dilations),
        *(rows.before, rows.after, columns.before, columns.after, rows.out, columns.out),
        data_format,
        count_include_pad,
    )


def _axis(
    function: str,
    x_name: str,
    x_shape: tuple[int, ...],
    kernel_size: int | Pair,
    padding: Padding,
    ceil_mode: bool,
    axis_padding: str | Pair,
    size: int,
    kernel: int,
    stride: int,
    dilation: int,
) -> sizes.Axis:
    reach = sizes.dilated(kernel, dilation)
    axis = sizes.pool_axis(axis_padding, size, reach, stride, ceil_mode)
    if axis is None:
        rule = f"a window that fits {x_name} of shape {x_shape} with its padding"
        raise value_error(function, "kernel_size", rule, describe(kernel_size))
    if not sizes.windows_hold_image(axis, size, kernel, stride, dilation):
        rule = f"small enough for each window to hold an element of {x_name} of shape {x_shape}"
        raise value_error(function, "padding", rule, describe(padding))
    return axis


@lru_cache(maxsize=_GEOMETRIES_KEPT)
def unpool_geometry(
    function: str, x_shape: Shape, grad_shape: tuple[int, ...], data_format: str
) -> PoolGeometry:
    """Return a geometry for a gradient that follows indices: it has no use for windows.

    Its kernel, stride and dilation are 1; out_h and out_w are those of `grad_shape`.
    """
    samples, channels, height, width = check_image(function, "x_shape", x_shape, data_format)
    _, _, out_h, out_w = check_image(function, "grad", grad_shape, data_format)
    expected = in_layout((samples, channels, out_h, out_w), data_format)
    check_shape(function, "grad", expected, grad_shape)
    return PoolGeometry(
        *(samples, channels, height, width, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, out_h, out_w),
        data_format,
        False,
    )
