"""What drivers take for an image, so that the plan can compare them; channels first, or both.

The unit is a multiplication of two vectors, of `LANES` products. The constants, what a driver does
beside multiplying, were fitted to the times of two thousand geometries: AVX-512, float32, one
thread; see ARCHITECTURE.md. Groups are alike: all sizes are those of one.
"""

from __future__ import annotations

from typing import NamedTuple

from .geometry import ConvGeometry

LANES = 16
DEPTH = 384  # of a block


def ceil_div(a: int, b: int) -> int:
    """Return a / b rounded up."""
    return -(-a // b)


class Sums(NamedTuple):
    """A convolution as a driver runs it: grad_x by phases, each without a stride."""

    channels: int
    filters: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    out: tuple[int, int]
    padded: tuple[int, int]  # rows and columns of the image that the outputs read
    phases: int


def sums_of(geometry: ConvGeometry, gradient: bool) -> Sums:
    """Return the sums of the forward pass, or of one phase of grad_x."""
    g = geometry
    channels, filters = g.channels // g.groups, g.filters // g.groups
    kernel, strides, out = (g.kernel_h, g.kernel_w), (g.stride_h, g.stride_w), (g.out_h, g.out_w)
    reach = (g.kernel_h - 1) * g.dilation_h, (g.kernel_w - 1) * g.dilation_w
    phases = 1
    if gradient:
        channels, filters = filters, channels
        phases = min(kernel[0], strides[0]) * min(kernel[1], strides[1])  # that have a tap
        out = ceil_div(g.height, strides[0]), ceil_div(g.width, strides[1])
        kernel = ceil_div(kernel[0], strides[0]), ceil_div(kernel[1], strides[1])
        reach, strides = (reach[0] // strides[0], reach[1] // strides[1]), (1, 1)
    if kernel == strides == (1, 1) and not g.padded:
        out = 1, out[0] * out[1]
    padded = out[0] + reach[0] // strides[0], out[1] + reach[1] // strides[1]
    return Sums(channels, filters, kernel, strides, out, padded, phases)


def direct_cost(geometry: ConvGeometry, gradient: bool) -> float:
    """Whole padded rows, or idle lanes at the end of each; every row is copied once."""
    s = sums_of(geometry, gradient)
    (height, width), (rows, wide) = s.out, s.padded
    split = min(s.kernel[0], s.strides[0]) * min(s.kernel[1], s.strides[1])
    slower = 1 if s.strides[1] == 1 else 2  # columns that are not neighbours
    flat = ceil_div((height - 1) * wide + width, LANES)
    vectors = min(flat, height * ceil_div(width, LANES))
    depth = s.channels * s.kernel[0] * s.kernel[1]
    cost = s.filters * (depth * vectors + 1.2 * ceil_div(vectors, 3))
    if s.kernel[1] > 1:  # rows with gaps between them: sums of each further block are scattered
        cost += 40 * s.filters * vectors * (ceil_div(depth, DEPTH) - 1)
    cost += s.channels * split * rows * (27 + 21 * slower * wide / LANES)
    return s.phases * (cost + (66 * s.filters if gradient else 0))


def panels_cost(geometry: ConvGeometry, gradient: bool) -> float:
    """No lane idle, but each row is copied for every tap."""
    s = sums_of(geometry, gradient)
    height, width = s.out
    slower = 1 if s.strides[1] == 1 else 2
    filled = height * width / LANES
    depth = s.channels * s.kernel[0] * s.kernel[1]
    cost = s.filters * (depth + 1) * filled + 38 * filled
    cost += depth * (9 * height + 18 * slower * filled)
    return s.phases * (cost + (49 * s.filters if gradient else 0))


def scatter_cost(geometry: ConvGeometry) -> float:
    """grad_x: what the gradient has, tap by tap; images are transposed on the way in and out."""
    g = geometry
    channels, filters = g.channels // g.groups, g.filters // g.groups
    vectors = ceil_div(channels, LANES)
    panels = ceil_div(vectors, 4)
    height = 8 if ceil_div(vectors, panels) <= 3 else 6
    rows, columns = reached(g, 0), reached(g, 1)
    pixels = sum(rows) * sum(columns)
    cost = pixels * vectors * (filters + 2.2)
    cost += 42 * panels * sum(rows) * sum(ceil_div(count, height) for count in columns)
    cost += 34 * g.out_h * g.out_w * filters / LANES
    return cost + 27 * g.height * g.width * channels / LANES


def reached(geometry: ConvGeometry, axis: int) -> list[int]:
    """Return how many outputs find each row (axis 0) or column of the kernel in the image."""
    g = geometry
    sizes = (
        (g.kernel_h, g.stride_h, g.dilation_h, g.pad_top, g.height, g.out_h),
        (g.kernel_w, g.stride_w, g.dilation_w, g.pad_left, g.width, g.out_w),
    )
    kernel, stride, dilation, pad, size, out = sizes[axis]
    found = []
    for tap in range(kernel):
        first = max(0, ceil_div(pad - tap * dilation, stride))
        last = min(out - 1, (size - 1 + pad - tap * dilation) // stride)
        found.append(max(0, last - first + 1))
    return found


def tiles_of(size: int, step: int) -> int:
    """Return how many tiles of four cover an axis of which every step-th element is a neighbour."""
    return min(size, step) * ceil_div(ceil_div(size, step), 4)


def winograd_cost(geometry: ConvGeometry, gradient: bool) -> float:
    """36 products a tile for every 3 x 3 of the kernel, and the transforms of a tile."""
    g = geometry
    channels, filters = g.channels // g.groups, g.filters // g.groups
    height, width = g.out_h, g.out_w
    if gradient:
        channels, filters, height, width = filters, channels, g.height, g.width
    parts = ceil_div(g.kernel_h, 3) * ceil_div(g.kernel_w, 3)
    tiles = tiles_of(height, g.dilation_h) * tiles_of(width, g.dilation_w)
    return 36 * tiles * (parts * channels * (1.9 * filters + 27) + 11 * filters) / LANES


def turned_cost(geometry: ConvGeometry) -> float:
    """The forward pass with lanes over filters; images are transposed on the way in and out."""
    g = geometry
    channels, filters = g.channels // g.groups, g.filters // g.groups
    vectors = ceil_div(filters, LANES)
    panels = ceil_div(vectors, 4)
    pixels = g.out_h * g.out_w
    height = 8 if ceil_div(vectors, panels) <= 3 else 6
    depth = channels * g.kernel_h * g.kernel_w
    cost = pixels * vectors * (1.3 * depth + 6) + 8 * panels * ceil_div(pixels, height)
    return cost + 16 * g.height * g.width * channels / LANES


def parts_of(kernel_w: int, stride_w: int) -> tuple[int, int, int]:
    """Return the products of a strip, a channel and a row of the kernel, and how they are made.

    That is parts of `taps` neighbouring taps of a phase of the columns, taps + 3 products each, and
    single taps, of 4: the products, those of a part, and 4 if there are single ones.
    """
    found = []
    for taps in range(2, 6):
        parts = singles = 0
        for phase in range(min(stride_w, kernel_w)):
            whole, rest = divmod(ceil_div(kernel_w - phase, stride_w), taps)
            parts += whole + (rest > 1)
            singles += rest == 1
        found.append((parts * (taps + 3) + 4 * singles, taps + 3, 4 * (singles > 0)))
    return min(found, key=lambda made: made[0])


def strips_cost(geometry: ConvGeometry, gradient: bool) -> float:
    """Fewer products for four neighbours of a row; what surrounds them is transformed."""
    s = sums_of(geometry, gradient)
    strips = ceil_div(s.out[1], 4)
    vectors = ceil_div(s.out[0] * strips, LANES)
    products, *each = parts_of(s.kernel[1], s.strides[1])
    depth = s.channels * s.kernel[0] * products
    phases = min(s.strides[1], s.kernel[1])
    rows = s.channels * s.padded[0] * min(s.kernel[0], s.strides[0])
    cost = s.filters * (1.3 * depth * vectors + 75 * vectors + 5.7 * depth / LANES)
    cost += 105 * ceil_div(s.filters, 8) * sum(each) * ceil_div(vectors, 3)
    return s.phases * (cost + rows * phases * (90 + 100 * ceil_div(strips, LANES)))


def shuffles_cost(geometry: ConvGeometry, gradient: bool) -> float:
    """Channels last: to split the channels of x and to join those of out."""
    s = sums_of(geometry, gradient)
    pixels = s.out[0] * s.out[1] * s.phases
    inside = geometry.out_h * geometry.out_w if gradient else geometry.height * geometry.width
    return (80 * s.filters * pixels + 16 * s.channels * inside) / LANES


def rows_cost(geometry: ConvGeometry, gradient: bool) -> float:
    """Channels last: lanes over filters, what they have beside these is idle."""
    s = sums_of(geometry, gradient)
    vectors = ceil_div(s.filters, LANES)
    depth = s.channels * s.kernel[0] * s.kernel[1]
    return s.phases * s.out[0] * s.out[1] * (1.5 * depth * vectors + 12 * ceil_div(vectors, 4))
