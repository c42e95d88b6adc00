"""Keras's utilities: labels as one-hot rows, normalized arrays, seed, names, images, folders."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .config import floatx
from .errors import describe, type_error, value_error
from .geometry import plain_int
from .layers.naming import clear_session
from .preprocessing import image_dataset_from_directory
from .preprocessing.image import array_to_img, img_to_array, load_img, save_img
from .random import set_random_seed

__all__ = [
    "array_to_img",
    "clear_session",
    "image_dataset_from_directory",
    "img_to_array",
    "load_img",
    "normalize",
    "save_img",
    "set_random_seed",
    "to_categorical",
]


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> np.ndarray:
    """Return labels as one-hot vectors.

    Parameters
    ----------
    x : array_like of int
        Labels from 0 to num_classes - 1, of any shape. A last axis of length 1 is dropped.
    num_classes : int, optional
        The number of classes, by default the largest label + 1.

    Returns
    -------
    numpy.ndarray
        Of the shape of x and num_classes, of dtype `fastconv.config.floatx()`.

    Raises
    ------
    ValueError, TypeError
        If x holds anything but whole numbers, a label lies outside, or num_classes can't be told.

    Examples
    --------
    >>> to_categorical([[2], [0]])
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    labels = _labels(x)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    rule = "an int of at least 1"
    if num_classes is not None:
        classes = plain_int("to_categorical", "num_classes", num_classes, rule)
    elif labels.size:
        classes = max(int(labels.max()) + 1, 1)
    else:
        raise value_error("to_categorical", "num_classes", "given where x is empty", None)
    if classes < 1:
        raise value_error("to_categorical", "num_classes", rule, classes)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        worst = labels.min() if labels.min() < 0 else labels.max()
        raise value_error("to_categorical", "x", f"labels from 0 to {classes - 1}", int(worst))
    # An identity matrix indexed by labels would need classes**2 elements.
    one_hot = np.zeros((labels.size, classes), floatx())
    one_hot[np.arange(labels.size), labels.ravel()] = 1
    return one_hot.reshape(*labels.shape, classes)


def _labels(x: ArrayLike) -> np.ndarray:
    """Return x as int64, which it must equal."""
    array = np.asarray(x)
    if array.dtype.kind not in "iubf":
        raise type_error("to_categorical", "x", "labels, whole numbers", describe(array))
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.floor(array))).all():
        raise value_error("to_categorical", "x", "labels, whole numbers", describe(array))
    return array.astype(np.int64)


def normalize(x: ArrayLike, axis: int = -1, order: float = 2) -> np.ndarray:
    """Return x divided by its norms along an axis; where the norm is 0, as it is.

    Unlike Keras's, which divides by the wrong norms then, it may be axis 0.

    Parameters
    ----------
    x : array_like
        Of at least one axis.
    axis : int
        The axis along which vectors lie.
    order : float
        2 for Euclid's norm, 1 for the sum of magnitudes, numpy.inf for the largest one.

    Returns
    -------
    numpy.ndarray
        Of the shape of x, or (1, n) for (n,), as Keras has it; float64 if x is of integers.

    Raises
    ------
    ValueError, TypeError
        If x holds no numbers, or has no such axis.

    Examples
    --------
    >>> normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    array = np.asarray(x)
    if array.dtype.kind not in "iubf":
        raise type_error("normalize", "x", "an array of real numbers", describe(array))
    rule = f"an axis of x, which has {array.ndim}"
    along = plain_int("normalize", "axis", axis, rule)
    if not -array.ndim <= along < array.ndim:
        raise value_error("normalize", "axis", rule, along)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    norms = np.linalg.norm(array, order, along, keepdims=True)
    normalized = array / np.where(norms == 0, norms.dtype.type(1), norms)
    return normalized[np.newaxis] if array.ndim == 1 else normalized
