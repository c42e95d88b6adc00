"""Activations: beside Keras's, slopes beside differences, and the ends of the number line."""

import pickle

import numpy as np
import pytest
from arrays import assert_same, generator
from beside_keras import as_numpy, keras_in

import fastconv as fc
from fastconv import activations
from fastconv.activations import Softmax

NAMES = [
    *("linear", "relu", "relu6", "leaky_relu", "elu"),
    *("softplus", "sigmoid", "tanh", "softmax"),
]
# far from 0, close to it, and at the corners
POINTS = np.array([-700, -40, -6, -1, -1e-3, -1e-12, 0, 1e-12, 1e-3, 1, 5.9, 6, 6.1, 40, 700.0])


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_keras(name):
    torch = pytest.importorskip("torch", reason="Keras runs on PyTorch here")
    x = np.stack([POINTS, generator(name).standard_normal(POINTS.size) * 3])
    with keras_in("float64") as keras:
        want = as_numpy(getattr(keras.activations, name)(torch.from_numpy(x)))
    got = activations.get(name)(x)
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_those_of_differences(name):
    rng = generator(name)
    x = rng.standard_normal((6, 5)) * 3
    x = x[np.abs(x).min(axis=1) > 1e-3]  # away from corners
    function = activations.get(name)
    grad, direction = rng.standard_normal(x.shape), rng.standard_normal(x.shape)
    before = grad.copy()
    y = function(x)
    kept = y.copy()
    got = float((function.gradient(grad, y) * direction).sum())
    step = 1e-6 * direction
    want = float(((function(x + step) - function(x - step)) * grad).sum() / 2e-6)
    assert got == pytest.approx(want, rel=1e-7)
    assert_same(grad, before)
    assert_same(y, kept)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_the_ends_of_the_line_are_finite(name, dtype):
    """Neither overflow nor NaN, a warning would be an error; and the dtype stays."""
    function = activations.get(name)
    x = POINTS.astype(dtype).reshape(3, 5)
    with np.errstate(all="raise", under="ignore"):
        y = function(x)
        grad = function.gradient(np.ones_like(x), y)
    assert y.dtype == grad.dtype == dtype
    assert y.shape == grad.shape == x.shape
    assert np.isfinite(y).all()
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("name", ["relu", "relu6"])
def test_corners_have_no_slope(name):
    function = activations.get(name)
    x = np.array([0.0, 6.0, 3.0])
    slope = function.gradient(np.ones(3), function(x))
    assert_same(slope, np.array([0.0, 1.0 if name == "relu" else 0.0, 1.0]))


def test_the_limits_of_sigmoids():
    x = np.array([-1000.0, 0, 1000])
    assert_same(activations.sigmoid(x), np.array([0, 0.5, 1]))
    assert_same(activations.tanh(x), np.array([-1.0, 0, 1]))
    np.testing.assert_allclose(activations.softplus(x), [0, np.log(2), 1000])
    small = activations.sigmoid(np.array([-500.0]))
    np.testing.assert_allclose(small, np.exp(-500.0), rtol=1e-14)  # not rounded to 0


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax_adds_up_along_its_axis(axis):
    x = generator("softmax").standard_normal((3, 4, 5)) * 50
    y = Softmax(axis)(x)
    np.testing.assert_allclose(y.sum(axis=axis), 1, rtol=1e-14)
    np.testing.assert_allclose(Softmax(axis)(x + 1e6), y, rtol=1e-8, atol=1e-15)
    grad = Softmax(axis).gradient(generator("grad").standard_normal(x.shape), y)
    np.testing.assert_allclose(grad.sum(axis=axis), 0, atol=1e-14)


def test_get():
    assert activations.get(None) is activations.linear
    for name in NAMES:
        found = activations.get(name)
        assert found is getattr(activations, name)
        assert activations.get(found) is found
        assert activations.serialize(found) == name
        assert pickle.loads(pickle.dumps(found)) is found  # layers ask whether one is relu
        assert name in repr(found)


@pytest.mark.parametrize(
    ("identifier", "error"),
    [("Relu", ValueError), ("", ValueError), (1, TypeError), (np.tanh, TypeError), ([], TypeError)],
)
def test_what_is_no_activation(identifier, error):
    with pytest.raises(error, match="Dense: activation must be None, 'linear', 'relu'"):
        activations.get(identifier, "Dense", "activation")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("threads", [1, 3])
def test_the_slope_of_relu_on_every_instruction_set(isa, dtype, threads):
    rng = generator("relu")
    y = rng.choice([-1, -0.0, 0, 1e-7, 2, np.inf, np.nan], (3, 2**16 + 5)).astype(dtype)
    grad = rng.standard_normal(y.shape).astype(dtype)
    want = np.where(y > 0, grad, 0).astype(dtype)
    with fc.threads(threads):
        assert_same(activations.relu.gradient(grad, y), want)
        assert_same(activations.relu.gradient(grad.T[::2], y.T[::2]), want.T[::2])
        assert activations.relu.gradient(grad[:0], y[:0]).shape == (0, 2**16 + 5)
