"""The operations as PyTensor Ops, with gradients of any order, for PyTensor and PyMC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytensor.tensor as pt

from . import compiled as _compiled  # noqa: F401 - tells PyTensor how to compile the Ops
from .operations import AveragePool, Convolution, MaxPool

if TYPE_CHECKING:
    from collections.abc import Sequence

    Size = int | Sequence[int]
    Padding = str | int | Sequence[int] | Sequence[Sequence[int]]

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
    """Return the symbolic `fastconv.conv2d` of tensors of four dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> import pytensor.tensor as pt
    >>> from fastconv.backends.pytensor import conv2d
    >>> x, w = pt.tensor4("x"), pt.tensor4("w")
    >>> y = conv2d(x, w, padding="same")
    >>> y.eval({x: np.ones((1, 1, 2, 3)), w: np.ones((1, 1, 2, 2))})
    array([[[[4., 4., 2.],
             [2., 2., 1.]]]])
    """
    options = _frozen(
        stride=stride, padding=padding, dilation=dilation, groups=groups, data_format=data_format
    )
    return _with_bias(Convolution("conv2d", options)(x, w), bias, data_format)


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
    """Return the symbolic `fastconv.conv4d`, whose kernel is flipped, as Theano's was.

    Examples
    --------
    >>> import numpy as np
    >>> import pytensor.tensor as pt
    >>> from fastconv.backends.pytensor import conv4d
    >>> x, w = pt.tensor4("x"), pt.tensor4("w")
    >>> y = conv4d(x, w, "valid")
    >>> y.eval({x: np.ones((1, 1, 2, 3)), w: np.ones((1, 1, 2, 2))})
    array([[[[4., 4.]]]])
    """
    options = _frozen(padding=padding, stride=stride, dilation=dilation, groups=groups)
    return _with_bias(Convolution("conv4d", options)(x, w), bias, "NCHW")


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
    """Return the symbolic `fastconv.conv_transpose2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pytensor.tensor as pt
    >>> from fastconv.backends.pytensor import conv_transpose2d
    >>> x, w = pt.tensor4("x"), pt.tensor4("w")
    >>> y = conv_transpose2d(x, w, stride=2)
    >>> y.eval({x: np.array([[[[1.0, 2.0]]]]), w: np.array([[[[1.0, 10.0, 100.0]]]])})
    array([[[[  1.,  10., 102.,  20., 200.]]]])
    """
    options = _frozen(
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
        data_format=data_format,
    )
    return _with_bias(Convolution("conv_transpose2d", options)(x, w), bias, data_format)


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
    """Return the symbolic `fastconv.max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pytensor.tensor as pt
    >>> from fastconv.backends.pytensor import max_pool2d
    >>> x = pt.tensor4("x")
    >>> max_pool2d(x, 2).eval({x: np.arange(8.0).reshape(1, 1, 2, 4)})
    array([[[[5., 7.]]]])
    """
    options = _frozen(
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        data_format=data_format,
    )
    return MaxPool("max_pool2d", (*options, ("return_indices", True)))(x)[0]


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
    """Return the symbolic `fastconv.avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import pytensor.tensor as pt
    >>> from fastconv.backends.pytensor import avg_pool2d
    >>> x = pt.tensor4("x")
    >>> avg_pool2d(x, 2).eval({x: np.arange(8.0).reshape(1, 1, 2, 4)})
    array([[[[2.5, 4.5]]]])
    """
    options = _frozen(
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        dilation=dilation,
        data_format=data_format,
    )
    return AveragePool("avg_pool2d", options)(x)


def _frozen(**options: Any) -> tuple[tuple[str, Any], ...]:
    """Return options as an Op holds them: they can be compared, hashed and pickled."""
    return tuple((name, _plain(value)) for name, value in options.items())


def _plain(value: Any) -> Any:
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) else value


def _with_bias(y: Any, bias: Any, data_format: str) -> Any:
    """Return y with a number a filter added, which PyTensor joins with what follows."""
    if bias is None:
        return y
    bias = pt.as_tensor_variable(bias).astype(y.dtype)
    return y + (bias if data_format == "NHWC" else bias.dimshuffle("x", 0, "x", "x"))
