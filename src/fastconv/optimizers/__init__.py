"""Optimizers: Keras 3's names, formulas and defaults, on NumPy arrays in place."""

from __future__ import annotations

from typing import Any

from ..errors import describe, type_error, value_error
from . import schedules
from .base import Optimizer
from .rules import SGD, Adam, RMSprop
from .state import OptimizerVariable

__all__ = [
    "SGD",
    "Adam",
    "Optimizer",
    "OptimizerVariable",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

_CLASSES: dict[str, Any] = {kind.__name__.lower(): kind for kind in (SGD, RMSprop, Adam)}


def get(identifier: Any) -> Optimizer:
    """Return the optimizer that `identifier` names.

    Parameters
    ----------
    identifier : str, Optimizer, class or dict
        A name (upper and lower case don't matter), an optimizer, which is returned as it is, its
        class, or what `serialize` returned.

    Raises
    ------
    ValueError
        If there is no optimizer of that name.
    TypeError
        If `identifier` is something else.

    Examples
    --------
    >>> get("adam").learning_rate
    0.001
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, str):
        return _named("optimizers.get", identifier)()
    if isinstance(identifier, dict):
        return deserialize(identifier)
    kind: Any = identifier
    if isinstance(kind, type) and issubclass(kind, Optimizer):
        return kind()  # type: ignore[call-arg]
    rule = "a name, an Optimizer or a dict of serialize()"
    raise type_error("optimizers.get", "identifier", rule, describe(identifier))


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Return class and arguments of an optimizer, as Keras writes them; its state is not in it.

    Examples
    --------
    >>> serialize(SGD())["class_name"]
    'SGD'
    """
    if not isinstance(optimizer, Optimizer):
        raise type_error("optimizers.serialize", "optimizer", "an Optimizer", describe(optimizer))
    kind = type(optimizer)
    ours = _CLASSES.get(kind.__name__.lower()) is kind
    return {
        "module": "keras.optimizers" if ours else kind.__module__,
        "class_name": kind.__name__,
        "config": optimizer.get_config(),
        "registered_name": None if ours else kind.__name__,
    }


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Optimizer:
    """Return the optimizer that `serialize` described.

    Parameters
    ----------
    config : dict
        With ``class_name`` and ``config``.
    custom_objects : dict, optional
        Further classes, of optimizers and of schedules, by name.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If `config` is no such dict.

    Examples
    --------
    >>> deserialize({"class_name": "SGD", "config": {"momentum": 0.5}}).momentum
    0.5
    """
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        rule = "a dict with 'class_name'"
        raise type_error("optimizers.deserialize", "config", rule, describe(config))
    name = config["class_name"]
    kind = (custom_objects or {}).get(name) or _named("optimizers.deserialize", name)
    return kind.from_config(dict(config.get("config") or {}), custom_objects)


def _named(function: str, name: str) -> Any:
    kind = _CLASSES.get(name.lower())
    if kind is None:
        known = ", ".join(sorted(kind.__name__ for kind in _CLASSES.values()))
        raise value_error(function, "identifier", f"one of {known}", describe(name))
    return kind
