"""Matplotlib's figures without pyplot: no backend is chosen, and no figure is kept open."""

from __future__ import annotations

import functools
import io
import os
from typing import TYPE_CHECKING, Any

from ..errors import describe, type_error, value_error
from ..extras import need
from ..files import durable_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_FILES = (".png", ".pdf", ".svg")


def new_figure(function: str, width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, which a notebook displays as it is."""
    canvas = need("matplotlib.backends.backend_agg", function)
    made: Any = need("matplotlib.figure", function).Figure(
        figsize=(width, height), layout="constrained"
    )
    made.get_layout_engine().set(w_pad=0.07, h_pad=0.07, wspace=0.03)
    canvas.FigureCanvasAgg(made)
    # Without pyplot nobody has told a notebook how figures are displayed. If somebody did, that
    # comes first.
    made._repr_png_ = functools.partial(_png, made)
    figure: Figure = made
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def checked_path(function: str, path: object, endings: tuple[str, ...]) -> tuple[str, str]:
    """Return a path, and which of the endings it has."""
    rule = "a path that ends in " + " or ".join(endings)
    if not isinstance(path, (str, os.PathLike)):
        raise type_error(function, "path", rule, describe(path))
    name = os.fsdecode(path)
    ending = os.path.splitext(name)[1].lower()
    if ending not in endings:
        raise value_error(function, "path", rule, describe(name))
    return name, ending


def write_figure(figure: Figure, path: str, ending: str) -> None:
    """Write a figure to a file, whole or not at all."""
    content = io.BytesIO()
    figure.savefig(content, format=ending[1:])
    with durable_file(path) as file:
        file.write(content.getbuffer())
