"""Images between the steps of a model: channels second by their shape, last in memory.

The engine computes most layers faster with channels last, small maps and depthwise ones several
times. An array of the shape that ONNX wants whose strides are those of the other layout is right
for every operator of NumPy, and elementwise ones pass the strides on. So nothing has to be planned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_FEW_CHANNELS = 8


def channels_last(x: Array) -> Array:
    """Return (samples, channels, height, width) as (samples, height, width, channels), dense.

    It is copied unless channels are last in memory.
    """
    last = x.transpose(0, 2, 3, 1)
    if last.flags.c_contiguous or x.shape[1] > _FEW_CHANNELS:
        return np.ascontiguousarray(last)
    copy = np.empty(last.shape, x.dtype)
    for channel in range(x.shape[1]):  # NumPy would copy pixel by pixel
        copy[..., channel] = x[:, channel]
    return copy


def channels_second(y: Array) -> Array:
    """Return the view that `channels_last` undoes."""
    return y.transpose(0, 3, 1, 2)


def shuffled(x: Array, places: Array) -> Array:
    """Return the channels of an image in another order."""
    last = channels_last(x)
    pixels = last.reshape(-1, last.shape[3])[:, places]
    return channels_second(pixels.reshape(last.shape))
