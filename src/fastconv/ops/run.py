"""The three things a convolution does, forward, grad_x and grad_w, for all that are made of them.

A public function takes its arrays in and finds the geometry; the rest is the same for conv2d,
conv4d, conv_transpose2d and their gradients and stands here: the checks of what is left, then the
copies that are needed, then the call, so that nothing is allocated before everything is checked.

The engine takes w, and what is to become grad_w, as a (filters, channels // groups, kernel_h,
kernel_w) view of the caller's array: transposed for NHWC, flipped for conv4d, never a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import plan
from ..errors import describe, type_error, value_error
from ..geometry import ConvGeometry, check_shape, plain_flag
from .arrays import (
    COPIED,
    FLOAT32,
    FLOAT64,
    Dtypes,
    cast_bias,
    check_out,
    checked_bias,
    contiguous,
    deliver,
    output,
    strided,
)

if TYPE_CHECKING:
    from .arrays import Array, ArrayOrPair


def is_relu(function: str, activation: object) -> bool:
    """Return whether the outputs go through relu."""
    if activation is None:
        return False
    rule = "None or 'relu'"
    if not isinstance(activation, str):
        raise type_error(function, "activation", rule, describe(activation))
    if activation != "relu":
        raise value_error(function, "activation", rule, describe(activation))
    return True


def logical(w: Array, data_format: str, flipped: bool = False) -> Array:
    """Return the (filters, channels // groups, kernel_h, kernel_w) view of an array of weights."""
    if data_format == "NHWC":
        return w.transpose(3, 2, 0, 1)
    return w[:, :, ::-1, ::-1] if flipped else w


def forward(
    function: str,
    geometry: ConvGeometry,
    dtypes: Dtypes,
    x: Array,
    w: Array,
    bias: object,
    out: Array | None,
    relu: bool = False,
    flipped: bool = False,
    x_name: str = "x",
    prepared: plan.Prepared | None = None,
) -> Array:
    """Return the convolution of x with w; `x_name` is what the caller knows x as.

    With `prepared`, w is what it holds: of the computing dtype, in the engine's view.
    """
    result, compute = dtypes
    checked = None if bias is None else checked_bias(function, bias, geometry.filters)
    if out is not None:
        check_out(function, out, geometry.out_shape, result, **{x_name: x}, w=w, bias=checked)
    # A small image takes less time than these steps do: none is called that has nothing to do.
    if not (x.dtype is compute and x.flags.carray):
        x = contiguous(x, compute)
    if prepared is None:
        if flipped or geometry.data_format != "NCHW":
            w = logical(w, geometry.data_format, flipped)
        if not (w.dtype is compute and w.flags.aligned):
            w = strided(w, compute)
    if checked is not None:
        checked = cast_bias(checked, dtypes)
    if out is None:
        target = np.empty(geometry.out_shape, compute)
    else:
        target = output(out, geometry.out_shape, compute)
    plan.forward(geometry, x, w, checked, target, relu, prepared)
    return target if out is None and result is compute else deliver(target, out, result)


def grad_x(
    function: str,
    geometry: ConvGeometry,
    dtypes: Dtypes,
    grad: Array,
    w: Array,
    bias: object,
    out: Array | None,
    flipped: bool = False,
    grad_name: str = "grad",
) -> Array:
    """Return the gradient for x of the convolution; `grad_name` is what the caller knows it as."""
    result, compute = dtypes
    check_shape(function, grad_name, geometry.out_shape, grad.shape)
    checked = None if bias is None else checked_bias(function, bias, geometry.channels)
    if out is not None:
        check_out(function, out, geometry.x_shape, result, **{grad_name: grad}, w=w, bias=checked)
    grad = contiguous(grad, compute)
    w = strided(logical(w, geometry.data_format, flipped), compute)
    if checked is not None:
        checked = cast_bias(checked, dtypes)
    target = output(out, geometry.x_shape, compute)
    plan.grad_x(geometry, grad, w, checked, target)
    return deliver(target, out, result)


def grad_w(
    function: str,
    geometry: ConvGeometry,
    dtypes: Dtypes,
    grad: Array,
    x: Array,
    with_bias: object,
    out: Array | None,
    flipped: bool = False,
) -> ArrayOrPair:
    """Return the gradient for w of the convolution, and that for the bias if it is asked for."""
    result, compute = dtypes
    check_shape(function, "grad", geometry.out_shape, grad.shape)
    with_bias = plain_flag(function, "with_bias", with_bias)
    if out is not None:
        check_out(function, out, geometry.w_shape, result, grad=grad, x=x)
    grad = contiguous(grad, compute)
    x = contiguous(x, compute)
    target = output(out, geometry.w_shape, compute, any_order=True)
    grad_bias = np.empty(geometry.filters, compute) if with_bias else None
    view = logical(target, geometry.data_format, flipped)
    plan.grad_w(geometry, grad, x, view, grad_bias)
    delivered = deliver(target, out, result)
    return delivered if grad_bias is None else (delivered, deliver(grad_bias, None, result))


def transposed_grad_w(
    function: str,
    geometry: ConvGeometry,
    dtypes: Dtypes,
    grad: Array,
    x: Array,
    with_bias: object,
    out: Array | None,
) -> ArrayOrPair:
    """Return the gradients of a transposed convolution; its geometry has x and grad exchanged."""
    result, compute = dtypes
    check_shape(function, "grad", geometry.x_shape, grad.shape)
    with_bias = plain_flag(function, "with_bias", with_bias)
    if out is not None:
        check_out(function, out, geometry.w_shape, result, grad=grad, x=x)
    grad = contiguous(grad, compute)
    x = contiguous(x, compute)
    target = output(out, geometry.w_shape, compute, any_order=True)
    plan.grad_w(geometry, x, grad, logical(target, geometry.data_format), None)
    delivered = deliver(target, out, result)
    if not with_bias:
        return delivered
    return delivered, deliver(_sum_of_channels(grad, geometry.data_format), None, result)


def _sum_of_channels(grad: Array, data_format: str) -> Array:
    """Return the sum over samples, rows and columns, float32 accumulated in float64.

    One axis after the other keeps each chain of additions short, hence its error small.
    """
    wide = np.int64 if grad.dtype.kind == "i" else np.float64
    width, height = (3, 2) if data_format == "NCHW" else (2, 1)
    each = max(1, COPIED * len(grad) // max(1, grad.size))  # images at a time: signals in between
    with np.errstate(all="ignore"):
        sums = [
            grad[n : n + each].sum(axis=width, dtype=wide).sum(axis=height)
            for n in range(0, max(1, len(grad)), each)
        ]
        return np.concatenate(sums).sum(axis=0)


def relu_gradient(grad: Array, y: Array) -> Array:
    """Return the gradient for the input of a relu, of the gradient for its output y.

    What layers need beside the operations: no function for users, so the arrays are as they are.
    """
    compute = y.dtype if y.dtype in (FLOAT32, FLOAT64) else FLOAT32
    grad, outputs = contiguous(grad, compute), contiguous(y, compute)
    target = np.empty(y.shape, compute)
    plan.relu_gradient(grad, outputs, target)
    return deliver(target, None, y.dtype)
