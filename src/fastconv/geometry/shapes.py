"""Four dimensions and their order in each data format; the checks of one array's shape."""

from __future__ import annotations

from ..errors import value_error
from .plain import Shape
from .sizes import LARGEST_SIZE, check_count

_IMAGE_NAMES = {
    "NCHW": "(samples, channels, height, width)",
    "NHWC": "(samples, height, width, channels)",
}
_KERNEL_NAMES = {
    "NCHW": "(filters, channels // groups, kernel_h, kernel_w)",
    "NHWC": "(kernel_h, kernel_w, channels // groups, filters)",
}
_TRANSPOSED_KERNEL_NAMES = {
    "NCHW": "(in, out // groups, kernel_h, kernel_w)",
    "NHWC": "(kernel_h, kernel_w, out // groups, in)",
}
# What turns an array of 2 or 3 dimensions into one grey image, one image, one kernel.
_IMAGE_AXES = {
    ("NCHW", 2): "[None, None]",
    ("NCHW", 3): "[None]",
    ("NHWC", 2): "[None, :, :, None]",
    ("NHWC", 3): "[None]",
}
_KERNEL_AXES = {
    ("NCHW", 2): "[None, None]",
    ("NCHW", 3): "[None]",
    ("NHWC", 2): "[:, :, None, None]",
    ("NHWC", 3): "[..., None]",
}


def in_layout(image: Shape, data_format: str) -> Shape:
    """Return (samples, channels, height, width) in the layout of `data_format`."""
    samples, channels, height, width = image
    return image if data_format == "NCHW" else (samples, height, width, channels)


def kernel_in_layout(kernel: Shape, data_format: str) -> Shape:
    """Return (filters, channels // groups, kernel_h, kernel_w) in the layout of `data_format`."""
    filters, channels, kernel_h, kernel_w = kernel
    return kernel if data_format == "NCHW" else (kernel_h, kernel_w, channels, filters)


def check_image(function: str, argument: str, shape: tuple[int, ...], data_format: str) -> Shape:
    """Return (samples, channels, height, width) of an array of images."""
    names = _IMAGE_NAMES[data_format]
    four = _four(function, argument, shape, names, _IMAGE_AXES, data_format)
    if data_format == "NCHW":
        samples, channels, height, width = four
    else:
        samples, height, width, channels = four
    if samples < 0 or channels < 0 or height < 1 or width < 1:
        rule = f"{names} with height and width of at least 1"
        raise value_error(function, argument, rule, f"shape {shape}")
    check_count(function, argument, "the array", shape)
    return samples, channels, height, width


def check_kernel(
    function: str,
    argument: str,
    shape: tuple[int, ...],
    data_format: str,
    transposed: bool = False,
) -> Shape:
    """Return (filters, channels // groups, kernel_h, kernel_w) of an array of weights."""
    names = (_TRANSPOSED_KERNEL_NAMES if transposed else _KERNEL_NAMES)[data_format]
    four = _four(function, argument, shape, names, _KERNEL_AXES, data_format)
    if data_format == "NCHW":
        filters, channels, kernel_h, kernel_w = four
    else:
        kernel_h, kernel_w, channels, filters = four
    sizes = (kernel_h, kernel_w)
    if filters < 0 or channels < 0 or min(sizes) < 1 or max(sizes) > LARGEST_SIZE:
        rule = f"{names} with kernel_h and kernel_w from 1 to {LARGEST_SIZE}"
        raise value_error(function, argument, rule, f"shape {shape}")
    check_count(function, argument, "the array", shape)
    return filters, channels, kernel_h, kernel_w


def check_shape(
    function: str, argument: str, expected: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    """Raise unless an array whose shape follows from the other arguments has that shape."""
    if shape != expected:
        raise value_error(function, argument, f"of shape {expected}", f"shape {shape}")


def _four(
    function: str,
    argument: str,
    shape: tuple[int, ...],
    names: str,
    axes: dict[tuple[str, int], str],
    data_format: str,
) -> Shape:
    if len(shape) == 4:
        return shape
    hint = axes.get((data_format, len(shape)))
    add = f"; add the missing axes with {argument}{hint}" if hint else ""
    raise value_error(function, argument, f"4-D {names}{add}", f"shape {shape}")
