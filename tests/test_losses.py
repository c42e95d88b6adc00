"""Losses beside Keras's (values, gradients, weights) and beside differences in float64."""

import os

import numpy as np
import pytest

from fastconv import losses

NAMES = ["binary", "categorical", "sparse", "squared", "absolute"]
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight"]


@pytest.fixture
def keras(monkeypatch):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    module = pytest.importorskip("keras", reason="the losses are compared with Keras's")
    if module.backend.backend() != "torch":
        pytest.skip("the comparison needs Keras on PyTorch")
    before = module.config.floatx()
    module.config.set_floatx("float64")
    # But for TensorFlow, Keras takes means and quotients in float32, whatever it is given.
    types = module.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE
    monkeypatch.setitem(types, "float64", "float64")
    yield module
    module.config.set_floatx(before)


def problem(kind, logits=False, shape=(5, 4), dtype=np.float64):
    """Return targets and predictions; of the probabilities some are 0, 1 and close to them."""
    rng = np.random.default_rng(7)
    pred = rng.standard_normal(shape) * 3
    classes = rng.integers(0, shape[-1], shape[:-1])
    true = np.eye(shape[-1])[classes] * 0.8 + 0.05
    if kind == "binary":
        true = rng.integers(0, 2, shape).astype(float)
        if not logits:
            pred = rng.uniform(0, 1, shape)
            pred.flat[:4] = 0, 1, 1e-9, 1 - 1e-9
    elif kind in ("categorical", "sparse") and not logits:
        pred = rng.uniform(0.01, 1, shape)
        pred.flat[:2] = 0, 1e-9
    elif kind in ("squared", "absolute"):
        true = rng.standard_normal(shape)
    return (classes if kind == "sparse" else true), pred.astype(dtype)


CLASSES = {
    "binary": "BinaryCrossentropy",
    "categorical": "CategoricalCrossentropy",
    "sparse": "SparseCategoricalCrossentropy",
    "squared": "MeanSquaredError",
    "absolute": "MeanAbsoluteError",
}


def theirs(keras, name, true, pred, weight=None, dtype="float64", **options):
    """Return Keras's loss and PyTorch's gradient of it."""
    torch = pytest.importorskip("torch", reason="Keras's gradients are PyTorch's")
    tensor = torch.tensor(pred, requires_grad=True)
    loss = getattr(keras.losses, CLASSES[name])(dtype=dtype, **options)
    value = loss(true, tensor, sample_weight=weight)
    value.backward()
    return value.item(), tensor.grad.numpy()


def agree(keras, name, true, pred, weight=None, **options):
    loss = getattr(losses, CLASSES[name])(**options)
    value, gradient = loss.value_and_gradient(true, pred, weight)
    expected, slope = theirs(keras, name, true, pred, weight, **options)
    assert value == pytest.approx(expected, rel=1e-12)
    assert loss(true, pred, weight) == value
    assert gradient.shape == pred.shape
    assert gradient.dtype == pred.dtype
    np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-13)


OPTIONS = [
    *((name, {}) for name in NAMES),
    *((name, {"from_logits": True}) for name in NAMES[:3]),
    *((name, {"label_smoothing": 0.2}) for name in NAMES[:2]),
    *((name, {"label_smoothing": 0.3, "from_logits": True}) for name in NAMES[:2]),
    ("sparse", {"ignore_class": 2}),
    ("sparse", {"ignore_class": 2, "from_logits": True}),
]
IDS = [f"{name}-{'-'.join(options)}" for name, options in OPTIONS]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=IDS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_as_keras(keras, name, options, reduction):
    true, pred = problem(name, options.get("from_logits", False))
    agree(keras, name, true, pred, reduction=reduction, **options)
    weight = np.array([0.5, 0.0, 2.0, 1.0, 3.0])
    agree(keras, name, true, pred, weight, reduction=reduction, **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weights_of_values(keras, name, reduction):
    true, pred = problem(name, shape=(5, 3, 4))
    rng = np.random.default_rng(3)
    for shape in ((5, 3), (5, 1), (1, 3), ()):
        agree(keras, name, true, pred, rng.uniform(0, 2, shape), reduction=reduction)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_samples_are_never_those_of_the_last_axis(name):
    """Keras multiplies (n, n) values by (n,) weights along the last axis."""
    true, pred = problem(name, shape=(3, 3, 4))
    weight = np.array([1.0, 2.0, 5.0])
    loss = getattr(losses, CLASSES[name])()
    assert loss(true, pred, weight) == loss(true, pred, weight[:, None])


@pytest.mark.parametrize("name", ["binary", "squared", "absolute"])
def test_a_last_axis_of_one(keras, name):
    true, pred = problem(name, shape=(6, 1))
    agree(keras, name, true[:, 0], pred)
    agree(keras, name, true, pred[:, 0])
    agree(keras, name, true[:, 0], pred, np.arange(6.0))
    agree(keras, name, true[:, 0], pred, np.arange(6.0)[:, None])
    agree(keras, name, true[:, 0], pred[:, 0])
    true, pred = problem(name, shape=(6, 3, 1))
    agree(keras, name, true[..., 0], pred)


@pytest.mark.parametrize("logits", [False, True])
def test_sparse_targets_of_every_shape(keras, logits):
    true, pred = problem("sparse", logits)
    for given in (true, true[:, None], true.astype(np.float32), true.tolist()):
        agree(keras, "sparse", np.asarray(given), pred, from_logits=logits)
    true, pred = problem("sparse", logits, shape=(2, 3, 4))
    agree(keras, "sparse", true, pred, from_logits=logits)


@pytest.mark.parametrize("logits", [False, True])
def test_classes_on_another_axis(keras, logits):
    true, pred = problem("sparse", logits, shape=(2, 3, 4))
    moved = np.ascontiguousarray(np.moveaxis(pred, -1, 1))
    expected, slope = theirs(keras, "sparse", true, moved, from_logits=logits, axis=1)
    loss = losses.SparseCategoricalCrossentropy(from_logits=logits, axis=1)
    value, gradient = loss.value_and_gradient(true, moved)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-10, atol=1e-13)
    true, pred = problem("categorical", logits, shape=(2, 3, 4))
    agree(keras, "categorical", true, pred, from_logits=logits, axis=1)
    true, pred = problem("binary", logits, shape=(2, 3, 4))
    agree(keras, "binary", true, pred, from_logits=logits, axis=1)


def test_smoothing_counts_the_classes_of_the_axis():
    """Keras divides by the length of the last axis, whichever holds the classes."""
    true, pred = problem("categorical", shape=(2, 3, 4))
    plain = losses.CategoricalCrossentropy(label_smoothing=0.3)
    moved = losses.CategoricalCrossentropy(label_smoothing=0.3, axis=1)
    turned = [np.moveaxis(array, -1, 1) for array in (true, pred)]
    assert moved(*turned) == pytest.approx(plain(true, pred), rel=1e-13)


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=IDS)
def test_gradients_are_differences(name, options):
    rng = np.random.default_rng(11)
    true, pred = problem(name, options.get("from_logits", False), shape=(3, 2, 4))
    if name in NAMES[:3] and not options.get("from_logits"):
        pred = rng.uniform(0.1, 0.9, pred.shape)
    loss = getattr(losses, CLASSES[name])(**options)
    weight = rng.uniform(0, 2, (3, 2))
    _, gradient = loss.value_and_gradient(true, pred, weight)
    step = 1e-6
    for index in np.ndindex(pred.shape):
        up, down = pred.copy(), pred.copy()
        up[index] += step
        down[index] -= step
        slope = (loss(true, up, weight) - loss(true, down, weight)) / (2 * step)
        assert gradient[index] == pytest.approx(slope, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", NAMES[:3])
def test_huge_logits(name):
    """The loss of a logit of 1000 is 1000 or 0, not inf or NaN, in float32 as well."""
    true, pred = problem(name, True, shape=(4, 3), dtype=np.float32)
    for factor in (1e3, -1e3, 1e30):
        loss = getattr(losses, CLASSES[name])(from_logits=True)
        value, gradient = loss.value_and_gradient(true, pred * np.float32(factor))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() <= 1


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=IDS)
def test_float32_stays(keras, name, options):
    true, pred = problem(name, options.get("from_logits", False), dtype=np.float32)
    loss = getattr(losses, CLASSES[name])(**options)
    value, gradient = loss.value_and_gradient(true, pred)
    assert type(value) is float
    assert gradient.dtype == np.float32
    expected, slope = theirs(keras, name, true, pred, dtype="float32", **options)
    assert value == pytest.approx(expected, rel=2e-6)
    np.testing.assert_allclose(gradient, slope, rtol=2e-5, atol=1e-6)
    half = loss.value_and_gradient(true, pred.clip(0, 1).astype(np.float16))[1]
    assert half.dtype == np.float16


def test_a_long_mean_keeps_its_digits():
    pred = np.full((1 << 20, 1), 0.1, np.float32)
    expected = float(np.float32(0.1)) ** 2
    assert losses.MeanSquaredError()(np.zeros_like(pred), pred) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_functions_as_keras(keras, name):
    true, pred = problem(name, shape=(3, 2, 4))
    function = next(f for f, c in losses._OF_FUNCTION.items() if c.__name__ == CLASSES[name])
    expected = getattr(keras.losses, function.__name__)(true, pred)
    np.testing.assert_allclose(function(true, pred), expected.numpy(), rtol=1e-12)
    assert function(true, pred.astype(np.float32)).dtype == np.float32


def test_inputs_are_left_alone():
    for name in NAMES:
        for logits in (False, True) if name in NAMES[:3] else (False,):
            true, pred = problem(name, logits)
            true.setflags(write=False)
            pred.setflags(write=False)
            options = {"from_logits": logits} if logits else {}
            gradient = getattr(losses, CLASSES[name])(**options).value_and_gradient(true, pred)[1]
            assert not np.shares_memory(gradient, pred)


def test_what_is_ignored_may_be_nan():
    pred = np.full((2, 3), 1 / 3)
    pred[1] = np.nan
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    value, gradient = loss.value_and_gradient([0, -1], pred)
    assert value == pytest.approx(np.log(3))
    assert not gradient[1].any()
    assert loss([-1, -1], pred) == 0


def test_empty_batches():
    for name in NAMES:
        true, pred = problem(name)
        value, gradient = losses.get(CLASSES[name]).value_and_gradient(true[:0], pred[:0])
        assert value == 0
        assert gradient.shape == (0, 4)


def test_get():
    for name in ("mse", "MSE", "mean_squared_error", "MeanSquaredError"):
        loss = losses.get(name)
        assert type(loss) is losses.MeanSquaredError
        assert loss.name == name
    for name in ("bce", "BCE", "binary_crossentropy", "mae", "categorical_crossentropy"):
        assert isinstance(losses.get(name), losses.Loss)
    assert losses.get(loss) is loss
    assert type(losses.get(losses.binary_crossentropy)) is losses.BinaryCrossentropy
    assert type(losses.get(losses.MeanAbsoluteError)) is losses.MeanAbsoluteError
    with pytest.raises(ValueError, match=r"losses\.get: identifier must be one of Binary"):
        losses.get("hinge")
    with pytest.raises(TypeError, match="define call_and_gradient"):
        losses.get(lambda y_true, y_pred: 0)
    with pytest.raises(TypeError, match="got None"):
        losses.get(None)


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=IDS)
def test_configurations_are_keras_s(keras, name, options):
    loss = getattr(losses, CLASSES[name])(reduction="sum", name="mine", **options)
    config = losses.serialize(loss)
    other = keras.losses.deserialize(config)
    assert other.get_config() == loss.get_config()
    assert repr(losses.deserialize(keras.losses.serialize(other))) == repr(loss)


def test_a_subclass():
    class Cubed(losses.Loss):
        def call(self, y_true, y_pred):
            return (y_pred**3).sum(-1)

    loss = Cubed(reduction="sum")
    assert loss.name == "cubed"
    assert loss(np.zeros((2, 2)), np.ones((2, 2))) == 4
    with pytest.raises(NotImplementedError, match="Cubed must define call_and_gradient"):
        loss.value_and_gradient(np.zeros((2, 2)), np.ones((2, 2)))
    config = losses.serialize(loss)
    assert type(losses.deserialize(config, {"Cubed": Cubed})) is Cubed


ONES = np.ones((3, 2))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: losses.MeanSquaredError("max"), ValueError, "MeanSquaredError: reduction"),
        (lambda: losses.MeanSquaredError("none"), ValueError, "a function gives unreduced"),
        (lambda: losses.MeanSquaredError(name=3), TypeError, "name must be a str"),
        (lambda: losses.BinaryCrossentropy(1), TypeError, "from_logits must be True or False"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=2), ValueError, "from 0 to 1, got 2"),
        (lambda: losses.BinaryCrossentropy(axis=0.5), TypeError, "axis must be an int"),
        (lambda: losses.BinaryCrossentropy(axis=3)(ONES, ONES), ValueError, "y_pred's 2 axes"),
        (lambda: losses.MeanSquaredError()(ONES[:, :1], ONES), ValueError, r"shape \(3, 2\), got"),
        (lambda: losses.MeanSquaredError()(1.0, 1.0), ValueError, "at least one axis"),
        (lambda: losses.MeanSquaredError()(ONES, ONES, [1, 2]), ValueError, "sample_weight"),
        (lambda: losses.MeanSquaredError()(ONES, ONES * 1j), TypeError, "real numbers"),
        (lambda: losses.MeanSquaredError()("ab", ONES), TypeError, "y_true must be an array"),
        (lambda: losses.get("mse").value_and_gradient(ONES, [[1]]), TypeError, "of floats"),
        (lambda: losses.sparse_categorical_crossentropy([0, 1], ONES), ValueError, "beside y_pred"),
        (lambda: losses.sparse_categorical_crossentropy([0, 1, 2], ONES), ValueError, "0 to 1"),
        (lambda: losses.sparse_categorical_crossentropy([0, 1, -1], ONES), ValueError, "-1 to 1"),
        (lambda: losses.sparse_categorical_crossentropy([0, 1, 0.5], ONES), ValueError, "fraction"),
        (lambda: losses.sparse_categorical_crossentropy([0], ONES[:1], axis=2), ValueError, "axes"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()
