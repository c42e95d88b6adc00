"""What layers of images share: layouts, and shapes with sizes that are not known yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import describe, value_error
from ..geometry.plain import plain_pair
from ..geometry.sizes import checked_pair, dilated

if TYPE_CHECKING:
    from .base import Shape

FORMATS = {"channels_last": "NHWC", "channels_first": "NCHW"}


def pair(function: str, argument: str, value: object) -> tuple[int, int]:
    """Return (rows, columns) of an int or a pair, each at least 1."""
    return checked_pair(function, argument, plain_pair(function, argument, value), 1)


def check_image_shape(function: str, shape: Any) -> None:
    """Raise unless a shape has four dimensions."""
    if not isinstance(shape, tuple) or len(shape) != 4:
        rule = "images: samples, rows, columns and channels in the layout of data_format"
        raise value_error(function, "inputs", rule, f"shape {describe(shape)}")


def channels_of(shape: Shape, data_format: str) -> int | None:
    """Return the channels of images."""
    return shape[3] if data_format == "channels_last" else shape[1]


def sizes_of(shape: Shape, data_format: str) -> tuple[int | None, int | None]:
    """Return the rows and columns of images."""
    return (shape[1], shape[2]) if data_format == "channels_last" else (shape[2], shape[3])


def image_shape(
    samples: int | None, channels: int | None, sizes: tuple[int | None, ...], data_format: str
) -> Shape:
    """Return the shape of images in a layout."""
    if data_format == "channels_last":
        return samples, *sizes, channels
    return samples, channels, *sizes


def known(shape: Shape, data_format: str, sizes: tuple[int, int]) -> tuple[int, ...]:
    """Return a shape for a geometry: one sample, and stand-ins for sizes that are not known."""
    rows, columns = sizes_of(shape, data_format)
    filled = (rows or sizes[0], columns or sizes[1])
    return image_shape(1, channels_of(shape, data_format), filled, data_format)  # type: ignore


def unknown_again(shape: Shape, out: tuple[int, ...], data_format: str) -> Shape:
    """Return the shape of an output, without what came of unknown sizes."""
    known_sizes = zip(sizes_of(shape, data_format), sizes_of(out, data_format), strict=True)
    sizes = tuple(None if size is None else after for size, after in known_sizes)
    return image_shape(shape[0], channels_of(out, data_format), sizes, data_format)


def transposed_axis(
    kernel: int, stride: int, dilation: int, padding: str, output_padding: int | None
) -> tuple[tuple[int, int], int]:
    """Return what a transposed convolution crops before and after, and what it adds after.

    With "same" and no output_padding there are stride times as many outputs as inputs; with one,
    (inputs - 1) * stride + kernel % 2 + output_padding. The rule, and which side gets the odd one,
    is Keras's.

    Examples
    --------
    >>> transposed_axis(3, 2, 1, "same", None), transposed_axis(2, 3, 1, "valid", None)
    (((0, 1), 0), ((0, 0), 1))
    """
    reach = dilated(kernel, dilation)
    if padding == "valid":
        return (0, 0), max(stride - reach, 0) if output_padding is None else output_padding
    total = reach + stride - 2 if output_padding is None else reach - 2 + reach % 2 + output_padding
    before = min(total - total // 2, reach - 1)
    after = reach - 1 - (total - before)
    return (reach - 1 - before, max(after, 0)), max(-after, 0)
