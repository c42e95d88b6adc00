"""Dropout and batch normalisation: layers that behave otherwise in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import initializers
from ..errors import describe, value_error
from ..geometry import plain_flag, plain_int, plain_real
from ..random import checked_seed
from .base import Layer, initializer_of, plain_sizes, refuse

if TYPE_CHECKING:
    from .base import Array, Saved, Shape, Training


def _fraction(function: str, argument: str, value: object, rule: str, below_one: bool) -> float:
    number = plain_real(function, argument, value, rule)
    if not 0 <= number <= 1 or (below_one and number == 1):
        raise value_error(function, argument, rule, describe(value))
    return number


class Dropout(Layer):
    """In training a share of the elements become 0, and the others larger (Srivastava et al. 2014).

    Parameters
    ----------
    rate : float
        The share, from 0 to 1; what stays is multiplied by 1 / (1 - rate).
    noise_shape : tuple of int or None, optional
        Of the mask, None for the input's size; where it has 1, elements fall together.
    seed : int, optional
        Of a generator that is this layer's alone: the same run again, whatever else is random.
        It goes on from step to step in the model's state of training, and is saved with that; a
        call of the layer by itself begins it anew. By default the generator is the model's.
    **keywords
        name, dtype, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> Dropout(0.5)(np.ones((1, 3)))
    array([[1., 1., 1.]], dtype=float32)
    >>> np.unique(Dropout(0.5, seed=1)(np.ones((1, 99)), training=True))
    array([0., 2.], dtype=float32)
    """

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        kind = type(self).__name__
        self.rate = _fraction(kind, "rate", rate, "a number from 0 to 1", below_one=False)
        self.noise_shape = (
            None if noise_shape is None else plain_sizes(kind, "noise_shape", noise_shape)
        )
        self.seed = None if seed is None else checked_seed(kind, seed)

    def check_input(self, shape: Shape) -> None:
        mask = self.noise_shape
        if mask is None:
            return
        if len(mask) != len(shape) or any(
            size not in (None, 1, whole) and whole is not None
            for size, whole in zip(mask, shape, strict=True)
        ):
            rule = f"of a shape that noise_shape {mask} spreads over"
            raise value_error(self.name, "inputs", rule, f"shape {describe(shape)}")

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        if training is None or self.rate == 0:
            return x, None
        if self.rate == 1:
            return np.zeros_like(x), np.zeros((), x.dtype)
        shape = x.shape
        if self.noise_shape is not None:
            shape = tuple(
                size if given is None else given
                for given, size in zip(self.noise_shape, x.shape, strict=True)
            )
        # 16 random bits tell well enough, and are made in half the time of a float
        dropped = min(round(self.rate * 2**16), 2**16 - 1)
        generator = training.generator_of(self, self.seed)
        kept = generator.integers(0, 2**16, shape, np.uint16) >= dropped
        mask = kept * x.dtype.type(1 / (1 - self.rate))
        return x * mask, mask

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        return (grad if saved is None else grad * saved), []

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rate": self.rate,
            "seed": self.seed,
            "noise_shape": self.noise_shape,
        }


class BatchNormalization(Layer):
    """Every channel shifted and scaled to mean 0 and variance 1 (Ioffe & Szegedy 2015).

    In training by the batch's own mean and variance, else by their moving averages.

    Parameters
    ----------
    axis : int
        Of the channels: -1, or 1 for images that are channels first.
    momentum : float
        The share of a moving average that a step leaves.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether a trained number a channel (beta) is added, and one (gamma) multiplied with.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer :
        See `fastconv.initializers`.
    **keywords
        name, dtype, trainable, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> BatchNormalization(epsilon=0)(np.array([[1.0, 3.0], [5.0, 3.5]]), training=True)[:, 0]
    array([-1.,  1.], dtype=float32)
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: None = None,
        gamma_regularizer: None = None,
        beta_constraint: None = None,
        gamma_constraint: None = None,
        synchronized: bool = False,
        renorm: bool = False,
        renorm_clipping: None = None,
        renorm_momentum: float = 0.99,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        kind = type(self).__name__
        self.axis = plain_int(kind, "axis", axis, "an int")
        self.momentum = _fraction(kind, "momentum", momentum, "a number from 0 to 1", False)
        self.epsilon = _fraction(kind, "epsilon", epsilon, "a small number of at least 0", False)
        self.center = plain_flag(kind, "center", center)
        self.scale = plain_flag(kind, "scale", scale)
        for name, value in (
            ("beta_initializer", beta_initializer),
            ("gamma_initializer", gamma_initializer),
            ("moving_mean_initializer", moving_mean_initializer),
            ("moving_variance_initializer", moving_variance_initializer),
        ):
            setattr(self, name, initializer_of(self, name, value))
        refuse(
            self,
            beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint,
            synchronized=synchronized or None,
            renorm=renorm or None,
            renorm_clipping=renorm_clipping,
        )
        self.renorm_momentum = renorm_momentum

    def check_input(self, shape: Shape) -> None:
        rule = f"of {abs(self.axis)} axes or more"
        if not isinstance(shape, tuple) or not -len(shape) <= self.axis < len(shape):
            raise value_error(self.name, "inputs", rule, f"shape {describe(shape)}")
        channels = shape[self.axis]
        if channels is None or (self.built and channels != self.moving_mean.shape[0]):
            expected = self.moving_mean.shape[0] if self.built else "a known number of"
            rule = f"of {expected} channels along axis {self.axis}"
            raise value_error(self.name, "inputs", rule, f"shape {shape}")

    def build(self, input_shape: Shape) -> None:
        shape = (input_shape[self.axis] or 0,)
        config: Any = self
        if self.scale:
            self.gamma = self.add_weight("gamma", shape, config.gamma_initializer)
        if self.center:
            self.beta = self.add_weight("beta", shape, config.beta_initializer)
        self.moving_mean = self.add_weight(
            "moving_mean", shape, config.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_weight(
            "moving_variance", shape, config.moving_variance_initializer, trainable=False
        )

    def _spread(self, vector: Array, dimensions: int) -> Array:
        shape = [1] * dimensions
        shape[self.axis] = -1
        return vector.reshape(shape)

    def _others(self, dimensions: int) -> tuple[int, ...]:
        return tuple(i for i in range(dimensions) if i != self.axis % dimensions)

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        moves = training is not None and self.trainable
        mean, variance = self.moving_mean.value, self.moving_variance.value
        if moves:
            axes = self._others(x.ndim)
            mean = x.mean(axis=axes)
            variance = np.square(x - self._spread(mean, x.ndim)).mean(axis=axes)
            keep = x.dtype.type(self.momentum)
            for variable, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                variable.value *= keep
                variable.value += new * (1 - keep)
        inverse = 1 / np.sqrt(variance + x.dtype.type(self.epsilon))
        normal = (x - self._spread(mean, x.ndim)) * self._spread(inverse, x.ndim)
        y = normal
        if self.scale:
            y = y * self._spread(self.gamma.value, x.ndim)
        if self.center:
            y = y + self._spread(self.beta.value, x.ndim)
        return y, (normal, inverse, moves)

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        normal, inverse, moved = saved
        axes = self._others(grad.ndim)
        grad_beta = grad.sum(axis=axes)
        grad_gamma = (grad * normal).sum(axis=axes)
        factor = inverse * self.gamma.value if self.scale else inverse
        grad_x = grad
        if moved:
            # the mean and the variance are functions of x too
            count = grad.dtype.type(grad.size // grad_beta.size)
            grad_x = grad - self._spread(grad_beta / count, grad.ndim)
            grad_x -= normal * self._spread(grad_gamma / count, grad.ndim)
        grad_x = grad_x * self._spread(factor, grad.ndim)
        return grad_x, [grad_gamma] * self.scale + [grad_beta] * self.center

    def get_config(self) -> dict[str, Any]:
        names = ("beta", "gamma", "moving_mean", "moving_variance")
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **{
                f"{name}_initializer": initializers.serialize(getattr(self, f"{name}_initializer"))
                for name in names
            },
            **dict.fromkeys(("beta_regularizer", "gamma_regularizer")),
            **dict.fromkeys(("beta_constraint", "gamma_constraint")),
            "synchronized": False,
            "renorm": False,
            "renorm_clipping": None,
            "renorm_momentum": self.renorm_momentum,
        }
