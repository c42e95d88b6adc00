"""How an error message is built: function, argument, rule and what came instead, on one line.

The functions return the exception and the caller raises it, so that a reader (and mypy) sees
where a function ends.
"""

from __future__ import annotations

import numpy as np

LONGEST_MESSAGE = 200
_LONGEST_VALUE = 60
_MOST_ITEMS = 6
_MOST_LEVELS = 3


def value_error(function: str, argument: str, rule: str, got: object) -> ValueError:
    """Return the ValueError "<function>: <argument> must be <rule>, got <got>".

    Parameters
    ----------
    function, argument : str
        The public function that was called and its argument that is at fault.
    rule : str
        What the argument must be.
    got : object
        What it was: a text is taken as it is, anything else goes through `describe`.

    Examples
    --------
    >>> value_error("conv2d", "stride", "an int of at least 1", 0)
    ValueError('conv2d: stride must be an int of at least 1, got 0')
    """
    return ValueError(_message(function, argument, rule, got))


def type_error(function: str, argument: str, rule: str, got: object) -> TypeError:
    """Return the TypeError of the same text as `value_error`.

    Examples
    --------
    >>> type_error("conv2d", "groups", "an int", describe("two"))
    TypeError("conv2d: groups must be an int, got 'two'")
    """
    return TypeError(_message(function, argument, rule, got))


def describe(value: object) -> str:
    """Name a value in a few words, never the contents of an array.

    An object's own ``__repr__`` is not called: it may be long, slow or raise.

    Examples
    --------
    >>> import numpy as np
    >>> describe((1, 2.5, None)), describe(np.zeros((2, 3)))
    ('(1, 2.5, None)', 'an array of shape (2, 3) and dtype float64')
    """
    return _describe(value, _MOST_LEVELS)


def _describe(value: object, levels: int) -> str:
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, int):
        # Python refuses to print ints of thousands of digits.
        small = value.bit_length() <= 128
        return int.__repr__(value) if small else f"an int of {value.bit_length()} bits"
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, str):
        return _cut(str.__repr__(value[:_LONGEST_VALUE]), _LONGEST_VALUE)
    if isinstance(value, (tuple, list)):
        return _describe_items(value, levels - 1)
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, (np.number, np.bool_)):
        return f"{type(value).__name__} {value}"
    return f"an object of type {type(value).__qualname__}"


def _describe_items(value: tuple | list, levels: int) -> str:
    if levels < 0 or len(value) > _MOST_ITEMS:
        return f"a {type(value).__name__} of length {len(value)}"
    items = ", ".join(_describe(item, levels) for item in value)
    if isinstance(value, list):
        return f"[{items}]"
    return f"({items},)" if len(value) == 1 else f"({items})"


def _message(function: str, argument: str, rule: str, got: object) -> str:
    text = got if isinstance(got, str) else describe(got)
    line = " ".join(f"{function}: {argument} must be {rule}, got {text}".split())
    return _cut(line, LONGEST_MESSAGE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
