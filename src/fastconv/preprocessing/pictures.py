"""Single images: files and Pillow's images to arrays, and back."""

from __future__ import annotations

import io
import os
import re
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..config import checked_data_format, checked_dtype
from ..errors import describe, type_error, value_error
from ..extras import need
from ..files import durable_file, read_at_most
from ..geometry import plain_flag, plain_int, plain_word

if TYPE_CHECKING:
    from PIL.Image import Image

Path = str | bytes | os.PathLike[str]

# What Pillow reads by itself. Others are left out: for some it starts programs (EPS).
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")
_GREYS = ("L", "I;16", "I")


# Of a file: an image of 24 megapixels takes half of it, uncompressed and with 16 bits a channel.
_MOST_BYTES = 1 << 28
# Of Netpbm's formats those that write numbers as text; Pillow reads a million of them in a second.
_PLAIN, _MOST_PLAIN_BYTES = (b"P1", b"P2", b"P3"), 1 << 20
# A progressive JPEG has ten scans or so. Each goes over the whole image and can be a few bytes.
_MOST_SCANS = 100
_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_SOI, _EOI, _SOS, _BASELINE = 0xD8, 0xD9, 0xDA, (0xC0, 0xC1)


class BrokenImageError(ValueError):
    """A file that should be an image and can't be read as one."""


class Look(NamedTuple):
    """What an image is to be turned into, all checked: see `checked_look`."""

    color_mode: str
    target_size: tuple[int, int] | None
    interpolation: str
    keep_aspect_ratio: bool


def checked_size(function: str, argument: str, value: object) -> tuple[int, int]:
    """Return a (height, width) pair of ints of at least 1."""
    rule = "a (height, width) pair of ints of at least 1"
    if not isinstance(value, (tuple, list)):
        raise type_error(function, argument, rule, describe(value))
    if len(value) != 2:
        raise value_error(function, argument, rule, describe(value))
    height, width = (plain_int(function, argument, size, rule) for size in value)
    if min(height, width) < 1:
        raise value_error(function, argument, rule, describe(value))
    return height, width


def checked_look(
    function: str,
    color_mode: object,
    target_size: object,
    interpolation: object,
    keep_aspect_ratio: object,
) -> Look:
    """Return the arguments of that name, checked."""
    return Look(
        plain_word(function, "color_mode", color_mode, tuple(CHANNELS)),
        None if target_size is None else checked_size(function, "target_size", target_size),
        plain_word(function, "interpolation", interpolation, INTERPOLATIONS),
        plain_flag(function, "keep_aspect_ratio", keep_aspect_ratio),
    )


def load_img(
    path: Path | io.BytesIO,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Image:
    """Load an image file.

    Parameters
    ----------
    path : path or io.BytesIO
        A JPEG, PNG, BMP, GIF (its first frame), PPM, TIFF or WebP file.
    color_mode : {"rgb", "rgba", "grayscale"}
        What it is converted to. Grey images of 16 and 32 bits stay so in "grayscale".
    target_size : (height, width), optional
        What it is resized to; by default it keeps its size.
    interpolation : {"nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"}
        How.
    keep_aspect_ratio : bool
        Whether the centre is cut out in the shape of target_size, rather than the whole distorted.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    ValueError
        If the file is damaged, no such image, larger than 256 MB, or has more than
        ``PIL.Image.MAX_IMAGE_PIXELS`` pixels or 100 scans, which is judged before they are
        decoded. If an argument makes no sense.
    OSError
        If it can't be opened.
    TypeError
        If an argument is of another type.
    ImportError
        If there is no Pillow.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> save_img(file, [[[0], [255]]], file_format="png")
    >>> img_to_array(load_img(file, "grayscale", target_size=(1, 4)))[:, :, 0]
    array([[  0.,   0., 255., 255.]], dtype=float32)
    """
    look = checked_look("load_img", color_mode, target_size, interpolation, keep_aspect_ratio)
    if isinstance(path, io.BytesIO):
        return read_image("load_img", path, look)
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise type_error("load_img", "path", "a path or an io.BytesIO", describe(path))
    return read_image("load_img", os.fsdecode(path), look)


def read_image(function: str, source: str | io.BytesIO, look: Look) -> Image:
    """Return an image as `look` says.

    JPEG's `draft`, which decodes at a fraction of the size, is not used: its pixels are averages,
    and "nearest" then picks other values than Keras does.
    """
    pil = need("PIL.Image", function)
    if not isinstance(source, str):
        return _decode(pil, function, source.getvalue(), "an io.BytesIO", look)
    try:
        content = read_at_most(source, _MOST_BYTES)
    except ValueError as error:
        raise BrokenImageError(f"{function}: {error}") from None
    return _decode(pil, function, content, source, look)


def _decode(pil: Any, function: str, content: bytes, name: str, look: Look) -> Image:
    # From memory, where no decoder can read more than there is, whatever the file says of it.
    try:
        _check_cost(content)
        with pil.open(io.BytesIO(content), formats=_FORMATS) as image:
            most = pil.MAX_IMAGE_PIXELS
            if most is not None and image.width * image.height > most:
                rule = f"{image.width}x{image.height} pixels, more than PIL.Image.MAX_IMAGE_PIXELS"
                raise ValueError(f"it has {rule} = {most}")
            found = _resized(_converted(image, look.color_mode), look, pil)
            # What is the file's own is about to be closed with it.
            return image.copy() if found is image else found
    except MemoryError:
        raise
    except Exception as error:  # damaged files make decoders raise nearly anything
        kind = f"{type(error).__name__}: " if not isinstance(error, (OSError, ValueError)) else ""
        reason = "no known image format" if isinstance(error, pil.UnidentifiedImageError) else error
        raise BrokenImageError(f"{function}: can't read {name!r}: {kind}{reason}") from error


def _check_cost(content: bytes) -> None:
    """Raise if decoding takes much longer than the bytes and the pixels let expect."""
    if content.startswith(_PLAIN) and len(content) > _MOST_PLAIN_BYTES:
        raise ValueError(f"it has more than {_MOST_PLAIN_BYTES} bytes of numbers as text")
    if content.startswith(b"\xff\xd8") and _scans(content) > _MOST_SCANS:
        raise ValueError(f"it has more than {_MOST_SCANS} scans")


def _scans(content: bytes) -> int:
    """Return how many scans a JPEG has; no more are counted than matters."""
    place, scans, components = 2, 0, 0
    while scans <= _MOST_SCANS and (found := _MARKER.search(content, place)):
        place, kind = found.end(), found[0][1]
        if kind == _EOI:
            break
        if kind in (0x01, _SOI):  # these have no content
            continue
        segment = content[place : place + 8]
        place += int.from_bytes(segment[:2], "big")
        if kind in _BASELINE and len(segment) == 8:
            components = segment[7]
        if kind == _SOS:
            scans += 1
            # One scan of all components is the only one there may be, and the rest is its data.
            if scans == 1 and segment[2:3] == bytes([components]):
                break
    return scans


def _converted(image: Image, color_mode: str) -> Image:
    """Return an image in the mode asked for; the same object if it is in it."""
    image.load()
    if color_mode == "grayscale":
        return image if image.mode in _GREYS else image.convert("L")
    mode = color_mode.upper()
    return image if image.mode == mode else image.convert(mode)


def _resized(image: Image, look: Look, pil: Any) -> Image:
    if look.target_size is None:
        return image
    height, width = look.target_size
    if image.size == (width, height):
        return image
    method = getattr(pil.Resampling, look.interpolation.upper())
    if not look.keep_aspect_ratio:
        return image.resize((width, height), method)
    top, left, bottom, right = centre(image.height, image.width, height, width)
    return image.resize((width, height), method, box=(left, top, right, bottom))


def centre(height: int, width: int, to_height: int, to_width: int) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right of the largest part that has the shape of the target."""
    rows = max(min(height, width * to_height // to_width), 1)
    columns = max(min(width, height * to_width // to_height), 1)
    top, left = (height - rows) // 2, (width - columns) // 2
    return top, left, top + rows, left + columns


def img_to_array(
    img: Image | ArrayLike, data_format: str | None = None, dtype: str | None = None
) -> np.ndarray:
    """Return an image as an array.

    Parameters
    ----------
    img : PIL.Image.Image or array_like
        With or without an axis of channels, which comes last.
    data_format : {"channels_last", "channels_first"}, optional
        The layout of the result, by default `fastconv.config.image_data_format()`.
    dtype : str, optional
        Its type, by default `fastconv.config.floatx()`.

    Returns
    -------
    numpy.ndarray
        (height, width, channels) or (channels, height, width), the values unchanged.

    Raises
    ------
    ValueError, TypeError
        If img has neither 2 nor 3 axes, or an option makes no sense.

    Examples
    --------
    >>> img_to_array([[0, 255]]).shape
    (1, 2, 1)
    """
    layout = checked_data_format("img_to_array", data_format)
    x = np.array(img, dtype=checked_dtype("img_to_array", dtype))
    if x.ndim == 2:
        x = x[:, :, np.newaxis]
    if x.ndim != 3:
        raise value_error("img_to_array", "img", "an image of 2 or 3 axes", describe(x))
    return x.transpose(2, 0, 1) if layout == "channels_first" else x


def array_to_img(
    x: ArrayLike, data_format: str | None = None, scale: bool = True, dtype: str | None = None
) -> Image:
    """Return an array as an image of Pillow's.

    Parameters
    ----------
    x : array_like
        (height, width, channels) or (channels, height, width); 1, 3 or 4 channels.
    data_format : {"channels_last", "channels_first"}, optional
        Which of the two, by default `fastconv.config.image_data_format()`.
    scale : bool
        Whether the lowest value becomes 0 and the highest 255. Otherwise fractions are cut off;
        one channel with values above 255 makes an image of 32 bits.
    dtype : str, optional
        The type to compute in, by default `fastconv.config.floatx()`.

    Returns
    -------
    PIL.Image.Image

    Raises
    ------
    ValueError, TypeError
        If x has another shape or holds NaN or infinity, or an option makes no sense.
    ImportError
        If there is no Pillow.

    Examples
    --------
    >>> array_to_img([[[0.0], [0.5], [1.0]]]).getpixel((1, 0))
    127
    """
    layout = checked_data_format("array_to_img", data_format)
    scaled = plain_flag("array_to_img", "scale", scale)
    image = np.array(x, dtype=checked_dtype("array_to_img", dtype))
    if image.ndim == 3 and layout == "channels_first":
        image = image.transpose(1, 2, 0)
    if image.ndim != 3 or image.shape[2] not in CHANNELS.values() or not image.size:
        rule = f"an image of 3 axes, {layout}, with 1, 3 or 4 channels"
        raise value_error("array_to_img", "x", rule, describe(np.asarray(x)))
    if not np.isfinite(image).all():
        raise value_error("array_to_img", "x", "finite", "NaN or infinity")
    if scaled:
        image -= image.min()
        highest = image.max()
        image *= 255 / highest if highest else 1
    return _image_of(image)


def _image_of(image: np.ndarray) -> Image:
    pil = need("PIL.Image", "array_to_img")
    if image.shape[2] > 1:
        return pil.fromarray(image.astype(np.uint8))
    return pil.fromarray(image[:, :, 0].astype(np.int32 if image.max() > 255 else np.uint8))


def save_img(
    path: Path | BinaryIO,
    x: ArrayLike,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Save an array as an image file.

    Parameters
    ----------
    path : path or file
        Where to.
    x, data_format, scale
        As `array_to_img` takes them.
    file_format : str, optional
        "png", "jpeg" and so on, by default what the name ends in. A file needs it.
    **kwargs
        Passed to ``PIL.Image.Image.save``.

    Raises
    ------
    ValueError, TypeError, ImportError
        As `array_to_img`, or if Pillow doesn't know the format.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> save_img(file, [[[0, 128, 255]]], file_format="png")
    >>> load_img(file).size
    (1, 1)
    """
    image = array_to_img(x, data_format=data_format, scale=scale)
    target = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else path
    if file_format is None and isinstance(target, str):
        file_format = os.path.splitext(target)[1][1:]
    if file_format and file_format.lower() == "jpg":
        file_format = "jpeg"
    if image.mode == "RGBA" and file_format and file_format.lower() == "jpeg":
        warnings.warn("save_img: JPEG has no transparency, which is dropped", stacklevel=2)
        image = image.convert("RGB")
    if not isinstance(target, str):
        image.save(target, format=file_format or None, **kwargs)
        return
    # In memory first: Pillow takes no notice when a full disk writes less than it was given.
    content = io.BytesIO()
    image.save(content, format=file_format or None, **kwargs)
    with durable_file(target) as file:
        file.write(content.getbuffer())
