"""Dense layers' products: what models need beside the operations, no function for users."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .. import plan
from .arrays import cast_bias, contiguous, conv_dtypes, deliver

if TYPE_CHECKING:
    from .arrays import Array


def dense(x: Array, w: Array, bias: Array | None = None) -> Array:
    """Return x @ w + bias: x of shape (..., channels), w (channels, units), bias (units,)."""
    return _product("dense", _rows(x), w, bias).reshape(*x.shape[:-1], w.shape[1])


def dense_grad_x(grad: Array, w: Array) -> Array:
    """Return the gradient for x, given that for the result: grad @ w.T."""
    found = _product("dense_grad_x", _rows(grad), w, b_transposed=True)
    return found.reshape(*grad.shape[:-1], len(w))


def dense_grad_w(grad: Array, x: Array) -> Array:
    """Return the gradient for w: x.T @ grad, summed over all leading axes."""
    return _product("dense_grad_w", _rows(x), _rows(grad), a_transposed=True)


def _rows(array: Array) -> Array:
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


def _product(
    function: str,
    a: Array,
    b: Array,
    bias: Array | None = None,
    a_transposed: bool = False,
    b_transposed: bool = False,
) -> Array:
    dtypes = conv_dtypes(function, "a", a, "b", b)
    shape = a.shape[a_transposed], b.shape[not b_transposed]
    out = np.empty(shape, dtypes.compute)
    a, b = contiguous(a, dtypes.compute), contiguous(b, dtypes.compute)
    if bias is not None:
        bias = cast_bias(bias, dtypes)
    plan.multiply(a, b, out, bias, a_transposed, b_transposed)
    return deliver(out, None, dtypes.result)
