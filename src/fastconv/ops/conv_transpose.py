"""Transposed convolution, which is the gradient of a convolution for its image, and its gradients.

The geometry is that of the convolution: what is the output here is its x, what is x here its out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..geometry import check_shape, conv_transpose_geometry, plain_shape
from . import run
from .arrays import as_array, conv_dtypes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from .arrays import Array, ArrayOrPair

    Size = int | Sequence[int]
    Padding = int | Sequence[int] | Sequence[Sequence[int]]


def conv_transpose2d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    *,
    data_format: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Spread every element of the images by a kernel and add what falls together.

    It maps as `conv2d_grad_x` does: shapes run backwards through a convolution. The order of the
    arguments is that of ``torch.nn.functional.conv_transpose2d``.

    Parameters
    ----------
    x : array_like
        Images, (samples, in, height, width).
    w : array_like
        Kernels, (in, out // groups, kernel_h, kernel_w).
    bias : array_like, optional
        A number an output channel, (out,), cast to the dtype of the result.
    stride, dilation : int or (int, int)
        How far the elements of x, and of the kernel, stand apart in the output, (rows, columns).
    padding : int, pair or ((top, bottom), (left, right))
        How many rows and columns are cropped from the output.
    output_padding : int or (int, int)
        How many rows and columns the output gets more, below and to the right; fewer than the
        stride or the dilation.
    groups : int
        How many groups the channels are divided into, each on its own.
    data_format : {"NCHW", "NHWC"}
        "NHWC" for x (samples, height, width, in), the result alike, and
        w (kernel_h, kernel_w, out // groups, in).
    out : ndarray, optional
        Where to put the result; of its exact shape and dtype, apart from all inputs.

    Returns
    -------
    ndarray
        (samples, out, out_h, out_w), of dtype ``np.result_type(x, w)``, int64 for integers, where
        out_h = (height - 1) * stride + (kernel_h - 1) * dilation + 1 - top - bottom
        + output_padding.

    Raises
    ------
    ValueError
        If a shape or a value is not as described.
    TypeError
        If a dtype or the type of a value is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> x = np.array([[[[1.0, 2.0]]]])
    >>> w = np.array([[[[1.0, 10.0, 100.0]]]])
    >>> fc.conv_transpose2d(x, w, stride=2)
    array([[[[  1.,  10., 102.,  20., 200.]]]])
    """
    name = "conv_transpose2d"
    x = as_array(name, "x", x)
    w = as_array(name, "w", w)
    dtypes = conv_dtypes(name, "x", x, "w", w)
    geometry = conv_transpose_geometry(
        name, x.shape, w.shape, stride, padding, output_padding, groups, dilation, data_format
    )
    return run.grad_x(name, geometry, dtypes, x, w, bias, out, grad_name="x")


def conv_transpose2d_grad_x(
    grad: ArrayLike,
    w: ArrayLike,
    x_shape: Sequence[int],
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    *,
    data_format: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of `conv_transpose2d` for x.

    Parameters
    ----------
    grad : array_like
        The gradient of the output, of the output's shape.
    w : array_like
        The kernels of the forward call.
    x_shape : sequence of int
        The shape of x, in the layout of `data_format`.
    stride, padding, output_padding, groups, dilation, data_format
        As in the forward call.
    out : ndarray, optional
        Where to put the result; of its exact shape and dtype, apart from all inputs.

    Returns
    -------
    ndarray
        Of shape `x_shape` and dtype ``np.result_type(grad, w)``, int64 for integers.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> w = np.array([[[[1.0, 10.0, 100.0]]]])
    >>> fc.conv_transpose2d_grad_x(np.ones((1, 1, 1, 5)), w, (1, 1, 1, 2), stride=2)
    array([[[[111., 111.]]]])
    """
    name = "conv_transpose2d_grad_x"
    grad = as_array(name, "grad", grad)
    w = as_array(name, "w", w)
    dtypes = conv_dtypes(name, "grad", grad, "w", w)
    shape = plain_shape(name, "x_shape", x_shape)
    geometry = conv_transpose_geometry(
        name, shape, w.shape, stride, padding, output_padding, groups, dilation, data_format
    )
    check_shape(name, "grad", geometry.x_shape, grad.shape)
    return run.forward(name, geometry, dtypes, grad, w, None, out, x_name="grad")


def conv_transpose2d_grad_w(
    grad: ArrayLike,
    x: ArrayLike,
    w_shape: Sequence[int],
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    *,
    with_bias: bool = False,
    data_format: str = "NCHW",
    out: Array | None = None,
) -> ArrayOrPair:
    """Return the gradient of `conv_transpose2d` for w, and for the bias if it is asked for.

    Parameters
    ----------
    grad : array_like
        The gradient of the output, of the output's shape.
    x : array_like
        The images of the forward call.
    w_shape : sequence of int
        The shape of w, in the layout of `data_format`.
    stride, padding, output_padding, groups, dilation, data_format
        As in the forward call.
    with_bias : bool
        Whether to return the gradient for the bias too.
    out : ndarray, optional
        Where to put the gradient for w; of its exact shape and dtype, apart from all inputs.

    Returns
    -------
    ndarray or (ndarray, ndarray)
        Of shape `w_shape` and dtype ``np.result_type(grad, x)``, int64 for integers; with
        `with_bias` a pair of it and of the gradient for the bias, (out,).

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> grad, x = np.arange(5.0).reshape(1, 1, 1, 5), np.array([[[[1.0, 2.0]]]])
    >>> fc.conv_transpose2d_grad_w(grad, x, (1, 1, 1, 3), stride=2)
    array([[[[ 4.,  7., 10.]]]])
    """
    name = "conv_transpose2d_grad_w"
    grad = as_array(name, "grad", grad)
    x = as_array(name, "x", x)
    dtypes = conv_dtypes(name, "grad", grad, "x", x)
    shape = plain_shape(name, "w_shape", w_shape)
    geometry = conv_transpose_geometry(
        name, x.shape, shape, stride, padding, output_padding, groups, dilation, data_format
    )
    return run.transposed_grad_w(name, geometry, dtypes, grad, x, with_bias, out)
