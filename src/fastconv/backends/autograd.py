"""The operations for autograd (HIPS), differentiable any number of times, forwards and backwards.

A convolution, its gradient for x and that for w are one form, <grad, conv(x, w)>, told for three of
its parts. So each one's derivatives are the other two, and three primitives are closed. A maximum
is linear in its image, once it is known where the maxima are: a selection, whose adjoint adds each
element of grad where it was selected. An average is linear, and its adjoint its gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import autograd.numpy as anp
import numpy as np
from autograd.extend import defjvp, defvjp, primitive
from autograd.tracer import getval, isbox

from .. import ops

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Size = int | Sequence[int]
    Padding = str | int | Sequence[int] | Sequence[Sequence[int]]
    Function = Callable[..., Any]

__all__ = ["avg_pool2d", "conv2d", "conv4d", "conv_transpose2d", "max_pool2d"]


def conv2d(
    x: Any,
    w: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    data_format: str = "NCHW",
) -> Any:
    """Do as `fastconv.conv2d`, differentiable for x, w and bias.

    Examples
    --------
    >>> import numpy as np
    >>> from autograd import grad
    >>> from fastconv.backends.autograd import conv2d
    >>> x, w = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    >>> grad(lambda w: conv2d(x, w, padding="same").sum())(w)
    array([[[[9., 6.],
             [6., 4.]]]])
    """
    options = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "data_format": data_format,
    }
    return _conv2d(x, w, bias, **options)


def conv4d(
    x: Any,
    w: Any,
    padding: Padding = "same",
    *,
    bias: Any = None,
    stride: Size = 1,
    dilation: Size = 1,
    groups: int = 1,
) -> Any:
    """Do as `fastconv.conv4d`, differentiable for x, w and bias.

    Examples
    --------
    >>> import numpy as np
    >>> from autograd import grad
    >>> from fastconv.backends.autograd import conv4d
    >>> x, w = np.arange(4.0).reshape(1, 1, 2, 2), np.ones((1, 1, 2, 2))
    >>> grad(lambda w: conv4d(x, w, "valid")[0, 0, 0, 0])(w)
    array([[[[3., 2.],
             [1., 0.]]]])
    """
    options = {"padding": padding, "stride": stride, "dilation": dilation, "groups": groups}
    return _conv4d(x, w, bias, **options)


def conv_transpose2d(
    x: Any,
    w: Any,
    bias: Any = None,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
    *,
    data_format: str = "NCHW",
) -> Any:
    """Do as `fastconv.conv_transpose2d`, differentiable for x, w and bias.

    Examples
    --------
    >>> import numpy as np
    >>> from autograd import grad
    >>> from fastconv.backends.autograd import conv_transpose2d
    >>> x, w = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 10.0, 100.0]]]])
    >>> grad(lambda x: conv_transpose2d(x, w, stride=2).sum())(x)
    array([[[[111., 111.]]]])
    """
    options = {
        "stride": stride,
        "padding": padding,
        "output_padding": output_padding,
        "groups": groups,
        "dilation": dilation,
        "data_format": data_format,
    }
    return _conv_transpose2d(x, w, bias, **options)


def max_pool2d(
    x: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    *,
    data_format: str = "NCHW",
) -> Any:
    """Do as `fastconv.max_pool2d`, differentiable for x: the first maximum takes it all.

    Examples
    --------
    >>> import numpy as np
    >>> from autograd import grad
    >>> from fastconv.backends.autograd import max_pool2d
    >>> x = np.array([[[[1.0, 2.0, 5.0], [4.0, 3.0, 0.0]]]])
    >>> grad(lambda x: max_pool2d(x, 2, stride=1).sum())(x)
    array([[[[0., 0., 1.],
             [1., 0., 0.]]]])
    """
    arguments = kernel_size, stride, padding, dilation, ceil_mode
    if not isbox(x):
        return ops.max_pool2d(x, *arguments, data_format=data_format)
    maxima, indices = ops.max_pool2d(getval(x), *arguments, True, data_format=data_format)
    return _select(x, indices, maxima, data_format=data_format)


def avg_pool2d(
    x: Any,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    dilation: Size = 1,
    data_format: str = "NCHW",
) -> Any:
    """Do as `fastconv.avg_pool2d`, differentiable for x.

    Examples
    --------
    >>> import numpy as np
    >>> from autograd import grad
    >>> from fastconv.backends.autograd import avg_pool2d
    >>> grad(lambda x: avg_pool2d(x, 2).sum())(np.ones((1, 1, 2, 3)))
    array([[[[0.25, 0.25, 0.  ],
             [0.25, 0.25, 0.  ]]]])
    """
    options = {
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
        "count_include_pad": count_include_pad,
        "dilation": dilation,
        "data_format": data_format,
    }
    return _average(x, **options)


def _convolution(forward: Function, grad_x: Function, grad_w: Function) -> Function:
    """Return a convolution as a primitive, with its derivatives, and theirs."""

    @primitive
    def conv(x: Any, w: Any, bias: Any, **options: Any) -> Any:
        return forward(x, w, bias=bias, **options)

    @primitive
    def for_x(grad: Any, w: Any, x_shape: Any, **options: Any) -> Any:
        return grad_x(grad, w, x_shape, **options)

    @primitive
    def for_w(grad: Any, x: Any, w_shape: Any, **options: Any) -> Any:
        return grad_w(grad, x, w_shape, **options)

    defvjp(
        conv,
        lambda y, x, w, bias, **o: lambda grad: for_x(grad, w, x.shape, **o),
        lambda y, x, w, bias, **o: lambda grad: for_w(grad, x, w.shape, **o),
        lambda y, x, w, bias, **o: lambda grad: anp.sum(grad, _all_but_filters(o)),
    )
    defjvp(
        conv,
        lambda dx, y, x, w, bias, **o: conv(dx, w, None, **o),
        lambda dw, y, x, w, bias, **o: conv(x, dw, None, **o),
        lambda db, y, x, w, bias, **o: anp.ones(y.shape) * _beside_pixels(db, o),
    )
    # <v, for_x(grad, w)> = <grad, conv(v, w)>, and <v, for_w(grad, x)> = <grad, conv(x, v)>
    defvjp(
        for_x,
        lambda _, grad, w, x_shape, **o: lambda v: conv(v, w, None, **o),
        lambda _, grad, w, x_shape, **o: lambda v: for_w(grad, v, w.shape, **o),
    )
    defjvp(
        for_x,
        lambda v, _, grad, w, x_shape, **o: for_x(v, w, x_shape, **o),
        lambda v, _, grad, w, x_shape, **o: for_x(grad, v, x_shape, **o),
    )
    defvjp(
        for_w,
        lambda _, grad, x, w_shape, **o: lambda v: conv(x, v, None, **o),
        lambda _, grad, x, w_shape, **o: lambda v: for_x(grad, v, x.shape, **o),
    )
    defjvp(
        for_w,
        lambda v, _, grad, x, w_shape, **o: for_w(v, x, w_shape, **o),
        lambda v, _, grad, x, w_shape, **o: for_w(grad, v, w_shape, **o),
    )
    return conv


def _all_but_filters(options: dict[str, Any]) -> tuple[int, int, int]:
    return (0, 1, 2) if options.get("data_format") == "NHWC" else (0, 2, 3)


def _beside_pixels(bias: Any, options: dict[str, Any]) -> Any:
    """Return a number a filter so that it meets each pixel."""
    return anp.reshape(bias, (-1,) if options.get("data_format") == "NHWC" else (-1, 1, 1))


_conv2d = _convolution(ops.conv2d, ops.conv2d_grad_x, ops.conv2d_grad_w)
_conv4d = _convolution(ops.conv4d, ops.conv4d_grad_x, ops.conv4d_grad_w)
_conv_transpose2d = _convolution(
    ops.conv_transpose2d, ops.conv_transpose2d_grad_x, ops.conv_transpose2d_grad_w
)


@primitive
def _select(x: Any, indices: Any, known: Any = None, *, data_format: str) -> Any:
    """Return the elements of x at the indices of a maximum; `known` is they, where they are."""
    if known is not None:
        return known
    last = data_format == "NHWC"
    planes = (len(x), -1, x.shape[3]) if last else (*x.shape[:2], -1)
    places = (len(x), -1, indices.shape[3]) if last else (*indices.shape[:2], -1)
    axis = 1 if last else 2
    chosen = np.take_along_axis(x.reshape(planes), indices.reshape(places), axis)
    return chosen.reshape(indices.shape)


@primitive
def _put(grad: Any, indices: Any, x_shape: Any, *, data_format: str) -> Any:
    return ops.max_pool2d_grad_x(grad, indices, x_shape, data_format=data_format)


defvjp(
    _select,
    lambda _, x, indices, known=None, **o: lambda grad: _put(grad, indices, x.shape, **o),
    argnums=(0,),
)
defjvp(_select, lambda v, _, x, indices, known=None, **o: _select(v, indices, **o), argnums=(0,))
defvjp(_put, lambda _, g, indices, shape, **o: lambda v: _select(v, indices, **o), argnums=(0,))
defjvp(_put, lambda v, _, g, indices, shape, **o: _put(v, indices, shape, **o), argnums=(0,))


@primitive
def _average(x: Any, **options: Any) -> Any:
    return ops.avg_pool2d(x, **options)


@primitive
def _average_grad(grad: Any, x_shape: Any, **options: Any) -> Any:
    return ops.avg_pool2d_grad_x(grad, x_shape, **options)


defvjp(_average, lambda _, x, **o: lambda grad: _average_grad(grad, x.shape, **o))
defjvp(_average, lambda v, _, x, **o: _average(v, **o))
defvjp(_average_grad, lambda _, grad, x_shape, **o: lambda v: _average(v, **o), argnums=(0,))
defjvp(_average_grad, lambda v, _, g, x_shape, **o: _average_grad(v, x_shape, **o), argnums=(0,))
