"""Batches out of an array of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import describe, type_error, value_error
from ..geometry import plain_flag, plain_word
from .iterator import Iterator
from .options import SUBSETS

if TYPE_CHECKING:
    from .changes import Parameters
    from .generator import ImageDataGenerator

_NAME = "NumpyArrayIterator"


class NumpyArrayIterator(Iterator):
    """Batches of images in an array, changed by a generator; its `flow` explains the arguments.

    Attributes
    ----------
    x, y, sample_weight : numpy.ndarray or None
        What the batches are taken from, `subset` already applied.
    """

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike | None,
        image_data_generator: ImageDataGenerator,
        batch_size: int = 32,
        shuffle: bool = False,
        sample_weight: ArrayLike | None = None,
        seed: int | None = None,
        subset: str | None = None,
        ignore_class_split: bool = False,
    ):
        images = np.asarray(x)
        if images.dtype.kind not in "iubf":
            raise type_error(_NAME, "x", "an array of real numbers", describe(images))
        if images.ndim != 4:
            raise value_error(_NAME, "x", "an array of images, of 4 axes", describe(images))
        labels = _beside("y", y, len(images))
        weights = _beside("sample_weight", sample_weight, len(images))
        if subset is not None:
            part = _part(image_data_generator, subset, len(images))
            if labels is not None and not plain_flag(
                _NAME, "ignore_class_split", ignore_class_split
            ):
                _check_classes(labels, part)
            images = images[part]
            labels = None if labels is None else labels[part]
            weights = None if weights is None else weights[part]
        self.x, self.y, self.sample_weight = images, labels, weights
        self.image_data_generator = image_data_generator
        self.data_format = image_data_generator.data_format
        self.dtype = self._dtype = image_data_generator.dtype
        self.image_shape = self._shape = images.shape[1:]
        super().__init__(len(images), batch_size, shuffle, seed)

    def _draw(self, rng: np.random.RandomState) -> Parameters:
        return self.image_data_generator.draw(rng, self._shape)

    def _load(self, index: int, drawn: Parameters) -> np.ndarray:
        return self.image_data_generator.finish(np.array(self.x[index], self._dtype), drawn)

    def _targets(self, x: np.ndarray, indices: np.ndarray) -> Any:
        if self.y is None:
            return x
        if self.sample_weight is None:
            return x, self.y[indices]
        return x, self.y[indices], self.sample_weight[indices]


def _beside(argument: str, value: ArrayLike | None, samples: int) -> np.ndarray | None:
    """Return an array that has an entry for each image."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.ndim < 1 or len(array) != samples:
        rule = f"an array of as many entries as x, {samples}"
        raise value_error(_NAME, argument, rule, describe(array))
    return array


def _part(generator: ImageDataGenerator, subset: object, samples: int) -> slice:
    word = plain_word(_NAME, "subset", subset, SUBSETS)
    first = int(samples * generator.validation_split)
    return slice(first) if word == "validation" else slice(first, None)


def _check_classes(labels: np.ndarray, part: slice) -> None:
    first = part.start or part.stop or 0
    if not np.array_equal(np.unique(labels[:first]), np.unique(labels[first:])):
        rule = "such that training and validation have the same labels (shuffle x and y first)"
        raise value_error(_NAME, "y", rule, "others")
