"""The table of a model's layers, drawn as Keras draws it."""

from __future__ import annotations

import shutil
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..layers import InputLayer

if TYPE_CHECKING:
    from ..layers import Layer, Variable

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def print_summary(
    model: Any,
    line_length: int | None,
    print_fn: Any,
    expand_nested: bool,
    show_trainable: bool,
) -> None:
    """Print the table and the totals; see `Model.summary`."""
    text = "\n".join(_lines(model, line_length, expand_nested, show_trainable))
    (print if print_fn is None else print_fn)(text)


def _lines(
    model: Any, line_length: int | None, expand_nested: bool, show_trainable: bool
) -> list[str]:
    plain = _in_one_line(model)
    headings = ["Layer (type)", "Output Shape", "Param #"]
    places, widest = ([0.45, 0.8, 1.0], 88) if plain else ([0.3, 0.56, 0.74, 1.0], 108)
    if not plain:
        headings.append("Connected to")
    if show_trainable:
        headings.append("Trainable")
        places, widest = [place * 0.9 for place in places] + [1.0], widest + 12
    length = line_length or min(widest, shutil.get_terminal_size().columns - 4)
    edges = [0, *(int(place * length) for place in places)]
    # each column has a border before it and a space at either side
    widths = _fitted([high - low for low, high in pairwise(edges)], length)
    rows: list[list[str]] = []
    for layer in model.layers:
        _add_rows(rows, model, layer, plain, expand_nested, show_trainable, 0)
    trained, frozen = _count(model.trainable_weights), _count(model.non_trainable_weights)
    totals = [("Total", trained, frozen), ("Trainable", trained), ("Non-trainable", frozen)]
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and optimizer.built:
        held = _count_arrays([value for _, value in optimizer.variables])
        totals = [("Total", trained, frozen, held), *totals[1:], ("Optimizer", held)]
    return [
        f'Model: "{model.name}"',
        *_table(headings, rows, widths),
        *(f" {name} params: {_sum(parts)}" for name, *parts in totals),
    ]


def _fitted(widths: list[int], length: int) -> list[int]:
    """Take what the borders need from all columns alike, as Keras's table does."""
    excess = sum(widths) + 3 * len(widths) + 1 - length
    fitted = []
    for number, width in enumerate(widths):
        less = min(width, round(excess / (len(widths) - number)))
        fitted.append(width - less)
        excess -= less
    return fitted


def _table(headings: list[str], rows: list[list[str]], widths: list[int]) -> list[str]:
    bars = ["━" * (width + 2) for width in widths]
    thin = ["─" * (width + 2) for width in widths]
    sides = [_SIDES.get(heading, str.ljust) for heading in headings]
    lines = ["┏" + "┳".join(bars) + "┓", *_row(headings, widths, sides, "┃")]
    lines.append("┡" + "╇".join(bars) + "┩")
    for number, row in enumerate(rows):
        if number:
            lines.append("├" + "┼".join(thin) + "┤")
        lines.extend(_row(row, widths, sides, "│"))
    lines.append("└" + "┴".join(thin) + "┘")
    return lines


def _row(cells: list[str], widths: list[int], sides: list[Any], edge: str) -> list[str]:
    columns = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    height = max(map(len, columns))
    lines = []
    for column in columns:
        # headings stand on their line, other cells hang from theirs
        fill = [""] * (height - len(column))
        column[:] = fill + column if edge == "┃" else column + fill
    for texts in zip(*columns, strict=True):
        parts = [side(text, width) for side, text, width in zip(sides, texts, widths, strict=True)]
        lines.append(f"{edge} " + f" {edge} ".join(parts) + f" {edge}")
    return lines


def _centred(text: str, width: int) -> str:
    left = (width - len(text)) // 2
    return (" " * left + text).ljust(width)


# Where a column's cells lean to, if not to the left.
_SIDES: dict[str, Any] = {"Param #": str.rjust, "Trainable": _centred}


def _wrapped(cell: str, width: int) -> list[str]:
    """Break a cell at spaces; a word that is too long is cut off, which an ellipsis tells."""
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    lines = [part for line in cell.split("\n") for part in wrapper.wrap(line)] or [""]
    return [line if len(line) <= width else line[: width - 1] + "…" for line in lines]


def _add_rows(
    rows: list[list[str]],
    model: Any,
    layer: Layer,
    plain: bool,
    expand_nested: bool,
    show_trainable: bool,
    level: int,
) -> None:
    prefix = "   " * level + "└ " if level else ""
    kind = type(layer).__name__
    kind = "Functional" if kind == "Model" else kind  # the class that Keras makes of a Model
    row = [f"{prefix}{layer.name} ({kind})", _output_shape(layer), _params(layer)]
    if not plain:
        row.append(_connections(model, layer))
    if show_trainable:
        row.append(("Y" if layer.trainable else "N") if layer.weights else "-")
    rows.append(row)
    if expand_nested:
        for inner in getattr(layer, "layers", ()):
            _add_rows(rows, model, inner, plain, True, show_trainable, level + 1)


def _in_one_line(model: Any) -> bool:
    """Return whether every layer has one input, from the layer before."""
    if hasattr(model, "add"):
        return True
    before: Any = None
    for layer in model.layers:
        calls = [node for node in layer.nodes if node in model.graph_nodes]
        if len(calls) != 1:
            return False
        sources = [tensor.node.layer for tensor in calls[0].inputs]
        if isinstance(layer, InputLayer) != (before is None) or len(sources) > 1:
            return False
        if sources and sources[0] is not before:
            return False
        before = layer
    return True


def _output_shape(layer: Layer) -> str:
    if not layer.nodes:
        return "?"
    # of a layer that is called many times, the last call's
    found = [f"({', '.join(map(str, tensor.shape))})" for tensor in layer.nodes[-1].outputs]
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]"


def _params(layer: Layer) -> str:
    return f"{layer.count_params():,}" if layer.built else "0 (unbuilt)"


def _connections(model: Any, layer: Layer) -> str:
    found = [
        f"{tensor.node.layer.name}[{tensor.node.number}][{tensor.index}]"
        for node in layer.nodes
        if node in model.graph_nodes
        for tensor in node.inputs
    ]
    return ", ".join(found) or "-"


def _count(variables: list[Variable]) -> tuple[int, int]:
    return _count_arrays([variable.value for variable in variables])


def _count_arrays(arrays: list[Any]) -> tuple[int, int]:
    return sum(a.size for a in arrays), sum(a.nbytes for a in arrays)


def _sum(parts: Any) -> str:
    count, size = (sum(column) for column in zip(*parts, strict=True))
    return f"{count:,} ({_bytes(size)})"


def _bytes(size: float) -> str:
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.2f} {_UNITS[unit]}"
