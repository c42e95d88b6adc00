"""Which driver runs: for every op an ordered table of rows, the first that accepts a geometry.

A row has a name, `accepts(geometry)` and `run(geometry, ...)`; the last of a table accepts all it
is given, and each row is right for whatever it accepts, so that tests may run them all. The choice
looks at the geometry of one image and never at the number of samples or threads: an image's result
does not depend on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import by_taps, choice, relaid, rescaled
from ._core import conv, pool, pool_gradients, pool_shares, products, relu, runtime, update, weights
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
    packs: bool = True  # weights, which a prepared convolution then keeps
    direct: bool = True  # sums products of x and w themselves: any type, precision and value
    # whether grad_w makes the gradient for the bias on the way
    sums_grad: Callable[[ConvGeometry], bool] = lambda geometry: False


def _threads(geometry: ConvGeometry) -> int:
    return useful_threads(geometry.work)


def _highest() -> bool:
    return current_precision() == "highest"


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
        row = _forward_row(geometry, self.w, self)
        if row.packs and not _empty(geometry):
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


def _grad_x_by_scatter(
    geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array
) -> None:
    conv.grad_x_by_scatter(geometry.numbers, grad, w, bias, out, _threads(geometry), _highest())


def _grad_w_by(name: str) -> Callable[..., None]:
    def run(
        geometry: ConvGeometry, grad: Array, x: Array, out: Array, grad_bias: Array | None = None
    ) -> None:
        numbers, threads, highest = geometry.numbers, _threads(geometry), _highest()
        weights.grad_w(numbers, grad, x, out, threads, highest, name, grad_bias)

    return run


def _grad_w_as_problem(name: str) -> Callable[..., None]:
    def run(
        geometry: ConvGeometry, grad: Array, x: Array, out: Array, grad_bias: Array | None = None
    ) -> None:
        numbers, threads, highest = geometry.numbers, _threads(geometry), _highest()
        conv.grad_w(numbers, grad, x, out, threads, highest, name, grad_bias)

    return run


# ------------------------------------------------------------------------------------- rows


def _native(op: str, geometry: ConvGeometry) -> Row:
    """Return the first row that takes images in the layout they have, and is direct."""
    rows = (row for row in ROWS[op] if row.direct and row.name != "relaid")
    return next(row for row in rows if row.accepts(geometry))


def _always(geometry: ConvGeometry) -> bool:
    return True


FORWARD = (
    Row("turned", choice.turning_pays, _forward_by("turned")),
    Row("strips", choice.strips_pay(False), _forward_by("strips"), direct=False),
    Row("winograd", choice.tiles_win("forward"), _forward_by("winograd"), direct=False),
    Row("relaid", choice.better_relaid("forward"), partial(relaid.forward, _native), packs=False),
    Row("planes", choice.planes_first(gradient=False), _forward_by("planes")),
    Row("direct", choice.direct_pays(gradient=False), _forward_by("direct")),
    Row("depthwise", choice.depthwise_last, _forward_by("depthwise")),
    Row("grouped", choice.groups_last(gradient=False), _forward_by("grouped")),
    Row("rows", choice.channels_last, _forward_by("rows")),
    Row("panels", lambda geometry: not choice.channels_last(geometry), _forward_by("panels")),
    Row("taps", lambda geometry: True, by_taps.forward, packs=False),
)
GRAD_X = (
    Row("scatter", choice.scatter_pays, _grad_x_by_scatter),
    Row("strips", choice.strips_pay(True), _grad_x_by("strips"), direct=False),
    Row("winograd", choice.tiles_win("grad_x"), _grad_x_by("winograd"), direct=False),
    Row("relaid", choice.better_relaid("grad_x"), partial(relaid.grad_x, _native)),
    Row("planes", choice.planes_first(gradient=True), _grad_x_by("planes")),
    Row("direct", choice.direct_pays(gradient=True), _grad_x_by("direct")),
    Row("depthwise", choice.depthwise_last, _grad_x_by("depthwise")),
    Row("grouped", choice.groups_last(gradient=True), _grad_x_by("grouped")),
    Row("rows", choice.channels_last, _grad_x_by("rows")),
    Row("panels", lambda geometry: not choice.channels_last(geometry), _grad_x_by("panels")),
    Row("taps", lambda geometry: True, by_taps.grad_x),
)
GRAD_W = (
    Row(
        "winograd",
        choice.tiles_pay("grad_w"),
        _grad_w_as_problem("winograd"),
        direct=False,
        # a block's tiles may have the columns of others between them
        sums_grad=lambda geometry: geometry.dilation_w == 1,
    ),
    Row("relaid", choice.better_relaid("grad_w"), partial(relaid.grad_w, _native)),
    Row("depthwise", choice.depthwise_last, _grad_w_as_problem("depthwise"), sums_grad=_always),
    Row("grouped", choice.groups_last(gradient=False), _grad_w_as_problem("grouped")),
    Row("dot", choice.few_filters, _grad_w_by("dot"), sums_grad=_always),
    Row("lanes", choice.lanes_fit, _grad_w_by("lanes"), sums_grad=_always),
    Row("taps", lambda geometry: True, by_taps.grad_w),
)
ROWS = {"forward": FORWARD, "grad_x": GRAD_X, "grad_w": GRAD_W}


@lru_cache(maxsize=4096)  # a geometry is one object as long as it is in use
def choose(op: str, geometry: ConvGeometry, direct: bool = False) -> Row:
    """Return the first row of the op's table that accepts the geometry, one that is `direct`."""
    rows = (row for row in ROWS[op] if row.direct or not direct)
    return next(row for row in rows if row.accepts(geometry))


def _only_direct(w: Array) -> bool:
    return w.dtype.kind == "i" or _highest()


def _forward_row(geometry: ConvGeometry, w: Array, prepared: Prepared | None = None) -> Row:
    """Return the row for a geometry, the weights and the precision asked for."""
    row = choose("forward", geometry, _only_direct(w))
    if row.direct and not geometry.padded:
        return row
    if prepared.takes_zeros if prepared else _takes_zeros(w):
        return row
    return FORWARD[-1] if geometry.padded else choose("forward", geometry, True)


def algorithm(geometry: ConvGeometry, prepared: Prepared) -> str:
    """Return the name of the row that the forward pass of a geometry runs with weights."""
    return _forward_row(geometry, prepared.w, prepared).name


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
    try:
        _forward(geometry, x, w, bias, out, relu, prepared)
    except runtime.SlowNumbers:

        def compute(piece: ConvGeometry, x: Array, multiple: Array, *arrays: Any) -> None:
            _forward(piece, x, multiple, *arrays, False, prepared if multiple is w else None)

        rescaled.by_images(compute, geometry, x, w, bias, out)
        if relu:
            np.maximum(out, 0, out=out)


def _forward(
    geometry: ConvGeometry,
    x: Array,
    w: Array,
    bias: Array | None,
    out: Array,
    relu: bool,
    prepared: Prepared | None,
) -> None:
    if _empty(geometry):
        by_taps.start(out, bias, geometry.data_format)
        if relu:
            np.maximum(out, 0, out=out)
        return
    row = _forward_row(geometry, w, prepared)
    if prepared is not None and row.packs:
        row.run(geometry, x, w, bias, out, relu, prepared)
    else:
        row.run(geometry, x, w, bias, out, relu)


def grad_x(geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array) -> None:
    """Fill out with the gradient for x, plus a bias for each of its channels."""
    try:
        _grad_x(geometry, grad, w, bias, out)
    except runtime.SlowNumbers:
        rescaled.by_images(_grad_x, geometry, grad, w, bias, out)


def _grad_x(geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array) -> None:
    if _empty(geometry):
        by_taps.start(out, bias, geometry.data_format)
    elif not _takes_zeros(w):
        by_taps.grad_x(geometry, grad, w, bias, out)
    else:
        choose("grad_x", geometry, _only_direct(w)).run(geometry, grad, w, bias, out)


def grad_w(
    geometry: ConvGeometry, grad: Array, x: Array, out: Array, grad_bias: Array | None
) -> None:
    """Fill out with the gradient for w, and grad_bias with that for the bias."""
    try:
        _grad_w(geometry, grad, x, out, grad_bias)
    except runtime.SlowNumbers:
        rescaled.grad_w(_grad_w, geometry, grad, x, out, grad_bias)


def _grad_w(
    geometry: ConvGeometry, grad: Array, x: Array, out: Array, grad_bias: Array | None
) -> None:
    done = False
    if _empty(geometry):
        out[...] = 0
    else:
        row = choose("grad_w", geometry, _only_direct(x))
        done = row.sums_grad(geometry)
        row.run(geometry, grad, x, out, *((grad_bias,) if done else ()))
        if not row.direct and not _takes_zeros(out):
            choose("grad_w", geometry, True).run(geometry, grad, x, out)
        # zeros around x times an infinite gradient: found in the result, which is small
        if geometry.padded and not _takes_zeros(out):
            by_taps.grad_w(geometry, grad, x, out)
    if grad_bias is not None and not done:
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


def update_weights(step: Any, w: Array, g: Array, slots: dict[str, Array], factor: float) -> None:
    """Change w and slots by the step of an optimizer, with the gradient factor * g."""
    update.update(step, w, g, slots, factor, current())


def multiply(
    a: Array, b: Array, out: Array, bias: Array | None, a_transposed: bool, b_transposed: bool
) -> None:
    """Fill out with a @ b plus a bias for each column, a or b transposed if asked for."""
    if out.size == 0 or a.size == 0:
        out[...] = 0 if bias is None else bias
        return
    threads = useful_threads(out.size * (a.shape[0] if a_transposed else a.shape[1]))
    products.multiply(a, b, out, bias, a_transposed, b_transposed, threads)
