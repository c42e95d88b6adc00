"""Models: graphs, orders and tables beside Keras's, and the networks of the documents."""

import numpy as np
import pytest
from arrays import assert_same, generator
from beside_keras import keras_in, largest_difference
from graphs import (
    GRAPHS,
    cats_and_dogs,
    deep_cifar,
    diagonal,
    nested_twice,
    several,
    shared,
    skip,
    small_cifar,
)

import fastconv
import fastconv.layers
import fastconv.models
from fastconv import layers, ops
from fastconv.layers import Training
from fastconv.models import Model, Sequential
from fastconv.utils import clear_session

NETWORKS = [small_cifar, cats_and_dogs, deep_cifar, diagonal]


@pytest.fixture
def keras():
    with keras_in("float64") as module:
        module.utils.clear_session()
        clear_session()
        yield module


@pytest.fixture
def float64():
    before = fastconv.config.floatx()
    fastconv.config.set_floatx("float64")
    yield
    fastconv.config.set_floatx(before)


def listed(value):
    if isinstance(value, dict):
        return [value[name] for name in sorted(value)]
    return value if isinstance(value, list) else [value]


def inputs_of(model, samples=3):
    """Return random inputs, as the model takes them."""
    rng = generator("inputs")
    arrays = [rng.standard_normal((samples, *t.shape[1:])).astype(t.dtype) for t in model.inputs]
    return arrays if model.takes_list else arrays[0]


def randomized(model):
    """Give a model random weights; its variances are above 0."""
    rng = generator("weights")
    model.set_weights(
        [
            rng.uniform(0.5, 2, v.shape) if "variance" in v.name else rng.normal(0, 0.5, v.shape)
            for v in model.weights
        ]
    )
    return model


def summary_of(model, *arguments, **keywords):
    """Return the lines of a summary below the model's name."""
    said = []
    model.summary(*arguments, print_fn=said.append, **keywords)
    return "\n".join(said).splitlines()[1:]


# ---------------------------------------------------------------------------------- sequential


def small():
    return [
        layers.Conv2D(3, 2, activation="relu", name="conv"),
        layers.Flatten(name="flat"),
        layers.Dense(2, name="dense"),
    ]


def test_every_way_to_begin():
    shape = (5, 6, 2)
    conv = {"filters": 3, "kernel_size": 2, "activation": "relu", "name": "conv"}
    models = [
        Sequential([layers.Input(shape), *small()]),
        Sequential([layers.InputLayer(shape), *small()]),
        Sequential([layers.Conv2D(**conv, input_shape=shape), *small()[1:]]),
        Sequential([layers.Conv2D(**conv, batch_input_shape=(None, *shape)), *small()[1:]]),
    ]
    added = Sequential()
    for layer in [layers.Input(shape), *small()]:
        added.add(layer)
    built = Sequential(small())
    built.build((None, *shape))
    fed = Sequential(small())
    fed.predict(np.zeros((1, *shape)), verbose=0)
    called = Sequential(small())
    called(np.zeros((1, *shape)))
    inside = Sequential([Sequential([layers.Input(shape), *small()[:1]]), *small()[1:]])
    x = generator("begin").standard_normal((4, *shape)).astype("float32")
    for model in [*models, added, built, fed, called, inside]:
        randomized(model)
        assert model.built
        assert model.input_shape == (None, *shape)
        assert model.output_shape == (None, 2)
        assert [type(layer).__name__ for layer in model.layers][1:] == ["Flatten", "Dense"]
        assert_same(model.predict(x, verbose=0), models[0].predict(x, verbose=0))


def test_a_number_of_samples_is_shown_and_kept_but_does_not_bind(keras):
    shape = (5, 6, 2)
    for lib in (keras, fastconv):
        L, Sequential = lib.layers, lib.models.Sequential
        built = Sequential([L.Flatten(), L.Dense(2)])
        built.build((4, *shape))
        for model in (
            Sequential([L.Input(shape, batch_size=4), L.Flatten(), L.Dense(2)]),
            Sequential([L.InputLayer(batch_shape=(4, *shape)), L.Flatten(), L.Dense(2)]),
            built,
        ):
            assert (tuple(model.input_shape), tuple(model.output_shape)) == ((4, *shape), (4, 2))
            again = lib.models.Sequential.from_config(model.get_config())
            assert tuple(again.output_shape) == (4, 2)
            assert "(4, 60)" in "".join(summary_of(model, 80))
            for samples in (1, 4, 6):  # as few as a last batch has, and more
                x = np.ones((samples, *shape))
                assert model.predict(x, verbose=0).shape == (samples, 2)
                model.compile("sgd", loss="mse")
                model.fit(x, np.ones((samples, 2)), verbose=0)
    first = layers.Conv2D(3, 2, batch_input_shape=(4, *shape))
    assert Sequential([first]).output_shape == (4, 4, 5, 3)


def test_a_deferred_model_has_no_weights_yet():
    model = Sequential(small(), name="later")
    assert not model.built
    for call in (model.get_weights, lambda: model.set_weights([]), model.count_params):
        with pytest.raises(ValueError, match="later"):
            call()
    assert model.weights == []
    model.summary(print_fn=lambda text: None)
    with pytest.raises(ValueError, match="conv: inputs must be"):
        model.predict(np.zeros((2, 3)), verbose=0)
    assert not model.built
    assert model.predict(np.zeros((2, 4, 4, 1)), verbose=0).shape == (2, 2)
    with pytest.raises(ValueError, match="later: inputs must be of shape"):
        model.predict(np.zeros((2, 4, 5, 1)), verbose=0)


def test_pop_and_add_keep_the_weights():
    model = Sequential([layers.Input((4, 4, 1)), *small()])
    before = model.get_weights()
    last = model.pop()
    assert last.name == "dense"
    assert model.output_shape == (None, 27)
    assert len(model.get_weights()) == 2
    model.add(last)
    for a, b in zip(model.get_weights(), before, strict=True):
        assert_same(a, b)
    model.add(layers.Dense(5, name="more"))
    assert model.output_shape == (None, 5)
    for _ in range(4):
        model.pop()
    with pytest.raises(TypeError, match="there is no layer"):
        model.pop()


def test_a_refused_layer_leaves_the_model_as_it_was():
    model = Sequential([layers.Input((4, 4, 1)), *small()])
    x = np.ones((2, 4, 4, 1), "float32")
    want = model.predict(x, verbose=0)
    for bad, error in [
        (layers.Conv2D(2, 3), ValueError),
        (layers.Dense(2, name="flat"), ValueError),
        (layers.Input((3,)), ValueError),
        (layers.Add(), TypeError),
        ("Dense", TypeError),
        (layers.Dense, TypeError),
        (layers.Dense(2)(layers.Input((3,))), TypeError),
    ]:
        with pytest.raises(error):
            model.add(bad)
        assert_same(model.predict(x, verbose=0), want)
    begun = Sequential()
    with pytest.raises(ValueError, match="fits x"):
        begun.add(layers.Conv2D(2, 9, input_shape=(3, 3, 1)))
    begun.add(layers.Conv2D(2, 9, input_shape=(13, 13, 1)))
    assert begun.output_shape == (None, 5, 5, 2)


@pytest.mark.parametrize("begin", [[], [layers.Input((3,))]])
def test_a_model_without_layers(begin):
    model = Sequential(begin, name="empty")
    with pytest.raises(ValueError, match="empty: there is no layer"):
        model.predict(np.zeros((1, 3)), verbose=0)


# ---------------------------------------------------------------------------------- graphs


@pytest.mark.parametrize("make", GRAPHS + NETWORKS, ids=lambda make: make.__name__)
def test_graphs_beside_keras(make, keras, monkeypatch):
    """The same layers in the same order, the same tables, the same outputs."""
    monkeypatch.setenv("COLUMNS", "200")
    theirs, ours = make(keras), make(fastconv)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    assert [v.shape for v in ours.weights] == [tuple(v.shape) for v in theirs.weights]
    for width in (None, 60, 71, 88, 103, 120):
        for more in ({}, {"expand_nested": True}, {"show_trainable": True}):
            assert summary_of(ours, width, **more) == summary_of(theirs, width, **more)
    if make in NETWORKS[1:3]:
        return  # their outputs are compared where they are trained
    theirs.set_weights(randomized(ours).get_weights())
    x = inputs_of(ours)
    got, want = ours.predict(x, verbose=0), theirs.predict(x, verbose=0)
    assert type(got) is type(want)
    assert largest_difference(listed(got), listed(want)) <= 1e-12


def test_a_summary_counts_what_is_frozen_and_what_the_optimizer_keeps(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = []
    with keras_in("float32") as keras:
        keras.utils.clear_session()
        clear_session()
        for lib in (keras, fastconv):
            model = small_cifar(lib, 8)
            model.add(lib.layers.BatchNormalization())
            model.layers[0].trainable = False
            model.compile("adam", loss="categorical_crossentropy")
            model.train_on_batch(np.zeros((2, 8, 8, 3)), np.eye(10)[:2])
            said.append(summary_of(model, 80, show_trainable=True))
    assert said[0] == said[1]
    assert "Optimizer params" in said[0][-1]


def test_a_summary_is_printed(capsys):
    model = Sequential([layers.Dense(2, input_shape=(3,), name="dense")], name="net")
    assert model.summary(60) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Model: "net"'
    assert {len(line) for line in lines[1:6]} == {60}
    assert "dense (Dense)" in lines[4]
    assert "(None, 2)" in lines[4]


@pytest.mark.parametrize("make", [*GRAPHS, diagonal], ids=lambda make: make.__name__)
def test_gradients_of_graphs_are_those_of_differences(make, float64):
    model = randomized(make(fastconv))
    x = inputs_of(model)

    def training():
        return Training(np.random.default_rng(3))

    outputs, saved = model.forward(x, training())
    rng = generator("directions")
    weightings = [rng.standard_normal(y.shape) for y in listed(outputs)]
    given = [w.copy() for w in weightings]
    grads, found = model.backward(given if isinstance(outputs, list) else given[0], saved)

    def value():
        outputs = listed(model.forward(x, training())[0])
        return sum(float((y * w).sum()) for y, w in zip(outputs, weightings, strict=True))

    pairs = [(a, g) for a, g in zip(listed(x), listed(grads), strict=True) if g is not None]
    variables = model.trainable_weights
    pairs += [(v.value, g) for v, g in zip(variables, found, strict=True)]
    assert len(pairs) > len(variables)
    for array, grad in pairs:
        assert grad.shape == array.shape
        direction = rng.standard_normal(array.shape)
        before = array.copy()
        array += 1e-6 * direction
        high = value()
        array[...] = before - 1e-6 * direction
        low = value()
        array[...] = before
        want = (high - low) / 2e-6
        assert float((grad * direction).sum()) == pytest.approx(want, rel=1e-6, abs=1e-6)
    alone = model.weight_gradients(given if isinstance(outputs, list) else given[0], saved)
    for a, b in zip(alone, found, strict=True):
        assert_same(a, b)


def test_gradients_of_a_shared_layer_add():
    model = randomized(shared(fastconv))
    twin = model.get_layer("twin")
    x = inputs_of(model)
    y, saved = model.forward(x, Training())
    grad = np.ones_like(y)
    whole = model.weight_gradients(grad, saved)[0]
    # the same graph, with a layer of its own for each of the three calls
    a, b = layers.Input((4,)), layers.Input((4,))
    dense = [layers.Dense(4, activation="tanh") for _ in range(3)]
    joined = layers.Concatenate()([dense[0](a), dense[2](dense[1](b))])
    apart = Model([a, b], layers.Dense(1)(joined))
    for layer in dense:
        layer.set_weights(twin.get_weights())
    apart.layers[-1].set_weights(model.layers[-1].get_weights())
    y, saved = apart.forward(x, Training())
    by_name = dict(
        zip((v.path for v in apart.weights), apart.backward(grad, saved)[1], strict=True)
    )
    parts = sum(by_name[f"{layer.name}/kernel"] for layer in dense)
    np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-6)


def test_a_layer_keeps_one_set_of_weights_in_two_models():
    x = layers.Input((3,))
    dense = layers.Dense(2)
    y = dense(x)
    one, two = Model(x, y), Model(x, layers.ReLU()(y))
    one.compile("sgd", loss="mse")
    before = two.get_weights()
    one.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    assert (two.get_weights()[0] != before[0]).any()
    assert_same(two.get_weights()[0], one.get_weights()[0])


def test_every_inner_output():
    """`Model(model.input, layer.output)`, and predict, is computing layer by layer."""
    model = randomized(small_cifar(fastconv, 16))
    x = inputs_of(model, 5)
    y = x
    for layer in model.layers:
        y = layer(y)
        inner = Model(inputs=model.input, outputs=layer.output)
        got = inner.predict(x, verbose=0)
        assert got.shape == (5, *inner.output_shape[1:])
        np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-5)
    both = Model(model.input, [layer.output for layer in model.layers[:3]])
    assert [o.shape[1:] for o in both.predict(x, verbose=0)] == [
        layer.output.shape[1:] for layer in model.layers[:3]
    ]


def test_a_model_from_an_inner_tensor_on():
    model = randomized(skip(fastconv))
    first = model.layers[1]
    tail = Model(first.output, model.layers[2].output)
    x = inputs_of(model)
    middle = Model(model.input, first.output).predict(x, verbose=0)
    want = Model(model.input, model.layers[2].output).predict(x, verbose=0)
    assert_same(tail.predict(middle, verbose=0), want)
    assert [v.path for v in tail.weights] == [v.path for v in model.layers[2].weights]


def test_models_within_models():
    model = randomized(nested_twice(fastconv))
    inner = model.get_layer("pair")
    x, y = inputs_of(model)
    first, second = inner.predict([x, y], verbose=0)
    third = inner.predict([second, first], verbose=0)[0]
    assert_same(model.predict([x, y], verbose=0), np.concatenate([third, first], axis=1))
    assert model.count_params() == inner.count_params() == 24


def test_a_frozen_model_stays_as_it_is_within_another():
    x = layers.Input((3,))
    body = Model(x, layers.BatchNormalization()(layers.Dense(4)(x)), name="body")
    head = layers.Dense(1)
    model = Sequential([layers.Input((3,)), body, head])
    assert len(model.trainable_weights) == 6
    body.trainable = False
    assert model.trainable_weights == head.trainable_weights
    model.compile("sgd", loss="mse")
    before, before_head = body.get_weights(), head.get_weights()
    x = generator("frozen").normal(5, 1, (20, 3))
    model.fit(x, np.zeros((20, 1)), verbose=0)
    for a, b in zip(body.get_weights(), before, strict=True):
        assert_same(a, b)
    assert (head.get_weights()[0] != before_head[0]).any()
    body.trainable = True
    assert len(model.trainable_weights) == 6
    assert Model(body.input, body.output, trainable=False).trainable_weights == []


def test_get_layer():
    model = small_cifar(fastconv)
    assert model.get_layer(index=0) is model.layers[0]
    assert model.get_layer(index=-1) is model.layers[-1]
    name = model.layers[4].name
    assert model.get_layer(name) is model.get_layer(name=name) is model.layers[4]
    for arguments, error in [
        ({}, TypeError),
        ({"name": name, "index": 4}, TypeError),
        ({"name": "missing"}, ValueError),
        ({"index": 9}, ValueError),
        ({"index": 0.5}, TypeError),
    ]:
        with pytest.raises(error, match="get_layer: "):
            model.get_layer(**arguments)


def test_wrong_weights_change_nothing():
    model = randomized(several(fastconv))
    before = model.get_weights()
    good = [np.zeros_like(w) for w in before]
    for bad in (good[:-1], [*good[:-1], np.zeros(7)], [*good, 0], [*good[:-1], np.array(["a"])]):
        with pytest.raises(ValueError, match="weights must be"):
            model.set_weights(bad)
        for a, b in zip(model.get_weights(), before, strict=True):
            assert_same(a, b)


def test_a_deep_graph_is_no_trouble():
    x = y = layers.Input((2,))
    for _ in range(2000):
        y = layers.Activation("linear")(y)
    model = Model(x, y)
    assert len(model.layers) == 2001
    assert_same(model.predict(np.ones((1, 2)), verbose=0), np.ones((1, 2), "float32"))


def test_bad_graphs():
    x, other = layers.Input((3,), name="x"), layers.Input((3,), name="other")
    y = layers.Dense(2, name="same")(x)
    z = layers.Dense(2, name="same")(y)
    joined = layers.Add()([x, other])
    for arguments, error, text in [
        ((x, joined), ValueError, "'other'"),
        ((x, z), ValueError, "'same' twice"),
        ((x, []), TypeError, "outputs"),
        ((x, np.zeros(3)), TypeError, "outputs"),
        ((layers.Dense(2), y), TypeError, "inputs"),
    ]:
        with pytest.raises(error, match="Model: ") as caught:
            Model(*arguments)
        assert text in str(caught.value)


def test_bad_inputs_are_named():
    model = several(fastconv)
    image, number = inputs_of(model)
    for x, error in [
        (image, ValueError),
        ([image], ValueError),
        ([number, image], ValueError),
        ([image, number[:2]], ValueError),
        ({"image": image}, ValueError),
        ({"image": image, "numbers": number}, ValueError),
        ([image, np.array([["a"] * 3] * 3)], TypeError),
        (None, ValueError),
        (3, ValueError),
    ]:
        with pytest.raises(error, match=r"(predict|functional\w*): (x|inputs) must be"):
            model.predict(x, verbose=0)


# ---------------------------------------------------------------------------------- documents


@pytest.mark.parametrize(
    ("shape", "layer", "arguments", "out", "count"),
    [
        ((200, 200, 1), "Conv2D", (16, 2, 2), (None, 100, 100, 16), 80),
        ((200, 200, 1), "Conv2D", (16, 4, 2), (None, 99, 99, 16), 272),
        ((200, 200, 1), "Conv2D", (32, 2, 2), (None, 100, 100, 32), 160),
        ((480, 480, 3), "Conv2D", (16, 2, 2), (None, 240, 240, 16), 208),
        ((128, 128, 3), "Conv2D", (32, 3, 2, "same"), (None, 64, 64, 32), 896),
        ((100, 100, 15), "MaxPooling2D", (2, 2), (None, 50, 50, 15), 0),
    ],
)
def test_the_arithmetic_of_single_layers(shape, layer, arguments, out, count):
    model = Sequential()
    model.add(getattr(layers, layer)(*arguments, input_shape=shape))
    assert model.output_shape == out
    assert model.count_params() == count
    assert model.predict(np.zeros((1, *shape)), verbose=0).shape[1:] == out[1:]
    rows = summary_of(model, 88)
    assert str(out) in rows[3]
    assert f"{count:,} │" in rows[3]
    assert f" Total params: {count:,} " in rows[-3]


# A network, its layers' outputs, their parameters, and all of these together.
DOCUMENTED = [
    (
        small_cifar,
        "32x32x16 16x16x16 16x16x32 8x8x32 8x8x64 4x4x64 1024 500 10",
        [208, 0, 2080, 0, 8256, 0, 0, 512500, 5010],
        528_054,
    ),
    (
        cats_and_dogs,
        "148x148x16 74x74x16 72x72x32 36x36x32 34x34x32 17x17x32 9248 9248 512 1",
        [448, 0, 4640, 0, 9248, 0, 0, 0, 4735488, 513],
        4_750_337,
    ),
    (
        deep_cifar,
        "32x32x128 16x16x128 14x14x128 7x7x128 7x7x128 6x6x64 6x6x64 5x5x32 5x5x32 4x4x32 4x4x32"
        " 4x4x32 512 64 10",
        [3584, 0, 147584, 0, 0, 32832, 0, 8224, 0, 4128, 0, 0, 0, 32832, 650],
        229_834,
    ),
]


@pytest.mark.parametrize(("make", "shapes", "counts", "total"), DOCUMENTED)
def test_the_networks_of_the_documents(make, shapes, counts, total):
    model = make(fastconv)
    found = ["x".join(map(str, layer.output.shape[1:])) for layer in model.layers]
    assert found == shapes.split()
    assert [layer.count_params() for layer in model.layers] == counts
    assert model.count_params() == total
    assert f" Total params: {total:,} " in summary_of(model)[-3]


CONV = [
    [4.1, 2.1, 0.1, 0.1, 0.1],
    [2.1, 0.1, -1.9, 0.1, 0.1],
    [0.1, -1.9, -3.9, -1.9, 0.1],
    [0.1, 0.1, -1.9, 0.1, 2.1],
]


def diagonal_by_graph(lib):
    x = lib.layers.Input((1, 5, 6), name="input")
    y = lib.layers.Conv2D(3, (2, 2), data_format="channels_first", name="conv_1")(x)
    y = lib.layers.Activation("relu", name="relu_1")(y)
    y = lib.layers.MaxPooling2D((2, 2), name="max_pool_1")(y)
    y = lib.layers.Flatten(name="flat")(y)
    y = lib.layers.Dense(1, name="dense_2")(y)
    y = lib.layers.Activation("sigmoid", name="sigmoid_2")(y)
    return lib.models.Model(inputs=x, outputs=y)


@pytest.mark.parametrize("make", [diagonal, diagonal_by_graph])
def test_the_diagonal_image_layer_by_layer(make):
    model = make(fastconv)
    image = np.zeros((1, 1, 5, 6))
    image[0, 0, range(5), range(5)] = 1, 1, -1, -1, 1
    kernel = np.full((2, 2, 1, 3), 2.0)
    model.set_weights([kernel, np.full(3, 0.1), np.ones((10, 1)), np.full(1, 0.1)])
    hidden = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    assert len(hidden) == 6
    found = {
        layer.name: Model(inputs=model.input, outputs=layer.output).predict(image, verbose=0)
        for layer in hidden
    }
    conv = np.broadcast_to(np.array(CONV, "float32"), (1, 3, 4, 5))
    np.testing.assert_allclose(found["conv_1"], conv, atol=1e-6)
    np.testing.assert_allclose(found["relu_1"], np.maximum(conv, 0), atol=1e-6)
    # the pool takes channels for rows: it looks at two channels of three, and two rows of four
    pooled = [[[[4.1, 2.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0, 0.1, 2.1]]]]
    np.testing.assert_allclose(found["max_pool_1"], pooled, atol=1e-6)
    np.testing.assert_allclose(found["flat"], np.reshape(pooled, (1, 10)), atol=1e-6)
    total = 0.1 + np.sum(pooled)
    np.testing.assert_allclose(found["dense_2"], [[total]], atol=1e-5)
    np.testing.assert_allclose(found["sigmoid_2"], [[1 / (1 + np.exp(-total))]], atol=1e-6)
    shapes = [(3, 4, 5), (3, 4, 5), (1, 2, 5), (10,), (1,), (1,)]
    assert [layer.output.shape[1:] for layer in hidden] == shapes
    assert [layer.count_params() for layer in hidden] == [15, 0, 0, 0, 11, 0]
    assert model.count_params() == 26


# ---------------------------------------------------------------------------------- calls


@pytest.mark.parametrize("deferred", [False, True])
def test_a_model_rounds_to_no_smaller_dtype_than_its_layers(deferred):
    """In float64 within a process of float32: called on arrays, and within another model."""
    begin = [] if deferred else [layers.Input((3,), dtype="float64")]
    dense = layers.Dense(2, dtype="float64")
    model = Sequential([*begin, dense])
    x = generator("float64").standard_normal((4, 3))
    y = model(x)
    want = x @ dense.get_weights()[0] + dense.get_weights()[1]
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, want, rtol=1e-14, atol=1e-15)
    assert_same(model.predict(x, verbose=0), y)
    outer = Sequential([layers.Input((3,), dtype="float64"), model])
    assert_same(outer.predict(x, verbose=0), y)
    assert_same(outer(x), y)


def named(lib):
    """Return a model of two inputs and two outputs with names, not in their order."""
    x, other = lib.layers.Input((3,), name="wide"), lib.layers.Input((2,), name="narrow")
    both = lib.layers.Concatenate()([x, other])
    ends = {"tall": lib.layers.Dense(4, name="c")(both), "small": lib.layers.Dense(1, name="d")(x)}
    return lib.models.Model({"wide": x, "narrow": other}, ends)


NAMED = {"narrow": np.eye(2)[[0, 1, 1, 0, 1]], "wide": np.arange(15.0).reshape(5, 3)}


def test_dicts_of_inputs_and_outputs_are_keras_s(keras):
    found = []
    for lib in (keras, fastconv):
        model = named(lib)
        found.append(model)
        assert set(model.input) == {"wide", "narrow"}
        assert {name: tuple(t.shape) for name, t in model.output.items()} == {
            "tall": (None, 4),
            "small": (None, 1),
        }
        assert list(map(tuple, model.output_shape)) == [(None, 1), (None, 4)]
        shapes = {"wide": (None, 3), "narrow": (None, 2)}
        assert model.compute_output_shape(shapes) == {"tall": (None, 4), "small": (None, 1)}
    theirs, ours = found
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    theirs.set_weights(randomized(ours).get_weights())
    want = theirs.predict(NAMED, verbose=0)
    for got in (
        ours.predict(NAMED, verbose=0),
        ours.predict(NAMED, batch_size=2, verbose=0),
        ours.predict([NAMED["narrow"], NAMED["wide"]], verbose=0),  # by the order of names
        ours.predict_on_batch(NAMED),
        ours(NAMED),
        ours(NAMED, training=True),
    ):
        assert type(got) is type(want) is dict
        assert sorted(got) == sorted(want)
        for name, array in got.items():
            np.testing.assert_allclose(array, want[name], rtol=1e-12)
    assert summary_of(ours, 80) == summary_of(theirs, 80)


def test_a_model_with_names_within_another(keras):
    outer = []
    for lib in (keras, fastconv):
        inner = named(lib)
        x, y = lib.layers.Input((3,)), lib.layers.Input((2,))
        made = inner({"narrow": y, "wide": x})
        assert {name: tuple(t.shape) for name, t in made.items()} == {
            "tall": (None, 4),
            "small": (None, 1),
        }
        outer.append(lib.models.Model([x, y], lib.layers.Dense(2)(made["tall"])))
    theirs, ours = outer
    theirs.set_weights(randomized(ours).get_weights())
    x = inputs_of(ours)
    np.testing.assert_allclose(
        ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-12, atol=1e-14
    )


def test_a_dict_of_one_output_is_a_dict():
    x = layers.Input((3,))
    model = Model(x, {"only": layers.Dense(2)(x)})
    assert list(model.predict(NAMED["wide"], verbose=0)) == ["only"]
    last = Sequential([layers.Input((3,)), model])
    assert list(last(NAMED["wide"])) == ["only"]
    model.compile("sgd", loss={"only": "mse"}, metrics={"only": ["mae"]})
    history = model.fit(NAMED["wide"], {"only": np.ones((5, 2))}, verbose=0).history
    assert sorted(history) == ["loss", "mae"]


def test_names_are_texts():
    x = layers.Input((3,))
    for bad in ({1: x}, {"a": x, None: x}, {"a": [x]}, {}):
        with pytest.raises(TypeError, match="Model: outputs must be"):
            Model(x, bad)


def test_a_model_is_called_on_what_it_is_fed_with():
    model = several(fastconv)
    image, number = inputs_of(model)
    want = model.predict([image, number], verbose=0)
    for given in ([image, number], (image, number), {"number": number, "image": image}):
        for a, b in zip(model(given), want, strict=True):
            assert_same(a, b)
    for bad in ({"image": image}, {"image": image, "numbers": number}, [image], image):
        with pytest.raises((ValueError, TypeError), match="inputs must be"):
            model(bad)
    single = layers.Input((3,), name="single")
    model = Model([single], layers.Dense(2)(single))
    for given in (number, [number], {"single": number}):
        assert_same(model(given), model.predict(number, verbose=0))
    tensor = layers.Input((3,))
    assert model(tensor).shape == (None, 2)


@pytest.mark.parametrize("activation", ["relu", "tanh", None])
def test_predict_prepares_convolutions(activation, monkeypatch):
    """Weights are packed once a call, and the outputs are those of `forward`, bit by bit."""
    inner = Sequential([layers.Conv2D(8, 3, activation=activation, input_shape=(9, 9, 4))])
    model = Sequential([inner, layers.Conv2D(5, 2, groups=1), layers.Flatten()])
    x = np.random.default_rng(5).standard_normal((21, 9, 9, 4)).astype(np.float32)
    want = model.forward(x)[0]
    prepared, real = [], ops.prepare_conv2d
    monkeypatch.setattr(ops, "prepare_conv2d", lambda *a, **k: prepared.append(a) or real(*a, **k))
    np.testing.assert_array_equal(model.predict(x, batch_size=4, verbose=0), want)
    assert len(prepared) == 2


def test_predict_calls_what_a_subclass_defines():
    class Doubled(layers.Conv2D):
        def forward(self, x, training=None):
            y, saved = super().forward(x, training)
            return 2 * y, saved

    model = Sequential([Doubled(3, 2, input_shape=(5, 5, 2))])
    x = np.random.default_rng(6).standard_normal((3, 5, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.forward(x)[0])
