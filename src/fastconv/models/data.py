"""What models are fed with: arrays cut into batches, generators, sequences of batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import describe, type_error, value_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

# inputs, targets and weights of samples, each a list of arrays; None where there is none
Batch = tuple[list[Any], "list[Any] | None", "list[Any] | None"]


class Data:
    """Where batches come from.

    Attributes
    ----------
    limit : int or None
        How many batches an epoch has, if not all. Then an epoch goes on where the one before
        stopped. One that meets the end of the data is cut short, the next begins anew.
    """

    limit: int | None = None
    _going: Iterator[Batch] | None = None

    @property
    def steps(self) -> int | None:
        """How many batches an epoch has; None if nobody knows."""
        return self.limit

    def all_batches(self, generator: np.random.Generator | None) -> Iterator[Batch]:
        """Yield all batches there are."""
        raise NotImplementedError

    def batches(self, generator: np.random.Generator | None = None) -> Iterator[Batch]:
        """Yield the batches of an epoch, in the order that a generator gives to arrays."""
        if self.limit is None:
            yield from self.all_batches(generator)
            return
        made = 0
        for _ in range(2):  # what stopped at the very end of the data begins anew
            if self._going is None:
                self._going = self.all_batches(generator)
            for batch in self._going:
                made += 1
                yield batch
                if made == self.limit:
                    return
            self._going = None
            if made:
                break
        if made:
            message = f"the data ended after {made} of {self.limit} batches of an epoch"
            warnings.warn(message, stacklevel=2)


class ArrayData(Data):
    """Arrays with one sample a row, in batches.

    The arrays are not copied: a batch in order is a view, a shuffled one a gathered copy.
    """

    def __init__(
        self,
        x: list[Array],
        y: list[Array] | None,
        weights: list[Array] | None,
        batch_size: int,
        limit: int | None = None,
    ) -> None:
        self.x, self.y, self.weights, self.batch_size = x, y, weights, batch_size
        self.samples, self.limit = len(x[0]), limit

    @property
    def steps(self) -> int:
        return self.limit or -(-self.samples // self.batch_size)

    def all_batches(self, generator: np.random.Generator | None) -> Iterator[Batch]:
        order = None if generator is None else generator.permutation(self.samples)
        for start in range(0, self.samples, self.batch_size):
            rows: Any = slice(start, start + self.batch_size)
            if order is not None:
                rows = order[rows]
            yield (
                [array[rows] for array in self.x],
                None if self.y is None else [array[rows] for array in self.y],
                None if self.weights is None else [array[rows] for array in self.weights],
            )

    def split(self, share: float) -> tuple[ArrayData, ArrayData]:
        """Return the first samples, and the last ones, a share of all."""
        first = int(self.samples * (1 - share))
        parts = []
        for rows in (slice(0, first), slice(first, None)):
            x, y, weights = (
                None if arrays is None else [array[rows] for array in arrays]
                for arrays in (self.x, self.y, self.weights)
            )
            parts.append(ArrayData(x or [], y, weights, self.batch_size))
        return parts[0], parts[1]


class IterableData(Data):
    """Batches that something else makes: a generator, a sequence of batches, a data set."""

    def __init__(
        self, source: Any, function: str, names: Callable[[], Any], limit: int | None
    ) -> None:
        self.source, self.function, self.names, self.limit = source, function, names, limit
        self._length = len(source) if hasattr(source, "__len__") else None
        if isinstance(source, Iterator) and limit is None:
            self.limit = self._length  # it may never end
        self.class_weight: Any = None

    @property
    def steps(self) -> int | None:
        return self.limit or self._length

    def all_batches(self, generator: np.random.Generator | None) -> Iterator[Batch]:
        source = self.source
        if isinstance(source, Iterable):
            for item in source:
                yield self._split(item)
            return
        for i in range(len(source)):
            yield self._split(source[i])
        if hasattr(source, "on_epoch_end"):
            source.on_epoch_end()

    def _split(self, item: Any) -> Batch:
        if isinstance(item, tuple) and 1 <= len(item) <= 3:
            x, y, weights = (*item, None, None)[:3]
        elif isinstance(item, np.ndarray):
            x, y, weights = item, None, None
        else:
            rule = "tuples (x, y) or (x, y, sample_weight) of arrays, or arrays"
            raise type_error(self.function, "what x yields", rule, describe(item))
        # asked for now: a model may learn of its inputs by the first batch
        inputs, outputs = self.names()
        xs = listed(self.function, "x", x, inputs)
        ys = None if y is None else listed(self.function, "y", y, outputs)
        listed_weights = None
        if weights is not None:
            listed_weights = listed(self.function, "sample_weight", weights, outputs)
        elif self.class_weight is not None and ys is not None:
            listed_weights = class_weights(self.function, ys, self.class_weight)
        same_samples(self.function, x=xs, y=ys, sample_weight=listed_weights)
        return xs, ys, listed_weights


def listed(function: str, argument: str, value: Any, names: list[str]) -> list[Array]:
    """Return arrays as a list, one for each name: of one array, a list, or a dict by name."""
    if isinstance(value, dict):
        missing = [name for name in names if name not in value]
        if missing or len(value) != len(names):
            rule = f"a dict with {', '.join(names)}"
            raise value_error(function, argument, rule, ", ".join(map(str, value)))
        value = [value[name] for name in names]
    elif len(names) == 1 and not (
        isinstance(value, (list, tuple)) and len(value) == 1 and isinstance(value[0], np.ndarray)
    ):
        value = [value]
    if not isinstance(value, (list, tuple)) or len(value) != len(names):
        rule = f"a list of {len(names)} arrays: {', '.join(names)}"
        raise value_error(function, argument, rule, describe(value))
    arrays = [np.asarray(one) for one in value]
    for array in arrays:
        if array.dtype.kind not in "fiub":
            raise type_error(function, argument, "of numbers", f"dtype {array.dtype}")
        if array.ndim == 0:
            raise value_error(function, argument, "an array with the samples first", "a number")
    return arrays


def same_samples(function: str, **groups: list[Array] | None) -> int:
    """Return the number of samples; raise unless all arrays have it."""
    samples = None
    for argument, arrays in groups.items():
        for array in arrays or ():
            if samples is None:
                samples = len(array)
            elif len(array) != samples:
                rule = f"of {samples} samples, as many as x has"
                raise value_error(function, argument, rule, f"shape {array.shape}")
    return samples or 0


def is_iterable_data(value: Any) -> bool:
    """Return whether batches come of it, rather than one array or a list of arrays."""
    if isinstance(value, (np.ndarray, list, tuple, dict)) or hasattr(value, "__array__"):
        return False
    return isinstance(value, Iterable) or (
        hasattr(value, "__getitem__") and hasattr(value, "__len__")
    )


def class_weights(function: str, y: list[Array], class_weight: dict[int, float]) -> list[Array]:
    """Return the weight of every sample by its class."""
    if len(y) != 1:
        raise value_error(function, "class_weight", "None with several outputs", "a dict")
    if not isinstance(class_weight, dict):
        rule = "a dict from class to weight"
        raise type_error(function, "class_weight", rule, describe(class_weight))
    labels = y[0]
    if labels.ndim > 1:
        labels = labels.argmax(axis=-1) if labels.shape[-1] > 1 else labels.reshape(len(labels))
    weights = np.ones(len(labels))
    for label, weight in class_weight.items():
        weights[labels == label] = weight
    return [weights]
