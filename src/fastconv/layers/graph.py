"""What layers called on symbolic tensors leave behind: the graph that a model is made of."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .base import Layer

    Shape = tuple[int | None, ...]

_numbers = itertools.count()


class Tensor:
    """The place of an array in a graph: its shape, with None for what is not known, and its origin.

    Attributes
    ----------
    shape : tuple of int or None
        The number of samples is None, unless `Input` was told.
    dtype : str
        Of the array to come.
    node : Node
        The call that it is an output of; `index` tells which one.
    """

    def __init__(self, shape: Shape, dtype: str, node: Node, index: int) -> None:
        self.shape, self.dtype, self.node, self.index = shape, dtype, node, index
        self.name = f"tensor_{next(_numbers)}"

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<Tensor shape={self.shape}, dtype={self.dtype}, of {self.node.layer.name}>"

    def __array__(self, *arguments: Any, **keywords: Any) -> Any:
        raise TypeError("a symbolic tensor has no numbers: make a Model of it and call predict")


class Node:
    """One call of a layer: the tensors it was called on, and those that came of it."""

    def __init__(
        self, layer: Layer, inputs: list[Tensor], shapes: list[Shape], single: bool
    ) -> None:
        self.layer, self.inputs, self.single = layer, inputs, single
        self.outputs = [Tensor(shape, layer.dtype, self, i) for i, shape in enumerate(shapes)]
        layer.nodes.append(self)

    @property
    def number(self) -> int:
        """The place of this call among those of its layer."""
        return self.layer.nodes.index(self)


def tensors_of(value: Any) -> list[Tensor]:
    """Return the tensors of one, or of a list, tuple or dict of them: a dict's by its names."""
    if isinstance(value, dict):
        return [value[name] for name in sorted(value)]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def structure_of(value: Any) -> list[str] | None:
    """Return the sorted names of a dict's items, an empty list for a list, None for one tensor."""
    if isinstance(value, dict):
        return sorted(value)
    return [] if isinstance(value, (list, tuple)) else None


def structured(values: list[Any], structure: list[str] | None) -> Any:
    """Return the value, the list or the dict that `structure_of` tells of."""
    if structure is None:
        return values[0]
    return dict(zip(structure, values, strict=True)) if structure else values


def shapes_of(shape: Any) -> list[Shape]:
    """Return the shapes that `compute_output_shape` gave, of one output or of several."""
    if isinstance(shape, dict):
        return list(shape.values())
    return shape if isinstance(shape, list) else [shape]


def is_symbolic(value: Any) -> bool:
    """Return whether a value is a symbolic tensor, or a list that has one."""
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, Tensor) for item in value)
    return isinstance(value, Tensor)


def nodes_between(inputs: list[Tensor], outputs: list[Tensor]) -> list[Node]:
    """Return the calls that lead from inputs to outputs, each after those it needs.

    What is before the inputs is left out. The order is that of a depth-first walk from the
    outputs, without recursion: a graph may be deep.
    """
    boundary = {id(tensor) for tensor in inputs}
    ordered: list[Node] = []
    done: set[int] = set()
    # each entry: a node, and the iterator over what it needs; beneath it who asked for it
    for output in outputs:
        stack = [(output.node, iter(_needed(output, boundary)))]
        if id(output.node) in done or (id(output) in boundary and output.node.inputs):
            continue
        while stack:
            node, needs = stack[-1]
            for tensor in needs:
                if id(tensor.node) not in done and not (
                    id(tensor) in boundary and tensor.node.inputs
                ):
                    stack.append((tensor.node, iter(_needed(tensor, boundary))))
                    break
            else:
                stack.pop()
                if id(node) not in done:
                    done.add(id(node))
                    ordered.append(node)
    return ordered


def _needed(tensor: Tensor, boundary: set[int]) -> list[Tensor]:
    return [] if id(tensor) in boundary else tensor.node.inputs


def layers_in_order(
    nodes: list[Node], outputs: list[Tensor], alone: Sequence[Layer] = ()
) -> list[Layer]:
    """Return the layers of a graph from the inputs on: Keras's order, by distance from the output.

    Layers at an equal distance come in the order of a walk from the outputs. Those that stand
    alone, inputs that no output is made from, are first of the last.
    """
    distance: dict[int, int] = {}
    far: dict[int, int] = {}  # of layers, which may be called more than once
    inside = {id(node) for node in nodes}
    for node in reversed(nodes):
        here = max(distance.get(id(node), 0), far.get(id(node.layer), 0))
        far[id(node.layer)] = here
        for tensor in node.inputs:
            if id(tensor.node) in inside:
                distance[id(tensor.node)] = max(here + 1, distance.get(id(tensor.node), 0))
    met = _order_of_meeting(nodes, outputs)
    layers = {id(node.layer): node.layer for node in nodes}
    for layer in alone:
        layers[id(layer)] = layer
        far[id(layer)], met[id(layer)] = 0, -1
    return sorted(layers.values(), key=lambda layer: (-far[id(layer)], met[id(layer)]))


def _order_of_meeting(nodes: list[Node], outputs: list[Tensor]) -> dict[int, int]:
    """Return when a walk from the outputs meets each layer first, before what the layer needs."""
    inside = {id(node) for node in nodes}
    met: dict[int, int] = {}
    seen: set[int] = set()
    stack = [tensor.node for tensor in reversed(outputs) if id(tensor.node) in inside]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        met.setdefault(id(node.layer), len(met))
        stack.extend(t.node for t in reversed(node.inputs) if id(t.node) in inside)
    return met
