"""From what a caller gives to batches: checks, names of inputs and outputs, weights of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import describe, type_error, value_error
from ..layers.base import positive_int
from .data import ArrayData, IterableData, class_weights, is_iterable_data, listed, same_samples

if TYPE_CHECKING:
    from ..layers.base import Array
    from .data import Data

BATCH_SIZE = 32


class Feeding:
    """The part of a model that takes data in."""

    # what Model has
    built: bool
    inputs: Any
    input_names: Any
    output_names: Any
    takes_list: bool
    ensure_built: Any
    check_input: Any

    def _names(self) -> tuple[list[str], list[str]]:
        return (self.input_names, self.output_names) if self.built else (["x"], ["y"])

    def _listed_x(self, x: Any, function: str = "predict") -> list[Array]:
        return listed(function, "x", x, self._names()[0])

    def _taken(self, function: str, x: list[Array]) -> Any:
        """Return inputs as `forward` takes them, their shapes checked."""
        if not self.built:
            self.ensure_built((None, *x[0].shape[1:]))
        arrays = [
            array if array.dtype == tensor.dtype else array.astype(tensor.dtype)
            for array, tensor in zip(x, self.inputs, strict=True)
        ]
        shapes = [array.shape for array in arrays]
        self.check_input(shapes if self.takes_list else shapes[0])
        return arrays if self.takes_list else arrays[0]

    def _data(
        self,
        function: str,
        x: Any,
        y: Any,
        sample_weight: Any,
        batch_size: int | None,
        steps: int | None,
        class_weight: Any = None,
        targets: bool = True,
    ) -> Data:
        """Return the batches of arrays, or of what yields them."""
        limit = None if steps is None else positive_int(function, "steps", steps)
        if not is_iterable_data(x):
            arrays = self._arrays(function, x, y, sample_weight, batch_size, class_weight, targets)
            arrays.limit = limit
            return arrays
        for argument, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                rule = "None: x yields it with the samples"
                raise value_error(function, argument, rule, describe(value))
        if batch_size is not None:
            raise value_error(
                function, "batch_size", "None: x yields batches", describe(batch_size)
            )
        if function != "fit" and hasattr(x, "reset"):
            x.reset()  # from the first batch on, whoever used it before
        data = IterableData(x, function, self._names, limit)
        data.class_weight = class_weight
        return data

    def _arrays(
        self,
        function: str,
        x: Any,
        y: Any,
        sample_weight: Any,
        batch_size: int | None,
        class_weight: Any = None,
        targets: bool = True,
    ) -> ArrayData:
        xs = self._listed_x(x, function)
        if not self.built:
            self.ensure_built((None, *xs[0].shape[1:]))
        size = BATCH_SIZE if batch_size is None else batch_size
        size = positive_int(function, "batch_size", size)
        if not targets:
            same_samples(function, x=xs)
            return ArrayData(xs, None, None, size)
        if y is None:
            raise value_error(function, "y", "what is wanted of the samples", "None")
        outputs = self._names()[1]
        ys = listed(function, "y", y, outputs)
        weights = None
        if sample_weight is not None:
            if class_weight is not None:
                rule = "None beside a sample_weight"
                raise value_error(function, "class_weight", rule, describe(class_weight))
            given = sample_weight
            if len(outputs) > 1 and not isinstance(given, (list, tuple, dict)):
                given = [given] * len(outputs)
            weights = listed(function, "sample_weight", given, outputs)
        elif class_weight is not None:
            weights = class_weights(function, ys, class_weight)
        if not same_samples(function, x=xs, y=ys, sample_weight=weights):
            raise value_error(function, "x", "samples", f"shape {xs[0].shape}")
        return ArrayData(xs, ys, weights, size)

    def _training_data(
        self,
        x: Any,
        y: Any,
        batch_size: int | None,
        sample_weight: Any,
        class_weight: Any,
        steps: int | None,
        split: float,
    ) -> tuple[Data, Data | None]:
        """Return what to train on, and what is held back."""
        data = self._data("fit", x, y, sample_weight, batch_size, steps, class_weight)
        if not split:
            return data, None
        rule = "a number from 0 to 1 that leaves samples on both sides"
        if not isinstance(split, (int, float)) or not 0 < split < 1:
            raise value_error("fit", "validation_split", rule, describe(split))
        if not isinstance(data, ArrayData):
            raise value_error("fit", "validation_split", "0 where x yields batches", split)
        first, held = data.split(split)
        if not first.samples or not held.samples:
            raise value_error("fit", "validation_split", rule, describe(split))
        first.limit = data.limit
        if class_weight is not None:
            held.weights = None  # classes weigh in training alone
        return first, held

    def _validation_data(self, data: Any, batch_size: int | None, steps: int | None) -> Data:
        if isinstance(data, (tuple, list)) and 2 <= len(data) <= 3:
            x, y, weights = (*data, None)[:3]
            return self._data("fit", x, y, weights, batch_size, steps)
        if not is_iterable_data(data):
            rule = "(x, y), (x, y, sample_weight) or batches"
            raise type_error("fit", "validation_data", rule, describe(data))
        return self._data("fit", data, None, None, None, steps)
