"""The numbers that ImageDataGenerator takes, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import describe, type_error, value_error
from ..geometry import plain_real

NAME = "ImageDataGenerator"
SUBSETS = ("training", "validation")


def number(argument: str, value: object) -> float:
    """Return a finite real number as a float."""
    real = plain_real(NAME, argument, value, "a number")
    if not math.isfinite(real):
        raise value_error(NAME, argument, "a finite number", describe(value))
    return real


def pair(argument: str, value: object) -> tuple[float, float]:
    """Return two numbers."""
    rule = "a pair of numbers"
    if not isinstance(value, (tuple, list, np.ndarray)):
        raise type_error(NAME, argument, rule, describe(value))
    if len(value) != 2:
        raise value_error(NAME, argument, rule, describe(value))
    return number(argument, value[0]), number(argument, value[1])


def zooms(value: object) -> tuple[float, float]:
    """Return the lowest and the highest factor."""
    if isinstance(value, (tuple, list, np.ndarray)):
        return pair("zoom_range", value)
    zoom = number("zoom_range", value)
    return 1 - zoom, 1 + zoom


def shifts(argument: str, value: object) -> float | np.ndarray:
    """Return the largest shift as a float, or those to choose from as an array.

    As in Keras an int k stands for the shifts 0 to k - 1, to either side.
    """
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        if value < 0:
            raise value_error(NAME, argument, "at least 0", describe(value))
        return np.arange(value) if value else 0.0
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str):
        if not len(value):
            raise value_error(NAME, argument, "a number, or a sequence of some", describe(value))
        return np.array([number(argument, shift) for shift in value])
    return number(argument, value)


def split(function: str, value: object) -> float:
    """Return the fraction of images that is for validation."""
    rule = "a number from 0 to 1, both excluded, or 0 for no validation"
    fraction = plain_real(function, "validation_split", value, rule)
    if not 0 <= fraction < 1:
        raise value_error(function, "validation_split", rule, describe(value))
    return fraction
