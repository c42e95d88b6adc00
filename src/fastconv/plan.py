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

from . import by_taps, relaid
from ._core import conv, pool, pool_gradients, pool_shares, relu, runtime, update, weights
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


def _threads(geometry: ConvGeometry) -> int:
    return useful_threads(geometry.work)


def _highest() -> bool:
    return current_precision() == "highest"


def _channels_last(geometry: ConvGeometry) -> bool:
    return bool(geometry.numbers[-1])


def _depthwise_last(geometry: ConvGeometry) -> bool:
    return _channels_last(geometry) and geometry.channels == geometry.filters == geometry.groups


def _groups_last(gradient: bool) -> Callable[[ConvGeometry], bool]:
    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        if not _channels_last(g) or g.groups == 1 or _depthwise_last(g):
            return False
        return bool(conv.lanes_hold_groups(g.numbers, gradient))

    return accepts


def _planes_first(gradient: bool) -> Callable[[ConvGeometry], bool]:
    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        channels = g.filters if gradient else g.channels
        if _channels_last(g) or channels != g.groups:
            return False
        width = g.width if gradient else g.out_w
        if g.kernel_h * g.kernel_w <= 9 and g.stride_h * g.stride_w == 1 and width > 32:
            return False  # the longer runs of `direct` are faster where there is little to sum
        return bool(conv.planes_serve(g.numbers, gradient))

    return accepts


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


def _grad_x_by_columns(
    geometry: ConvGeometry, grad: Array, w: Array, bias: Array | None, out: Array
) -> None:
    w = np.ascontiguousarray(w)
    conv.grad_x_by_columns(geometry.numbers, grad, w, bias, out, _threads(geometry), _highest())


def _grad_w_by(name: str) -> Callable[..., None]:
    def run(geometry: ConvGeometry, grad: Array, x: Array, out: Array) -> None:
        weights.grad_w(geometry.numbers, grad, x, out, _threads(geometry), _highest(), name)

    return run


def _grad_w_as_problem(name: str) -> Callable[..., None]:
    def run(geometry: ConvGeometry, grad: Array, x: Array, out: Array) -> None:
        conv.grad_w(geometry.numbers, grad, x, out, _threads(geometry), _highest(), name)

    return run


# ---------------------------------------------------------------------------------- choice


def _band_pays(geometry: ConvGeometry, gradient: bool) -> bool:
    """Whether the direct driver does less than gathering panels would.

    It multiplies the padded width of each row; panels pay for gathering every tap, which is about
    seven filters' worth of multiplications.
    """
    cost = conv.band_cost(geometry.numbers, 8, gradient)
    filters = (geometry.channels if gradient else geometry.filters) // geometry.groups
    return cost is not None and bool(cost <= 1 + 7 / filters)


def _splitting_pays(geometry: ConvGeometry, gradient: bool) -> bool:
    """Whether the direct driver is faster where channels are last; measured.

    Splitting the channels of x and joining those of out costs less than the lanes that `rows`
    leaves idle where filters are few, unless rows of pixels are so short that lanes idle as well.
    """
    g = geometry
    channels, filters, width, taps = g.channels, g.filters, g.out_w, g.kernel_h * g.kernel_w
    sparse = g.stride_w > 1 and g.kernel_w <= 2 * g.stride_w  # few sums for what is split
    if gradient:  # by phases
        channels, filters, width, sparse = filters, channels, g.width // g.stride_w, False
        taps = -(-g.kernel_h // g.stride_h) * -(-g.kernel_w // g.stride_w)
    deep = channels * taps > 384
    if g.groups > 1 or max(g.stride_h, g.stride_w) > 4 or width < 8 or (taps == 1 and channels > 8):
        return False
    most = 16 if channels <= 8 and not sparse else 8
    if deep and taps >= 25:  # rows cannot take a kernel row as one run
        most = 32
    if width < 24:
        most = 0 if deep or sparse else 8 if taps >= 9 else 4
    return filters <= most and conv.band_cost(g.numbers, 8, gradient) is not None


def _direct_pays(gradient: bool) -> Callable[[ConvGeometry], bool]:
    def accepts(geometry: ConvGeometry) -> bool:
        pays = _splitting_pays if _channels_last(geometry) else _band_pays
        return pays(geometry, gradient)

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


def _tiles(size: int, step: int) -> int:
    """Return how many tiles of four cover an axis of which every step-th element is a neighbour."""
    neighbours = -(-size // step)
    return min(size, step) * -(-neighbours // 4)


def _tiles_pay(op: str) -> Callable[[ConvGeometry], bool]:
    """Whether minimal filtering F(4x4, 3x3) is faster; measured, see ARCHITECTURE.md.

    A tile costs 36 products for every 3 x 3 of the kernel. Channels and filters must pay for the
    transforms.
    """

    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        taps, parts = g.kernel_h * g.kernel_w, -(-g.kernel_h // 3) * -(-g.kernel_w // 3)
        channels, filters = g.channels // g.groups, g.filters // g.groups
        height, width, direct = g.out_h, g.out_w, g.out_h * g.out_w
        if op == "grad_x":
            channels, filters, height, width = filters, channels, g.height, g.width
            # a gradient smaller than the image: `columns` multiplies as little as it has elements
            direct = height * width if _channels_last(g) else min(direct, height * width)
        if g.stride_h * g.stride_w > 1 or channels < 8:
            return False
        if _channels_last(g) and g.groups > 1 and min(channels, filters) <= 8:
            return False  # `grouped` has no lanes idle
        if channels * parts > 4096 or width * g.dilation_w > 1 << 12:
            return False  # the transforms of a row of tiles are to stay small
        if not _taps_fill(op, g, parts * 9 / taps, min(channels, filters)):
            return False
        products = 36 * parts * _tiles(height, g.dilation_h) * _tiles(width, g.dilation_w)
        if _channels_last(g):
            large = height * width >= (16 if channels * filters >= 4096 else 64)
            return large and 2 * products <= taps * direct
        return filters >= 8 and channels * filters >= 256 and 1.5 * products <= taps * direct

    return accepts


def _taps_fill(op: str, geometry: ConvGeometry, waste: float, fewest: int) -> bool:
    """Whether a kernel fills its 3 x 3 parts well enough; `waste` is 1 if it fills them all."""
    if geometry.kernel_h == geometry.kernel_w == 2:
        return op != "grad_w" and fewest >= 32 and not _channels_last(geometry)
    return waste == 1 or (fewest >= 16 and waste <= (1.5 if op == "grad_w" else 1.7))


def _tiles_win(op: str) -> Callable[[ConvGeometry], bool]:
    """Whether minimal filtering pays, and the direct driver is not faster still."""
    pays, gradient = _tiles_pay(op), op == "grad_x"

    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        filters = g.channels if gradient else g.filters
        few = _channels_last(g) and (filters <= 4 or g.channels * g.filters <= 64)
        return pays(g) and not (few and _splitting_pays(g, gradient))

    return accepts


def _native(op: str, geometry: ConvGeometry) -> Row:
    """Return the first row that takes images in the layout they have, and is direct."""
    rows = (row for row in ROWS[op] if row.direct and row.name != "relaid")
    return next(row for row in rows if row.accepts(geometry))


def _better_relaid(op: str) -> Callable[[ConvGeometry], bool]:
    """Whether the other layout is so much faster that copies pay; measured."""

    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        if not relaid.fits(g):
            return False
        channels, filters = g.channels // g.groups, g.filters // g.groups
        strided = g.stride_h * g.stride_w > 1
        if _channels_last(g) and op == "grad_w" and g.groups == 1:  # few filters: `dot` is there
            return filters <= 4 and g.out_w >= (64 if strided else 24)
        if _channels_last(g):  # few channels a group: most lanes would be idle
            native = _depthwise_last(g) or _groups_last(op == "grad_x")(g)
            return g.groups > 1 and channels <= 8 and not native
        # maps so small that vectors of their pixels would be short
        if g.channels == g.filters == g.groups >= 32:
            return g.out_h * g.out_w <= (200 if op == "grad_w" else 64)
        if g.groups > 1 or min(channels, filters) < 16 or op == "grad_w":
            return False
        pixels = g.out_h * g.out_w if op == "forward" else g.height * g.width
        if g.kernel_h * g.kernel_w == 1:
            return pixels <= 36
        if op == "forward":
            return pixels <= 64 and channels * filters < 8192
        return pixels <= 100 and (strided or channels * filters <= 8192)

    return accepts


FORWARD = (
    Row("winograd", _tiles_win("forward"), _forward_by("winograd"), direct=False),
    Row("relaid", _better_relaid("forward"), partial(relaid.forward, _native), packs=False),
    Row("planes", _planes_first(gradient=False), _forward_by("planes")),
    Row("direct", _direct_pays(gradient=False), _forward_by("direct")),
    Row("depthwise", _depthwise_last, _forward_by("depthwise")),
    Row("grouped", _groups_last(gradient=False), _forward_by("grouped")),
    Row("rows", _channels_last, _forward_by("rows")),
    Row("panels", lambda geometry: not _channels_last(geometry), _forward_by("panels")),
    Row("taps", lambda geometry: True, by_taps.forward, packs=False),
)
GRAD_X = (
    Row("winograd", _tiles_win("grad_x"), _grad_x_by("winograd"), direct=False),
    Row("relaid", _better_relaid("grad_x"), partial(relaid.grad_x, _native)),
    Row("columns", _columns_pay, _grad_x_by_columns),
    Row("planes", _planes_first(gradient=True), _grad_x_by("planes")),
    Row("direct", _direct_pays(gradient=True), _grad_x_by("direct")),
    Row("depthwise", _depthwise_last, _grad_x_by("depthwise")),
    Row("grouped", _groups_last(gradient=True), _grad_x_by("grouped")),
    Row("rows", _channels_last, _grad_x_by("rows")),
    Row("panels", lambda geometry: not _channels_last(geometry), _grad_x_by("panels")),
    Row("taps", lambda geometry: True, by_taps.grad_x),
)
GRAD_W = (
    Row("winograd", _tiles_pay("grad_w"), _grad_w_as_problem("winograd"), direct=False),
    Row("relaid", _better_relaid("grad_w"), partial(relaid.grad_w, _native)),
    Row("depthwise", _depthwise_last, _grad_w_as_problem("depthwise")),
    Row("grouped", _groups_last(gradient=False), _grad_w_as_problem("grouped")),
    Row("dot", _few_filters, _grad_w_by("dot")),
    Row("lanes", _lanes_fit, _grad_w_by("lanes")),
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
    if _empty(geometry):
        out[...] = 0
    else:
        row = choose("grad_w", geometry, _only_direct(x))
        row.run(geometry, grad, x, out)
        if not row.direct and not _takes_zeros(out):
            choose("grad_w", geometry, True).run(geometry, grad, x, out)
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


def update_weights(step: Any, w: Array, g: Array, slots: dict[str, Array], factor: float) -> None:
    """Change w and slots by the step of an optimizer, with the gradient factor * g."""
    update.update(step, w, g, slots, factor, current())
