"""New models of a description: of JSON, of another model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import describe, type_error, value_error
from .config import LAYERS, described
from .config_reading import layer_from
from .tensors import parse
from .training_config import compile_from, reading

if TYPE_CHECKING:
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


def clone_model(model: Model) -> Model:
    """Return a model of the same layers with weights of its own, initialized anew.

    Parameters
    ----------
    model : Model
        It is neither changed nor shared with.

    Raises
    ------
    TypeError
        If it is no model.

    Examples
    --------
    >>> from fastconv.layers import Dense
    >>> from fastconv.models import Sequential, clone_model
    >>> clone_model(Sequential([Dense(2, input_shape=(3,))])).count_params()
    8
    """
    from .model import Model

    if not isinstance(model, Model):
        raise type_error("clone_model", "model", "a Model", describe(model))
    return model_from("clone_model", described(model), _own_classes(model))


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
