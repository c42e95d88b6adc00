"""What a compiled model consists of: a step a node, with what it needs at hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import convolution, normalization, pooling
from .fusion import DOMAIN, is_fixed_convolution
from .graph import Graph, Node
from .operators import ops

Array = NDArray[Any]
Target = convolution.Target

_FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}


class Step:
    """One node.

    Attributes
    ----------
    fresh : bool
        Whether its results share no memory with its inputs.
    overwrites : bool
        Whether its result may take the memory of an input of the same shape and dtype.
    places : bool
        Whether it can put its result where `Target` says.
    """

    fresh, overwrites, places = True, False, False

    def __init__(self, node: Node) -> None:
        self.node = node

    def run(self, arrays: list[Any], target: Target, context: Callable[[], dict]) -> Sequence[Any]:
        """Return the results; `context` gives all values by name, for subgraphs."""
        raise NotImplementedError


class Reference(Step):
    """Whatever onnx's reference evaluator has for it, or we gave it."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.fresh = isinstance(node.run, tuple(ops))
        self._needs_context = node.run.need_context()

    def run(self, arrays: list[Any], target: Target, context: Callable[[], dict]) -> Sequence[Any]:
        if self._needs_context:
            return self.node.run.run(*arrays, context=context())
        return self.node.run.run(*arrays)


class Convolution(Step):
    """Conv with constant weights, packed."""

    places = True

    def __init__(self, node: Node, graph: Graph) -> None:
        super().__init__(node)
        w, bias = (graph.constant(name) for name in [*node.inputs[1:], ""][:2])
        assert w is not None
        relu = bool(node.attributes.get("relu"))
        self._call = convolution.Convolution(w, bias, node.attributes, relu)
        shape = graph.shapes.get(node.inputs[0])
        if shape is not None and None not in shape and len(shape) == w.ndim:
            self._call.prepare(shape)  # type: ignore[arg-type]
        node.inputs = node.inputs[:1]

    def run(self, arrays: list[Any], target: Target, context: Callable[[], dict]) -> Sequence[Any]:
        return (self._call(arrays[0], target),)


class Affine(Step):
    """A factor and an offset a channel, and perhaps a relu."""

    places = True

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._calls: dict[np.dtype, normalization.Affine] = {}

    def run(self, arrays: list[Any], target: Target, context: Callable[[], dict]) -> Sequence[Any]:
        (x,) = arrays
        call = self._calls.get(x.dtype)
        if call is None:
            values = self.node.attributes
            relu = bool(values.get("relu"))
            call = normalization.Affine(values["factor"], values["offset"], relu, x.dtype)
            self._calls[x.dtype] = call
        return (call(x, target(x.shape, x.dtype)),)


class Pool(Step):
    """MaxPool without indices, or AveragePool."""

    places = True

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._pool = pooling.max_pool if node.op == "MaxPool" else pooling.average_pool

    def run(self, arrays: list[Any], target: Target, context: Callable[[], dict]) -> Sequence[Any]:
        x, attributes = arrays[0], self.node.attributes
        out = None
        if x.ndim == 4:
            out = target(pooling.out_shape(self.node.op, x, attributes), x.dtype)
        return (self._pool(x, attributes, out),)


class Elementwise(Step):
    """A function of NumPy with `out`, of any number of arrays, from left to right."""

    overwrites = places = True

    def __init__(self, node: Node, function: Callable[..., Array]) -> None:
        super().__init__(node)
        self._function = function

    def run(self, arrays: list[Any], target: Target, context: Callable[[], dict]) -> Sequence[Any]:
        first = arrays[0]
        shape, dtype = first.shape, first.dtype
        for other in arrays[1:]:
            if other.dtype != dtype:
                raise TypeError(
                    f"{self.node.op}: the inputs must be of one dtype, got {dtype}, {other.dtype}"
                )
            if other.shape != shape:
                shape = np.broadcast_shapes(shape, other.shape)
        out = target(shape, dtype)
        if len(arrays) <= 2:
            return (np.asarray(self._function(*arrays, out=out)),)
        y = self._function(arrays[0], arrays[1], out=out if shape == self._shape(arrays) else None)
        for other in arrays[2:]:
            y = self._function(y, other, out=y if y.shape == shape else None)
        return (np.asarray(y),)

    @staticmethod
    def _shape(arrays: list[Any]) -> tuple[int, ...]:
        return np.broadcast_shapes(arrays[0].shape, arrays[1].shape)


class Gemm(Step):
    """alpha * a @ b + beta * c by NumPy's BLAS, the sum in place."""

    def run(self, arrays: list[Any], target: Target, context: Callable[[], dict]) -> Sequence[Any]:
        a, b, c = [*arrays, None][:3]
        values = self.node.attributes
        y = np.dot(a.T if values.get("transA") else a, b.T if values.get("transB") else b)
        alpha, beta = values.get("alpha", 1.0), values.get("beta", 1.0)
        if alpha != 1.0:
            y *= y.dtype.type(alpha)
        if c is not None and beta != 0.0:
            y += c if beta == 1.0 else c * c.dtype.type(beta)
        return (y,)


class Concat(Step):
    """Concat; see `placement` for how its inputs come to be where they belong."""

    places = True
    # Where the inputs along axis 1 begin and end, if all of them were to be placed.
    parts: tuple[tuple[int, int], ...] = ()
    # Whether the inputs lie one behind the other in what is another's memory.
    is_view = False

    def run(self, arrays: list[Any], target: Target, context: Callable[[], dict]) -> Sequence[Any]:
        axis = self.node.attributes["axis"]
        if self.parts and arrays[0].ndim > 1:
            sizes = {array.shape[:1] + array.shape[2:] for array in arrays}
            channels = sum(array.shape[1] for array in arrays)
            shape = arrays[0].shape
            out = target((shape[0], channels, *shape[2:]), arrays[0].dtype)
            if out is not None and len(sizes) == 1 and channels == self.parts[-1][1]:
                views = [out[:, start:stop] for start, stop in self.parts]
                there = [_same(a, view) for a, view in zip(arrays, views, strict=True)]
                if all(there) or not self.is_view:
                    for array, view, done in zip(arrays, views, there, strict=True):
                        if not done:
                            view[...] = array
                    return (out,)
        return (np.concatenate(arrays, axis),)


def _same(a: Array, b: Array) -> bool:
    """Return whether two arrays are the same memory."""
    return (
        a.shape == b.shape
        and a.strides == b.strides
        and a.__array_interface__["data"] == b.__array_interface__["data"]
    )


class QuantizedConvolution(Step):
    """ConvInteger and QLinearConv with constant weights, packed."""

    def __init__(self, node: Node, graph: Graph, w: Array, w_zero: Array | None) -> None:
        super().__init__(node)
        self._w = w
        centred = convolution.centred_weights(node.op, w, w_zero)
        self._call = convolution.Convolution(centred, None, node.attributes)

    def run(self, arrays: list[Any], target: Target, context: Callable[[], dict]) -> Sequence[Any]:
        if self.node.op == "ConvInteger":
            x, _, zero = [*arrays, None, None][:3]
            return (convolution.whole(self._sums(x, zero)),)
        x, x_scale, x_zero, _, w_scale, _, y_scale, y_zero, bias = [*arrays, None][:9]
        scales = x_scale, w_scale, y_scale
        return (
            convolution.requantized(
                *("QLinearConv", self._sums(x, x_zero), self._w, bias, scales, y_zero),
                x.dtype if y_zero is None else y_zero.dtype,
            ),
        )

    def _sums(self, x: Array, zero: Array | None) -> Array:
        return self._call(convolution.centred_image(self.node.op, x, zero))


def step_of(node: Node, graph: Graph) -> Step:
    """Return the step for a node."""
    if node.domain == DOMAIN:
        return Affine(node)
    if not node.domain:
        if is_fixed_convolution(graph, node):
            return Convolution(node, graph)
        make = _STEPS.get(node.op)
        step = None if make is None else make(node, graph)
        if step is not None:
            return step
    return Reference(node)


def _pool(node: Node, graph: Graph) -> Step | None:
    return Pool(node) if not any(node.outputs[1:]) else None


def _gemm(node: Node, graph: Graph) -> Step | None:
    return Gemm(node) if graph.version >= 7 else None


def _concat(node: Node, graph: Graph) -> Step | None:
    return Concat(node) if "axis" in node.attributes else None


def _quantized(node: Node, graph: Graph, w_at: int, zero_at: int) -> Step | None:
    w = graph.constant(node.inputs[w_at])
    zero_name = node.inputs[zero_at] if len(node.inputs) > zero_at else ""
    zero = graph.constant(zero_name)
    if w is None or (zero_name and zero is None):
        return None
    return QuantizedConvolution(node, graph, w, zero)


def _arithmetic(
    function: Callable[..., Array], least_version: int, node: Node, graph: Graph
) -> Step | None:
    lone = node.op == "Sum" and len(node.inputs) == 1
    return None if lone or graph.version < least_version else Elementwise(node, function)


def _relu(x: Array, out: Array | None = None) -> Array:
    return np.maximum(x, x.dtype.type(0), out=out)


def _clip(node: Node, graph: Graph) -> Step | None:
    if graph.version >= 11:
        ends = [graph.constant(name) if name else None for name in node.inputs[1:]]
        if any(name and end is None for name, end in zip(node.inputs[1:], ends, strict=True)):
            return None
    else:
        ends = [node.attributes.get(name) for name in ("min", "max")]
    low, high = [*ends, None, None][:2]
    if low is None and high is None:
        return None

    def clip(x: Array, out: Array | None = None) -> Array:
        kind = x.dtype.type
        limits = [None if end is None else kind(np.asarray(end).item()) for end in (low, high)]
        return np.clip(x, *limits, out=out)

    node.inputs = node.inputs[:1]
    return Elementwise(node, clip)


_STEPS: dict[str, Callable[[Node, Graph], Step | None]] = {
    "MaxPool": _pool,
    "AveragePool": _pool,
    "Gemm": _gemm,
    "Concat": _concat,
    "Relu": functools.partial(_arithmetic, _relu, 1),
    "Add": functools.partial(_arithmetic, np.add, 7),
    "Sub": functools.partial(_arithmetic, np.subtract, 7),
    "Mul": functools.partial(_arithmetic, np.multiply, 7),
    "Sum": functools.partial(_arithmetic, np.add, 8),
    "Clip": _clip,
    "ConvInteger": lambda node, graph: _quantized(node, graph, 1, 3),
    "QLinearConv": lambda node, graph: _quantized(node, graph, 3, 5),
}
