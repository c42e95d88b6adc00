"""The geometry of a convolution, of its gradients and of the transposed convolution.

All of them are described as one thing, the cross-correlation of x with w that gives out:

    conv2d, conv4d      x, w -> out       conv_transpose2d          out, w -> x
    ..._grad_x          out, w -> x       conv_transpose2d_grad_x   x, w -> out
    ..._grad_w          out, x -> w       conv_transpose2d_grad_w   x, out -> w

so a transposed convolution has here the geometry of the convolution whose grad_x it is: what it
calls its output is x, and its input is out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np

from ..errors import describe, value_error
from . import sizes
from .kernel import Kernel, checked_kernel, plain_arguments
from .plain import Padding, Pair, Shape, is_plain, plain_pair
from .shapes import check_image, check_kernel, in_layout, kernel_in_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GEOMETRIES_KEPT = 4096


@dataclass(frozen=True, eq=False, slots=True)
class ConvGeometry:
    """Every size of one convolution, checked; immutable.

    Made by `conv_geometry` and `conv_transpose_geometry`, which keep what they made: a call of the
    same sizes gets the same object.

    Attributes
    ----------
    x_shape, w_shape, out_shape : tuple of int
        The shapes of the arrays in the layout of `data_format`.
    numbers : ndarray of int64
        What the engine reads, in the order of its struct; read-only.
    padded : bool
        Whether there is padding on any side.
    work : int
        How many products the sums of all outputs have.
    """

    samples: int
    channels: int
    height: int
    width: int
    filters: int
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
    groups: int
    out_h: int
    out_w: int
    data_format: str
    x_shape: Shape = field(init=False)
    w_shape: Shape = field(init=False)
    out_shape: Shape = field(init=False)
    numbers: NDArray[np.int64] = field(init=False, repr=False)
    padded: bool = field(init=False, repr=False)
    work: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        layout = self.data_format
        pads = (self.pad_top, self.pad_bottom, self.pad_left, self.pad_right)
        x_shape = in_layout((self.samples, self.channels, self.height, self.width), layout)
        out_shape = in_layout((self.samples, self.filters, self.out_h, self.out_w), layout)
        kernel = (self.filters, self.channels // self.groups, self.kernel_h, self.kernel_w)
        # one channel and one filter: the two layouts are one
        last = layout == "NHWC" and (self.channels > 1 or self.filters > 1)
        numbers = np.array(
            [
                *(self.samples, self.channels, self.height, self.width),
                *(self.filters, self.kernel_h, self.kernel_w, self.stride_h, self.stride_w),
                *(self.dilation_h, self.dilation_w, self.pad_top, self.pad_left, self.groups),
                *(self.out_h, self.out_w, last),
            ],
            dtype=np.int64,
        )
        numbers.flags.writeable = False
        outputs = self.samples * self.filters * self.out_h * self.out_w
        # The class is frozen to everyone else.
        object.__setattr__(self, "x_shape", x_shape)
        object.__setattr__(self, "w_shape", kernel_in_layout(kernel, layout))
        object.__setattr__(self, "out_shape", out_shape)
        object.__setattr__(self, "numbers", numbers)
        object.__setattr__(self, "padded", any(pads))
        object.__setattr__(self, "work", outputs * kernel[1] * self.kernel_h * self.kernel_w)


def conv_geometry(
    function: str,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: object,
    padding: object,
    dilation: object,
    groups: object,
    data_format: object,
    flipped: bool = False,
) -> ConvGeometry:
    """Return the geometry of a convolution or of one of its gradients.

    Parameters
    ----------
    function : str
        The public function, for the messages. It also says which arguments have the shapes:
        x_shape instead of x for a "..._grad_x", w_shape instead of w for a "..._grad_w".
    x_shape, w_shape : tuple of int
        Exact ints: an array's shape, or what `plain_shape` returned.
    stride, padding, dilation, groups, data_format
        As the caller gave them.
    flipped : bool
        Whether "same" is that of SciPy for a flipped kernel rather than that of Keras.
    """
    # What may goes to the cache as it is: this is the path of every small call.
    if not (
        (type(stride) is int or is_plain(stride))
        and (type(padding) is int or is_plain(padding))
        and (type(dilation) is int or is_plain(dilation))
        and type(groups) is int
        and type(data_format) is str
    ):
        stride, padding, dilation, groups, data_format = plain_arguments(
            function, stride, padding, dilation, groups, data_format
        )
    return _conv_geometry(
        function, x_shape, w_shape, stride, padding, dilation, groups, data_format, flipped
    )


def conv_transpose_geometry(
    function: str,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: object,
    padding: object,
    output_padding: object,
    groups: object,
    dilation: object,
    data_format: object,
) -> ConvGeometry:
    """Return the geometry of the convolution whose grad_x a transposed convolution is.

    As `conv_geometry`, but `x_shape` is the shape of the transposed convolution's input, which the
    geometry calls out.
    """
    if not (
        (type(stride) is int or is_plain(stride))
        and (type(padding) is int or is_plain(padding))
        and (type(output_padding) is int or is_plain(output_padding))
        and type(groups) is int
        and (type(dilation) is int or is_plain(dilation))
        and type(data_format) is str
    ):
        output_padding = plain_pair(function, "output_padding", output_padding)
        stride, padding, dilation, groups, data_format = plain_arguments(
            function, stride, padding, dilation, groups, data_format, words=False
        )
    return _conv_transpose_geometry(
        function, x_shape, w_shape, stride, padding, output_padding, groups, dilation, data_format
    )


@lru_cache(maxsize=_GEOMETRIES_KEPT)
def _conv_geometry(
    function: str,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: int | Pair,
    padding: Padding,
    dilation: int | Pair,
    groups: int,
    data_format: str,
    flipped: bool,
) -> ConvGeometry:
    x_name, w_name = _shape_names(function)
    stride, padding, dilation, groups, data_format = plain_arguments(
        function, stride, padding, dilation, groups, data_format
    )
    samples, channels, height, width = check_image(function, x_name, x_shape, data_format)
    kernel_shape = check_kernel(function, w_name, w_shape, data_format)
    kernel = checked_kernel(function, w_name, kernel_shape, stride, padding, dilation, groups)
    if channels % groups:
        rule = f"a divisor of the {channels} channels of {x_name}"
        raise value_error(function, "groups", rule, groups)
    if kernel.group_channels * groups != channels:
        rule = f"of {channels // groups} channels a filter"
        rule += f" for {x_name} of shape {x_shape} and groups {groups}"
        raise value_error(function, w_name, rule, f"shape {w_shape}")
    rows, columns = (
        sizes.conv_axis(*axis, flipped)
        for axis in zip(kernel.padding, (height, width), kernel.reach, kernel.stride, strict=True)
    )
    if rows is None or columns is None:
        rule = f"a kernel that, dilated to {kernel.reach}, fits {x_name} with its padding"
        raise value_error(function, w_name, rule, f"shape {w_shape} for {x_name} {x_shape}")
    sizes.check_extent(function, "padding", max(height, width), rows, columns)
    out_shape = samples, kernel.filters, rows.out, columns.out
    sizes.check_count(function, "padding", "the output", out_shape)
    return _geometry(samples, channels, (height, width), kernel, rows, columns, data_format)


@lru_cache(maxsize=_GEOMETRIES_KEPT)
def _conv_transpose_geometry(
    function: str,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: int | Pair,
    padding: Padding,
    output_padding: int | Pair,
    groups: int,
    dilation: int | Pair,
    data_format: str,
) -> ConvGeometry:
    x_name, w_name = _shape_names(function)
    output_padding = plain_pair(function, "output_padding", output_padding)
    stride, padding, dilation, groups, data_format = plain_arguments(
        function, stride, padding, dilation, groups, data_format, words=False
    )
    samples, filters, in_h, in_w = check_image(function, x_name, x_shape, data_format)
    kernel_shape = check_kernel(function, w_name, w_shape, data_format, transposed=True)
    kernel = checked_kernel(
        function, w_name, kernel_shape, stride, padding, dilation, groups, words=False
    )
    if kernel.filters != filters:
        rule = f"of {filters} input channels, those of {x_name} of shape {x_shape}"
        raise value_error(function, w_name, rule, f"shape {w_shape}")
    extra = _output_padding(function, output_padding, kernel)
    crops = cast("tuple[Pair, Pair]", kernel.padding)  # without words
    height, width = map(
        sizes.transposed_size, (in_h, in_w), kernel.reach, kernel.stride, crops, extra
    )
    if height < 1 or width < 1:
        rule = f"small enough to leave an output, not ({height}, {width})"
        raise value_error(function, "padding", rule, padding)
    rows, columns = sizes.Axis(*crops[0], in_h), sizes.Axis(*crops[1], in_w)
    channels = kernel.group_channels * groups
    sizes.check_extent(function, "stride", max(height, width), rows, columns)
    sizes.check_count(function, "stride", "the output", (samples, channels, height, width))
    return _geometry(samples, channels, (height, width), kernel, rows, columns, data_format)


def _output_padding(function: str, value: int | Pair, kernel: Kernel) -> Pair:
    extra = sizes.checked_pair(function, "output_padding", value, 0)
    largest = tuple(map(max, kernel.stride, kernel.dilation))
    if extra[0] >= largest[0] or extra[1] >= largest[1]:
        rule = f"below stride {kernel.stride} or dilation {kernel.dilation}"
        raise value_error(function, "output_padding", rule, describe(value))
    return extra


def _geometry(
    samples: int,
    channels: int,
    image: Pair,
    kernel: Kernel,
    rows: sizes.Axis,
    columns: sizes.Axis,
    data_format: str,
) -> ConvGeometry:
    return ConvGeometry(
        samples,
        channels,
        *image,
        kernel.filters,
        *kernel.size,
        *kernel.stride,
        *kernel.dilation,
        rows.before,
        rows.after,
        columns.before,
        columns.after,
        kernel.groups,
        rows.out,
        columns.out,
        data_format,
    )


def _shape_names(function: str) -> tuple[str, str]:
    """Return which arguments of a public function hold the shapes of its images and kernel."""
    return (
        "x_shape" if function.endswith(("_grad_x", "prepare_conv2d")) else "x",
        "w_shape" if function.endswith("_grad_w") else "w",
    )
