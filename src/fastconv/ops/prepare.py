"""A convolution whose weights are known before its images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import plan, small
from ..geometry import ConvGeometry, checked_arguments, conv_geometry, plain_shape
from . import run
from .arrays import as_array, checked_bias, checked_dtypes, conv_dtypes, strided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from .arrays import Array

    Size = int | Sequence[int]
    Padding = str | int | Sequence[int] | Sequence[Sequence[int]]


def prepare_conv2d(
    w: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
    data_format: str = "NCHW",
    x_shape: Sequence[int] | None = None,
) -> PreparedConv2D:
    """Check, copy and pack the weights of `conv2d` once, for many calls.

    Parameters
    ----------
    w, bias, stride, padding, dilation, groups, activation, data_format
        As in `conv2d`. The weights are copied: what becomes of `w` and `bias` later is no matter.
    x_shape : sequence of int, optional
        The shape of the images to come, in the layout of `data_format`: the weights are packed for
        them at once, else at the first call. Images of other shapes are taken as well.

    Returns
    -------
    PreparedConv2D
        To be called with ``(x, out=None)``, from any number of threads at once.

    Raises
    ------
    ValueError
        If a shape or a value is not as described.
    TypeError
        If a dtype or the type of a value is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv as fc
    >>> blur = fc.prepare_conv2d(np.full((1, 1, 2, 2), 0.25))
    >>> blur(np.arange(6.0).reshape(1, 1, 2, 3))
    array([[[[2., 3.]]]])
    """
    return PreparedConv2D(
        w, bias, stride, padding, dilation, groups, activation, data_format, x_shape
    )


class PreparedConv2D:
    """`conv2d` with everything given but the images; what `prepare_conv2d` returns.

    Threads may share it. It pickles.
    """

    def __init__(
        self,
        w: ArrayLike,
        bias: ArrayLike | None,
        stride: Size,
        padding: Padding,
        dilation: Size,
        groups: int,
        activation: str | None,
        data_format: str,
        x_shape: Sequence[int] | None,
    ) -> None:
        name = "prepare_conv2d"
        w = as_array(name, "w", w)
        result, _ = checked_dtypes(name, "w", w)
        self._arguments = checked_arguments(
            name, w.shape, stride, padding, dilation, groups, data_format
        )
        self._relu = run.is_relu(name, activation)
        if bias is not None:
            filters = run.logical(w, self._arguments[-1]).shape[0]
            bias = checked_bias(name, bias, filters).copy()
        self._x_shape = None if x_shape is None else plain_shape(name, "x_shape", x_shape)
        self._bias = bias
        self._w = np.array(w, dtype=result, order="C")
        self._kept = small.calls()
        self._prepared: dict[np.dtype, plan.Prepared] = {}
        if self._x_shape is not None:
            geometry = self._geometry(name, self._x_shape, w.shape)
            prepared = self._weights(conv_dtypes(name, "w", w, "w", w).compute)
            prepared.prepare(geometry)
            self._kept.latest = geometry, prepared

    def __call__(self, x: ArrayLike, out: Array | None = None) -> Array:
        """Return ``conv2d(x, w, bias, ...)``.

        Parameters
        ----------
        x : array_like
            Images, as `conv2d` takes them.
        out : ndarray, optional
            Where to put the result; of its exact shape and dtype, apart from x.
        """
        y = self._kept.run(x, self._w, self._bias, (), out)
        if y is not None:
            return y
        name = "PreparedConv2D"
        x = as_array(name, "x", x)
        dtypes = conv_dtypes(name, "x", x, "w", self._w)
        geometry = self._geometry(name, x.shape, self._w.shape)
        prepared = self._weights(dtypes.compute)
        y = run.forward(
            name, geometry, dtypes, x, prepared.w, self._bias, out, self._relu, prepared=prepared
        )
        self._kept.latest = geometry, prepared
        small.keep_convolution(
            *(self._kept, "forward", geometry, (x, self._w), prepared.w),
            *((), self._relu, prepared),
        )
        return y

    def _weights(self, compute: np.dtype) -> plan.Prepared:
        """Return the weights in the dtype of a computation, which x and the precision decide."""
        prepared = self._prepared.get(compute)
        if prepared is None:
            w = strided(run.logical(self._w, self._arguments[-1]), compute)
            prepared = self._prepared[compute] = plan.Prepared(w)
        return prepared

    @property
    def algorithm(self) -> str | None:
        """The name of what computes images of the latest shape; None before there was one."""
        latest: tuple[ConvGeometry, plan.Prepared] | None = self._kept.latest
        return None if latest is None else plan.algorithm(*latest)

    def __reduce__(self) -> tuple[object, ...]:
        activation = "relu" if self._relu else None
        *sizes, data_format = self._arguments
        arguments = (self._w, self._bias, *sizes, activation, data_format, self._x_shape)
        return PreparedConv2D, arguments

    def _geometry(
        self, name: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...]
    ) -> ConvGeometry:
        return conv_geometry(name, x_shape, w_shape, *self._arguments)
