"""Which driver runs: for every op an ordered table of rows, the first that accepts a geometry.

A row has a name, `accepts(geometry)` and `run(geometry, ...)`; the last of a table accepts all it
is given, and each row is right for whatever it accepts, so that tests may run them all. The choice
looks at the geometry of one image and never at the number of samples or threads: an image's result
does not depend on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from . import by_taps
from ._core import conv, pool, pool_gradients, pool_shares, relu, runtime, weights
from .geometry import ConvGeometry, PoolGeometry
from .threads import current, current_precision, useful_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class Row:
    """One way to compute an op."""

    name: str
    accepts: Callable[[ConvGeometry], bool]
    run: Callable[..., None]
    packs: bool = True


def _threads(geometry: ConvGeometry) -> int:
    work = geometry.samples * geometry.out_h * geometry.out_w * geometry.filters
    return useful_threads(
        work * (geometry.channels // geometry.groups) * geometry.kernel_h * geometry.kernel_w
    )


def _highest() -> bool:
    return current_precision() == "highest"


def _channels_last(geometry: ConvGeometry) -> bool:
    return bool(geometry.numbers[-1])


def _depthwise_last(geometry: ConvGeometry) -> bool:
    return _channels_last(geometry) and geometry.channels == geometry.filters == geometry.groups


class Prepared:
    """Weights that stay: looked through once, and packed once for each way that needs them.

    `w` is as `forward` takes it and must not change. Threads may share it.
    """

    def __init__(self, w: Array) -> None:
        self.w = w
        self.takes_zeros = _takes_zeros(w)
        self._packed: dict[tuple[str, bool, str], Array] = {}

    def packed(self, geometry: ConvGeometry, name: str) -> Array:
        """Return the weights as a row packs them."""
        key = name, _highest(), runtime.isa()
        found = self._packed.get(key)
        if found is None:
            found = conv.pack(geometry.numbers, self.w, _threads(geometry), key[1], name)
            self._packed[key] = found
        return found

    def prepare(self, geometry: ConvGeometry) -> None:
        """Pack for a geometry now rather than at the first call."""
        row = choose("forward", geometry)
        if row.packs and not _empty(geometry) and (self.takes_zeros or not geometry.padded):
            self.packed(geometry, row.name)


def _forward_by(name: str) -> Callable[..., None]:
    def run(
        geometry: ConvGeometry,
        x: Array,
        w: Array,
        bias: Array | None,
        out: Array,
        relu: bool,
        prepared: Prepared | None = None,
    ) -> None:
        packed = None if prepared is None else prepared.packed(geometry, name)
        numbers, threads, highest = geometry.numbers, _threads(geometry), _highest()
        conv.forward(numbers, x, w, bias, out, relu, threads, highest, name, packed)

    return run


def _grad_x_by(name: str) -> Callable[..., None]:
    def run(geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array) -> None:
        conv.grad_x(geometry.numbers, grad, w, bias, out, _threads(geometry), _highest(), name)

    return run


def _grad_x_by_columns(
    geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array
) -> None:
    w = np.ascontiguousarray(w)
    conv.grad_x_by_columns(geometry.numbers, grad, w, bias, out, _threads(geometry), _highest())


def _grad_w_by(name: str) -> Callable[..., None]:
    def run(geometry: ConvGeometry, grad: Array, x: Array, out: Array) -> None:
        weights.grad_w(geometry.numbers, grad, x, out, _threads(geometry), _highest(), name)

    return run


# ---------------------------------------------------------------------------------- choice


def _band_pays(gradient: bool) -> Callable[[ConvGeometry], bool]:
    """Whether the direct driver does less than gathering panels would.

    It multiplies the padded width of each row; panels pay for gathering every tap, which is about
    seven filters' worth of multiplications.
    """

    def accepts(geometry: ConvGeometry) -> bool:
        if _channels_last(geometry):
            return False
        cost = conv.band_cost(geometry.numbers, 8, gradient)
        filters = (geometry.channels if gradient else geometry.filters) // geometry.groups
        return cost is not None and bool(cost <= 1 + 7 / filters)

    return accepts


def _columns_pay(geometry: ConvGeometry) -> bool:
    """Whether a full convolution of the gradient would waste much: small maps without padding."""
    if _channels_last(geometry) or not geometry.stride_h == geometry.stride_w == 1:
        return False
    wide = geometry.height * geometry.width >= 1.3 * geometry.out_h * geometry.out_w
    return wide and bool(conv.columns_fit(geometry.numbers))


def _lanes_fit(geometry: ConvGeometry) -> bool:
    return bool(weights.band_fits(geometry.numbers, "lanes"))


def _few_filters(geometry: ConvGeometry) -> bool:
    if _channels_last(geometry) or geometry.filters // geometry.groups > 4:
        return False
    return bool(weights.band_fits(geometry.numbers, "dot"))


FORWARD = (
    Row("depthwise", _depthwise_last, _forward_by("depthwise")),
    Row("rows", _channels_last, _forward_by("rows")),
    Row("direct", _band_pays(gradient=False), _forward_by("direct")),
    Row("panels", lambda geometry: not _channels_last(geometry), _forward_by("panels")),
    Row("taps", lambda geometry: True, by_taps.forward, packs=False),
)
GRAD_X = (
    Row(
        "depthwise",
        lambda geometry: _depthwise_last(geometry) and geometry.stride_h == geometry.stride_w == 1,
        _grad_x_by("depthwise"),
    ),
    Row("rows", _channels_last, _grad_x_by("rows")),
    Row("columns", _columns_pay, _grad_x_by_columns),
    Row("direct", _band_pays(gradient=True), _grad_x_by("direct")),
    Row("panels", lambda geometry: not _channels_last(geometry), _grad_x_by("panels")),
    Row("taps", lambda geometry: True, by_taps.grad_x),
)
GRAD_W = (
    Row("dot", _few_filters, _grad_w_by("dot")),
    Row("lanes", _lanes_fit, _grad_w_by("lanes")),
    Row("taps", lambda geometry: True, by_taps.grad_w),
)
ROWS = {"forward": FORWARD, "grad_x": GRAD_X, "grad_w": GRAD_W}


@lru_cache(maxsize=4096)  # a geometry is one object as long as it is in use
def choose(op: str, geometry: ConvGeometry) -> Row:
    """Return the first row of the op's table that accepts the geometry."""
    return next(row for row in ROWS[op] if row.accepts(geometry))


def algorithm(geometry: ConvGeometry) -> str:
    """Return the name of the row that the forward pass of a geometry runs."""
    return choose("forward", geometry).name


# --------------------------------------------------------------------------------- the ops


def _empty(geometry: ConvGeometry) -> bool:
    return geometry.samples == 0 or geometry.channels == 0 or geometry.filters == 0


def _takes_zeros(w: Array) -> bool:
    """Whether w may be multiplied with the zeros around an image: 0 * inf is no number.

    Padding must add nothing whatever the weights are; with finite ones, as ever, zeros do that.
    """
    return w.dtype.kind == "i" or bool(conv.all_finite(w))


def forward(
    geometry: ConvGeometry,
    x: Array,
    w: Array,
    bias: Array | None,
    out: Array,
    relu: bool,
    prepared: Prepared | None = None,
) -> None:
    """Fill out with the convolution of x with w; `prepared` holds w."""
    if _empty(geometry):
        by_taps.start(out, bias, geometry.data_format)
        if relu:
            np.maximum(out, 0, out=out)
        return
    clean = not geometry.padded or (prepared.takes_zeros if prepared else _takes_zeros(w))
    row = choose("forward", geometry) if clean else FORWARD[-1]
    if prepared is not None and row.packs:
        row.run(geometry, x, w, bias, out, relu, prepared)
    else:
        row.run(geometry, x, w, bias, out, relu)


def grad_x(geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array) -> None:
    """Fill out with the gradient for x, plus a bias for each of its channels."""
    if _empty(geometry):
        by_taps.start(out, bias, geometry.data_format)
    elif not _takes_zeros(w):
        by_taps.grad_x(geometry, grad, w, bias, out)
    else:
        choose("grad_x", geometry).run(geometry, grad, w, bias, out)


def grad_w(
    geometry: ConvGeometry, grad: Array, x: Array, out: Array, grad_bias: Array | None
) -> None:
    """Fill out with the gradient for w, and grad_bias with that for the bias."""
    if _empty(geometry):
        out[...] = 0
    else:
        choose("grad_w", geometry).run(geometry, grad, x, out)
        # zeros around x times an infinite gradient: found in the result, which is small
        if geometry.padded and not _takes_zeros(out):
            by_taps.grad_w(geometry, grad, x, out)
    if grad_bias is not None:
        if geometry.samples == 0 or geometry.filters == 0:
            grad_bias[...] = 0
        else:
            weights.grad_bias(geometry.numbers, grad, grad_bias, _threads(geometry))


def max_pool(geometry: PoolGeometry, x: Array, out: Array, indices: Array | None) -> None:
    """Fill out with the maxima, and indices with their places."""
    if out.size:
        pool.max_pool(geometry.numbers, x, out, indices, None, False, current())


def max_pool_grad_x(geometry: PoolGeometry, grad: Array, indices: Array, out: Array) -> bool:
    """Fill out with the gradient for x; return whether every index was in range."""
    if out.size == 0:
        return True
    return bool(pool_gradients.max_pool_grad_x(geometry.numbers, grad, indices, out, current()))


def max_pool_codes_fit(geometry: PoolGeometry) -> bool:
    """Whether maxima have codes: not where a window has more taps than a byte has numbers."""
    return bool(pool.codes_fit(geometry.numbers))


def max_pool_codes(geometry: PoolGeometry, x: Array, out: Array, codes: Array, relu: bool) -> None:
    """Fill out with the maxima, and codes with their taps; with relu, of those above 0 alone."""
    if out.size:
        pool.max_pool(geometry.numbers, x, out, None, codes, relu, current())


def max_pool_codes_grad_x(geometry: PoolGeometry, grad: Array, codes: Array, out: Array) -> None:
    """Fill out with the gradient for x."""
    if out.size:
        pool_shares.max_pool_codes_grad_x(geometry.numbers, grad, codes, out, current())


def avg_pool(geometry: PoolGeometry, x: Array, out: Array) -> None:
    """Fill out with the means."""
    if out.size:
        pool.avg_pool(geometry.numbers, x, out, current())


def avg_pool_grad_x(geometry: PoolGeometry, grad: Array, out: Array) -> None:
    """Fill out with the gradient for x."""
    if out.size:
        pool_gradients.avg_pool_grad_x(geometry.numbers, grad, out, current())


def relu_gradient(grad: Array, y: Array, out: Array) -> None:
    """Fill out with what a relu, whose output y is, lets through of grad."""
    relu.relu_gradient(grad, y, out, current())
