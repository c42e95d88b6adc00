"""Where layers, models and generators of data get their randomness: one seed repeats a run."""

from __future__ import annotations

import random as python_random

import numpy as np

from .errors import value_error
from .geometry import plain_int

_SEED_RULE = "an int from 0 to 4294967295"
_source = np.random.SeedSequence()


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
    _source = np.random.SeedSequence(number)


def new_generator(seed: int | None = None) -> np.random.Generator:
    """Return a generator of its own: of `seed`, or the next one of the process."""
    return np.random.default_rng(_source.spawn(1)[0] if seed is None else seed)


def checked_seed(function: str, seed: object) -> int:
    """Return a seed as an int."""
    number = plain_int(function, "seed", seed, _SEED_RULE)
    if not 0 <= number < 2**32:
        raise value_error(function, "seed", _SEED_RULE, number)
    return number
