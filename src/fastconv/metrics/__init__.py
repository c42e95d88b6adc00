"""Metrics: Keras 3's names, formulas and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import describe, type_error, value_error
from ..losses import Loss, mean_absolute_error, mean_squared_error
from .base import Mean, MeanMetricWrapper, Metric, snake_case
from .classes import (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from .functions import (
    accuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "Mean",
    "MeanAbsoluteError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "deserialize",
    "direction_of",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "resolve",
    "serialize",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]

_ALL: tuple[Any, ...] = (
    *(Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy),
    *(TopKCategoricalAccuracy, SparseTopKCategoricalAccuracy),
    *(BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy),
    *(MeanSquaredError, MeanAbsoluteError, Mean),
)
_CLASSES: dict[str, Any] = {
    **{kind.__name__: kind for kind in _ALL},
    **{snake_case(kind.__name__): kind for kind in _ALL},
    "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "MAE": MeanAbsoluteError,
}
_BY_SHAPE = {
    "accuracy": (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy),
    "acc": (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy),
    "crossentropy": (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy),
    "ce": (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy),
}


def get(identifier: Any) -> Metric:
    """Return the metric that `identifier` names.

    Parameters
    ----------
    identifier : str, Metric, class, function or dict
        A name (``"mse"``, ``"mean_squared_error"``, ``"MeanSquaredError"``), a metric, which is
        returned as it is, its class, a function of targets and predictions, or what `serialize`
        returned.

    Raises
    ------
    ValueError
        If there is no metric of that name.
    TypeError
        If `identifier` is something else.

    Examples
    --------
    >>> get("mse")
    <MeanSquaredError name=mean_squared_error>
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, str):
        return _named("metrics.get", identifier)()
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()
    if callable(identifier):
        return MeanMetricWrapper(identifier)
    rule = "a name, a Metric or a function"
    raise type_error("metrics.get", "identifier", rule, describe(identifier))


def resolve(
    identifier: Any,
    y_true_shape: Sequence[int] | None,
    y_pred_shape: Sequence[int],
    loss: Loss | None = None,
) -> Metric:
    """Return the metric that `identifier` means for a model's shapes, by the name it was given.

    Parameters
    ----------
    identifier : str, Metric, class, function or dict
        ``"accuracy"`` or ``"acc"`` are the accuracy, ``"crossentropy"`` or ``"ce"`` the
        cross-entropy that fits: binary for predictions of last axis 1, sparse for targets of fewer
        axes or of last axis 1, else categorical. Anything else is as for `get`.
    y_true_shape, y_pred_shape : sequence of int
        The shapes of a batch; what the targets' is may be None, then `loss` decides.
    loss : Loss, optional
        The model's loss.

    Returns
    -------
    Metric
        A metric made from a name bears that name.

    Raises
    ------
    ValueError
        If there is no metric of that name, or neither shape nor loss decides.
    TypeError
        If `identifier` is something else.

    Examples
    --------
    >>> resolve("acc", (32,), (32, 10))
    <SparseCategoricalAccuracy name=acc>
    """
    if not isinstance(identifier, str):
        return get(identifier)
    kinds = _BY_SHAPE.get(identifier.lower())
    if kinds is None:
        kind = _named("metrics.resolve", identifier)
    else:
        kind = kinds[_kind_of_targets(y_true_shape, y_pred_shape, loss)]
    metric = kind()
    metric.name = str(identifier)
    return metric


def _kind_of_targets(
    targets: Sequence[int] | None, outputs: Sequence[int], loss: Loss | None
) -> int:
    """Return 0 for binary, 1 for sparse and 2 for categorical."""
    if not len(outputs):
        raise value_error("metrics.resolve", "y_pred_shape", "of at least one axis", "()")
    if outputs[-1] == 1:
        return 0
    if targets is not None:
        return 1 if len(targets) < len(outputs) or targets[-1] == 1 else 2
    for number, name in enumerate(("Binary", "Sparse", "Categorical")):
        if type(loss).__name__.startswith(name):
            return number
    raise value_error("metrics.resolve", "y_true_shape", "given beside this loss", None)


def direction_of(name: str) -> str | None:
    """Return "up" or "down", where the better values of a metric of this name are; None if unknown.

    Examples
    --------
    >>> direction_of("acc"), direction_of("loss"), direction_of("mood")
    ('up', 'down', None)
    """
    if name == "loss":
        return "down"
    kind = _BY_SHAPE.get(name.lower(), (_CLASSES.get(name),))[0]
    return getattr(kind, "direction", None)


def serialize(metric: Metric) -> dict[str, Any]:
    """Return class and arguments of a metric, as Keras writes them.

    Examples
    --------
    >>> serialize(BinaryAccuracy(threshold=0.25))["config"]["threshold"]
    0.25
    """
    if not isinstance(metric, Metric):
        raise type_error("metrics.serialize", "metric", "a Metric", describe(metric))
    kind = type(metric)
    ours = _CLASSES.get(kind.__name__) is kind
    return {
        "module": "keras.metrics" if ours else kind.__module__,
        "class_name": kind.__name__,
        "config": metric.get_config(),
        "registered_name": None if ours else kind.__name__,
    }


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Metric:
    """Return the metric that `serialize` described, or of a name.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If `config` is neither a dict with ``class_name`` nor a str.

    Examples
    --------
    >>> deserialize({"class_name": "BinaryAccuracy", "config": {"name": "right"}})
    <BinaryAccuracy name=right>
    """
    if isinstance(config, str):
        return get(config)
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        rule = "a name or a dict with 'class_name'"
        raise type_error("metrics.deserialize", "config", rule, describe(config))
    name = config["class_name"]
    kind = (custom_objects or {}).get(name) or _named("metrics.deserialize", name)
    return kind.from_config(dict(config.get("config") or {}))


def _named(function: str, name: str) -> Any:
    kind = _CLASSES.get(name)
    if kind is None:
        rule = "the name of a class of fastconv.metrics, in either case, or its abbreviation"
        raise value_error(function, "identifier", rule, describe(name))
    return kind
