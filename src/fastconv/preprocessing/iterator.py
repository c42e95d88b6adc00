"""Batches without end, in an order that a seed repeats: the base of the generators' iterators."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator as AnyIterator
from typing import Any, NamedTuple

import numpy as np

from ..errors import describe, value_error
from ..geometry import plain_flag, plain_int, plain_word
from ..random import checked_seed, new_generator
from .loader import AHEAD, ON_ERROR, Batch, Loader, checked_workers

_COUNT = "an int of at least 1"


class _State(NamedTuple):
    """Where an iterator stands: with the seed it decides all that follows."""

    batch_index: int
    total_batches_seen: int
    index_array: np.ndarray | None


class Iterator:
    """Batches of n samples, epoch after epoch, without end.

    `next` gives one batch after the other, and has the following ones loaded meanwhile by
    `workers` threads. ``iterator[i]`` gives the i-th of an epoch. Neither the order nor the
    content depends on the threads; with the same seed they are Keras's.

    Parameters
    ----------
    n : int
        Samples in an epoch.
    batch_size : int
        Samples in a batch; the last of an epoch may have fewer.
    shuffle : bool
        Whether each epoch has an order of its own.
    seed : int or None
        Repeats the order and what is drawn at random; None takes the next one of
        `fastconv.utils.set_random_seed`.
    workers : int or None
        Threads that load; None for one per CPU, 0 to load in the caller's.
    on_error : {"raise", "skip"}
        What happens to images that can't be read: a ValueError that names the file, or the batch
        lacks them, with a warning the first time.

    Raises
    ------
    ValueError, TypeError
        If an argument makes no sense.

    Notes
    -----
    A subclass has `_shape` and `_dtype` of one sample, and `_load`, `_draw` and `_targets`.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        shuffle: bool,
        seed: int | None,
        *,
        workers: int | None = 0,
        on_error: str = "raise",
    ):
        name = type(self).__name__
        self.n = plain_int(name, "n", n, _COUNT)
        self.batch_size = plain_int(name, "batch_size", batch_size, _COUNT)
        for argument in ("n", "batch_size"):
            if getattr(self, argument) < 1:
                raise value_error(name, argument, _COUNT, getattr(self, argument))
        self.shuffle = plain_flag(name, "shuffle", shuffle)
        self.seed = None if seed is None else checked_seed(name, seed)
        self.on_error = plain_word(name, "on_error", on_error, ON_ERROR)
        self.workers = checked_workers(name, workers)
        self._first_seed = int(new_generator().integers(2**32)) if self.seed is None else self.seed
        self._state = _State(0, 0, None)
        self._queue: deque[tuple[_State, Batch]] = deque()
        self._lock = threading.RLock()
        self._warned: set[str] = set()
        self._loader = Loader(self._shape, self._dtype, self.workers)
        _iterators.add(self)

    # What a subclass says of its samples.
    _shape: tuple[int, ...]
    _dtype: str

    def _load(self, index: int, drawn: Any) -> np.ndarray:
        """Return a sample, changed as `drawn` says; called by several threads."""
        raise NotImplementedError

    def _draw(self, rng: np.random.RandomState) -> Any:
        """Draw the changes to one sample."""
        raise NotImplementedError

    def _targets(self, x: np.ndarray, indices: np.ndarray) -> Any:
        """Return the batch that the user gets: images alone, or a tuple with their labels."""
        raise NotImplementedError

    @property
    def batch_index(self) -> int:
        """The batch of the epoch that `next` gives."""
        return self._now().batch_index

    @property
    def total_batches_seen(self) -> int:
        """How many batches were given."""
        return self._now().total_batches_seen

    @property
    def index_array(self) -> np.ndarray | None:
        """The order of the epoch, None before it is drawn."""
        return self._now().index_array

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __iter__(self) -> AnyIterator[Any]:
        return self

    def __next__(self) -> Any:
        for _ in range(len(self) + 1):
            with self._lock:
                while len(self._queue) <= (AHEAD if self.workers else 0):
                    self._queue.append((self._state, self._start_next()))
                _, batch = self._queue.popleft()
            x, indices = batch.wait(self.on_error, self._warned)
            if len(indices):
                return self._targets(x, indices)
        raise ValueError(f"{type(self).__name__}: no image of {self.n} can be read")

    def __getitem__(self, index: int) -> Any:
        rule = f"an int below {len(self)}, the number of batches"
        number = plain_int(type(self).__name__, "index", index, rule)
        if not -len(self) <= number < len(self):
            raise value_error(type(self).__name__, "index", rule, describe(index))
        with self._lock:
            self._rewind()
            rng = self._rng()
            order = self._state.index_array
            if order is None:
                order = self._order(rng)
            batches = self._state.total_batches_seen + 1
            self._state = self._state._replace(total_batches_seen=batches, index_array=order)
            batch = self._start(order, number % len(self), rng)
        return self._targets(*batch.wait(self.on_error, self._warned))

    def reset(self) -> None:
        """Let `next` begin an epoch."""
        with self._lock:
            self._rewind()
            self._state = self._state._replace(batch_index=0)

    def on_epoch_end(self) -> None:
        """Draw a new order for ``iterator[i]``."""
        with self._lock:
            self._rewind()
            # A stream of its own: the next batch draws from that of its number.
            seed = [self._first_seed, self._state.total_batches_seen]
            order = self._order(np.random.RandomState(seed))
            self._state = self._state._replace(index_array=order)

    def _now(self) -> _State:
        """Return where the user stands, who has not seen what is loaded ahead."""
        with self._lock:
            return self._queue[0][0] if self._queue else self._state

    def _rewind(self) -> None:
        """Forget what is loaded ahead."""
        self._state = self._now()
        for _, batch in self._queue:
            batch.cancel()
        self._queue.clear()

    def _begin_in_child(self) -> None:
        """Go on without what the parent's threads had begun, and the lock that one may hold."""
        self._lock = threading.RLock()
        self._loader.begin_in_child()
        self._state = self._now()
        self._queue.clear()

    def _rng(self) -> np.random.RandomState:
        # As Keras does, which seeds NumPy's global generator so for every batch.
        return np.random.RandomState((self._first_seed + self._state.total_batches_seen) % 2**32)

    def _order(self, rng: np.random.RandomState) -> np.ndarray:
        return rng.permutation(self.n) if self.shuffle else np.arange(self.n)

    def _start_next(self) -> Batch:
        """Begin the batch after the last one begun."""
        place, batches, order = self._state
        rng = self._rng()
        if place == 0 or order is None:
            order = self._order(rng)
        following = place + 1 if place + 1 < len(self) else 0
        self._state = _State(following, batches + 1, order)
        return self._start(order, place, rng)

    def _start(self, order: np.ndarray, place: int, rng: np.random.RandomState) -> Batch:
        indices = order[place * self.batch_size : (place + 1) * self.batch_size]
        return self._loader.start(self._load, indices, [self._draw(rng) for _ in indices])


_iterators: weakref.WeakSet[Iterator] = weakref.WeakSet()


def _begin_all_in_child() -> None:
    for iterator in list(_iterators):
        iterator._begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_in_child)
