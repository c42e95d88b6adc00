"""Functions between layers, each with its slope from the output alone: nothing else is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import describe, type_error, value_error
from .ops.run import relu_gradient

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Activation:
    """A function of arrays; `gradient(grad, y)` is the gradient of x where y is its output."""

    name: str

    def __call__(self, x: Array) -> Array:
        raise NotImplementedError

    def gradient(self, grad: Array, y: Array) -> Array:
        """Return the gradient for x, of the gradient for y and of y."""
        raise NotImplementedError

    def __reduce__(self) -> Any:
        # A copy is the same object: layers ask whether an activation is relu.
        if _NAMES.get(self.name) is self:
            return get, (self.name,)
        return super().__reduce__()

    def __repr__(self) -> str:
        return f"<activation {self.name}>"


class _Linear(Activation):
    name = "linear"

    def __call__(self, x: Array) -> Array:
        return x

    def gradient(self, grad: Array, y: Array) -> Array:
        return grad


class _Relu(Activation):
    name = "relu"

    def __call__(self, x: Array) -> Array:
        return np.maximum(x, 0)

    def gradient(self, grad: Array, y: Array) -> Array:
        return relu_gradient(grad, y)


class _Relu6(Activation):
    name = "relu6"

    def __call__(self, x: Array) -> Array:
        return np.clip(x, 0, 6)

    def gradient(self, grad: Array, y: Array) -> Array:
        return np.where((y > 0) & (y < 6), grad, grad.dtype.type(0))


class _LeakyRelu(Activation):
    name = "leaky_relu"
    slope = 0.2

    def __call__(self, x: Array) -> Array:
        return np.where(x > 0, x, x.dtype.type(self.slope) * x)

    def gradient(self, grad: Array, y: Array) -> Array:
        return np.where(y > 0, grad, grad.dtype.type(self.slope) * grad)


class _Elu(Activation):
    name = "elu"

    def __call__(self, x: Array) -> Array:
        return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))

    def gradient(self, grad: Array, y: Array) -> Array:
        return np.where(y > 0, grad, grad * (y + 1))


class _Softplus(Activation):
    name = "softplus"

    def __call__(self, x: Array) -> Array:
        return np.logaddexp(x, 0)

    def gradient(self, grad: Array, y: Array) -> Array:
        return grad * -np.expm1(-y)


class _Sigmoid(Activation):
    name = "sigmoid"

    def __call__(self, x: Array) -> Array:
        # exp of what is not positive: it does not overflow
        small = np.exp(-np.abs(x))
        return np.where(x >= 0, 1, small) / (1 + small)

    def gradient(self, grad: Array, y: Array) -> Array:
        return grad * y * (1 - y)


class _Tanh(Activation):
    name = "tanh"

    def __call__(self, x: Array) -> Array:
        return np.tanh(x)

    def gradient(self, grad: Array, y: Array) -> Array:
        return grad * (1 - y * y)


class Softmax(Activation):
    """Shares that add up to 1 along an axis."""

    name = "softmax"

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def __call__(self, x: Array) -> Array:
        y = np.exp(x - x.max(axis=self.axis, keepdims=True))
        y /= y.sum(axis=self.axis, keepdims=True)
        return y

    def gradient(self, grad: Array, y: Array) -> Array:
        product = grad * y
        return product - y * product.sum(axis=self.axis, keepdims=True)


linear, relu, relu6, leaky_relu = _Linear(), _Relu(), _Relu6(), _LeakyRelu()
elu, softplus, sigmoid, tanh, softmax = _Elu(), _Softplus(), _Sigmoid(), _Tanh(), Softmax()
_NAMES = {
    activation.name: activation
    for activation in (linear, relu, relu6, leaky_relu, elu, softplus, sigmoid, tanh, softmax)
}


def get(identifier: object, function: str = "get", argument: str = "identifier") -> Activation:
    """Return the activation of a name; None is "linear".

    Parameters
    ----------
    identifier : str, Activation or None
        "linear", "relu", "relu6", "leaky_relu", "elu", "softplus", "sigmoid", "tanh" or "softmax".
    function, argument : str
        What an error names.

    Examples
    --------
    >>> import numpy as np
    >>> get("relu")(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    if identifier is None:
        return linear
    if isinstance(identifier, Activation):
        return identifier
    rule = "None, " + ", ".join(map(repr, _NAMES))
    if not isinstance(identifier, str):
        raise type_error(function, argument, rule, describe(identifier))
    if identifier not in _NAMES:
        raise value_error(function, argument, rule, describe(identifier))
    return _NAMES[identifier]


def serialize(activation: Activation) -> str:
    """Return the name of an activation."""
    return activation.name
