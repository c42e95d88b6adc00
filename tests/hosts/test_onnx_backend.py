"""The backend: fusion, memory that is used again, inputs, threads, and whole networks."""

# ruff: noqa: E402 (nothing is imported before it is known whether onnx is there)

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install fastconv[onnx]")

from onnx import TensorProto, helper, parser
from onnx.reference import ReferenceEvaluator
from onnx_models import FLOAT, by_runtime, model_of

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from bench import light_models

import fastconv as fc
from fastconv.backends.onnx import (
    FastconvBackend,
    ops,
    prepare,
    run_model,
    run_node,
    supports_device,
)


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def node(op, inputs, outputs="y", **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def model(nodes, outputs="y", constants=None, version=17, x=None):
    x = random(2, 4, 6, 6) if x is None else x
    ends = dict.fromkeys(outputs.split(), (FLOAT, None))
    return model_of(nodes, {"x": x}, ends, constants, version), {"x": x}


def steps_of(prepared):
    """Return what operators are left."""
    return [step.node.op for step in prepared._steps]


def check(made, inputs, left=None, tolerance=4e-6):
    """Run twice and compare with onnx's evaluator; `left` are the operators after fusion."""
    prepared = prepare(made)
    if left is not None:
        assert steps_of(prepared) == left.split()
    kept = {name: array.copy() for name, array in inputs.items()}
    first = [np.copy(y) for y in prepared.run(inputs)]
    expected = ReferenceEvaluator(made).run(None, inputs)
    for results in (first, prepared.run(inputs)):
        for got, want in zip(results, expected, strict=True):
            assert got.dtype == want.dtype
            assert got.flags.c_contiguous
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, kept[name])
    return prepared


W = {"w": random(4, 4, 3, 3, seed=1), "b": random(4, seed=2)}
NORMALS = {
    "s": random(4, seed=3),
    "o": random(4, seed=4),
    "m": random(4, seed=5),
    "v": np.abs(random(4, seed=6)) + 0.5,
}
PADS = {"pads": [1, 1, 1, 1]}


class TestFusion:
    def test_convolution_normalization_relu(self):
        nodes = [
            node("Conv", "x w b", "c", **PADS),
            node("BatchNormalization", "c s o m v", "n"),
            node("Relu", "n"),
        ]
        check(*model(nodes, constants={**W, **NORMALS}), "Conv")

    @pytest.mark.parametrize("op", ["Mul", "Add", "Sub", "Div"])
    @pytest.mark.parametrize("order", ["c k", "k c"])
    @pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1), (), (1,)])
    def test_arithmetic_a_channel(self, op, order, shape):
        constants = {**W, "k": np.abs(random(*shape, seed=7)) + 1}
        nodes = [node("Conv", "x w", "c"), node(op, order)]
        left = "Conv Div" if (op, order) == ("Div", "k c") else "Conv"
        # a quotient by what is near 0 shows the rounding of the convolution
        check(*model(nodes, constants=constants), left, 4e-5 if "Div" in left else 4e-6)

    @pytest.mark.parametrize("shape", [(4,), (4, 4), (2, 1, 1, 1), (1, 1, 4, 4)])
    def test_other_arithmetic_stays(self, shape):
        nodes = [node("Conv", "x w", "c"), node("Mul", "c k")]
        check(*model(nodes, constants={**W, "k": random(*shape, seed=7)}), "Conv Mul")

    def test_normalization_alone(self):
        nodes = [node("BatchNormalization", "x s o m v", "n"), node("Relu", "n")]
        check(*model(nodes, constants=NORMALS), "Affine")
        x = random(3, 4)
        check(*model(nodes, constants=NORMALS, x=x), "Affine")
        x = random(3, 4, 2, 5, 6)
        check(*model(nodes, constants=NORMALS, x=x), "Affine")

    def test_normalization_then_a_channel(self):
        constants = {**NORMALS, "k": random(4, 1, 1, seed=7)}
        nodes = [node("BatchNormalization", "x s o m v", "n"), node("Mul", "n k")]
        check(*model(nodes, constants=constants), "Affine")

    def test_nothing_that_others_read(self):
        nodes = [node("Conv", "x w b", "c"), node("Relu", "c", "y"), node("Neg", "c", "z")]
        check(*model(nodes, "y z", W), "Conv Relu Neg")
        nodes = [node("Conv", "x w b", "c"), node("Relu", "c", "y")]
        check(*model(nodes, "y c", W), "Conv Relu")

    def test_not_before_a_relu(self):
        constants = {**W, "k": np.float32(-2)}
        nodes = [node("Conv", "x w b", "c"), node("Relu", "c", "r"), node("Mul", "r k")]
        check(*model(nodes, constants=constants), "Conv Mul")

    def test_constants_are_folded(self):
        constants = {"a": W["w"], "two": np.float32(2), "shape": np.array([2, -1])}
        nodes = [
            node("Mul", "a two", "w"),
            node("Conv", "x w", "c"),
            node("Identity", "c", "i"),
            node("Dropout", "i", "d mask"),
            node("Reshape", "d shape"),
        ]
        check(*model(nodes, constants=constants), "Conv Reshape")

    def test_shuffle(self):
        x = random(2, 12, 3, 5)
        constants = {"a": np.array([2, 3, 4, 3, 5]), "b": np.array([-1, 12, 3, 5])}
        nodes = [
            node("Reshape", "x a", "r"),
            node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "t b"),
        ]
        check(*model(nodes, constants=constants, x=x), "Shuffle")
        nodes[1] = node("Transpose", "r", "t", perm=[0, 2, 1, 4, 3])
        check(*model(nodes, constants=constants, x=x), "Reshape Transpose Reshape")


class TestMemory:
    """A result may overwrite what nobody reads any more, and nothing else."""

    def test_branches(self):
        nodes = [
            node("Conv", "x w b", "a", **PADS),
            node("Relu", "a", "r"),
            node("Add", "a r", "s"),
            node("Add", "s a", "t"),
            node("Mul", "t t", "u"),
            node("Sub", "u r", "y"),
        ]
        check(*model(nodes, constants=W))
        check(*model(nodes, "y r", constants=W))

    @pytest.mark.parametrize(
        "view", [{"op": "Transpose", "perm": [0, 1, 3, 2]}, {"op": "Identity"}, {"op": "Flatten"}]
    )
    def test_views(self, view):
        nodes = [
            node("Conv", "x w b", "a", **PADS),
            node(inputs="a", outputs="v", **view),
            node("Relu", "a", "r"),
            node("Neg", "v", "z"),
            node("Neg", "r", "y"),
        ]
        check(*model(nodes, "y z", constants=W))

    def test_sums(self):
        nodes = [
            *(node("Conv", "x w b", name, **PADS) for name in ("p", "q", "r")),
            node("Relu", "r", "s"),
            node("Sum", "p q s x"),
        ]
        check(*model(nodes, constants=W))
        nodes = [
            node("Relu", "x", "r"),
            node("Sum", "r", "s"),
            node("Clip", "s", "t"),
            node("Add", "t r", "y"),
        ]
        check(*model(nodes))

    def test_broadcasting(self):
        constants = {**W, "k": random(3, 1, 1, 1, 1)}
        nodes = [node("Conv", "x w", "c"), node("Add", "c k", "a"), node("Add", "k a")]
        check(*model(nodes, constants=constants))

    @pytest.mark.parametrize("version", [9, 13])
    def test_clip(self, version):
        if version == 9:
            nodes, constants = [node("Clip", "c", min=-0.5, max=1.5)], {}
        else:
            constants = {"low": np.float32(-0.5), "high": np.float32(1.5)}
            nodes = [node("Clip", "c low high")]
        nodes = [node("Conv", "x w", "c"), *nodes]
        check(*model(nodes, constants={**W, **constants}, version=version))

    def test_constants_and_inputs_come_as_copies(self):
        nodes = [node("Identity", "k", "y"), node("Identity", "x", "z")]
        made, inputs = model(nodes, "y z", {"k": random(3)})
        prepared = prepare(made)
        for _ in range(2):
            y, z = prepared.run(inputs)
            np.testing.assert_array_equal(y, random(3))
            np.testing.assert_array_equal(z, inputs["x"])
            y[...] = z[...] = 0

    def test_a_subgraph_reads_what_is_outside(self):
        made = parser.parse_model("""
            <ir_version: 8, opset_import: ["": 17]>
            branch (float[2, 4, 6, 6] x, bool c) => (float[2, 4, 6, 6] y) {
                a = Relu(x)
                i = Identity(a)
                b = Neg(a)
                y = If (c) <
                    then_branch = one () => (float[2, 4, 6, 6] p) { p = Add(i, b) },
                    else_branch = two () => (float[2, 4, 6, 6] q) { q = Relu(b) }
                >
            }""")
        for flag in (True, False):
            check(made, {"x": random(2, 4, 6, 6), "c": np.array(flag)})


class TestInputs:
    made, inputs = model([node("Conv", "x w b", "c"), node("Relu", "c")], constants=W)

    def test_ways_to_give_them(self):
        prepared, x = prepare(self.made), self.inputs["x"]
        expected = fc.conv2d(x, W["w"], W["b"], activation="relu")
        for given in ([x], (x,), {"x": x}, x, [x.astype(">f4")], [np.asfortranarray(x)]):
            np.testing.assert_allclose(prepared.run(given)["y"], expected, atol=1e-5)
        assert prepared.input_names == ["x"]
        assert prepared.output_names == ["y"]

    def test_ways_to_give_the_model(self, tmp_path):
        path = tmp_path / "model.onnx"
        onnx.save(self.made, path)
        expected = prepare(self.made).run(self.inputs)["y"]
        for given in (self.made.SerializeToString(), path, str(path)):
            np.testing.assert_array_equal(run_model(given, self.inputs)["y"], expected)

    def test_open_sizes(self):
        value = helper.make_tensor_value_info("x", FLOAT, ["n", 4, None, None])
        made = onnx.ModelProto()
        made.CopyFrom(self.made)
        made.graph.input[0].CopyFrom(value)
        prepared = prepare(made)
        for shape in ((1, 4, 5, 7), (3, 4, 9, 3), (0, 4, 5, 5), (1, 4, 5, 7)):
            x = random(*shape)
            expected = fc.conv2d(x, W["w"], W["b"], activation="relu")
            np.testing.assert_allclose(prepared.run(x)["y"], expected, atol=1e-5)

    def test_bad_ones(self):
        prepared, x = prepare(self.made), self.inputs["x"]
        for given, kind, message in [
            ([x, x], ValueError, "inputs must be of length 1: x, got length 2"),
            ({"z": x}, ValueError, "inputs must be of exactly these names: x, got z"),
            (3, TypeError, "inputs must be a sequence or a mapping of arrays, got 3"),
            ([x.astype(float)], TypeError, "x must be of dtype float32"),
            ([x[0]], ValueError, r"x must be of shape \(2, 4, 6, 6\)"),
            ([x[:1]], ValueError, r"x must be of shape \(2, 4, 6, 6\)"),
        ]:
            with pytest.raises(kind, match=message):
                prepared.run(given)

    def test_bad_models(self):
        with pytest.raises(TypeError, match="model must be a ModelProto, bytes or a path, got 3"):
            prepare(3)
        with pytest.raises(ValueError, match="device must be 'CPU', got 'CUDA'"):
            prepare(self.made, "CUDA")
        made = model_of([node("Conv", "x z")], self.inputs, {"y": (FLOAT, 4)})
        with pytest.raises(onnx.checker.ValidationError, match="sorted"):
            prepare(made)
        assert supports_device("CPU:0")
        assert not supports_device("CUDA")

    def test_an_error_says_where(self):
        made, _ = model(
            [node("Conv", "x w", "y", name="third")], constants={"w": random(4, 3, 3, 3)}
        )
        value = helper.make_tensor_value_info("x", FLOAT, [None] * 4)
        made.graph.input[0].CopyFrom(value)
        with pytest.raises(ValueError, match="Conv: W must be of as many") as caught:
            prepare(made).run(random(1, 4, 6, 6))
        if sys.version_info >= (3, 11):
            assert caught.value.__notes__ == ["in node third (Conv)"]

    def test_node(self):
        x = random(2, 3, 4, 4)
        (y,) = run_node(node("MaxPool", "x", kernel_shape=[2, 2]), [x])
        np.testing.assert_array_equal(y, fc.max_pool2d(x, 2, 1))
        (y,) = FastconvBackend.run_node(node("Relu", "x"), x, opset_version=6)
        np.testing.assert_array_equal(y, np.maximum(x, 0))


NETWORKS = light_models.NAMES


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    """The networks that ship with onnx, with random weights, beside ONNX Runtime."""
    made = light_models.network(name)
    x = light_models.images(made)
    (expected,) = by_runtime(made, {light_models.input_name(made): x})
    assert expected.std() > 0.1  # these are no equal numbers
    prepared = prepare(made)
    (first,), (second,) = prepared.run(x), prepared.run(x)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - expected).max() <= 5e-6 * np.abs(expected).max()
    with fc.threads(1):
        (alone,) = prepared.run(x)
    np.testing.assert_array_equal(first, alone)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_networks_of_many_images(name):
    made = light_models.network(name, 3)
    x = light_models.images(made)
    (expected,) = by_runtime(made, {light_models.input_name(made): x})
    (found,) = run_model(made, x)
    assert np.abs(found - expected).max() <= 5e-6 * np.abs(expected).max()


def test_the_evaluator_runs_a_network():
    made = light_models.network("squeezenet")
    x = light_models.images(made)
    (found,) = ReferenceEvaluator(made, new_ops=ops).run(None, {light_models.input_name(made): x})
    (expected,) = run_model(made, x)
    assert np.abs(found - expected).max() <= 5e-6 * np.abs(expected).max()


def test_many_threads():
    made = light_models.network("squeezenet")
    prepared = prepare(made)
    inputs = [light_models.images(made, seed) for seed in range(6)]
    with ThreadPoolExecutor(4) as pool:
        together = [*pool.map(lambda x: prepared.run(x)[0], inputs * 2)]
    expected = [prepared.run(x)[0] for x in inputs]
    for found, want in zip(together, expected * 2, strict=True):
        np.testing.assert_array_equal(found, want)


def test_the_page(capsys):
    """The examples of docs/onnx.md run, and print what they say."""
    text = (ROOT / "docs" / "onnx.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    exec(compile(code, "docs/onnx.md", "exec"), {})
    expected = re.findall(r"^# (\[.*)$", code, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == expected
    assert len(expected) == 2


def test_float64():
    x = np.random.default_rng(0).standard_normal((1, 4, 6, 6))
    double = TensorProto.DOUBLE
    constants = {name: value.astype(np.float64) for name, value in {**W, **NORMALS}.items()}
    nodes = [node("Conv", "x w b", "c"), node("BatchNormalization", "c s o m v", "y")]
    made = model_of(nodes, {"x": x}, {"y": (double, 4)}, constants)
    check(made, {"x": x}, "Conv", 1e-13)
