"""The outputs of all layers of a model for one sample, and where their channels are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..config import image_data_format
from ..errors import describe, type_error, value_error
from ..layers import InputLayer, Layer, Reshape
from ..models import Model
from ..models.data import listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..layers.graph import Node, Tensor

    Array = NDArray[Any]


class Output(NamedTuple):
    """What one call of a layer returned."""

    name: str
    kind: str
    array: Array
    data_format: str


def outputs_of(
    function: str, model: Model, x: Any, layers: Any, data_format: str | None
) -> list[Output]:
    """Return the inputs and the layers' outputs for the first sample, all from one pass.

    Parameters
    ----------
    function : str
        Who asks, for messages.
    model : Model
        It gets its weights now if it has none yet.
    x : array_like, or a list or dict of them
        Its inputs.
    layers : None, or names, layers, or a sequence of them
        Whose outputs; None for all.
    data_format : str, optional
        The layout of all of them, instead of the layers' own.
    """
    arrays = _first_samples(function, model, x)
    calls = _calls(model, _wanted(function, model, layers))
    tensors = [(name, tensor) for name, node in calls for tensor in node.outputs]
    found: list[Array] = []
    if tensors:
        inner = Model(model.inputs, [tensor for _, tensor in tensors], name=function)
        found = inner.predict_on_batch(arrays)
    layouts = _layouts(model)
    result = []
    named = [(tensor.node.layer.name, tensor) for tensor in model.inputs]
    for (name, tensor), array in zip([*named, *tensors], [*arrays, *found], strict=True):
        layout = data_format or layouts.get(id(tensor)) or image_data_format()
        result.append(Output(name, type(tensor.node.layer).__name__, array, layout))
    return result


def _first_samples(function: str, model: Any, x: Any) -> list[Array]:
    if not isinstance(model, Model):
        raise type_error(function, "model", "a Model or Sequential", describe(model))
    names = model.input_names if model.built else ["x"]
    try:
        arrays = listed(function, "x", x, names)
    except ValueError as error:
        if not str(error).startswith(function):  # rows of different lengths
            raise type_error(function, "x", "arrays of numbers", describe(x)) from None
        raise
    for array in arrays:
        if not len(array):
            rule = "of one sample at least: the first is taken"
            raise value_error(function, "x", rule, f"shape {array.shape}")
    model.ensure_built((None, *arrays[0].shape[1:]))
    return [
        array[:1].astype(tensor.dtype) for array, tensor in zip(arrays, model.inputs, strict=True)
    ]


def _wanted(function: str, model: Model, layers: Any) -> list[Layer]:
    """Return the layers asked for, in the model's order."""
    if layers is None:
        return model.graph_layers
    given = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    rule = "layers of the model or their names"
    known = {layer.name: layer for layer in model.graph_layers}
    chosen = set()
    for one in given:
        if not isinstance(one, (str, Layer)):
            raise type_error(function, "layers", rule, describe(one))
        name = one if isinstance(one, str) else one.name
        if name not in known or (isinstance(one, Layer) and known[name] is not one):
            rule = "among " + ", ".join(layer.name for layer in model.layers)
            raise value_error(function, "layers", rule, repr(name))
        chosen.add(name)
    return [layer for layer in model.graph_layers if layer.name in chosen]


def _calls(model: Model, layers: list[Layer]) -> list[tuple[str, Node]]:
    """Return the calls of layers within a model, each with a name; inputs are none."""
    calls = []
    for layer in layers:
        nodes = [node for node in model.graph_nodes if node.layer is layer and node.inputs]
        for number, node in enumerate(nodes, 1):
            name = layer.name if len(nodes) == 1 else f"{layer.name}, call {number}"
            calls.append((name, node))
    return calls


def _layouts(model: Model) -> dict[int, str]:
    """Return the data_format of tensors, as far as the layers around them tell.

    A layer that has none passes on that of its input; an input has that of who takes it first.
    """
    found: dict[int, str] = {}
    asked: dict[int, str] = {}
    _go_forward(model, found)
    for node in reversed(model.graph_nodes):
        for place, tensor in enumerate(node.inputs):
            wanted = _own_layout(node.layer, place, of_input=True)
            if wanted is None and _passes_on(node.layer):
                wanted = next((asked[id(t)] for t in node.outputs if id(t) in asked), None)
            if wanted is not None:
                asked[id(tensor)] = wanted
    for tensor in _tensors(model):
        if id(tensor) not in found and id(tensor) in asked:
            found[id(tensor)] = asked[id(tensor)]
    _go_forward(model, found)
    return found


def _go_forward(model: Model, found: dict[int, str]) -> None:
    for node in model.graph_nodes:
        before = [found[id(t)] for t in node.inputs if t.ndim == 4 and id(t) in found]
        for place, tensor in enumerate(node.outputs):
            layout = _own_layout(node.layer, place, of_input=False)
            if layout is None and before and _passes_on(node.layer):
                layout = before[0]
            if layout is not None:
                found.setdefault(id(tensor), layout)


def _own_layout(layer: Layer, place: int, of_input: bool) -> str | None:
    if isinstance(layer, Model):
        tensors = layer.inputs if of_input else layer.outputs
        return _layouts(layer).get(id(tensors[place]))
    return getattr(layer, "data_format", None)


def _passes_on(layer: Layer) -> bool:
    return not isinstance(layer, (InputLayer, Reshape))


def _tensors(model: Model) -> list[Tensor]:
    return [*model.inputs, *(tensor for node in model.graph_nodes for tensor in node.outputs)]


def maps_of(output: Output) -> Array:
    """Return an output of one sample as maps: an array (maps, rows, columns)."""
    sample = np.asarray(output.array[0], np.float64)
    if sample.ndim == 3 and output.data_format == "channels_last":
        return np.ascontiguousarray(np.moveaxis(sample, 2, 0))
    if sample.ndim < 2:
        return sample.reshape(1, 1, -1)
    return sample.reshape(-1, *sample.shape[-2:])
