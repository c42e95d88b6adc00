"""What ImageDataGenerator does to an image: changes drawn at random, then fixed scaling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import describe, value_error
from .options import NAME
from .transforms import affine_matrix, apply_affine, shift_brightness, shift_channels

_TINY = 1e-6

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Changes:
    """Random changes: see ImageDataGenerator for the fields."""

    rotation_range: float
    width_shift_range: float | np.ndarray
    height_shift_range: float | np.ndarray
    brightness_range: tuple[float, float] | None
    shear_range: float
    zoom_range: tuple[float, float]
    channel_shift_range: float
    fill_mode: str
    cval: float
    horizontal_flip: bool
    vertical_flip: bool
    order: int

    def draw(self, rng: np.random.RandomState, height: int, width: int) -> Parameters:
        """Draw the changes to one image, in the order in which Keras draws them."""
        theta = _uniform(rng, self.rotation_range)
        tx = _shift(rng, self.height_shift_range, height)
        ty = _shift(rng, self.width_shift_range, width)
        shear = _uniform(rng, self.shear_range)
        low, high = self.zoom_range
        zx, zy = (1.0, 1.0) if low == high == 1 else rng.uniform(low, high, 2)
        # Both are drawn whether wanted or not.
        horizontal = bool(rng.random_sample() < 0.5) and self.horizontal_flip
        vertical = bool(rng.random_sample() < 0.5) and self.vertical_flip
        shift = _uniform(rng, self.channel_shift_range) if self.channel_shift_range else None
        brightness = rng.uniform(*self.brightness_range) if self.brightness_range else None
        return {
            "theta": theta,
            "tx": tx,
            "ty": ty,
            "shear": shear,
            "zx": zx,
            "zy": zy,
            "flip_horizontal": horizontal,
            "flip_vertical": vertical,
            "channel_shift_intensity": shift,
            "brightness": brightness,
        }

    def apply(self, image: np.ndarray, parameters: Mapping[str, Any]) -> np.ndarray:
        """Return an image (height, width, channels) with the changes drawn."""
        matrix = affine_matrix(parameters)
        if matrix is not None:
            image = apply_affine(image, matrix, self.fill_mode, self.cval, self.order)
        if parameters.get("channel_shift_intensity") is not None:
            image = shift_channels(image, parameters["channel_shift_intensity"])
        if parameters.get("flip_horizontal"):
            image = image[:, ::-1]
        if parameters.get("flip_vertical"):
            image = image[::-1]
        if parameters.get("brightness") is not None:
            image = shift_brightness(image, parameters["brightness"])
        return image


def _uniform(rng: np.random.RandomState, reach: float) -> float:
    return rng.uniform(-reach, reach) if reach else 0.0


def _shift(rng: np.random.RandomState, reach: float | np.ndarray, size: int) -> float:
    """Draw a shift in pixels of an axis of `size`."""
    if isinstance(reach, np.ndarray):
        shift = float(rng.choice(reach)) * int(rng.choice([-1, 1]))
    else:
        shift = _uniform(rng, reach)
    return shift * size if np.max(reach) < 1 else shift


@dataclass
class Scaling:
    """Fixed scaling: see ImageDataGenerator. `mean` and `std` are those of a data set."""

    preprocessing_function: Callable[[np.ndarray], np.ndarray] | None
    rescale: float | None
    samplewise_center: bool
    samplewise_std: bool
    featurewise_center: bool
    featurewise_std: bool
    mean: np.ndarray | None = None
    std: np.ndarray | None = None

    def apply(self, x: np.ndarray) -> np.ndarray:
        """Return x scaled; x itself is overwritten."""
        if self.preprocessing_function:
            x = self._preprocessed(x)
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= np.mean(x, keepdims=True)
        if self.samplewise_std:
            x /= np.std(x, keepdims=True) + _TINY
        if self.featurewise_center:
            x -= self._fitted(self.mean)
        if self.featurewise_std:
            x /= self._fitted(self.std) + _TINY
        return x

    def fit(self, x: np.ndarray, axes: tuple[int, ...]) -> None:
        """Take the mean and the deviation over `axes` of images that are rescaled already."""
        if self.featurewise_center:
            self.mean = np.mean(x, axis=axes, keepdims=True)[0]
        if self.featurewise_std:
            self.std = np.std(x, axis=axes, keepdims=True)[0]

    def _preprocessed(self, x: np.ndarray) -> np.ndarray:
        assert self.preprocessing_function is not None
        result = np.asarray(self.preprocessing_function(x), x.dtype)
        if result.shape != x.shape:
            rule = f"a function that returns an array of the shape {x.shape} it was given"
            raise value_error(NAME, "preprocessing_function", rule, describe(result))
        # What the function gave may be its own, so it is not to be overwritten.
        return result if result is x else result.copy()

    def _fitted(self, value: np.ndarray | None) -> np.ndarray:
        if value is None:
            rule = "fitted to data first: call fit(x)"
            raise value_error(NAME, "featurewise_center", rule, "no call of it")
        return value
