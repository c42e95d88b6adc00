"""What can be checked of a convolution without its image: kernel, stride, padding, groups."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import value_error
from .plain import (
    DATA_FORMATS,
    Padding,
    Pair,
    Shape,
    plain_int,
    plain_padding,
    plain_pair,
    plain_word,
)
from .shapes import check_kernel
from .sizes import LARGEST_SIZE, checked_pair, dilated, padding_of_axes


class Kernel(NamedTuple):
    """A checked kernel and how it moves; reach is its size when dilated."""

    filters: int
    group_channels: int
    size: Pair
    stride: Pair
    dilation: Pair
    reach: Pair
    padding: tuple[str | Pair, str | Pair]
    groups: int


def plain_arguments(
    function: str,
    stride: object,
    padding: object,
    dilation: object,
    groups: object,
    data_format: object,
    words: bool = True,
) -> tuple[int | Pair, Padding, int | Pair, int, str]:
    """Return the arguments of a convolution as exact ints, words and tuples."""
    return (
        plain_pair(function, "stride", stride),
        plain_padding(function, "padding", padding, words),
        plain_pair(function, "dilation", dilation),
        plain_int(function, "groups", groups, "an int"),
        plain_word(function, "data_format", data_format, DATA_FORMATS),
    )


def checked_kernel(
    function: str,
    w_name: str,
    shape: Shape,
    stride: int | Pair,
    padding: Padding,
    dilation: int | Pair,
    groups: int,
    words: bool = True,
) -> Kernel:
    """Return the kernel of a (filters, channels // groups, kernel_h, kernel_w) shape.

    `words` tells whether `padding` may be one: not for a transposed convolution.
    """
    filters, group_channels, kernel_h, kernel_w = shape
    stride_h, stride_w = checked_pair(function, "stride", stride, 1)
    dilation_h, dilation_w = checked_pair(function, "dilation", dilation, 1)
    if not 1 <= groups <= LARGEST_SIZE:
        raise value_error(function, "groups", f"an int from 1 to {LARGEST_SIZE}", groups)
    if filters % groups:
        # The filters of a transposed convolution's w are its input channels.
        what = "filters" if words else "input channels"
        rule = f"a divisor of the {filters} {what} of {w_name}"
        raise value_error(function, "groups", rule, groups)
    return Kernel(
        filters,
        group_channels,
        (kernel_h, kernel_w),
        (stride_h, stride_w),
        (dilation_h, dilation_w),
        (dilated(kernel_h, dilation_h), dilated(kernel_w, dilation_w)),
        padding_of_axes(function, padding, words),
        groups,
    )


def checked_arguments(
    function: str,
    w_shape: tuple[int, ...],
    stride: object,
    padding: object,
    dilation: object,
    groups: object,
    data_format: object,
) -> tuple[int | Pair, Padding, int | Pair, int, str]:
    """Return the arguments of a convolution whose image is still to come, plain and checked."""
    plain = plain_arguments(function, stride, padding, dilation, groups, data_format)
    shape = check_kernel(function, "w", w_shape, plain[-1])
    checked_kernel(function, "w", shape, *plain[:-1])
    return plain
