"""Convolution as deep learning means it, the kernel as it is, and its gradients."""

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
_kept_grad_w = small.calls_of_function()


def conv2d(
    x: ArrayLike,
    w: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
    data_format: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Correlate images with a bank of filters, what deep learning calls a convolution.

    The order of the arguments is that of ``torch.nn.functional.conv2d``.

    Parameters
    ----------
    x : array_like
        Images, (samples, channels, height, width).
    w : array_like
        Kernels, (filters, channels // groups, kernel_h, kernel_w); they are not flipped.
    bias : array_like, optional
        A number a filter, (filters,), cast to the dtype of the result.
    stride, dilation : int or (int, int)
        Steps of the kernel, and between its elements (1 is dense), for (rows, columns).
    padding : int, pair, ((top, bottom), (left, right)), "valid", "same" or "full"
        Zeros around the image: an int is for every side, a pair for (rows, columns). "same" is
        that of Keras: ceil(size / stride) outputs, and of an odd padding the larger part after.
    groups : int
        How many groups the channels and the filters are divided into, each on its own; as many
        as there are channels is a depthwise convolution.
    activation : {None, "relu"}
        What the outputs go through.
    data_format : {"NCHW", "NHWC"}
        "NHWC" for x (samples, height, width, channels), the result alike, and
        w (kernel_h, kernel_w, channels // groups, filters).
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
    conv4d : The kernel flipped.
    prepare_conv2d : The same weights for many calls.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> w = np.array([[[[1.0, 0.0], [0.0, -1.0]]]])
    >>> fc.conv2d(x, w, bias=[5])
    array([[[[1., 1.],
             [1., 1.]]]])
    >>> fc.conv2d(x, w, stride=2, padding="same").shape
    (1, 1, 2, 2)
    """
    arguments = stride, padding, dilation, groups, data_format, activation
    y = _kept.run(x, w, bias, arguments, out)
    if y is not None:
        return y
    x = as_array("conv2d", "x", x)
    w = as_array("conv2d", "w", w)
    dtypes = conv_dtypes("conv2d", "x", x, "w", w)
    geometry = conv_geometry(
        "conv2d", x.shape, w.shape, stride, padding, dilation, groups, data_format
    )
    relu = run.is_relu("conv2d", activation)
    y = run.forward("conv2d", geometry, dtypes, x, w, bias, out, relu)
    view = run.logical(w, data_format)
    small.keep_convolution(_kept, "forward", geometry, (x, w), view, arguments, relu)
    return y


def conv2d_grad_x(
    grad: ArrayLike,
    w: ArrayLike,
    x_shape: Sequence[int],
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    data_format: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of `conv2d` for x.

    Parameters
    ----------
    grad : array_like
        The gradient of the output, of the output's shape.
    w : array_like
        The kernels of the forward call.
    x_shape : sequence of int
        The shape of x, in the layout of `data_format`.
    stride, padding, dilation, groups, data_format
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
    >>> w = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    >>> fc.conv2d_grad_x(np.ones((1, 1, 1, 1)), w, (1, 1, 2, 3))
    Traceback (most recent call last):
        ...
    ValueError: conv2d_grad_x: grad must be of shape (1, 1, 1, 2), got shape (1, 1, 1, 1)
    >>> fc.conv2d_grad_x(np.ones((1, 1, 1, 2)), w, (1, 1, 2, 3))
    array([[[[1., 3., 2.],
             [3., 7., 4.]]]])
    """
    name = "conv2d_grad_x"
    arguments = x_shape, stride, padding, dilation, groups, data_format
    found = _kept_grad_x.run(grad, w, None, arguments, out)
    if found is not None:
        return found
    grad = as_array(name, "grad", grad)
    w = as_array(name, "w", w)
    dtypes = conv_dtypes(name, "grad", grad, "w", w)
    shape = plain_shape(name, "x_shape", x_shape)
    geometry = conv_geometry(name, shape, w.shape, stride, padding, dilation, groups, data_format)
    found = run.grad_x(name, geometry, dtypes, grad, w, None, out)
    view = run.logical(w, data_format)
    small.keep_convolution(_kept_grad_x, "grad_x", geometry, (grad, w), view, arguments)
    return found


def conv2d_grad_w(
    grad: ArrayLike,
    x: ArrayLike,
    w_shape: Sequence[int],
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    with_bias: bool = False,
    data_format: str = "NCHW",
    out: Array | None = None,
) -> ArrayOrPair:
    """Return the gradient of `conv2d` for w, and for the bias if it is asked for.

    Parameters
    ----------
    grad : array_like
        The gradient of the output, of the output's shape.
    x : array_like
        The images of the forward call.
    w_shape : sequence of int
        The shape of w, in the layout of `data_format`.
    stride, padding, dilation, groups, data_format
        As in the forward call.
    with_bias : bool
        Whether to return the gradient for the bias too, from the same pass over `grad`.
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
    >>> fc.conv2d_grad_w(np.ones((1, 1, 2, 2)), x, (1, 1, 2, 2), with_bias=True)
    (array([[[[ 8., 12.],
             [20., 24.]]]]), array([4.]))
    """
    name = "conv2d_grad_w"
    arguments = w_shape, stride, padding, dilation, groups, with_bias, data_format
    found = _kept_grad_w.run(grad, x, None, arguments, out)
    if found is not None:
        return found
    grad = as_array(name, "grad", grad)
    x = as_array(name, "x", x)
    dtypes = conv_dtypes(name, "grad", grad, "x", x)
    shape = plain_shape(name, "w_shape", w_shape)
    geometry = conv_geometry(name, x.shape, shape, stride, padding, dilation, groups, data_format)
    found = run.grad_w(name, geometry, dtypes, grad, x, with_bias, out)
    small.keep_grad_w(_kept_grad_w, geometry, (grad, x), arguments, with_bias)
    return found
