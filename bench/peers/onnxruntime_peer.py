"""ONNX Runtime: a model of one node, weights stored in it, so it may pack them when it loads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..problems import Layer, Problem
from .base import Arrays, Contender, Peer, Unsupported, need

OPSET, IR_VERSION = 17, 9  # old enough for any ONNX Runtime of the last years


class OnnxRuntime(Peer):
    """Conv, MaxPool and AveragePool; with reused outputs, bound to memory of ours."""

    name = "onnxruntime"

    def __init__(self) -> None:
        import onnx
        import onnxruntime

        self.onnx, self.runtime = onnx, onnxruntime
        self.version = onnxruntime.__version__
        self.threads = 1

    def set_threads(self, count: int) -> None:
        self.threads = count

    def prepare(self, op: str, problem: Problem, arrays: Arrays, reuse: bool) -> Contender:
        x = arrays["x"]
        plane = x.shape[2] * x.shape[3]

        def to_numpy(results: list[np.ndarray]) -> Any:
            # its indices count over the whole array, everybody else's within a plane
            return (results[0], results[1] % plane) if len(results) == 2 else results[0]

        session = self._session(self._model(op, problem, arrays))
        if not reuse:
            return Contender(lambda: session.run(None, {"x": x}), to_numpy)
        outputs = [np.empty(problem.out_shape, x.dtype)]
        if op == "max_pool_indices":
            outputs.append(np.empty(problem.out_shape, np.int64))
        binding = session.io_binding()
        binding.bind_cpu_input("x", x)
        for name, output in zip(("y", "indices"), outputs, strict=False):
            binding.bind_output(name, "cpu", 0, output.dtype.type, output.shape, output.ctypes.data)

        def run() -> list[np.ndarray]:
            session.run_with_iobinding(binding)
            return outputs

        return Contender(run, to_numpy)

    def _session(self, model: bytes) -> Any:
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # else its idle threads would keep a core from whoever is timed next
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return self.runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exception classes are not public
            raise Unsupported(f"{str(error).splitlines()[0][:120]}") from error

    def _model(self, op: str, problem: Problem, arrays: Arrays) -> bytes:
        helper, numpy_helper = self.onnx.helper, self.onnx.numpy_helper
        dtype = helper.np_dtype_to_tensor_dtype(arrays["x"].dtype)
        weights = []
        if isinstance(problem, Layer):
            need(op in ("forward", "prepared"), "no gradients in ONNX Runtime's inference package")
            (top, bottom), (left, right) = problem.padding
            weights = [numpy_helper.from_array(arrays["w"], "w")]
            node = helper.make_node(
                "Conv",
                ["x", "w"],
                ["y"],
                kernel_shape=problem.w_shape[2:],
                strides=[problem.stride] * 2,
                dilations=[problem.dilation] * 2,
                pads=[top, left, bottom, right],
                group=problem.groups,
            )
        else:
            need("grad" not in op, "no gradients in ONNX Runtime's inference package")
            window = {
                "kernel_shape": [problem.kernel] * 2,
                "strides": [problem.stride] * 2,
                "pads": [problem.padding] * 4,
            }
            if op == "avg_pool":
                node = helper.make_node("AveragePool", ["x"], ["y"], count_include_pad=1, **window)
            else:
                names = ["y", "indices"] if op == "max_pool_indices" else ["y"]
                node = helper.make_node("MaxPool", ["x"], names, **window)
        outputs = [helper.make_tensor_value_info("y", dtype, problem.out_shape)]
        if len(node.output) == 2:
            int64 = self.onnx.TensorProto.INT64
            outputs.append(helper.make_tensor_value_info("indices", int64, problem.out_shape))
        inputs = [helper.make_tensor_value_info("x", dtype, problem.x_shape)]
        graph = helper.make_graph([node], "one", inputs, outputs, weights)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return model.SerializeToString()
