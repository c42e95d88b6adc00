"""Small ONNX models for tests, and ONNX Runtime beside them."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper


def model_of(nodes, inputs, outputs, constants=None, version=17):
    """Return a model of nodes; inputs are arrays by name, of whose dtype and shape they are.

    Outputs are pairs of a dtype and a number of axes by name; None for what onnx infers.
    """
    values = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in inputs.items()
    ]
    kept = [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()]
    ends = [
        helper.make_tensor_value_info(name, dtype, [None] * rank if rank is not None else None)
        for name, (dtype, rank) in outputs.items()
    ]
    graph = helper.make_graph(nodes, "graph", values, ends, kept)
    opsets = [helper.make_opsetid("", version)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if any(rank is None for _, rank in outputs.values()):
        made = onnx.shape_inference.infer_shapes(made, data_prop=True)
    return made


FLOAT = onnx.TensorProto.FLOAT


def one_node(op, inputs, constants, rank, outputs=1, version=17, dtype=FLOAT, **attributes):
    """Return a model of one operator."""
    names = ["y", "indices"][:outputs]
    kept = {name: value for name, value in attributes.items() if value is not None}
    node = helper.make_node(op, [*inputs, *constants], names, **kept)
    ends = {"y": (dtype, rank)}
    if outputs == 2:
        ends["indices"] = (onnx.TensorProto.INT64, rank)
    return model_of([node], inputs, ends, constants, version)


def by_runtime(model, inputs):
    """Return what ONNX Runtime makes of it."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)
