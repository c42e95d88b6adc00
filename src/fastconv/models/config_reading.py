"""Models from JSON, as `config` and Keras write them.

What is read may be anything. A description can name classes of fastconv and those that its reader
gives; it is refused as a whole if anything in it is unknown. It may also ask for weights of any
size: `postponed_weights` is for those who have not seen yet whether the file has them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from ..errors import describe, value_error
from ..layers import InputLayer, Layer, Tensor
from ..layers.graph import tensors_of
from .config import LAYERS, is_functional

if TYPE_CHECKING:
    Classes = dict[str, Any]
    Place = tuple[str, int]

MOST_LAYERS = 10000
MOST_CALLS = 10000


def layer_from(function: str, given: Any, classes: Classes, levels: int = 50) -> Layer:
    """Return the layer or the model of a description.

    Raises
    ------
    ValueError
        If its class is unknown, or not one for which these arguments are.
    """
    name, config = _parts(function, given)
    if levels < 0:
        raise value_error(function, "config", "of at most 50 models within each other", "more")
    if name in ("Functional", "Model", "Sequential") and name not in classes:
        from .model import Model
        from .sequential import Sequential

        if name == "Sequential":
            return sequential_from(function, Sequential, config, classes, levels)
        return functional_from(function, Model, config, classes, levels)
    kind = classes.get(name) or LAYERS.get(name)
    module = given.get("module")
    foreign = module is not None and not str(module).startswith("keras")
    registered = given.get("registered_name")
    if kind is None or (name not in classes and (foreign or registered not in (None, name))):
        rule = "of layers that fastconv has, or that custom_objects names"
        raise value_error(function, "config", rule, describe(registered or name))
    try:
        return kind.from_config(dict(config))
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise value_error(function, "config", f"right for {name}", str(error)) from error


def _parts(function: str, given: Any) -> tuple[str, dict[str, Any]]:
    rule = "a dict with class_name, a str, and config, a dict"
    if not isinstance(given, dict):
        raise value_error(function, "config", rule, describe(given))
    name, config = given.get("class_name"), given.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        raise value_error(function, "config", rule, f"{describe(name)} and {describe(config)}")
    return name, config


def _items(function: str, config: dict[str, Any], key: str) -> list[Any]:
    items = config.get(key)
    if not isinstance(items, list) or len(items) > MOST_LAYERS:
        rule = f"a list of at most {MOST_LAYERS}"
        raise value_error(function, f"config[{key!r}]", rule, describe(items))
    return items


def sequential_from(
    function: str, kind: Any, config: dict[str, Any], classes: Classes, levels: int = 50
) -> Any:
    """Return the Sequential model of a configuration."""
    layers = [
        layer_from(function, item, classes, levels - 1)
        for item in _items(function, config, "layers")
    ]
    model = kind(layers, trainable=config.get("trainable", True), name=config.get("name"))
    shape = config.get("build_input_shape")
    if not model.built and shape is not None and layers:
        model.ensure_built(tuple(shape))
    return model


def functional_from(
    function: str, kind: Any, config: dict[str, Any], classes: Classes, levels: int = 50
) -> Any:
    """Return the model of a graph's configuration."""
    items = _items(function, config, "layers")
    made: dict[str, Layer] = {}
    for item in items:
        layer = layer_from(function, item, classes, levels - 1)
        if layer.name in made:
            rule = "layers of different names"
            raise value_error(function, "config['layers']", rule, f"{layer.name!r} twice")
        made[layer.name] = layer
    graph = _Graph(function, made, items)
    inputs, outputs = (
        graph.structure(config.get(key), key) for key in ("input_layers", "output_layers")
    )
    trainable = config.get("trainable", True)
    return kind(inputs, outputs, name=config.get("name"), trainable=trainable)


class _Graph:
    """The calls that a configuration lists, made in an order in which each finds its inputs."""

    def __init__(self, function: str, layers: dict[str, Layer], items: list[Any]) -> None:
        self.function, self.layers = function, layers
        # by layer and number of the call
        self.outputs: dict[Place, list[Tensor]] = {}
        calls: dict[Place, Any] = {}
        for layer, item in zip(layers.values(), items, strict=True):
            if isinstance(layer, InputLayer):
                self.outputs[layer.name, 0] = layer.nodes[0].outputs
                continue
            for number, call in enumerate(_items(function, item, "inbound_nodes")):
                calls[layer.name, number] = self._argument(layer, call)
        if len(calls) > MOST_CALLS:
            rule = f"of at most {MOST_CALLS} calls"
            raise value_error(function, "config['layers']", rule, len(calls))
        self._make(calls)

    def _argument(self, layer: Layer, call: Any) -> Any:
        """Return the place, or the list of places, that a layer is called on."""
        rule = "a call on a tensor, or a list or dict of them, without keywords"
        if not isinstance(call, dict):
            raise value_error(self.function, "inbound_nodes", rule, describe(call))
        args, keywords = call.get("args"), call.get("kwargs") or {}
        if not isinstance(args, list) or len(args) != 1 or not isinstance(keywords, dict):
            raise value_error(self.function, "inbound_nodes", rule, describe(args))
        for name, value in keywords.items():
            # Keras writes training=False for layers of which it is the default; fit overrides it
            if not _nothing(value) and (name, value) != ("training", False):
                raise value_error(self.function, "inbound_nodes", rule, f"{name}={describe(value)}")
        if isinstance(args[0], list):
            return [self._history(one) for one in args[0]]
        names = getattr(layer, "_input_structure", None)
        if names and isinstance(args[0], dict) and sorted(args[0]) == names:
            return [self._history(args[0][name]) for name in names]
        return self._history(args[0])

    def _history(self, tensor: Any) -> tuple[str, int, int]:
        config = tensor.get("config") if isinstance(tensor, dict) else None
        if not isinstance(config, dict) or tensor.get("class_name") != "__keras_tensor__":
            rule = "made of tensors"
            raise value_error(self.function, "inbound_nodes", rule, describe(tensor))
        return self._place(config.get("keras_history"), "keras_history")

    def _place(self, given: Any, argument: str) -> tuple[str, int, int]:
        if (
            not isinstance(given, (list, tuple))
            or len(given) != 3
            or not isinstance(given[0], str)
            or any(type(number) is not int or number < 0 for number in given[1:])
        ):
            rule = "a layer's name, the number of a call and of an output"
            raise value_error(self.function, argument, rule, describe(given))
        if given[0] not in self.layers:
            rule = "the name of a layer of the model"
            raise value_error(self.function, argument, rule, describe(given[0]))
        return given[0], given[1], given[2]

    def _make(self, calls: dict[Place, Any]) -> None:
        """Make each call once what it waits for was made: its inputs, the layer's call before."""
        waiting: dict[Place, int] = {}
        followers: dict[Place, list[Place]] = {}
        ready: deque[Place] = deque()
        for key, argument in calls.items():
            places = argument if isinstance(argument, list) else [argument]
            needs = {place[:2] for place in places if place[:2] not in self.outputs}
            if key[1]:
                needs.add((key[0], key[1] - 1))
            waiting[key] = len(needs)
            for need in needs:
                followers.setdefault(need, []).append(key)
            if not needs:
                ready.append(key)
        while ready:
            key = ready.popleft()
            self._call(key, calls[key])
            for follower in followers.get(key, ()):
                waiting[follower] -= 1
                if not waiting[follower]:
                    ready.append(follower)
        for key, left in waiting.items():
            if left:
                rule = "a graph in which every call finds its inputs"
                raise value_error(self.function, "config['layers']", rule, f"none for {key[0]!r}")

    def _call(self, key: Place, argument: Any) -> None:
        layer = self.layers[key[0]]
        several = isinstance(argument, list)
        tensors = [self._tensor(place) for place in (argument if several else [argument])]
        try:
            made = layer(tensors if several else tensors[0])
        except (TypeError, ValueError) as error:
            rule = f"a graph that {layer.name!r} can be called in"
            raise value_error(self.function, "config", rule, str(error)) from error
        self.outputs[key] = tensors_of(made)

    def _tensor(self, place: tuple[str, int, int], argument: str = "keras_history") -> Tensor:
        tensors = self.outputs.get(place[:2], [])
        if place[2] >= len(tensors):
            rule = "an output of a call that is made"
            raise value_error(self.function, argument, rule, describe(place))
        return tensors[place[2]]

    def structure(self, given: Any, argument: str) -> Any:
        """Return the tensor, the list or the dict of tensors of places."""
        if isinstance(given, dict):
            return {name: self._end(place, argument) for name, place in given.items()}
        if isinstance(given, list) and given and isinstance(given[0], str):
            return self._end(given, argument)
        if not isinstance(given, list):
            rule = "a place, a list or a dict of them"
            raise value_error(self.function, argument, rule, describe(given))
        return [self._end(place, argument) for place in given]

    def _end(self, given: Any, argument: str) -> Tensor:
        name, number, index = self._place(given, argument)
        # here, and here alone, Keras counts a model's making as its first call
        if is_functional(self.layers[name]):
            number -= 1
        return self._tensor((name, number, index), argument)


def _nothing(value: Any) -> bool:
    """Return whether a value is None, or Keras's way to say so for each of some tensors."""
    if isinstance(value, dict):
        value = list(value.values())
    return all(one is None for one in value) if isinstance(value, list) else value is None
