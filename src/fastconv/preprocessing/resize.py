"""Resizing as TensorFlow and Keras's operations do it: without smoothing, in floating point."""

from __future__ import annotations

import numpy as np

RESIZES = ("bilinear", "nearest")


def resized(image: np.ndarray, height: int, width: int, interpolation: str) -> np.ndarray:
    """Return an image (rows, columns, channels) in another size, as float32.

    The pixels' centres are aligned, and "bilinear" takes two by two neighbours also where the image
    gets smaller: Pillow's averages over all then, and gives other values.
    """
    rows, columns = image.shape[:2]
    if interpolation == "nearest":
        return image[_nearest(rows, height)][:, _nearest(columns, width)].astype(np.float32)
    top, bottom, low = _between(rows, height)
    left, right, near = _between(columns, width)
    # Only the rows needed become floats.
    above, below = image[top].astype(np.float32), image[bottom].astype(np.float32)
    lines = above + (below - above) * low[:, None, None]
    return lines[:, left] + (lines[:, right] - lines[:, left]) * near[:, None]


def _nearest(size: int, to: int) -> np.ndarray:
    places = np.floor((np.arange(to) + 0.5) * (size / to)).astype(np.intp)
    return np.minimum(places, size - 1)


def _between(size: int, to: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pixels before and after each place, and how far it is between them."""
    places = np.clip((np.arange(to) + 0.5) * (size / to) - 0.5, 0, size - 1)
    before = np.floor(places).astype(np.intp)
    after = np.minimum(before + 1, size - 1)
    return before, after, (places - before).astype(np.float32)
