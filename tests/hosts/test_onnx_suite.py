"""onnx's own backend tests: nodes, small models, and networks with constant weights.

All of them run through `FastconvBackend`, those of our operators through onnx's evaluator as well.
"""

import pytest

pytest.importorskip("onnx", reason="onnx is not installed: pip install fastconv[onnx]")

from onnx.backend.base import Backend, BackendRep
from onnx.backend.test import BackendTest
from onnx.reference import ReferenceEvaluator

from fastconv.backends.onnx import FastconvBackend, ops

# Tests that onnx's evaluator fails or refuses as well; these operators are its.
LEFT_OUT = {
    "test_bernoulli": "random numbers have no expected values",
    "test_range_.*_expanded": "its loop has no sequence to count",
    "test_(if_opt|loop16_seq_none)": "optional values, which its evaluator returns otherwise",
    "test_scan_sum": "version 8 of Scan, which its evaluator runs as version 9",
    "test_scatter_with": "an operator that onnx gave up, without a reference",
    "test_gradient_of": "an operator without a reference",
}
OURS = (
    r"^test_(basic_)?(conv|Conv|qlinearconv|maxpool|MaxPool|averagepool|AvgPool|global|"
    r"batchnorm|BatchNorm|relu|ReLU|lrn|softmax|Softmax|logsoftmax|LogSoftmax)"
)


class Evaluator(Backend):
    """onnx's reference evaluator with our operators."""

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        evaluator = ReferenceEvaluator(model, new_ops=ops)
        given = {tensor.name for tensor in model.graph.initializer}
        names = [name for name in evaluator.input_names if name not in given]

        class Prepared(BackendRep):
            def run(self, inputs, **kwargs):
                return tuple(evaluator.run(None, dict(zip(names, inputs, strict=True))))

        return Prepared()

    @classmethod
    def supports_device(cls, device):
        return device == "CPU"


def cases(backend, name, include=None):
    """Return onnx's classes of tests for a backend; those of devices that it hasn't left out."""
    suite = BackendTest(backend, __name__)
    if include:
        suite.include(include)
    for pattern in LEFT_OUT:
        suite.exclude(pattern)
    found = {}
    for kind, case in suite.test_cases.items():
        for test in dir(case):
            unmarked = not getattr(getattr(case, test), "__unittest_skip__", False)
            if test.startswith("test_") and not (test.endswith("_cpu") and unmarked):
                delattr(case, test)
        case.__name__ = case.__qualname__ = kind.replace("OnnxBackend", name)
        found[case.__name__] = case
    return found


globals().update(cases(FastconvBackend, "Backend"))
globals().update(cases(Evaluator, "Evaluator", OURS))


@pytest.fixture(autouse=True)
def _models(tmp_path, monkeypatch):
    """Let onnx write what it makes of its networks where it is thrown away."""
    monkeypatch.setenv("ONNX_MODELS", str(tmp_path))


def test_the_suite_is_there():
    """Lest a change of onnx's leaves us with nothing to run."""
    tests = [test for case in cases(FastconvBackend, "Backend").values() for test in dir(case)]
    assert len([test for test in tests if test.startswith("test_")]) > 1500
    ours = [test for case in cases(Evaluator, "Ours", OURS).values() for test in dir(case)]
    assert len([test for test in ours if test.startswith("test_")]) > 150
