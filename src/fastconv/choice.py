"""Whether a driver suits a geometry: the conditions of the plan's rows, measured.

Sizes alone decide, and never the number of samples or of threads. `gradient` is for grad_x.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from . import relaid
from ._core import conv, weights
from .costs import (
    LANES,
    ceil_div,
    direct_cost,
    panels_cost,
    reached,
    rows_cost,
    scatter_cost,
    shuffles_cost,
    strips_cost,
    sums_of,
    tiles_of,
    turned_cost,
    winograd_cost,
)
from .geometry import ConvGeometry


def channels_last(geometry: ConvGeometry) -> bool:
    return bool(geometry.numbers[-1])


def depthwise_last(geometry: ConvGeometry) -> bool:
    return channels_last(geometry) and geometry.channels == geometry.filters == geometry.groups


def groups_last(gradient: bool) -> Callable[[ConvGeometry], bool]:
    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        if not channels_last(g) or g.groups == 1 or depthwise_last(g):
            return False
        return bool(conv.lanes_hold_groups(g.numbers, gradient))

    return accepts


def planes_first(gradient: bool) -> Callable[[ConvGeometry], bool]:
    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        channels = g.filters if gradient else g.channels
        if channels_last(g) or channels != g.groups:
            return False
        width = g.width if gradient else g.out_w
        if g.kernel_h * g.kernel_w <= 9 and g.stride_h * g.stride_w == 1 and width > 32:
            return False  # the longer runs of `direct` are faster where there is little to sum
        return bool(conv.planes_serve(g.numbers, gradient))

    return accepts


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
        taps = ceil_div(g.kernel_h, g.stride_h) * ceil_div(g.kernel_w, g.stride_w)
    deep = channels * taps > 384
    if g.groups > 1 or max(g.stride_h, g.stride_w) > 4 or width < 8 or (taps == 1 and channels > 8):
        return False
    most = 16 if channels <= 8 and not sparse else 8
    if taps <= 9 and not gradient:
        most = min(most, 15)  # 16 filters fill the vectors of rows
    if deep and taps >= 25:  # rows cannot take a kernel row as one run
        most = 32
    if width < 24:
        most = 0 if deep or sparse else 8 if taps >= 9 else 4
    return filters <= most and bool(conv.band_fits(g.numbers, gradient))


def direct_pays(gradient: bool) -> Callable[[ConvGeometry], bool]:
    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        if channels_last(g):
            return _splitting_pays(g, gradient)
        fits = bool(conv.band_fits(g.numbers, gradient))
        return fits and direct_cost(g, gradient) <= panels_cost(g, gradient)

    return accepts


def _cheapest(geometry: ConvGeometry, gradient: bool) -> str:
    """Return the channels-first driver with the lowest cost; `planes` is not among them."""
    g = geometry
    found = {"panels": panels_cost(g, gradient)}
    if conv.band_fits(g.numbers, gradient):
        found["direct"] = direct_cost(g, gradient)
    if tiles_pay("grad_x" if gradient else "forward")(g):
        found["winograd"] = winograd_cost(g, gradient)
    if conv.strips_fit(g.numbers, gradient):
        found["strips"] = strips_cost(g, gradient)
    if 1 not in (g.channels // g.groups, g.filters // g.groups):
        if gradient and conv.scatter_fits(g.numbers):
            found["scatter"] = scatter_cost(g)
        if not gradient and conv.turned_fits(g.numbers) and g.out_h * g.out_w >= 4:
            found["turned"] = turned_cost(g)
    return min(found, key=lambda name: (found[name], name))


def turning_pays(geometry: ConvGeometry) -> bool:
    """Whether lanes over filters, for images transposed on the way, are faster than over pixels."""
    return not channels_last(geometry) and _cheapest(geometry, gradient=False) == "turned"


def strips_pay(gradient: bool) -> Callable[[ConvGeometry], bool]:
    """Whether minimal filtering along rows is faster: few channels, wide kernels."""

    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        if channels_last(g):
            return _strips_last(g, gradient)
        return not planes_first(gradient)(g) and _cheapest(g, gradient) == "strips"

    return accepts


def _strips_last(geometry: ConvGeometry, gradient: bool) -> bool:
    g = geometry
    if g.groups > 1 or not conv.strips_fit(g.numbers, gradient):
        return False
    shuffles = shuffles_cost(g, gradient)
    cost = strips_cost(g, gradient) + shuffles
    if tiles_win("grad_x" if gradient else "forward")(g):
        return cost <= winograd_cost(g, gradient)
    if _splitting_pays(g, gradient):
        return cost <= direct_cost(g, gradient) + shuffles
    return cost <= rows_cost(g, gradient)


def scatter_pays(geometry: ConvGeometry) -> bool:
    """Whether grad_x is faster by what the gradient has than by what the image has."""
    g = geometry
    if not channels_last(g):
        return _cheapest(g, gradient=True) == "scatter"
    if 1 in (g.channels // g.groups, g.filters // g.groups) or not conv.scatter_fits(g.numbers):
        return False
    return _beside_the_image(g)


def _beside_the_image(geometry: ConvGeometry) -> bool:
    """Whether much of what taps of the gradient would read lies outside of it; measured."""
    g = geometry
    if g.groups > 1 and groups_last(gradient=True)(g):
        return False
    inside = sum(reached(g, 0)) * sum(reached(g, 1))
    phase = sums_of(g, gradient=True)
    all_taps = phase.phases * math.prod(phase.kernel) * ceil_div(g.height, g.stride_h)
    most = 0.36 if tiles_pay("grad_x")(g) else 0.75
    return inside <= most * all_taps * ceil_div(g.width, g.stride_w)


def lanes_fit(geometry: ConvGeometry) -> bool:
    return bool(weights.band_fits(geometry.numbers, "lanes"))


def few_filters(geometry: ConvGeometry) -> bool:
    """Whether lanes over pixels idle less than lanes over filters would; measured."""
    filters, width = geometry.filters // geometry.groups, geometry.out_w
    if channels_last(geometry) or not weights.band_fits(geometry.numbers, "dot"):
        return False
    idle = (ceil_div(width, LANES) * LANES + 12) / width  # a row ends with a sum over lanes
    return filters <= 4 or filters * idle <= 0.85 * (ceil_div(filters, LANES) * LANES)


def tiles_pay(op: str) -> Callable[[ConvGeometry], bool]:
    """Whether minimal filtering F(4x4, 3x3) is faster; measured, see ARCHITECTURE.md.

    A tile costs 36 products for every 3 x 3 of the kernel. Channels and filters must pay for the
    transforms.
    """

    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        taps, parts = g.kernel_h * g.kernel_w, ceil_div(g.kernel_h, 3) * ceil_div(g.kernel_w, 3)
        channels, filters = g.channels // g.groups, g.filters // g.groups
        height, width, direct = g.out_h, g.out_w, g.out_h * g.out_w
        if op == "grad_x":
            channels, filters, height, width = filters, channels, g.height, g.width
            # a gradient smaller than the image: `scatter` multiplies as little as it has elements
            direct = min(direct, height * width)
        if g.stride_h * g.stride_w > 1 or channels < 8:
            return False
        if channels_last(g) and g.groups > 1 and min(channels, filters) <= 8:
            return False  # `grouped` has no lanes idle
        if channels * parts > 4096 or width * g.dilation_w > 1 << 12:
            return False  # the transforms of a row of tiles are to stay small
        if not _taps_fill(op, g, parts * 9 / taps, min(channels, filters)):
            return False
        products = 36 * parts * tiles_of(height, g.dilation_h) * tiles_of(width, g.dilation_w)
        if channels_last(g):
            large = height * width >= (16 if channels * filters >= 4096 else 64)
            return large and 2 * products <= taps * direct
        return filters >= 8 and channels * filters >= 256 and 1.5 * products <= taps * direct

    return accepts


def _taps_fill(op: str, geometry: ConvGeometry, waste: float, fewest: int) -> bool:
    """Whether a kernel fills its 3 x 3 parts well enough; `waste` is 1 if it fills them all."""
    if geometry.kernel_h == geometry.kernel_w == 2:
        return op != "grad_w" and fewest >= 32 and not channels_last(geometry)
    return waste == 1 or (fewest >= 16 and waste <= (1.5 if op == "grad_w" else 1.7))


def tiles_win(op: str) -> Callable[[ConvGeometry], bool]:
    """Whether minimal filtering pays, and the direct driver is not faster still."""
    pays, gradient = tiles_pay(op), op == "grad_x"

    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        filters = g.channels if gradient else g.filters
        few = channels_last(g) and (filters <= 4 or g.channels * g.filters <= 64)
        return pays(g) and not (few and _splitting_pays(g, gradient))

    return accepts


def better_relaid(op: str) -> Callable[[ConvGeometry], bool]:
    """Whether the other layout is so much faster that copies pay; measured."""

    def accepts(geometry: ConvGeometry) -> bool:
        g = geometry
        if not (relaid.rows_fit(g) if op == "grad_w" else relaid.fits(g)):
            return False
        channels, filters = g.channels // g.groups, g.filters // g.groups
        strided = g.stride_h * g.stride_w > 1
        if channels_last(g) and op == "grad_w" and g.groups == 1:  # few filters: `dot` is there
            few = filters <= 4 or (filters <= 8 and channels <= 8 and not strided)
            return few and g.out_w >= (24 if filters <= 4 and not strided else 64)
        if channels_last(g):  # few channels a group: most lanes would be idle
            native = depthwise_last(g) or groups_last(op == "grad_x")(g)
            return g.groups > 1 and channels <= 8 and not native
        # depthwise, maps so small that vectors of their pixels would be short
        small = g.out_h * g.out_w <= (200 if op == "grad_w" else 64)
        return small and g.channels == g.filters == g.groups >= 32

    return accepts
