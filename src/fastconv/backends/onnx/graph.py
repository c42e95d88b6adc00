"""A model as the backend sees it: nodes, constants, shapes; and what is computed but once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto
from onnx.reference import ReferenceEvaluator

from ...errors import value_error
from .operators import ops

Array = NDArray[Any]
Shape = tuple["int | None", ...]

# What onnx's shape inference must see the values of, such as the argument of a Reshape.
_MOST_VALUES = 64
_RANDOM = {
    *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"),
    *("RandomUniform", "RandomUniformLike"),
}


@dataclass(eq=False)
class Node:
    """One operator: names of what it reads and writes, its attributes, and who else computes it.

    `run` is onnx's reference implementation, or ours in its place. `captured` are names that a
    subgraph reads beside the inputs. Nodes of domain "fastconv" were made here, and have no `run`.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    domain: str = ""
    name: str = ""
    run: Any = None
    captured: tuple[str, ...] = ()

    @property
    def reads(self) -> set[str]:
        """All names that it reads."""
        return {*self.inputs, *self.captured} - {""}


class Graph:
    """The graph of a model, to be rewritten until it is compiled."""

    def __init__(self, model: ModelProto, check: bool) -> None:
        lean = _lean(model)
        if check:
            onnx.checker.check_model(lean)
        graph = model.graph
        self.constants: dict[str, Array] = {
            tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        self.inputs = [value for value in graph.input if value.name not in self.constants]
        self.outputs = [value.name for value in graph.output]
        self.version = max(
            (one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1
        )
        self.shapes = _shapes(lean)
        # It stays, for nodes that choose their implementation when they run ask it.
        self.evaluator = ReferenceEvaluator(lean, new_ops=ops)
        self.nodes = [
            _node(proto, run)
            for proto, run in zip(graph.node, self.evaluator.rt_nodes_, strict=True)
        ]

    def readers(self) -> dict[str, list[Node]]:
        """Return who reads each name; graph outputs have readers of their own."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.reads:
                found.setdefault(name, []).append(node)
        for name in self.outputs:
            found.setdefault(name, []).append(Node("output", [name], []))
        return found

    def rank(self, name: str) -> int | None:
        """Return how many axes a value has, if that is known."""
        shape = self.shapes.get(name)
        return None if shape is None else len(shape)

    def constant(self, name: str) -> Array | None:
        """Return the value of a name if it is known."""
        return self.constants.get(name)

    def fold_constants(self) -> None:
        """Compute what depends on constants alone."""
        left = []
        for node in self.nodes:
            results = self._folded(node)
            if results is None:
                left.append(node)
            else:
                self.constants.update(results)
        self.nodes = left

    def _folded(self, node: Node) -> dict[str, Array] | None:
        known = all(name in self.constants for name in node.inputs if name)
        if not known or node.domain or node.op in _RANDOM or node.captured or node.run.has_subgraph:
            return None
        if node.op == "Dropout" or node.run.need_context():
            return None
        arrays = [self.constants[name] if name else None for name in node.inputs]
        try:
            results = node.run.run(*arrays)
        except Exception:
            return None  # it raises when the model runs, as it would have done
        if not all(isinstance(result, np.ndarray) for result in results):
            return None
        return {name: result for name, result in zip(node.outputs, results, strict=False) if name}

    def drop_identities(self) -> None:
        """Let who reads a copy of a value read the value; Dropout copies when it predicts."""
        new_names: dict[str, str] = {}
        left = []
        # What others know by its name keeps it.
        kept = {*self.outputs, *(name for node in self.nodes for name in node.captured)}
        read = {*self.outputs, *(name for node in self.nodes for name in node.reads)}
        for node in self.nodes:
            node.inputs = [new_names.get(name, name) for name in node.inputs]
            more = read.intersection(node.outputs[1:])
            if node.outputs[0] in kept or more or not self._is_identity(node):
                left.append(node)
            else:
                new_names[node.outputs[0]] = node.inputs[0]
        self.nodes = left

    def _is_identity(self, node: Node) -> bool:
        if node.domain or node.op not in ("Identity", "Dropout"):
            return False
        if node.op == "Dropout":
            if self.version >= 12:
                training = node.inputs[2] if len(node.inputs) > 2 else ""
                value = self.constant(training)
                return not training or (value is not None and not value.any())
            return self.version >= 7
        return True

    def drop_unread(self) -> None:
        """Drop nodes whose results nobody reads, and constants likewise."""
        read = set(self.outputs)
        left = []
        for node in reversed(self.nodes):
            if read.intersection(node.outputs):
                left.append(node)
                read |= node.reads
        self.nodes = left[::-1]
        self.constants = {name: value for name, value in self.constants.items() if name in read}


def _node(proto: NodeProto, run: Any) -> Node:
    attributes = {}
    captured: list[str] = []
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        graphs = value if isinstance(value, list) else [value]
        if graphs and isinstance(graphs[0], onnx.GraphProto):
            captured += [name for graph in graphs for name in _captured(graph)]
        else:
            attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    names = [*proto.input], [*proto.output]
    return Node(proto.op_type, *names, attributes, domain, proto.name, run, (*captured,))


def _captured(graph: onnx.GraphProto) -> set[str]:
    """Return the names that a subgraph, or one within it, takes from outside."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {tensor.values.name for tensor in graph.sparse_initializer}
    read = {value.name for value in graph.output}
    for node in graph.node:
        own |= {*node.output}
        read |= {*node.input}
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                read |= _captured(inner)
    return read - own - {""}


def _lean(model: ModelProto) -> ModelProto:
    """Return the model without its large constants, of which it has the shapes alone."""
    graph = model.graph
    if graph.sparse_initializer:
        rule = "dense: sparse initializers are not supported"
        raise value_error("prepare", "model.graph.initializer", rule, "sparse ones")
    lean = ModelProto(ir_version=model.ir_version)
    lean.opset_import.extend(model.opset_import)
    lean.functions.extend(model.functions)
    lean.graph.name = graph.name
    lean.graph.node.extend(graph.node)
    lean.graph.input.extend(graph.input)
    lean.graph.output.extend(graph.output)
    lean.graph.value_info.extend(graph.value_info)
    named = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if np.prod(tensor.dims) <= _MOST_VALUES and not tensor.external_data:
            lean.graph.initializer.append(tensor)
        elif tensor.name not in named:
            info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            lean.graph.input.append(info)
    return lean


def _shapes(lean: ModelProto) -> dict[str, Shape]:
    try:
        graph = onnx.shape_inference.infer_shapes(lean, data_prop=True).graph
    except onnx.shape_inference.InferenceError:
        return {}  # the model may be right all the same; it runs without what shapes help with
    found = {}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        shape = shape_of(value)
        if shape is not None:
            found[value.name] = shape
    return found


def shape_of(value: onnx.ValueInfoProto) -> Shape | None:
    """Return the shape that a model declares, None for each size that it leaves open."""
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    return tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
