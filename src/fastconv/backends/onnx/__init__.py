"""ONNX: operators for its ReferenceEvaluator, and a backend of its own."""

from .operators import ops

__all__ = ["ops"]
