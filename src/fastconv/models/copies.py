"""New models of a description: of JSON, of another model."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from ..errors import describe, type_error, value_error
from ..layers import Input, InputLayer, Layer, Tensor
from ..layers.graph import structured, tensors_of
from .config import LAYERS, described, is_functional
from .config_reading import layer_from
from .tensors import parse
from .training_config import compile_from, reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Model

    Classes = dict[str, Any]


def model_from(function: str, description: Any, classes: Classes) -> Any:
    """Return the model of a description."""
    from .model import Model

    model = layer_from(function, description, classes)
    if not isinstance(model, Model):
        raise value_error(function, "config", "that of a model", type(model).__name__)
    return model


def model_from_json(json_string: str, custom_objects: Classes | None = None) -> Model:
    """Return a new model, not trained, of what `Model.to_json` returned, or Keras's.

    Parameters
    ----------
    json_string : str
        The text.
    custom_objects : dict, optional
        Classes by name, for layers of your own.

    Raises
    ------
    ValueError, TypeError
        If it is no description of a model, or one with layers that fastconv doesn't have.

    Examples
    --------
    >>> from fastconv.layers import Dense
    >>> from fastconv.models import Sequential, model_from_json
    >>> model = Sequential([Dense(2, input_shape=(3,))])
    >>> model_from_json(model.to_json()).count_params()
    8
    """
    function = "model_from_json"
    if not isinstance(json_string, str):
        raise type_error(function, "json_string", "a str", describe(json_string))
    description = parse(function, "json_string", json_string)
    classes = checked_classes(function, custom_objects)
    with reading(function, "description", "json_string"):
        model = model_from(function, description, classes)
        compile_from(function, model, description.get("compile_config"), classes)
    return model


def clone_model(model: Model, input_tensors: Any = None, clone_function: Any = None) -> Model:
    """Return a model of the same layers with weights of its own, initialized anew.

    Parameters
    ----------
    model : Model
        It is neither changed nor shared with.
    input_tensors : Tensor, or a list or dict of them, optional
        What the new model begins with, one for each input of `model`; by default new ones.
    clone_function : callable, optional
        Called with each layer but those that take inputs; what it returns stands in its place,
        which may be the layer itself. By default it makes the layer's configuration anew.

    Returns
    -------
    Model
        Compiled if `model` is, and with an optimizer that made no step.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these, the layers and tensors do not go together, or the model
        has something that can't be written down: a learning rate that is a function.

    Examples
    --------
    >>> from fastconv.layers import Dense
    >>> from fastconv.models import Sequential, clone_model
    >>> model = Sequential([Dense(2, input_shape=(3,))])
    >>> clone_model(model).count_params()
    8
    >>> wider = clone_model(model, clone_function=lambda layer: Dense(2 * layer.units))
    >>> wider.output_shape
    (None, 4)
    """
    from .model import Model

    function = "clone_model"
    if not isinstance(model, Model):
        raise type_error(function, "model", "a Model", describe(model))
    if clone_function is not None and not callable(clone_function):
        rule = "a function of a layer"
        raise type_error(function, "clone_function", rule, describe(clone_function))
    classes = _own_classes(model)
    if input_tensors is None and clone_function is None:
        clone = model_from(function, described(model), classes)
    else:
        given = clone_function or (lambda layer: layer_from(function, described(layer), classes))
        clone = _rebuilt(model, input_tensors, lambda layer: _checked(given(layer)))
    if model._compiled is not None:
        optimizer = type(model.optimizer).from_config(model.optimizer.get_config())
        clone.compile(optimizer, **copy.deepcopy(model._compiled.arguments()))
    return clone


def _rebuilt(model: Any, input_tensors: Any, copied: Callable[[Layer], Layer]) -> Any:
    """Return the model with other layers, on other tensors."""
    from .model import Model
    from .sequential import Sequential

    begins = _beginnings(model, input_tensors)
    if not is_functional(model):
        stack = [*begins, *(copied(layer) for layer in model.layers)]
        return Sequential(stack, name=model.name, trainable=model.trainable)
    made = {id(old): new for old, new in zip(model.inputs, begins, strict=True)}
    copies: dict[int, Layer] = {}
    for node in model.graph_nodes:
        if not node.inputs:
            continue
        if id(node.layer) not in copies:
            copies[id(node.layer)] = copied(node.layer)
        tensors = [made[id(tensor)] for tensor in node.inputs]
        names = None if node.single else getattr(node.layer, "_input_structure", None) or []
        outputs = tensors_of(copies[id(node.layer)](structured(tensors, names)))
        made.update((id(old), new) for old, new in zip(node.outputs, outputs, strict=True))
    outputs = model.structured([made[id(tensor)] for tensor in model.outputs])
    inputs = structured(begins, model._input_structure)
    return Model(inputs, outputs, name=model.name, trainable=model.trainable)


def _beginnings(model: Any, given: Any) -> list[Tensor]:
    """Return the tensors that a rebuilt model begins with."""
    if given is None:
        return [
            Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=_name_of(tensor))
            for tensor in model.inputs
        ]
    names = model._names()[0]
    rule = f"a tensor for each of {', '.join(names)}"
    tensors = tensors_of(given)
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise type_error("clone_model", "input_tensors", rule, describe(given))
    if len(tensors) != len(names) or (isinstance(given, dict) and sorted(given) != sorted(names)):
        raise value_error("clone_model", "input_tensors", rule, describe(given))
    return tensors


def _name_of(tensor: Tensor) -> str | None:
    # one inside of another model has no name of its own
    return tensor.node.layer.name if isinstance(tensor.node.layer, InputLayer) else None


def _checked(layer: Any) -> Layer:
    if not isinstance(layer, Layer):
        rule = "a function that returns a layer"
        raise type_error("clone_model", "clone_function", rule, describe(layer))
    return layer


def _own_classes(model: Any) -> Classes:
    """Return the classes, by name, of the layers that are not fastconv's."""
    from .model import Model

    found: Classes = {}
    for layer in model.graph_layers:
        if isinstance(layer, Model):
            found.update(_own_classes(layer))
        elif LAYERS.get(type(layer).__name__) is not type(layer):
            found[type(layer).__name__] = type(layer)
    return found


def checked_classes(function: str, custom_objects: Any) -> Classes:
    """Return the classes that a caller gave by name; none for None."""
    if custom_objects is None:
        return {}
    if not isinstance(custom_objects, dict):
        rule = "a dict of classes by name"
        raise type_error(function, "custom_objects", rule, describe(custom_objects))
    return custom_objects
