"""Nodes that become one: a convolution with what follows it a channel, a relu with either.

    relu(factor * (conv(x, w) + bias) + offset) = relu(conv(x, factor * w) + factor * bias + offset)

BatchNormalization that predicts is such a factor and offset; so are Mul, Add, Sub and Div by a
constant a channel. Where no convolution comes before they are one step, `Affine`, on their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import normalization
from .graph import Graph, Node

Array = NDArray[Any]
Change = tuple[Array, Array]

DOMAIN = "fastconv"
_FOLDED = {np.dtype(np.float32), np.dtype(np.float64)}


def fuse(graph: Graph) -> None:
    """Rewrite the graph."""
    for node in graph.nodes:
        change = _normalization(graph, node)
        if change is not None:
            _become_affine(node, change)
    readers = graph.readers()
    gone: set[int] = set()
    for node in graph.nodes:
        if id(node) in gone:
            continue
        if node.op == "Reshape" and not node.domain:
            gone.update(map(id, _shuffle(graph, node, readers)))
        while _absorb(graph, node, readers, gone):
            pass
    graph.nodes = [node for node in graph.nodes if id(node) not in gone]


def _shuffle(graph: Graph, node: Node, readers: dict[str, list[Node]]) -> list[Node]:
    """Let a Reshape be all of a channel shuffle that it begins; return the nodes that it took in.

    Channels as a matrix of groups by channels, transposed: Reshape, Transpose, Reshape.
    """
    nodes = [node]
    for op in ("Transpose", "Reshape"):
        following = readers.get(nodes[-1].outputs[0], [])
        if len(following) != 1 or following[0].op != op or following[0].domain:
            return []
        nodes += following
    x_shape, matrix, y_shape = (graph.shapes.get(name) for name in _chain(nodes))
    if nodes[1].inputs != nodes[0].outputs or nodes[2].inputs[0] != nodes[1].outputs[0]:
        return []
    if not x_shape or not matrix or not y_shape or x_shape[1:] != y_shape[1:]:
        return []
    if len(x_shape) != 4 or len(matrix) != 5 or matrix[3:] != x_shape[2:]:
        return []
    channels, groups, rest = x_shape[1], matrix[1], matrix[2]
    if channels is None or groups is None or rest is None or None in x_shape[2:]:
        return []
    order = [*nodes[1].attributes.get("perm", ())]
    if order != [0, 2, 1, 3, 4] or groups * rest != channels:
        return []
    places = np.arange(channels).reshape(groups, rest).T.ravel()
    node.op, node.domain, node.inputs = "Shuffle", DOMAIN, node.inputs[:1]
    node.attributes, node.outputs = {"places": places}, nodes[2].outputs
    return nodes[1:]


def _chain(nodes: list[Node]) -> tuple[str, str, str]:
    """Return what the first of three nodes reads and writes, and what the last one writes."""
    return nodes[0].inputs[0], nodes[0].outputs[0], nodes[2].outputs[0]


def _absorb(graph: Graph, node: Node, readers: dict[str, list[Node]], gone: set[int]) -> bool:
    """Take in the only reader of a node's result if that can be, and say whether."""
    convolution = is_fixed_convolution(graph, node)
    if not (convolution or is_affine(node)) or node.attributes.get("relu"):
        return False
    following = readers.get(node.outputs[0], [])
    if len(following) != 1 or len(following[0].outputs) != 1:
        return False
    (reader,) = following
    if reader.op == "Relu" and not reader.domain:
        node.attributes["relu"] = True
    else:
        change = _change(graph, reader, node.outputs[0])
        if change is None:
            return False
        if not (_scale(graph, node, change) if convolution else _compose(node, change)):
            return False
    node.outputs = reader.outputs
    gone.add(id(reader))
    return True


def is_fixed_convolution(graph: Graph, node: Node) -> bool:
    """Return whether it is a Conv with constant weights and bias."""
    return (
        not node.domain
        and node.op == "Conv"
        and all(name in graph.constants for name in node.inputs[1:] if name)
    )


def is_affine(node: Node) -> bool:
    """Return whether it is a factor and an offset a channel."""
    return node.domain == DOMAIN and node.op == "Affine"


def _become_affine(node: Node, change: Change) -> None:
    node.op, node.domain, node.inputs, node.outputs = (
        "Affine",
        DOMAIN,
        node.inputs[:1],
        node.outputs[:1],
    )
    node.attributes = {"factor": change[0], "offset": change[1]}


def _normalization(graph: Graph, node: Node) -> Change | None:
    """Return what a BatchNormalization does a channel, if that doesn't depend on images."""
    if node.domain or node.op != "BatchNormalization" or any(node.outputs[1:]):
        return None
    trained = normalization.is_trained(node.attributes, graph.version, len(node.outputs))
    numbers = [graph.constant(name) for name in node.inputs[1:]]
    if trained or len(numbers) != 4 or node.attributes.get("spatial") == 0:
        return None
    scale, bias, mean, variance = numbers
    if scale is None or bias is None or mean is None or variance is None or scale.ndim != 1:
        return None
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    return normalization.affine(scale, bias, mean, variance, epsilon)


def _change(graph: Graph, node: Node, name: str) -> Change | None:
    """Return factor and offset, float64, by which a node changes a value a channel."""
    if is_affine(node) and not node.attributes.get("relu"):
        return node.attributes["factor"], node.attributes["offset"]
    make = _ARITHMETIC.get(node.op)
    rank = graph.rank(name)
    if node.domain or make is None or rank is None or len(node.inputs) != 2 or graph.version < 7:
        return None
    first = node.inputs[0] == name
    constant = graph.constant(node.inputs[1 if first else 0])
    if constant is None or constant.dtype.kind != "f" or constant.ndim > rank:
        return None
    shape = (1,) * (rank - constant.ndim) + constant.shape
    if shape[0] != 1 or any(size != 1 for size in shape[2:]):
        return None
    return make(constant.astype(np.float64).reshape(-1), first)


def _divided(c: Array, first: bool) -> Change | None:
    return (1 / c, np.zeros_like(c)) if first and c.all() else None


_ARITHMETIC: dict[str, Callable[[Array, bool], Change | None]] = {
    "Mul": lambda c, first: (c, np.zeros_like(c)),
    "Add": lambda c, first: (np.ones_like(c), c),
    "Sub": lambda c, first: (np.ones_like(c), -c) if first else (-np.ones_like(c), c),
    "Div": _divided,
}


def _compose(node: Node, change: Change) -> bool:
    """Let an `Affine` do another's work after its own, if that has as many channels."""
    factor, offset = node.attributes["factor"], node.attributes["offset"]
    if change[0].size not in (1, factor.size):
        return False
    node.attributes.update(factor=factor * change[0], offset=offset * change[0] + change[1])
    return True


def _scale(graph: Graph, node: Node, change: Change) -> bool:
    """Change the weights and the bias of a convolution, unless they have too few bits for that."""
    w = graph.constants[node.inputs[1]]
    factor, offset = change
    if w.dtype not in _FOLDED or factor.size not in (1, len(w)):
        return False
    old = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else None
    bias = graph.constants[old].astype(np.float64) if old else np.zeros(len(w))
    with np.errstate(all="ignore"):
        new_w = (w * factor.reshape(-1, *(1,) * (w.ndim - 1))).astype(w.dtype)
        new_bias = (bias * factor + offset).astype(w.dtype)
    names = [f"{node.outputs[0]}/{what} of {DOMAIN}" for what in ("weights", "bias")]
    graph.constants.update(zip(names, (new_w, new_bias), strict=True))
    node.inputs = [node.inputs[0], *names]
    return True
