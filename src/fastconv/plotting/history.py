"""Losses and metrics of a training, epoch by epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import describe, type_error, value_error
from .figures import FIGURE_FILES, checked_path, new_figure, write_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Array = NDArray[Any]

_VALIDATION = "val_"
# Logged beside the metrics, and none of them: drawn if asked for.
_NO_METRICS = ("lr", "learning_rate")
_LONG_NAMES = {"acc": "accuracy", "lr": "learning rate", "mae": "mean absolute error"}
_LONG_NAMES["mse"] = "mean squared error"
_MOST_DOTS = 60


def plot_history(
    history: Any,
    metrics: str | Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the curves of a training: for each metric dots, and a line for its validation.

    Parameters
    ----------
    history : History or dict
        What `fit` returned, or its ``.history``: for each name the values, epoch by epoch.
    metrics : str or sequence of str, optional
        Which are drawn, each with its validation if there is one; by default all but the learning
        rate, the loss first.
    path : str or os.PathLike, optional
        Where to write the figure as well: a name that ends in .png, .pdf or .svg.

    Returns
    -------
    matplotlib.figure.Figure
        Of one axes a metric, side by side. It displays itself in a notebook; pyplot, and the
        backend it uses, know nothing of it.

    Raises
    ------
    ValueError, TypeError
        If there is nothing to draw, or no metric of a name.
    ImportError
        If Matplotlib is not installed.

    Examples
    --------
    >>> figure = plot_history({"loss": [0.9, 0.5, 0.4], "val_loss": [1.0, 0.6, 0.6]})
    >>> figure.axes[0].get_title(), [line.get_label() for line in figure.axes[0].lines]
    ('Training and validation loss', ['Training', 'Validation'])
    """
    name = "plot_history"
    target = None if path is None else checked_path(name, path, FIGURE_FILES)
    values = _checked_history(history)
    chosen = _checked_metrics(metrics, values)
    epochs = _epochs(history, values)
    columns = len(chosen) if len(chosen) <= 3 else 2
    rows = -(-len(chosen) // columns)
    figure = new_figure(name, 5.2 * columns, 3.9 * rows)
    for place, metric in enumerate(chosen, 1):
        axes = figure.add_subplot(rows, columns, place)
        _draw(axes, metric, values, epochs)
    if target is not None:
        write_figure(figure, *target)
    return figure


def _checked_history(history: Any) -> dict[str, Array]:
    rule = "a History, or a dict of a list of numbers for each name"
    given = history if isinstance(history, Mapping) else getattr(history, "history", None)
    if not isinstance(given, Mapping):
        raise type_error("plot_history", "history", rule, describe(history))
    found = {}
    for name, values in given.items():
        if not isinstance(name, str):
            raise type_error("plot_history", "history", rule, f"the name {describe(name)}")
        try:
            array = np.asarray(values)
        except ValueError:  # rows of different lengths
            array = np.empty(0, object)
        if array.ndim != 1 or array.dtype.kind not in "fiub":
            got = f"{describe(values)} for {name!r}"
            raise type_error("plot_history", "history", rule, got)
        if array.size:
            found[name] = array.astype(np.float64)
    if not found:
        raise value_error("plot_history", "history", "of one epoch at least", "no values")
    return found


def _checked_metrics(metrics: Any, values: dict[str, Array]) -> list[str]:
    if metrics is None:
        base = [name for name in values if not _is_twin(name, values)]
        chosen = [name for name in base if name not in _NO_METRICS] or base
        return sorted(chosen, key=lambda name: name != "loss")
    chosen = [metrics] if isinstance(metrics, str) else metrics
    rule = "names among " + ", ".join(values)
    if not isinstance(chosen, (list, tuple)):
        raise type_error("plot_history", "metrics", rule, describe(metrics))
    for name in chosen:
        if not isinstance(name, str):
            raise type_error("plot_history", "metrics", rule, describe(name))
        if name not in values:
            raise value_error("plot_history", "metrics", rule, describe(name))
    if not chosen:
        raise value_error("plot_history", "metrics", rule, "none")
    return list(chosen)


def _is_twin(name: str, values: dict[str, Array]) -> bool:
    return name.startswith(_VALIDATION) and name[len(_VALIDATION) :] in values


def _epochs(history: Any, values: dict[str, Array]) -> Array:
    """Return the numbers of the epochs, from 1 on as `fit` prints them."""
    longest = max(map(len, values.values()))
    known = getattr(history, "epoch", None)
    if isinstance(known, list) and len(known) == longest:
        return np.asarray(known) + 1
    return np.arange(1, longest + 1)


def _draw(axes: Any, metric: str, values: dict[str, Array], epochs: Array) -> None:
    alone = metric.startswith(_VALIDATION)
    base = metric[len(_VALIDATION) :] if alone else metric
    name = _LONG_NAMES.get(base, base.replace("_", " "))
    twin = None if alone else values.get(_VALIDATION + metric)
    if not alone:
        _draw_training(axes, values[metric], epochs)
    if alone or twin is not None:
        _draw_validation(axes, values[metric] if alone or twin is None else twin, epochs)
    both = "Training and validation" if twin is not None else "Training"
    axes.set_title(f"{'Validation' if alone else both} {name}", parse_math=False)
    axes.set_xlabel("epoch")
    axes.set_ylabel(name, parse_math=False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(epochs) == 1:
        axes.set_xticks(epochs)
    axes.grid(alpha=0.25)
    axes.legend()


def _draw_training(axes: Any, values: Array, epochs: Array) -> None:
    size = 5 if len(values) <= _MOST_DOTS else 3
    axes.plot(epochs[: len(values)], values, "o", color="tab:blue", ms=size, label="Training")


def _draw_validation(axes: Any, values: Array, epochs: Array) -> None:
    # It may have been judged after every few epochs only.
    every = max(len(epochs) // len(values), 1)
    at = epochs[every - 1 :: every][: len(values)]
    mark = "s" if len(values) == 1 else None  # a line of one point shows nothing
    axes.plot(at, values, "-", color="tab:orange", marker=mark, ms=5, label="Validation")
