"""The operators for onnx's ReferenceEvaluator: classes named after them, as its `new_ops` wants.

Gemm and MatMul are not among them: onnx's own are NumPy's BLAS.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

from . import convolution, normalization, pooling, quantized

Arrays = tuple[Any, ...]


class Conv(OpRun):
    """See `convolution.conv`."""

    def _run(self, x: Any, w: Any, b: Any = None, **attributes: Any) -> Arrays:
        return (convolution.conv(x, w, b, attributes),)


class ConvTranspose(OpRun):
    """See `convolution.conv_transpose`."""

    def _run(self, x: Any, w: Any, b: Any = None, **attributes: Any) -> Arrays:
        return (convolution.conv_transpose(x, w, b, attributes),)


class ConvInteger(OpRun):
    """See `quantized.conv_integer`."""

    def _run(
        self, x: Any, w: Any, x_zero: Any = None, w_zero: Any = None, **attributes: Any
    ) -> Arrays:
        return (quantized.conv_integer(x, w, x_zero, w_zero, attributes),)


class QLinearConv(OpRun):
    """See `quantized.requantized`."""

    def _run(
        self,
        x: Any,
        x_scale: Any,
        x_zero: Any,
        w: Any,
        w_scale: Any,
        w_zero: Any,
        y_scale: Any,
        y_zero: Any,
        b: Any = None,
        **attributes: Any,
    ) -> Arrays:
        op = "QLinearConv"
        sums = convolution.conv(*quantized.centred(op, x, w, x_zero, w_zero), None, attributes, op)
        dtype = x.dtype if y_zero is None else y_zero.dtype
        scales = x_scale, w_scale, y_scale
        return (quantized.requantized(op, sums, w, b, scales, y_zero, dtype),)


class MaxPool(OpRun):
    """See `pooling.max_pool`."""

    def _run(self, x: Any, **attributes: Any) -> Arrays:
        if len(self.onnx_node.output) > 1:
            return pooling.max_pool_with_indices(x, attributes)
        return (pooling.max_pool(x, attributes),)


class AveragePool(OpRun):
    """See `pooling.average_pool`."""

    def _run(self, x: Any, **attributes: Any) -> Arrays:
        return (pooling.average_pool(x, attributes),)


class GlobalMaxPool(OpRun):
    """See `pooling.global_max_pool`."""

    def _run(self, x: Any, **attributes: Any) -> Arrays:
        return (pooling.global_max_pool(x),)


class GlobalAveragePool(OpRun):
    """See `pooling.global_average_pool`."""

    def _run(self, x: Any, **attributes: Any) -> Arrays:
        return (pooling.global_average_pool(x),)


class BatchNormalization(OpRun):
    """See `normalization.batch_normalization`."""

    def _run(self, *arrays: Any, **attributes: Any) -> Arrays:
        version = self.run_params["opsets"][self.onnx_node.domain]
        outputs = len(self.onnx_node.output)
        return normalization.batch_normalization(arrays, attributes, version, outputs)


class Relu(OpRun):
    """The larger of x and 0."""

    def _run(self, x: Any, **attributes: Any) -> Arrays:
        return (np.maximum(x, x.dtype.type(0)),)


class LRN(OpRun):
    """See `normalization.local_response`."""

    def _run(self, x: Any, **attributes: Any) -> Arrays:
        return (normalization.local_response(x, attributes),)


class Softmax(OpRun):
    """See `normalization.softmax`: onnx's own is that of version 13 for all versions."""

    logarithm = False

    def _run(self, x: Any, **attributes: Any) -> Arrays:
        # what is in `attributes` where the node has none is the newest version's default
        given = [one.i for one in self.onnx_node.attribute if one.name == "axis"]
        version = self.run_params["opsets"][self.onnx_node.domain]
        axis = attributes["axis"] if given or version >= 13 else None
        return (normalization.softmax(x, axis, version, self.logarithm),)


class LogSoftmax(Softmax):
    """Its logarithm."""

    logarithm = True


ops: list[type[OpRun]] = [
    *(Conv, ConvTranspose, ConvInteger, QLinearConv),
    *(MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool),
    *(BatchNormalization, LRN, Relu, Softmax, LogSoftmax),
]
