"""The twins of the convolutions and their gradients."""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np

from ..geometry import conv_geometry, conv_transpose_geometry
from .taps import narrow, quiet, taps

# Types and layouts


def _widen(*arrays):
    """Return the arrays in the type the sums run in, and the type of the result."""
    given = [np.asarray(array) for array in arrays]
    dtype = np.result_type(*given)
    if dtype.kind in "iu":
        dtype = np.dtype(np.int64)
    wide = np.int64 if dtype.kind == "i" else np.result_type(dtype, np.float64)
    return *(array.astype(wide, order="C") for array in given), dtype


def _images(array, g):
    """View images as (samples, groups, channels of a group, height, width)."""
    if g.data_format == "NHWC":
        array = array.transpose(0, 3, 1, 2)
    samples, channels, height, width = array.shape
    return array.reshape(samples, g.groups, channels // g.groups, height, width)


def _kernels(array, g):
    """View kernels as (groups, filters of a group, channels of a group, rows, columns)."""
    if g.data_format == "NHWC":
        array = array.transpose(3, 2, 0, 1)
    filters, channels, rows, columns = array.shape
    return array.reshape(g.groups, filters // g.groups, channels, rows, columns)


def _images_out(array, g, dtype, bias=None):
    """Undo _images, and round. The bias is rounded first, as the public functions do."""
    if bias is not None:
        bias = narrow(np.asarray(bias), dtype).astype(array.dtype)
        array = array + bias.reshape((*array.shape[1:3], 1, 1))
    samples, groups, channels, height, width = array.shape
    array = array.reshape(samples, groups * channels, height, width)
    if g.data_format == "NHWC":
        array = array.transpose(0, 2, 3, 1)
    return narrow(array, dtype)


@quiet
def _kernels_out(grad_w, g, dtype, grad=None):
    """Undo _kernels, and round. Given the output's gradient, return that of the bias as well."""
    groups, filters, channels, rows, columns = grad_w.shape
    grad_w = grad_w.reshape(groups * filters, channels, rows, columns)
    if g.data_format == "NHWC":
        grad_w = grad_w.transpose(2, 3, 1, 0)
    grad_w = narrow(grad_w, dtype)
    if grad is None:
        return grad_w
    return grad_w, narrow(grad.sum(axis=(0, 3, 4)).reshape(-1), dtype)


# The convolution and its two gradients, on what _images and _kernels return
# (in einsum's letters: n samples, g groups, f filters, c channels, hw pixels)


@quiet
def _convolve(g, x, w):
    out = np.zeros((g.samples, g.groups, w.shape[1], g.out_h, g.out_w), w.dtype)
    for row, column, outputs, pixels in taps(g):
        out[outputs] += np.einsum("ngchw,gfc->ngfhw", x[pixels], w[..., row, column])
    return out


@quiet
def _convolve_grad_x(g, grad, w):
    grad_x = np.zeros((g.samples, g.groups, w.shape[2], g.height, g.width), w.dtype)
    for row, column, outputs, pixels in taps(g):
        grad_x[pixels] += np.einsum("ngfhw,gfc->ngchw", grad[outputs], w[..., row, column])
    return grad_x


@quiet
def _convolve_grad_w(g, grad, x):
    grad_w = np.zeros((g.groups, grad.shape[2], x.shape[2], g.kernel_h, g.kernel_w), x.dtype)
    for row, column, outputs, pixels in taps(g):
        grad_w[..., row, column] = np.einsum("ngfhw,ngchw->gfc", grad[outputs], x[pixels])
    return grad_w


# Cross-correlation


def conv2d(
    x, w, bias=None, stride=1, padding=0, dilation=1, groups=1,
    *, activation=None, data_format="NCHW",
):  # fmt: skip
    """Return the cross-correlation of x with w, or its positive part.

    Examples
    --------
    >>> conv2d(np.arange(9).reshape(1, 1, 3, 3), [[[[1, 0], [0, 0]]]])[0, 0]
    array([[0, 1],
           [3, 4]])
    """
    x, w, dtype = _widen(x, w)
    sizes = stride, padding, dilation, groups
    g = conv_geometry("conv2d", x.shape, w.shape, *sizes, data_format)
    out = _images_out(_convolve(g, _images(x, g), _kernels(w, g)), g, dtype, bias)
    return np.maximum(out, 0, dtype=dtype) if activation == "relu" else out


def conv2d_grad_x(
    grad, w, x_shape, stride=1, padding=0, dilation=1, groups=1, *, data_format="NCHW"
):
    """Return the gradient of sum(grad * conv2d(x, w)) with respect to x."""
    grad, w, dtype = _widen(grad, w)
    sizes = stride, padding, dilation, groups
    g = conv_geometry("conv2d_grad_x", tuple(x_shape), w.shape, *sizes, data_format)
    return _images_out(_convolve_grad_x(g, _images(grad, g), _kernels(w, g)), g, dtype)


def conv2d_grad_w(
    grad, x, w_shape, stride=1, padding=0, dilation=1, groups=1,
    *, with_bias=False, data_format="NCHW",
):  # fmt: skip
    """Return the gradient of sum(grad * conv2d(x, w, bias)) with respect to w, and bias."""
    grad, x, dtype = _widen(grad, x)
    sizes = stride, padding, dilation, groups
    g = conv_geometry("conv2d_grad_w", x.shape, tuple(w_shape), *sizes, data_format)
    grad, x = _images(grad, g), _images(x, g)
    return _kernels_out(_convolve_grad_w(g, grad, x), g, dtype, grad if with_bias else None)


# Convolution: with the kernel flipped, and "same" as SciPy means it


def conv4d(x, w, padding="same", *, bias=None, stride=1, dilation=1, groups=1):
    """Return the convolution of x with w.

    Examples
    --------
    >>> impulse = np.pad([[1]], 1).reshape(1, 1, 3, 3)
    >>> conv4d(impulse, np.arange(4).reshape(1, 1, 2, 2), "valid")[0, 0]
    array([[0, 1],
           [2, 3]])
    """
    x, w, dtype = _widen(x, w)
    sizes = stride, padding, dilation, groups
    g = conv_geometry("conv4d", x.shape, w.shape, *sizes, "NCHW", flipped=True)
    return _images_out(_convolve(g, _images(x, g), _flip(_kernels(w, g))), g, dtype, bias)


def conv4d_grad_x(grad, w, x_shape, padding="same", *, stride=1, dilation=1, groups=1):
    """Return the gradient of sum(grad * conv4d(x, w)) with respect to x."""
    grad, w, dtype = _widen(grad, w)
    sizes = stride, padding, dilation, groups
    g = conv_geometry("conv4d_grad_x", tuple(x_shape), w.shape, *sizes, "NCHW", flipped=True)
    return _images_out(_convolve_grad_x(g, _images(grad, g), _flip(_kernels(w, g))), g, dtype)


def conv4d_grad_w(
    grad, x, w_shape, padding="same", *, stride=1, dilation=1, groups=1, with_bias=False
):
    """Return the gradient of sum(grad * conv4d(x, w, bias=bias)) with respect to w, and bias."""
    grad, x, dtype = _widen(grad, x)
    sizes = stride, padding, dilation, groups
    g = conv_geometry("conv4d_grad_w", x.shape, tuple(w_shape), *sizes, "NCHW", flipped=True)
    grad, x = _images(grad, g), _images(x, g)
    grad_w = _flip(_convolve_grad_w(g, grad, x))
    return _kernels_out(grad_w, g, dtype, grad if with_bias else None)


def _flip(kernels):
    return kernels[..., ::-1, ::-1]


# Transposed convolution: x stands where the output of a convolution does, and out where its image


def conv_transpose2d(
    x, w, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1,
    *, data_format="NCHW",
):  # fmt: skip
    """Return the image that has, for each pixel of x, the kernel scaled by that pixel added in.

    Examples
    --------
    >>> conv_transpose2d([[[[1, 2]]]], [[[[1, 10, 100]]]], stride=2)[0, 0]
    array([[  1,  10, 102,  20, 200]])
    """
    x, w, dtype = _widen(x, w)
    sizes = stride, padding, output_padding, groups, dilation
    g = conv_transpose_geometry("conv_transpose2d", x.shape, w.shape, *sizes, data_format)
    return _images_out(_convolve_grad_x(g, _images(x, g), _kernels(w, g)), g, dtype, bias)


def conv_transpose2d_grad_x(
    grad, w, x_shape, stride=1, padding=0, output_padding=0, groups=1, dilation=1,
    *, data_format="NCHW",
):  # fmt: skip
    """Return the gradient of sum(grad * conv_transpose2d(x, w)) with respect to x."""
    grad, w, dtype = _widen(grad, w)
    sizes = stride, padding, output_padding, groups, dilation
    g = conv_transpose_geometry(
        "conv_transpose2d_grad_x", tuple(x_shape), w.shape, *sizes, data_format
    )
    return _images_out(_convolve(g, _images(grad, g), _kernels(w, g)), g, dtype)


def conv_transpose2d_grad_w(
    grad, x, w_shape, stride=1, padding=0, output_padding=0, groups=1, dilation=1,
    *, with_bias=False, data_format="NCHW",
):  # fmt: skip
    """Return the gradient of sum(grad * conv_transpose2d(x, w, bias)) for w, and for bias."""
    grad, x, dtype = _widen(grad, x)
    sizes = stride, padding, output_padding, groups, dilation
    g = conv_transpose_geometry(
        "conv_transpose2d_grad_w", x.shape, tuple(w_shape), *sizes, data_format
    )
    grad, x = _images(grad, g), _images(x, g)
    return _kernels_out(_convolve_grad_w(g, x, grad), g, dtype, grad if with_bias else None)
