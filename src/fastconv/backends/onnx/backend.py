"""The backend: models prepared once, to run often and from many threads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto
from onnx.backend.base import Backend, BackendRep, namedtupledict

from ...errors import describe, type_error, value_error
from ...memory import Recycler
from .fusion import fuse
from .graph import Graph, shape_of
from .steps import plan_memory, step_of


class FastconvModel(BackendRep):
    """A model ready to run; what `FastconvBackend.prepare` returns. Threads may share it."""

    def __init__(self, model: ModelProto, check: bool = True) -> None:
        graph = Graph(model, check)
        graph.fold_constants()
        graph.drop_identities()
        fuse(graph)
        graph.drop_unread()
        self._steps = [step_of(node, graph) for node in graph.nodes]
        graph.drop_unread()  # constants that went into steps
        plan_memory(self._steps, graph)
        self._graph = graph
        self._declared = {value.name: value for value in graph.inputs}
        self._results = namedtupledict("Outputs", graph.outputs)
        self._memory = Recycler()

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in their order."""
        return [*self._declared]

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs, in their order."""
        return [*self._graph.outputs]

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return the outputs.

        Parameters
        ----------
        inputs : sequence, mapping or ndarray
            Arrays in the order of the model's inputs, or by name; a lone array for a lone input.
            Initializers are no inputs. None of them is modified.

        Returns
        -------
        tuple
            The outputs, in the model's order; by name too, as ``outputs["name"]``.
        """
        values = {**self._graph.constants, "": None, **self._checked_inputs(inputs)}
        with self._memory.use():
            for step in self._steps:
                node = step.node
                try:
                    results = step.run([values[name] for name in node.inputs], values.copy)
                except Exception as error:
                    _say_where(error, node.op, node.name or node.outputs[0])
                    raise
                values.update(zip(node.outputs, results, strict=False))
                del results
                for name in step.frees:
                    del values[name]
            outputs = [self._result(name, values[name]) for name in self._graph.outputs]
        return self._results(*outputs)

    def _result(self, name: str, value: Any) -> Any:
        """Return an output in C order; what stays ours, or is the caller's, as a copy."""
        if not isinstance(value, np.ndarray):
            return value
        if name in self._graph.constants or name in self._declared:
            return value.copy()
        return np.asarray(value, order="C")

    def _checked_inputs(self, inputs: Any) -> dict[str, Any]:
        names = self.input_names
        if isinstance(inputs, np.ndarray):
            inputs = [inputs]
        if isinstance(inputs, Mapping):
            found = dict(inputs)
            if found.keys() != self._declared.keys():
                rule = f"of exactly these names: {', '.join(names)}"
                raise value_error("run", "inputs", rule, ", ".join(map(str, found)) or "none")
        elif isinstance(inputs, Sequence) and not isinstance(inputs, str):
            if len(inputs) != len(names):
                rule = f"of length {len(names)}: {', '.join(names)}"
                raise value_error("run", "inputs", rule, f"length {len(inputs)}")
            found = dict(zip(names, inputs, strict=True))
        else:
            raise type_error("run", "inputs", "a sequence or a mapping of arrays", describe(inputs))
        return {name: _checked(self._declared[name], found[name]) for name in names}


class FastconvBackend(Backend):
    """Runs ONNX models on NumPy with fastconv's convolutions and pools.

    Constants are folded, batch normalizations and relus go into the convolutions before them,
    whose weights are packed once. Every operator that onnx's reference evaluator knows runs.
    """

    @classmethod
    def prepare(
        cls, model: ModelProto | bytes | str | os.PathLike, device: str = "CPU", **kwargs: Any
    ) -> FastconvModel:
        """Return a model ready to run.

        Parameters
        ----------
        model : ModelProto, bytes or path
            The model, its message, or the file that holds it.
        device : str
            "CPU".

        Raises
        ------
        onnx.checker.ValidationError
            If the model breaks ONNX's rules.
        NotImplementedError
            If neither fastconv nor onnx's reference evaluator knows an operator.

        Examples
        --------
        >>> import numpy as np
        >>> from onnx import parser
        >>> from fastconv.backends.onnx import prepare
        >>> model = prepare(parser.parse_model('''
        ...     <ir_version: 8, opset_import: ["": 17]>
        ...     blur (float[n, 1, h, w] x) => (float[n, 1, a, b] y)
        ...     <float[1, 1, 2, 2] k = {0.25, 0.25, 0.25, 0.25}> { y = Conv(x, k) }'''))
        >>> model.run(np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3))["y"]
        array([[[[2., 3.]]]], dtype=float32)
        """
        _check_device(device)
        if isinstance(model, bytes):
            model = onnx.load_model_from_string(model)
        elif isinstance(model, (str, os.PathLike)):
            model = onnx.load(os.fspath(model))
        elif not isinstance(model, ModelProto):
            rule = "a ModelProto, bytes or a path"
            raise type_error("prepare", "model", rule, describe(model))
        return FastconvModel(model)

    @classmethod
    def run_model(
        cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any
    ) -> tuple[Any, ...]:
        """Prepare a model and run it once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run one node, of the newest operators or those of the keyword `opset_version`."""
        _check_device(device)
        super().run_node(node, inputs, device, outputs_info, **kwargs)
        version = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        names = [name for name in node.input if name]
        arrays = [inputs] if isinstance(inputs, np.ndarray) else [*inputs]
        values = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype), None
            )
            for name, array in zip(names, arrays, strict=True)
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "node", values, outputs)
        opsets = [onnx.helper.make_opsetid(node.domain, version)]
        model = onnx.helper.make_model(graph, opset_imports=opsets)
        return FastconvModel(model, check=False).run(arrays)  # its values have no shapes

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Return whether it is the CPU."""
        return device.partition(":")[0] == "CPU"


def _check_device(device: str) -> None:
    if not FastconvBackend.supports_device(device):
        raise value_error("prepare", "device", "'CPU'", describe(device))


def _checked(value: onnx.ValueInfoProto, given: Any) -> Any:
    """Return an input as an array, if it has the dtype and the shape that the model declares."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.elem_type:
        return given
    array = np.asarray(given)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    text = array.dtype.kind in "OUST" and dtype.kind in "OUST"
    if array.dtype != dtype and not text:
        raise type_error("run", value.name, f"of dtype {dtype}", describe(array))
    shape = shape_of(value)
    if shape is not None:
        fits = len(shape) == array.ndim and all(
            size in (None, got) for size, got in zip(shape, array.shape, strict=True)
        )
        if not fits:
            sizes = ", ".join("?" if size is None else str(size) for size in shape)
            raise value_error("run", value.name, f"of shape ({sizes})", describe(array))
    return array


def _say_where(error: Exception, op: str, name: str) -> None:
    if hasattr(error, "add_note"):  # Python 3.11
        error.add_note(f"in node {name} ({op})")


prepare = FastconvBackend.prepare
run_model = FastconvBackend.run_model
run_node = FastconvBackend.run_node
supports_device = FastconvBackend.supports_device
is_compatible = FastconvBackend.is_compatible
