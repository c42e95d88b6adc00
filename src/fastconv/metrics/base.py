"""Metric, and the running means that all metrics here are. Sums are of float64."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import describe, type_error, value_error
from ..losses.base import real_array, same_rank


def snake_case(name: str) -> str:
    """Return a class's name as Keras writes it in small letters.

    Examples
    --------
    >>> snake_case("TopKCategoricalAccuracy")
    'top_k_categorical_accuracy'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class Metric:
    """A number that is gathered over batches: update_state, result, reset_state.

    Parameters
    ----------
    name : str, optional
        By default the class's name in snake case.
    dtype : str, optional
        Kept for configurations written by Keras; sums are of float64, results Python floats.

    Examples
    --------
    >>> from fastconv.metrics import MeanSquaredError
    >>> metric = MeanSquaredError()
    >>> metric.update_state([0.0, 2.0], [0.0, 0.0])
    >>> metric.result()
    2.0
    """

    # "up" or "down", where the better results are; None if nobody knows.
    direction: str | None = None

    def __init__(self, name: str | None = None, dtype: str | None = None) -> None:
        kind = type(self).__name__
        self.name = snake_case(kind) if name is None else name
        if not isinstance(self.name, str):
            raise type_error(kind, "name", "a str or None", describe(name))
        self.dtype = "float32" if dtype is None else dtype

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take a batch in."""
        raise NotImplementedError(f"{type(self).__name__} must define update_state()")

    def result(self) -> float:
        """Return the number so far."""
        raise NotImplementedError(f"{type(self).__name__} must define result()")

    def reset_state(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__} must define reset_state()")

    def __call__(self, *args: Any, **kwargs: Any) -> float:
        """Take a batch in and return the number so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this metric again."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """Return the metric of `get_config`."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Mean(Metric):
    """The weighted mean of values; 0.0 before there are any.

    Parameters
    ----------
    name, dtype : str
        As for `Metric`.

    Examples
    --------
    >>> metric = Mean()
    >>> metric.update_state([1.0, 3.0])
    >>> metric.update_state([9.0], sample_weight=[0.5])
    >>> metric.result()
    3.4
    """

    def __init__(self, name: str | None = "mean", dtype: str | None = None) -> None:
        super().__init__(name, dtype)
        self.total = 0.0
        self.count = 0.0

    def update_state(self, values: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take values in, a number or an array whose first axis is that of the samples.

        Raises
        ------
        ValueError
            If the weights don't fit the values.
        TypeError
            If something is no array of real numbers.
        """
        kind = type(self).__name__
        array = real_array(kind, "values", values).astype(np.float64)
        if sample_weight is None:
            samples = array.shape[0] if array.ndim else 1
            self.total += float(array.sum()) / array.size * samples if array.size else 0.0
            self.count += samples
            return
        weights = real_array(kind, "sample_weight", sample_weight).astype(np.float64)
        array, weights = same_rank(array, weights)
        if array.ndim > weights.ndim:
            array = array.mean(axis=tuple(range(weights.ndim, array.ndim)))
        try:
            weights = np.broadcast_to(weights, array.shape)
        except ValueError:
            rule = f"of a shape that fits the values' {array.shape}"
            raise value_error(kind, "sample_weight", rule, describe(weights)) from None
        shares = 1.0 / max(int(np.prod(array.shape[1:])), 1)
        self.total += float((array * weights).sum()) * shares
        self.count += float(weights.sum()) * shares

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        self.total = self.count = 0.0


class MeanMetricWrapper(Mean):
    """The mean of a function of targets and predictions.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred, **kwargs)``, which returns a value for each sample.
    name, dtype : str
        As for `Metric`; by default the function's name.
    **kwargs
        Handed on to `fn`.

    Raises
    ------
    TypeError
        If `fn` can't be called.

    Examples
    --------
    >>> import numpy as np
    >>> metric = MeanMetricWrapper(lambda y_true, y_pred: np.abs(y_pred - y_true), name="off")
    >>> metric(np.zeros(2), np.array([1.0, -2.0]))
    1.5
    """

    def __init__(
        self, fn: Callable, name: str | None = None, dtype: str | None = None, **kwargs: Any
    ) -> None:
        if not callable(fn):
            raise type_error(type(self).__name__, "fn", "a function", describe(fn))
        super().__init__(getattr(fn, "__name__", None) if name is None else name, dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Take a batch in.

        Parameters
        ----------
        y_true, y_pred : array_like
            Targets and predictions, as the function takes them.
        sample_weight : array_like, optional
            Factors: one for all, one a sample, or one a value.
        """
        super().update_state(self._fn(y_true, y_pred, **self._fn_kwargs), sample_weight)

    def get_config(self) -> dict[str, Any]:
        if type(self) is MeanMetricWrapper:
            rule = "of a class of its own to be written down"
            raise type_error("metrics.serialize", "metric", rule, f"the function {self.name}")
        return {**super().get_config(), **self._fn_kwargs}
