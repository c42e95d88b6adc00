"""What a timed library looks like to the benchmark."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..problems import Layer, Problem

Arrays = dict[str, np.ndarray]


class Unsupported(Exception):
    """This library has no such operation; the text says why."""


@dataclass
class Contender:
    """One library ready to do one operation on one problem.

    `call` is what is timed: arrays are already in the library's own types, weights already loaded
    where it wants them so. `to_numpy` turns its result into an array, or a tuple of arrays, laid
    out samples, channels, height, width. `estimate` is the expected time of a call in seconds,
    known in advance for those that may take minutes.
    """

    call: Callable[[], Any]
    to_numpy: Callable[[Any], Any] = np.asarray
    estimate: float = 0.0
    checked: bool = True


class Peer(ABC):
    """A library; making one imports it, and raises ImportError where it isn't installed."""

    name: ClassVar[str]
    tolerance: ClassVar[float] = 1e-3  # largest error over largest result: is it the same function?

    version: str = ""

    def set_threads(self, count: int) -> None:  # noqa: B027  (most have nothing to set)
        """Use `count` threads from now on; contenders are prepared after this."""

    @abstractmethod
    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        """Get ready; with `reuse`, write to the same output every time if the library can."""


def need(condition: bool, reason: str) -> None:
    """Raise Unsupported with `reason` unless `condition` holds."""
    if not condition:
        raise Unsupported(reason)


def padded(x: np.ndarray, layer: Layer) -> np.ndarray:
    """The images with their border of zeros."""
    if layer.padding == ((0, 0), (0, 0)):
        return x
    return np.pad(x, ((0, 0), (0, 0), *layer.padding))


def dilated(w: np.ndarray, layer: Layer) -> np.ndarray:
    """The kernels with the zeros that dilation means, for libraries that have none."""
    if layer.dilation == 1:
        return w
    step = layer.dilation
    rows, columns = ((size - 1) * step + 1 for size in w.shape[2:])
    wide = np.zeros((*w.shape[:2], rows, columns), w.dtype)
    wide[:, :, ::step, ::step] = w
    return wide
