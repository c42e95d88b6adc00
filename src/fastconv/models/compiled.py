"""How a model is judged: the losses of its outputs, its metrics, and their averages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import losses, metrics
from ..errors import describe, type_error, value_error
from ..geometry import plain_real

if TYPE_CHECKING:
    from ..layers.base import Array


class _Average:
    """A mean over batches, each weighted by its samples."""

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, value: float, samples: int) -> None:
        self.total += value * samples
        self.count += samples

    def result(self) -> float:
        return self.total / self.count if self.count else 0.0


class Compiled:
    """What `compile` was told, made fast to the outputs when they are first seen."""

    def __init__(self, loss: Any, loss_weights: Any, plain: Any, weighted: Any) -> None:
        self._loss, self._loss_weights = loss, loss_weights
        self._given = {"metrics": plain, "weighted_metrics": weighted}
        # names are looked up now, so that a wrong one is told of at once
        for one in _flat(loss):
            losses.get(one)
        for argument in self._given.values():
            for one in _flat(argument):
                metrics.resolve(one, (1, 1), (1, 1))
        self._bound = False
        self.losses: list[Any] = []
        self.loss_weights: list[float] = []
        self.metrics: list[tuple[int, str, Any, bool]] = []
        self._reset_averages()

    def arguments(self) -> dict[str, Any]:
        """Return what `compile` was given, by its words."""
        return {"loss": self._loss, "loss_weights": self._loss_weights, **self._given}

    # ------------------------------------------------------------------------------ binding

    def _bind(self, y: list[Array], outputs: list[Array], names: list[str]) -> None:
        self._names = names
        if not _flat(self._loss):
            raise value_error("compile", "loss", "given before fit or evaluate", "None")
        given = _for_each("loss", self._loss, names, True)
        # an output whose loss is None is not trained on
        self.losses = [None if one is None else losses.get(one) for one in given]
        weights = _for_each("loss_weights", self._loss_weights, names, False)
        self.loss_weights = [
            1.0 if weight is None else plain_real("compile", "loss_weights", weight, "numbers")
            for weight in weights
        ]
        self.metrics = []
        for argument, given in self._given.items():
            for place, group in enumerate(_groups(argument, given, names)):
                for one in _flat(group):
                    shapes = y[place].shape, outputs[place].shape
                    metric = metrics.resolve(one, *shapes, self.losses[place])
                    name = metric.name if len(names) == 1 else f"{names[place]}_{metric.name}"
                    entry = (place, name, metric, argument == "weighted_metrics")
                    self.metrics.append(entry)
        self._bound = True
        self._reset_averages()

    # ---------------------------------------------------------------------------- computing

    def update(
        self,
        y: list[Array],
        outputs: list[Array],
        weights: list[Array] | None,
        names: list[str],
        gradients: bool = True,
    ) -> list[Array | None]:
        """Add a batch to the averages; return the gradients of the loss for the outputs."""
        if not self._bound:
            self._bind(y, outputs, names)
        samples = len(outputs[0])
        grads: list[Array | None] = []
        total = 0.0
        for place, (loss, wanted, output) in enumerate(zip(self.losses, y, outputs, strict=True)):
            weight = None if weights is None else weights[place]
            if loss is None:
                grads.append(None)
                continue
            if gradients:
                value, grad = loss.value_and_gradient(wanted, output, weight)
                share = self.loss_weights[place]
                grads.append(grad if share == 1 else grad * grad.dtype.type(share))
            else:
                value = loss(wanted, output, weight)
            self._averages[place].add(value, samples)
            total += self.loss_weights[place] * value
        self._total.add(total, samples)
        for place, _, metric, weighted in self.metrics:
            weight = weights[place] if weighted and weights is not None else None
            metric.update_state(y[place], outputs[place], weight)
        return grads

    def reset(self) -> None:
        """Begin all averages anew."""
        self._reset_averages()
        for _, _, metric, _ in self.metrics:
            metric.reset_state()

    def _reset_averages(self) -> None:
        self._total = _Average()
        self._averages = [_Average() for _ in self.losses]

    # ------------------------------------------------------------------------------ results

    def results(self) -> dict[str, float]:
        """Return the averages by name: the loss, those of several outputs, the metrics."""
        found = {"loss": self._total.result()}
        judged = [place for place, loss in enumerate(self.losses) if loss is not None]
        if len(judged) > 1:
            for place in judged:
                found[f"{self._names[place]}_loss"] = self._averages[place].result()
        for _, name, metric, _ in self.metrics:
            found[name] = float(metric.result())
        return found

    def names(self) -> list[str]:
        """Return the names of the results; of the loss alone before data were seen."""
        return list(self.results())

    def listed(self, logs: dict[str, float]) -> float | list[float]:
        """Return results without their names: a number, if there is but one."""
        values = list(logs.values())
        return values[0] if len(values) == 1 else values


def _flat(value: Any) -> list[Any]:
    """Return the single items of an argument of `compile`, however nested."""
    if value is None:
        return []
    if isinstance(value, dict) and "class_name" not in value:
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [item for one in value for item in _flat(one)]
    return [value]


def _for_each(argument: str, value: Any, names: list[str], needed: bool) -> list[Any]:
    """Return one item for each output, of one for all, a list, or a dict by name."""
    if isinstance(value, dict) and "class_name" not in value:
        unknown = [name for name in value if name not in names]
        if unknown or (needed and len(value) != len(names)):
            got = f"one with {', '.join(map(str, value))}"
            raise value_error("compile", argument, f"a dict with {', '.join(names)}", got)
        return [value.get(name) for name in names]
    if isinstance(value, (list, tuple)):
        if len(value) != len(names):
            rule = f"a list of {len(names)}, one for each output"
            raise value_error("compile", argument, rule, describe(value))
        return list(value)
    if value is not None and not needed and len(names) > 1:
        raise type_error("compile", argument, "a list or a dict", describe(value))
    return [value] * len(names)


def _groups(argument: str, value: Any, names: list[str]) -> list[Any]:
    """Return the metrics of each output."""
    if value is None:
        return [None] * len(names)
    if isinstance(value, dict) and "class_name" not in value:
        return _for_each(argument, value, names, False)
    if len(names) == 1:
        return [value]
    nested = isinstance(value, (list, tuple)) and any(
        isinstance(one, (list, tuple)) or one is None for one in value
    )
    if nested:
        return _for_each(argument, value, names, False)
    # a flat list goes to all outputs, each with metrics of its own
    return [_copies(argument, value) for _ in names]


def _copies(argument: str, value: Any) -> list[Any]:
    items = _flat(value)
    for item in items:
        if isinstance(item, metrics.Metric):
            rule = "names, or a list of metrics for each output"
            raise value_error("compile", argument, rule, describe(item))
    return items
