"""How right single predictions are: 1.0 or 0.0 for each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import describe, value_error
from ..geometry.plain import plain_int, plain_real
from ..losses.base import real_array, same_rank


def accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """Return 1.0 where y_true equals y_pred, else 0.0.

    Examples
    --------
    >>> accuracy([1, 2], [1, 3]).tolist()
    [1.0, 0.0]
    """
    return _equal("accuracy", *_like("accuracy", y_true, y_pred))


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> np.ndarray:
    """Return 1.0 where y_true is (y_pred > threshold), else 0.0.

    Parameters
    ----------
    y_true, y_pred : array_like
        Of one shape; (n,) and (n, 1) are made alike.
    threshold : float
        What a yes must be above.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> binary_accuracy([1, 0], [0.6, 0.7]).tolist()
    [1.0, 0.0]
    """
    threshold = plain_real("binary_accuracy", "threshold", threshold, "a number")
    targets, outputs = _like("binary_accuracy", y_true, y_pred)
    return _equal("binary_accuracy", targets, outputs > threshold)


def categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """Return 1.0 where the largest of y_true and of y_pred have one place on the last axis.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (..., classes)
        One-hot targets or probabilities, and predictions.

    Returns
    -------
    ndarray of float32 and shape (...)

    Raises
    ------
    ValueError
        If the shapes don't fit.

    Examples
    --------
    >>> categorical_accuracy([[0, 1], [0, 1]], [[0.1, 0.9], [0.8, 0.2]]).tolist()
    [1.0, 0.0]
    """
    name = "categorical_accuracy"
    targets, outputs = real_array(name, "y_true", y_true), _scores(name, y_pred)
    if not targets.ndim or not targets.shape[-1]:
        raise value_error(name, "y_true", "of at least one class", describe(targets))
    return _equal(name, targets.argmax(axis=-1), outputs.argmax(axis=-1))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> np.ndarray:
    """Return 1.0 where y_true is the place of the largest of y_pred on the last axis.

    Parameters
    ----------
    y_true : array_like of shape (...) or (..., 1)
        Numbers of classes.
    y_pred : array_like of shape (..., classes)
        Predictions.

    Returns
    -------
    ndarray of float32 and shape (...)

    Raises
    ------
    ValueError
        If the shapes don't fit.

    Examples
    --------
    >>> sparse_categorical_accuracy([1, 1], [[0.1, 0.9], [0.8, 0.2]]).tolist()
    [1.0, 0.0]
    """
    name = "sparse_categorical_accuracy"
    outputs = _scores(name, y_pred)
    return _equal(name, _class_numbers(name, y_true, outputs), outputs.argmax(axis=-1))


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> np.ndarray:
    """Return 1.0 where y_true's class is among the k largest of y_pred.

    Parameters
    ----------
    y_true, y_pred : array_like of shape (..., classes)
        One-hot targets or probabilities, and predictions.
    k : int
        How many count as right; equals of the last one count as well.

    Returns
    -------
    ndarray of float32 and shape (...)

    Raises
    ------
    ValueError
        If the shapes don't fit or `k` is below 1.

    Examples
    --------
    >>> top_k_categorical_accuracy([[0, 0, 1]], [[0.5, 0.2, 0.3]], k=2).tolist()
    [1.0]
    """
    targets = real_array("top_k_categorical_accuracy", "y_true", y_true)
    return _top("top_k_categorical_accuracy", targets.argmax(axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> np.ndarray:
    """Return 1.0 where the class y_true is among the k largest of y_pred.

    Parameters
    ----------
    y_true : array_like of shape (...) or (..., 1)
        Numbers of classes.
    y_pred : array_like of shape (..., classes)
        Predictions.
    k : int
        How many count as right; equals of the last one count as well.

    Returns
    -------
    ndarray of float32 and shape (...)

    Raises
    ------
    ValueError
        If the shapes don't fit, `k` is below 1 or there is no such class.

    Examples
    --------
    >>> sparse_top_k_categorical_accuracy([2], [[0.5, 0.2, 0.3]], k=2).tolist()
    [1.0]
    """
    return _top("sparse_top_k_categorical_accuracy", y_true, y_pred, k)


def _like(name: str, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    targets, outputs = same_rank(
        real_array(name, "y_true", y_true), real_array(name, "y_pred", y_pred)
    )
    if targets.shape != outputs.shape:
        rule = f"of y_pred's shape {outputs.shape}"
        raise value_error(name, "y_true", rule, describe(targets))
    return targets, outputs


def _scores(name: str, y_pred: Any) -> np.ndarray:
    outputs = real_array(name, "y_pred", y_pred)
    if not outputs.ndim or not outputs.shape[-1]:
        raise value_error(name, "y_pred", "of at least one class", describe(outputs))
    return outputs


def _class_numbers(name: str, y_true: Any, outputs: np.ndarray) -> np.ndarray:
    targets = real_array(name, "y_true", y_true)
    if targets.ndim == outputs.ndim and targets.shape[-1] == 1:
        targets = targets[..., 0]
    if targets.shape != outputs.shape[:-1]:
        rule = f"of shape {outputs.shape[:-1]} beside y_pred"
        raise value_error(name, "y_true", rule, describe(targets))
    return targets


def _equal(name: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    if first.shape != second.shape:
        rule = f"of shape {second.shape}, its last axis not counted,"
        raise value_error(name, "y_true", rule, str(first.shape))
    return (first == second).astype(np.float32)


def _top(name: str, y_true: Any, y_pred: Any, k: int) -> np.ndarray:
    rule = "an int of at least 1"
    if plain_int(name, "k", k, rule) < 1:
        raise value_error(name, "k", rule, describe(k))
    outputs = _scores(name, y_pred)
    targets = _class_numbers(name, y_true, outputs)
    classes = targets.astype(np.intp)
    if np.any((classes < 0) | (classes >= outputs.shape[-1]) | (classes != targets)):
        rule = f"whole numbers from 0 to {outputs.shape[-1] - 1}"
        raise value_error(name, "y_true", rule, "others")
    own = np.take_along_axis(outputs, classes[..., None], -1)
    # Not outputs > own: a NaN beats everything, so that a broken model isn't always right.
    ahead = np.count_nonzero(~(outputs <= own), axis=-1)
    return (ahead < k).astype(np.float32)
