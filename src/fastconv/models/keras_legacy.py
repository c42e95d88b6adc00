"""Keras's older files of whole models, ``.h5``: JSON in attributes, weights by layers' names.

Arrays are told apart by their order alone, so names may differ.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .. import losses, metrics
from ..errors import describe, value_error
from ..layers import Layer, Variable
from ..layers.base import assign_all, postponed_weights
from . import h5
from .config import described, named_variables
from .config_reading import layer_from
from .keras_format import KERAS_VERSION, Skipped, check_optimizer, place_optimizer, place_weights
from .tensors import MOST_HEADER, parse
from .training_config import compile_config, compile_from, randomness, restore_randomness

# metrics whose class depends on the data: they stay names
_BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")

if TYPE_CHECKING:
    Pairs = list[tuple[Variable, Any]]


def whole_model(model: Any) -> bytes:
    """Return a whole ``.h5`` file: model, arguments of `compile`, optimizer's state."""
    paths = {id(v): name for name, v in named_variables("save", model).items()}
    with h5.written() as (file, content):
        file.attrs["keras_version"], file.attrs["backend"] = KERAS_VERSION, "fastconv"
        file.attrs["model_config"] = json.dumps(described(model, legacy=True))
        # Keras does not look at it
        file.attrs["fastconv"] = json.dumps(randomness(model))
        given = compile_config(model)
        if given:
            file.attrs["training_config"] = json.dumps(_older(given))
        group = file.create_group("model_weights")
        group.attrs["keras_version"], group.attrs["backend"] = KERAS_VERSION, "fastconv"
        h5.set_names(group, "layer_names", [layer.name for layer in model.layers])
        for layer in model.layers:
            _write(group.create_group(layer.name), [(paths[id(v)], v.value) for v in layer.weights])
        _write(group.create_group("top_level_model_weights"), [])
        if model.compiled and check_optimizer("save", model):
            state = enumerate(model.optimizer.variables)
            name = model.optimizer.name.replace("/", "_")
            _write(
                file.create_group("optimizer_weights"),
                [(f"{name}/{i}_{variable.name}", variable.value) for i, variable in state],
            )
    return content.getvalue()


def _write(group: Any, arrays: list[tuple[str, Any]]) -> None:
    h5.set_names(group, "weight_names", [name for name, _ in arrays])
    for name, value in arrays:
        group.create_dataset(name, data=value)


def _older(config: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of `compile` as these files have them: classes without modules."""
    kept = {name: _without_modules(value) for name, value in config.items() if name != "optimizer"}
    for name in ("loss", "metrics", "weighted_metrics"):
        kept[name] = _spelled_out(name, kept[name])
    optimizer = config["optimizer"]
    kept["optimizer_config"] = {name: optimizer[name] for name in ("class_name", "config")}
    return kept


def _spelled_out(argument: str, value: Any) -> Any:
    """Return names as classes: Keras, reading these files, does not know "mse" and its like."""
    if isinstance(value, dict) and "class_name" not in value:
        return {name: _spelled_out(argument, one) for name, one in value.items()}
    if isinstance(value, list):
        return [_spelled_out(argument, one) for one in value]
    if not isinstance(value, str) or value.lower() in _BY_SHAPE:
        return value
    if argument == "loss":
        return _without_modules(losses.serialize(losses.get(value)))
    metric = metrics.get(value)
    metric.name = value  # what the logs call it
    return _without_modules(metrics.serialize(metric))


def _without_modules(value: Any) -> Any:
    if isinstance(value, dict) and "class_name" in value:
        return {"class_name": value["class_name"], "config": value["config"]}
    if isinstance(value, dict):
        return {name: _without_modules(one) for name, one in value.items()}
    return [_without_modules(one) for one in value] if isinstance(value, list) else value


# ------------------------------------------------------------------------------------ reading


def read_whole_model(function: str, path: str, classes: dict[str, Any], compile: bool) -> Any:
    """Return the model of an ``.h5`` file."""
    with h5.opened(function, path) as file:
        description = _json(function, path, file, "model_config")
        if description is None:
            rule = "a file with a model; one of weights alone is for load_weights"
            raise value_error(function, "filepath", rule, describe(path))
        with postponed_weights():
            model: Any = layer_from(function, description, classes)
        place_weights(function, model, _read(function, model, file))
        given = _json(function, path, file, "training_config")
        if compile and given:
            given["optimizer"] = given.pop("optimizer_config")
            compile_from(function, model, given, classes)
            place_optimizer(function, model, lambda shapes: _optimizer(function, file, shapes))
        own = _json(function, path, file, "fastconv") or {}
        restore_randomness(function, model, own)
    return model


def read_legacy_weights(function: str, path: str, model: Any, skipped: Skipped = None) -> None:
    """Read the weights of an ``.h5`` file into a model; see `keras_format.read_weights`."""
    with h5.opened(function, path) as file:
        pairs = _read(function, model, file, skipped)
    assign_all(function, [variable for variable, _ in pairs], [value for _, value in pairs])


def _json(function: str, path: str, file: Any, name: str) -> Any:
    if name not in file.attrs:
        return None
    text = "".join(h5.texts(function, file, name))
    if len(text) > MOST_HEADER:
        rule = f"a file with {name} of at most {MOST_HEADER} bytes"
        raise value_error(function, "filepath", rule, len(text))
    return parse(function, path, text)


def _read(function: str, model: Any, file: Any, skipped: Skipped = None) -> Pairs:
    # a file of weights alone has the layers at its top
    group = h5.group(function, file, "model_weights")
    group = file if group is None else group
    layers: list[Layer] = [layer for layer in model.layers if layer.weights]
    stored = []
    for name in h5.names_in(function, group, "layer_names"):
        inside = h5.group(function, group, name)
        names = [] if inside is None else h5.names_in(function, inside, "weight_names")
        if names:
            stored.append((inside, names))
    if len(stored) != len(layers):
        rule = f"a file with {len(layers)} layers that have weights"
        raise value_error(function, "filepath", rule, len(stored))
    pairs: Pairs = []
    for layer, (inside, names) in zip(layers, stored, strict=True):
        weights = layer.weights
        shapes = [weight.shape for weight in weights]
        if skipped is not None and h5.shapes(function, inside, names) != shapes:
            skipped.append(layer.name)
            continue
        if len(names) != len(weights):
            rule = f"a file with {len(weights)} weights of {layer.name}"
            raise value_error(function, "filepath", rule, len(names))
        values = h5.arrays(function, inside, names, shapes)
        pairs.extend(zip(weights, values, strict=True))
    return pairs


def _optimizer(function: str, file: Any, shapes: Any) -> Any:
    group = h5.group(function, file, "optimizer_weights")
    if group is None:
        return None
    names = h5.names_in(function, group, "weight_names")
    if shapes is None:
        return names or None
    if len(names) != len(shapes):
        rule = f"a file with {len(shapes)} arrays of the optimizer"
        raise value_error(function, "filepath", rule, len(names))
    return h5.arrays(function, group, names, shapes)
