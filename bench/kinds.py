"""What kind of layer a convolution is, from its geometry alone: the first kind that fits."""

from __future__ import annotations

from .problems import Layer

DEEP_LARGE = "3x3 stride 1, 64+ channels, 28x28+"
DEEP_MIDDLE = "3x3 stride 1, 64+ channels, 14x14 to 27x27"
DEEP_SMALL = "3x3 stride 1, 64+ channels, below 14x14"
DEEP = (DEEP_LARGE, DEEP_MIDDLE, DEEP_SMALL)
FEW = "16 to 32 channels"
FIRST = "first layers: 1 to 4 channels, several filters"
GREY = "one grey image, one filter"
TINY = "one grey image of less than 100 pixels"
DEPTHWISE = "depthwise"
GROUPED = "groups of several channels"
POINTWISE = "1x1"
STRIDED = "strided"
LARGE_KERNEL = "kernels of 5x5 and more"
OTHER = "others"


def kind_of(layer: Layer) -> str:
    """Return the kind. A strided layer of three channels, say, is a first layer."""
    map_size, kernel = min(layer.height, layer.width), (layer.kernel_h, layer.kernel_w)
    if layer.groups > 1:
        return DEPTHWISE if layer.groups == layer.channels else GROUPED
    if layer.channels == layer.filters == 1:
        return TINY if is_tiny(layer) else GREY
    if layer.channels <= 4:
        return FIRST
    if layer.stride > 1:
        return STRIDED
    if kernel == (1, 1):
        return POINTWISE
    if max(kernel) >= 5:
        return LARGE_KERNEL
    if 16 <= layer.channels <= 32:
        return FEW
    if kernel == (3, 3) and min(layer.channels, layer.filters) >= 64:
        return DEEP_LARGE if map_size >= 28 else DEEP_MIDDLE if map_size >= 14 else DEEP_SMALL
    return OTHER


def is_tiny(layer: Layer) -> bool:
    """Whether a call is over before its arguments are looked at."""
    return layer.samples == layer.channels == 1 and layer.height * layer.width < 100


def is_grey(layer: Layer) -> bool:
    """Whether it filters one grey image."""
    return layer.samples == layer.channels == layer.filters == 1
