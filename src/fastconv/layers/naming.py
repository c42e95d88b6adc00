"""Automatic names: conv2d, conv2d_1, ..., as Keras counts them."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import count

from ..errors import describe, type_error, value_error

# The next number of each name, drawn in one step: many threads may make layers at once.
_numbers: defaultdict[str, count[int]] = defaultdict(count)


def snake_case(class_name: str) -> str:
    """Return a class's name as Keras writes it in names.

    Examples
    --------
    >>> snake_case("BatchNormalization"), snake_case("Conv2D")
    ('batch_normalization', 'conv2d')
    """
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def automatic_name(class_name: str) -> str:
    """Return the next free name of a class.

    Examples
    --------
    >>> clear_session()
    >>> automatic_name("MaxPooling2D"), automatic_name("MaxPooling2D")
    ('max_pooling2d', 'max_pooling2d_1')
    """
    name = snake_case(class_name)
    number = next(_numbers[name])
    return f"{name}_{number}" if number else name


def checked_name(class_name: str, name: object) -> str:
    """Return the name a caller gave, or an automatic one for None."""
    if name is None:
        return automatic_name(class_name)
    if not isinstance(name, str):
        raise type_error(class_name, "name", "a str", describe(name))
    if not name or "/" in name:
        raise value_error(class_name, "name", "a str without '/', not empty", describe(name))
    return name


def clear_session() -> None:
    """Begin the automatic names anew: the next convolution is conv2d again.

    Layers and models that there are keep their names and their weights.

    Examples
    --------
    >>> clear_session()
    >>> automatic_name("Conv2D"), automatic_name("Conv2D")
    ('conv2d', 'conv2d_1')
    >>> clear_session()
    >>> automatic_name("Conv2D")
    'conv2d'
    """
    _numbers.clear()
