"""Mean squared and mean absolute error."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Loss, fitted


def mean_squared_error(y_true: Any, y_pred: Any) -> np.ndarray:
    """Return the mean of (y_true - y_pred)^2 over the last axis.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (..., d)
        Targets and predictions; (n,) and (n, 1) are made alike.

    Returns
    -------
    ndarray of shape (...)
        Of y_pred's dtype, at least float32.

    Raises
    ------
    ValueError
        If the shapes differ.
    TypeError
        If something is no array of real numbers.

    Examples
    --------
    >>> mean_squared_error([[0.0, 1.0]], [[0.0, 3.0]]).tolist()
    [2.0]
    """
    targets, outputs = fitted("mean_squared_error", y_true, y_pred)
    return _mean((outputs - targets) ** 2)


def mean_absolute_error(y_true: Any, y_pred: Any) -> np.ndarray:
    """Return the mean of ``|y_true - y_pred|`` over the last axis.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (..., d)
        Targets and predictions; (n,) and (n, 1) are made alike.

    Returns
    -------
    ndarray of shape (...)
        Of y_pred's dtype, at least float32.

    Raises
    ------
    ValueError
        If the shapes differ.
    TypeError
        If something is no array of real numbers.

    Examples
    --------
    >>> mean_absolute_error([[0.0, 1.0]], [[0.0, 3.0]]).tolist()
    [1.0]
    """
    targets, outputs = fitted("mean_absolute_error", y_true, y_pred)
    return _mean(np.abs(outputs - targets))


class MeanSquaredError(Loss):
    """The mean of squared differences.

    Parameters
    ----------
    reduction, name : str
        As for `Loss`.

    Examples
    --------
    >>> import numpy as np
    >>> value, gradient = MeanSquaredError().value_and_gradient(np.zeros(2), np.array([1.0, 2.0]))
    >>> value, gradient.tolist()
    (2.5, [1.0, 2.0])
    """

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "mean_squared_error"
    ) -> None:
        super().__init__(name=name, reduction=reduction)

    def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return mean_squared_error(y_true, y_pred)

    def call_and_gradient(
        self, y_true: np.ndarray, y_pred: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        targets, outputs = fitted(type(self).__name__, y_true, y_pred)
        slopes = outputs - targets
        values = _mean(slopes * slopes)
        slopes *= 2.0 / max(slopes.shape[-1], 1)
        return values, slopes


class MeanAbsoluteError(Loss):
    """The mean of absolute differences; its gradient is 0 where there is no difference.

    Parameters
    ----------
    reduction, name : str
        As for `Loss`.

    Examples
    --------
    >>> import numpy as np
    >>> value, gradient = MeanAbsoluteError().value_and_gradient(np.zeros(2), np.array([1.0, -2.0]))
    >>> value, gradient.tolist()
    (1.5, [0.5, -0.5])
    """

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "mean_absolute_error"
    ) -> None:
        super().__init__(name=name, reduction=reduction)

    def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return mean_absolute_error(y_true, y_pred)

    def call_and_gradient(
        self, y_true: np.ndarray, y_pred: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        targets, outputs = fitted(type(self).__name__, y_true, y_pred)
        slopes = outputs - targets
        values = _mean(np.abs(slopes))
        np.sign(slopes, out=slopes)
        slopes *= 1.0 / max(slopes.shape[-1], 1)
        return values, slopes


def _mean(values: np.ndarray) -> np.ndarray:
    return np.mean(values, axis=-1, dtype=np.float64).astype(values.dtype)
