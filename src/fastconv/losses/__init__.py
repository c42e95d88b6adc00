"""Losses: Keras 3's names, formulas and defaults, with gradients of their own."""

from __future__ import annotations

from typing import Any

from ..errors import describe, type_error, value_error
from .base import Loss
from .crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from .regression import (
    MeanAbsoluteError,
    MeanSquaredError,
    mean_absolute_error,
    mean_squared_error,
)

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "deserialize",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "serialize",
    "sparse_categorical_crossentropy",
]

_OF_FUNCTION: dict[Any, type[Loss]] = {
    binary_crossentropy: BinaryCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    mean_squared_error: MeanSquaredError,
    mean_absolute_error: MeanAbsoluteError,
}
_CLASSES: dict[str, type[Loss]] = {
    **{kind.__name__: kind for kind in _OF_FUNCTION.values()},
    **{function.__name__: kind for function, kind in _OF_FUNCTION.items()},
    "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
}


def get(identifier: Any) -> Loss:
    """Return the loss that `identifier` names.

    Parameters
    ----------
    identifier : str, Loss, class, function or dict
        A name (``"mse"``, ``"mean_squared_error"``, ``"MeanSquaredError"``), a loss or its class,
        a function of this module, or what `serialize` returned.

    Returns
    -------
    Loss
        A loss is returned as it is. One made from a name bears that name.

    Raises
    ------
    ValueError
        If there is no loss of that name.
    TypeError
        For another function: it can't be differentiated; derive a class from `Loss` instead.

    Examples
    --------
    >>> get("mse")
    MeanSquaredError(name='mse', reduction='sum_over_batch_size')
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, str):
        loss = _named("losses.get", identifier)()
        loss.name = str(identifier)
        return loss
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    kind = _OF_FUNCTION.get(identifier) if callable(identifier) else None
    if kind is None:
        rule = "a name, a Loss or a function of this module"
        if callable(identifier):
            rule += " (others have no gradient: define call_and_gradient in a subclass of Loss)"
        raise type_error("losses.get", "identifier", rule, describe(identifier))
    return kind()


def serialize(loss: Loss) -> dict[str, Any]:
    """Return class and arguments of a loss, as Keras writes them.

    Examples
    --------
    >>> serialize(MeanSquaredError())["class_name"]
    'MeanSquaredError'
    """
    if not isinstance(loss, Loss):
        raise type_error("losses.serialize", "loss", "a Loss", describe(loss))
    kind = type(loss)
    ours = _CLASSES.get(kind.__name__) is kind
    return {
        "module": "keras.losses" if ours else kind.__module__,
        "class_name": kind.__name__,
        "config": loss.get_config(),
        "registered_name": None if ours else kind.__name__,
    }


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Loss:
    """Return the loss that `serialize` described, or of a name.

    Parameters
    ----------
    config : dict or str
        A dict with ``class_name`` and ``config``.
    custom_objects : dict, optional
        Further classes by name.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If `config` is neither a dict nor a str.

    Examples
    --------
    >>> deserialize({"class_name": "MeanSquaredError", "config": {"reduction": "sum"}})
    MeanSquaredError(name='mean_squared_error', reduction='sum')
    """
    if isinstance(config, str):
        return get(config)
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        rule = "a name or a dict with 'class_name'"
        raise type_error("losses.deserialize", "config", rule, describe(config))
    name = config["class_name"]
    kind = (custom_objects or {}).get(name) or _named("losses.deserialize", name)
    return kind.from_config(dict(config.get("config") or {}))


def _named(function: str, name: str) -> type[Loss]:
    kind = _CLASSES.get(name)
    if kind is None:
        known = ", ".join(sorted(kind.__name__ for kind in _OF_FUNCTION.values()))
        raise value_error(function, "identifier", f"one of {known}", describe(name))
    return kind
