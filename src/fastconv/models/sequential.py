"""A model of layers one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import describe, type_error, value_error
from ..layers import InputLayer, Layer, Tensor
from .model import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..layers import Training
    from ..layers.base import Arrays, Saved


class Sequential(Model):
    """Layers one after the other.

    Parameters
    ----------
    layers : iterable of Layer, optional
        The first may be an `Input`, or have ``input_shape``; else the shapes, and the weights, are
        made when the model first sees data.
    trainable : bool
        Whether an optimizer may change its weights.
    name : str, optional
        By default sequential, sequential_1, ...

    Raises
    ------
    ValueError, TypeError
        If something else is given, or a layer does not suit the one before.

    Examples
    --------
    >>> from fastconv.layers import Conv2D, Dense, Flatten, MaxPooling2D
    >>> model = Sequential()
    >>> model.add(Conv2D(16, 2, padding="same", activation="relu", input_shape=(32, 32, 3)))
    >>> model.add(MaxPooling2D(2))
    >>> model.add(Flatten())
    >>> model.add(Dense(10, activation="softmax"))
    >>> model.output_shape, model.count_params()
    ((None, 10), 41178)
    """

    def __init__(
        self,
        layers: Iterable[Any] | None = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        # no graph yet: what Model makes of one, Layer needs not
        super(Model, self).__init__(name=name, trainable=trainable)
        self._stack: list[Layer] = []
        self._clear()
        taken: set[str] = set()
        for layer in layers or ():
            self._append(layer, taken)
        self._rebuild()
        if not trainable:
            self.trainable = False

    def _clear(self) -> None:
        self.built = False
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self._input_structure = self._output_structure = None

    def add(self, layer: Any) -> None:
        """Put a layer at the end.

        Parameters
        ----------
        layer : Layer or Tensor
            A layer, or what `Input` returned.

        Raises
        ------
        ValueError, TypeError
            If it is neither, its name is taken, or it does not suit the layer before.
        """
        before = list(self._stack)
        self._append(layer, {other.name for other in before})
        try:
            self._rebuild()
        except (ValueError, TypeError):
            self._stack = before
            self._rebuild()
            raise

    def pop(self) -> Layer:
        """Take the last layer away and return it."""
        if not self.layers:
            raise TypeError("pop: there is no layer in the model")
        layer = self._stack.pop()
        self._rebuild()
        return layer

    def _append(self, layer: Any, taken: set[str]) -> None:
        if isinstance(layer, Tensor) and isinstance(layer.node.layer, InputLayer):
            layer = layer.node.layer
        if not isinstance(layer, Layer):
            raise type_error("Sequential", "layer", "a layer or an Input", describe(layer))
        if layer.name in taken:
            rule = "a layer whose name is not taken"
            raise value_error("Sequential", "layer", rule, repr(layer.name))
        if isinstance(layer, InputLayer) and self._stack:
            raise value_error("Sequential", "layer", "an Input at the beginning alone", layer.name)
        if not self._stack:
            self.dtype = layer.dtype
        if not self._stack and not isinstance(layer, InputLayer):
            first: Any = layer
            shape = None
            if isinstance(layer, Model) and layer.built:
                shape = layer.inputs[0].shape
            elif first.input_shape_given is not None:
                shape = first.input_shape_given
            if shape is not None:
                self._stack.append(InputLayer(batch_shape=shape, dtype=layer.dtype))
                taken.add(self._stack[0].name)
        self._stack.append(layer)
        taken.add(layer.name)

    def _rebuild(self) -> None:
        self._clear()
        if len(self._stack) > 1 and isinstance(self._stack[0], InputLayer):
            first = self._stack[0].nodes[0].outputs[0]
            tensor = first
            for layer in self._stack[1:]:
                tensor = self._called(layer, tensor)
            self._set_graph(first, tensor)

    @staticmethod
    def _called(layer: Layer, tensor: Tensor) -> Any:
        """Return the output of a layer for a tensor; the one there is, if it was asked before."""
        for node in layer.nodes:
            if len(node.inputs) == 1 and node.inputs[0] is tensor:
                return (
                    layer.structured(node.outputs) if isinstance(layer, Model) else node.outputs[0]
                )
        # a model may have a list of one input
        return layer([tensor] if layer.takes_list and isinstance(layer, Model) else tensor)

    def build(self, input_shape: Any = None) -> None:
        """Make the weights for inputs of a shape, with the samples in front."""
        if input_shape is not None and not self.built:
            self.ensure_built(tuple(input_shape))

    def ensure_built(self, input_shape: Any) -> None:
        if self.built:
            return
        if not self._stack:
            raise ValueError(f"{self.name}: there is no layer in the model")
        if isinstance(self._stack[0], InputLayer):
            raise ValueError(f"{self.name}: there is no layer in the model but its input")
        self._stack.insert(0, InputLayer(batch_shape=input_shape, dtype=self._stack[0].dtype))
        try:
            self._rebuild()
        except (ValueError, TypeError):
            self._stack.pop(0)
            raise

    def check_input(self, shape: Any) -> None:
        if self.built:
            super().check_input(shape)

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input."""
        return [layer for layer in self._stack if not isinstance(layer, InputLayer)]

    @property
    def graph_layers(self) -> list[Layer]:
        """The layers with the input."""
        return list(self._stack)

    def compute_output_shape(self, input_shape: Any) -> Any:
        self.ensure_built((None, *input_shape[1:]))
        return super().compute_output_shape(input_shape)

    def forward(self, x: Arrays, training: Training | None = None) -> tuple[Arrays, Saved]:
        self.ensure_built((None, *np.shape(x)[1:]))
        return super().forward(x, training)
