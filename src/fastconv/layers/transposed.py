"""The transposed convolution layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import ops
from ..errors import describe, value_error
from ..geometry.plain import plain_pair
from ..geometry.sizes import checked_pair, dilated
from .base import initializer_of, positive_int
from .convolution import BaseConv
from .images import channels_of, image_shape, sizes_of, transposed_axis

if TYPE_CHECKING:
    from .base import Array, Saved, Shape, Training


class Conv2DTranspose(BaseConv):
    """The transpose of a convolution: every element spread by the kernel, and what meets added.

    Parameters
    ----------
    filters : int
        How many output channels.
    kernel_size, strides, dilation_rate : int or (int, int)
        Of the rows and columns; with strides of s the output is about s times as large.
    output_padding : int or (int, int), optional
        By default the output with "same" has strides times the input's size.
    kernel_initializer : str or callable
        Of the kernel, (rows, columns, out, in).
    padding, data_format, activation, use_bias, bias_initializer, **keywords
        As of `Conv2D`.

    Raises
    ------
    ValueError, TypeError
        As of `Conv2D`.

    Examples
    --------
    >>> import numpy as np
    >>> Conv2DTranspose(4, 3, strides=2, padding="same")(np.zeros((1, 8, 8, 2))).shape
    (1, 16, 16, 4)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
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
        self.kernel_initializer = initializer_of(self, "kernel_initializer", kernel_initializer)
        self.output_padding: tuple[int, int] | None = None
        if output_padding is not None:
            given = plain_pair(kind, "output_padding", output_padding)
            self.output_padding = checked_pair(kind, "output_padding", given, 0)
            if any(map(int.__ge__, self.output_padding, self.strides)):
                rule = f"below strides {self.strides}"
                raise value_error(kind, "output_padding", rule, describe(output_padding))

    def sizes(self) -> dict[str, Any]:
        rows, columns = self._axes()
        return {
            **super().sizes(),
            "padding": (rows[0], columns[0]),
            "output_padding": (rows[1], columns[1]),
        }

    def _axes(self) -> list[tuple[tuple[int, int], int]]:
        given = self.output_padding or (None, None)
        axes = zip(self.kernel_size, self.strides, self.dilation_rate, given, strict=True)
        return [transposed_axis(k, s, d, self.padding, more) for k, s, d, more in axes]

    def build(self, input_shape: Shape) -> None:
        channels = channels_of(input_shape, self.data_format) or 0
        shape = (*self.kernel_size, self.filters, channels)
        self.make_weights(shape, self.kernel_initializer, self.filters)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes: list[int | None] = []
        for i, size in enumerate(sizes_of(input_shape, self.data_format)):
            (before, after), more = self._axes()[i]
            reach = dilated(self.kernel_size[i], self.dilation_rate[i])
            full = None if size is None else (size - 1) * self.strides[i] + reach
            sizes.append(None if full is None else full - before - after + more)
        if any(size is not None and size < 1 for size in sizes):
            raise value_error(self.name, "inputs", "large enough for an output", f"{input_shape}")
        return image_shape(input_shape[0], self.filters, tuple(sizes), self.data_format)

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        w = self.kernel_as_operand()
        y = self.activation(ops.conv_transpose2d(x, w, self.biased(), **self.sizes()))
        return y, (x, y)

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        x, y = saved
        grad = self.before_activation(grad, y)
        w = self.kernel_as_operand()
        grad_x = ops.conv_transpose2d_grad_x(grad, w, x.shape, **self.sizes())
        return grad_x, self._kernel_gradients(grad, x)

    def _kernel_gradients(self, grad: Array, x: Array) -> list[Array]:
        shape, sizes = self.kernel_as_operand().shape, self.sizes()
        return self.split(
            ops.conv_transpose2d_grad_w(grad, x, shape, **sizes, with_bias=self.use_bias)
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "output_padding": self.output_padding,
        }
