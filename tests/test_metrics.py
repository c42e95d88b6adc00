"""Metrics beside Keras's, batch by batch and weighted."""

import os

import numpy as np
import pytest

from fastconv import losses, metrics


@pytest.fixture
def keras(monkeypatch):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    module = pytest.importorskip("keras", reason="the metrics are compared with Keras's")
    before = module.config.floatx()
    module.config.set_floatx("float64")
    # But for TensorFlow, Keras takes means and quotients in float32, whatever it is given.
    types = module.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE
    monkeypatch.setitem(types, "float64", "float64")
    yield module
    module.config.set_floatx(before)


def batches(kind, shape=(6, 4)):
    """Yield targets and predictions of three batches."""
    rng = np.random.default_rng(5)
    for _ in range(3):
        pred = rng.uniform(0, 1, shape)
        classes = rng.integers(0, shape[-1], shape[:-1])
        if kind == "sparse":
            yield classes, pred
        elif kind == "onehot":
            yield np.eye(shape[-1])[classes], pred
        else:
            yield rng.integers(0, 2, shape).astype(float), pred


CASES = [
    ("Accuracy", "binary", {}),
    ("BinaryAccuracy", "binary", {}),
    ("BinaryAccuracy", "binary", {"threshold": 0.3}),
    ("CategoricalAccuracy", "onehot", {}),
    ("SparseCategoricalAccuracy", "sparse", {}),
    ("TopKCategoricalAccuracy", "onehot", {"k": 2}),
    ("SparseTopKCategoricalAccuracy", "sparse", {"k": 2}),
    ("MeanSquaredError", "binary", {}),
    ("MeanAbsoluteError", "binary", {}),
    ("BinaryCrossentropy", "binary", {"label_smoothing": 0.1}),
    ("CategoricalCrossentropy", "onehot", {"from_logits": True}),
    ("SparseCategoricalCrossentropy", "sparse", {}),
]


@pytest.mark.parametrize(("name", "kind", "options"), CASES)
@pytest.mark.parametrize("shape", [(6, 4), (6, 3, 4)])
@pytest.mark.parametrize("weighted", [None, "samples", "values", "one"])
def test_as_keras(keras, name, kind, options, shape, weighted):
    ours = getattr(metrics, name)(**options)
    theirs = getattr(keras.metrics, name)(dtype="float64", **options)
    rng = np.random.default_rng(2)
    for true, pred in batches(kind, shape):
        rounded = pred.round() if name == "Accuracy" else pred
        weight = {
            None: None,
            "samples": rng.uniform(0, 2, 6),
            "values": rng.uniform(0, 2, np.shape(ours._fn(true, rounded, **options))),
            "one": 0.5,
        }[weighted]
        ours.update_state(true, rounded, weight)
        theirs.update_state(true, rounded, weight)
        assert ours.result() == pytest.approx(float(theirs.result()), rel=1e-12)
    assert type(ours.result()) is float
    ours.reset_state()
    assert ours.result() == 0


@pytest.mark.parametrize("name", ["BinaryAccuracy", "MeanSquaredError", "BinaryCrossentropy"])
def test_a_last_axis_of_one(name):
    rng = np.random.default_rng(1)
    true, pred = rng.integers(0, 2, 9), rng.uniform(0, 1, 9)
    expected = getattr(metrics, name)()(true, pred)
    assert getattr(metrics, name)()(true, pred[:, None]) == expected
    assert getattr(metrics, name)()(true[:, None], pred) == expected


def test_sparse_targets_of_length_one():
    rng = np.random.default_rng(1)
    true, pred = rng.integers(0, 4, 9), rng.uniform(0, 1, (9, 4))
    for name in ("SparseCategoricalAccuracy", "SparseTopKCategoricalAccuracy"):
        function = getattr(metrics, name)()
        assert function(true[:, None], pred) == getattr(metrics, name)()(true, pred)
    weight = rng.uniform(0, 1, 9)
    plain, column = metrics.SparseCategoricalAccuracy(), metrics.SparseCategoricalAccuracy()
    assert plain(true, pred, weight) == column(true[:, None], pred, weight[:, None])


def test_what_is_ignored_does_not_count():
    pred = np.random.default_rng(1).uniform(0.1, 1, (4, 3))
    metric = metrics.SparseCategoricalCrossentropy(ignore_class=-1)
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    for weight in (None, [1.0, 2.0, 3.0, 4.0]):
        metric.reset_state()
        metric.update_state([0, -1, 2, -1], pred, weight)
        kept = None if weight is None else [1.0, 3.0]
        expected = losses.sparse_categorical_crossentropy([0, 2], pred[[0, 2]])
        assert metric.result() == pytest.approx(np.average(expected, weights=kept), rel=1e-13)
    assert metrics.SparseCategoricalCrossentropy(ignore_class=-1)([0, -1, 2, -1], pred) == (
        pytest.approx(loss([0, -1, 2, -1], pred), rel=1e-13)
    )


def test_unequal_batches_count_by_samples():
    metric = metrics.Mean()
    metric.update_state([1.0, 1.0, 1.0])
    metric.update_state([5.0])
    assert metric.result() == 2
    metric.reset_state()
    assert metric.result() == 0
    metric.update_state(3.0)
    assert metric.result() == 3


def test_many_batches_keep_their_digits():
    metric = metrics.Mean()
    for _ in range(20000):
        metric.update_state(np.float32(0.1))
    assert metric.result() == pytest.approx(float(np.float32(0.1)), rel=1e-12)


@pytest.mark.parametrize(
    ("true", "pred", "kind"),
    [
        ((8,), (8, 1), "BinaryAccuracy"),
        ((8, 1), (8, 1), "BinaryAccuracy"),
        ((8,), (8, 3), "SparseCategoricalAccuracy"),
        ((8, 1), (8, 3), "SparseCategoricalAccuracy"),
        ((8, 3), (8, 3), "CategoricalAccuracy"),
        ((8, 5), (8, 5, 3), "SparseCategoricalAccuracy"),
    ],
)
@pytest.mark.parametrize("name", ["acc", "accuracy", "Accuracy"])
def test_resolve_as_keras(keras, name, true, pred, kind):
    from keras.src.trainers.compile_utils import get_metric

    metric = metrics.resolve(name, true, pred)
    expected = get_metric(name, np.zeros(true), np.zeros(pred))
    assert type(metric).__name__ == type(expected).__name__ == kind
    assert metric.name == expected.name == name


def test_resolve_the_rest():
    mse = metrics.resolve("mse", (8, 3), (8, 3))
    assert mse.name == "mse"
    assert type(mse) is metrics.MeanSquaredError
    assert type(metrics.resolve("ce", (8,), (8, 3))) is metrics.SparseCategoricalCrossentropy
    own = metrics.BinaryAccuracy(name="own")
    assert metrics.resolve(own, (8,), (8, 3)) is own
    sparse, categorical = losses.SparseCategoricalCrossentropy(), losses.get("mse")
    assert type(metrics.resolve("acc", None, (8, 3), sparse)) is metrics.SparseCategoricalAccuracy
    with pytest.raises(ValueError, match="y_true_shape must be given beside this loss"):
        metrics.resolve("acc", None, (8, 3), categorical)


def test_get():
    names = ("mae", "MAE", "mean_absolute_error", "MeanAbsoluteError")
    assert {type(metrics.get(name)) for name in names} == {metrics.MeanAbsoluteError}
    assert type(metrics.get("top_k_categorical_accuracy")) is metrics.TopKCategoricalAccuracy
    assert type(metrics.get(metrics.Mean)) is metrics.Mean

    def off(y_true, y_pred):
        return np.abs(y_true - y_pred)

    assert metrics.get(off).name == "off"
    assert metrics.get(off)(np.zeros(2), np.ones(2)) == 1
    with pytest.raises(ValueError, match=r"metrics\.get: identifier must be the name of a class"):
        metrics.get("auc")
    with pytest.raises(TypeError, match=r"metrics\.get: identifier"):
        metrics.get(3)


@pytest.mark.parametrize(("name", "kind", "options"), CASES)
def test_configurations_are_keras_s(keras, name, kind, options):
    metric = getattr(metrics, name)(name="mine", **options)
    other = keras.metrics.deserialize(metrics.serialize(metric))
    again = metrics.deserialize(keras.metrics.serialize(other))
    assert type(again) is type(metric)
    assert again.get_config() == metric.get_config()


def test_a_function_cannot_be_written_down():
    with pytest.raises(TypeError, match=r"metrics\.serialize"):
        metrics.serialize(metrics.get(lambda y_true, y_pred: y_pred))


def test_nan_is_never_right():
    pred = np.full((3, 10), np.nan)
    assert metrics.SparseTopKCategoricalAccuracy()(np.arange(3), pred) == 0
    assert metrics.BinaryAccuracy()(np.ones((3, 10)), pred) == 0


def test_directions():
    assert metrics.direction_of("acc") == metrics.direction_of("binary_accuracy") == "up"
    assert metrics.direction_of("loss") == metrics.direction_of("mse") == "down"
    assert metrics.direction_of("mean") is metrics.direction_of("nothing") is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.binary_accuracy(np.ones((3, 1)), np.ones((3, 2))), "binary_accuracy"),
        (lambda: metrics.categorical_accuracy(np.ones((3, 2)), np.ones((4, 2))), "last axis not"),
        (lambda: metrics.sparse_categorical_accuracy(np.ones(3), np.ones((4, 2))), "beside y_pred"),
        (lambda: metrics.sparse_categorical_accuracy(1, 1), "at least one class"),
        (lambda: metrics.sparse_top_k_categorical_accuracy([2], [[1, 2]]), "from 0 to 1"),
        (lambda: metrics.sparse_top_k_categorical_accuracy([1], [[1, 2]], k=0), "k must be an int"),
        (lambda: metrics.Mean().update_state([1, 2, 3], [1, 2]), "sample_weight must be"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()
