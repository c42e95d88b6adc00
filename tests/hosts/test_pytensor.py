"""PyTensor's own check of gradients, its convolution beside ours, shapes, Numba and pickles."""

import importlib
import pickle
import warnings

import numpy as np
import pytest
from arrays import generator

import fastconv as fc

pytensor = pytest.importorskip("pytensor", reason="PyTensor is not installed")
pt = importlib.import_module("pytensor.tensor")
verify_grad = importlib.import_module("pytensor.gradient").verify_grad
ours = importlib.import_module("fastconv.backends.pytensor")

CONVOLUTIONS = [
    ("conv2d", (2, 3, 5, 6), (4, 3, 3, 2), {}),
    ("conv2d", (2, 3, 5, 6), (4, 3, 3, 3), {"padding": "same", "stride": (2, 1)}),
    ("conv2d", (1, 4, 6, 5), (6, 2, 2, 2), {"groups": 2, "dilation": 2, "padding": [1, 2]}),
    ("conv2d", (2, 5, 6, 3), (3, 3, 3, 4), {"padding": 1, "data_format": "NHWC"}),
    ("conv4d", (2, 2, 5, 4), (3, 2, 2, 4), {}),
    ("conv4d", (1, 2, 5, 4), (3, 2, 3, 3), {"padding": "full", "stride": 2}),
    ("conv_transpose2d", (2, 3, 4, 3), (3, 2, 3, 2), {"stride": 2, "output_padding": 1}),
    ("conv_transpose2d", (2, 4, 3, 3), (3, 2, 2, 3), {"stride": 2, "data_format": "NHWC"}),
]
POOLS = [
    ("max_pool2d", (2, 3, 6, 5), {"kernel_size": 2}),
    ("max_pool2d", (1, 2, 7, 6), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("max_pool2d", (2, 6, 5, 3), {"kernel_size": (3, 2), "stride": 1, "data_format": "NHWC"}),
    ("avg_pool2d", (2, 3, 6, 5), {"kernel_size": 2}),
    ("avg_pool2d", (1, 2, 7, 6), {"kernel_size": 3, "stride": 2, "padding": "same"}),
    ("avg_pool2d", (2, 6, 5, 3), {"kernel_size": 3, "padding": 1, "data_format": "NHWC"}),
]
# Numba takes seconds to compile a graph, so most is run by Python.
PYTHON = "FAST_COMPILE"
MODES = pytest.mark.parametrize("mode", ["NUMBA", PYTHON])


def compiled(inputs, outputs, mode=PYTHON):
    """Return a function; a warning of PyTensor's, that it must fall back, is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Numba will use object mode")
        warnings.filterwarnings("error", category=FutureWarning)
        return pytensor.function(inputs, outputs, mode=mode)


def verified(function, values):
    verify_grad(function, values, rng=generator("verified"), mode=PYTHON)


def arrays_of(name, x_shape, w_shape):
    rng = generator((name, x_shape))
    return rng.standard_normal(x_shape), rng.standard_normal(w_shape)


def spread(name, shape):
    """Return numbers of which no two are near each other: differences don't change a maximum."""
    return generator((name, shape)).permutation(np.prod(shape)).reshape(shape) / 7.0


@pytest.mark.parametrize(("name", "x_shape", "w_shape", "options"), CONVOLUTIONS)
def test_convolutions(name, x_shape, w_shape, options):
    x, w = pt.tensor4("x", dtype="float64"), pt.tensor4("w", dtype="float64")
    y = getattr(ours, name)(x, w, **options)
    values = arrays_of(name, x_shape, w_shape)
    expected = getattr(fc, name)(*values, **options)
    found, shape = compiled([x, w], [y, y.shape])(*values)
    np.testing.assert_array_equal(found, expected)
    assert tuple(shape) == expected.shape
    # the shape alone takes no convolution
    alone = compiled([x, w], y.shape, "FAST_RUN")
    assert tuple(alone(*values)) == expected.shape
    assert not any(
        type(node.op).__name__ == "Convolution" for node in alone.maker.fgraph.apply_nodes
    )


@pytest.mark.parametrize(("name", "x_shape", "w_shape", "options"), CONVOLUTIONS)
def test_gradients_of_convolutions(name, x_shape, w_shape, options):
    function = getattr(ours, name)
    values = arrays_of(name, x_shape, w_shape)
    verified(lambda x, w: function(x, w, **options), values)

    def slope(x, w):
        y = function(x, w, **options)
        return pytensor.grad((y**2).sum(), [x, w])

    for part in (0, 1):
        verified(lambda x, w, part=part: slope(x, w)[part], values)


@pytest.mark.parametrize(("name", "shape", "options"), POOLS)
def test_pools(name, shape, options):
    x = pt.tensor4("x", dtype="float64")
    function, value = getattr(ours, name), spread(name, shape)
    y = function(x, **options)
    found, size = compiled([x], [y, y.shape])(value)
    np.testing.assert_array_equal(found, getattr(fc, name)(value, **options))
    assert tuple(size) == found.shape
    verified(lambda x: function(x, **options), [value])
    verified(lambda x: pytensor.grad((function(x, **options) ** 2).sum(), x), [value])


@MODES
def test_a_gradient_is_the_operations(mode):
    x, w, bias = pt.tensor4("x"), pt.tensor4("w"), pt.vector("bias")
    y = ours.max_pool2d(ours.conv2d(x, w, bias, padding=1), 2)
    values = [*arrays_of("gradient", (2, 3, 6, 8), (4, 3, 3, 3)), np.arange(4.0)]
    values = [value.astype(pytensor.config.floatX) for value in values]
    found = compiled([x, w, bias], pytensor.grad(y.sum(), [x, w, bias]), mode)(*values)
    maps = fc.conv2d(*values, padding=1)
    maxima, indices = fc.max_pool2d(maps, 2, return_indices=True)
    grad = fc.max_pool2d_grad_x(np.ones_like(maxima), indices, maps.shape)
    expected = (
        fc.conv2d_grad_x(grad, values[1], values[0].shape, padding=1),
        fc.conv2d_grad_w(grad, values[0], values[1].shape, padding=1),
        grad.sum((0, 2, 3)),
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_a_pool_finds_indices_only_for_a_gradient():
    x = pt.tensor4("x")
    y = ours.max_pool2d(x, 2)
    asked = []
    for outputs in (y, [y, pytensor.grad(y.sum(), x)]):
        nodes = compiled([x], outputs, "FAST_RUN").maker.fgraph.apply_nodes
        pools = [node.op for node in nodes if type(node.op).__name__ == "MaxPool"]
        asked.append([dict(op.options)["return_indices"] for op in pools])
    assert asked == [[False], [True]]


@pytest.mark.parametrize("mode", ["full", "valid", "same"])
def test_beside_the_convolution_of_pytensor(mode):
    convolve2d = importlib.import_module("pytensor.tensor.signal.conv").convolve2d
    image, kernel = pt.matrix("image"), pt.matrix("kernel")
    theirs = convolve2d(image, kernel, mode)
    found = ours.conv4d(image[None, None], kernel[None, None], mode)[0, 0]
    values = generator(mode).standard_normal((9, 8)), generator(mode).standard_normal((3, 4))
    wanted = [pytensor.grad((y**2).sum(), [image, kernel]) for y in (theirs, found)]
    for one, other in [(theirs, found), *zip(*wanted, strict=True)]:
        one, other = compiled([image, kernel], [one, other])(*values)
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)


def test_static_shapes_are_known_and_checked():
    x = pt.tensor("x", shape=(None, 3, 8, 8))
    w = np.zeros((5, 3, 3, 3))
    assert ours.conv2d(x, w).type.shape == (None, 5, 6, 6)
    assert ours.max_pool2d(x, 2).type.shape == (None, 3, 4, 4)
    assert pytensor.grad(ours.conv2d(x, w).sum(), x).type.shape == (None, 3, 8, 8)
    with pytest.raises(ValueError, match="conv2d: w"):
        ours.conv2d(x, np.zeros((5, 4, 3, 3)))


def test_bad_arguments():
    with pytest.raises(ValueError, match="conv2d: x must be a tensor of 4 dimensions"):
        ours.conv2d(pt.matrix("x"), pt.tensor4("w"))
    with pytest.raises(TypeError, match="conv2d: x must be of a floating dtype"):
        ours.conv2d(pt.tensor4("x", dtype="complex128"), pt.tensor4("w"))
    x, w = pt.tensor4("x"), pt.tensor4("w")
    with pytest.raises(ValueError, match="conv2d: padding"):
        compiled([x, w], ours.conv2d(x, w, padding=-1))(*arrays_of("", (1, 1, 3, 3), (1, 1, 2, 2)))


def test_float32_and_integers():
    x, w = pt.tensor4("x", dtype="float32"), pt.tensor4("w", dtype="float32")
    assert ours.conv2d(x, w).dtype == "float32"
    assert {g.dtype for g in pytensor.grad(ours.conv2d(x, w).sum(), [x, w])} == {"float32"}
    n = pt.tensor4("n", dtype="int8")
    assert ours.conv2d(n, n).dtype == "int64"
    for_n, for_w = pytensor.grad(ours.conv2d(n, w).sum(), [n, w])
    values = np.ones((1, 1, 3, 3), np.int8), np.ones((1, 1, 2, 2), np.float32)
    zeros, counts = compiled([n, w], [for_n, for_w])(*values)
    assert not zeros.any()
    assert counts.ravel().tolist() == [4, 4, 4, 4]


def test_graphs_are_pickled_and_alike_ones_merged():
    x, w = pt.tensor4("x"), pt.tensor4("w")
    y = ours.conv2d(x, w, padding=[1, 1])
    function = compiled([x, w], y + ours.conv2d(x, w, padding=(1, 1)))
    function = pickle.loads(pickle.dumps(function))
    nodes = function.maker.fgraph.apply_nodes
    assert sum(type(node.op).__name__ == "Convolution" for node in nodes) == 1
    values = arrays_of("pickle", (1, 2, 5, 5), (3, 2, 3, 3))
    np.testing.assert_array_equal(function(*values), 2 * fc.conv2d(*values, padding=1))
