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
    """The sum of its inputs.

    Their shapes are broadcast: samples go with samples, and the other axes pair up from the last
    one on. Where one input has 1, or no such axis, its elements count for all of the others'.

    Parameters
    ----------
    **keywords
        name, dtype: see `Layer`.

    Raises
    ------
    ValueError
        If there is no input, or their shapes do not go together.

    Examples
    --------
    >>> import numpy as np
    >>> Add()([np.ones((1, 2)), np.ones((1, 2))])
    array([[2., 2.]], dtype=float32)
    >>> Add()([np.ones((1, 8, 8, 3)), np.ones((1, 3))]).shape
    (1, 8, 8, 3)
    """

    takes_list = True

    def check_input(self, shape: list[Shape]) -> None:
        most = max(map(len, shape), default=0)
        fits = bool(shape) and all(shape) and len({one[0] for one in shape} - {None}) < 2
        if fits:
            sizes = zip(*(_spread(one, most)[1:] for one in shape), strict=True)
            fits = all(len(set(axis) - {None, 1}) < 2 for axis in sizes)
        if not fits:
            rule = "an array or more whose shapes are broadcast, of as many samples each"
            raise value_error(self.name, "inputs", rule, f"shapes {describe(shape)}")

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        most = max(map(len, input_shape))
        samples, *sizes = zip(*(_spread(one, most) for one in input_shape), strict=True)
        # beside a size that is not known, another may be spread or not
        known = [None if None in axis else _other_than(1, axis) for axis in sizes]
        return _other_than(None, samples), *known

    def forward(self, x: list[Array], training: Training | None = None) -> tuple[Array, Saved]:
        most = max(one.ndim for one in x)
        y, *others = [one.reshape(_spread(one.shape, most)) for one in x]
        fresh = False  # no input is written to
        for one in others:
            if fresh and one.shape == y.shape:
                y += one
            else:
                y, fresh = y + one, True
        return y, [one.shape for one in x]

    def backward(self, grad: Array, saved: Saved) -> tuple[list[Array], list[Array]]:
        return [_gathered(grad, shape) for shape in saved], []


def _spread(shape: tuple[Any, ...], most: int) -> tuple[Any, ...]:
    """Return a shape with ones behind the samples, for as many axes as the others have."""
    return *shape[:1], *([1] * (most - len(shape))), *shape[1:]


def _other_than(value: int | None, sizes: tuple[int | None, ...]) -> int | None:
    return next((size for size in sizes if size != value), value)


def _gathered(grad: Array, shape: tuple[int, ...]) -> Array:
    """Return the gradient for an input of a shape: summed over what it was spread over."""
    spread = _spread(shape, grad.ndim)
    over = tuple(i for i, size in enumerate(spread) if size != grad.shape[i])
    return (grad.sum(axis=over, keepdims=True) if over else grad).reshape(shape)


class Concatenate(Layer):
    """Its inputs side by side along an axis.

    Parameters
    ----------
    axis : int
        Which one. Along 0, that of the samples, there are more of them afterwards.
    **keywords
        name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If the axis is no int, there is no input, or the shapes differ elsewhere.

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
        ranks = {len(one) for one in shape}
        fits = len(ranks) == 1 and all(-rank <= self.axis < rank for rank in ranks)
        if fits:
            sizes = list(zip(*shape, strict=True))
            del sizes[self.axis]
            fits = all(len(set(axis) - {None}) < 2 for axis in sizes)
        if not fits:
            rule = f"an array or more whose shapes differ along axis {self.axis} alone"
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
