"""A map as an image: every number a square of a grey, and the number written in it if it fits."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import value_error
from ..extras import need

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    Array = NDArray[Any]

PAPER = (222, 230, 240)  # where a folded row has no numbers left
NOT_A_NUMBER = (196, 64, 64)
_WIDEST = 960  # of a row of numbers, before it is folded
_MAP_SIDE, _SMALL_MAP_SIDE, _LEAST_MAP_SIDE, _LARGEST_CELL = 160, 128, 96, 64
_ROW_CELLS = 48, 12, 4  # numbers can be read; squares can be told apart; there are thousands
_FEW_MAPS = 8
# Of numbers: rather fewer digits than tiny ones.
_LARGEST_FONT, _SMALLEST_FONT = 15, 9
_DIGITS, _LEAST_FONTS = (4, 3, 2), (12, 9, 9)
_MOST_PIXELS = 2**24
_MOST_WRITTEN = 4096
_MOST_MEASURED = 500
# On a darker grey white has the higher contrast.
_LIGHT = 117


class NumberStyle(NamedTuple):
    """How the numbers of a layer are written: to so many decimals, or each to so many digits."""

    digits: int
    decimals: int | None

    def text(self, value: float) -> str:
        """Return a number as it is written."""
        if self.decimals is None or not math.isfinite(value):
            return short(value, self.digits)
        text = f"{value:.{self.decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text


class Plan(NamedTuple):
    """How the maps of a layer are drawn: the side of a cell, its numbers, where rows fold."""

    cell: int
    per_line: int
    font_size: int = 0  # 0 where no numbers are written
    style: NumberStyle | None = None


@functools.lru_cache(maxsize=32)
def font_of(size: int) -> Any:
    """Return Pillow's own font; the only one of its sizes where Pillow has no FreeType."""
    fonts = need("PIL.ImageFont", "feature_maps")
    try:
        return fonts.load_default(size)
    except (ImportError, OSError, TypeError):
        return fonts.load_default()


def short(value: float, digits: int = 4) -> str:
    """Write a number in a few characters.

    Examples
    --------
    >>> [short(value) for value in (4.0999999, -1.9, 1234.56, 2.5e-7, -0.0)]
    ['4.1', '-1.9', '1235', '2.5e-7', '0']
    """
    if value == 0:
        return "0"
    if 10.0 ** (digits - 1) <= abs(value) < 99999.5:
        return f"{value:.0f}"
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def plan(
    function: str, name: str, maps: Array, row: bool, scale: int | None, values: str | bool
) -> Plan:
    """Return how maps are drawn.

    Parameters
    ----------
    function, name : str
        Who asks, and the layer's name, for messages.
    maps : ndarray
        Those that are drawn: (maps, rows, columns).
    row : bool
        Whether they are one row of numbers, which is folded if it is long.
    scale : int, optional
        The side of a cell.
    values : "auto", True or False
        Whether numbers are written: where they fit; in all cells, which grow if they must; never.
    """
    _, height, width = maps.shape
    cell = scale or (_row_cell(width) if row else _map_cell(*maps.shape))
    style, size = None, 0
    if values is True or (values == "auto" and height * width <= _MOST_WRITTEN):
        style, size, needed = _lettering(maps, cell, values is True)
        cell = max(cell, needed)
    lines = -(-width * cell // _WIDEST) if row else 1
    per_line = max(-(-width // lines), 1)
    if cell > 1 and height * width * cell * cell > _MOST_PIXELS:
        got = f"{cell} for {height}x{width} numbers of {name!r}"
        if scale is None or scale < cell:
            rule = "False or 'auto' where maps are too large for their numbers"
            raise value_error(function, "values", rule, f"True, which takes a scale of {got}")
        raise value_error(function, "scale", f"for {_MOST_PIXELS} pixels at most", got)
    return Plan(cell, per_line, size, style)


def _map_cell(count: int, height: int, width: int) -> int:
    side = max(height, width)
    cell = (_MAP_SIDE if count <= _FEW_MAPS else _SMALL_MAP_SIDE) // side
    if cell * side < _LEAST_MAP_SIDE:
        cell = _MAP_SIDE // side
    return min(max(cell, 1), _LARGEST_CELL)


def _row_cell(width: int) -> int:
    return _ROW_CELLS[0] if width <= 64 else _ROW_CELLS[1] if width <= 1024 else _ROW_CELLS[2]


def _lettering(maps: Array, cell: int, force: bool) -> tuple[NumberStyle | None, int, int]:
    """Return how numbers are written, and the font's size; and what cell they take, if a larger."""
    room = cell - max(cell // 8, 4)
    if room < _SMALLEST_FONT and not force:
        return None, 0, 0
    styles = [_style(maps, digits) for digits in _DIGITS]
    widest = [_widest(maps, style) for style in styles]
    for style, text, least in zip(styles, widest, _LEAST_FONTS, strict=True):
        for size in range(_LARGEST_FONT, least - 1, -1):
            if size <= room and font_of(size).getlength(text) <= room:
                return style, size, 0
    if not force:
        return None, 0, 0
    style, size = styles[1], _SMALLEST_FONT + 1
    return style, size, int(max(font_of(size).getlength(widest[1]), size)) + 5


def _style(maps: Array, digits: int) -> NumberStyle:
    """Return the style that gives the largest number its digits; the others have its decimals."""
    largest = float(np.abs(maps, where=np.isfinite(maps), out=np.zeros_like(maps)).max())
    if not 1e-3 <= largest < 1e5:
        return NumberStyle(digits, None)
    return NumberStyle(digits, max(digits - 1 - math.floor(math.log10(largest)), 0))


def _widest(maps: Array, style: NumberStyle) -> str:
    """Return the text, of those for all numbers, that takes most room."""
    texts = sorted({style.text(value) for value in maps.ravel().tolist()}, key=len)
    return max(texts[-_MOST_MEASURED:], key=font_of(_LARGEST_FONT).getlength)


def shades(maps: Array, low: float, high: float) -> Array:
    """Return maps as greys: `low` black, `high` white, everything black if they are equal."""
    # The difference of two large numbers may not be finite. Powers of two change no digit.
    by = -int(np.frexp(max(abs(low), abs(high)))[1])
    low, high = float(np.ldexp(low, by)), float(np.ldexp(high, by))
    if not high > low:
        return np.zeros(maps.shape, np.uint8)
    finite = np.nan_to_num(np.ldexp(maps, by), nan=low, posinf=high, neginf=low)
    return np.rint((finite - low) / (high - low) * 255).astype(np.uint8)


def picture(numbers: Array, greys: Array, drawn: Plan) -> Image:
    """Return the image of one map."""
    pil = need("PIL.Image", "feature_maps")
    width = numbers.shape[1]
    lines = -(-width // drawn.per_line)
    spare = lines * drawn.per_line - width
    if lines > 1:  # only a single row is folded
        numbers, greys = (
            np.pad(a, ((0, 0), (0, spare))).reshape(lines, drawn.per_line) for a in (numbers, greys)
        )
    missing = np.isnan(numbers)
    image: Image = pil.fromarray(greys)
    if spare or missing.any():
        colours = np.repeat(greys[:, :, None], 3, axis=2)
        colours[missing] = NOT_A_NUMBER
        if spare:
            colours[-1, -spare:] = PAPER
        image = pil.fromarray(colours)
    rows, columns = greys.shape
    image = image.resize((columns * drawn.cell, rows * drawn.cell), pil.Resampling.NEAREST)
    if drawn.style is not None:
        texts = [drawn.style.text(value) for value in numbers.ravel().tolist()]
        count = len(texts) - spare
        _write(image, texts[:count], np.where(missing, 0, greys).ravel(), columns, drawn)
    return image


def _write(image: Any, texts: list[str], greys: Array, columns: int, drawn: Plan) -> None:
    """Write the numbers of cells in their middles."""
    draw = need("PIL.ImageDraw", "feature_maps").Draw(image)
    font = font_of(drawn.font_size)
    # all on one height, whichever characters they have
    top, bottom = draw.textbbox((0, 0), "0", font=font)[1::2]
    for place, text in enumerate(texts):
        row, column = divmod(place, columns)
        left, _, right, _ = draw.textbbox((0, 0), text, font=font)
        x = column * drawn.cell + (drawn.cell - right + left) / 2 - left
        y = row * drawn.cell + (drawn.cell - bottom + top) / 2 - top
        ink = 0 if greys[place] > _LIGHT else 255
        fill = ink if image.mode == "L" else (ink, ink, ink)
        draw.text((round(x), round(y)), text, fill=fill, font=font)
