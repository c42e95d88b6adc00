"""What every layer makes of one input, as images."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import checked_data_format
from ..errors import describe, type_error, value_error
from ..extras import need
from ..files import durable_file
from ..layers.base import positive_int
from . import cells, sheet
from .figures import checked_path
from .outputs import Output, maps_of, outputs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from PIL.Image import Image

    from ..models import Model

    Array = NDArray[Any]


@dataclass(frozen=True)
class LayerMaps:
    """The output of one layer for one sample.

    Attributes
    ----------
    name, kind : str
        The layer's name and its class.
    shape : tuple of int or None
        Of the output, with None for the samples.
    maps : ndarray
        Float64, of shape (maps, rows, columns): one map a channel, or a single row.
    low, high : float
        The least and the greatest finite number in all maps, drawn black and white.
    drawn : int
        How many of the maps are drawn.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]
    maps: Array
    low: float
    high: float
    drawn: int
    _plan: cells.Plan

    def images(self) -> list[Image]:
        """Return the drawn maps as images of Pillow's."""
        greys = cells.shades(self.maps[: self.drawn], self.low, self.high)
        drawn = zip(self.maps[: self.drawn], greys, strict=True)
        return [cells.picture(numbers, grey, self._plan) for numbers, grey in drawn]

    def _row(self) -> sheet.Row:
        count, rows, columns = self.maps.shape
        low, high = cells.short(self.low), cells.short(self.high)
        finite = np.isfinite(self.maps)
        lines = [self.kind, str(self.shape)]
        if self.high > self.low:
            lines.append(f"{low} … {high}")
        else:
            lines.append(low if self.maps.size == 1 else f"{low} everywhere")
        if not finite.all():
            lines.append(f"{finite.size - np.count_nonzero(finite)} not finite")
        if self.drawn < count:
            lines.append(f"maps 1 … {self.drawn} of {count}")
        elif self._plan.per_line < columns:
            lines.append(f"in lines of {self._plan.per_line}")
        about = f"{rows} x {columns} numbers, {low} black to {high} white"
        words = [f"{self.name}: map {n + 1} of {count}, {about}" for n in range(self.drawn)]
        return sheet.Row(self.name, lines, self.images(), words)


class FeatureMaps:
    """The outputs of a model's layers for one sample: see `feature_maps`, which makes it.

    A notebook displays it as a table. It is a sequence of `LayerMaps`, the inputs first.

    Attributes
    ----------
    layers : list of LayerMaps
        One for each input and each layer; for each call of it if there are more.
    title : str
        The model's name.
    """

    def __init__(self, title: str, layers: list[LayerMaps]) -> None:
        self.title, self.layers = title, layers

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[LayerMaps]:
        return iter(self.layers)

    def __getitem__(self, layer: int | str) -> LayerMaps:
        """Return the maps of a layer by its name, or by its place."""
        if isinstance(layer, str):
            for one in self.layers:
                if one.name == layer:
                    return one
            raise KeyError(layer)
        return self.layers[layer]

    def __repr__(self) -> str:
        return f"<FeatureMaps of {self.title}: {', '.join(one.name for one in self.layers)}>"

    def _rows(self) -> list[sheet.Row]:
        return [one._row() for one in self.layers]

    def _repr_html_(self) -> str:
        return sheet.table(self._rows())

    def to_image(self) -> Image:
        """Return everything as one image of Pillow's: a row a layer, captions on the left."""
        return sheet.sheet(self._rows())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to a file.

        Parameters
        ----------
        path : str or os.PathLike
            A name that ends in .png, for what `to_image` returns, or in .html, for a page that
            needs no other file.

        Raises
        ------
        ValueError, TypeError
            If it is no such name.
        """
        name, ending = checked_path("save", path, (".html", ".png"))
        if ending == ".png":
            content = sheet.png(self.to_image())
        else:
            content = sheet.page(self._rows(), self.title).encode()
        with durable_file(name) as file:
            file.write(content)


def feature_maps(
    model: Model,
    x: Any,
    scale: int | None = None,
    values: str | bool = "auto",
    layers: Any = None,
    most: int = 16,
    data_format: str | None = None,
) -> FeatureMaps:
    """Return what every layer makes of the first sample of x, to be seen as images.

    All outputs come of one pass through the model. Each layer is drawn in greys of its own, from
    its least number, black, to its greatest, white; a layer of equal numbers is black.

    Parameters
    ----------
    model : Model
        A Sequential, or any graph of layers.
    x : array_like, or a list or dict of them
        The model's inputs, with the samples in front.
    scale : int, optional
        How many pixels wide and high a number is drawn. By default small maps are made some 150
        pixels wide, and large ones have a pixel a number.
    values : "auto", True or False
        Whether numbers are written in the images: where they fit; always, and what is too small
        for them is drawn larger; or never.
    layers : str, Layer, or a sequence of them, optional
        Which layers to show; by default all. Inputs are shown at any rate.
    most : int
        How many maps of a layer are drawn.
    data_format : {"channels_last", "channels_first"}, optional
        Where the channels of all outputs are. By default each layer's own; layers that have none
        keep that of their input.

    Returns
    -------
    FeatureMaps
        Displays itself in a notebook; ``save("net.html")`` and ``save("net.png")`` write it.

    Raises
    ------
    ValueError, TypeError
        If x does not suit the model, or another argument is none of these.
    ImportError
        If Pillow is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Conv2D, Flatten
    >>> from fastconv.models import Sequential
    >>> conv = Conv2D(2, 3, name="conv", kernel_initializer="ones", input_shape=(4, 5, 1))
    >>> model = Sequential([conv, Flatten(name="flat")])
    >>> maps = feature_maps(model, np.ones((1, 4, 5, 1)), scale=20)
    >>> maps["conv"].maps.shape, maps["conv"].high, maps["conv"].images()[0].size
    ((2, 2, 3), 9.0, (60, 40))
    >>> maps["flat"].maps.shape
    (1, 1, 12)
    """
    return _feature_maps("feature_maps", model, x, scale, values, layers, most, data_format)


def show_deep_net(
    model: Model,
    inputs: Any,
    scale: int | None = None,
    values: str | bool = "auto",
    layers: Any = None,
    most: int = 16,
    data_format: str | None = None,
) -> FeatureMaps | None:
    """Display `feature_maps` in a notebook; elsewhere return them.

    Parameters
    ----------
    model, inputs, scale, values, layers, most, data_format
        As of `feature_maps`.

    Returns
    -------
    FeatureMaps or None
        None where IPython has displayed them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import MaxPooling2D
    >>> from fastconv.models import Sequential
    >>> model = Sequential([MaxPooling2D(name="pool", input_shape=(4, 4, 1))])
    >>> maps = show_deep_net(model, np.arange(16.0).reshape(1, 4, 4, 1), scale=50)
    >>> maps["pool"].maps[0]
    array([[ 5.,  7.],
           [13., 15.]])
    """
    maps = _feature_maps("show_deep_net", model, inputs, scale, values, layers, most, data_format)
    # Who runs in IPython has imported it.
    ipython = sys.modules.get("IPython")
    running = getattr(ipython, "get_ipython", lambda: None)()
    if running is None:
        return maps
    need("IPython.display", "show_deep_net").display(maps)
    return None


def _feature_maps(
    function: str,
    model: Model,
    x: Any,
    scale: int | None,
    values: str | bool,
    layers: Any,
    most: int,
    data_format: str | None,
) -> FeatureMaps:
    if isinstance(values, np.bool_):
        values = bool(values)
    if not isinstance(values, bool) and not (isinstance(values, str) and values == "auto"):
        error = value_error if isinstance(values, str) else type_error
        raise error(function, "values", "'auto', True or False", describe(values))
    scale = None if scale is None else positive_int(function, "scale", scale)
    most = positive_int(function, "most", most)
    if data_format is not None:
        data_format = checked_data_format(function, data_format)
    need("PIL.Image", function)  # said before anything is computed
    outputs = outputs_of(function, model, x, layers, data_format)
    found = [_layer_maps(function, output, scale, values, most) for output in outputs]
    return FeatureMaps(model.name, found)


def _layer_maps(
    function: str, output: Output, scale: int | None, values: str | bool, most: int
) -> LayerMaps:
    maps = maps_of(output)
    finite = maps[np.isfinite(maps)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    row = output.array.ndim <= 2
    plan = cells.plan(function, output.name, maps[:most], row, scale, values)
    shape = (None, *output.array.shape[1:])
    drawn = min(most, len(maps))
    return LayerMaps(output.name, output.kind, shape, maps, low, high, drawn, plan)
