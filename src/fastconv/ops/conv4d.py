"""Convolution as mathematicians and SciPy mean it, the kernel flipped, and its gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import small
from ..geometry import conv_geometry, plain_shape
from . import run
from .arrays import as_array, conv_dtypes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from .arrays import Array, ArrayOrPair

    Size = int | Sequence[int]
    Padding = str | int | Sequence[int] | Sequence[Sequence[int]]

_kept = small.calls_of_function()
_kept_grad_x = small.calls_of_function()


def conv4d(
    x: ArrayLike,
    w: ArrayLike,
    padding: Padding = "same",
    *,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    dilation: Size = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """Convolve images with a bank of filters; the kernels are flipped, as in SciPy and Theano.

    Parameters
    ----------
    x : array_like
        Images, (samples, channels, height, width).
    w : array_like
        Kernels, (filters, channels // groups, kernel_h, kernel_w). A kernel may be larger than
        the image, but not with "valid".
    padding : {"same", "valid", "full"}, int, pair or ((top, bottom), (left, right))
        Zeros around the image. "same" gives what ``scipy.signal.convolve(mode="same")`` gives,
        summed over the channels; an int is for every side, a pair for (rows, columns).
    bias : array_like, optional
        A number a filter, (filters,), cast to the dtype of the result.
    stride, dilation : int or (int, int)
        Steps of the kernel, and between its elements (1 is dense), for (rows, columns). A stride
        takes every so-manyth output of stride 1.
    groups : int
        How many groups the channels and the filters are divided into, each on its own.
    out : ndarray, optional
        Where to put the result; of its exact shape and dtype, apart from all inputs.

    Returns
    -------
    ndarray
        (samples, filters, out_h, out_w), of dtype ``np.result_type(x, w)``, int64 for integers.

    Raises
    ------
    ValueError
        If a shape or a value is not as described.
    TypeError
        If a dtype or the type of a value is not as described.

    See Also
    --------
    conv2d : The kernel as it is.

    Examples
    --------
    The response to an impulse is the kernel itself.

    >>> import numpy as np
    >>> import fastconv as fc
    >>> x = np.zeros((1, 1, 3, 4), dtype=int)
    >>> x[0, 0, 1, 1] = 1
    >>> w = np.array([[[[1, 2], [3, 4]]]])
    >>> fc.conv4d(x, w)
    array([[[[0, 0, 0, 0],
             [0, 1, 2, 0],
             [0, 3, 4, 0]]]])
    """
    arguments = stride, padding, dilation, groups
    y = _kept.run(x, w, bias, arguments, out)
    if y is not None:
        return y
    x = as_array("conv4d", "x", x)
    w = as_array("conv4d", "w", w)
    dtypes = conv_dtypes("conv4d", "x", x, "w", w)
    geometry = conv_geometry(
        "conv4d", x.shape, w.shape, stride, padding, dilation, groups, "NCHW", True
    )
    y = run.forward("conv4d", geometry, dtypes, x, w, bias, out, flipped=True)
    view = run.logical(w, "NCHW", True)
    small.keep_convolution(_kept, "forward", geometry, (x, w), view, arguments)
    return y


def conv4d_grad_x(
    grad: ArrayLike,
    w: ArrayLike,
    x_shape: Sequence[int],
    padding: Padding = "same",
    *,
    stride: Size = 1,
    dilation: Size = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array:
    """Return the gradient of `conv4d` for x.

    Parameters
    ----------
    grad : array_like
        The gradient of the output, of the output's shape.
    w : array_like
        The kernels of the forward call.
    x_shape : sequence of int
        The shape of x.
    padding, stride, dilation, groups
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
    >>> fc.conv4d_grad_x(np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), (1, 1, 3, 3), "valid")
    array([[[[1., 2., 1.],
             [2., 4., 2.],
             [1., 2., 1.]]]])
    """
    name = "conv4d_grad_x"
    arguments = x_shape, stride, padding, dilation, groups
    found = _kept_grad_x.run(grad, w, None, arguments, out)
    if found is not None:
        return found
    grad = as_array(name, "grad", grad)
    w = as_array(name, "w", w)
    dtypes = conv_dtypes(name, "grad", grad, "w", w)
    shape = plain_shape(name, "x_shape", x_shape)
    geometry = conv_geometry(name, shape, w.shape, stride, padding, dilation, groups, "NCHW", True)
    found = run.grad_x(name, geometry, dtypes, grad, w, None, out, flipped=True)
    view = run.logical(w, "NCHW", True)
    small.keep_convolution(_kept_grad_x, "grad_x", geometry, (grad, w), view, arguments)
    return found


def conv4d_grad_w(
    grad: ArrayLike,
    x: ArrayLike,
    w_shape: Sequence[int],
    padding: Padding = "same",
    *,
    stride: Size = 1,
    dilation: Size = 1,
    groups: int = 1,
    with_bias: bool = False,
    out: Array | None = None,
) -> ArrayOrPair:
    """Return the gradient of `conv4d` for w.

    Parameters
    ----------
    grad : array_like
        The gradient of the output, of the output's shape.
    x : array_like
        The images of the forward call.
    w_shape : sequence of int
        The shape of w.
    padding, stride, dilation, groups
        As in the forward call.
    with_bias : bool
        Whether to return the gradient for the bias too.
    out : ndarray, optional
        Where to put the gradient for w; of its exact shape and dtype, apart from all inputs.

    Returns
    -------
    ndarray or (ndarray, ndarray)
        Of shape `w_shape` and dtype ``np.result_type(grad, x)``, int64 for integers; with
        `with_bias` a pair of it and of the gradient for the bias, (filters,).

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> fc.conv4d_grad_w(np.ones((1, 1, 2, 2)), x, (1, 1, 2, 2), "valid", with_bias=True)
    (array([[[[24., 20.],
             [12.,  8.]]]]), array([4.]))
    """
    name = "conv4d_grad_w"
    grad = as_array(name, "grad", grad)
    x = as_array(name, "x", x)
    dtypes = conv_dtypes(name, "grad", grad, "x", x)
    shape = plain_shape(name, "w_shape", w_shape)
    geometry = conv_geometry(name, x.shape, shape, stride, padding, dilation, groups, "NCHW", True)
    return run.grad_w(name, geometry, dtypes, grad, x, with_bias, out, flipped=True)
