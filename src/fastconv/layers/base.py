"""What every layer is: a name, weights, shapes, and a step forward and back.

A layer keeps no trace of a call. `forward` returns what `backward` needs beside the result, so one
layer may compute in many threads at once; only its weights, and a moving average in training, are
its own.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import initializers
from ..config import checked_dtype
from ..errors import describe, type_error, value_error
from ..geometry import plain_flag, plain_int
from ..random import new_generator
from .graph import Node, Tensor, is_symbolic, shapes_of, tensors_of
from .naming import checked_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Shape = tuple[int | None, ...]
    # A layer of several inputs takes lists of arrays, of shapes, of gradients.
    Arrays = Any
    Saved = Any


_postponed: ContextVar[bool] = ContextVar("fastconv weights are postponed", default=False)


@contextmanager
def postponed_weights() -> Iterator[None]:
    """Make weights without memory: a file's are compared with their shapes before any is made.

    Their values are read-only views of a single zero, to be replaced by arrays.
    """
    token = _postponed.set(True)
    try:
        yield
    finally:
        _postponed.reset(token)


class Variable:
    """A named array that training changes in place.

    Attributes
    ----------
    value : ndarray
        The numbers, C-contiguous.
    name, path : str
        "kernel", and "conv2d/kernel".
    trainable : bool
        Whether an optimizer may change it.
    """

    def __init__(self, value: Array, name: str, path: str, trainable: bool = True) -> None:
        self.value = np.ascontiguousarray(value)
        self.name, self.path, self.trainable = name, path, trainable

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.value.shape

    @property
    def dtype(self) -> str:
        """The name of the dtype of the array."""
        return self.value.dtype.name

    def numpy(self) -> Array:
        """Return a copy of the numbers."""
        return self.value.copy()

    def assign(self, value: Any) -> None:
        """Write other numbers, of the same shape."""
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise type_error(self.path, "value", "an array of numbers", f"dtype {array.dtype}")
        if array.shape != self.shape:
            raise value_error(self.path, "value", f"of shape {self.shape}", f"shape {array.shape}")
        self.value[...] = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.value, dtype=dtype)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


class Training:
    """What a step of training hands down to the layers: where their randomness comes from.

    Attributes
    ----------
    generator : numpy.random.Generator
        Of all layers without a seed.
    seeded : dict from Layer to numpy.random.Generator
        Of those with one, from their first call on. A model keeps it from step to step.
    """

    def __init__(
        self,
        generator: np.random.Generator | None = None,
        seeded: dict[Layer, np.random.Generator] | None = None,
    ) -> None:
        self.generator = new_generator() if generator is None else generator
        self.seeded = {} if seeded is None else seeded

    def generator_of(self, layer: Layer, seed: int | None) -> np.random.Generator:
        """Return where a layer's randomness comes from: with a seed, a generator of its own."""
        if seed is None:
            return self.generator
        # in one step, for many threads may call at once
        return self.seeded.get(layer) or self.seeded.setdefault(layer, new_generator(seed))


class Layer:
    """The base of all layers.

    Parameters
    ----------
    name : str, optional
        Unique in a model; by default the class's name with a number.
    dtype : {"float32", "float64", "float16"}, optional
        Of weights and outputs; by default `fastconv.config.floatx()`.
    trainable : bool
        Whether an optimizer may change its weights.
    input_shape : tuple, optional
        Of one sample: begins a Sequential model. `batch_input_shape` has the samples in front.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of these.
    """

    # Whether `forward` takes a list of inputs.
    takes_list = False
    # Whether every output is one of the inputs, the largest of some; then `forward_after_relu` is
    # there too.
    takes_maximum = False

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: str | None = None,
        trainable: bool = True,
        input_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
        **unknown: Any,
    ) -> None:
        kind = type(self).__name__
        if unknown:
            raise TypeError(f"{kind}: there is no argument {next(iter(unknown))!r}")
        self.dtype = checked_dtype(kind, _plain_dtype(dtype))
        self.trainable = plain_flag(kind, "trainable", trainable)
        self.input_shape_given: Shape | None = None
        if batch_input_shape is not None:
            self.input_shape_given = plain_sizes(kind, "batch_input_shape", batch_input_shape)
        elif input_shape is not None:
            self.input_shape_given = (None, *plain_sizes(kind, "input_shape", input_shape))
        self.name = checked_name(kind, name)
        self.nodes: list[Node] = []
        self.variables: list[Variable] = []
        self.built = False
        self.build_shape: Any = None

    # ------------------------------------------------------------------ what a layer defines

    def build(self, input_shape: Any) -> None:
        """Make the weights for inputs of a shape."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the output, with None where the input has it."""
        return input_shape

    def forward(self, x: Arrays, training: Training | None = None) -> tuple[Arrays, Saved]:
        """Return the output, and what `backward` needs of this call."""
        raise NotImplementedError

    def forward_after_relu(self, x: Array, training: Training) -> tuple[Array, Saved]:
        """Do as `forward`, with `backward` returning the gradient for the input of a relu.

        Its output is x, which nobody else takes.
        """
        raise NotImplementedError

    def prepared(self) -> Callable[[Any], Any]:
        """Return what computes the outputs of many inputs, while no weight changes."""
        return lambda x: self.forward(x)[0]

    def backward(self, grad: Arrays, saved: Saved) -> tuple[Arrays, list[Array]]:
        """Return the gradient for the input, and for each weight that can be trained.

        `grad` is the gradient of the output; it may be changed.
        """
        raise NotImplementedError

    def weight_gradients(self, grad: Arrays, saved: Saved) -> list[Array]:
        """Return the second part of `backward` alone: nobody asks for the input's gradient."""
        return self.backward(grad, saved)[1]

    @property
    def ends_in_relu(self) -> bool:
        """Whether the output went through a relu; then `forget_output` is there too."""
        return False

    def forget_output(self, saved: Saved) -> Saved:
        """Return what `backward` needs of a gradient that has been through the relu already."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal layer without weights, in Keras's words."""
        policy = {
            "module": "keras",
            "class_name": "DTypePolicy",
            "config": {"name": self.dtype},
            "registered_name": None,
        }
        return {"name": self.name, "trainable": self.trainable, "dtype": policy}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Return the layer of a configuration."""
        return cls(**config)

    # ------------------------------------------------------------------------------ weights

    def add_weight(
        self, name: str, shape: Sequence[int], initializer: Any, trainable: bool = True
    ) -> Variable:
        """Make a weight; `initializer` is called with its shape and dtype."""
        if _postponed.get():
            variable = Variable(np.empty(0, self.dtype), name, f"{self.name}/{name}", trainable)
            variable.value = np.broadcast_to(np.zeros((), self.dtype), tuple(shape))
            self.variables.append(variable)
            return variable
        value = np.asarray(initializer(tuple(shape), dtype=self.dtype))
        if value.shape != tuple(shape):
            rule = f"to make arrays of shape {tuple(shape)}"
            raise value_error(self.name, f"{name}_initializer", rule, f"shape {value.shape}")
        variable = Variable(value.astype(self.dtype), name, f"{self.name}/{name}", trainable)
        self.variables.append(variable)
        return variable

    @property
    def weights(self) -> list[Variable]:
        """All weights: those that can be trained first."""
        return self.trainable_weights + self.non_trainable_weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that an optimizer changes."""
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that it leaves alone."""
        return [v for v in self.variables if not (v.trainable and self.trainable)]

    def get_weights(self) -> list[Array]:
        """Return copies of all weights, in the order of `weights`."""
        return [variable.numpy() for variable in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Write all weights; all are checked before any is written.

        Parameters
        ----------
        weights : sequence of array_like
            As `get_weights` returns them.

        Raises
        ------
        ValueError, TypeError
            If their number, a shape or a dtype is not that of the weights.
        """
        assign_all(self.name, self.weights, weights)

    def count_params(self) -> int:
        """Return how many numbers the weights have."""
        if not self.built:
            raise ValueError(f"{self.name}: it has no weights before it knows its input's shape")
        return sum(variable.value.size for variable in self.weights)

    # ---------------------------------------------------------------------------- the calls

    def ensure_built(self, input_shape: Any) -> None:
        """Make the weights if there are none yet."""
        if not self.built:
            try:
                self.build(input_shape)
            except (ValueError, TypeError):
                self.variables = []  # half of the weights are none
                raise
            self.build_shape = input_shape
            self.built = True

    def __call__(self, inputs: Any, training: bool | Training | None = None) -> Any:
        """Apply the layer to arrays, or to symbolic tensors, which makes a graph.

        Parameters
        ----------
        inputs : array_like, Tensor, or a list of them
            What it is applied to, with the samples as first axis.
        training : bool
            Whether dropout drops and averages move; of arrays only.

        Returns
        -------
        ndarray, Tensor, or a list of them
            The output.
        """
        if is_symbolic(inputs):
            return self._symbolic_call(inputs)
        if self.takes_list:
            if not isinstance(inputs, (list, tuple)):
                raise type_error(self.name, "inputs", "a list of arrays", describe(inputs))
            x: Any = [self._array(one) for one in inputs]
            self.check_input([one.shape for one in x])  # the numbers of samples too
            shape: Any = [(None, *one.shape[1:]) for one in x]
        else:
            x = self._array(inputs)
            shape = (None, *x.shape[1:])
            self.check_input(shape)
        self.compute_output_shape(shape)  # it raises where there is no room for an output
        self.ensure_built(shape)
        if isinstance(training, Training):
            return self.forward(x, training)[0]
        return self.forward(x, Training() if training else None)[0]

    def _array(self, value: Any) -> Array:
        rule = "arrays of numbers"
        try:
            array = np.asarray(value)
        except ValueError:  # rows of different lengths
            raise type_error(self.name, "inputs", rule, describe(value)) from None
        if array.dtype.kind in "cOSUMm":
            raise type_error(self.name, "inputs", rule, f"dtype {array.dtype}")
        return array.astype(self.dtype, copy=False)

    def _symbolic_call(self, inputs: Any) -> Any:
        tensors = tensors_of(inputs)
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                rule = "symbolic tensors, or arrays, not both"
                raise type_error(self.name, "inputs", rule, describe(tensor))
        single = not isinstance(inputs, (list, tuple))
        if single == self.takes_list:
            rule = "a list of tensors" if self.takes_list else "one tensor"
            raise type_error(self.name, "inputs", rule, describe(inputs))
        shape = tensors[0].shape if single else [tensor.shape for tensor in tensors]
        self.check_input(shape)
        output_shape = self.compute_output_shape(shape)
        self.ensure_built(shape)
        node = Node(self, tensors, shapes_of(output_shape), single)
        return node.outputs if isinstance(output_shape, (list, dict)) else node.outputs[0]

    def check_input(self, shape: Any) -> None:
        """Raise unless the weights, once made, suit inputs of a shape."""

    @property
    def input(self) -> Any:
        """The symbolic tensor of the first call, or a list of them."""
        node = self._first_node("input")
        return node.inputs[0] if node.single else node.inputs

    @property
    def output(self) -> Any:
        """The symbolic tensor that the first call returned, or a list of them."""
        outputs = self._first_node("output").outputs
        return outputs[0] if len(outputs) == 1 else outputs

    def _first_node(self, what: str) -> Node:
        if not self.nodes:
            raise AttributeError(f"{self.name}: it has no {what} before it is called on a tensor")
        return self.nodes[0]

    def __getstate__(self) -> dict[str, Any]:
        # The graph is the models': a layer would drag all others along, one within the other.
        return {**self.__dict__, "nodes": []}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def assign_all(function: str, variables: Sequence[Variable], values: Sequence[Any]) -> None:
    """Write values to variables; every one is checked before any is written."""
    if not isinstance(values, (list, tuple)):
        raise type_error(function, "weights", "a list of arrays", describe(values))
    if len(values) != len(variables):
        rule = f"a list of {len(variables)} arrays"
        raise value_error(function, "weights", rule, f"{len(values)}")
    arrays = [np.asarray(value) for value in values]
    for variable, array in zip(variables, arrays, strict=True):
        if array.shape != variable.shape or array.dtype.kind not in "fiub":
            rule = f"of shape {variable.shape} for {variable.path}"
            got = f"shape {array.shape}, dtype {array.dtype}"
            raise value_error(function, "weights", rule, got)
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def plain_sizes(function: str, argument: str, value: object) -> tuple[int | None, ...]:
    """Return a shape in which None stands for any size."""
    rule = "a tuple of ints above 0, or None for any size"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        value = (value,)
    if not isinstance(value, (tuple, list)):
        raise type_error(function, argument, rule, describe(value))
    sizes = tuple(
        None if size is None else plain_int(function, argument, size, rule) for size in value
    )
    if any(size is not None and size < 1 for size in sizes):
        raise value_error(function, argument, rule, describe(value))
    return sizes


def positive_int(function: str, argument: str, value: object) -> int:
    """Return an int of at least 1, below 2**63: NumPy has no larger sizes, and floats end too."""
    rule = "an int of at least 1"
    number = plain_int(function, argument, value, rule)
    if number < 1:
        raise value_error(function, argument, rule, number)
    if number >= 2**63:
        raise value_error(function, argument, "below 2**63", number)
    return number


def initializer_of(layer: Layer, argument: str, identifier: object) -> Any:
    """Return the initializer that a layer's argument names."""
    return initializers.get(identifier, type(layer).__name__, argument)


def refuse(layer: Layer, **arguments: object) -> None:
    """Raise for an argument of Keras's that is not None: fastconv has no such thing."""
    for name, value in arguments.items():
        if value is not None:
            kind = type(layer).__name__
            raise value_error(kind, name, "None: fastconv's layers have none", describe(value))


def _plain_dtype(dtype: Any) -> Any:
    # the description of a policy, as configurations have it
    if isinstance(dtype, dict) and isinstance(dtype.get("config"), dict):
        return dtype["config"].get("name")
    return dtype
