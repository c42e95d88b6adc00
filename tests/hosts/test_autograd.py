"""autograd's own check of derivatives, twice and in both modes, and its example's network."""

import importlib

import numpy as np
import pytest
from arrays import generator

import fastconv as fc

autograd = pytest.importorskip("autograd", reason="autograd is not installed")
anp = importlib.import_module("autograd.numpy")
check_grads = importlib.import_module("autograd.test_util").check_grads
ours = importlib.import_module("fastconv.backends.autograd")

CONVOLUTIONS = [
    ("conv2d", (2, 3, 5, 6), (4, 3, 3, 2), {}),
    ("conv2d", (2, 3, 5, 6), (4, 3, 3, 3), {"padding": "same", "stride": (2, 1)}),
    (
        "conv2d",
        (1, 4, 6, 5),
        (6, 2, 2, 2),
        {"groups": 2, "dilation": 2, "padding": ((1, 0), (0, 2))},
    ),
    ("conv2d", (2, 5, 6, 3), (3, 3, 3, 4), {"padding": 1, "data_format": "NHWC"}),
    ("conv2d", (1, 5, 6, 3), (3, 3, 1, 6), {"groups": 3, "stride": 2, "data_format": "NHWC"}),
    ("conv4d", (2, 2, 5, 4), (3, 2, 2, 4), {}),
    ("conv4d", (1, 2, 5, 4), (3, 2, 3, 3), {"padding": "full", "stride": 2}),
    ("conv_transpose2d", (2, 3, 4, 3), (3, 2, 3, 2), {"stride": 2, "output_padding": 1}),
    ("conv_transpose2d", (1, 4, 4, 3), (4, 2, 2, 3), {"groups": 2, "padding": 1, "dilation": 2}),
    ("conv_transpose2d", (2, 4, 3, 3), (3, 2, 2, 3), {"stride": 2, "data_format": "NHWC"}),
]
POOLS = [
    ("max_pool2d", (2, 3, 6, 5), {"kernel_size": 2}),
    ("max_pool2d", (1, 2, 7, 6), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("max_pool2d", (2, 6, 5, 3), {"kernel_size": (3, 2), "stride": 1, "data_format": "NHWC"}),
    ("avg_pool2d", (2, 3, 6, 5), {"kernel_size": 2}),
    ("avg_pool2d", (1, 2, 7, 6), {"kernel_size": 3, "stride": 2, "padding": "same"}),
    (
        "avg_pool2d",
        (2, 6, 5, 3),
        {"kernel_size": (3, 2), "padding": 1, "count_include_pad": False, "data_format": "NHWC"},
    ),
]


@pytest.fixture(autouse=True)
def _seeded():
    np.random.seed(5)  # noqa: NPY002 - autograd's check draws from it


def filters_of(name, w_shape, options):
    if name == "conv_transpose2d":
        axis = 2 if "data_format" in options else 1
        return w_shape[axis] * options.get("groups", 1)
    return w_shape[3 if "data_format" in options else 0]


@pytest.mark.parametrize(("name", "x_shape", "w_shape", "options"), CONVOLUTIONS)
def test_convolutions(name, x_shape, w_shape, options):
    rng = generator((name, x_shape))
    x, w = rng.standard_normal(x_shape), rng.standard_normal(w_shape)
    bias = rng.standard_normal(filters_of(name, w_shape, options))
    function = getattr(ours, name)
    expected = getattr(fc, name)(x, w, bias=bias, **options)
    np.testing.assert_array_equal(function(x, w, bias=bias, **options), expected)

    def bent(x, w, bias):
        # a convolution is linear in each argument: of a square the second derivatives are none
        return function(x, w, bias=bias, **options) ** 2

    check_grads(bent, modes=["fwd", "rev"], order=2)(x, w, bias)
    check_grads(lambda x, w: function(x, w, **options), modes=["fwd", "rev"], order=2)(x, w)


@pytest.mark.parametrize(("name", "shape", "options"), POOLS)
def test_pools(name, shape, options):
    # no two elements are near each other, or a difference would change the maximum
    x = generator((name, shape)).permutation(np.prod(shape)).reshape(shape) / 7.0
    function = getattr(ours, name)
    np.testing.assert_array_equal(function(x, **options), getattr(fc, name)(x, **options))
    check_grads(lambda x: function(x, **options) ** 2, modes=["fwd", "rev"], order=2)(x)


def test_gradients_are_the_operations():
    rng = generator("gradients")
    x, w = rng.standard_normal((2, 3, 6, 7)), rng.standard_normal((4, 3, 3, 3))
    grad = rng.standard_normal((2, 4, 6, 7))
    vjp, _ = autograd.make_vjp(lambda x: ours.conv2d(x, w, padding=1))(x)
    np.testing.assert_array_equal(vjp(grad), fc.conv2d_grad_x(grad, w, x.shape, padding=1))
    vjp, _ = autograd.make_vjp(lambda w: ours.conv2d(x, w, padding=1))(w)
    np.testing.assert_array_equal(vjp(grad), fc.conv2d_grad_w(grad, x, w.shape, padding=1))


def test_float32_stays_float32():
    rng = generator("float32")
    x = rng.standard_normal((2, 3, 8, 8), np.float32)
    w, bias = rng.standard_normal((4, 3, 3, 3), np.float32), np.zeros(4, np.float32)

    def loss(w, bias):
        return anp.sum(ours.max_pool2d(ours.conv2d(x, w, bias), 2) ** 2)

    for found in autograd.grad(loss, (0, 1))(w, bias):
        assert found.dtype == np.float32


def test_a_wrong_shape_is_named():
    with pytest.raises(ValueError, match="conv2d: w"):
        autograd.grad(lambda x: anp.sum(ours.conv2d(x, np.ones((2, 4, 3, 3)))))(
            np.ones((1, 3, 5, 5))
        )


def test_a_network_learns_digits():
    """Two convolutions with pools and a dense layer, of the shape of autograd's own example."""
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn has the digits")
    images, labels = datasets.load_digits(return_X_y=True)
    rng = generator("digits")
    order = rng.permutation(len(images))
    x, labels = (images[order] / 16).reshape(-1, 1, 8, 8), labels[order]
    targets = np.eye(10)[labels]
    shapes = [(6, 1, 3, 3), (6,), (16, 6, 2, 2), (16,), (64, 10), (10,)]
    weights = [rng.standard_normal(shape) * 0.3 for shape in shapes]

    def scores(weights, x):
        first, b1, second, b2, dense, b3 = weights
        x = anp.tanh(ours.max_pool2d(ours.conv4d(x, first, bias=b1), 2))
        x = anp.tanh(ours.max_pool2d(ours.conv4d(x, second, bias=b2), 2))
        z = anp.dot(anp.reshape(x, (len(x), -1)), dense) + b3
        return z - anp.log(anp.sum(anp.exp(z), axis=1, keepdims=True))

    def loss(weights, x, targets):
        return -anp.sum(scores(weights, x) * targets) / len(x)

    gradient = autograd.grad(loss)
    steps = [np.zeros_like(w) for w in weights]
    for _ in range(200):
        chosen = rng.integers(0, 1400, 64)
        found = gradient(weights, x[chosen], targets[chosen])
        steps = [0.9 * step - 0.1 * g for step, g in zip(steps, found, strict=True)]
        weights = [w + step for w, step in zip(weights, steps, strict=True)]
    right = np.argmax(scores(weights, x[1400:]), axis=1) == labels[1400:]
    assert right.mean() > 0.9
