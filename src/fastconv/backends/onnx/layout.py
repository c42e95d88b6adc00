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


def channels_last(x: Array) -> Array:
    """Return (samples, channels, height, width) as (samples, height, width, channels), dense.

    It is copied unless channels are last in memory.
    """
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def channels_second(y: Array) -> Array:
    """Return the view that `channels_last` undoes."""
    return y.transpose(0, 3, 1, 2)
