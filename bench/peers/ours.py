"""fastconv itself, in both layouts."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

import fastconv as fc

from ..problems import Layer, Pool, Problem
from .base import Arrays, Contender, Peer, Unsupported


class Fastconv(Peer):
    """The public functions; with reused outputs, through `out=`."""

    name = "fastconv"
    data_format = "NCHW"

    def __init__(self, functions: ModuleType = fc) -> None:
        self.version = fc.__version__
        self.functions = functions  # the twins of fastconv.reference have the same names

    def set_threads(self, count: int) -> None:
        fc.set_num_threads(count)

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        call = self.bound(op, problem, arrays)
        if not reuse:
            return Contender(lambda: call(), self.to_numpy)
        first = call()
        out = np.empty_like(first[0] if isinstance(first, tuple) else first)
        return Contender(lambda: call(out=out), self.to_numpy)

    def bound(self, op: str, problem: Problem, arrays: Arrays) -> Any:
        """Return the operation with all its arguments but `out`."""
        arrays = {name: self.laid_out(name, array) for name, array in arrays.items()}
        if isinstance(problem, Layer):
            return self._conv(op, problem, arrays)
        return self._pool(op, problem, arrays)

    def _conv(self, op: str, layer: Layer, arrays: Arrays) -> Any:
        functions = self.functions
        x, w, grad = arrays["x"], arrays["w"], arrays["grad"]
        options: dict[str, Any] = {
            "stride": layer.stride,
            "padding": layer.padding if not layer.symmetric else (layer.pad_top, layer.pad_left),
            "dilation": layer.dilation,
            "groups": layer.groups,
            "data_format": self.data_format,
        }
        if op == "forward":
            return lambda **out: functions.conv2d(x, w, **options, **out)
        if op == "grad_x":
            return lambda **out: functions.conv2d_grad_x(grad, w, x.shape, **options, **out)
        if op == "grad_w":
            return lambda **out: functions.conv2d_grad_w(grad, x, w.shape, **options, **out)
        if not hasattr(functions, "prepare_conv2d"):
            raise Unsupported("this fastconv has no prepare_conv2d")
        prepared = functions.prepare_conv2d(w, x_shape=x.shape, **options)
        return lambda **out: prepared(x, **out)

    def _pool(self, op: str, pool: Pool, arrays: Arrays) -> Any:
        functions = self.functions
        x, grad = arrays["x"], arrays["grad"]
        window = (pool.kernel, pool.stride, pool.padding)
        layout = {"data_format": self.data_format}
        indexed = {"return_indices": True, **layout}
        if op == "max_pool":
            return lambda **out: functions.max_pool2d(x, *window, **layout, **out)
        if op == "max_pool_indices":
            return lambda **out: functions.max_pool2d(x, *window, **indexed, **out)
        if op == "max_pool_grad_x":
            indices = functions.max_pool2d(x, *window, **indexed)[1]
            rest = (indices, x.shape)
            return lambda **out: functions.max_pool2d_grad_x(grad, *rest, **layout, **out)
        if op == "avg_pool":
            return lambda **out: functions.avg_pool2d(x, *window, **layout, **out)
        return lambda **out: functions.avg_pool2d_grad_x(grad, x.shape, *window, **layout, **out)

    def laid_out(self, name: str, array: np.ndarray) -> np.ndarray:
        return array

    def to_numpy(self, result: Any) -> Any:
        return result


class FastconvChannelsLast(Fastconv):
    """The same in NHWC, with kernels as height, width, channels, filters."""

    name = "fastconv-nhwc"
    data_format = "NHWC"

    def laid_out(self, name: str, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array.transpose((2, 3, 1, 0) if name == "w" else (0, 2, 3, 1)))

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        contender = super().prepare(op, problem, arrays, reuse)
        axes = (3, 2, 0, 1) if op == "grad_w" else (0, 3, 1, 2)

        def to_numpy(result: Any) -> Any:
            if isinstance(result, tuple):
                return tuple(part.transpose(axes) for part in result)
            return result.transpose(axes)

        contender.to_numpy = to_numpy
        return contender
