"""Batches filled by a few threads, image by image, while their user is busy with others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..cpus import allowed_cpus
from ..errors import value_error
from ..geometry import plain_int
from .pictures import BrokenImageError

ON_ERROR = ("raise", "skip")
# More threads decode no faster than the caller computes; each holds a whole photo.
_MOST_BY_DEFAULT = 8
_MOST_WORKERS = 256
# Batches in the making beside the one in use.
AHEAD = 2

Load = Callable[[int, Any], np.ndarray]


def checked_workers(function: str, workers: object) -> int:
    """Return a number of threads, for None one per CPU."""
    rule = f"an int from 0 to {_MOST_WORKERS} or None"
    if workers is None:
        return min(allowed_cpus(), _MOST_BY_DEFAULT)
    number = plain_int(function, "workers", workers, rule)
    if not 0 <= number <= _MOST_WORKERS:
        raise value_error(function, "workers", rule, number)
    return number


class Batch:
    """Images on their way: the threads write each to its own place."""

    def __init__(self, x: np.ndarray, indices: np.ndarray, tasks: Sequence[Callable[[], None]]):
        self.indices = indices
        self._x = x
        self._tasks = tasks
        self._futures: list[Future[None]] = []

    def submit(self, pool: ThreadPoolExecutor) -> None:
        """Let threads do it."""
        self._futures = [pool.submit(task) for task in self._tasks]
        # A task refers to the iterator, which has this batch in its queue. Were it kept, neither
        # would go, nor would the threads, before the next search for such circles.
        self._tasks = []

    def cancel(self) -> None:
        """Give up what no thread has begun."""
        for future in self._futures:
            future.cancel()

    def wait(self, on_error: str, warned: set[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the images and their indices, once all are there.

        Broken images are an error, or left out with a warning, which `warned` remembers.
        """
        kept = np.ones(len(self.indices), bool)
        calls = [future.result for future in self._futures] or self._tasks
        for position, call in enumerate(calls):
            try:
                call()
            except BrokenImageError as error:
                if on_error == "raise":
                    self.cancel()
                    raise
                kept[position] = False
                _warn_once(str(error), warned)
            except BaseException:
                self.cancel()
                raise
        if kept.all():
            return self._x, self.indices
        return self._x[kept], self.indices[kept]


def _warn_once(text: str, warned: set[str]) -> None:
    if text not in warned:
        warned.add(text)
        warnings.warn(f"{text}; it is left out", stacklevel=5)


class Loader:
    """Starts batches.

    Parameters
    ----------
    shape, dtype
        Of one image.
    workers : int
        Threads; 0 loads a batch when it is waited for, in the thread that waits.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str, workers: int):
        self.workers = workers
        self._shape, self._dtype = shape, dtype
        self._pool: ThreadPoolExecutor | None = None

    def start(self, load: Load, indices: np.ndarray, drawn: Sequence[Any]) -> Batch:
        """Begin to load a batch.

        `load` takes the index of an image and what was drawn for it, and returns the image. It is
        called by several threads at once.
        """
        x = np.empty((len(indices), *self._shape), self._dtype)
        tasks = [
            _Task(load, x, position, int(index), value)
            for position, (index, value) in enumerate(zip(indices, drawn, strict=True))
        ]
        batch = Batch(x, indices, tasks)
        if self.workers:
            batch.submit(self._threads())
        return batch

    def begin_in_child(self) -> None:
        """Do without the threads, which a forked child has not."""
        self._pool = None

    def _threads(self) -> ThreadPoolExecutor:
        # The threads end when nobody refers to the pool any more.
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.workers, "fastconv-images")
        return self._pool


class _Task:
    """Loads one image into its place."""

    __slots__ = ("_drawn", "_index", "_load", "_position", "_x")

    def __init__(self, load: Load, x: np.ndarray, position: int, index: int, drawn: Any):
        self._load, self._x, self._position = load, x, position
        self._index, self._drawn = index, drawn

    def __call__(self) -> None:
        self._x[self._position] = self._load(self._index, self._drawn)
