"""Conv2D, and what all convolution layers share.

Kernels are (rows, columns, in, out) whatever the data_format, as Keras has them; an operation on
channels-first images gets a transposed view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import activations, initializers, ops
from ..config import checked_data_format
from ..errors import value_error
from ..geometry import conv_geometry, plain_flag, plain_word
from ..geometry.sizes import dilated
from .base import Layer, initializer_of, positive_int, refuse
from .images import FORMATS, channels_of, check_image_shape, known, pair, unknown_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from .base import Array, Saved, Shape, Training, Variable


class BaseConv(Layer):
    """A kernel slid over images: sizes, bias, activation, and both steps.

    A subclass says what its kernel's shape is and how the operations see it.
    """

    # what the arguments for the kernels' initializers begin with
    kernel_arguments: tuple[str, ...] = ("kernel",)

    def __init__(
        self,
        kernel_size: Any,
        strides: Any,
        padding: str,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: None = None,
        activity_regularizer: None = None,
        bias_constraint: None = None,
        **keywords: Any,
    ) -> None:
        arguments = {
            f"{name}_{what}": keywords.pop(f"{name}_{what}", None)
            for name in self.kernel_arguments
            for what in ("regularizer", "constraint")
        }
        super().__init__(**keywords)
        kind = type(self).__name__
        refuse(
            self,
            **arguments,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            bias_constraint=bias_constraint,
        )
        self.kernel_size = pair(kind, "kernel_size", kernel_size)
        self.strides = pair(kind, "strides", strides)
        self.dilation_rate = pair(kind, "dilation_rate", dilation_rate)
        self.padding = plain_word(kind, "padding", padding, ("valid", "same"))
        self.data_format = checked_data_format(kind, data_format)
        self.activation = activations.get(activation, kind, "activation")
        self.use_bias = plain_flag(kind, "use_bias", use_bias)
        self.bias_initializer = initializer_of(self, "bias_initializer", bias_initializer)
        self.kernel: Variable
        self.bias: Variable | None = None

    def check_input(self, shape: Shape) -> None:
        check_image_shape(self.name, shape)
        channels = channels_of(shape, self.data_format)
        if channels is None:
            raise value_error(self.name, "inputs", "of a known number of channels", f"{shape}")
        if self.built and channels != channels_of(self.build_shape, self.data_format):
            expected = channels_of(self.build_shape, self.data_format)
            raise value_error(self.name, "inputs", f"of {expected} channels", f"shape {shape}")

    def make_weights(self, kernel_shape: tuple[int, ...], initializer: Any, filters: int) -> None:
        """Make the kernel, and a bias if there is to be one."""
        self.kernel = self.add_weight("kernel", kernel_shape, initializer)
        self.make_bias(filters)

    def make_bias(self, filters: int) -> None:
        """Make the bias, if there is to be one."""
        if self.use_bias:
            self.bias = self.add_weight("bias", (filters,), self.bias_initializer)

    def kernel_as_operand(self) -> Array:
        """Return the kernel as an operation takes it: HWIO, or OIHW for channels first."""
        return self.as_operand(self.kernel.value)

    def as_operand(self, kernel: Array) -> Array:
        """View a kernel (rows, columns, in, out) in the layout that goes with the images'."""
        return kernel if self.data_format == "channels_last" else kernel.transpose(3, 2, 0, 1)

    def from_operand(self, grad_w: Array, shape: tuple[int, ...]) -> Array:
        """Return the gradient of a kernel in the kernel's own layout and shape."""
        if self.data_format == "channels_first":
            grad_w = grad_w.transpose(2, 3, 1, 0)
        return np.ascontiguousarray(grad_w).reshape(shape)

    def sizes(self) -> dict[str, Any]:
        """Return the keywords of the operations."""
        return {
            "stride": self.strides,
            "padding": self.padding,
            "dilation": self.dilation_rate,
            "data_format": FORMATS[self.data_format],
        }

    def biased(self) -> Array | None:
        """Return the numbers of the bias, None without one."""
        return None if self.bias is None else self.bias.value

    def convolve(self, x: Array, w: Array, bias: Array | None, **sizes: Any) -> Array:
        """Return the activation of the convolution; relu is the operation's business."""
        if self.activation is activations.relu:
            return ops.conv2d(x, w, bias, **sizes, activation="relu")
        return self.activation(ops.conv2d(x, w, bias, **sizes))

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        y = self.convolve(x, self.kernel_as_operand(), self.biased(), **self.sizes())
        return y, (x, y)

    @property
    def ends_in_relu(self) -> bool:
        return self.activation is activations.relu

    def forget_output(self, saved: Saved) -> Saved:
        return *saved[:-1], None

    def before_activation(self, grad: Array, y: Array | None) -> Array:
        """Return the gradient for what went into the activation; y is None after that."""
        return grad if y is None else self.activation.gradient(grad, y)

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        x, y = saved
        grad = self.before_activation(grad, y)
        grad_x = ops.conv2d_grad_x(grad, self.kernel_as_operand(), x.shape, **self.sizes())
        return grad_x, self._kernel_gradients(grad, x)

    def weight_gradients(self, grad: Array, saved: Saved) -> list[Array]:
        x, y = saved
        return self._kernel_gradients(self.before_activation(grad, y), x)

    def _kernel_gradients(self, grad: Array, x: Array) -> list[Array]:
        shape, sizes = self.kernel_as_operand().shape, self.sizes()
        return self.split(ops.conv2d_grad_w(grad, x, shape, **sizes, with_bias=self.use_bias))

    def split(self, found: Any) -> list[Array]:
        """Return the gradients for kernel and bias that an operation returned."""
        grad_w, *grad_bias = found if self.use_bias else (found,)
        return [self.from_operand(grad_w, self.kernel.shape), *grad_bias]

    def slid_shape(self, input_shape: Shape, kernel: tuple[int, ...], groups: int) -> Shape:
        """Return the output's shape of a (rows, columns, in, out) kernel slid over images."""
        reach = [dilated(*axis) for axis in zip(self.kernel_size, self.dilation_rate, strict=True)]
        shape = known(input_shape, self.data_format, (reach[0], reach[1]))
        if self.data_format == "channels_first":
            kernel = kernel[3], kernel[2], kernel[0], kernel[1]
        sizes = {**self.sizes(), "groups": groups}
        out = conv_geometry(self.name, shape, kernel, **sizes).out_shape
        return unknown_again(input_shape, out, self.data_format)

    def get_config(self) -> dict[str, Any]:
        both = (*self.kernel_arguments, "bias")
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **{
                f"{name}_initializer": initializers.serialize(getattr(self, f"{name}_initializer"))
                for name in both
            },
            **{f"{name}_regularizer": None for name in both},
            "activity_regularizer": None,
            **{f"{name}_constraint": None for name in both},
        }


class Conv2D(BaseConv):
    """A bank of filters slid over images.

    Parameters
    ----------
    filters : int
        How many output channels.
    kernel_size, strides, dilation_rate : int or (int, int)
        Of the rows and columns.
    padding : {"valid", "same"}
        "same": ceil(size / strides) outputs.
    data_format : {"channels_last", "channels_first"}, optional
        By default `fastconv.config.image_data_format()`.
    groups : int
        Parts that channels and filters are divided into, each on its own.
    activation : str, optional
        See `fastconv.activations`; relu costs nothing here.
    use_bias : bool
        Whether a number a filter is added.
    kernel_initializer, bias_initializer : str or callable
        See `fastconv.initializers`.
    **keywords
        name, dtype, trainable, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these, or the input has no room for the kernel.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv2D(16, 2, strides=2)
    >>> layer(np.zeros((1, 200, 200, 1))).shape, layer.count_params()
    ((1, 100, 100, 16), 80)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        groups: int = 1,
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
        self.groups = positive_int(kind, "groups", groups)
        if self.filters % self.groups:
            raise value_error(kind, "groups", f"a divisor of {self.filters} filters", groups)
        self.kernel_initializer = initializer_of(self, "kernel_initializer", kernel_initializer)

    def sizes(self) -> dict[str, Any]:
        return {**super().sizes(), "groups": self.groups}

    def build(self, input_shape: Shape) -> None:
        shape = self._kernel_shape(input_shape)
        self.make_weights(shape, self.kernel_initializer, self.filters)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.slid_shape(input_shape, self._kernel_shape(input_shape), self.groups)

    def prepared(self) -> Callable[[Array], Array]:
        if type(self).forward is not Conv2D.forward:
            return super().prepared()
        relu = "relu" if self.ends_in_relu else None
        operands = self.kernel_as_operand(), self.biased()
        convolve = ops.prepare_conv2d(*operands, **self.sizes(), activation=relu)
        return convolve if relu else lambda x: self.activation(convolve(x))

    def _kernel_shape(self, input_shape: Shape) -> tuple[int, ...]:
        channels = channels_of(input_shape, self.data_format) or 0
        if channels % self.groups:
            rule = f"of channels that {self.groups} groups divide"
            raise value_error(self.name, "inputs", rule, f"shape {input_shape}")
        return *self.kernel_size, channels // self.groups, self.filters

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "groups": self.groups}
