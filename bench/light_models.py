"""The networks whose graphs ship with onnx, with random weights in place of none.

Their files hold the shapes of the weights alone: filled with a constant, all outputs are alike.
Here every weight is random, seeded, of a size that keeps the numbers between layers from growing.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, numpy_helper

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = sorted(path.stem.removeprefix("light_") for path in FOLDER.glob("light_*.onnx"))


def network(name: str, samples: int = 1, logits: bool = True) -> ModelProto:
    """Return a network with random weights; with `logits` its last softmax is left out.

    Without it differences between large outputs stay visible.
    """
    model = onnx.load(FOLDER / f"light_{name}.onnx")
    graph = model.graph
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    roles = {
        read: (node.op_type, place)
        for node in graph.node
        for place, read in enumerate(node.input)
        if node.op_type != "ConstantOfShape"
    }
    rng = np.random.default_rng(sum(name.encode()))
    nodes = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            nodes.append(node)
            continue
        shape = tuple(int(size) for size in shapes[node.input[0]])
        value = _random(rng, shape, *roles.get(node.output[0], ("", 0)))
        graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    if logits and nodes[-1].op_type == "Softmax":
        graph.output[0].name = nodes.pop().input[0]
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    values = [value for value in graph.input if value.name in read and value.name not in shapes]
    del graph.node[:], graph.initializer[:], graph.input[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    graph.input.extend(values)
    del graph.value_info[:]
    model.ir_version = 8  # initializers need not be inputs
    if samples != 1:
        _set_samples(model, samples)
    return model


def images(model: ModelProto, seed: int = 0) -> np.ndarray:
    """Return random images for a network."""
    sizes = model.graph.input[0].type.tensor_type.shape.dim
    shape = tuple(size.dim_value for size in sizes)
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def input_name(model: ModelProto) -> str:
    """Return the name of the images."""
    return model.graph.input[0].name


def _random(rng: np.random.Generator, shape: tuple[int, ...], op: str, place: int) -> np.ndarray:
    if op in ("Conv", "Gemm") and place == 1:
        # a sum of as many products as a filter has weights keeps the variance, a relu halves it
        values = rng.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
    elif (op == "BatchNormalization" and place in (1, 4)) or (op == "Unsqueeze" and place == 0):
        values = rng.uniform(0.7, 1.3, shape)
    else:
        values = rng.standard_normal(shape) * 0.1
    return values.astype(np.float32)


def _set_samples(model: ModelProto, samples: int) -> None:
    """Let the images be several, in the declarations and where a Reshape names their number."""
    for value in [*model.graph.input, *model.graph.output]:
        sizes = value.type.tensor_type.shape.dim
        if len(sizes):
            sizes[0].dim_value = samples
    targets = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    for tensor in model.graph.initializer:
        if tensor.name in targets and tensor.data_type == TensorProto.INT64:
            shape = numpy_helper.to_array(tensor).copy()
            if len(shape) and shape[0] == 1:
                shape[0] = samples
                tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
