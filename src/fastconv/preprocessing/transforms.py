"""Random changes to an image, once they are drawn: affine maps, shifts of colour and brightness.

Images are (height, width, channels), floating-point. The results are those of SciPy's
`ndimage.affine_transform` of order 0 or 1, which Keras uses.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

FILL_MODES = ("nearest", "constant", "reflect", "wrap")


def affine_matrix(parameters: Mapping[str, float]) -> np.ndarray | None:
    """Return the 3x3 matrix of a rotation, shift, shear and zoom; None if there is none of them."""
    theta, shear = (np.deg2rad(parameters.get(name, 0)) for name in ("theta", "shear"))
    tx, ty = parameters.get("tx", 0), parameters.get("ty", 0)
    zx, zy = parameters.get("zx", 1), parameters.get("zy", 1)
    if not (theta or shear or tx or ty or zx != 1 or zy != 1):
        return None
    cos, sin = np.cos(theta), np.sin(theta)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    shift = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    sheared = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    return rotation @ shift @ sheared @ np.diag([zx, zy, 1])


def apply_affine(
    image: np.ndarray, matrix: np.ndarray, fill_mode: str, cval: float, order: int
) -> np.ndarray:
    """Return the image whose pixel (x, y) is the given one's at matrix @ (x, y, 1).

    The origin is the middle of the image. As in Keras, x counts rows where the middle is found,
    and columns when the matrix is applied.
    """
    height, width = image.shape[:2]
    middle = np.array([[1, 0, height / 2 - 0.5], [0, 1, width / 2 - 0.5], [0, 0, 1]])
    back = np.array([[1, 0, 0.5 - height / 2], [0, 1, 0.5 - width / 2], [0, 0, 1]])
    whole = middle @ matrix @ back
    whole = whole[[1, 0, 2]][:, [1, 0, 2]]
    rows, columns = np.mgrid[:height, :width]
    places = np.tensordot(whole[:2, :2], np.stack([rows, columns]), 1) + whole[:2, 2, None, None]
    return _sample(image, places[0], places[1], fill_mode, cval, order)


def _sample(
    image: np.ndarray, y: np.ndarray, x: np.ndarray, fill_mode: str, cval: float, order: int
) -> np.ndarray:
    """Return the image's values at places between its pixels."""
    height, width = image.shape[:2]
    outside = (y < 0) | (y > height - 1) | (x < 0) | (x > width - 1)
    rows = _neighbours(y, height, fill_mode, order)
    columns = _neighbours(x, width, fill_mode, order)
    total = np.zeros(image.shape, np.float64)
    for row, of_row in rows:
        for column, of_column in columns:
            total += (of_row * of_column)[:, :, None] * image[row, column]
    if fill_mode == "constant":
        total[outside] = cval
    return total.astype(image.dtype)


def _neighbours(
    places: np.ndarray, size: int, fill_mode: str, order: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pixels that a value is taken from, along one axis, each with its weight."""
    if fill_mode == "wrap":
        # SciPy's: the last pixel and the first are the same place.
        places = np.where((places < 0) | (places > size - 1), places % max(size - 1, 1), places)
    elif fill_mode != "reflect":
        places = np.clip(places, 0, size - 1)
    if order == 0:
        return [(_inside(np.floor(places + 0.5), size), np.ones_like(places))]
    below = np.floor(places)
    weight = places - below
    return [(_inside(below, size), 1 - weight), (_inside(below + 1, size), weight)]


def _inside(places: np.ndarray, size: int) -> np.ndarray:
    """Return pixels' numbers, reflected into the image; one just past the end weighs nothing."""
    numbers = places.astype(np.intp) % (2 * size)
    return np.minimum(numbers, 2 * size - 1 - numbers)


def shift_channels(image: np.ndarray, intensity: float) -> np.ndarray:
    """Return the image with all values shifted, within the range that it had."""
    return np.clip(image + image.dtype.type(intensity), image.min(), image.max())


def shift_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Return the image times a factor, in steps of 1 of 255 as Pillow computes; alpha is kept."""
    low, high = float(image.min()), float(image.max())
    beyond = low < 0 or high > 255
    steps = image.copy()
    if beyond:
        steps -= low
        steps *= 255 / (high - low or 1.0)
    steps = np.trunc(steps)
    colours = steps[:, :, :3]
    colours[...] = np.trunc(np.clip(colours.astype(np.float32) * np.float32(factor), 0, 255))
    return steps / 255 * (high - low) + low if beyond else steps
