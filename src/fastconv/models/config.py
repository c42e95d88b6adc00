"""Models to JSON, in Keras's own structure; `config_reading` is the way back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from .. import layers as layers_module
from ..errors import value_error
from ..layers import InputLayer, Layer, Tensor
from ..layers.core import Input
from ..layers.graph import structured
from ..layers.naming import snake_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..layers import Variable
    from ..layers.graph import Node

LAYERS: dict[str, type[Layer]] = {
    name: kind
    for name, kind in vars(layers_module).items()
    if isinstance(kind, type) and issubclass(kind, Layer) and kind is not Layer
}


def class_name(layer: Layer) -> str:
    """Return the name of a layer's class in configurations."""
    name = type(layer).__name__
    return "Functional" if name == "Model" else name


def is_functional(layer: Layer) -> bool:
    """Return whether a layer is a model of a graph: Keras numbers the calls of these from 1."""
    from .model import Model
    from .sequential import Sequential

    return isinstance(layer, Model) and not isinstance(layer, Sequential)


def described(layer: Layer, legacy: bool = False) -> dict[str, Any]:
    """Return class and arguments of a layer or a model; `legacy` is the form of h5 files."""
    from .model import Model

    name = class_name(layer)
    config = model_config(layer, legacy) if isinstance(layer, Model) else layer.get_config()
    if legacy:
        return {"class_name": name, "config": config}
    if name == "Functional":
        module, registered = "keras.src.models.functional", "Functional"
    elif name == "Sequential":
        module, registered = "keras", None
    elif LAYERS.get(name) is type(layer):
        module, registered = "keras.layers", None
    else:
        module, registered = type(layer).__module__, name
    found = {"module": module, "class_name": name, "config": config, "registered_name": registered}
    if not isinstance(layer, InputLayer) and layer.build_shape is not None:
        shape = None if name == "Functional" else layer.build_shape
        found["build_config"] = {"input_shape": shape}
    return found


def model_config(model: Any, legacy: bool = False) -> dict[str, Any]:
    """Return what `Model.get_config` does, or its older form."""
    if is_functional(model):
        return _functional_config(model, legacy)
    config: dict[str, Any] = {
        "name": model.name,
        "trainable": model.trainable,
        "dtype": Layer.get_config(model)["dtype"],
        "layers": [described(layer, legacy) for layer in model.graph_layers],
    }
    if model.built:
        config["build_input_shape"] = model.inputs[0].shape
    return config


def _functional_config(model: Any, legacy: bool) -> dict[str, Any]:
    entries = _entries(model)
    own: dict[int, list[Node]] = {id(layer): [] for layer in model.graph_layers}
    number: dict[int, int] = {}
    inside = {id(node) for node in model.graph_nodes}
    for layer in model.graph_layers:
        for node in layer.nodes:
            if id(node) in inside or isinstance(layer, InputLayer):
                number[id(node)] = len(own[id(layer)])
                own[id(layer)].append(node)

    def place(tensor: Tensor, offset: bool) -> list[Any]:
        if id(tensor) in entries:
            return [entries[id(tensor)], 0, 0]
        layer = tensor.node.layer
        begin = 1 if offset and is_functional(layer) else 0
        return [layer.name, number[id(tensor.node)] + begin, tensor.index]

    def called(node: Node) -> dict[str, Any]:
        tensors = [
            {
                "class_name": "__keras_tensor__",
                "config": {
                    "shape": tensor.shape,
                    "dtype": tensor.dtype,
                    "keras_history": place(tensor, False),
                },
            }
            for tensor in node.inputs
        ]
        # a model with a dict of inputs is called on one
        names = None if node.single else getattr(node.layer, "_input_structure", None) or []
        return {"args": [structured(tensors, names)], "kwargs": {}}

    # tensors inside of another model that this one begins with become inputs
    cut = [
        {**described(_input_like(tensor, name), legacy), "name": name, "inbound_nodes": []}
        for tensor in model.inputs
        for name in [entries.get(id(tensor))]
        if name is not None
    ]
    rest = [
        {
            **described(layer, legacy),
            "name": layer.name,
            "inbound_nodes": [called(node) for node in own[id(layer)] if node.inputs],
        }
        for layer in model.graph_layers
    ]

    def structure(tensors: list[Tensor], names: list[str] | None) -> Any:
        return structured([place(tensor, True) for tensor in tensors], names)

    return {
        "name": model.name,
        "trainable": model.trainable,
        "layers": cut + rest,
        "input_layers": structure(model.inputs, model._input_structure),
        "output_layers": structure(model.outputs, model._output_structure),
    }


def _entries(model: Any) -> dict[int, str]:
    """Return names for the inputs that are no `Input`'s, by id."""
    taken = {layer.name for layer in model.graph_layers}
    found: dict[int, str] = {}
    for tensor in model.inputs:
        if not isinstance(tensor.node.layer, InputLayer):
            name = f"{tensor.node.layer.name}_input"
            while name in taken:
                name += "_"
            taken.add(name)
            found[id(tensor)] = name
    return found


def _input_like(tensor: Tensor, name: str) -> Layer:
    return Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name).node.layer


def named_variables(function: str, model: Any) -> dict[str, Variable]:
    """Return all weights of a model by names such as layers/conv2d_1/kernel.

    They do not depend on the layers' own names, which count on from model to model.

    Raises
    ------
    ValueError
        If a layer belongs to two of the models: descriptions, like Keras's, can't say so.
    """
    found: dict[str, Variable] = {}
    ids: set[int] = set()
    for path, layer in layer_paths(model):
        for variable in [] if hasattr(layer, "graph_layers") else layer.variables:
            name = f"{path}/{variable.name}"
            if name in found or id(variable) in ids:
                rule = "in a single model, and its weights of different names, to be saved"
                raise value_error(function, f"layer {layer.name!r}", rule, f"{name!r} twice")
            found[name] = variable
            ids.add(id(variable))
    return found


def layer_paths(model: Any, prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield all layers, those of models within too, and where Keras puts their weights."""
    counts: Counter[str] = Counter()
    for layer in model.layers:
        name = snake_case(class_name(layer))
        number, counts[name] = counts[name], counts[name] + 1
        path = f"{prefix}layers/{name}_{number}" if number else f"{prefix}layers/{name}"
        yield path, layer
        if hasattr(layer, "graph_layers"):
            yield from layer_paths(layer, f"{path}/")
