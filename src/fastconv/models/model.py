"""A graph of layers as one: its outputs, its gradients, its weights."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import describe, type_error, value_error
from ..geometry import plain_int
from ..layers import InputLayer, Layer, Tensor, Training, Variable
from ..layers.base import assign_all
from ..layers.graph import (
    layers_in_order,
    nodes_between,
    shapes_of,
    structure_of,
    structured,
    tensors_of,
)
from ..layers.naming import checked_name
from .saveable import Saveable
from .steps import Plan
from .summary import print_summary
from .training import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..layers.base import Array, Arrays, Saved
    from ..layers.graph import Node
    from .steps import Step


class Model(Saveable, Trainer, Layer):
    """A network from symbolic inputs to symbolic outputs; itself a layer.

    Parameters
    ----------
    inputs, outputs : Tensor or a list (or dict) of them
        What `Input` returned, and what layers returned that were called on it. They may also be
        tensors inside of another model: ``Model(model.input, model.layers[2].output)``. A dict's
        names are those of the data, and of what comes out; lists are in the names' order.
    name : str, optional
        By default functional, functional_1, ...
    trainable : bool
        Whether an optimizer may change its weights.

    Raises
    ------
    ValueError, TypeError
        If the outputs need more than these inputs, or two layers have one name.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.layers import Add, Conv2D, Input
    >>> x = Input((8, 8, 3))
    >>> y = Add()([Conv2D(4, 3, padding="same")(x), Conv2D(4, 1)(x)])
    >>> model = Model(x, y)
    >>> model.predict(np.zeros((2, 8, 8, 3)), verbose=0).shape, model.count_params()
    ((2, 8, 8, 4), 128)
    """

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, trainable: bool = True
    ) -> None:
        kind = "Functional" if type(self) is Model else type(self).__name__
        super().__init__(name=checked_name(kind, name), trainable=trainable)
        self._set_graph(inputs, outputs)
        if not trainable:
            self.trainable = False

    def _set_graph(self, inputs: Any, outputs: Any) -> None:
        for argument, value in (("inputs", inputs), ("outputs", outputs)):
            if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
                raise type_error("Model", argument, "a dict with texts as names", describe(value))
            tensors = tensors_of(value)
            if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors):
                rule = "symbolic tensors: what Input returns, and layers called on it"
                raise type_error("Model", argument, rule, describe(value))
        self._input_structure = structure_of(inputs)
        self._output_structure = structure_of(outputs)
        self.inputs, self.outputs = tensors_of(inputs), tensors_of(outputs)
        self.takes_list = not isinstance(inputs, Tensor)
        # wide enough for every input: as a layer of another model it must round none
        self.dtype = np.result_type(*(tensor.dtype for tensor in self.inputs)).name
        nodes = nodes_between(self.inputs, self.outputs)
        self._check_complete(nodes)
        self.input_layers = [tensor.node.layer for tensor in self.inputs]
        used = {id(node) for node in nodes}
        unused = [tensor.node for tensor in self.inputs if id(tensor.node) not in used]
        self.graph_nodes = nodes
        alone = [node.layer for node in unused if isinstance(node.layer, InputLayer)]
        self._layers = layers_in_order(nodes, self.outputs, alone)
        names = Counter(layer.name for layer in self._layers)
        for name, times in names.items():
            if times > 1:
                raise value_error("Model", "layers", "of different names", f"{name!r} twice")
        self._plan = Plan(nodes, self.inputs, self.outputs)
        self.built = True
        self.build_shape = self.inputs[0].shape

    def _check_complete(self, nodes: list[Node]) -> None:
        given = {id(tensor) for tensor in self.inputs}
        for node in nodes:
            if isinstance(node.layer, InputLayer) and id(node.outputs[0]) not in given:
                rule = "all that the outputs are made from"
                raise value_error("Model", "inputs", rule, f"nothing for {node.layer.name!r}")

    # -------------------------------------------------------------------------------- layers

    @property
    def layers(self) -> list[Layer]:
        """The layers, from the inputs on."""
        return list(self._layers)

    @property
    def graph_layers(self) -> list[Layer]:
        """The layers with those that take inputs, which `layers` of a Sequential leaves out."""
        return list(self._layers)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its place in `layers`.

        Parameters
        ----------
        name : str, optional
            The layer's name.
        index : int, optional
            Its place, instead.

        Raises
        ------
        ValueError, TypeError
            If there is no such layer, or neither or both are given.
        """
        if (name is None) == (index is None):
            raise TypeError("get_layer: either name or index is needed")
        layers = self.layers
        if index is not None:
            place = plain_int("get_layer", "index", index, "an int")
            if not -len(layers) <= place < len(layers):
                raise value_error("get_layer", "index", f"below {len(layers)}", place)
            return layers[place]
        for layer in layers:
            if layer.name == name:
                return layer
        rule = "one of " + ", ".join(layer.name for layer in layers)
        raise value_error("get_layer", "name", rule, describe(name))

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change its weights; what is set holds for all its layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = value
        for layer in getattr(self, "graph_layers", ()):  # none while it is being made
            layer.trainable = value

    @property
    def variables(self) -> list[Variable]:
        """The weights of all layers, each once."""
        found = {id(v): v for layer in self.graph_layers for v in layer.variables}
        return list(found.values())

    @variables.setter
    def variables(self, value: list[Variable]) -> None:
        """A model has no weights of its own."""

    @property
    def weights(self) -> list[Variable]:
        """The weights of all layers, layer by layer."""
        found = {id(v): v for layer in self.graph_layers for v in layer.weights}
        return list(found.values())

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that an optimizer changes."""
        if not self.trainable:
            return []
        found = {id(v): v for layer in self.graph_layers for v in layer.trainable_weights}
        return list(found.values())

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that it leaves alone."""
        trained = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trained]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Write all weights, in the order of `get_weights`; all are checked before any is written.

        Parameters
        ----------
        weights : list of array_like
            As `get_weights` returns them.

        Raises
        ------
        ValueError, TypeError
            If their number, a shape or a dtype is not that of the weights.
        """
        self._need_built("set_weights")
        assign_all(self.name, self.weights, weights)

    def get_weights(self) -> list[Array]:
        """Return copies of all weights, layer by layer."""
        self._need_built("get_weights")
        return super().get_weights()

    def _need_built(self, function: str) -> None:
        if not self.built:
            rule = "after the shape of the input is known: begin with Input or input_shape"
            raise ValueError(f"{function}: {self.name} must be called {rule}")

    # ------------------------------------------------------------------------- computation

    def __call__(self, inputs: Any, training: bool | Training | None = None) -> Any:
        if self.takes_list and isinstance(inputs, dict):
            missing = [name for name in self.input_names if name not in inputs]
            if missing or len(inputs) != len(self.inputs):
                rule = f"a dict with {', '.join(self.input_names)}"
                raise value_error(self.name, "inputs", rule, ", ".join(map(str, inputs)))
            inputs = [inputs[name] for name in self.input_names]
        elif self.takes_list and len(self.inputs) == 1 and not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        if training is True:
            training = Training(seeded=self._seeded_generators())
        outputs = super().__call__(inputs, training)
        return self.structured(outputs) if self._output_structure else outputs

    def structured(self, outputs: list[Any]) -> Any:
        """Return a list of what there is of each output as the model's outputs were given.

        `forward` and `backward` have lists where the outputs are a dict.
        """
        return structured(outputs, self._output_structure)

    def check_input(self, shape: Any) -> None:
        shapes = shape if self.takes_list else [shape]
        if len(shapes) != len(self.inputs):
            rule = f"a list of {len(self.inputs)}"
            raise value_error(self.name, "inputs", rule, f"{len(shapes)}")
        for tensor, given in zip(self.inputs, shapes, strict=True):
            fits = len(tensor.shape) == len(given) and all(
                want is None or have is None or want == have
                for want, have in zip(tensor.shape[1:], given[1:], strict=True)
            )
            if not fits:
                rule = f"of shape {tensor.shape}"
                raise value_error(self.name, "inputs", rule, f"shape {tuple(given)}")

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes: list[Any] = [None] * self._plan.places
        if isinstance(input_shape, dict):
            input_shape = [input_shape[name] for name in self.input_names]
        given = input_shape if self.takes_list else [input_shape]
        for place, shape in zip(self._plan.inputs, given, strict=True):
            shapes[place] = shape
        for step in self._plan.steps:
            inputs = [shapes[place] for place in step.inputs]
            found = step.layer.compute_output_shape(inputs[0] if step.single else inputs)
            for place, shape in zip(step.outputs, shapes_of(found), strict=True):
                shapes[place] = shape
        return self.structured([shapes[place] for place in self._plan.outputs])

    def forward(self, x: Arrays, training: Training | None = None) -> tuple[Arrays, Saved]:
        return self._forward(x, training)

    def prepared(self) -> Callable[[Any], Any]:
        calls = [step.layer.prepared() for step in self._plan.steps]
        return lambda x: self._forward(x, None, calls)[0]

    def _forward(
        self, x: Arrays, training: Training | None, calls: list[Any] | None = None
    ) -> tuple[Arrays, Saved]:
        """Walk the steps; `calls` has what each layer `prepared` for it."""
        values: list[Any] = [None] * self._plan.places
        for place, array in zip(self._plan.inputs, x if self.takes_list else [x], strict=True):
            values[place] = array
        kept = []
        for number, step in enumerate(self._plan.steps):
            inputs = [_cast(values[place], step.dtype) for place in step.inputs]
            if calls is not None:
                y, saved = calls[number](inputs[0] if step.single else inputs), None
            elif training is None or step.relu is None:
                y, saved = step.layer.forward(inputs[0] if step.single else inputs, training)
            else:
                y, saved = step.layer.forward_after_relu(inputs[0], training)
            if len(step.outputs) == 1 and not isinstance(y, list):
                values[step.outputs[0]] = y
            else:
                for place, array in zip(step.outputs, y, strict=True):
                    values[place] = array
            for place in step.last_used:
                values[place] = None
            # without training there will be no way back
            kept.append(None if training is None else saved)
            if training is not None and step.relu is not None:
                before = self._plan.steps[step.relu].layer
                kept[step.relu] = before.forget_output(kept[step.relu])
        outputs = [values[place] for place in self._plan.outputs]
        return (outputs if self._output_structure is not None else outputs[0]), kept

    def backward(self, grad: Arrays, saved: Saved) -> tuple[Arrays, list[Array]]:
        grads, found = self._go_back(grad, saved, True)
        return (grads if self.takes_list else grads[0]), found

    def weight_gradients(self, grad: Arrays, saved: Saved) -> list[Array]:
        return self._go_back(grad, saved, False)[1]

    def _go_back(self, grad: Any, kept: Saved, inputs_too: bool) -> tuple[list[Any], list[Array]]:
        grads: list[Any] = [None] * self._plan.places
        several = self._output_structure is not None
        for place, array in zip(self._plan.outputs, grad if several else [grad], strict=True):
            _accumulate(grads, place, array)
        weights = self.trainable_weights
        needed = self._places_that_need_gradients(weights, inputs_too)
        of_weights: dict[int, Array] = {}
        for step, saved in zip(reversed(self._plan.steps), reversed(kept), strict=True):
            here = [grads[place] for place in step.outputs]
            for place in step.outputs:
                grads[place] = None  # free for the next arrays
            if all(one is None for one in here) or needed.isdisjoint(step.outputs):
                continue
            self._step_back(step, here, saved, grads, needed, of_weights)
        for v in weights:
            if id(v) not in of_weights:
                of_weights[id(v)] = np.zeros_like(v.value)
        return [grads[place] for place in self._plan.inputs], [of_weights[id(v)] for v in weights]

    def _step_back(
        self,
        step: Step,
        here: list[Any],
        saved: Saved,
        grads: list[Any],
        needed: set[int],
        of_weights: dict[int, Array],
    ) -> None:
        layer = step.layer
        grad: Any = here[0] if len(here) == 1 else here
        if not needed.isdisjoint(step.inputs):
            grad_x, found = layer.backward(grad, saved)
            for place, array in zip(step.inputs, [grad_x] if step.single else grad_x, strict=True):
                if place in needed:
                    _accumulate(grads, place, array)
        else:
            found = layer.weight_gradients(grad, saved)
        for variable, array in zip(_with_gradients(layer), found, strict=True):
            before = of_weights.get(id(variable))
            of_weights[id(variable)] = array if before is None else before + array

    def _places_that_need_gradients(self, weights: list[Variable], inputs_too: bool) -> set[int]:
        needed = set(self._plan.inputs) if inputs_too else set()
        trained = {id(v) for v in weights}
        for step in self._plan.steps:
            own = step.layer.weights if isinstance(step.layer, Model) else step.layer.variables
            if not needed.isdisjoint(step.inputs) or any(id(v) in trained for v in own):
                needed.update(step.outputs)
        return needed

    # ----------------------------------------------------------------------------- outside

    def summary(
        self,
        line_length: int | None = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
    ) -> None:
        """Print the layers, their outputs' shapes and their numbers of parameters.

        Parameters
        ----------
        line_length : int, optional
            The width; by default that of the terminal, 88 at most (108 with branches).
        print_fn : callable, optional
            Called with the text instead of ``print``.
        expand_nested, show_trainable : bool
            Whether layers of models within, and a column of what can be trained, are shown.

        Examples
        --------
        >>> from fastconv.layers import Conv2D
        >>> from fastconv.models import Sequential
        >>> conv = Conv2D(16, 2, 2, input_shape=(200, 200, 1), name="conv")
        >>> Sequential([conv], name="net").summary(54)
        Model: "net"
        ┏━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━━━┓
        ┃ Layer (type)          ┃ Output Shape    ┃  Param # ┃
        ┡━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━━━┩
        │ conv (Conv2D)         │ (None, 100,     │       80 │
        │                       │ 100, 16)        │          │
        └───────────────────────┴─────────────────┴──────────┘
         Total params: 80 (320.00 B)
         Trainable params: 80 (320.00 B)
         Non-trainable params: 0 (0.00 B)
        """
        print_summary(self, line_length, print_fn, expand_nested, show_trainable)

    @property
    def input(self) -> Any:
        """The symbolic inputs, as they were given."""
        return structured(self.inputs, self._input_structure)

    @property
    def output(self) -> Any:
        """The symbolic outputs, as they were given."""
        return self.structured(self.outputs)

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs: of a dict its own, else those of their layers."""
        return self._output_structure or [tensor.node.layer.name for tensor in self.outputs]

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs: of a dict its own, else those of their layers."""
        return self._input_structure or [tensor.node.layer.name for tensor in self.inputs]

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or a list of them."""
        shapes = [tensor.shape for tensor in self.inputs]
        return shapes if self.takes_list else shapes[0]

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or a list of them."""
        shapes = [tensor.shape for tensor in self.outputs]
        return shapes if self._output_structure is not None else shapes[0]


def _cast(array: Array, dtype: np.dtype[Any]) -> Array:
    return array if array.dtype is dtype else array.astype(dtype, copy=False)


def _with_gradients(layer: Layer) -> list[Variable]:
    """Return the weights that a layer's `backward` has gradients for."""
    if isinstance(layer, Model):
        return layer.trainable_weights
    return [variable for variable in layer.variables if variable.trainable]


def _accumulate(grads: list[Any], place: int, array: Array | None) -> None:
    # not in place: an array may have gone to several branches; an output that nobody uses has none
    if array is None:
        return
    grads[place] = array if grads[place] is None else grads[place] + array
