"""Where layers, models and generators of data get their randomness: one seed repeats a run."""

from __future__ import annotations

import itertools
import random as python_random

import numpy as np

from .errors import value_error
from .geometry import plain_int

_SEED_RULE = "an int from 0 to 4294967295"
# The root of the process's generators, and the numbers of its children to come: a pair, so that
# who reads it never has the root of one seed and the numbers of another.
_source = np.random.SeedSequence(), itertools.count()


def set_random_seed(seed: int) -> None:
    """Make what follows repeatable: initial weights, shuffling, dropout.

    Python's and NumPy's global generators are seeded too, for the caller's own code.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.

    Raises
    ------
    ValueError, TypeError
        If it is not such an int.

    Examples
    --------
    >>> set_random_seed(7)
    >>> first = new_generator().random()
    >>> set_random_seed(7)
    >>> new_generator().random() == first
    True
    """
    global _source
    number = checked_seed("set_random_seed", seed)
    python_random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - for code that relies on it
    _source = np.random.SeedSequence(number), itertools.count()


def new_generator(seed: int | None = None) -> np.random.Generator:
    """Return a generator of its own: of `seed`, or the next one of the process.

    Threads may ask at once: no two get the same one.

    Examples
    --------
    >>> bool(new_generator(7).random() == new_generator(7).random())
    True
    >>> bool(new_generator().random() == new_generator().random())
    False
    """
    if seed is not None:
        return np.random.default_rng(seed)
    root, numbers = _source
    # Just what `root.spawn` gives. That one may give two threads the same child, though, and a
    # lock around it could be held for ever in a process that forks; `next` here is atomic.
    return np.random.default_rng(np.random.SeedSequence(root.entropy, spawn_key=(next(numbers),)))


def checked_seed(function: str, seed: object) -> int:
    """Return a seed as an int."""
    number = plain_int(function, "seed", seed, _SEED_RULE)
    if not 0 <= number < 2**32:
        raise value_error(function, "seed", _SEED_RULE, number)
    return number
