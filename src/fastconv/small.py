"""Small calls: which are kept, so that the next of the same arguments need not be looked through.

A call is kept once it has been found right, if one thread runs it and one driver alone. What keeps
it, finds it again and runs it is compiled (`_core/small.pyx`), for there each step counts. The
choice among the plan's rows is made here, as ever without a look at the precision of a context:
under the highest precision nothing is kept, and nothing that was kept is used.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ._core.small import Calls, Convolution
from ._core.small_steps import AveragePool, MaxPool, WeightGradient
from .geometry import ConvGeometry, PoolGeometry
from .plan import Prepared, choose
from .threads import PRECISION, one_thread_serves

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = [
    "AveragePool",
    "MaxPool",
    "calls",
    "calls_of_function",
    "forget",
    "keep_convolution",
    "keep_grad_w",
    "keep_pool",
]

# The rows that are one driver's work: the others make arrays of their own.
_DRIVERS = {
    *("strips", "winograd", "depthwise", "grouped", "planes"),
    *("rows", "turned", "direct", "panels", "scatter"),
}
_WEIGHT_DRIVERS = {"dot", "lanes"}
_WORK_OF_A_POOL = 1 << 16  # elements read, for which no pool starts a second thread
_COMPUTED = {np.dtype(name) for name in ("float32", "float64", "int64")}
_functions: list[Calls] = []


def calls() -> Calls:
    """Return where an object keeps its calls."""
    return Calls(PRECISION)


def calls_of_function() -> Calls:
    """Return where a function keeps its calls, for as long as the process runs."""
    _functions.append(calls())
    return _functions[-1]


def forget() -> None:
    """Let every function begin anew: for tests, which change what decided."""
    for function in _functions:
        function.clear()


def keep_convolution(
    kept: Calls,
    op: str,
    geometry: ConvGeometry,
    arrays: tuple[Array, Array],
    view: Array,
    arguments: tuple[object, ...],
    relu: bool = False,
    prepared: Prepared | None = None,
) -> None:
    """Keep a forward convolution or a grad_x of its arrays' own dtype.

    `arrays` are images (or their gradients) and weights, `view` the latter as the engine takes
    them; `arguments` are all others, as the caller gave them.
    """
    dtype = arrays[0].dtype  # `view` may be a copy in the dtype that is computed in
    if geometry.work == 0 or not one_thread_serves(geometry.work):
        return
    if dtype not in _COMPUTED or not kept.wants(*arrays, arguments):
        return
    row = choose(op, geometry, dtype.kind == "i")
    if row.name not in _DRIVERS or (prepared is not None and not prepared.takes_zeros):
        return
    packed = None if prepared is None else prepared.packed(geometry, row.name)
    # Weights that never meet a zero that is none of the image's may be what they are.
    careful = op == "grad_x" or geometry.padded or not row.direct
    finite = careful and dtype.kind == "f" and prepared is None
    shape = geometry.out_shape if op == "forward" else geometry.x_shape
    call = Convolution(*arrays, arguments, shape, note=(geometry, prepared))
    if call.describe(geometry.numbers, *arrays, view, op, row.name, finite, relu, packed):
        kept.keep(*arrays, call)


def keep_grad_w(
    kept: Calls,
    geometry: ConvGeometry,
    arrays: tuple[Array, Array],
    arguments: tuple[object, ...],
    with_bias: bool,
) -> None:
    """Keep a grad_w of its arrays' own dtype."""
    grad, x = arrays
    if geometry.work == 0 or not one_thread_serves(geometry.work):
        return
    if grad.dtype not in _COMPUTED or not kept.wants(grad, x, arguments):
        return
    row = choose("grad_w", geometry, grad.dtype.kind == "i")
    if row.name in _WEIGHT_DRIVERS:
        call = WeightGradient(grad, x, arguments, geometry.w_shape)
        finite = geometry.padded and grad.dtype.kind == "f"
        last = geometry.data_format == "NHWC"
        call.describe(geometry.numbers, row.name, last, finite, with_bias)
        kept.keep(grad, x, call)


def keep_pool(
    kept: Calls,
    call: type[MaxPool] | type[AveragePool],
    geometry: PoolGeometry,
    dtypes: tuple[np.dtype, np.dtype],
    array: Array,
    arguments: tuple[object, ...],
    flag: bool,
) -> None:
    """Keep a pool, or the gradient of an average: `array` is what it is given.

    `flag` is whether a maximum's indices are asked for, or an average's gradient.
    """
    result, compute = dtypes
    taps = geometry.kernel_h * geometry.kernel_w
    if not 0 < math.prod(geometry.out_shape) * taps < _WORK_OF_A_POOL:
        return
    if array.dtype is result is compute and kept.wants(array, None, arguments):
        gradient = call is AveragePool and flag
        shape = geometry.x_shape if gradient else geometry.out_shape
        made = call(array, None, arguments, shape)
        made.describe(geometry.numbers, flag)
        kept.keep(array, None, made)
