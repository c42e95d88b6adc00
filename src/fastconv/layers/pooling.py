"""Pooling layers: the largest element or the mean of windows, or of whole images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import ops
from ..config import checked_data_format
from ..geometry import plain_flag, plain_word, pool_geometry
from ..ops.pool_codes import max_pool2d_codes, max_pool2d_codes_grad_x
from .base import Layer
from .images import (
    FORMATS,
    channels_of,
    check_image_shape,
    image_shape,
    known,
    pair,
    unknown_again,
)

if TYPE_CHECKING:
    from .base import Array, Saved, Shape, Training


class _Pool(Layer):
    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        kind = type(self).__name__
        self.pool_size = pair(kind, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair(kind, "strides", strides)
        self.padding = plain_word(kind, "padding", padding, ("valid", "same"))
        self.data_format = checked_data_format(kind, data_format)

    def check_input(self, shape: Shape) -> None:
        check_image_shape(self.name, shape)

    def sizes(self) -> dict[str, Any]:
        """Return the keywords of the operations."""
        return {
            "kernel_size": self.pool_size,
            "stride": self.strides,
            "padding": self.padding,
            "data_format": FORMATS[self.data_format],
        }

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = known(input_shape, self.data_format, self.pool_size)
        geometry = pool_geometry(
            self.name,
            tuple(size or 1 for size in shape),
            **self.sizes(),
            dilation=1,
            ceil_mode=False,
            count_include_pad=False,
        )
        return unknown_again(input_shape, geometry.out_shape, self.data_format)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "padding": self.padding,
            "strides": self.strides,
            "data_format": self.data_format,
        }


class MaxPooling2D(_Pool):
    """The largest element of every window.

    Parameters
    ----------
    pool_size : int or (int, int)
        Rows and columns of a window.
    strides : int or (int, int), optional
        From window to window; by default `pool_size`.
    padding : {"valid", "same"}
        "same": ceil(size / strides) outputs.
    data_format : {"channels_last", "channels_first"}, optional
        By default `fastconv.config.image_data_format()`.
    **keywords
        name, dtype, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these, or the input has no room for a window.

    Examples
    --------
    >>> import numpy as np
    >>> MaxPooling2D()(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    """

    takes_maximum = True

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **keywords)

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        if training is None:
            return ops.max_pool2d(x, **self.sizes()), None
        return self._forward(x, relu=False)

    def forward_after_relu(self, x: Array, training: Training) -> tuple[Array, Saved]:
        return self._forward(x, relu=True)

    def _forward(self, x: Array, relu: bool) -> tuple[Array, Saved]:
        y, codes = max_pool2d_codes(x, **self.sizes(), relu=relu)
        return y, (codes, x.shape)

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        return max_pool2d_codes_grad_x(grad, *saved, **self.sizes()), []


class AveragePooling2D(_Pool):
    """The mean of every window; padding does not count.

    Parameters
    ----------
    pool_size, strides, padding, data_format, **keywords
        As of `MaxPooling2D`.

    Raises
    ------
    ValueError, TypeError
        As of `MaxPooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> AveragePooling2D(2)(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]], dtype=float32)
    """

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        return ops.avg_pool2d(x, **self.sizes(), count_include_pad=False), x.shape

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        return ops.avg_pool2d_grad_x(grad, saved, **self.sizes(), count_include_pad=False), []


class _GlobalPool(Layer):
    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        kind = type(self).__name__
        self.data_format = checked_data_format(kind, data_format)
        self.keepdims = plain_flag(kind, "keepdims", keepdims)
        self._axes = (1, 2) if self.data_format == "channels_last" else (2, 3)

    def check_input(self, shape: Shape) -> None:
        check_image_shape(self.name, shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels = channels_of(input_shape, self.data_format)
        if self.keepdims:
            return image_shape(input_shape[0], channels, (1, 1), self.data_format)
        return input_shape[0], channels

    def _whole(self, shape: Shape) -> dict[str, Any]:
        size = (shape[self._axes[0]], shape[self._axes[1]])
        return {"kernel_size": size, "data_format": FORMATS[self.data_format]}

    def _delivered(self, y: Array) -> Array:
        return y if self.keepdims else y.squeeze(self._axes)

    def _images(self, grad: Array) -> Array:
        return grad if self.keepdims else np.expand_dims(grad, self._axes)

    def get_config(self) -> dict[str, Any]:
        config = {"data_format": self.data_format, "keepdims": self.keepdims}
        return {**super().get_config(), **config}


class GlobalMaxPooling2D(_GlobalPool):
    """The largest element of every channel.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        By default `fastconv.config.image_data_format()`.
    keepdims : bool
        Whether rows and columns remain, of size 1.
    **keywords
        name, dtype, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalMaxPooling2D()(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[6., 7.]], dtype=float32)
    """

    takes_maximum = True

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        if training is None:
            return self._delivered(ops.max_pool2d(x, **self._whole(x.shape))), None
        return self._forward(x, relu=False)

    def forward_after_relu(self, x: Array, training: Training) -> tuple[Array, Saved]:
        return self._forward(x, relu=True)

    def _forward(self, x: Array, relu: bool) -> tuple[Array, Saved]:
        y, codes = max_pool2d_codes(x, **self._whole(x.shape), relu=relu)
        return self._delivered(y), (codes, x.shape)

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        codes, shape = saved
        whole = self._whole(shape)
        return max_pool2d_codes_grad_x(self._images(grad), codes, shape, **whole), []


class GlobalAveragePooling2D(_GlobalPool):
    """The mean of every channel.

    Parameters
    ----------
    data_format, keepdims, **keywords
        As of `GlobalMaxPooling2D`.

    Raises
    ------
    ValueError, TypeError
        As of `GlobalMaxPooling2D`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling2D()(np.arange(8.0).reshape(1, 2, 2, 2))
    array([[3., 4.]], dtype=float32)
    """

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        return self._delivered(ops.avg_pool2d(x, **self._whole(x.shape))), x.shape

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        rows, columns = self._axes
        share = self._images(grad) / grad.dtype.type(saved[rows] * saved[columns])
        return np.broadcast_to(share, saved).copy(), []
