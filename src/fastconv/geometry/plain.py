"""What a caller wrote as a size, made plain: exact ints, pairs, paddings, shapes, words and flags.

A cache of geometries must never answer 1.0 or True with what it keeps for 1, and to Python these
are equal. Hence every value is made exactly an int, a str or a tuple of them before it is looked
up. Only the *kind* is judged here (TypeError, or ValueError for a wrong length or word); whether a
number fits is the business of the geometry that uses it.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Sequence
from itertools import islice

import numpy as np

from ..errors import describe, type_error, value_error

Pair = tuple[int, int]
Padding = int | str | Pair | tuple[Pair, Pair]
Shape = tuple[int, int, int, int]

PAIR = "an int or a (rows, columns) pair of ints"
PADDING_PAIRS = "an int, a pair or ((top, bottom), (left, right))"
PADDING_WORDS = ("valid", "same", "full")
PADDING = "'valid', 'same', 'full', " + PADDING_PAIRS
DATA_FORMATS = ("NCHW", "NHWC")

_FOUR_INTS = [int, int, int, int]


def is_plain(value: object) -> bool:
    """Return whether a cache may look `value` up as it is: it equals no value of another type.

    True of exact ints and strs, of pairs of ints and of pairs of pairs. That says nothing about
    what belongs where: the functions below do, once the cache has missed.
    """
    kind = type(value)
    return (
        kind is int
        or kind is str
        or _is_pair(value)
        or (kind is tuple and len(value) == 2 and _is_pair(value[0]) and _is_pair(value[1]))  # type: ignore
    )


def _is_pair(value: object) -> bool:
    return (
        type(value) is tuple and len(value) == 2 and type(value[0]) is int and type(value[1]) is int
    )


def plain_int(function: str, argument: str, value: object, rule: str) -> int:
    """Return `value` as exactly an int; what its ``__index__`` raises passes unchanged."""
    if type(value) is int:
        return value
    if isinstance(value, np.ndarray):
        # An array has __index__ whatever it holds, and its message would not name the argument.
        whole = value.ndim == 0 and value.dtype.kind in "iu"
    else:
        # np.bool_ had __index__ once.
        whole = hasattr(type(value), "__index__") and not isinstance(value, (bool, np.bool_))
    if not whole:
        raise type_error(function, argument, rule, describe(value))
    return int(operator.index(value))  # type: ignore[arg-type]


def plain_real(function: str, argument: str, value: object, rule: str) -> float:
    """Return `value`, a real number, as a float; an int beyond floats is refused."""
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
        value = value[()]
    # A float of NumPy's would make float32 arrays beside it float64.
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise type_error(function, argument, rule, describe(value))
    try:
        return float(value)
    except OverflowError:
        raise value_error(function, argument, rule, describe(value)) from None


def plain_pair(function: str, argument: str, value: object) -> int | Pair:
    """Return `value` as an int or as a pair of ints."""
    if type(value) is int:
        return value
    items = _items(value, 2)
    if items is None:
        return plain_int(function, argument, value, PAIR)
    if len(items) != 2:
        raise value_error(function, argument, PAIR, describe(value))
    first, second = (plain_int(function, argument, item, PAIR) for item in items)
    return first, second


def plain_padding(function: str, argument: str, value: object, words: bool = True) -> Padding:
    """Return `value` as a word (if `words` are allowed), an int, a pair or a pair of pairs."""
    if type(value) is int:
        return value
    rule = PADDING if words else PADDING_PAIRS
    if words and isinstance(value, str):
        if value not in PADDING_WORDS:
            hint = "; for other borders call np.pad first"
            raise value_error(function, argument, rule + hint, describe(value))
        return str.__str__(value)
    items = _items(value, 2)
    if items is None:
        return plain_int(function, argument, value, rule)
    nested = [_items(item, 2) for item in items]
    if len(items) != 2 or any(inner is not None and len(inner) != 2 for inner in nested):
        raise value_error(function, argument, rule, describe(value))
    rows, columns = nested
    if rows is not None and columns is not None:
        top, bottom, left, right = (
            plain_int(function, argument, item, rule) for item in (*rows, *columns)
        )
        return (top, bottom), (left, right)
    if rows is not None or columns is not None:
        raise type_error(function, argument, rule, describe(value))
    first, second = (plain_int(function, argument, item, rule) for item in items)
    return first, second


def plain_shape(function: str, argument: str, value: object) -> Shape:
    """Return `value` as a tuple of four ints."""
    if type(value) is tuple and list(map(type, value)) == _FOUR_INTS:
        return value
    rule = "a shape of 4 ints"
    items = _items(value, 4)
    if items is None:
        raise type_error(function, argument, rule, describe(value))
    if len(items) != 4:
        raise value_error(function, argument, rule, describe(value))
    first, second, third, fourth = (plain_int(function, argument, item, rule) for item in items)
    return first, second, third, fourth


def plain_word(function: str, argument: str, value: object, words: tuple[str, ...]) -> str:
    """Return `value`, which must be one of `words`."""
    rule = " or ".join(repr(word) for word in words)
    if not isinstance(value, str):
        raise type_error(function, argument, rule, describe(value))
    if value not in words:
        raise value_error(function, argument, rule, describe(value))
    return str.__str__(value)


def plain_flag(function: str, argument: str, value: object) -> bool:
    """Return `value`, which must be True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise type_error(function, argument, "True or False", describe(value))
    return bool(value)


def _items(value: object, most: int) -> tuple | None:
    """Return the items of a sequence, `most` + 1 of them at most; None if it is no sequence."""
    if isinstance(value, np.ndarray):
        return tuple(value[: most + 1]) if value.ndim else None
    if isinstance(value, (int, str, bytes, bytearray, memoryview)):
        return None
    if isinstance(value, (tuple, list, Sequence)):
        return tuple(islice(value, most + 1))
    return None
