"""Learning rates that depend on the number of steps made.

A schedule is called with that number and returns a float; the formulas are Keras's, computed in
double precision.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from ..errors import describe, type_error, value_error
from ..geometry.plain import plain_flag, plain_int
from .checks import optional_real, plain_real

__all__ = [
    "CosineDecay",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule:
    """What a learning rate is that changes from step to step: a subclass defines `__call__`.

    Examples
    --------
    >>> class Halved(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.5 ** int(step)
    >>> Halved()(2)
    0.25
    """

    def __call__(self, step: Any) -> float:
        """Return the learning rate after `step` steps."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step)")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this schedule again."""
        raise NotImplementedError(f"{type(self).__name__} must define get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        """Return the schedule of `get_config`."""
        return cls(**config)


class _Decay(LearningRateSchedule):
    """A rate that begins at one value and takes a time to decay."""

    def __init__(self, initial_learning_rate: float, decay_steps: float, name: str) -> None:
        kind = type(self).__name__
        self.initial_learning_rate = plain_real(
            kind, "initial_learning_rate", initial_learning_rate
        )
        self.decay_steps = plain_real(kind, "decay_steps", decay_steps, above=True)
        self.name = name

    def get_config(self) -> dict[str, Any]:
        steps = int(self.decay_steps) if self.decay_steps.is_integer() else self.decay_steps
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": steps,
            "name": self.name,
        }


class ExponentialDecay(_Decay):
    """initial_learning_rate * decay_rate^(step / decay_steps).

    Parameters
    ----------
    initial_learning_rate : float
        The rate of step 0.
    decay_steps : float
        After how many steps the rate has been multiplied by `decay_rate`.
    decay_rate : float
        The factor.
    staircase : bool
        Whether the exponent is rounded down to a whole number.
    name : str
        A name.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or of the wrong kind.

    Examples
    --------
    >>> ExponentialDecay(1.0, 10, 0.5)(20)
    0.25
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.decay_rate = plain_real(type(self).__name__, "decay_rate", decay_rate)
        self.staircase = plain_flag(type(self).__name__, "staircase", staircase)

    def _periods(self, step: Any) -> float:
        periods = float(step) / self.decay_steps
        return float(math.floor(periods)) if self.staircase else periods

    def __call__(self, step: Any) -> float:
        return self.initial_learning_rate * self.decay_rate ** self._periods(step)

    def get_config(self) -> dict[str, Any]:
        more = {"decay_rate": self.decay_rate, "staircase": self.staircase}
        return {**super().get_config(), **more}


class InverseTimeDecay(ExponentialDecay):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps).

    Parameters
    ----------
    initial_learning_rate, decay_steps, decay_rate : float
        As in the formula.
    staircase : bool
        Whether step / decay_steps is rounded down to a whole number.
    name : str
        A name.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or of the wrong kind.

    Examples
    --------
    >>> InverseTimeDecay(1.0, 10, 1.0)(10)
    0.5
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: Any) -> float:
        return self.initial_learning_rate / (1.0 + self.decay_rate * self._periods(step))


class PolynomialDecay(_Decay):
    """(initial - end) * (1 - step / decay_steps)^power + end, then end for ever.

    Parameters
    ----------
    initial_learning_rate, decay_steps, end_learning_rate, power : float
        As in the formula.
    cycle : bool
        Whether, after the end, the rate jumps up and decays again, over a time longer by
        `decay_steps` each time.
    name : str
        A name.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or of the wrong kind.

    Examples
    --------
    >>> PolynomialDecay(1.0, 10, end_learning_rate=0.0)(5)
    0.5
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        kind = type(self).__name__
        self.end_learning_rate = plain_real(kind, "end_learning_rate", end_learning_rate)
        self.power = plain_real(kind, "power", power)
        self.cycle = plain_flag(kind, "cycle", cycle)

    def __call__(self, step: Any) -> float:
        now, whole = float(step), self.decay_steps
        if self.cycle:
            whole *= max(1.0, float(math.ceil(now / whole)))
        else:
            now = min(now, whole)
        fall = self.initial_learning_rate - self.end_learning_rate
        return fall * (1.0 - now / whole) ** self.power + self.end_learning_rate

    def get_config(self) -> dict[str, Any]:
        more = {
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
        }
        return {**super().get_config(), **more}


class CosineDecay(_Decay):
    """Half a cosine from a rate down to `alpha` times it, after an optional warm-up.

    Parameters
    ----------
    initial_learning_rate : float
        The rate of step 0.
    decay_steps : float
        How long the decay takes, the warm-up not counted.
    alpha : float
        The part of the rate that is left at the end.
    name : str
        A name.
    warmup_target : float, optional
        A rate that is first approached linearly, and from which the decay then starts.
    warmup_steps : int
        How many steps that takes.

    Raises
    ------
    ValueError, TypeError
        If a number is out of range or of the wrong kind.

    Notes
    -----
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017).

    Examples
    --------
    >>> CosineDecay(1.0, 10)(5)
    0.5
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        kind = type(self).__name__
        self.alpha = plain_real(kind, "alpha", alpha)
        self.warmup_target = optional_real(kind, "warmup_target", warmup_target, above=False)
        rule = "an int of at least 0"
        self.warmup_steps = plain_int(kind, "warmup_steps", warmup_steps, rule)
        if self.warmup_steps < 0:
            raise value_error(kind, "warmup_steps", rule, describe(warmup_steps))

    def __call__(self, step: Any) -> float:
        now, top = float(step), self.initial_learning_rate
        if self.warmup_target is not None:
            if now < self.warmup_steps:
                return (self.warmup_target - top) * (now / self.warmup_steps) + top
            now, top = now - self.warmup_steps, self.warmup_target
        done = min(now, self.decay_steps) / self.decay_steps
        cosine = 0.5 * (1.0 + math.cos(math.pi * done))
        return top * ((1.0 - self.alpha) * cosine + self.alpha)

    def get_config(self) -> dict[str, Any]:
        more = {
            "alpha": self.alpha,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }
        return {**super().get_config(), **more}


class PiecewiseConstantDecay(LearningRateSchedule):
    """values[0] up to and with step boundaries[0], then values[1], and so on.

    Parameters
    ----------
    boundaries : sequence of float
        Numbers of steps, increasing.
    values : sequence of float
        Rates, one more than boundaries.
    name : str
        A name.

    Raises
    ------
    ValueError, TypeError
        If the lengths don't fit, or a number is out of range or of the wrong kind.

    Examples
    --------
    >>> schedule = PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.1])
    >>> schedule(100), schedule(101), schedule(1000)
    (1.0, 0.5, 0.1)
    """

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstant",
    ) -> None:
        kind = type(self).__name__
        for argument, given in (("boundaries", boundaries), ("values", values)):
            if not isinstance(given, (list, tuple)):
                raise type_error(kind, argument, "a list or a tuple of numbers", describe(given))
        self.boundaries = list(boundaries)
        self.values = [plain_real(kind, "values", value) for value in values]
        self._steps = [plain_real(kind, "boundaries", value) for value in boundaries]
        self.name = name
        if not self._steps or sorted(set(self._steps)) != self._steps:
            raise value_error(kind, "boundaries", "increasing", describe(boundaries))
        if len(self.values) != len(self._steps) + 1:
            rule = f"of length {len(self._steps) + 1}, one more than boundaries"
            raise value_error(kind, "values", rule, describe(values))

    def __call__(self, step: Any) -> float:
        return self.values[bisect_left(self._steps, float(step))]

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


_CLASSES: dict[str, type[LearningRateSchedule]] = {
    kind.__name__: kind
    for kind in (
        CosineDecay,
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
    )
}


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """Return class and arguments of a schedule, as Keras writes them.

    Examples
    --------
    >>> serialize(ExponentialDecay(1.0, 10, 0.5))["class_name"]
    'ExponentialDecay'
    """
    kind = type(learning_rate_schedule)
    ours = _CLASSES.get(kind.__name__) is kind
    return {
        "module": "keras.optimizers.schedules" if ours else kind.__module__,
        "class_name": kind.__name__,
        "config": learning_rate_schedule.get_config(),
        "registered_name": None if ours else kind.__name__,
    }


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> LearningRateSchedule:
    """Return the schedule that `serialize` described.

    Raises
    ------
    ValueError
        If its class is unknown.
    TypeError
        If `config` is no dict with ``class_name``.

    Examples
    --------
    >>> deserialize(serialize(ExponentialDecay(1.0, 10, 0.5)))(10)
    0.5
    """
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        rule = "a dict with 'class_name'"
        raise type_error("schedules.deserialize", "config", rule, describe(config))
    name = config["class_name"]
    kind = (custom_objects or {}).get(name) or _CLASSES.get(name)
    if kind is None:
        rule = "one of " + ", ".join(_CLASSES)
        raise value_error("schedules.deserialize", "class_name", rule, describe(name))
    return kind.from_config(dict(config.get("config") or {}))
