"""What a compiled model consists of: a step a node, with what it needs at hand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import convolution, normalization, pooling, quantized
from .fusion import DOMAIN, is_affine, is_fixed_convolution
from .graph import Graph, Node
from .layout import shuffled
from .operators import ops

Array = NDArray[Any]


class Step:
    """One node.

    Attributes
    ----------
    fresh : bool
        Whether its results share no memory with its inputs.
    overwrites : bool
        Whether its result may take the memory of one of the first two inputs.
    spare : tuple of int
        Which inputs it may overwrite.
    frees : tuple of str
        What is read no more after it.
    """

    fresh, overwrites = True, False
    spare: tuple[int, ...] = ()
    frees: tuple[str, ...] = ()

    def __init__(self, node: Node) -> None:
        self.node = node

    def run(self, arrays: list[Any], context: Callable[[], dict]) -> Sequence[Any]:
        """Return the results; `context` gives all values by name, for subgraphs."""
        raise NotImplementedError


class Reference(Step):
    """Whatever onnx's reference evaluator has for it, or we gave it."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.fresh = isinstance(node.run, tuple(ops))
        self._needs_context = node.run.need_context()

    def run(self, arrays: list[Any], context: Callable[[], dict]) -> Sequence[Any]:
        if self._needs_context:
            return self.node.run.run(*arrays, context=context())
        return self.node.run.run(*arrays)


class Call(Step):
    """A function of the first input."""

    def __init__(self, node: Node, function: Callable[[Array], Array]) -> None:
        super().__init__(node)
        self._function = function

    def run(self, arrays: list[Any], context: Callable[[], dict]) -> Sequence[Any]:
        return (self._function(arrays[0]),)


class Affine(Step):
    """A factor and an offset a channel, and perhaps a relu."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._calls: dict[np.dtype, normalization.Affine] = {}

    def run(self, arrays: list[Any], context: Callable[[], dict]) -> Sequence[Any]:
        (x,) = arrays
        call = self._calls.get(x.dtype)
        if call is None:
            values = self.node.attributes
            relu = bool(values.get("relu"))
            call = normalization.Affine(values["factor"], values["offset"], relu, x.dtype)
            self._calls[x.dtype] = call
        return (call(x),)


class Elementwise(Step):
    """A function of NumPy with `out`, of one array or of any number, from left to right."""

    overwrites = True

    def __init__(self, node: Node, function: Callable[..., Array]) -> None:
        super().__init__(node)
        self._function = function

    def run(self, arrays: list[Any], context: Callable[[], dict]) -> Sequence[Any]:
        first, *others = arrays
        for other in others:
            if other.dtype != first.dtype:
                rule = f"{self.node.op}: the inputs must be of one dtype"
                raise TypeError(f"{rule}, got {first.dtype} and {other.dtype}")
        shape = np.broadcast_shapes(*(array.shape for array in arrays[:2]))
        out = next((arrays[i] for i in self.spare if arrays[i].shape == shape), None)
        y = self._function(*arrays[:2], out=out)
        for other in others[1:]:
            fits = np.broadcast_shapes(y.shape, other.shape) == y.shape
            y = self._function(y, other, out=y if fits else None)
        return (np.asarray(y),)


class Gemm(Step):
    """alpha * a @ b + beta * c by NumPy's BLAS, the sum in place."""

    def run(self, arrays: list[Any], context: Callable[[], dict]) -> Sequence[Any]:
        a, b, c = [*arrays, None][:3]
        values = self.node.attributes
        y = np.dot(a.T if values.get("transA") else a, b.T if values.get("transB") else b)
        alpha, beta = values.get("alpha", 1.0), values.get("beta", 1.0)
        if alpha != 1.0:
            y *= y.dtype.type(alpha)
        if c is not None and beta != 0.0:
            y += c if beta == 1.0 else c * c.dtype.type(beta)
        return (y,)


class QuantizedConvolution(Step):
    """ConvInteger and QLinearConv with constant weights, packed."""

    def __init__(self, node: Node, graph: Graph, w: Array, w_zero: Array | None) -> None:
        super().__init__(node)
        self._w = w
        centred = quantized.centred_weights(node.op, w, w_zero)
        self._call = convolution.Convolution(centred, None, node.attributes)

    def run(self, arrays: list[Any], context: Callable[[], dict]) -> Sequence[Any]:
        if self.node.op == "ConvInteger":
            x, _, zero = [*arrays, None, None][:3]
            return (quantized.whole(self._sums(x, zero)),)
        x, x_scale, x_zero, _, w_scale, _, y_scale, y_zero, bias = [*arrays, None][:9]
        scales = x_scale, w_scale, y_scale
        return (
            quantized.requantized(
                *("QLinearConv", self._sums(x, x_zero), self._w, bias, scales, y_zero),
                x.dtype if y_zero is None else y_zero.dtype,
            ),
        )

    def _sums(self, x: Array, zero: Array | None) -> Array:
        return self._call(quantized.centred_image(self.node.op, x, zero))


def step_of(node: Node, graph: Graph) -> Step:
    """Return the step for a node."""
    if node.domain == DOMAIN:
        if is_affine(node):
            return Affine(node)
        return Call(node, functools.partial(shuffled, places=node.attributes["places"]))
    if not node.domain:
        make = _STEPS.get(node.op)
        step = None if make is None else make(node, graph)
        if step is not None:
            return step
    return Reference(node)


def _convolution(node: Node, graph: Graph) -> Step | None:
    if not is_fixed_convolution(graph, node):
        return None
    w, bias = (graph.constant(name) for name in [*node.inputs[1:], ""][:2])
    assert w is not None
    relu = bool(node.attributes.get("relu"))
    call = convolution.Convolution(w, bias, node.attributes, relu)
    shape = graph.shapes.get(node.inputs[0])
    if shape is not None and None not in shape:
        call.prepare(shape)  # type: ignore[arg-type]
    node.inputs = node.inputs[:1]
    return Call(node, call)


def _pool(node: Node, graph: Graph) -> Step | None:
    if any(node.outputs[1:]):
        return None
    pool = pooling.max_pool if node.op == "MaxPool" else pooling.average_pool
    return Call(node, functools.partial(pool, attributes=node.attributes))


def _gemm(node: Node, graph: Graph) -> Step | None:
    return Gemm(node) if graph.version >= 7 else None


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
        return np.clip(x, *limits, out=out)  # type: ignore[arg-type]

    node.inputs = node.inputs[:1]
    return Elementwise(node, clip)


_STEPS: dict[str, Callable[[Node, Graph], Step | None]] = {
    "Conv": _convolution,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "Gemm": _gemm,
    "Relu": functools.partial(_arithmetic, _relu, 1),
    "Add": functools.partial(_arithmetic, np.add, 7),
    "Sub": functools.partial(_arithmetic, np.subtract, 7),
    "Mul": functools.partial(_arithmetic, np.multiply, 7),
    "Sum": functools.partial(_arithmetic, np.add, 8),
    "Clip": _clip,
    "ConvInteger": lambda node, graph: _quantized(node, graph, 1, 3),
    "QLinearConv": lambda node, graph: _quantized(node, graph, 3, 5),
}


def plan_memory(steps: Sequence[Step], graph: Graph) -> None:
    """Tell each step what is read no more after it, and what of that it may overwrite.

    A result may take the memory of an input if no view of that is left: it is an array that a step
    made, and none but steps that make arrays have read it.
    """
    makers = {name: step for step in steps for name in step.node.outputs if name}
    readers: dict[str, list[Step]] = {}
    for step in steps:
        for name in step.node.reads:
            readers.setdefault(name, []).append(step)
    kept = {*graph.outputs, *graph.constants}

    def is_spare(name: str, step: Step) -> bool:
        if name not in makers or name in kept or name in step.node.captured:
            return False
        *others, last = readers[name]
        return makers[name].fresh and last is step and all(other.fresh for other in others)

    for step in steps:
        names = {*step.node.reads, *filter(None, step.node.outputs)} - kept
        step.frees = tuple(name for name in names if readers.get(name, [step])[-1] is step)
        if step.overwrites:
            inputs = enumerate(step.node.inputs[:2])
            step.spare = tuple(i for i, name in inputs if is_spare(name, step))
