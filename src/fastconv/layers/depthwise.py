"""Convolutions of each channel on its own, alone or before a mixture of channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import ops
from .base import initializer_of, positive_int
from .convolution import BaseConv
from .images import FORMATS, channels_of

if TYPE_CHECKING:
    from .base import Array, Saved, Shape, Training


class DepthwiseConv2D(BaseConv):
    """Filters slid over each channel on its own.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Rows and columns.
    depth_multiplier : int
        How many filters a channel has.
    depthwise_initializer : str or callable
        Of the kernel, (rows, columns, channels, depth_multiplier).
    strides, padding, data_format, dilation_rate, activation, use_bias, bias_initializer, **keywords
        As of `Conv2D`.

    Raises
    ------
    ValueError, TypeError
        As of `Conv2D`.

    Examples
    --------
    >>> import numpy as np
    >>> DepthwiseConv2D(3, depth_multiplier=2)(np.zeros((1, 8, 8, 4))).shape
    (1, 6, 6, 8)
    """

    kernel_arguments = ("depthwise",)

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **keywords: Any,
    ) -> None:
        super().__init__(
            *(kernel_size, strides, padding, data_format, dilation_rate),
            *(activation, use_bias, bias_initializer),
            **keywords,
        )
        kind = type(self).__name__
        self.depth_multiplier = positive_int(kind, "depth_multiplier", depth_multiplier)
        self.depthwise_initializer = initializer_of(
            self, "depthwise_initializer", depthwise_initializer
        )

    def sizes(self) -> dict[str, Any]:
        return {**super().sizes(), "groups": self.kernel.shape[2] if self.built else 1}

    def build(self, input_shape: Shape) -> None:
        channels = channels_of(input_shape, self.data_format) or 0
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.make_weights(shape, self.depthwise_initializer, channels * self.depth_multiplier)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels = channels_of(input_shape, self.data_format) or 0
        kernel = (*self.kernel_size, 1, channels * self.depth_multiplier)
        return self.slid_shape(input_shape, kernel, channels)

    def kernel_as_operand(self) -> Array:
        return self.as_operand(self.kernel.value.reshape(*self.kernel_size, 1, -1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "depth_multiplier": self.depth_multiplier}


class SeparableConv2D(BaseConv):
    """Filters slid over each channel on its own, then a mixture of the channels (a 1x1 kernel).

    Parameters
    ----------
    filters : int
        How many output channels.
    kernel_size, strides, dilation_rate : int or (int, int)
        Of the rows and columns of the first step.
    depth_multiplier : int
        How many filters a channel has in the first step.
    depthwise_initializer, pointwise_initializer : str or callable
        Of the kernels (rows, columns, channels, depth_multiplier) and
        (1, 1, channels * depth_multiplier, filters).
    padding, data_format, activation, use_bias, bias_initializer, **keywords
        As of `Conv2D`; bias and activation belong to the second step.

    Raises
    ------
    ValueError, TypeError
        As of `Conv2D`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SeparableConv2D(8, 3)
    >>> layer(np.zeros((1, 8, 8, 4))).shape, layer.count_params()
    ((1, 6, 6, 8), 76)
    """

    kernel_arguments = ("depthwise", "pointwise")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **keywords: Any,
    ) -> None:
        super().__init__(
            *(kernel_size, strides, padding, data_format, dilation_rate),
            *(activation, use_bias, bias_initializer),
            **keywords,
        )
        kind = type(self).__name__
        self.filters = positive_int(kind, "filters", filters)
        self.depth_multiplier = positive_int(kind, "depth_multiplier", depth_multiplier)
        self.depthwise_initializer = initializer_of(
            self, "depthwise_initializer", depthwise_initializer
        )
        self.pointwise_initializer = initializer_of(
            self, "pointwise_initializer", pointwise_initializer
        )

    def build(self, input_shape: Shape) -> None:
        channels = channels_of(input_shape, self.data_format) or 0
        middle = channels * self.depth_multiplier
        self.depthwise_kernel = self.add_weight(
            "depthwise_kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            self.depthwise_initializer,
        )
        self.pointwise_kernel = self.add_weight(
            "pointwise_kernel", (1, 1, middle, self.filters), self.pointwise_initializer
        )
        self.make_bias(self.filters)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        channels = channels_of(input_shape, self.data_format) or 0
        kernel = (*self.kernel_size, 1, channels * self.depth_multiplier)
        shape = list(self.slid_shape(input_shape, kernel, channels))
        shape[3 if self.data_format == "channels_last" else 1] = self.filters
        return tuple(shape)

    def _operands(self) -> tuple[Array, Array, dict[str, Any], dict[str, Any]]:
        depthwise = self.depthwise_kernel.value
        sizes = {**self.sizes(), "groups": depthwise.shape[2]}
        return (
            self.as_operand(depthwise.reshape(*self.kernel_size, 1, -1)),
            self.as_operand(self.pointwise_kernel.value),
            sizes,
            {"data_format": FORMATS[self.data_format]},
        )

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        depthwise, pointwise, sizes, layout = self._operands()
        middle = ops.conv2d(x, depthwise, **sizes)
        y = self.convolve(middle, pointwise, self.biased(), **layout)
        return y, (x, middle, y)

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        x, middle, y = saved
        depthwise, pointwise, sizes, layout = self._operands()
        grad = self.before_activation(grad, y)
        found = ops.conv2d_grad_w(grad, middle, pointwise.shape, **layout, with_bias=self.use_bias)
        grad_pointwise, *grad_bias = found if self.use_bias else (found,)
        grad = ops.conv2d_grad_x(grad, pointwise, middle.shape, **layout)
        grad_depthwise = ops.conv2d_grad_w(grad, x, depthwise.shape, **sizes)
        grad_x = ops.conv2d_grad_x(grad, depthwise, x.shape, **sizes)
        return grad_x, [
            self.from_operand(grad_depthwise, self.depthwise_kernel.shape),
            self.from_operand(grad_pointwise, self.pointwise_kernel.shape),
            *grad_bias,
        ]

    def weight_gradients(self, grad: Array, saved: Saved) -> list[Array]:
        return self.backward(grad, saved)[1]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "depth_multiplier": self.depth_multiplier,
        }
