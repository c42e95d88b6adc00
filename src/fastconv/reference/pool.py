"""The twins of the pools and their gradients, on planes: (samples, channels, height, width)."""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np

from ..geometry import pool_geometry
from .taps import narrow, quiet, taps


def max_pool2d(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False,
    *, data_format="NCHW",
):  # fmt: skip
    """Return the first largest element of each window, NaN counting as larger than all.

    Examples
    --------
    >>> max_pool2d(np.arange(16).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 5,  7],
           [13, 15]])
    """
    x = _native(x)
    window = kernel_size, stride, padding, dilation, ceil_mode
    g = pool_geometry("max_pool2d", x.shape, *window, True, data_format)
    planes = _planes(x, data_format)
    numbers = np.arange(g.height * g.width).reshape(g.height, g.width)
    out = np.zeros((g.samples, g.channels, g.out_h, g.out_w), x.dtype)
    indices = np.full(out.shape, -1, np.int64)  # -1 where no element was seen yet
    for _, _, outputs, pixels in taps(g):
        new, old = planes[pixels], out[outputs]
        better = (new > old) | ((new != new) & (old == old)) | (indices[outputs] < 0)
        out[outputs] = np.where(better, new, old)
        indices[outputs] = np.where(better, numbers[pixels], indices[outputs])
    out, indices = _planes_out(out, data_format), _planes_out(indices, data_format)
    return (out, indices) if return_indices else out


@quiet
def max_pool2d_grad_x(grad, indices, x_shape, *, data_format="NCHW"):
    """Return grad, each element added to the pixel that was the largest in its window."""
    grad = _native(grad)
    grad_x = np.zeros(x_shape, np.int64 if grad.dtype.kind in "iu" else np.float64)
    planes = _planes(grad_x, data_format)
    samples, channels, _, width = planes.shape
    sample, channel, _, _ = np.ogrid[:samples, :channels, :1, :1]
    row, column = np.divmod(_planes(np.asarray(indices), data_format), width)
    shares = _planes(grad, data_format).astype(grad_x.dtype)
    np.add.at(planes, (sample, channel, row, column), shares)
    return narrow(grad_x, grad.dtype)


def max_pool2d_codes(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
    *, relu, data_format="NCHW",
):  # fmt: skip
    """Return `max_pool2d` with the tap of each maximum, 255 for none above 0 if there is a relu.

    Where a window has more than 255 taps, the indices and -1 are returned instead.

    Examples
    --------
    >>> max_pool2d_codes(np.array([[[[1, 2, -5, -4]]]]), (1, 2), relu=True)
    (array([[[[ 2, -4]]]]), array([[[[  1, 255]]]], dtype=uint8))
    """
    window = kernel_size, stride, padding, dilation, ceil_mode
    out, indices = max_pool2d(x, *window, True, data_format=data_format)
    g = pool_geometry("max_pool2d", np.shape(x), *window, True, data_format)
    passes = (out > 0) | (not relu)
    if g.kernel_h * g.kernel_w > 255:
        return out, np.where(passes, indices, -1)
    places, passes = _planes(indices, data_format), _planes(passes, data_format)
    numbers = np.arange(g.height * g.width).reshape(g.height, g.width)
    codes = np.full(places.shape, 255, np.uint8)
    for row, column, outputs, pixels in taps(g):
        here = passes[outputs] & (places[outputs] == numbers[pixels])
        codes[outputs] = np.where(here, row * g.kernel_w + column, codes[outputs])
    return out, _planes_out(codes, data_format)


@quiet
def max_pool2d_codes_grad_x(
    grad, codes, x_shape, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
    *, data_format="NCHW",
):  # fmt: skip
    """Return grad, each element added to the tap of its code."""
    if codes.dtype == np.int64:
        grad = np.where(codes < 0, grad.dtype.type(0), grad)
        return max_pool2d_grad_x(grad, np.maximum(codes, 0), x_shape, data_format=data_format)
    window = kernel_size, stride, padding, dilation, ceil_mode
    g = pool_geometry("max_pool2d_grad_x", tuple(x_shape), *window, True, data_format)
    shares = _planes(_native(grad), data_format).astype(np.float64)
    codes = _planes(codes, data_format)
    grad_x = np.zeros((g.samples, g.channels, g.height, g.width))
    for row, column, outputs, pixels in taps(g):
        here = codes[outputs] == row * g.kernel_w + column
        grad_x[pixels] += np.where(here, shares[outputs], 0)
    return narrow(_planes_out(grad_x, data_format), grad.dtype)


@quiet
def avg_pool2d(
    x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    *, dilation=1, data_format="NCHW",
):  # fmt: skip
    """Return the mean of each window, padding counting as zeros or not at all.

    Examples
    --------
    >>> avg_pool2d(np.arange(16).reshape(1, 1, 4, 4), 2)[0, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    x, dtype = _averaged(x)
    window = kernel_size, stride, padding, dilation, ceil_mode
    g = pool_geometry("avg_pool2d", x.shape, *window, count_include_pad, data_format)
    planes = _planes(x, data_format)
    out = np.zeros((g.samples, g.channels, g.out_h, g.out_w))
    for _, _, outputs, pixels in taps(g):
        out[outputs] += planes[pixels]
    return narrow(_planes_out(out / _counts(g), data_format), dtype)


@quiet
def avg_pool2d_grad_x(
    grad, x_shape, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
    *, dilation=1, data_format="NCHW",
):  # fmt: skip
    """Return the gradient of sum(grad * avg_pool2d(x)) with respect to x."""
    grad, dtype = _averaged(grad)
    window = kernel_size, stride, padding, dilation, ceil_mode
    g = pool_geometry("avg_pool2d_grad_x", tuple(x_shape), *window, count_include_pad, data_format)
    shares = _planes(grad, data_format) / _counts(g)
    grad_x = np.zeros((g.samples, g.channels, g.height, g.width))
    for _, _, outputs, pixels in taps(g):
        grad_x[pixels] += shares[outputs]
    return narrow(_planes_out(grad_x, data_format), dtype)


def _counts(g):
    """Return how many elements each window averages over, as (out_h, out_w)."""
    axes = (
        (g.out_h, g.kernel_h, g.stride_h, g.dilation_h, g.pad_top, g.height, g.pad_bottom),
        (g.out_w, g.kernel_w, g.stride_w, g.dilation_w, g.pad_left, g.width, g.pad_right),
    )
    counts = []
    for outputs, taps_along, stride, dilation, before, size, after in axes:
        position = np.arange(outputs)[:, None] * stride + np.arange(taps_along) * dilation - before
        if g.count_include_pad:  # what a rounded-up size adds beyond the padding never counts
            inside = position < size + after
        else:
            inside = (position >= 0) & (position < size)
        counts.append(inside.sum(axis=1))
    return np.multiply.outer(*counts)


def _native(array):
    array = np.asarray(array)
    return array.astype(array.dtype.newbyteorder("="))


def _averaged(array):
    """Return the array as float64, and the type of its averages."""
    array = _native(array)
    dtype = np.dtype(np.float64) if array.dtype.kind in "iu" else array.dtype
    return array.astype(np.float64), dtype


def _planes(array, data_format):
    return array.transpose(0, 3, 1, 2) if data_format == "NHWC" else array


def _planes_out(planes, data_format):
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)) if data_format == "NHWC" else planes
