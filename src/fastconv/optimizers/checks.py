"""The numbers an optimizer is given, made plain Python floats.

NumPy's own scalars would not do: beside one of float64, NumPy 2 computes float32 arrays in float64.
"""

from __future__ import annotations

import math

from .. import geometry
from ..errors import describe, value_error


def plain_real(
    function: str,
    argument: str,
    value: object,
    least: float = 0.0,
    most: float = math.inf,
    above: bool = False,
) -> float:
    """Return `value` as a float from `least` (or, with `above`, more than that) to `most`."""
    rule = f"a finite number {'above' if above else 'of at least'} {least:g}"
    if most != math.inf:
        rule += f" and at most {most:g}"
    number = geometry.plain_real(function, argument, value, rule)
    if not math.isfinite(number) or not least <= number <= most or (above and number == least):
        raise value_error(function, argument, rule, describe(value))
    return number


def optional_real(function: str, argument: str, value: object, above: bool = True) -> float | None:
    """Return None, or `value` as `plain_real` does."""
    return None if value is None else plain_real(function, argument, value, above=above)
