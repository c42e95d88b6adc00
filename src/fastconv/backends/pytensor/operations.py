"""The Ops: each names a function of fastconv and holds its options.

A convolution, its gradient for x and that for w are one form, <grad, conv(x, w)>, told for three of
its parts: each one's gradients are the other two. A maximum is a selection, whose gradient puts
things where they were selected. The inputs of a gradient's Op are arrays, then the shape of the
gradient. Shapes are `fastconv.geometry`'s: in the graph where sizes are known, else as an Op.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op
from pytensor.tensor.shape import Shape

from ... import ops
from ...errors import value_error
from ...geometry import conv_geometry, conv_transpose_geometry, pool_geometry
from ...ops.arrays import average_dtypes, checked_dtypes, conv_dtypes

if TYPE_CHECKING:
    from collections.abc import Sequence

    Static = tuple[int | None, ...]


class Operation(Op):
    """A function of fastconv with its options."""

    __props__ = ("function", "options")
    names: tuple[str, ...]  # of its arrays, for messages
    differentiable = 1  # how many of them are

    def __init__(self, function: str, options: tuple[tuple[str, Any], ...]) -> None:
        self.function = function
        self.options = options

    def compute(self, *inputs: Any) -> Any:
        """Return what the function does."""
        return getattr(ops, self.function)(*inputs, **dict(self.options))

    def perform(self, node: Any, inputs: Sequence[Any], output_storage: Any) -> None:
        """Compute in Python: an output, or several."""
        results = self.compute(*inputs)
        if len(node.outputs) == 1:
            results = (results,)
        for storage, result in zip(output_storage, results, strict=True):
            storage[0] = result

    def checked(self, *inputs: Any) -> list[Any]:
        """Return arrays as tensors of four dimensions."""
        tensors = [pt.as_tensor_variable(value) for value in inputs]
        for name, tensor in zip(self.names, tensors, strict=True):
            if tensor.ndim != 4:
                got = f"one of {tensor.ndim}"
                raise value_error(self.function, name, "a tensor of 4 dimensions", got)
        return tensors

    def connection_pattern(self, node: Any) -> list[list[bool]]:
        """Say that neither shapes nor indices have gradients."""
        of_first = [i < self.differentiable for i in range(len(node.inputs))]
        return [[connected, False][: len(node.outputs)] for connected in of_first]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Return the gradients for the inputs, which PyTensor before its release 3 calls L_op."""
        found = self.gradients(*inputs, cotangents[0])
        cast = [
            grad.astype(given.dtype)
            if given.dtype in pt.type.continuous_dtypes
            else zeros_of(given)
            for given, grad in zip(inputs, found, strict=False)
        ]
        return [*cast, *(DisconnectedType()() for _ in inputs[self.differentiable :])]

    L_op = pullback

    def gradients(self, *inputs_and_grad: Any) -> tuple[Any, ...]:
        """Return the gradients for the differentiable inputs, of whatever dtype."""
        raise NotImplementedError

    def to(self, kind: type[Operation], suffix: str) -> Operation:
        """Return the Op of the function of the same family and options."""
        return kind(self.function.partition("_grad_")[0] + suffix, self.options)


class Gradient(Operation):
    """A function that is a gradient: its last input is the shape of its result."""

    def compute(self, *inputs: Any) -> Any:
        """Return what the function does, the shape given as ints."""
        return super().compute(*inputs[:-1], tuple(inputs[-1].tolist()))

    def make_node(self, *inputs: Any) -> Apply:
        """Return the application to arrays and a shape."""
        arrays, shape = self.checked(*inputs[:-1]), pt.as_tensor_variable(inputs[-1], dtype="int64")
        dtype = dtype_of(self.function, self.names, *arrays[: self.differentiable])
        return Apply(self, [*arrays, shape], [pt.tensor(dtype=dtype, shape=static_of(shape))])

    def infer_shape(self, fgraph: Any, node: Any, shapes: Any) -> list[Any]:
        """Return the last input."""
        return [tuple(node.inputs[-1][i] for i in range(4))]


class Convolution(Operation):
    """`conv2d`, `conv4d` or `conv_transpose2d` of (x, w)."""

    names = ("x", "w")
    differentiable = 2

    def make_node(self, x: Any, w: Any) -> Apply:
        """Return the application to two tensors."""
        x, w = self.checked(x, w)
        shape = known_shape(self, x.type.shape, w.type.shape)
        dtype = dtype_of(self.function, self.names, x, w)
        return Apply(self, [x, w], [pt.tensor(dtype=dtype, shape=shape)])

    def infer_shape(self, fgraph: Any, node: Any, shapes: Any) -> list[Any]:
        """Return the shape by geometry, in the graph."""
        return [symbolic_shape(self, shapes)]

    def gradients(self, x: Any, w: Any, grad: Any) -> tuple[Any, ...]:
        """Return the gradients for x and w."""
        for_x = self.to(ConvolutionGradient, "_grad_x")(grad, w, x.shape)
        return for_x, self.to(ConvolutionGradient, "_grad_w")(grad, x, w.shape)


class ConvolutionGradient(Gradient):
    """The gradient of a convolution for x, of (grad, w), or for w, of (grad, x)."""

    names = ("grad", "the second")
    differentiable = 2

    def gradients(self, grad: Any, other: Any, shape: Any, v: Any) -> tuple[Any, ...]:
        """Return the gradients for grad and for the other: v takes the place of this result."""
        if self.function.endswith("_grad_x"):
            for_w = self.to(ConvolutionGradient, "_grad_w")(grad, v, other.shape)
            return self.to(Convolution, "")(v, other), for_w
        for_x = self.to(ConvolutionGradient, "_grad_x")(grad, v, other.shape)
        return self.to(Convolution, "")(other, v), for_x


class MaxPool(Operation):
    """`max_pool2d` of x: the maxima, and their indices if its options ask for them."""

    names = ("x",)

    def make_node(self, x: Any) -> Apply:
        """Return the application to a tensor, of two results or of one."""
        (x,) = self.checked(x)
        shape, dtype = known_shape(self, x.type.shape), dtype_of(self.function, self.names, x)
        dtypes = [dtype, "int64"] if dict(self.options)["return_indices"] else [dtype]
        return Apply(self, [x], [pt.tensor(dtype=dtype, shape=shape) for dtype in dtypes])

    def infer_shape(self, fgraph: Any, node: Any, shapes: Any) -> list[Any]:
        """Return the shape by geometry, in the graph."""
        return [symbolic_shape(self, shapes)] * len(node.outputs)

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Return the gradient for x, which needs the indices."""
        (x,) = inputs
        if x.dtype not in pt.type.continuous_dtypes:
            return [zeros_of(x)]
        options = tuple((name, value) for name, value in self.options if name == "data_format")
        unpool = MaxPoolGradient("max_pool2d_grad_x", options)
        return [unpool(cotangents[0], outputs[1], x.shape)]

    L_op = pullback


class MaxPoolGradient(Gradient):
    """`max_pool2d_grad_x` of (grad, indices)."""

    names = ("grad", "indices")

    def gradients(self, grad: Any, indices: Any, shape: Any, v: Any) -> tuple[Any, ...]:
        """Return what lies where the maxima were."""
        if dict(self.options)["data_format"] == "NHWC":
            planes, places = (v.shape[0], -1, v.shape[3]), (v.shape[0], -1, indices.shape[3])
        else:
            planes, places = (*v.shape[:2], -1), (*indices.shape[:2], -1)
        axis = planes.index(-1)
        chosen = pt.take_along_axis(v.reshape(planes), indices.reshape(places), axis)
        return (chosen.reshape(indices.shape),)


class AveragePool(Operation):
    """`avg_pool2d` of x."""

    names = ("x",)

    def make_node(self, x: Any) -> Apply:
        """Return the application to a tensor."""
        (x,) = self.checked(x)
        shape, dtype = known_shape(self, x.type.shape), dtype_of(self.function, self.names, x)
        return Apply(self, [x], [pt.tensor(dtype=dtype, shape=shape)])

    def infer_shape(self, fgraph: Any, node: Any, shapes: Any) -> list[Any]:
        """Return the shape by geometry, in the graph."""
        return [symbolic_shape(self, shapes)]

    def gradients(self, x: Any, grad: Any) -> tuple[Any, ...]:
        """Return the gradient for x."""
        return (self.to(AveragePoolGradient, "_grad_x")(grad, x.shape),)


class AveragePoolGradient(Gradient):
    """`avg_pool2d_grad_x` of grad."""

    names = ("grad",)

    def gradients(self, grad: Any, shape: Any, v: Any) -> tuple[Any, ...]:
        """Return the average of v."""
        return (self.to(AveragePool, "")(v),)


class OutputShape(Op):
    """The shape of an operation's result, of the shapes of its inputs."""

    __props__ = ("operation",)

    def __init__(self, operation: Operation) -> None:
        self.operation = operation

    def make_node(self, *shapes: Any) -> Apply:
        """Return the application to vectors of four sizes."""
        return Apply(self, [*shapes], [pt.tensor(dtype="int64", shape=(4,))])

    def compute(self, *shapes: Any) -> Any:
        """Return the shape as an array."""
        return np.array(output_shape(self.operation, *(tuple(s.tolist()) for s in shapes)))

    def perform(self, node: Any, inputs: Sequence[Any], output_storage: Any) -> None:
        """Compute in Python."""
        output_storage[0][0] = self.compute(*inputs)


def output_shape(operation: Operation, *shapes: Any) -> tuple[int, ...]:
    """Return the shape of a result; raises what the operation would raise."""
    name, options = operation.function, dict(operation.options)
    make: Any
    if "pool" in name:
        make = pool_geometry
        options = {"dilation": 1, "count_include_pad": False, **options}
        options.pop("return_indices", None)
    elif name == "conv_transpose2d":
        make = conv_transpose_geometry
    else:
        make = conv_geometry
        options = {"data_format": "NCHW", "flipped": name == "conv4d", **options}
    geometry = make(name, *shapes, **options)
    return geometry.x_shape if name == "conv_transpose2d" else geometry.out_shape


def known_shape(operation: Operation, x_shape: Static, *others: Static) -> Static:
    """Return what is known of a result's shape: all, all but how many samples, or nothing."""
    samples, *rest = x_shape
    if None in rest or any(None in shape for shape in others):
        return samples, None, None, None
    # of one sample, for of how many a result is nothing else depends on
    of_one = output_shape(operation, (1, *rest), *others)
    return samples, *of_one[1:]


def symbolic_shape(operation: Operation, shapes: Sequence[Any]) -> tuple[Any, ...]:
    """Return a result's shape in the graph."""
    found = OutputShape(operation)(*(pt.stack([pt.cast(n, "int64") for n in s]) for s in shapes))
    return shapes[0][0], *(found[i] for i in range(1, 4))


def static_of(shape: Any) -> Static:
    """Return what is known of the sizes in a vector that holds a shape."""
    if isinstance(shape, Constant):
        return tuple(shape.data.tolist())
    if shape.owner is not None and isinstance(shape.owner.op, Shape):
        return shape.owner.inputs[0].type.shape
    return (None,) * 4


def dtype_of(function: str, names: tuple[str, ...], *tensors: Any) -> str:
    """Return the dtype of a result, or raise as the operation would."""
    empty = [np.empty(0, tensor.dtype) for tensor in tensors]
    if "conv" in function:
        first, second = zip(names, empty, strict=True)
        return str(conv_dtypes(function, *first, *second).result)
    judge = average_dtypes if function.startswith("avg") else checked_dtypes
    return str(judge(function, names[0], *empty).result)


def zeros_of(given: Any) -> Any:
    """Return the gradient for integers."""
    return given.zeros_like(dtype="float64")
