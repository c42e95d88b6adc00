"""What weights are before training: zeros, ones, constants and random numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import serialization
from .config import floatx
from .errors import describe, type_error, value_error
from .geometry import plain_real
from .random import checked_seed, new_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]


class Initializer:
    """Makes an array of a shape; called as ``initializer(shape, dtype=None)``."""

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Array:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal initializer."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """Return the initializer of a configuration."""
        return cls(**config)


class Zeros(Initializer):
    """All weights 0."""

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Array:
        return np.zeros(shape, dtype or floatx())


class Ones(Initializer):
    """All weights 1."""

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Array:
        return np.ones(shape, dtype or floatx())


class Constant(Initializer):
    """All weights `value`.

    Parameters
    ----------
    value : float
        A number.
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = _number("Constant", "value", value)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Array:
        return np.full(shape, self.value, dtype or floatx())

    def get_config(self) -> dict[str, Any]:
        return {"value": self.value}


class RandomInitializer(Initializer):
    """An initializer with a seed: the same numbers each time; None for others each time."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = None if seed is None else checked_seed(type(self).__name__, seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}

    def _uniform(self, low: float, high: float, shape: Sequence[int], dtype: str | None) -> Array:
        return new_generator(self.seed).uniform(low, high, shape).astype(dtype or floatx())

    def _normal(
        self, mean: float, stddev: float, shape: Sequence[int], dtype: str | None, cut: bool
    ) -> Array:
        generator = new_generator(self.seed)
        values = generator.standard_normal(shape)
        # What lies beyond two deviations is drawn again.
        far = np.flatnonzero(np.abs(values) > 2) if cut else np.empty(0, int)
        while far.size:
            values.flat[far] = generator.standard_normal(far.size)
            far = far[np.abs(values.flat[far]) > 2]
        return (values * stddev + mean).astype(dtype or floatx())


class RandomUniform(RandomInitializer):
    """Numbers spread evenly from `minval` to `maxval`."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        name = type(self).__name__
        self.minval = _number(name, "minval", minval)
        self.maxval = _number(name, "maxval", maxval)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Array:
        return self._uniform(self.minval, self.maxval, shape, dtype)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed, "minval": self.minval, "maxval": self.maxval}


class RandomNormal(RandomInitializer):
    """Numbers of a normal distribution."""

    _cut = False

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        name = type(self).__name__
        self.mean = _number(name, "mean", mean)
        self.stddev = _number(name, "stddev", stddev)
        if self.stddev < 0:
            raise value_error(name, "stddev", "a number of at least 0", describe(stddev))

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Array:
        return self._normal(self.mean, self.stddev, shape, dtype, self._cut)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed, "mean": self.mean, "stddev": self.stddev}


class TruncatedNormal(RandomNormal):
    """Numbers of a normal distribution, none beyond two standard deviations."""

    _cut = True


_DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")
# What is left of the deviation of a normal distribution that is cut at two of them.
_DEVIATION_LEFT = 0.87962566103423978


class VarianceScaling(RandomInitializer):
    """Numbers whose variance is `scale` over the number of a unit's inputs, outputs, or their mean.

    Parameters
    ----------
    scale : float
        Larger than 0.
    mode : {"fan_in", "fan_out", "fan_avg"}
        What it is divided by.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        "normal" is the first of these.
    seed : int, optional
        For the same numbers each time.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        name = type(self).__name__
        super().__init__(seed)
        self.scale = _number(name, "scale", scale)
        if self.scale <= 0:
            raise value_error(name, "scale", "a number above 0", describe(scale))
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise value_error(name, "mode", "'fan_in', 'fan_out' or 'fan_avg'", describe(mode))
        distribution = _DISTRIBUTIONS[0] if distribution == "normal" else distribution
        if distribution not in _DISTRIBUTIONS:
            rule = " or ".join(map(repr, _DISTRIBUTIONS))
            raise value_error(name, "distribution", rule, describe(distribution))
        self.mode, self.distribution = mode, distribution

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Array:
        fan_in, fan_out = _fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return self._uniform(-limit, limit, shape, dtype)
        cut = self.distribution == "truncated_normal"
        stddev = math.sqrt(variance) / (_DEVIATION_LEFT if cut else 1)
        return self._normal(0.0, stddev, shape, dtype, cut)

    def get_config(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
        }


def _number(function: str, argument: str, value: object) -> float:
    """Return a number as a float."""
    number = plain_real(function, argument, value, "a number")
    if math.isnan(number):
        raise value_error(function, argument, "a number", describe(value))
    return number


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return how many inputs and outputs a unit has; of kernels (rows, columns, in, out)."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


class _Fixed(VarianceScaling):
    _arguments: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._arguments, seed=seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotUniform(_Fixed):
    """Uniform within sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010): layers' default."""

    _arguments = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Fixed):
    """Normal of variance 2 / (inputs + outputs) (Glorot & Bengio 2010)."""

    _arguments = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Fixed):
    """Uniform within sqrt(6 / inputs) (He et al. 2015), for relu."""

    _arguments = (2.0, "fan_in", "uniform")


class HeNormal(_Fixed):
    """Normal of variance 2 / inputs (He et al. 2015), for relu."""

    _arguments = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Fixed):
    """Uniform within sqrt(3 / inputs) (LeCun et al. 1998)."""

    _arguments = (1.0, "fan_in", "uniform")


class LecunNormal(_Fixed):
    """Normal of variance 1 / inputs (LeCun et al. 1998)."""

    _arguments = (1.0, "fan_in", "truncated_normal")


_CLASSES: dict[str, type[Initializer]] = {
    cls.__name__: cls
    for cls in (
        *(Zeros, Ones, Constant, RandomUniform, RandomNormal, TruncatedNormal, VarianceScaling),
        *(GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal),
    )
}


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


_NAMES = {**{_snake(name): cls for name, cls in _CLASSES.items()}, **_CLASSES}


def get(
    identifier: object, function: str = "get", argument: str = "identifier"
) -> Callable[..., Array]:
    """Return the initializer of a name, a description, or the object itself.

    Parameters
    ----------
    identifier : str, dict, Initializer or callable
        A name such as "glorot_uniform" or "GlorotUniform"; what `serialize` returned; a callable
        that takes (shape, dtype=...).
    function, argument : str
        What an error names.

    Examples
    --------
    >>> get("zeros")((2,), "float64")
    array([0., 0.])
    """
    if isinstance(identifier, str):
        if identifier not in _NAMES:
            raise value_error(function, argument, "the name of an initializer", repr(identifier))
        return _NAMES[identifier]()
    if isinstance(identifier, dict):
        # axes that Keras writes and does not use
        config = identifier.get("config", {})
        if isinstance(config, dict):
            config = {
                key: value
                for key, value in config.items()
                if not (key in ("input_axes", "output_axes") and value is None)
            }
        classes: dict[str, Any] = _CLASSES
        return serialization.deserialize(
            function, argument, {**identifier, "config": config}, classes
        )
    if callable(identifier):
        return identifier
    raise type_error(function, argument, "a name or an initializer", describe(identifier))


def serialize(initializer: object) -> dict[str, Any]:
    """Return the description of an initializer of this module, for JSON."""
    if type(initializer).__name__ not in _CLASSES:
        rule = "one of fastconv.initializers, to be saved"
        raise type_error("serialize", "initializer", rule, describe(initializer))
    return serialization.serialize(initializer, "initializers")
