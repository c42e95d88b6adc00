"""The operators beside ONNX Runtime, in onnx's evaluator and compiled: attributes, axes, dtypes."""

# ruff: noqa: E402 (nothing is imported before it is known whether onnx is there)

import itertools

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install fastconv[onnx]")

from onnx.reference import ReferenceEvaluator
from onnx_models import FLOAT, by_runtime, model_of, one_node

from fastconv.backends.onnx import ops, prepare, run_node

IMAGES = {1: (2, 4, 13), 2: (2, 4, 9, 12), 3: (2, 4, 7, 6, 9)}
WAYS = {
    "plain": {},
    "strided": {"strides": 2},
    "padded": {"pads": (1, 2)},
    "dilated": {"dilations": 2, "pads": (2, 1)},
    "same upper": {"auto_pad": "SAME_UPPER", "strides": 2},
    "same lower": {"auto_pad": "SAME_LOWER", "strides": 2},
    "valid": {"auto_pad": "VALID", "strides": 3},
}


def attributes_of(way, axes):
    """Return attributes for so many axes; befores grow, so that none is like another."""
    found = dict(WAYS[way])
    for name in ("strides", "dilations"):
        if name in found:
            found[name] = [found[name]] * (axes - 1) + [1 if name == "strides" else 2]
    if "pads" in found:
        before, after = found["pads"]
        found["pads"] = [before] * axes + [after] * axes
    return found


def check(model, inputs, tolerance=2e-6, expected=None):
    """Compare the evaluator with our operators, and the backend, with ONNX Runtime."""
    expected = by_runtime(model, inputs) if expected is None else expected
    before = {name: array.copy() for name, array in inputs.items()}
    for results in (
        ReferenceEvaluator(model, new_ops=ops).run(None, inputs),
        prepare(model).run(inputs),
    ):
        for got, want in zip(results, expected, strict=True):
            assert got.dtype == want.dtype
            assert got.shape == want.shape
            if want.dtype.kind in "iu":
                np.testing.assert_array_equal(got, want)
            else:
                largest = np.abs(want).max(initial=1e-30)
                assert np.abs(got - want).max(initial=0) <= tolerance * largest
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name])


def random(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_conv(axes, groups, way):
    kernel = (2, 3, 3)[-axes:]
    constants = {"w": random((8, 4 // groups, *kernel), 1), "b": random(8, 2)}
    attributes = attributes_of(way, axes)
    x = {"x": random(IMAGES[axes])}
    check(one_node("Conv", x, constants, 2 + axes, group=groups, **attributes), x)
    check(
        one_node("Conv", {**x, **constants}, {}, 2 + axes, group=groups, **attributes),
        {**x, **constants},
    )


TRANSPOSED = [
    {},
    {"strides": 2},
    {"strides": 3, "output_padding": 2},
    {"strides": 2, "pads": (1, 0)},
    {"dilations": 2, "strides": 2, "pads": (1, 1), "output_padding": 1},
    {"strides": 3, "output_shape": 2},
    {"auto_pad": "SAME_UPPER", "strides": 2},
    {"auto_pad": "SAME_LOWER", "strides": 2},
]


@pytest.mark.parametrize("way", range(len(TRANSPOSED)))
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_conv_transpose(axes, groups, way):
    x = {"x": random((2, 4, 4, 3, 5)[: 2 + axes])}
    constants = {"w": random((4, 6 // groups, *(3, 2, 3)[:axes]), 1), "b": random(6, 2)}
    attributes = dict(TRANSPOSED[way])
    for name in ("strides", "dilations", "output_padding"):
        if name in attributes:
            attributes[name] = [attributes[name]] * axes
    if "pads" in attributes:
        before, after = attributes["pads"]
        attributes["pads"] = [before] * axes + [after] * axes
    if "output_shape" in attributes:
        attributes["output_shape"] = [3 * size + 1 for size in x["x"].shape[2:]]
    check(one_node("ConvTranspose", x, constants, 2 + axes, group=groups, **attributes), x)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("storage_order", [0, 1])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_max_pool(axes, storage_order, ceil_mode, way):
    x = {"x": random(IMAGES[axes])}
    attributes = attributes_of(way, axes)
    if "pads" in attributes:  # ONNX Runtime wants less than the kernel
        attributes["pads"] = [1] * 2 * axes
    attributes.update(kernel_shape=[3, 2, 3][:axes], ceil_mode=ceil_mode)
    for outputs in (1, 2):
        order = storage_order if outputs == 2 else None
        check(one_node("MaxPool", x, {}, 2 + axes, outputs, storage_order=order, **attributes), x)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_average_pool(axes, include, ceil_mode, way):
    x = {"x": random(IMAGES[axes])}
    attributes = attributes_of(way, axes)
    if "pads" in attributes:  # ONNX Runtime wants less than the kernel
        attributes["pads"] = [1] * 2 * axes
    attributes.update(kernel_shape=[3, 2, 3][:axes], ceil_mode=ceil_mode, count_include_pad=include)
    check(one_node("AveragePool", x, {}, 2 + axes, version=19, **attributes), x)


@pytest.mark.parametrize("op", ["GlobalMaxPool", "GlobalAveragePool"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_global_pools(axes, op):
    x = {"x": random(IMAGES[axes])}
    check(one_node(op, x, {}, 2 + axes), x)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("axes", [1, 2])
def test_quantized(axes, signed):
    rng = np.random.default_rng(0)
    x = {"x": rng.integers(0, 255, IMAGES[axes], np.uint8)}
    low, dtype = (-128, np.int8) if signed else (0, np.uint8)
    w = rng.integers(low, low + 255, (6, 4, *(3, 3)[:axes]), dtype, endpoint=True)
    attributes = {"pads": [1, 0, 2, 1][: 2 * axes] if axes == 2 else [1, 2], "strides": [2] * axes}
    zeros = {"x_zero": np.uint8(7), "w_zero": dtype(0 if signed else 3)}
    int32 = onnx.TensorProto.INT32
    constants = {"w": w, **zeros}
    check(one_node("ConvInteger", x, constants, 2 + axes, dtype=int32, **attributes), x)
    constants = {
        "x_scale": np.float32(0.02),
        "x_zero": zeros["x_zero"],
        "w": w,
        "w_scale": rng.uniform(0.01, 0.02, 6).astype(np.float32),
        "w_zero": np.full(6, zeros["w_zero"]),
        "y_scale": np.float32(0.9),
        "y_zero": np.uint8(100),
        "b": rng.integers(-1000, 1000, 6, np.int32),
    }
    uint8 = onnx.TensorProto.UINT8
    check(one_node("QLinearConv", x, constants, 2 + axes, dtype=uint8, **attributes), x)


def test_batch_normalization_of_an_old_version():
    """Version 9 predicts unless it has five outputs; onnx's own evaluator trains."""
    x = {"x": random((2, 3, 4, 5))}
    constants = {name: random(3, i) for i, name in enumerate("sbm")}
    constants["v"] = np.abs(random(3, 9)) + 0.5
    check(one_node("BatchNormalization", x, constants, 4, version=9), x, 4e-6)


def test_batch_normalization_in_training():
    x = {"x": random((4, 3, 4, 5))}
    constants = {name: random(3, i) for i, name in enumerate("sbm")}
    constants["v"] = np.abs(random(3, 9)) + 0.5
    node = onnx.helper.make_node(
        *("BatchNormalization", ["x", *constants], ["y", "mean", "variance"]),
        training_mode=1,
        momentum=0.8,
    )
    ends = {"y": (FLOAT, 4), "mean": (FLOAT, 1), "variance": (FLOAT, 1)}
    model = model_of([node], x, ends, constants)
    check(model, x, expected=ReferenceEvaluator(model).run(None, x))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 20])
def test_local_response(size):
    """Of more images than channels: onnx's own evaluator counts the former."""
    x = {"x": random((3, 7, 4, 5)) * 10}
    array = x["x"].astype(np.float64)
    before, after = (size - 1) // 2, size // 2
    around = [np.square(array[:, max(c - before, 0) : c + after + 1]).sum(axis=1) for c in range(7)]
    expected = array / (2 + 0.3 / size * np.stack(around, 1)) ** 0.6
    model = one_node("LRN", x, {}, 4, size=size, alpha=0.3, beta=0.6, bias=2.0)
    check(model, x, expected=[expected.astype(np.float32)])


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(("version", "axis"), itertools.product([9, 11, 13], [None, 0, 1, 2, -1]))
def test_softmax(op, version, axis):
    x = {"x": random((2, 3, 4, 5))}
    if axis == -1 and version == 9:
        pytest.skip("no negative axes in version 9")
    check(one_node(op, x, {}, 4, version=version, axis=axis), x)


def test_half_precision():
    x, w = random((1, 8, 6, 6), dtype=np.float16), random((4, 8, 3, 3), 1, np.float16)
    half = onnx.TensorProto.FLOAT16
    model = one_node("Conv", {"x": x}, {"w": w}, 4, dtype=half)
    wide = one_node("Conv", {"x": x.astype(np.float32)}, {"w": w.astype(np.float32)}, 4)
    expected = ReferenceEvaluator(wide).run(None, {"x": x.astype(np.float32)})
    check(model, {"x": x}, 1e-3, [y.astype(np.float16) for y in expected])


BAD = [
    ("Conv", {"auto_pad": "SAME"}, "auto_pad must be one of"),
    ("Conv", {"pads": [1, 1]}, "pads must be 4 ints"),
    ("Conv", {"pads": [-1, 0, 0, 0]}, "pads must be 4 ints of at least 0"),
    ("Conv", {"strides": [0, 1]}, "strides must be 2 ints of at least 1"),
    ("Conv", {"kernel_shape": [2, 3]}, "kernel_shape must be the spatial shape of W"),
    ("Conv", {"group": 3}, "W must be of as many channels"),
    ("ConvTranspose", {"pads": [9, 9, 9, 9]}, "pads must be small enough"),
    ("ConvTranspose", {"output_padding": [1]}, "output_padding must be 2 ints"),
]


@pytest.mark.parametrize(("op", "attributes", "message"), BAD)
def test_bad_attributes(op, attributes, message):
    node = onnx.helper.make_node(op, ["x", "w"], ["y"], **attributes)
    with pytest.raises(ValueError, match=message):
        run_node(node, [random((1, 4, 6, 6)), random((4, 4, 3, 3))])


def test_bad_shapes():
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    with pytest.raises(ValueError, match="W must be of 4 axes"):
        run_node(node, [random((1, 4, 6, 6)), random((4, 4, 3))])
    with pytest.raises(ValueError, match="the kernel must be small enough"):
        run_node(node, [random((1, 4, 2, 6, 6)), random((4, 4, 3, 3, 3))])
    with pytest.raises(ValueError, match="X must be of at least 3 axes"):
        run_node(onnx.helper.make_node("GlobalMaxPool", ["x"], ["y"]), [random((1, 4))])
