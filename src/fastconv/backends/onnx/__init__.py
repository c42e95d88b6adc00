"""ONNX: operators for its ReferenceEvaluator, and a backend of its own.

`ops` are for ``onnx.reference.ReferenceEvaluator(model, new_ops=ops)``; `FastconvBackend` and the
functions of its methods are what `onnx.backend.base` describes.

windows        attributes: where a window goes
convolution, quantized, pooling, normalization    operators on arrays of any number of axes
operators      the same as classes for the evaluator
graph          a model's nodes and constants, those folded that can be
fusion         nodes that become one
steps          compiled nodes
layout         images between steps: channels last in memory
backend        models prepared and run
"""

from ...extras import need

need("onnx.reference", __name__, "onnx")

from .backend import (  # noqa: E402
    FastconvBackend,
    FastconvModel,
    is_compatible,
    prepare,
    run_model,
    run_node,
    supports_device,
)
from .operators import ops  # noqa: E402

__all__ = [
    "FastconvBackend",
    "FastconvModel",
    "is_compatible",
    "ops",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]
