"""What all losses share: targets made to fit, weights, reductions and their gradients."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..errors import describe, type_error, value_error
from ..geometry.plain import plain_int, plain_real, plain_word

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight")
EPSILON = 1e-7


class Loss:
    """A loss: one number for a batch, and its gradient with respect to the predictions.

    A subclass computes the values of single samples in `call` and, if a model is to be trained
    with it, their derivatives in `call_and_gradient`; this class weighs and reduces both.

    Parameters
    ----------
    name : str, optional
        By default the class's name in snake case.
    reduction : str
        ``"sum_over_batch_size"`` and ``"mean"`` divide the weighted sum by the number of values,
        ``"mean_with_sample_weight"`` by the sum of the weights, ``"sum"`` by nothing. For the
        values themselves, call the function of the same name (``mean_squared_error``, ...).

    Raises
    ------
    ValueError, TypeError
        If `reduction` is none of these words.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.losses import Loss
    >>> class SquaredSum(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return ((y_pred - y_true) ** 2).sum(axis=-1)
    ...     def call_and_gradient(self, y_true, y_pred):
    ...         return self.call(y_true, y_pred), 2 * (y_pred - y_true)
    >>> value, gradient = SquaredSum().value_and_gradient(np.zeros((2, 2)), np.ones((2, 2)))
    >>> value, gradient[0].tolist()
    (2.0, [1.0, 1.0])
    """

    # Along which axis of y_pred the values were reduced: the one that they lack.
    axis = -1

    def __init__(self, name: str | None = None, reduction: str = "sum_over_batch_size") -> None:
        kind = type(self).__name__
        self.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower() if name is None else name
        if not isinstance(self.name, str):
            raise type_error(kind, "name", "a str or None", describe(name))
        if reduction is None or reduction == "none":
            hint = "one of " + ", ".join(REDUCTIONS) + " (a function gives unreduced values)"
            raise value_error(kind, "reduction", hint, describe(reduction))
        self.reduction = plain_word(kind, "reduction", reduction, REDUCTIONS)

    def call(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
        """Return the values of single samples: y_pred's shape without `axis`."""
        raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred)")

    def call_and_gradient(
        self, y_true: np.ndarray, y_pred: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what `call` returns and, as a new array, each value's derivative by its y_pred."""
        name = type(self).__name__
        raise NotImplementedError(
            f"{name} must define call_and_gradient(y_true, y_pred) to be trained with"
        )

    def mask(self, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray | None:
        """Return which values count, as an array of bools; None for all of them."""
        return None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """Return the reduced loss.

        Parameters
        ----------
        y_true : array_like
            Targets, of y_pred's shape; (n,) and (n, 1) are made alike.
        y_pred : array_like
            Predictions. float32 and float64 are computed as they are, float16 in float32, ints in
            float64.
        sample_weight : array_like, optional
            Factors of the values: one for all, one a sample, or one a value.

        Raises
        ------
        ValueError
            If the shapes don't fit.
        TypeError
            If something is no array of real numbers.
        """
        kind = type(self).__name__
        targets, outputs = _operands(kind, y_true, y_pred)
        values = self.call(targets, outputs)
        factors, divisor = self._weights(values, sample_weight, self.mask(targets, outputs))
        return _reduce(values, factors, divisor)

    def value_and_gradient(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> tuple[float, np.ndarray]:
        """Return the reduced loss and its gradient, an array of y_pred's shape and dtype.

        Parameters
        ----------
        y_true, y_pred, sample_weight : array_like
            As for a call, but y_pred must be of a floating type.

        Raises
        ------
        ValueError
            If the shapes don't fit.
        TypeError
            If something is no array of real numbers, or y_pred of no floating type.
        """
        kind = type(self).__name__
        given = np.asarray(y_pred)
        if given.dtype.kind != "f":
            raise type_error(kind, "y_pred", "an array of floats", describe(given))
        targets, outputs = _operands(kind, y_true, given)
        values, slopes = self.call_and_gradient(targets, outputs)
        factors, divisor = self._weights(values, sample_weight, self.mask(targets, outputs))
        scale: Any = 1.0 / divisor if divisor else 0.0
        if factors is not None:
            shares = np.broadcast_to(factors * scale, values.shape)
            scale = np.expand_dims(shares, self.axis).astype(slopes.dtype, copy=False)
        np.multiply(slopes, scale, out=slopes)
        gradient = slopes.reshape(given.shape).astype(given.dtype.newbyteorder("="), copy=False)
        return _reduce(values, factors, divisor), gradient

    def _weights(
        self, values: np.ndarray, sample_weight: Any, mask: np.ndarray | None
    ) -> tuple[np.ndarray | None, float]:
        """Return the factors of the values (None for 1) and what their sum is divided by."""
        divisor = 1.0 if self.reduction == "sum" else float(values.size)
        by_weight = self.reduction == "mean_with_sample_weight"
        factors = None
        if sample_weight is not None:
            factors = aligned(type(self).__name__, "sample_weight", sample_weight, values.shape)
        if mask is not None:
            counted = mask.reshape(values.shape).astype(np.float64)
            if self.reduction in ("mean", "sum_over_batch_size"):
                divisor = float(counted.sum())
            factors = counted if factors is None else factors * counted
        if by_weight and factors is not None:
            # The weights as they were given: not repeated for what they are broadcast to.
            divisor = float(factors.sum())
        return factors, divisor

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this loss again."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """Return the loss of `get_config`."""
        return cls(**config)

    def __repr__(self) -> str:
        items = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({items})"


def _reduce(values: np.ndarray, factors: np.ndarray | None, divisor: float) -> float:
    weighted = values if factors is None else values * factors
    total = float(weighted.sum(dtype=np.float64))
    return total / divisor if divisor else 0.0


def real_array(function: str, argument: str, value: Any) -> np.ndarray:
    """Return `value` as an array of native bools, ints or floats."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise type_error(function, argument, "an array of real numbers", describe(array))
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def predictions(function: str, y_pred: Any) -> np.ndarray:
    """Return y_pred as an array of the type that is computed in."""
    array = real_array(function, "y_pred", y_pred)
    if array.dtype.kind != "f":
        return array.astype(np.float64)
    if array.dtype.itemsize < 4:
        return array.astype(np.float32)
    if array.dtype.itemsize > 8:
        raise type_error(function, "y_pred", "float16, float32 or float64", describe(array))
    return array


def same_rank(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add or drop a last axis of length 1 where that makes the two ranks equal."""
    if first.ndim == second.ndim + 1 and first.shape[-1] == 1:
        if second.ndim == 1:
            return first, second[:, None]
        return first[..., 0], second
    if second.ndim == first.ndim + 1 and second.shape[-1] == 1:
        if first.ndim == 1:
            return first[:, None], second
        return first, second[..., 0]
    return first, second


def _operands(function: str, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    return same_rank(real_array(function, "y_true", y_true), predictions(function, y_pred))


def fitted(function: str, y_true: Any, y_pred: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and predictions of one shape and one floating type.

    Shapes that NumPy would broadcast are errors: (n, 1) beside (n, classes) is a mistake.
    """
    targets, outputs = _operands(function, y_true, y_pred)
    if targets.shape != outputs.shape:
        rule = f"of y_pred's shape {outputs.shape}"
        raise value_error(function, "y_true", rule, describe(targets))
    if not outputs.ndim:
        raise value_error(function, "y_pred", "of at least one axis", describe(outputs))
    return targets.astype(outputs.dtype, copy=False), outputs


def aligned(function: str, argument: str, weights: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return weights in float64 that broadcast to `shape`, axes missing at the end added."""
    array = real_array(function, argument, weights).astype(np.float64)
    given = array
    if array.ndim == len(shape) + 1 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim <= len(shape):
        array = array.reshape(array.shape + (1,) * (len(shape) - array.ndim if array.ndim else 0))
        have: tuple[int, ...] = array.shape
        # Not strict: a single number has no axis to compare.
        if all(a in (1, b) for a, b in zip(have, shape, strict=False)):
            return array
    rule = f"a number or an array that fits the values' shape {shape}"
    raise value_error(function, argument, rule, describe(given))


def plain_axis(function: str, axis: object, rank: int | None = None) -> int:
    """Return an axis as an int, which must be one of `rank` axes."""
    number = plain_int(function, "axis", axis, "an int")
    if rank is not None and not -rank <= number < rank:
        raise value_error(function, "axis", f"one of y_pred's {rank} axes", number)
    return number


def plain_smoothing(function: str, value: Any) -> float:
    """Return a label smoothing as a float from 0 to 1."""
    rule = "a number from 0 to 1"
    number = plain_real(function, "label_smoothing", value, rule)
    if not 0 <= number <= 1:
        raise value_error(function, "label_smoothing", rule, describe(value))
    return number
