"""The three cross-entropies, of probabilities or of logits, and their gradients.

Probabilities are clipped to [1e-7, 1 - 1e-7], which bounds the loss; a clipped one has no influence
on it, hence the gradient 0. Logits are not clipped: their logarithms are exact sums, see Blanchard,
Higham and Higham, "Accurately computing the log-sum-exp and softmax functions" (2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import describe, value_error
from ..geometry.plain import plain_flag, plain_int
from .base import EPSILON, Loss, fitted, plain_axis, plain_smoothing, predictions, real_array

Pair = tuple[np.ndarray, np.ndarray | None]


def binary_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> np.ndarray:
    """Return the mean of -t log(p) - (1 - t) log(1 - p) over an axis.

    Parameters
    ----------
    y_true : array_like
        Targets from 0 to 1, of y_pred's shape; (n,) and (n, 1) are made alike.
    y_pred : array_like
        Probabilities, or logits x of them: p = 1 / (1 + exp(-x)).
    from_logits : bool
        Whether y_pred holds logits.
    label_smoothing : float
        s from 0 to 1: targets become t (1 - s) + s / 2.
    axis : int
        The axis of the mean.

    Returns
    -------
    ndarray
        Of y_pred's shape without `axis` and its dtype, at least float32.

    Raises
    ------
    ValueError
        If the shapes differ, there is no such axis or the smoothing is out of range.
    TypeError
        If something is of the wrong kind.

    Examples
    --------
    >>> binary_crossentropy([[0, 1]], [[0.5, 0.5]]).round(4).tolist()
    [0.6931]
    """
    name = "binary_crossentropy"
    logits = plain_flag(name, "from_logits", from_logits)
    smoothing = plain_smoothing(name, label_smoothing)
    return _binary(name, y_true, y_pred, logits, smoothing, plain_axis(name, axis), False)[0]


def categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> np.ndarray:
    """Return the sum of -t log(p) over the classes.

    Parameters
    ----------
    y_true : array_like
        Probabilities of the classes, most often one-hot, of y_pred's shape.
    y_pred : array_like
        Probabilities, which are divided by their sum, or logits of them.
    from_logits : bool
        Whether y_pred holds logits.
    label_smoothing : float
        s from 0 to 1: targets become t (1 - s) + s / classes.
    axis : int
        The axis of the classes.

    Returns
    -------
    ndarray
        Of y_pred's shape without `axis` and its dtype, at least float32.

    Raises
    ------
    ValueError
        If the shapes differ, there is no such axis or the smoothing is out of range.
    TypeError
        If something is of the wrong kind.

    Examples
    --------
    >>> categorical_crossentropy([[0, 1]], [[0.5, 0.5]]).round(4).tolist()
    [0.6931]
    """
    name = "categorical_crossentropy"
    logits = plain_flag(name, "from_logits", from_logits)
    smoothing = plain_smoothing(name, label_smoothing)
    return _categorical(name, y_true, y_pred, logits, smoothing, plain_axis(name, axis), False)[0]


def sparse_categorical_crossentropy(
    y_true: Any,
    y_pred: Any,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> np.ndarray:
    """Return -log(p) of the class that y_true names.

    Parameters
    ----------
    y_true : array_like
        Whole numbers from 0 to classes - 1: y_pred's shape without `axis`, or with length 1 there.
    y_pred : array_like
        Probabilities, which are divided by their sum, or logits of them.
    from_logits : bool
        Whether y_pred holds logits.
    ignore_class : int, optional
        A number in y_true whose values are 0.
    axis : int
        The axis of the classes.

    Returns
    -------
    ndarray
        Of y_pred's shape without `axis` and its dtype, at least float32.

    Raises
    ------
    ValueError
        If the shapes don't fit, there is no such axis or no such class.
    TypeError
        If something is of the wrong kind.

    Examples
    --------
    >>> sparse_categorical_crossentropy([1], [[0.5, 0.5]]).round(4).tolist()
    [0.6931]
    """
    name = "sparse_categorical_crossentropy"
    logits = plain_flag(name, "from_logits", from_logits)
    ignored = _plain_class(name, ignore_class)
    return _sparse(name, y_true, y_pred, logits, ignored, plain_axis(name, axis), False)[0]


class BinaryCrossentropy(Loss):
    """Cross-entropy of independent yes-no questions.

    Parameters
    ----------
    from_logits, label_smoothing, axis
        As for `binary_crossentropy`.
    reduction, name : str
        As for `Loss`.

    Examples
    --------
    >>> import numpy as np
    >>> loss = BinaryCrossentropy(from_logits=True)
    >>> value, gradient = loss.value_and_gradient([1.0, 0.0], np.zeros(2))
    >>> round(value, 4), gradient.tolist()
    (0.6931, [-0.25, 0.25])
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str = "binary_crossentropy",
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        kind = type(self).__name__
        self.from_logits = plain_flag(kind, "from_logits", from_logits)
        self.label_smoothing = plain_smoothing(kind, label_smoothing)
        self.axis = plain_axis(kind, axis)

    def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        return self._run(y_true, y_pred, False)[0]

    def call_and_gradient(
        self, y_true: np.ndarray, y_pred: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = self._run(y_true, y_pred, True)
        assert slopes is not None
        return values, slopes

    def _run(self, y_true: np.ndarray, y_pred: np.ndarray, gradient: bool) -> Pair:
        options = self.from_logits, self.label_smoothing, self.axis
        return _binary(type(self).__name__, y_true, y_pred, *options, gradient)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "axis": self.axis,
        }


class CategoricalCrossentropy(BinaryCrossentropy):
    """Cross-entropy of one choice among classes, the targets one-hot or probabilities.

    Parameters
    ----------
    from_logits, label_smoothing, axis
        As for `categorical_crossentropy`.
    reduction, name : str
        As for `Loss`.

    Examples
    --------
    >>> import numpy as np
    >>> loss = CategoricalCrossentropy(from_logits=True)
    >>> value, gradient = loss.value_and_gradient([[1.0, 0.0]], np.zeros((1, 2)))
    >>> round(value, 4), gradient.tolist()
    (0.6931, [[-0.5, 0.5]])
    """

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
        super().__init__(from_logits, label_smoothing, axis, reduction, name)

    def _run(self, y_true: np.ndarray, y_pred: np.ndarray, gradient: bool) -> Pair:
        options = self.from_logits, self.label_smoothing, self.axis
        return _categorical(type(self).__name__, y_true, y_pred, *options, gradient)


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of one choice among classes, the targets numbers of classes.

    Parameters
    ----------
    from_logits, ignore_class, axis
        As for `sparse_categorical_crossentropy`; a mean is over the values not ignored.
    reduction, name : str
        As for `Loss`.

    Examples
    --------
    >>> import numpy as np
    >>> loss = SparseCategoricalCrossentropy(from_logits=True)
    >>> value, gradient = loss.value_and_gradient([0], np.zeros((1, 2)))
    >>> round(value, 4), gradient.tolist()
    (0.6931, [[-0.5, 0.5]])
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str = "sum_over_batch_size",
        axis: int = -1,
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(name=name, reduction=reduction)
        kind = type(self).__name__
        self.from_logits = plain_flag(kind, "from_logits", from_logits)
        self.ignore_class = _plain_class(kind, ignore_class)
        self.axis = plain_axis(kind, axis)

    def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        options = self.from_logits, self.ignore_class, self.axis
        return _sparse(type(self).__name__, y_true, y_pred, *options, False)[0]

    def call_and_gradient(
        self, y_true: np.ndarray, y_pred: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        options = self.from_logits, self.ignore_class, self.axis
        values, slopes = _sparse(type(self).__name__, y_true, y_pred, *options, True)
        assert slopes is not None
        return values, slopes

    def mask(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray | None:
        return None if self.ignore_class is None else y_true != self.ignore_class

    def get_config(self) -> dict[str, Any]:
        config = {"from_logits": self.from_logits, "ignore_class": self.ignore_class}
        if self.axis != -1:
            # Keras leaves the axis out, and so makes another loss of such a configuration.
            config["axis"] = self.axis
        return {**super().get_config(), **config}


def _binary(
    name: str,
    y_true: Any,
    y_pred: Any,
    logits: bool,
    smoothing: float,
    axis: int,
    gradient: bool,
) -> Pair:
    targets, outputs = fitted(name, y_true, y_pred)
    plain_axis(name, axis, outputs.ndim)
    if smoothing:
        targets = targets * (1.0 - smoothing) + 0.5 * smoothing
    slopes = None
    if logits:
        # exp of a number of at most 0 can't overflow.
        small = np.exp(-np.abs(outputs))
        values = np.maximum(outputs, 0) - outputs * targets + np.log1p(small)
        if gradient:
            slopes = np.where(outputs >= 0, 1, small) / (1 + small) - targets
    else:
        p = outputs.clip(EPSILON, 1.0 - EPSILON)
        values = (targets - 1) * np.log1p(-p) - targets * np.log(p)
        if gradient:
            slopes = (p - targets) / (p * (1 - p))
            slopes *= _inside(outputs)
    if slopes is not None:
        slopes *= 1.0 / max(outputs.shape[axis], 1)
    return values.mean(axis=axis, dtype=np.float64).astype(outputs.dtype), slopes


def _categorical(
    name: str,
    y_true: Any,
    y_pred: Any,
    logits: bool,
    smoothing: float,
    axis: int,
    gradient: bool,
) -> Pair:
    targets, outputs = fitted(name, y_true, y_pred)
    plain_axis(name, axis, outputs.ndim)
    if smoothing:
        targets = targets * (1.0 - smoothing) + smoothing / max(outputs.shape[axis], 1)
    if logits:
        shifted, exponentials, sums = _softmax(name, outputs, axis)
        values = (targets * (np.log(sums) - shifted)).sum(axis=axis)
        if not gradient:
            return values, None
        slopes = exponentials
        slopes *= targets.sum(axis=axis, keepdims=True) / sums
        slopes -= targets
        return values, slopes
    sums = outputs.sum(axis=axis, keepdims=True)
    p = outputs / sums
    clipped = p.clip(EPSILON, 1.0 - EPSILON)
    values = -(targets * np.log(clipped)).sum(axis=axis)
    if not gradient:
        return values, None
    slopes = targets / clipped
    slopes *= _inside(p)
    # The sum that p was divided by depends on every prediction.
    slopes = (slopes * p).sum(axis=axis, keepdims=True) - slopes
    slopes /= sums
    return values, slopes


def _sparse(
    name: str,
    y_true: Any,
    y_pred: Any,
    logits: bool,
    ignored: int | None,
    axis: int,
    gradient: bool,
) -> Pair:
    outputs = predictions(name, y_pred)
    classes, kept = _classes(name, y_true, outputs, ignored, axis)
    if logits:
        shifted, slopes, sums = _softmax(name, outputs, axis)
        values = np.log(sums) - np.take_along_axis(shifted, classes, axis)
        if gradient:
            slopes /= sums
            chosen = np.take_along_axis(slopes, classes, axis) - 1
            np.put_along_axis(slopes, classes, chosen, axis)
    else:
        sums = outputs.sum(axis=axis, keepdims=True)
        p = np.take_along_axis(outputs, classes, axis) / sums
        clipped = p.clip(EPSILON, 1.0 - EPSILON)
        values = -np.log(clipped)
        if gradient:
            steep = _inside(p) / (clipped * sums)
            slopes = np.empty_like(outputs)
            slopes[...] = steep * p
            np.put_along_axis(slopes, classes, steep * (p - 1), axis)
    if kept is not None:
        values = np.where(kept, values, np.zeros((), values.dtype))
        if gradient:
            # Not a product: what is ignored may be infinite or NaN.
            np.copyto(slopes, 0, where=~kept)
    return np.squeeze(values, axis), slopes if gradient else None


def _classes(
    name: str, y_true: Any, outputs: np.ndarray, ignored: int | None, axis: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the classes as ints of length 1 along `axis`, and which of them are not ignored."""
    given = real_array(name, "y_true", y_true)
    plain_axis(name, axis, outputs.ndim)
    shape = list(outputs.shape)
    count, shape[axis] = shape[axis], 1
    without = np.delete(outputs.shape, axis).tolist()
    if list(given.shape) not in (shape, without):
        rule = f"of shape {tuple(without)} or {tuple(shape)} beside y_pred"
        raise value_error(name, "y_true", rule, describe(given))
    given = given.reshape(shape)
    kept = None
    if ignored is not None:
        kept = given != ignored
        given = np.where(kept, given, np.zeros((), given.dtype))
    rule = f"whole numbers from 0 to {count - 1}"
    if given.size and not (given.min() >= 0 and given.max() < count):
        got = f"numbers from {given.min()} to {given.max()}"
        raise value_error(name, "y_true", rule, got)
    classes = given.astype(np.intp)
    if given.dtype.kind == "f" and not np.array_equal(classes, given):
        raise value_error(name, "y_true", rule, "numbers with fractions")
    return classes, kept


def _softmax(name: str, logits: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the logits less their maximum, what exp makes of these, and its sums."""
    if not logits.shape[axis]:
        raise value_error(name, "y_pred", "of at least one class", describe(logits))
    shifted = logits - np.max(logits, axis=axis, keepdims=True)
    exponentials = np.exp(shifted)
    return shifted, exponentials, exponentials.sum(axis=axis, keepdims=True)


def _inside(p: np.ndarray) -> np.ndarray:
    return (p >= p.dtype.type(EPSILON)) & (p <= p.dtype.type(1.0 - EPSILON))


def _plain_class(name: str, value: object) -> int | None:
    return None if value is None else plain_int(name, "ignore_class", value, "an int or None")
