"""What every operation means, in plain NumPy: a twin of each public function, with its signature.

A kernel element at (row, column) is called a tap. For output pixel (i, j) it reads the image at

    (i * stride_h + row * dilation_h - pad_top, j * stride_w + column * dilation_w - pad_left)

and outputs for which that lies outside of the image skip the tap. So padding contributes nothing,
not even the NaN that an infinite weight times a zero would give. The convolution and its two
gradients walk over the same taps; they differ in which two of image, kernel and output they read
and which one they add to. The transposed convolution is the gradient with respect to the image.

Floating-point sums run in float64 (longdouble in longdouble) and are rounded to the result's type
once. Integers run in int64 and wrap around. Arguments are taken to be right: checking them is the
public functions' business.
The types of the arguments are those of the public functions, and not repeated here.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np

from .geometry import conv_geometry, conv_transpose_geometry, pool_geometry


def quiet(function):
    """Let function make inf and NaN without a warning: they are what is asked for."""
    return np.errstate(invalid="ignore", over="ignore")(function)


# Taps


def taps(g):
    """Yield each tap's row and column, the outputs it serves, and the pixels they read."""
    for row in range(g.kernel_h):
        start = row * g.dilation_h - g.pad_top
        out_rows, image_rows = _inside(start, g.stride_h, g.out_h, g.height)
        for column in range(g.kernel_w):
            start = column * g.dilation_w - g.pad_left
            out_columns, image_columns = _inside(start, g.stride_w, g.out_w, g.width)
            yield row, column, (..., out_rows, out_columns), (..., image_rows, image_columns)


def _inside(start, stride, outputs, size):
    """Return the i with 0 <= start + i * stride < size, and those positions, as two slices."""
    first = max(0, -(start // stride))
    end = min(outputs, (size - 1 - start) // stride + 1)
    if end <= first:
        return slice(0), slice(0)
    return slice(first, end), slice(start + first * stride, start + (end - 1) * stride + 1, stride)


# Types and layouts


def _widen(*arrays):
    """Return the arrays in the type the sums run in, and the type of the result."""
    given = [np.asarray(array) for array in arrays]
    dtype = np.result_type(*given)
    if dtype.kind in "iu":
        dtype = np.dtype(np.int64)
    wide = np.int64 if dtype.kind == "i" else np.result_type(dtype, np.float64)
    return *(array.astype(wide, order="C") for array in given), dtype


@quiet
def _narrow(array, dtype):
    return array.astype(dtype, order="C")


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
        bias = _narrow(np.asarray(bias), dtype).astype(array.dtype)
        array = array + bias.reshape((*array.shape[1:3], 1, 1))
    samples, groups, channels, height, width = array.shape
    array = array.reshape(samples, groups * channels, height, width)
    if g.data_format == "NHWC":
        array = array.transpose(0, 2, 3, 1)
    return _narrow(array, dtype)


@quiet
def _kernels_out(grad_w, g, dtype, grad=None):
    """Undo _kernels, and round. Given the output's gradient, return that of the bias as well."""
    groups, filters, channels, rows, columns = grad_w.shape
    grad_w = grad_w.reshape(groups * filters, channels, rows, columns)
    if g.data_format == "NHWC":
        grad_w = grad_w.transpose(2, 3, 1, 0)
    grad_w = _narrow(grad_w, dtype)
    if grad is None:
        return grad_w
    return grad_w, _narrow(grad.sum(axis=(0, 3, 4)).reshape(-1), dtype)


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


# Pools, on planes: images as (samples, channels, height, width)


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
    return _narrow(grad_x, grad.dtype)


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
    return _narrow(_planes_out(out / _counts(g), data_format), dtype)


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
    return _narrow(_planes_out(grad_x, data_format), dtype)


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
