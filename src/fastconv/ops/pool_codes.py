"""A max pool in training: which tap was the maximum, in a byte, and what a gradient makes of it.

For layers, so there are no functions for users here: the arrays are as they are.

A code is row * kernel_w + column of the first maximum in its window; 255 lets no gradient pass.
A relu before the pool lets a gradient pass where its output is above 0, which for the one element
that a gradient goes to says the maximum: with `relu` the others' codes are 255, and the gradient
is that of the relu's input.

Windows of more than 255 taps have int64 indices, those of `max_pool2d`, in the place of codes, and
-1 in that of 255.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import plan
from ..geometry import PoolGeometry, pool_geometry
from .arrays import INT64, checked_dtypes, contiguous, deliver

if TYPE_CHECKING:
    from .arrays import Array


def _geometry(
    function: str,
    x_shape: tuple[int, ...],
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    data_format: str = "NCHW",
) -> PoolGeometry:
    sizes = kernel_size, stride, padding, dilation, ceil_mode
    return pool_geometry(function, x_shape, *sizes, False, data_format)


def max_pool2d_codes(x: Array, *sizes: Any, relu: bool, **more: Any) -> tuple[Array, Array]:
    """Return the maxima of `max_pool2d`, whose arguments are taken, and their codes."""
    name = "max_pool2d_codes"
    result, compute = checked_dtypes(name, "x", x)
    geometry = _geometry(name, x.shape, *sizes, **more)
    x = contiguous(x, compute)
    target = np.empty(geometry.out_shape, compute)
    if plan.max_pool_codes_fit(geometry):
        codes = np.empty(geometry.out_shape, np.uint8)
        plan.max_pool_codes(geometry, x, target, codes, relu)
    else:
        codes = np.empty(geometry.out_shape, INT64)
        plan.max_pool(geometry, x, target, codes)
        if relu:
            codes[~(target > 0)] = -1
    return deliver(target, None, result), codes


def max_pool2d_codes_grad_x(
    grad: Array, codes: Array, x_shape: tuple[int, ...], *sizes: Any, **more: Any
) -> Array:
    """Return the gradient for x: every element of grad, added to the tap of its code."""
    name = "max_pool2d_codes_grad_x"
    result, compute = checked_dtypes(name, "grad", grad)
    geometry = _geometry(name, x_shape, *sizes, **more)
    grad = contiguous(grad, compute)
    target = np.empty(x_shape, compute)
    if codes.dtype == np.uint8:
        plan.max_pool_codes_grad_x(geometry, grad, codes, target)
    else:
        plan.max_pool_grad_x(geometry, grad, codes, target)  # which leaves -1 out
    return deliver(target, None, result)
