"""Rows of images with captions: a table in HTML, or one image."""

from __future__ import annotations

import base64
import html
import importlib.util
import io
import os
import unicodedata
from typing import TYPE_CHECKING, Any, NamedTuple

from ..extras import need
from .cells import font_of

if TYPE_CHECKING:
    from PIL.Image import Image

_FONT, _LINE = 13, 18
_MARGIN, _GAP, _PAD = 16, 8, 12
_CAPTION, _WIDEST = 260, 1104
_PAPER, _INK, _FAINT, _FRAME, _RULE = "#ffffff", "#1c1c1c", "#5c5c5c", "#9a9a9a", "#dcdcdc"
_CELL = "text-align:left;vertical-align:top;padding:6px 10px;overflow-wrap:anywhere"
_IMAGE = (
    "display:inline-block;margin:0 6px 6px 0;border:1px solid #9a9a9a;max-width:none;"
    "image-rendering:pixelated;vertical-align:top"
)


class Row(NamedTuple):
    """A line of the table: a title, lines beneath it, images and what they show in words."""

    title: str
    lines: list[str]
    images: list[Image]
    words: list[str]


# ------------------------------------------------------------------------------------ HTML


def table(rows: list[Row]) -> str:
    """Return rows as an HTML table with the images in it."""
    return "<table>" + "".join(map(_html_row, rows)) + "</table>"


def page(rows: list[Row], title: str) -> str:
    """Return rows as an HTML document that needs no other file."""
    style = "body{font-family:sans-serif;margin:16px;color:#1c1c1c;background:#ffffff}"
    style += "table{border-collapse:collapse}tr{border-bottom:1px solid #dcdcdc}"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>\n"
        f"<body>{table(rows)}</body></html>\n"
    )


def _html_row(row: Row) -> str:
    caption = "<br>".join([f"<b>{html.escape(row.title)}</b>", *map(html.escape, row.lines)])
    images = "".join(
        f'<img src="data:image/png;base64,{_base64(image)}" alt="{html.escape(words)}" '
        f'width="{image.width}" height="{image.height}" style="{_IMAGE}">'
        for image, words in zip(row.images, row.words, strict=True)
    )
    caption = f'<div style="width:max-content;max-width:260px">{caption}</div>'
    head = f'<th scope="row" style="{_CELL};font-weight:normal">{caption}</th>'
    return f'<tr>{head}<td style="{_CELL}">{images}</td></tr>'


def _base64(image: Image) -> str:
    return base64.b64encode(png(image)).decode("ascii")


def png(image: Image) -> bytes:
    """Return the file of an image."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


# --------------------------------------------------------------------------------- an image


def sheet(rows: list[Row]) -> Image:
    """Return rows as one image: captions on the left, images on the right, in lines if many."""
    pil = need("PIL.Image", "feature_maps")
    plain, bold = _fonts()
    captions = [
        [
            *_wrapped(row.title, bold),
            *(part for text in row.lines for part in _wrapped(text, plain)),
        ]
        for row in rows
    ]
    titles = [len(_wrapped(row.title, bold)) for row in rows]
    column = int(max(bold.getlength(text) for lines in captions for text in lines)) + 1
    places = [_places([image.size for image in row.images]) for row in rows]
    images_wide = max(right for _, right, _ in places)
    heights = [
        max(bottom, len(lines) * _LINE)
        for (_, _, bottom), lines in zip(places, captions, strict=True)
    ]
    left = _MARGIN + column + 2 * _PAD
    size = (left + images_wide + _MARGIN, sum(heights) + 2 * _PAD * len(rows))
    result: Image = pil.new("RGB", size, _PAPER)
    draw = need("PIL.ImageDraw", "feature_maps").Draw(result)
    top = _PAD
    for number, row in enumerate(rows):
        if number:
            draw.line((_MARGIN, top - _PAD, size[0] - _MARGIN, top - _PAD), fill=_RULE)
        for line, text in enumerate(captions[number]):
            font, ink = (bold, _INK) if line < titles[number] else (plain, _FAINT)
            draw.text((_MARGIN, top + line * _LINE), text, fill=ink, font=font)
        for image, (x, y) in zip(row.images, places[number][0], strict=True):
            _paste(result, draw, image, left + x, top + y)
        top += heights[number] + 2 * _PAD
    return result


def _paste(result: Image, draw: Any, image: Image, x: int, y: int) -> None:
    draw.rectangle((x, y, x + image.width + 1, y + image.height + 1), outline=_FRAME)
    result.paste(image.convert("RGB"), (x + 1, y + 1))


def _places(sizes: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], int, int]:
    """Return where framed images of one size go, and how far they reach right and down."""
    width, height = sizes[0][0] + 2, sizes[0][1] + 2
    most = max((_WIDEST + _GAP) // (width + _GAP), 1)
    lines = -(-len(sizes) // most)
    beside = -(-len(sizes) // lines)
    places = [
        (number % beside * (width + _GAP), number // beside * (height + _GAP))
        for number in range(len(sizes))
    ]
    return places, beside * (width + _GAP) - _GAP, lines * (height + _GAP) - _GAP


def _wrapped(text: str, font: Any) -> list[str]:
    """Return a text in lines no wider than captions are, broken at spaces if there are any."""
    text = _writable(text, font)
    lines: list[str] = []
    while font.getlength(text) > _CAPTION:
        end = next(n for n in range(len(text), 0, -1) if font.getlength(text[:n]) <= _CAPTION)
        space = text.rfind(" ", 1, end + 1)
        cut = space if space > 0 else end
        lines.append(text[:cut])
        text = text[cut:].lstrip()
    return [*lines, text]


def _fonts() -> tuple[Any, Any]:
    """Return a font for captions and a bold one: Matplotlib's, which know most letters."""
    found = importlib.util.find_spec("matplotlib")
    fonts = need("PIL.ImageFont", "feature_maps")
    folders = found.submodule_search_locations if found else None
    for folder in folders or ():
        path = os.path.join(folder, "mpl-data", "fonts", "ttf", "DejaVuSans")
        try:
            return fonts.truetype(path + ".ttf", _FONT), fonts.truetype(path + "-Bold.ttf", _FONT)
        except (OSError, ImportError):
            continue
    font = font_of(_FONT + 1)
    return font, font


def _writable(text: str, font: Any) -> str:
    """Return a text in one line; its letters without accents if a font has no others."""
    text = " ".join(text.split())
    if font.getname()[0].startswith("DejaVu") if hasattr(font, "getname") else False:
        return text
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return plain.encode("ascii", "replace").decode()
