"""Layers that move elements and change none: flatten, reshape, pad, enlarge."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import checked_data_format
from ..errors import describe, type_error, value_error
from ..geometry import plain_int, plain_word
from ..geometry.plain import plain_padding
from ..geometry.sizes import padding_of_axes
from .base import Layer
from .images import channels_of, check_image_shape, image_shape, pair, sizes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Array, Saved, Shape, Training


class Flatten(Layer):
    """All axes but the samples in one.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        Images that are channels first are flattened as if their channels were last.
    **keywords
        name, dtype, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If it is no layout.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, data_format: str | None = None, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.data_format = checked_data_format(type(self).__name__, data_format)

    def _moves(self, dimensions: int) -> bool:
        return self.data_format == "channels_first" and dimensions > 2

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = input_shape[1:]
        if any(size is None for size in sizes):
            return input_shape[0], None
        return input_shape[0], math.prod(size or 0 for size in sizes)

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        moved = np.moveaxis(x, 1, -1) if self._moves(x.ndim) else x
        return moved.reshape(len(x), math.prod(x.shape[1:])), moved.shape

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        grad = grad.reshape(saved)
        return (np.moveaxis(grad, -1, 1) if self._moves(grad.ndim) else grad), []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """The same elements in another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Of one sample; one of the sizes may be -1, for what is left.
    **keywords
        name, dtype, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If it is no shape, or the elements do not fill it.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((2, -1))(np.zeros((5, 8))).shape
    (5, 2, 4)
    """

    def __init__(self, target_shape: Sequence[int], **keywords: Any) -> None:
        super().__init__(**keywords)
        kind, rule = type(self).__name__, "a tuple of ints above 0, one of them may be -1"
        given = (target_shape,) if isinstance(target_shape, (int, np.integer)) else target_shape
        if not isinstance(given, (tuple, list)):
            raise type_error(kind, "target_shape", rule, describe(target_shape))
        sizes = tuple(plain_int(kind, "target_shape", size, rule) for size in given)
        if any(size < 1 and size != -1 for size in sizes) or sizes.count(-1) > 1:
            raise value_error(kind, "target_shape", rule, describe(target_shape))
        self.target_shape = sizes

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        known = [size for size in input_shape[1:] if size is not None]
        if len(known) < len(input_shape) - 1:
            return input_shape[0], *(None if size == -1 else size for size in self.target_shape)
        return input_shape[0], *self._filled(math.prod(known), input_shape)

    def _filled(self, count: int, shape: Any) -> tuple[int, ...]:
        given = math.prod(size for size in self.target_shape if size != -1)
        if (count % given if -1 in self.target_shape else count != given) != 0:
            rule = f"of elements that fill {self.target_shape}"
            raise value_error(self.name, "inputs", rule, f"shape {shape}")
        return tuple(count // given if size == -1 else size for size in self.target_shape)

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        shape = self._filled(math.prod(x.shape[1:]), x.shape)
        return x.reshape(len(x), *shape), x.shape

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        return grad.reshape(saved), []

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "target_shape": self.target_shape}


class ZeroPadding2D(Layer):
    """Zeros around images.

    Parameters
    ----------
    padding : int, (int, int) or ((top, bottom), (left, right))
        How many rows and columns.
    data_format : {"channels_last", "channels_first"}, optional
        By default `fastconv.config.image_data_format()`.
    **keywords
        name, dtype, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> ZeroPadding2D(((1, 0), (2, 2)))(np.zeros((1, 4, 4, 3))).shape
    (1, 5, 8, 3)
    """

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(**keywords)
        kind = type(self).__name__
        given = plain_padding(kind, "padding", padding, words=False)
        self.padding: Any = padding_of_axes(kind, given, words=False)
        self.data_format = checked_data_format(kind, data_format)

    def check_input(self, shape: Shape) -> None:
        check_image_shape(self.name, shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = tuple(
            None if size is None else size + sum(around)
            for size, around in zip(
                sizes_of(input_shape, self.data_format), self.padding, strict=True
            )
        )
        channels = channels_of(input_shape, self.data_format)
        return image_shape(input_shape[0], channels, sizes, self.data_format)

    def _around(self) -> tuple[Any, ...]:
        none = (0, 0)
        return image_shape(none, none, self.padding, self.data_format)  # type: ignore[arg-type]

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        return np.pad(x, self._around()), None

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        inside = tuple(
            slice(before, size - after)
            for (before, after), size in zip(self._around(), grad.shape, strict=True)
        )
        return grad[inside], []

    def get_config(self) -> dict[str, Any]:
        config = {"padding": self.padding, "data_format": self.data_format}
        return {**super().get_config(), **config}


class UpSampling2D(Layer):
    """Images enlarged by repeating rows and columns.

    Parameters
    ----------
    size : int or (int, int)
        How many times, (rows, columns).
    data_format : {"channels_last", "channels_first"}, optional
        By default `fastconv.config.image_data_format()`.
    interpolation : {"nearest"}
        What is repeated; there is no other kind.
    **keywords
        name, dtype, input_shape: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> UpSampling2D(2)(np.arange(2.0).reshape(1, 1, 2, 1))[0, :, :, 0]
    array([[0., 0., 1., 1.],
           [0., 0., 1., 1.]], dtype=float32)
    """

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        kind = type(self).__name__
        self.size = pair(kind, "size", size)
        self.data_format = checked_data_format(kind, data_format)
        self.interpolation = plain_word(kind, "interpolation", interpolation, ("nearest",))

    def check_input(self, shape: Shape) -> None:
        check_image_shape(self.name, shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        sizes = tuple(
            None if size is None else size * times
            for size, times in zip(sizes_of(input_shape, self.data_format), self.size, strict=True)
        )
        channels = channels_of(input_shape, self.data_format)
        return image_shape(input_shape[0], channels, sizes, self.data_format)

    def forward(self, x: Array, training: Training | None = None) -> tuple[Array, Saved]:
        first = 1 if self.data_format == "channels_last" else 2
        return x.repeat(self.size[0], axis=first).repeat(self.size[1], axis=first + 1), None

    def backward(self, grad: Array, saved: Saved) -> tuple[Array, list[Array]]:
        rows, columns = sizes_of(grad.shape, self.data_format)
        height, width = self.size
        split = ((rows or 0) // height, height, (columns or 0) // width, width)
        if self.data_format == "channels_last":
            return grad.reshape(len(grad), *split, grad.shape[3]).sum(axis=(2, 4)), []
        return grad.reshape(len(grad), grad.shape[1], *split).sum(axis=(3, 5)), []

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "size": self.size,
            "data_format": self.data_format,
            "interpolation": self.interpolation,
        }
