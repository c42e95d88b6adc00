"""Pools and their gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import plan, small
from ..errors import type_error, value_error
from ..geometry import (
    DATA_FORMATS,
    check_shape,
    plain_flag,
    plain_shape,
    plain_word,
    pool_geometry,
    unpool_geometry,
)
from .arrays import (
    INT64,
    as_array,
    average_dtypes,
    check_out,
    checked_dtypes,
    contiguous,
    deliver,
    output,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from .arrays import Array, ArrayOrPair

    Size = int | Sequence[int]
    Padding = str | int | Sequence[int] | Sequence[Sequence[int]]

_kept_max = small.calls_of_function()
_kept_avg = small.calls_of_function()
_kept_avg_grad_x = small.calls_of_function()


def max_pool2d(
    x: ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    data_format: str = "NCHW",
    out: Array | None = None,
) -> ArrayOrPair:
    """Take the maximum of every window.

    Padding never wins: it counts as -inf, or as the lowest integer. NaN always does. The order of
    the arguments is that of ``torch.nn.functional.max_pool2d``.

    Parameters
    ----------
    x : array_like
        Images, (samples, channels, height, width), of floats or integers.
    kernel_size : int or (int, int)
        (rows, columns) of the window.
    stride : int or (int, int), optional
        Steps of the window; by default `kernel_size`, so that windows do not overlap.
    padding : int, pair, ((top, bottom), (left, right)), "valid", "same" or "full"
        Padding around the image, as in `conv2d`; every window must hold an element of the image.
    dilation : int or (int, int)
        Steps between the elements of the window, 1 is dense.
    ceil_mode : bool
        Whether a last window may pass the edge.
    return_indices : bool
        Whether to return where the maxima were, as `max_pool2d_grad_x` needs it.
    data_format : {"NCHW", "NHWC"}
        "NHWC" for (samples, height, width, channels).
    out : ndarray, optional
        Where to put the maxima; of their exact shape and dtype, apart from x.

    Returns
    -------
    ndarray or (ndarray, ndarray)
        (samples, channels, out_h, out_w) of the dtype of x; with `return_indices` a pair of it and
        of int64 indices, row * width + column of the first maximum of each window.

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
    >>> x = np.array([[[[1, 2, 5], [4, 3, 0]]]])
    >>> fc.max_pool2d(x, 2, stride=1, return_indices=True)
    (array([[[[4, 5]]]]), array([[[[3, 2]]]]))
    """
    name = "max_pool2d"
    sizes = kernel_size, stride, padding, dilation
    arguments = sizes, ceil_mode, return_indices, data_format
    found = _kept_max.run(x, None, None, arguments, out)
    if found is not None:
        return found
    x = as_array(name, "x", x)
    dtypes = result, compute = checked_dtypes(name, "x", x)
    geometry = pool_geometry(name, x.shape, *sizes, ceil_mode, False, data_format)
    return_indices = plain_flag(name, "return_indices", return_indices)
    small.keep_pool(_kept_max, small.MaxPool, geometry, dtypes, x, arguments, return_indices)
    if out is not None:
        check_out(name, out, geometry.out_shape, result, x=x)
    x = contiguous(x, compute)
    target = output(out, geometry.out_shape, compute)
    indices = np.empty(geometry.out_shape, INT64) if return_indices else None
    plan.max_pool(geometry, x, target, indices)
    delivered = deliver(target, out, result)
    return delivered if indices is None else (delivered, indices)


def max_pool2d_grad_x(
    grad: ArrayLike,
    indices: ArrayLike,
    x_shape: Sequence[int],
    *,
    data_format: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of `max_pool2d`: every element of grad, added where its maximum was.

    Parameters
    ----------
    grad : array_like
        The gradient of the output, of the output's shape.
    indices : array_like of int64
        The indices `max_pool2d` returned.
    x_shape : sequence of int
        The shape of x, in the layout of `data_format`.
    data_format : {"NCHW", "NHWC"}
        As in the forward call.
    out : ndarray, optional
        Where to put the result; of its exact shape and dtype, apart from all inputs. If an index
        is out of range its contents are lost.

    Returns
    -------
    ndarray
        Of shape `x_shape` and of the dtype of grad.

    Raises
    ------
    ValueError
        If a shape or a value is not as described, an index outside of the image among them.
    TypeError
        If a dtype or the type of a value is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> x = np.array([[[[1.0, 2.0, 5.0], [4.0, 3.0, 0.0]]]])
    >>> maxima, indices = fc.max_pool2d(x, 2, stride=1, return_indices=True)
    >>> fc.max_pool2d_grad_x(np.ones_like(maxima), indices, x.shape)
    array([[[[0., 0., 1.],
             [1., 0., 0.]]]])
    """
    name = "max_pool2d_grad_x"
    grad = as_array(name, "grad", grad)
    indices = as_array(name, "indices", indices)
    result, compute = checked_dtypes(name, "grad", grad)
    if indices.dtype.newbyteorder("=") != INT64:
        raise type_error(name, "indices", "of dtype int64", f"dtype {indices.dtype}")
    shape = plain_shape(name, "x_shape", x_shape)
    data_format = plain_word(name, "data_format", data_format, DATA_FORMATS)
    geometry = unpool_geometry(name, shape, grad.shape, data_format)
    check_shape(name, "indices", grad.shape, indices.shape)
    if out is not None:
        check_out(name, out, shape, result, grad=grad, indices=indices)
    grad = contiguous(grad, compute)
    indices = contiguous(indices, INT64)
    target = output(out, shape, compute)
    if not plan.max_pool_grad_x(geometry, grad, indices, target):
        size = geometry.height * geometry.width
        raise value_error(name, "indices", f"from 0 to {size - 1}", "an index outside of it")
    return deliver(target, out, result)


def avg_pool2d(
    x: ArrayLike,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    dilation: Size = 1,
    data_format: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take the average of every window.

    The order of the arguments is that of ``torch.nn.functional.avg_pool2d``.

    Parameters
    ----------
    x : array_like
        Images, (samples, channels, height, width), of floats or integers.
    kernel_size, stride, padding, ceil_mode, dilation, data_format
        As in `max_pool2d`, but the padding is zeros.
    count_include_pad : bool
        Whether padding counts in what the sum is divided by. What a last window of `ceil_mode`
        has beyond the padding never does.
    out : ndarray, optional
        Where to put the result; of its exact shape and dtype, apart from x.

    Returns
    -------
    ndarray
        (samples, channels, out_h, out_w) of the dtype of x; float64 for integers.

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
    >>> x = np.array([[[[1, 2, 6], [4, 3, 0]]]])
    >>> fc.avg_pool2d(x, 2, stride=1)
    array([[[[2.5 , 2.75]]]])
    >>> fc.avg_pool2d(x, 2, padding="same", count_include_pad=False)
    array([[[[2.5, 3. ]]]])
    """
    name = "avg_pool2d"
    sizes = kernel_size, stride, padding, dilation
    arguments = sizes, ceil_mode, count_include_pad, data_format
    found = _kept_avg.run(x, None, None, arguments, out)
    if found is not None:
        return found
    x = as_array(name, "x", x)
    dtypes = result, compute = average_dtypes(name, "x", x)
    geometry = pool_geometry(name, x.shape, *sizes, ceil_mode, count_include_pad, data_format)
    small.keep_pool(_kept_avg, small.AveragePool, geometry, dtypes, x, arguments, False)
    if out is not None:
        check_out(name, out, geometry.out_shape, result, x=x)
    x = contiguous(x, compute)
    target = output(out, geometry.out_shape, compute)
    plan.avg_pool(geometry, x, target)
    return deliver(target, out, result)


def avg_pool2d_grad_x(
    grad: ArrayLike,
    x_shape: Sequence[int],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    dilation: Size = 1,
    data_format: str = "NCHW",
    out: Array | None = None,
) -> Array:
    """Return the gradient of `avg_pool2d`: every element of grad, shared among its window.

    Parameters
    ----------
    grad : array_like
        The gradient of the output, of the output's shape.
    x_shape : sequence of int
        The shape of x, in the layout of `data_format`.
    kernel_size, stride, padding, ceil_mode, count_include_pad, dilation, data_format
        As in the forward call.
    out : ndarray, optional
        Where to put the result; of its exact shape and dtype, apart from grad.

    Returns
    -------
    ndarray
        Of shape `x_shape` and of the dtype of grad; float64 for integers.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> fc.avg_pool2d_grad_x(np.array([[[[4.0, 8.0]]]]), (1, 1, 2, 3), 2, stride=1)
    array([[[[1., 3., 2.],
             [1., 3., 2.]]]])
    """
    name = "avg_pool2d_grad_x"
    sizes = kernel_size, stride, padding, dilation
    arguments = x_shape, sizes, ceil_mode, count_include_pad, data_format
    found = _kept_avg_grad_x.run(grad, None, None, arguments, out)
    if found is not None:
        return found
    grad = as_array(name, "grad", grad)
    dtypes = result, compute = average_dtypes(name, "grad", grad)
    shape = plain_shape(name, "x_shape", x_shape)
    geometry = pool_geometry(name, shape, *sizes, ceil_mode, count_include_pad, data_format)
    check_shape(name, "grad", geometry.out_shape, grad.shape)
    small.keep_pool(_kept_avg_grad_x, small.AveragePool, geometry, dtypes, grad, arguments, True)
    if out is not None:
        check_out(name, out, shape, result, grad=grad)
    grad = contiguous(grad, compute)
    target = output(out, shape, compute)
    plan.avg_pool_grad_x(geometry, grad, target)
    return deliver(target, out, result)
