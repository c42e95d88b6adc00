"""The state of an optimizer and its configuration: what is listed, saved and set again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import describe, type_error, value_error
from .checks import plain_real
from .schedules import LearningRateSchedule, deserialize, serialize


class OptimizerVariable(NamedTuple):
    """One array of an optimizer's state, by Keras's name for it."""

    name: str
    value: np.ndarray


class State:
    """The part of `Optimizer` that has and keeps state; see there."""

    name: str
    weight_decay: float | None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None

    def __init__(self, learning_rate: Any) -> None:
        self._learning_rate = plain_rate(type(self).__name__, learning_rate)
        self.built = False
        self.iterations = 0
        self._variables: list[Any] = []
        # By name, and of each name one for every variable.
        self._slots: dict[str, list[np.ndarray]] = {}

    def _slot_groups(self) -> tuple[tuple[str, ...], ...]:
        """Return the names of the slots; those of a group lie side by side in Keras's order."""
        raise NotImplementedError

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step, as a float; to be set to a number or a schedule."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            rate = rate(self.iterations)
        elif callable(rate):
            rate = rate()
        return (
            rate if type(rate) is float else plain_real(type(self).__name__, "learning_rate", rate)
        )

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        new = plain_rate(type(self).__name__, value)
        if isinstance(self._learning_rate, LearningRateSchedule) and not callable(new):
            rule = "a schedule, as it was one before"
            raise type_error(type(self).__name__, "learning_rate", rule, describe(value))
        self._learning_rate = new

    @property
    def variables(self) -> list[OptimizerVariable]:
        """The state in Keras's order: iterations, learning rate (unless a schedule), slots.

        The slots' arrays are the optimizer's own; the two numbers are copies.
        """
        state = [OptimizerVariable("iteration", np.array(self.iterations, np.int32))]
        if not callable(self._learning_rate):
            rate = np.array(self._learning_rate, np.float32)
            state.append(OptimizerVariable("learning_rate", rate))
        for group in self._slot_groups() if self.built else ():
            for index, variable in enumerate(self._variables):
                path = path_of(variable).replace("/", "_")
                state.extend(
                    OptimizerVariable(f"{path}_{name}", self._slots[name][index]) for name in group
                )
        return state

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Set the state to arrays in the order of `variables`.

        Raises
        ------
        ValueError
            If the optimizer is not built, or number or shapes don't fit. Nothing has been changed.
        """
        kind = type(self).__name__
        state, given = self.variables, [np.asarray(weight) for weight in weights]
        if not self.built:
            raise value_error(kind, "weights", "set after build()", "an optimizer not built")
        if len(given) != len(state):
            raise value_error(kind, "weights", f"{len(state)} arrays", str(len(given)))
        for (name, old), new in zip(state, given, strict=True):
            if old.shape != new.shape:
                raise value_error(kind, f"weights, {name},", f"of shape {old.shape}", describe(new))
        self.iterations = int(given[0])
        if not callable(self._learning_rate):
            # float32 in Keras's files: 0.001 must not come back as 0.0010000000474974513.
            if np.float32(self._learning_rate) != np.float32(given[1]):
                self._learning_rate = plain_real(kind, "learning_rate", float(given[1]))
            given, state = given[1:], state[1:]
        for (_, old), new in zip(state[1:], given[1:], strict=True):
            np.copyto(old, new, casting="same_kind")

    def save_own_variables(self, store: Any) -> None:
        """Write the state to a mapping as Keras does: "0", "1", ... in the order of `variables`."""
        for index, (_, value) in enumerate(self.variables):
            store[str(index)] = value.copy()

    def load_own_variables(self, store: Any) -> None:
        """Read what `save_own_variables` wrote.

        Raises
        ------
        ValueError
            If the optimizer is not built, or number or shapes don't fit. Nothing has been changed.
        """
        names = [str(index) for index in range(len(self.variables))]
        if set(store.keys()) != set(names):
            rule = f"of {len(names)} arrays, '0', '1', ..."
            got = f"{len(store.keys())}; was the optimizer built for the same model?"
            raise value_error(type(self).__name__, "store", rule, got)
        self.set_weights([np.asarray(store[name]) for name in names])

    def get_state(self) -> dict[str, np.ndarray]:
        """Return copies of all that a later step depends on, to resume exactly.

        Returns
        -------
        dict of str to ndarray
            ``"iterations"``, ``"learning_rate"`` unless it is a schedule or a function, and slots
            such as ``"momentum/0"``, numbered as the variables.
        """
        state = {"iterations": np.array(self.iterations, np.int64)}
        if not callable(self._learning_rate):
            state["learning_rate"] = np.array(self._learning_rate, np.float64)
        for name, arrays in self._slots.items():
            state.update({f"{name}/{index}": array.copy() for index, array in enumerate(arrays)})
        return state

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Set what `get_state` returned; the optimizer must be built like the one it came from.

        Raises
        ------
        ValueError
            If names or shapes don't fit. Nothing has been changed.
        """
        kind, own = type(self).__name__, self.get_state()
        if set(own) != set(state):
            differing = ", ".join(sorted(set(own) ^ set(state))[:3])
            raise value_error(kind, "state", "of the same names", f"a difference in {differing}")
        for name, old in own.items():
            if np.shape(state[name]) != old.shape:
                rule = f"of shape {old.shape}"
                raise value_error(kind, f"state[{name!r}]", rule, describe(state[name]))
        for name, arrays in self._slots.items():
            for index, array in enumerate(arrays):
                np.copyto(array, state[f"{name}/{index}"], casting="same_kind")
        self.iterations = int(state["iterations"])
        if "learning_rate" in own:
            self._learning_rate = plain_real(kind, "learning_rate", float(state["learning_rate"]))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this optimizer again, without its state."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            rate = serialize(rate)
        elif callable(rate):
            rule = "a number or a schedule to be written down"
            raise type_error(type(self).__name__, "learning_rate", rule, describe(rate))
        return {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        """Return the optimizer of `get_config`, or of Keras's own."""
        arguments = dict(config)
        if isinstance(arguments.get("learning_rate"), dict):
            arguments["learning_rate"] = deserialize(arguments["learning_rate"], custom_objects)
        return cls(**arguments)


def plain_rate(kind: str, rate: Any) -> Any:
    return rate if callable(rate) else plain_real(kind, "learning_rate", rate)


def path_of(variable: Any) -> str:
    return str(getattr(variable, "path", None) or getattr(variable, "name", "variable"))


def plain_value(kind: str, variable: Any) -> np.ndarray:
    array = getattr(variable, "value", None)
    rule = "a C-contiguous, writeable array of float32 or float64"
    if not isinstance(array, np.ndarray):
        raise type_error(kind, "a variable's value", rule, describe(array))
    if array.dtype not in (np.float32, np.float64) or not array.dtype.isnative:
        raise type_error(kind, f"{path_of(variable)}.value", rule, describe(array))
    if not array.flags.c_contiguous or not array.flags.writeable:
        raise value_error(kind, f"{path_of(variable)}.value", rule, "strided or read-only memory")
    return array
