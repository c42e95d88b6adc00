"""Layers that join branches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import describe, value_error
from ..geometry import plain_int
from .base import Layer

if TYPE_CHECKING:
    from .base import Array, Saved, Shape, Training


class Add(Layer):
    """The sum of its inputs, which have one shape.

    Parameters
    ----------
    **keywords
        name, dtype: see `Layer`.

    Raises
    ------
    ValueError
        If there are fewer than two inputs, or their shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> Add()([np.ones((1, 2)), np.ones((1, 2))])
    array([[2., 2.]], dtype=float32)
    """

    takes_list = True

    def check_input(self, shape: list[Shape]) -> None:
        if len(shape) < 2 or any(other[1:] != shape[0][1:] for other in shape):
            rule = "two arrays or more of one shape"
            raise value_error(self.name, "inputs", rule, f"shapes {describe(shape)}")

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return input_shape[0]

    def forward(self, x: list[Array], training: Training | None = None) -> tuple[Array, Saved]:
        y = x[0] + x[1]
        for one in x[2:]:
            y += one
        return y, len(x)

    def backward(self, grad: Array, saved: Saved) -> tuple[list[Array], list[Array]]:
        return [grad] * saved, []


class Concatenate(Layer):
    """Its inputs side by side along an axis.

    Parameters
    ----------
    axis : int
        Which one; not that of the samples.
    **keywords
        name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If the axis is no int, or the shapes differ elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> Concatenate()([np.zeros((1, 4, 4, 2)), np.zeros((1, 4, 4, 3))]).shape
    (1, 4, 4, 5)
    """

    takes_list = True

    def __init__(self, axis: int = -1, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.axis = plain_int(type(self).__name__, "axis", axis, "an int")

    def check_input(self, shape: list[Shape]) -> None:
        first, axis = shape[0] if shape else (), self.axis
        fits = len(shape) > 1 and -len(first) < axis < len(first) and axis != 0
        if fits:
            axis %= len(first)
            fits = all(
                len(one) == len(first)
                and one[1:axis] + one[axis + 1 :] == first[1:axis] + first[axis + 1 :]
                for one in shape
            )
        if not fits:
            rule = f"two arrays or more whose shapes differ along axis {self.axis} alone"
            raise value_error(self.name, "inputs", rule, f"shapes {describe(shape)}")

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        out = list(input_shape[0])
        sizes = [shape[self.axis] for shape in input_shape]
        out[self.axis] = None if None in sizes else sum(size or 0 for size in sizes)
        return tuple(out)

    def forward(self, x: list[Array], training: Training | None = None) -> tuple[Array, Saved]:
        return np.concatenate(x, axis=self.axis), [one.shape[self.axis] for one in x]

    def backward(self, grad: Array, saved: Saved) -> tuple[list[Array], list[Array]]:
        return np.split(grad, np.cumsum(saved)[:-1], axis=self.axis), []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}
