"""What all optimizers share: variables, slots, clipping, decay, state, and the step.

An update is a dozen operations, each of which NumPy would take through the whole array: for a large
one, a dozen times through memory. So they are one kernel, and here stands what it is told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import describe, type_error, value_error
from ..ops.update import Step, update
from .checks import optional_real
from .state import State, path_of, plain_value

# Of a gradient whose squares are summed at a time: they stay in the cache.
BLOCK_BYTES = 131072

# What Keras's own configurations contain beyond our arguments, and when it asks for nothing.
_OFF = {
    "use_ema": (False,),
    "ema_overwrite_frequency": (None,),
    "loss_scale_factor": (None,),
    "gradient_accumulation_steps": (None,),
}


class Optimizer(State):
    """Base of the optimizers: a subclass names its slots, its rule and the rule's numbers.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        A number; a schedule, which is asked with the number of steps made; or a function without
        arguments.
    weight_decay : float, optional
        Before a step every variable loses this part of itself, times the learning rate.
    clipnorm : float, optional
        The longest norm of one variable's gradient; a longer one is scaled.
    clipvalue : float, optional
        The largest absolute value of a gradient's element.
    global_clipnorm : float, optional
        The longest norm of all gradients together. Only one of the three may be given.
    name : str, optional
        By default the class's name in lower case.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, of the wrong kind or unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from fastconv.optimizers import SGD
    >>> variable = SimpleNamespace(name="kernel", value=np.ones(2))
    >>> optimizer = SGD(learning_rate=0.5)
    >>> optimizer.apply([np.array([1.0, 2.0])], [variable])
    >>> variable.value.tolist()
    [0.5, 0.0]
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        kind = type(self).__name__
        _refuse_unknown(kind, kwargs)
        self.name = kind.lower() if name is None else name
        if not isinstance(self.name, str):
            raise type_error(kind, "name", "a str or None", describe(name))
        super().__init__(learning_rate)
        self.weight_decay = optional_real(kind, "weight_decay", weight_decay, above=False)
        self.clipnorm = optional_real(kind, "clipnorm", clipnorm)
        self.clipvalue = optional_real(kind, "clipvalue", clipvalue)
        self.global_clipnorm = optional_real(kind, "global_clipnorm", global_clipnorm)
        clips = {"clipnorm": clipnorm, "clipvalue": clipvalue, "global_clipnorm": global_clipnorm}
        given = [argument for argument, value in clips.items() if value is not None]
        if len(given) > 1:
            rule = "the only one of clipnorm, clipvalue and global_clipnorm"
            raise value_error(kind, given[0], rule, " and ".join(given))

    # What a rule defines, beside the names of its slots.

    def _rule(self, rate: float) -> Step:
        """Return what the next step is, but for clipping and decay."""
        raise NotImplementedError

    # Building and stepping.

    def build(self, variables: Iterable[Any]) -> None:
        """Make the slots, zeros of the variables' shapes; a second call does nothing.

        Parameters
        ----------
        variables : iterable
            Objects whose attribute ``value`` is a C-contiguous array of float32 or float64.

        Raises
        ------
        ValueError, TypeError
            If a variable's array is of another kind, or a variable occurs twice.
        """
        if self.built:
            return
        kept = list(variables)
        arrays = [plain_value(type(self).__name__, variable) for variable in kept]
        if len({id(variable) for variable in kept}) != len(kept):
            raise value_error(type(self).__name__, "variables", "different", "one of them twice")
        names = [name for group in self._slot_groups() for name in group]
        self._slots = {name: [np.zeros_like(array) for array in arrays] for name in names}
        self._variables = kept
        self.built = True

    def apply_gradients(self, grads_and_vars: Iterable[tuple[np.ndarray, Any]]) -> int:
        """Make one step from (gradient, variable) pairs and return how many have been made.

        Examples
        --------
        >>> import numpy as np
        >>> from types import SimpleNamespace
        >>> from fastconv.optimizers import SGD
        >>> variable = SimpleNamespace(name="kernel", value=np.ones(2))
        >>> SGD().apply_gradients(zip([np.ones(2)], [variable]))
        1
        """
        pairs = list(grads_and_vars)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self.iterations

    def apply(self, grads: Sequence[np.ndarray], trainable_variables: Any = None) -> None:
        """Make one step: change the variables' arrays in place.

        Parameters
        ----------
        grads : sequence of ndarray
            One of each variable's shape. They are not modified; another floating type is cast.
        trainable_variables : sequence, optional
            The variables, or some of them; by default all that `build` was called with.

        Raises
        ------
        ValueError
            If the optimizer is not built, or doesn't know a variable, or shapes differ.
        TypeError
            If a gradient is no array of floats. Nothing has been changed in any of these cases.
        """
        kind = type(self).__name__
        gradients = list(grads)
        if not gradients:
            return
        if trainable_variables is not None and not self.built:
            self.build(trainable_variables)
        if not self.built:
            raise value_error(kind, "trainable_variables", "given, or build() called before", None)
        chosen = None if trainable_variables is None else list(trainable_variables)
        indices = self._indices(chosen)
        if len(gradients) != len(indices):
            rule = f"{len(indices)}, one for each variable"
            raise value_error(kind, "grads", rule, str(len(gradients)))
        values = [plain_value(kind, self._variables[index]) for index in indices]
        flat = [
            _plain_gradient(kind, position, *pair)
            for position, pair in enumerate(zip(gradients, values, strict=True))
        ]
        rate = self.learning_rate
        step, factors = self._step(rate), self._factors(flat)
        for index, value, gradient, factor in zip(indices, values, flat, factors, strict=True):
            slots = {name: arrays[index] for name, arrays in self._slots.items()}
            update(step, value, gradient, slots, factor)
        self.iterations += 1

    def _step(self, rate: float) -> Step:
        clip = math.inf if self.clipvalue is None else self.clipvalue
        return self._rule(rate)._replace(clip=clip, decay=(self.weight_decay or 0.0) * rate)

    def _indices(self, variables: list[Any] | None) -> Sequence[int]:
        known = self._variables
        if variables is None or (
            len(variables) == len(known)
            and all(a is b for a, b in zip(variables, known, strict=True))
        ):
            return range(len(known))
        places = {id(variable): index for index, variable in enumerate(known)}
        for variable in variables:
            if id(variable) not in places:
                rule = "the ones that the optimizer was built with"
                got = f"{path_of(variable)!r}, which it doesn't know"
                raise value_error(type(self).__name__, "trainable_variables", rule, got)
        return [places[id(variable)] for variable in variables]

    def _factors(self, gradients: list[np.ndarray]) -> list[float]:
        """Return what each gradient is multiplied by to clip its norm."""
        if self.clipnorm is not None:
            norms = [math.sqrt(_squares(gradient)) for gradient in gradients]
            longest = self.clipnorm
        elif self.global_clipnorm is not None:
            norm = math.sqrt(sum(_squares(gradient) for gradient in gradients))
            norms, longest = [norm] * len(gradients), self.global_clipnorm
            if not math.isfinite(norm):
                # As Keras does, so that a step gone wrong is seen rather than skipped.
                return [math.nan] * len(gradients)
        else:
            return [1.0] * len(gradients)
        return [1.0 if norm <= longest else longest / norm for norm in norms]


def _refuse_unknown(kind: str, arguments: dict[str, Any]) -> None:
    for name, value in arguments.items():
        if name in ("lr", "decay"):
            use = {"lr": "learning_rate", "decay": "learning_rate=schedules.InverseTimeDecay(...)"}
            raise value_error(kind, name, f"given as {use[name]}", f"{name}={describe(value)}")
        if name == "ema_momentum" or value in _OFF.get(name, ()):
            continue
        if name in _OFF:
            rule = f"{_OFF[name][0]} (anything else is not implemented)"
            raise value_error(kind, name, rule, describe(value))
        raise value_error(kind, name, "an argument that exists", f"{name}={describe(value)}")


def _plain_gradient(kind: str, position: int, gradient: Any, value: np.ndarray) -> np.ndarray:
    """Return a gradient flat and of the variable's type; a copy only if it must be."""
    if not isinstance(gradient, np.ndarray) or gradient.dtype.kind != "f":
        raise type_error(kind, f"grads[{position}]", "an array of floats", describe(gradient))
    if gradient.shape != value.shape:
        raise value_error(kind, f"grads[{position}]", f"of shape {value.shape}", describe(gradient))
    return gradient.astype(value.dtype, copy=False).reshape(-1)


def _squares(gradient: np.ndarray) -> float:
    """Return the sum of squares, in pairs within a block and in float64 from block to block.

    Not by BLAS, whose threads would decide the order of the sum.
    """
    total, block = 0.0, BLOCK_BYTES // gradient.itemsize
    for start in range(0, gradient.size, block):
        total += float(np.sum(np.square(gradient[start : start + block])))
    return total
