"""Images in a grid, each with its label above it."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import checked_data_format
from ..errors import describe, type_error, value_error
from ..geometry import plain_int
from .figures import FIGURE_FILES, checked_path, new_figure, write_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[Any]

_FUNCTION = "plot_samples"
_MOST_IMAGES = 400
_TITLE_WIDTH = 22
_WRONG = "tab:red"


def plot_samples(
    images: ArrayLike,
    labels: Any = None,
    class_names: Sequence[str] | Mapping[int, str] | None = None,
    predictions: Any = None,
    columns: int = 5,
    path: str | os.PathLike[str] | None = None,
    data_format: str | None = None,
) -> Figure:
    """Draw images in a grid, with their labels as titles.

    Parameters
    ----------
    images : array_like
        Of shape (samples, rows, columns), or with an axis of 1, 3 or 4 channels: grey, RGB, RGBA;
        400 at most. Integers from 0 to 255 and other numbers from 0 to 1 are drawn as they are;
        of anything else the least number of all images becomes black, the greatest white.
    labels : array_like, optional
        Of each image the number of its class, also as a column, or one-hot; or its name.
    class_names : sequence or mapping of str, optional
        The names that numbers stand for.
    predictions : array_like, optional
        As `labels`, or probabilities: of each class, or a single one of class 1. Where they differ
        from the labels the title is red and has both names.
    columns : int
        How many images stand side by side.
    path : str or os.PathLike, optional
        Where to write the figure as well: a name that ends in .png, .pdf or .svg.
    data_format : {"channels_last", "channels_first"}, optional
        By default `fastconv.config.image_data_format()`.

    Returns
    -------
    matplotlib.figure.Figure
        Of one axes an image. It displays itself in a notebook; pyplot, and the backend it uses,
        know nothing of it.

    Raises
    ------
    ValueError, TypeError
        If the images, labels or predictions have other shapes, or a class has no name.
    ImportError
        If Matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((3, 8, 8, 3), np.uint8)
    >>> figure = plot_samples(images, [0, 1, 1], ["cat", "dog"], predictions=[0, 1, 0])
    >>> [axes.get_title() for axes in figure.axes]
    ['cat', 'dog', 'cat (is dog)']
    """
    target = None if path is None else checked_path(_FUNCTION, path, FIGURE_FILES)
    beside = plain_int(_FUNCTION, "columns", columns, "an int of at least 1")
    if beside < 1:
        raise value_error(_FUNCTION, "columns", "an int of at least 1", beside)
    pixels = _checked_images(images, checked_data_format(_FUNCTION, data_format))
    is_known = _checked_names(class_names)
    true = _class_names_of("labels", labels, len(pixels), is_known)
    guessed = _class_names_of("predictions", predictions, len(pixels), is_known)
    beside = min(beside, len(pixels))
    rows = -(-len(pixels) // beside)
    height, width = pixels.shape[1:3]
    tall = min(max(1.8 * height / width, 0.6), 5.0)
    figure = new_figure(_FUNCTION, 1.9 * beside, (tall + 0.35) * rows)
    for place, image in enumerate(pixels):
        axes = figure.add_subplot(rows, beside, place + 1)
        axes.imshow(image, cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
        title, wrong = _title(true, guessed, place)
        text = axes.set_title(textwrap.fill(title, _TITLE_WIDTH), size=10, parse_math=False)
        if wrong:
            text.set_color(_WRONG)
    if target is not None:
        write_figure(figure, *target)
    return figure


def _title(true: list[str] | None, guessed: list[str] | None, place: int) -> tuple[str, bool]:
    """Return the title of an image, and whether it was taken for something else."""
    if true is None or guessed is None:
        names = guessed if true is None else true
        return ("" if names is None else names[place]), False
    if true[place] == guessed[place]:
        return true[place], False
    return f"{guessed[place]} (is {true[place]})", True


def _checked_images(images: Any, data_format: str) -> Array:
    """Return images as numbers from 0 to 1, channels last, or without channels if grey."""
    rule = "an array of numbers: samples, rows, columns, and 1, 3 or 4 channels or none"
    try:
        array = np.asarray(images)
    except ValueError:  # images of different sizes
        raise type_error(_FUNCTION, "images", rule, describe(images)) from None
    if array.dtype.kind not in "fiub":
        raise type_error(_FUNCTION, "images", rule, f"dtype {array.dtype}")
    if array.ndim == 4 and data_format == "channels_first":
        array = np.moveaxis(array, 1, 3)
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3, 4)):
        got = f"shape {np.shape(images)} ({data_format})"
        raise value_error(_FUNCTION, "images", rule, got)
    if not 0 < len(array) <= _MOST_IMAGES or not array.size:
        rule = f"from 1 to {_MOST_IMAGES} images, such as images[:25]"
        raise value_error(_FUNCTION, "images", rule, f"shape {np.shape(images)}")
    return _scaled(array[..., 0] if array.shape[3:] == (1,) else array)


def _scaled(array: Array) -> Array:
    whole = array.dtype.kind in "iu"
    pixels = array.astype(np.float64)
    pixels[~np.isfinite(pixels)] = 0
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and high <= (255 if whole else 1):
        return pixels / 255 if whole else pixels
    # The difference of two large numbers may not be finite. Powers of two change no digit.
    by = -int(np.frexp(max(abs(low), abs(high)))[1])
    pixels, low, high = np.ldexp(pixels, by), float(np.ldexp(low, by)), float(np.ldexp(high, by))
    return (pixels - low) / (high - low) if high > low else np.zeros_like(pixels)


def _checked_names(names: Any) -> Mapping[int, str] | None:
    if names is None:
        return None
    rule = "a sequence of names, or a mapping from numbers to names"
    if isinstance(names, np.ndarray):
        names = names.tolist()
    if not isinstance(names, (list, tuple, Mapping)):
        raise type_error(_FUNCTION, "class_names", rule, describe(names))
    known = names if isinstance(names, Mapping) else dict(enumerate(names))
    for name in known.values():
        if not isinstance(name, str):
            raise type_error(_FUNCTION, "class_names", rule, describe(name))
    return known


def _class_names_of(
    argument: str, given: Any, samples: int, names: Mapping[int, str] | None
) -> list[str] | None:
    """Return the name of each image's class; its number where no names are given."""
    if given is None:
        return None
    rule = f"numbers or names of the classes of {samples} images"
    try:
        array = np.asarray(given)
    except ValueError:
        raise type_error(_FUNCTION, argument, rule, describe(given)) from None
    if array.dtype.kind not in "fiubUO":
        raise type_error(_FUNCTION, argument, rule, f"dtype {array.dtype}")
    if array.ndim not in (1, 2) or len(array) != samples or not array.size:
        raise value_error(_FUNCTION, argument, rule, f"shape {array.shape}")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind in "UO":
        if array.ndim != 1 or not all(isinstance(name, str) for name in array):
            raise type_error(_FUNCTION, argument, rule, describe(given))
        return [str(name) for name in array]
    numbers = _numbers(argument, array, rule)
    if names is None:
        return [str(number) for number in numbers]
    for number in numbers:
        if number not in names:
            raise value_error(_FUNCTION, argument, "classes that class_names has", number)
    return [names[number] for number in numbers]


def _numbers(argument: str, array: Array, rule: str) -> list[int]:
    if array.ndim == 2:
        return [int(number) for number in array.argmax(axis=1)]
    if array.dtype.kind == "f" and not np.array_equal(array, np.rint(array)):
        if argument == "labels" or not ((array >= 0) & (array <= 1)).all():
            raise value_error(_FUNCTION, argument, rule, "fractions")
        array = array > 0.5  # probabilities of class 1
    return [int(number) for number in array]
