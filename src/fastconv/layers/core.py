"""Input, Dense, and functions of single elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import activations, initializers
from ..errors import describe, value_error
from ..geometry import plain_flag, plain_int, plain_real
from ..ops import dense
from .base import Layer, initializer_of, plain_sizes, positive_int, refuse
from .graph import Node, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Array, Saved, Shape, Training, Variable


class InputLayer(Layer):
    """Where arrays enter a graph; `Input` makes one.

    Parameters
    ----------
    shape : tuple of int or None
        Of one sample.
    batch_size : int, optional
        How many samples there will be; see `Input`.
    batch_shape : tuple of int or None, optional
        The shape with the samples in front, instead of both.
    **keywords
        name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.
    """

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        *,
        batch_shape: Sequence[int | None] | None = None,
        sparse: bool = False,
        ragged: bool = False,
        optional: bool = False,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        kind = type(self).__name__
        for name, flag in (("sparse", sparse), ("ragged", ragged), ("optional", optional)):
            if flag:
                raise value_error(kind, name, "False", describe(flag))
        if (shape is None) == (batch_shape is None):
            raise TypeError(f"{kind}: either shape or batch_shape is needed")
        if batch_shape is None:
            samples = None if batch_size is None else positive_int(kind, "batch_size", batch_size)
            self.batch_shape: Shape = (samples, *plain_sizes(kind, "shape", shape))
        else:
            if batch_size is not None:
                rule = "None beside a batch_shape"
                raise value_error(kind, "batch_size", rule, describe(batch_size))
            self.batch_shape = plain_sizes(kind, "batch_shape", batch_shape)
            if not self.batch_shape:
                raise value_error(kind, "batch_shape", "a tuple with the samples in front", "()")
        self.built = True
        self.build_shape = self.batch_shape
        Node(self, [], [self.batch_shape], single=True)

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        return x, None

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        return grad, []

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        Node(self, [], [self.batch_shape], single=True)

    @property
    def input(self) -> Tensor:
        return self.nodes[0].outputs[0]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": config["name"],
            "optional": False,
        }


def Input(
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    *,
    batch_shape: Sequence[int | None] | None = None,
    dtype: str | None = None,
    name: str | None = None,
) -> Tensor:
    """Return a symbolic tensor to call layers on.

    Parameters
    ----------
    shape : tuple of int or None
        Of one sample; None for a size to be known later.
    batch_size : int, optional
        How many samples there will be. It is shown and saved; like Keras's, models take other
        numbers too, of a last batch for instance.
    batch_shape : tuple, optional
        The shape with the samples in front, instead of both.
    dtype : str, optional
        By default `fastconv.config.floatx()`.
    name : str, optional
        Of the layer.

    Returns
    -------
    Tensor
        Its shape has `batch_size` for the samples, or None.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> Input((28, 28, 1)).shape, Input((28, 28, 1), batch_size=8).shape
    ((None, 28, 28, 1), (8, 28, 28, 1))
    """
    layer = InputLayer(shape, batch_size, batch_shape=batch_shape, dtype=dtype, name=name)
    return layer.nodes[0].outputs[0]


class Dense(Layer):
    """A matrix product over the last axis: ``activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        How many outputs.
    activation : str, optional
        See `fastconv.activations`.
    use_bias : bool
        Whether a number a unit is added.
    kernel_initializer, bias_initializer : str or callable
        See `fastconv.initializers`; the kernel is (inputs, units).
    **keywords
        name, dtype, trainable, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these, or the input's last axis is not that of the kernel.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Dense(2, kernel_initializer="ones")
    >>> layer(np.arange(6.0).reshape(2, 3))
    array([[ 3.,  3.],
           [12., 12.]], dtype=float32)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: None = None,
        bias_regularizer: None = None,
        activity_regularizer: None = None,
        kernel_constraint: None = None,
        bias_constraint: None = None,
        lora_rank: None = None,
        quantization_config: None = None,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        kind = type(self).__name__
        self.units = positive_int(kind, "units", units)
        self.activation = activations.get(activation, kind, "activation")
        self.use_bias = plain_flag(kind, "use_bias", use_bias)
        self.kernel_initializer = initializer_of(self, "kernel_initializer", kernel_initializer)
        self.bias_initializer = initializer_of(self, "bias_initializer", bias_initializer)
        refuse(
            self,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            lora_rank=lora_rank,
            quantization_config=quantization_config,
        )
        self.kernel: Variable
        self.bias: Variable | None = None

    def check_input(self, shape: Shape) -> None:
        if not isinstance(shape, tuple) or len(shape) < 2 or shape[-1] is None:
            rule = "of two axes or more, the last of a known size"
            raise value_error(self.name, "inputs", rule, f"shape {describe(shape)}")
        if self.built and shape[-1] != self.kernel.shape[0]:
            rule = f"of {self.kernel.shape[0]} elements along the last axis"
            raise value_error(self.name, "inputs", rule, f"shape {shape}")

    def build(self, input_shape: Shape) -> None:
        shape = (input_shape[-1] or 0, self.units)
        self.kernel = self.add_weight("kernel", shape, self.kernel_initializer)
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.units,), self.bias_initializer)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return *input_shape[:-1], self.units

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        bias = None if self.bias is None else self.bias.value
        y = self.activation(dense.dense(x, self.kernel.value, bias))
        return y, (x, y)

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        x, y = saved
        grad = self.activation.gradient(grad, y)
        return dense.dense_grad_x(grad, self.kernel.value), self._kernel_gradients(grad, x)

    def weight_gradients(self, grad: Array, saved: Saved) -> list[Array]:
        x, y = saved
        return self._kernel_gradients(self.activation.gradient(grad, y), x)

    def _kernel_gradients(self, grad: Array, x: Array) -> list[Array]:
        found = [dense.dense_grad_w(grad, x)]
        return [*found, grad.reshape(-1, self.units).sum(axis=0)] if self.use_bias else found

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            **dict.fromkeys(("kernel_regularizer", "bias_regularizer")),
            **dict.fromkeys(("kernel_constraint", "bias_constraint")),
        }


class Activation(Layer):
    """A function of every element, or softmax over the last axis.

    Parameters
    ----------
    activation : str
        See `fastconv.activations`.
    **keywords
        name, dtype, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If there is no such function.

    Examples
    --------
    >>> import numpy as np
    >>> Activation("relu")(np.array([[-1.0, 2.0]]))
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: Any, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.activation = activations.get(activation, type(self).__name__, "activation")

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        y = self.activation(x)
        return y, y

    @property
    def ends_in_relu(self) -> bool:
        return self.activation is activations.relu

    def forget_output(self, saved: Saved) -> Saved:
        return None

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        return (grad if saved is None else self.activation.gradient(grad, saved)), []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class ReLU(Layer):
    """The positive part of every element, with a slope and a limit if asked for.

    Parameters
    ----------
    max_value : float, optional
        Larger results are this.
    negative_slope : float
        What elements below `threshold` are multiplied by, after it was subtracted.
    threshold : float
        Elements from here on pass.
    **keywords
        name, dtype, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is below 0.

    Examples
    --------
    >>> import numpy as np
    >>> ReLU(max_value=1, negative_slope=0.5)(np.array([[-1.0, 0.5, 2.0]]))
    array([[-0.5,  0.5,  1. ]], dtype=float32)
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        kind, rule = type(self).__name__, "a number of at least 0"

        def checked(name: str, value: object) -> float:
            number = plain_real(kind, name, value, rule)
            if not number >= 0:
                raise value_error(kind, name, rule, describe(value))
            return number

        self.max_value = None if max_value is None else checked("max_value", max_value)
        self.negative_slope = checked("negative_slope", negative_slope)
        self.threshold = checked("threshold", threshold)

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        kind = x.dtype.type
        low = kind(self.negative_slope) * (x - kind(self.threshold))
        y = np.where(x >= kind(self.threshold), x, low)
        return (y if self.max_value is None else np.minimum(y, kind(self.max_value))), x

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        kind = grad.dtype.type
        # at 0 itself, as of the activation, nothing passes
        passes = saved > kind(self.threshold)
        if self.max_value is not None:
            passes &= saved < kind(self.max_value)
            below = saved <= kind(self.threshold)
            return np.where(passes, grad, below * (kind(self.negative_slope) * grad)), []
        return np.where(passes, grad, kind(self.negative_slope) * grad), []

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class Softmax(Layer):
    """Shares that add up to 1 along an axis.

    Parameters
    ----------
    axis : int
        Which one.
    **keywords
        name, dtype, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If it is not an int.

    Examples
    --------
    >>> import numpy as np
    >>> Softmax()(np.zeros((1, 4)))
    array([[0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """

    def __init__(self, axis: int = -1, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.axis = plain_int(type(self).__name__, "axis", axis, "an int")
        self._function = activations.Softmax(self.axis)

    def check_input(self, shape: Shape) -> None:
        if not -len(shape) <= self.axis < len(shape):
            rule = f"of axes that {self.axis} is one of"
            raise value_error(self.name, "inputs", rule, f"shape {describe(shape)}")

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        y = self._function(x)
        return y, y

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        return self._function.gradient(grad, saved), []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
