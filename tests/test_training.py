"""fit, evaluate and predict: beside Keras in float64, and what they promise of data and threads."""

import re
import threading
import tracemalloc

import numpy as np
import pytest
from arrays import assert_same, generator
from beside_keras import keras_in, largest_difference
from graphs import inception, named_outputs, several, small_cifar

import fastconv
import fastconv.layers
import fastconv.models
import fastconv.optimizers
from fastconv import callbacks, layers, metrics
from fastconv.models import Model, Sequential
from fastconv.utils import set_random_seed


@pytest.fixture
def keras():
    with keras_in("float64") as module:
        yield module


class Batches:
    """A sequence of batches, as a data set or a loader is one."""

    def __init__(self, x, y, size=8):
        self.x, self.y, self.size = x, y, size
        self.ends = 0

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, i):
        rows = slice(i * self.size, (i + 1) * self.size)
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        self.ends += 1


def endless(x, y, size=8):
    while True:
        for start in range(0, len(x), size):
            yield x[start : start + size], y[start : start + size]


RNG = generator("training")
X, Y = RNG.standard_normal((50, 3)), RNG.standard_normal((50, 1))
CLASSES = RNG.integers(0, 2, (50, 1))
IMAGES = RNG.standard_normal((20, 6, 6, 1))
ONE_HOT = np.eye(3)[RNG.integers(0, 3, 20)]
TWO_IN = {"image": IMAGES, "number": X[:20]}
TWO_OUT = {"first": ONE_HOT, "second": Y[:20]}
FOUR = RNG.standard_normal((20, 4))
BOTH = {"loss": {"first": "categorical_crossentropy", "second": "mse"}}


def dense(lib, units=1, activation="sigmoid"):
    make = lib.layers
    first = make.Dense(4, activation="tanh")
    return lib.models.Sequential([make.Input((3,)), first, make.Dense(units, activation)])


def normalized(lib):
    make = lib.layers
    return lib.models.Sequential(
        [
            make.Input((6, 6, 1)),
            make.Conv2D(4, 3),
            make.BatchNormalization(momentum=0.8),
            make.ReLU(),
            make.GlobalAveragePooling2D(),
            make.Dense(3, activation="softmax"),
        ]
    )


def sgd(lib):
    return lib.optimizers.SGD(0.1)


# ---------------------------------------------------------------------------------- beside Keras

# maker, arguments of compile, data, arguments of fit
FITS = {
    "plain": (dense, {"loss": "mse"}, (X, Y), {}),
    "metrics": (
        dense,
        {"loss": "binary_crossentropy", "metrics": ["acc", "mae", "accuracy"]},
        (X, CLASSES),
        {"batch_size": 7, "validation_data": (X[:9], CLASSES[:9])},
    ),
    "flat targets": (dense, {"loss": "mse", "metrics": ["mse"]}, (X, Y[:, 0]), {}),
    "split": (
        dense,
        {"loss": "mse", "metrics": ["mae"]},
        (X, Y),
        {"validation_split": 0.3, "batch_size": 8, "validation_batch_size": 4},
    ),
    "split and steps": (
        dense,
        {"loss": "mse"},
        (X, Y),
        {"validation_split": 0.4, "validation_steps": 1, "batch_size": 8, "steps_per_epoch": 2}
        | {"validation_freq": 2},
    ),
    "class weights": (
        dense,
        {"loss": "binary_crossentropy", "metrics": ["acc"], "weighted_metrics": ["accuracy"]},
        (X, CLASSES),
        {"class_weight": {0: 1.0, 1: 3.0}, "validation_split": 0.3, "batch_size": 8},
    ),
    "class weights of rows": (
        normalized,
        {"loss": "categorical_crossentropy"},
        (IMAGES, ONE_HOT),
        {"class_weight": {0: 0.5, 2: 2.0}},
    ),
    "sample weights": (
        dense,
        {"loss": "mse", "metrics": ["mae"], "weighted_metrics": ["mse"]},
        (X, Y),
        {"sample_weight": np.arange(50.0), "batch_size": 7}
        | {"validation_data": (X[:9], Y[:9], np.arange(9.0))},
    ),
    "normalization": (
        normalized,
        {"loss": "categorical_crossentropy", "metrics": ["acc"]},
        (IMAGES, ONE_HOT),
        {"batch_size": 6, "validation_data": (IMAGES, ONE_HOT)},
    ),
    "sparse": (
        normalized,
        {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
        (IMAGES, ONE_HOT.argmax(1)),
        {"batch_size": 6},
    ),
    "dicts": (
        several,
        BOTH
        | {"loss_weights": {"first": 0.5, "second": 2.0}}
        | {"metrics": {"first": ["acc"], "second": ["mae"]}},
        (TWO_IN, TWO_OUT),
        {"batch_size": 7, "validation_data": (TWO_IN, TWO_OUT)},
    ),
    "lists": (
        several,
        {"loss": ["categorical_crossentropy", "mse"], "loss_weights": [1, 0.5]}
        | {"metrics": [["accuracy"], ["mae", "mse"]]},
        ([IMAGES, X[:20]], [ONE_HOT, Y[:20]]),
        {"batch_size": 7, "sample_weight": [np.arange(20.0), np.ones(20)]},
    ),
    "named outputs": (
        named_outputs,
        {"loss": {"mid": "mse", "small": "mae", "tall": "mse"}}
        | {"loss_weights": {"tall": 0.5, "small": 2.0, "mid": 1.0}}
        | {"metrics": {"small": ["mse"], "tall": ["mae"]}},
        (FOUR, {"tall": FOUR[:, :2], "small": FOUR[:, 2:3], "mid": FOUR[:, 1:]}),
        {"batch_size": 7},
    ),
    "an output without loss": (
        several,
        {"loss": {"first": None, "second": "mse"}, "metrics": {"first": ["mae"]}},
        (TWO_IN, TWO_OUT),
        {"batch_size": 7},
    ),
    "epochs": (dense, {"loss": "mse"}, (X, Y), {"initial_epoch": 1, "epochs": 3}),
}


@pytest.mark.parametrize("case", FITS)
def test_training_beside_keras(case, keras):
    """The same names and numbers of every epoch, the same weights, the same judgement after it."""
    make, compiled, data, given = FITS[case]
    given = {"epochs": 2, "verbose": 0, "shuffle": False} | given
    start, found, weights, judged, listed = [], [], [], [], []
    for lib in (keras, fastconv):
        model = make(lib)
        start = start or model.get_weights()
        model.set_weights(start)
        model.compile(sgd(lib), **compiled)
        found.append(model.fit(*data, **given).history)
        weights.append(model.get_weights())
        judged.append(model.evaluate(*data, verbose=0, return_dict=True, batch_size=9))
        listed.append(np.atleast_1d(model.evaluate(*data, verbose=0, batch_size=9)))
        judged[-1] |= model.test_on_batch(*data, return_dict=True)
        judged[-1] |= {
            f"train {k}": v for k, v in model.train_on_batch(*data, return_dict=True).items()
        }
    assert set(found[1]) == set(found[0])
    for name, values in found[0].items():
        assert found[1][name] == pytest.approx(values, rel=1e-10), name
    assert largest_difference(weights[1], weights[0]) <= 1e-10
    assert judged[1] == pytest.approx(judged[0], rel=1e-10)
    np.testing.assert_allclose(listed[1], listed[0], rtol=1e-10)


def test_generators_beside_keras(keras):
    start, found = [], []
    for lib in (keras, fastconv):
        model = dense(lib)
        start = start or model.get_weights()
        model.set_weights(start)
        model.compile(sgd(lib), loss="mse", metrics=["acc"])
        given = {"epochs": 3, "steps_per_epoch": 4, "verbose": 0, "validation_steps": 2}
        history = model.fit(endless(X, Y), validation_data=endless(X[:9], Y[:9]), **given).history
        values = model.evaluate(endless(X, Y), steps=3, verbose=0)
        y = model.predict(((X[i : i + 5],) for i in range(0, 50, 5)), verbose=0)
        assert y.shape == (50, 1)
        found.append((history, values, y, model.get_weights()))
    theirs, ours = found
    assert set(ours[0]) == set(theirs[0]) == {"loss", "acc", "val_loss", "val_acc"}
    for name, values in theirs[0].items():
        assert ours[0][name] == pytest.approx(values, rel=1e-10)
    assert ours[1] == pytest.approx(theirs[1], rel=1e-10)
    assert largest_difference([ours[2], *ours[3]], [theirs[2], *theirs[3]]) <= 1e-10


# ---------------------------------------------------------------------------------- kinds of data


def fitted(x, y=None, **given):
    """Return the history and weights of a small model trained on data in their order."""
    set_random_seed(3)
    model = dense(fastconv)
    model.compile(sgd(fastconv), loss="mse", metrics=["mae"])
    history = model.fit(x, y, epochs=2, verbose=0, shuffle=False, **given)
    return history.history, model.get_weights()


def test_every_kind_of_data_trains_alike():
    want = fitted(X, Y, batch_size=8, validation_data=(X[:16], Y[:16]))
    sequence = Batches(X, Y)
    pairs = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 50, 8)]

    class Data:
        def __iter__(self):
            return iter(pairs)

    weighted = [(*pair, np.ones(len(pair[0]))) for pair in pairs]

    class Weighted:
        def __iter__(self):
            return iter(weighted)

    held = {"validation_data": Batches(X[:16], Y[:16])}
    kinds = [
        fitted(X.tolist(), Y.tolist(), batch_size=8, validation_data=[X[:16], Y[:16]]),
        fitted([X], [Y], batch_size=8, **held),
        fitted(X.astype("float32"), np.asfortranarray(Y), batch_size=8, **held),
        fitted(sequence, **held),
        fitted(Data(), **held),
        fitted(Weighted(), **held),
        fitted(
            endless(X, Y),
            steps_per_epoch=7,
            validation_data=endless(X[:16], Y[:16]),
            validation_steps=2,
        ),
    ]
    assert sequence.ends == 2
    for history, weights in kinds:
        assert set(history) == set(want[0])
        for name, values in want[0].items():
            assert history[name] == pytest.approx(values, rel=1e-6)
        assert largest_difference(weights, want[1]) <= 1e-6


def test_inputs_by_name_in_any_order():
    model = several(fastconv)
    want = model.predict([IMAGES, X[:20]], verbose=0)
    turned = dict(reversed(TWO_IN.items()))
    for got in (model.predict(turned, verbose=0), model.predict(TWO_IN, verbose=0, batch_size=3)):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_shuffling_takes_every_sample_once_an_epoch():
    seen = []

    class Spy(layers.Layer):
        def forward(self, x, training=None):
            if training is not None:
                seen.extend(x[:, 0])
            return x, None

        def backward(self, grad, saved):
            return grad, []

    model = Sequential([layers.Input((1,)), Spy(), layers.Dense(1)])
    model.compile("sgd", loss="mse")
    x = np.arange(40.0)[:, None]
    model.fit(x, x / 100, epochs=2, batch_size=7, verbose=0)
    first, second = seen[:40], seen[40:]
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second != list(range(40))
    seen.clear()
    model.fit(x, x / 100, epochs=1, batch_size=7, verbose=0, shuffle=False)
    assert seen == list(range(40))


def test_nothing_given_is_changed():
    x, y, weights = X.copy(), Y.copy(), np.arange(50.0)
    model = dense(fastconv)
    model.compile("adam", loss="mse")
    model.fit(x, y, sample_weight=weights, epochs=2, verbose=0)
    model.evaluate(x, y, sample_weight=weights, verbose=0)
    model.predict(x, verbose=0)[...] = 7
    layers_alone = Sequential([layers.Input((3,)), layers.Activation("linear")])
    layers_alone.predict(x.astype("float32"), verbose=0)[...] = 7
    assert_same(x, X)
    assert_same(y, Y)
    assert_same(weights, np.arange(50.0))


BAD_DATA = [
    ({"y": None}, ValueError, "y"),
    ({"y": Y[:-1]}, ValueError, "y"),
    ({"y": np.zeros((50, 2))}, ValueError, "y_true"),
    ({"x": X[:, :2]}, ValueError, "inputs"),
    ({"x": np.array([["a"] * 3] * 50)}, TypeError, "x"),
    ({"x": np.zeros((0, 3)), "y": np.zeros((0, 1))}, ValueError, "x"),
    ({"x": [X, X]}, ValueError, "x"),
    ({"x": {"image": X}}, ValueError, "x"),
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"batch_size": 2.5}, TypeError, "batch_size"),
    ({"epochs": 0}, ValueError, "epochs"),
    ({"epochs": "1"}, TypeError, "epochs"),
    ({"verbose": 3}, ValueError, "verbose"),
    ({"verbose": "loud"}, TypeError, "verbose"),
    ({"callbacks": 3}, TypeError, "callbacks"),
    ({"shuffle": "batch"}, TypeError, "shuffle"),
    ({"validation_split": 1.0}, ValueError, "validation_split"),
    ({"validation_split": -0.5}, ValueError, "validation_split"),
    ({"validation_split": 1e-20}, ValueError, "validation_split"),
    ({"validation_data": X}, TypeError, "validation_data"),
    ({"validation_data": (X, Y[:3])}, ValueError, "y"),
    ({"validation_freq": 0}, ValueError, "validation_freq"),
    ({"validation_batch_size": 0, "validation_data": (X, Y)}, ValueError, "batch_size"),
    ({"steps_per_epoch": 0}, ValueError, "steps"),
    ({"sample_weight": np.ones(3)}, ValueError, "sample_weight"),
    ({"class_weight": {0: 1.0}, "sample_weight": np.ones(50)}, ValueError, "class_weight"),
    ({"class_weight": [1, 2]}, TypeError, "class_weight"),
    ({"x": Batches(X, Y)}, ValueError, "y"),
    ({"x": Batches(X, Y), "y": None, "batch_size": 8}, ValueError, "batch_size"),
    ({"x": Batches(X, Y), "y": None, "validation_split": 0.5}, ValueError, "validation_split"),
    ({"x": iter([3.5]), "y": None}, TypeError, "what x yields"),
    ({"x": iter([X]), "y": None}, ValueError, "y"),
    ({"x": iter([]), "y": None}, ValueError, "x"),
]


@pytest.mark.parametrize("number", range(len(BAD_DATA)))
def test_bad_data_is_named_before_a_weight_changes(number):
    given, error, named = BAD_DATA[number]
    model = dense(fastconv)
    model.compile("sgd", loss="mse")
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError)) as caught:
        model.fit(**({"x": X, "y": Y, "verbose": 0} | given))
    assert caught.type is error
    assert named in str(caught.value)
    for a, b in zip(model.get_weights(), before, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"optimizer": "sdg", "loss": "mse"}, ValueError, "optimizer|identifier"),
        ({"optimizer": 3, "loss": "mse"}, TypeError, "optimizer|identifier"),
        ({"loss": "msee"}, ValueError, "loss|identifier"),
        ({"loss": "mse", "metrics": ["accurate"]}, ValueError, "metric|identifier"),
        ({"loss": ["mse", "no such"]}, ValueError, "loss|identifier"),
    ],
)
def test_compile_looks_names_up_at_once(arguments, error, named):
    with pytest.raises(error, match=named):
        dense(fastconv).compile(**arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"loss": ["mse"]}, ValueError, "loss"),
        ({"loss": {"first": "mse"}}, ValueError, "loss"),
        ({"loss": [None, None]}, ValueError, "loss"),
        ({"loss": {"first": "mse", "third": "mse"}}, ValueError, "loss"),
        ({**BOTH, "loss_weights": [1]}, ValueError, "loss_weights"),
        ({**BOTH, "loss_weights": 2.0}, TypeError, "loss_weights"),
        ({**BOTH, "metrics": {"third": ["mae"]}}, ValueError, "metrics"),
        ({**BOTH, "metrics": [metrics.MeanAbsoluteError()]}, ValueError, "metrics"),
        ({}, ValueError, "loss"),
    ],
)
def test_compile_is_checked_by_the_outputs(arguments, error, named):
    model = several(fastconv)
    model.compile("sgd", **arguments)
    with pytest.raises(error, match=f"compile: {named} must be"):
        model.fit(TWO_IN, TWO_OUT, verbose=0)


def test_what_needs_compile_says_so():
    model = dense(fastconv)
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="call compile first"):
            call(X, Y)
    assert not model.compiled


# ---------------------------------------------------------------------------------- repeatable


def run_of(seed, **given):
    set_random_seed(seed)
    model = Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", loss="categorical_crossentropy", metrics=["acc"])
    history = model.fit(IMAGES, ONE_HOT, epochs=3, batch_size=6, verbose=0, **given)
    return history.history, model.get_weights()


def test_a_seed_repeats_a_run_bit_for_bit():
    history, weights = run_of(7, validation_split=0.2)
    again, same = run_of(7, validation_split=0.2)
    assert history == again
    for a, b in zip(weights, same, strict=True):
        assert_same(a, b)
    other, _ = run_of(8, validation_split=0.2)
    assert history["loss"] != other["loss"]


def test_a_seed_holds_for_any_number_of_threads(threads_for_little_work):
    with fastconv.threads(1):
        _, one = run_of(7)
    with fastconv.threads(3):
        _, three = run_of(7)
    for a, b in zip(one[:2], three[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_dropout_s_seed_holds_whatever_else_is_random():
    x = np.ones((12, 40))

    def masks(seed, run):
        set_random_seed(run)
        inputs = layers.Input((40,))
        model = Model(inputs, layers.Dropout(0.5, seed=seed)(inputs))
        model.compile("sgd", loss="mse")
        found = []
        for _ in range(3):
            found.append(model.train_on_batch(x, np.arange(12)[:, None] * x))
            model.predict(x, verbose=0)  # moves nothing
        return [*found, *model.fit(x, x, epochs=2, batch_size=5, verbose=0).history["loss"]]

    assert masks(4, run=1) == masks(4, run=2)
    assert masks(None, run=1) != masks(None, run=2)
    assert masks(4, run=1) != masks(5, run=1)
    assert len(set(masks(4, run=1)[:3])) == 3


def test_calls_in_training_go_on_with_the_seed():
    """As Keras's do: each differs from the one before, and a run repeats them."""
    x = np.ones((12, 40), "float32")

    def run():
        inputs = layers.Input((40,))
        model = Model(inputs, layers.Dropout(0.5, seed=4)(inputs))
        return model, [model(x, training=True) for _ in range(3)]

    (model, first), (_, again) = run(), run()
    assert len({mask.tobytes() for mask in first}) == 3
    for a, b in zip(first, again, strict=True):
        assert_same(a, b)
    assert_same(model(x), x)


def test_a_layer_in_two_models_has_randomness_in_each():
    x = np.ones((12, 40), "float32")
    inputs, dropout = layers.Input((40,)), layers.Dropout(0.5, seed=4)
    one, two = Model(inputs, dropout(inputs)), Model(inputs, dropout(inputs))
    first = [one(x, training=True) for _ in range(3)]
    for mask in first:
        assert_same(two(x, training=True), mask)


# ---------------------------------------------------------------------------------- predict


@pytest.mark.parametrize("make", [inception, several, small_cifar], ids=lambda make: make.__name__)
def test_predict_is_every_sample_on_its_own(make):
    model = make(fastconv)
    rng = generator("predict")
    x = [rng.standard_normal((9, *t.shape[1:])).astype("float32") for t in model.inputs]
    given = x if model.takes_list else x[0]
    whole = model.predict(given, batch_size=9, verbose=0)
    for size in (1, 4, 100):
        parts = model.predict(given, batch_size=size, verbose=0)
        for a, b in zip(parts, whole, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    several_out = isinstance(whole, list)
    at_once = model.predict_on_batch(given)
    for a, b in zip(*((at_once, whole) if several_out else ([at_once], [whole])), strict=True):
        assert_same(a, b)
    some = model.predict(given, batch_size=2, steps=2, verbose=0)
    assert {len(one) for one in (some if several_out else [some])} == {4}


def test_the_memory_of_predict_is_that_of_a_batch():
    model = Sequential([layers.Input((32, 32, 8)), layers.Conv2D(16, 3), layers.MaxPooling2D(2)])
    model.add(layers.GlobalAveragePooling2D())

    def peak(samples):
        x = np.broadcast_to(np.float32(1), (samples, 32, 32, 8))
        tracemalloc.start()
        model.predict(x, batch_size=8, verbose=0)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(8)
    few, many = peak(16), peak(256)
    # a batch's largest array has 8 * 30 * 30 * 16 floats
    assert few > 4 * 8 * 30 * 30 * 16
    assert many - few < 100_000


def test_predict_keeps_no_more_layers_than_it_needs():
    model = Sequential([layers.Input((64, 64, 8)), *(layers.ReLU() for _ in range(12))])
    x = np.zeros((8, 64, 64, 8), "float32")
    model.predict(x, verbose=0)
    tracemalloc.start()
    model.predict(x, verbose=0)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the result, a layer's input and output, and what is on the way between them
    assert found < 6 * x.nbytes


def test_one_model_predicts_in_four_threads():
    model = small_cifar(fastconv, 16)
    rng = generator("threads")
    xs = [rng.standard_normal((10, 16, 16, 3)).astype("float32") for _ in range(4)]
    want = [model.predict(x, batch_size=4, verbose=0) for x in xs]
    got = [[] for _ in xs]
    barrier = threading.Barrier(4)

    def work(i):
        barrier.wait()
        for _ in range(4):
            got[i].append(model.predict(xs[i], batch_size=4, verbose=0))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results, wanted in zip(got, want, strict=True):
        assert len(results) == 4
        for found in results:
            assert_same(found, wanted)


# ---------------------------------------------------------------------------------- words


def test_verbose_0_says_nothing(capfd):
    model = dense(fastconv)
    model.compile("sgd", loss="mse", metrics=["acc"])
    model.fit(X, Y, verbose=0, validation_data=(X, Y))
    model.evaluate(X, Y, verbose=0)
    model.predict(X, verbose=0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [1, 2, "auto", True])
def test_verbose_says_how_it_goes(verbose, capfd):
    model = dense(fastconv)
    model.compile("sgd", loss="mse", metrics=["acc"])
    history = model.fit(X, Y, verbose=verbose, epochs=2, validation_data=(X, Y)).history
    out, err = capfd.readouterr()
    said = out + err
    assert "Epoch 1/2" in said
    assert "Epoch 2/2" in said
    for name, values in history.items():
        assert re.search(rf"{name}[:=] ?{values[-1]:.4f}", said)
    if verbose == 2:
        assert "\r" not in said


def test_callbacks_are_told_in_order():
    told = []

    class Listener(callbacks.Callback):
        def on_train_begin(self, logs=None):
            told.append("train")

        def on_epoch_begin(self, epoch, logs=None):
            told.append(f"epoch {epoch}")

        def on_train_batch_end(self, batch, logs=None):
            told.append((batch, sorted(logs)))

        def on_test_batch_end(self, batch, logs=None):
            told.append(("test", batch))

        def on_epoch_end(self, epoch, logs=None):
            told.append(sorted(logs))
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs=None):
            told.append("end")

    model = dense(fastconv)
    model.compile("sgd", loss="mse")
    model.fit(X[:16], Y[:16], 8, 5, 0, [Listener()], validation_data=(X[:4], Y[:4]))
    epoch = [(0, ["loss"]), (1, ["loss"]), ("test", 0), ["loss", "val_loss"]]
    assert told == ["train", "epoch 0", *epoch, "epoch 1", *epoch, "end"]


def test_an_interrupted_model_is_whole():
    class Interrupt(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3:
                raise KeyboardInterrupt

    model = dense(fastconv)
    model.compile("adam", loss="mse", metrics=["mae"])
    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=5, verbose=0, callbacks=[Interrupt()])
    assert model.optimizer.iterations == 4
    assert all((a != b).any() for a, b in zip(model.get_weights(), before, strict=True))
    y = X.astype("float32")
    for layer in model.layers:
        y = layer(y)
    np.testing.assert_allclose(model.predict(X, verbose=0), y, rtol=1e-5, atol=1e-6)
    history = model.fit(X, Y, batch_size=5, epochs=2, verbose=0).history
    assert len(history["loss"]) == len(history["mae"]) == 2
    assert np.isfinite(history["loss"]).all()


def test_a_model_learns():
    set_random_seed(1)
    x = generator("learn").standard_normal((256, 4)).astype("float32")
    y = (x[:, :1] * x[:, 1:2] > 0).astype("float32")
    model = Sequential([layers.Input((4,)), layers.Dense(32, "relu"), layers.Dense(1, "sigmoid")])
    model.compile(fastconv.optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["acc"])
    history = model.fit(x, y, epochs=60, verbose=0).history
    assert history["acc"][0] < 0.7
    assert history["acc"][-1] > 0.95
    assert model.evaluate(x, y, verbose=0)[1] > 0.95


def test_compile_begins_anew_and_keeps_the_weights():
    model = dense(fastconv)
    model.compile("adam", loss="mse")
    model.fit(X, Y, verbose=0)
    weights = model.get_weights()
    model.compile("sgd", loss="mae", metrics=["mse"])
    for a, b in zip(model.get_weights(), weights, strict=True):
        assert_same(a, b)
    assert list(model.evaluate(X, Y, verbose=0, return_dict=True)) == ["loss", "mse"]
    assert model.metrics_names == ["loss", "mse"]


def test_layers_of_other_dtypes_within_a_model():
    x = layers.Input((3,))
    y = layers.Dense(4, dtype="float64")(layers.Dense(5)(x))
    model = Model(x, layers.Dense(1)(y))
    model.compile("adam", loss="mse")
    model.fit(X, Y, verbose=0)
    names = [w.dtype.name for w in model.get_weights()]
    assert names == ["float32"] * 2 + ["float64"] * 2 + ["float32"] * 2
    assert model.predict(X, verbose=0).dtype == np.float32
