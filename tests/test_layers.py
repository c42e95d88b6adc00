"""Layers beside Keras's in float64, and their gradients beside differences; weights, errors."""

import json
import pickle
import threading

import numpy as np
import pytest
from arrays import LAYOUTS, assert_same, generator
from beside_keras import as_numpy, keras_in, largest_difference, plain
from layer_cases import CASES, FORMATS, KINDS, LayerCase

import fastconv
import fastconv.layers
from fastconv import config, layers, models
from fastconv.layers import Training
from fastconv.utils import clear_session

ALL = pytest.mark.parametrize("case", CASES, ids=str)
# One of each class, with weights where it has any.
ONE_OF_EACH = [next(case for case in CASES if case.kind == kind) for kind in KINDS]
EACH = pytest.mark.parametrize("case", ONE_OF_EACH, ids=str)


@pytest.fixture
def keras():
    with keras_in("float64") as module:
        yield module


def listed(value):
    return value if isinstance(value, list) else [value]


def training():
    """Return what a step of training hands down; the same randomness each time."""
    return Training(np.random.default_rng(5))


def copies(value):
    return [array.copy() for array in listed(value)]


def theirs_of(keras, case, layer):
    """Return Keras's layer with our weights."""
    theirs = getattr(keras.layers, case.kind)(**case.keywords)
    theirs.build(case.symbolic_shape())
    theirs.set_weights(layer.get_weights())
    return theirs


def in_keras(theirs, x, **keywords):
    torch = pytest.importorskip("torch", reason="Keras runs on PyTorch here")
    tensors = [torch.from_numpy(array) for array in listed(x)]
    return as_numpy(theirs(tensors if isinstance(x, list) else tensors[0], **keywords))


# ---------------------------------------------------------------------------------- outputs


def test_every_layer_has_a_case():
    classes = {
        cls.__name__
        for cls in vars(layers).values()
        if isinstance(cls, type) and issubclass(cls, layers.Layer)
    }
    assert classes - {"Layer", "InputLayer"} == set(KINDS)


@ALL
def test_the_shape_is_known_before_the_data(case):
    layer = case.layer()
    y = layer(case.x())
    assert layer.compute_output_shape(case.symbolic_shape()) == (None, *y.shape[1:])
    shapes = listed(case.sample_shape)
    inputs = [layers.Input(shape, dtype="float64") for shape in shapes]
    fresh = case.layer(built=False)
    tensor = fresh(inputs if case.several else inputs[0])
    assert tensor.shape == (None, *y.shape[1:])
    assert fresh.built
    assert [v.shape for v in fresh.weights] == [v.shape for v in layer.weights]


@ALL
def test_a_number_of_samples_stays(case):
    shape = case.symbolic_shape()
    given = [(6, *one[1:]) for one in shape] if case.several else (6, *shape[1:])
    samples, *sizes = case.layer().compute_output_shape(given)
    joins = case.kind == "Concatenate" and case.layer().axis == 0
    assert samples == (6 * len(shape) if joins else 6)
    assert sizes == list(case.layer().compute_output_shape(shape)[1:])


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.data_format and case.kind != "Flatten"], ids=str
)
def test_sizes_may_be_unknown(case):
    """Images of any size: what is not known stays so, and what is known is right."""
    layer = case.layer()
    y = layer(case.x())
    shape = list(case.symbolic_shape())
    rows = 1 if case.data_format == "channels_last" else 2
    shape[rows] = None
    want = [None, *y.shape[1:]]
    if y.ndim == 4 and not case.kind.startswith("Global"):
        want[rows] = None
    assert layer.compute_output_shape(tuple(shape)) == tuple(want)


# A dropout's randomness is its own; on PyTorch Keras counts the repeated edges of an average's
# padding as elements: tests below.
COMPARED = [
    (case, trains)
    for case in CASES
    for trains in (False, True)
    if not (case.kind == "Dropout" and trains)
    and not (case.kind == "AveragePooling2D" and "padding" in case.arguments)
]


@pytest.mark.parametrize(("case", "trains"), COMPARED, ids=str)
def test_outputs_are_those_of_keras(case, trains, keras):
    layer, x = case.layer(), case.x()
    theirs = theirs_of(keras, case, layer)
    for _ in range(2 if trains else 1):  # moving averages move twice
        want = in_keras(theirs, x, training=trains)
        got = layer(x, training=trains)
        assert got.dtype == want.dtype == np.float64
        assert largest_difference([got], [want]) <= 1e-12
    if layer.weights:
        assert largest_difference(layer.get_weights(), theirs.get_weights()) <= 1e-12


@pytest.mark.parametrize("data_format", FORMATS)
def test_padding_does_not_count_in_an_average(data_format):
    x = generator("average").standard_normal((2, 7, 6, 4))
    padded = np.full((2, 9, 7, 4), np.nan)  # 7 + 2 rows, 6 + 1 columns
    padded[:, 1:-1, :-1] = x
    want = np.array(
        [
            [np.nanmean(padded[:, i : i + 3, j : j + 3], axis=(1, 2)) for j in range(0, 5, 2)]
            for i in range(0, 7, 2)
        ]
    ).transpose(2, 0, 1, 3)
    layer = layers.AveragePooling2D(3, 2, "same", data_format=data_format, dtype="float64")
    if data_format == "channels_first":
        x, want = x.transpose(0, 3, 1, 2), want.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(layer(x), want, rtol=1e-14, atol=1e-15)


@EACH
def test_float32_is_rounded_float64(case):
    exact, single = case.layer(), case.layer("float32")
    single.set_weights(exact.get_weights())
    if case.kind == "Dropout":
        exact.rate = single.rate = 0.4
    x = case.x()
    want = exact(x, training())
    for given in (x, [a.astype("float32") for a in x] if case.several else x.astype("float32")):
        got = single(given, training())
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@EACH
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "C"])
def test_inputs_in_any_layout(case, layout):
    layer, x = case.layer("float32"), case.x(dtype="float32")
    want = layer(x)
    laid = [LAYOUTS[layout](array) for array in listed(x)]
    got = layer(laid if case.several else laid[0])
    # a matrix product and a mean may add in another order
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)


@EACH
def test_integers_and_lists_become_floats(case):
    layer = case.layer("float32")
    rng = generator(case)
    x = [rng.integers(-9, 9, array.shape) for array in listed(case.zeros(2))]
    want = layer([a.astype("float32") for a in x] if case.several else x[0].astype("float32"))
    assert want.dtype == np.float32
    assert_same(layer(x if case.several else x[0]), want)
    assert_same(layer([a.tolist() for a in x] if case.several else x[0].tolist()), want)


@ALL
def test_an_empty_batch(case):
    layer, x = case.layer(), case.zeros(0)
    shape = layer(case.zeros(1)).shape[1:]
    assert layer(x).shape == (0, *shape)
    if case.kind == "BatchNormalization":
        return  # nothing has no mean
    y, saved = layer.forward(x, training())
    grad_x, grad_weights = layer.backward(np.zeros_like(y), saved)
    assert [g.shape for g in listed(grad_x)] == [a.shape for a in listed(x)]
    for grad, weight in zip(grad_weights, layer.trainable_weights, strict=True):
        assert_same(grad, np.zeros(weight.shape))


# ---------------------------------------------------------------------------------- gradients


def directional(function, array, direction, step=1e-6):
    """Return the central difference of a number along a direction; `array` is changed meanwhile."""
    before = array.copy()
    array += step * direction
    high = function()
    array[...] = before - step * direction
    low = function()
    array[...] = before
    return (high - low) / (2 * step)


@ALL
def test_gradients_are_those_of_differences(case):
    layer, x = case.layer(), case.x()
    rng = generator(f"directions of {case}")
    y, saved = layer.forward(x, training())
    weighting = rng.standard_normal(y.shape)
    grad_x, grad_weights = layer.backward(weighting.copy(), saved)

    def value():
        return float((layer.forward(x, training())[0] * weighting).sum())

    variables = [v for v in layer.variables if v.trainable]
    assert len(grad_weights) == len(variables)
    pairs = [*zip(listed(x), listed(grad_x), strict=True)]
    pairs += [(v.value, grad) for v, grad in zip(variables, grad_weights, strict=True)]
    for array, grad in pairs:
        assert grad.shape == array.shape
        assert grad.dtype == array.dtype
        for _ in range(2):
            direction = rng.standard_normal(array.shape)
            want = directional(value, array, direction)
            got = float((grad * direction).sum())
            assert got == pytest.approx(want, rel=1e-6, abs=1e-7 * np.sqrt(array.size))


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.kind == "BatchNormalization"], ids=str
)
def test_gradients_of_a_frozen_normalisation(case):
    """Its mean and variance are constants when it does not train; so in inference."""
    layer, x = case.layer(), case.x()
    rng = generator(f"directions of {case}")
    y, saved = layer.forward(x, None)
    weighting = rng.standard_normal(y.shape)
    grad_x, _ = layer.backward(weighting.copy(), saved)
    direction = rng.standard_normal(x.shape)
    want = directional(lambda: float((layer.forward(x, None)[0] * weighting).sum()), x, direction)
    assert float((grad_x * direction).sum()) == pytest.approx(want, rel=1e-6)


@ALL
def test_weight_gradients_are_the_second_part_of_backward(case):
    layer, x = case.layer("float32"), case.x(dtype="float32")
    y, saved = layer.forward(x, training())
    grad = generator("grad").standard_normal(y.shape).astype("float32")
    want = layer.backward(grad.copy(), saved)[1]
    got = layer.weight_gradients(grad.copy(), saved)
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.dtype == np.float32
        assert_same(a, b)


# ---------------------------------------------------------------------------------- no trace


@ALL
def test_a_call_changes_nothing_and_is_repeatable(case):
    layer, x = case.layer("float32"), case.x(dtype="float32")
    moving = case.kind == "BatchNormalization"
    before_x, before_w = copies(x), layer.get_weights()
    attributes = set(vars(layer))
    y, saved = layer.forward(x, training())
    first_y = y.copy()
    grad = generator("grad").standard_normal(y.shape).astype("float32")
    first = layer.backward(grad.copy(), saved)
    first = copies(first[0]) + copies(list(first[1]))
    for array, before in zip(listed(x), before_x, strict=True):
        assert_same(array, before)
    assert_same(y, first_y)  # backward leaves the output alone
    if not moving:
        for weight, before in zip(layer.get_weights(), before_w, strict=True):
            assert_same(weight, before)
    again = layer.backward(grad.copy(), saved)  # what was saved is still whole
    for a, b in zip([*listed(again[0]), *again[1]], first, strict=True):
        assert_same(a, b)
    y, saved = layer.forward(x, training())
    assert_same(y, first_y)
    again = layer.backward(grad.copy(), saved)
    for a, b in zip([*listed(again[0]), *again[1]], first, strict=True):
        assert_same(a, b)
    assert set(vars(layer)) == attributes
    assert len(layer.nodes) == 0


@EACH
def test_one_layer_in_four_threads(case):
    layer = case.layer("float32")
    trains = case.kind != "BatchNormalization"  # its averages are its own
    xs = [case.x(dtype="float32", name=f"x{i}") for i in range(4)]

    def run(x):
        y, saved = layer.forward(x, training() if trains else None)
        found = [y]
        if saved is not None or trains:
            grad_x, grad_weights = layer.backward(np.ones_like(y), saved)
            found += [*listed(grad_x), *grad_weights]
        return found

    want = [run(x) for x in xs]
    got = [[] for _ in xs]
    barrier = threading.Barrier(len(xs))

    def work(i):
        barrier.wait()
        for _ in range(5):
            got[i].append(run(xs[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for results, wanted in zip(got, want, strict=True):
        assert len(results) == 5
        for found in results:
            for a, b in zip(found, wanted, strict=True):
                assert_same(a, b)


# ---------------------------------------------------------------------------------- merging

# The shapes of inputs, as many with None as without.
MERGED = [
    ("Add", {}, [(None, 3), (4, 3)]),
    ("Add", {}, [(None, 3), (1, 3)]),
    ("Add", {}, [(4, 3), (3,)]),
    ("Add", {}, [(3,), (2, 4, 3), (4, 1)]),
    ("Add", {}, [(3, 4), (4, 3)]),
    ("Add", {}, [(5,), (5, 5), (4,)]),
    ("Concatenate", {"axis": 1}, [(None, 3), (4, 3)]),
    ("Concatenate", {"axis": 2}, [(None, 3), (4, 3)]),
    ("Concatenate", {"axis": 2}, [(None, 3), (4, 3), (5, 3)]),
    ("Concatenate", {"axis": 1}, [(2, 1), (2, 3)]),
    ("Concatenate", {"axis": 1}, [(3,), (3, 1)]),
    ("Concatenate", {"axis": 0}, [(3,), (3,)]),
    ("Concatenate", {"axis": -2}, [(3,), (3,)]),
    ("Concatenate", {"axis": -3}, [(3,), (3,)]),
]


@pytest.mark.parametrize(("kind", "arguments", "shapes"), MERGED, ids=lambda v: str(v))
def test_shapes_that_are_merged_are_keras_s(kind, arguments, shapes, keras):
    def merged(lib, refusal):
        try:
            tensors = [lib.layers.Input(shape) for shape in shapes]
            return tuple(getattr(lib.layers, kind)(**arguments)(tensors).shape)
        except refusal:
            return "refused"

    assert merged(fastconv, ValueError) == merged(keras, (ValueError, IndexError))


def test_samples_that_are_joined_need_not_be_as_many():
    x = generator("joined").standard_normal((7, 3)).astype("float32")
    joined = layers.Concatenate(axis=0)([x[:2], x[2:]])
    assert_same(joined, x)
    inputs = layers.Input((3,))
    model = models.Model(inputs, layers.Concatenate(axis=0)([inputs, inputs]))
    want = [x[i : i + 2] for i in (0, 0, 2, 2, 4, 4, 6, 6)]
    assert_same(model.predict(x, batch_size=2, verbose=0), np.concatenate(want))


# ---------------------------------------------------------------------------------- dropout


def test_dropout_drops_its_share_and_scales_what_stays():
    x = np.ones((200, 500), "float32")
    y = layers.Dropout(0.3)(x, training())
    kept = y != 0
    # 100,000 draws: four standard deviations are 0.0058
    assert abs(kept.mean() - 0.7) < 0.006
    np.testing.assert_array_equal(y[kept], np.float32(1 / 0.7))
    # samples and elements fall each on their own
    assert abs(kept.mean(axis=0) - 0.7).max() < 0.2
    assert abs(kept.mean(axis=1) - 0.7).max() < 0.12
    assert abs(np.corrcoef(kept[:, 0], kept[:, 1])[0, 1]) < 0.3


def test_dropout_goes_back_by_the_same_mask():
    layer = layers.Dropout(0.5, dtype="float64")
    x = generator("dropout").standard_normal((20, 30))
    y, saved = layer.forward(x, training())
    grad = generator("grad").standard_normal(x.shape)
    grad_x, found = layer.backward(grad.copy(), saved)
    assert found == []
    np.testing.assert_array_equal(grad_x, np.where(y == 0, 0, 2 * grad))


def test_dropout_of_whole_maps():
    x = np.ones((50, 4, 5, 6), "float32")
    y = layers.Dropout(0.5, noise_shape=(None, 1, 1, None))(x, training())
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert set(np.unique(y)) == {0, 2}
    assert abs((y != 0).mean() - 0.5) < 0.15


@pytest.mark.parametrize(("rate", "want"), [(0, 1), (1, 0)])
def test_dropout_of_none_and_of_all(rate, want):
    x = np.ones((3, 4), "float32")
    layer = layers.Dropout(rate)
    y, saved = layer.forward(x, training())
    assert_same(y, x * np.float32(want))
    assert_same(layer.backward(x.copy(), saved)[0], x * np.float32(want))


def test_dropout_is_repeatable_by_its_generator():
    x = np.ones((30, 40), "float32")
    layer = layers.Dropout(0.5)
    first, again = layer(x, training()), layer(x, training())
    assert_same(first, again)
    one = training()
    assert (layer(x, one) != layer(x, one)).any()
    assert_same(layer(x), x)  # inference drops nothing


def test_dropout_with_a_seed_has_randomness_of_its_own():
    """Two runs differ in all but the seed; the layers without one take nothing from it."""
    x = np.ones((30, 40), "float32")
    layer, twin, other, free = (layers.Dropout(0.5, seed=seed) for seed in (1, 1, 2, None))
    runs = []
    for generator_seed, disturbed in ((5, False), (6, True)):
        one = Training(np.random.default_rng(generator_seed))
        masks = []
        for _ in range(3):
            masks.append(layer(x, one))
            if disturbed:
                free(x, one)
                other(x, one)
        runs.append(masks)
    for a, b in zip(*runs, strict=True):
        assert_same(a, b)
    assert len({mask.tobytes() for mask in runs[0]}) == 3  # it goes on from call to call
    one = training()
    assert_same(layer(x, one), twin(x, one))  # a seed means the same in every layer
    assert (other(x, one) != twin(x, training())).any()
    assert_same(free(x, one), free(x, training()))
    assert_same(layer(x, training=True), layer(x, training=True))  # no trace of a call


# ---------------------------------------------------------------------------------- configuration


@ALL
def test_a_configuration_makes_an_equal_layer(case):
    layer = case.layer("float32", built=False)
    described = layer.get_config()
    assert type(layer).from_config(described).get_config() == described
    through_json = json.loads(json.dumps(described))
    again = type(layer).from_config(through_json)
    assert again.get_config() == described
    assert again.name == layer.name
    if case.kind != "Dropout":
        exact = case.layer("float32")
        again(case.zeros(0))
        again.set_weights(exact.get_weights())
        x = case.x(dtype="float32")
        assert_same(again(x, training()), exact(x, training()))


@ALL
def test_a_configuration_is_keras_s(case, keras):
    """Keras makes its layer of our words, and describes it by the same."""
    ours = case.layer(built=False).get_config()
    theirs = getattr(keras.layers, case.kind).from_config(json.loads(json.dumps(ours)))
    got = theirs.get_config()
    # None, and newer than files that have to be read
    got.pop("quantization_config", None)
    for value in got.values():
        if isinstance(value, dict) and "config" in value:
            for unused in ("input_axes", "output_axes"):
                assert value["config"].pop(unused, None) is None
    assert plain(ours) == plain(got)
    assert type(case.layer(built=False)).from_config(theirs.get_config()).get_config() == ours


def test_an_input_s_configuration():
    layer = layers.Input((None, 8, 3), dtype="float64", name="in").node.layer
    described = json.loads(json.dumps(layer.get_config()))
    again = layers.InputLayer.from_config(described)
    assert again.get_config() == layer.get_config()
    assert again.output.shape == (None, None, 8, 3)
    assert again.output.dtype == "float64"


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (((8, 3),), {"batch_size": 5}),
        (((8, 3), 5), {}),
        ((), {"batch_shape": (5, 8, 3)}),
        ((), {"batch_shape": (None, None, 3)}),
    ],
)
def test_an_input_s_batch_is_keras_s(arguments, keywords, keras):
    ours, theirs = (lib.layers.Input(*arguments, **keywords) for lib in (fastconv, keras))
    assert ours.shape == theirs.shape
    config = ours.node.layer.get_config()
    assert config["batch_shape"] == ours.node.layer.batch_shape == ours.shape
    for kind in (layers.InputLayer, keras.layers.InputLayer):
        assert kind.from_config(json.loads(json.dumps(config))).batch_shape == ours.shape
    again = pickle.loads(pickle.dumps(ours.node.layer))
    assert again.output.shape == ours.shape


def test_initializers_are_described_by_name_and_arguments():
    layer = layers.Conv2D(2, 3, kernel_initializer="he_normal", bias_initializer="ones")
    described = layer.get_config()
    assert described["kernel_initializer"]["class_name"] == "HeNormal"
    again = layers.Conv2D.from_config(described)
    assert again.get_config() == described
    again(np.zeros((1, 4, 4, 1)))
    assert_same(again.get_weights()[1], np.ones(2, "float32"))


@EACH
def test_layers_pickle(case):
    layer, x = case.layer("float32"), case.x(dtype="float32")
    again = pickle.loads(pickle.dumps(layer))
    assert again.get_config() == layer.get_config()
    assert_same(again(x, training()), layer(x, training()))


# ---------------------------------------------------------------------------------- weights


@ALL
def test_weights_and_their_number_are_keras_s(case, keras):
    layer = case.layer()
    theirs = theirs_of(keras, case, layer)
    assert layer.count_params() == theirs.count_params()
    assert [v.name for v in layer.weights] == [v.name for v in theirs.weights]
    for name in ("trainable_weights", "non_trainable_weights"):
        ours = [v.name for v in getattr(layer, name)]
        assert ours == [v.name for v in getattr(theirs, name)]
    for v in layer.weights:
        assert v.path == f"{layer.name}/{v.name}"
        assert v.dtype == "float64"


def test_weights_are_copied_both_ways():
    layer = layers.Dense(2, dtype="float64")
    layer(np.zeros((1, 3)))
    kernel, bias = np.ones((3, 2)), np.zeros(2)
    layer.set_weights([kernel, bias])
    kernel[...] = 7
    assert_same(layer.get_weights()[0], np.ones((3, 2)))
    layer.get_weights()[0][...] = 7
    assert_same(layer.get_weights()[0], np.ones((3, 2)))
    layer.set_weights([np.ones((3, 2), int), [1, 2]])
    assert_same(layer(np.ones((1, 3))), np.array([[4.0, 5.0]]))


@pytest.mark.parametrize(
    ("weights", "error"),
    [
        ([np.ones((3, 2))], ValueError),
        ([np.ones((3, 2)), np.ones(2), np.ones(2)], ValueError),
        ([np.ones((3, 2)), np.ones(3)], ValueError),
        ([np.ones((3, 2)), np.ones((1, 2))], ValueError),
        ([np.ones((3, 2)), np.array(["a", "b"])], ValueError),
        ([np.ones((3, 2)), np.ones(2, complex)], ValueError),
        ([np.ones((2, 3)), np.ones(2)], ValueError),
        ("ab", TypeError),
        (None, TypeError),
        (np.ones((3, 2)), TypeError),
    ],
)
def test_wrong_weights_change_nothing(weights, error):
    layer = layers.Dense(2, name="wide")
    layer(np.zeros((1, 3)))
    before = layer.get_weights()
    with pytest.raises(error, match="wide: weights must be"):
        layer.set_weights(weights)
    for a, b in zip(layer.get_weights(), before, strict=True):
        assert_same(a, b)


def test_an_unbuilt_layer_has_no_weights():
    layer = layers.Dense(2, name="early")
    assert layer.weights == []
    with pytest.raises(ValueError, match="early: it has no weights"):
        layer.count_params()
    with pytest.raises(ValueError, match="early: weights must be a list of 0"):
        layer.set_weights([np.zeros((3, 2)), np.zeros(2)])


def test_a_frozen_layer_has_no_weights_to_train():
    layer = layers.Conv2D(2, 3, trainable=False)
    layer(np.zeros((1, 4, 4, 1)))
    assert layer.trainable_weights == []
    assert [v.name for v in layer.non_trainable_weights] == ["kernel", "bias"]
    layer.trainable = True
    assert [v.name for v in layer.trainable_weights] == ["kernel", "bias"]


@pytest.mark.parametrize("initializer", ["kernel_initializer", "bias_initializer"])
def test_an_initializer_of_the_wrong_shape(initializer):
    layer = layers.Dense(2, **{initializer: lambda shape, dtype: np.ones(7, dtype)}, name="odd")
    with pytest.raises(ValueError, match=f"odd: {initializer} must be"):
        layer(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=f"odd: {initializer} must be"):
        layer(np.zeros((1, 3)))  # no half-built layer is left
    assert layer.weights == []


# ---------------------------------------------------------------------------------- names


def test_names_count_as_in_keras(keras):
    keras.utils.clear_session()
    clear_session()
    made = [*KINDS, "Conv2D", "Dense", "Conv2D", "MaxPooling2D", "ReLU", "InputLayer", "InputLayer"]
    arguments = {case.kind: case.arguments for case in ONE_OF_EACH} | {
        "InputLayer": {"shape": (3,)}
    }
    ours = [getattr(layers, kind)(**arguments[kind]).name for kind in made]
    theirs = [getattr(keras.layers, kind)(**arguments[kind]).name for kind in made]
    assert ours == theirs
    clear_session()
    assert layers.Conv2D(1, 1).name == "conv2d"
    assert layers.Conv2D(1, 1).name == "conv2d_1"
    assert layers.Conv2D(1, 1, name="mine").name == "mine"
    assert layers.Conv2D(1, 1).name == "conv2d_2"


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("MaxPool2D", "MaxPooling2D"),
        ("AvgPool2D", "AveragePooling2D"),
        ("GlobalMaxPool2D", "GlobalMaxPooling2D"),
        ("GlobalAvgPool2D", "GlobalAveragePooling2D"),
        ("Convolution2D", "Conv2D"),
    ],
)
def test_short_names(short, long):
    assert getattr(layers, short) is getattr(layers, long)


def test_all_is_all():
    assert all(hasattr(layers, name) for name in layers.__all__)


# ---------------------------------------------------------------------------------- defaults


def test_the_defaults_are_those_of_the_configuration():
    before = config.floatx(), config.image_data_format()
    try:
        config.set_floatx("float64")
        config.set_image_data_format("channels_first")
        conv, pool, flat = layers.Conv2D(2, 3), layers.MaxPooling2D(), layers.Flatten()
        assert conv.data_format == pool.data_format == flat.data_format == "channels_first"
        y = conv(np.zeros((1, 5, 8, 9)))
        assert y.shape == (1, 2, 6, 7)
        assert y.dtype == conv.weights[0].value.dtype == np.float64
        assert conv.weights[0].shape == (3, 3, 5, 2)
    finally:
        config.set_floatx(before[0])
        config.set_image_data_format(before[1])


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", np.float32, np.dtype("float64")]
)
def test_every_dtype(dtype):
    name = np.dtype(dtype).name
    stack = [
        layers.Conv2D(4, 3, padding="same", activation="relu", dtype=dtype),
        layers.BatchNormalization(dtype=dtype),
        layers.MaxPooling2D(dtype=dtype),
        layers.UpSampling2D(dtype=dtype),
        layers.Dropout(0.5, dtype=dtype),
        layers.GlobalAveragePooling2D(dtype=dtype),
        *(layers.Dense(3, activation=a, dtype=dtype) for a in ("sigmoid", "elu", "softmax")),
    ]
    x, saves = np.ones((2, 4, 4, 3), name), []
    for layer in stack:
        layer.ensure_built((None, *x.shape[1:]))
        x, saved = layer.forward(x, training())
        assert x.dtype == name, layer
        saves.append(saved)
    grad = np.ones_like(x)
    for layer, saved in zip(reversed(stack), reversed(saves), strict=True):
        grad, found = layer.backward(grad, saved)
        assert {g.dtype.name for g in [grad, *found]} == {name}, layer


# ---------------------------------------------------------------------------------- errors

V, T = ValueError, TypeError
# kind, arguments, what the message names beside the class, error
BAD_ARGUMENTS = [
    ("Conv2D", {"filters": 0, "kernel_size": 3}, "filters", V),
    ("Conv2D", {"filters": -1, "kernel_size": 3}, "filters", V),
    ("Conv2D", {"filters": 2.0, "kernel_size": 3}, "filters", T),
    ("Conv2D", {"filters": True, "kernel_size": 3}, "filters", T),
    ("Conv2D", {"filters": None, "kernel_size": 3}, "filters", T),
    ("Conv2D", {"filters": 2, "kernel_size": 0}, "kernel_size", V),
    ("Conv2D", {"filters": 2, "kernel_size": (3, -3)}, "kernel_size", V),
    ("Conv2D", {"filters": 2, "kernel_size": (3, 3, 3)}, "kernel_size", V),
    ("Conv2D", {"filters": 2, "kernel_size": "3"}, "kernel_size", T),
    ("Conv2D", {"filters": 2, "kernel_size": None}, "kernel_size", T),
    ("Conv2D", {"filters": 2, "kernel_size": 3, "strides": 0}, "strides", V),
    ("Conv2D", {"filters": 2, "kernel_size": 3, "strides": 1.5}, "strides", T),
    ("Conv2D", {"filters": 2, "kernel_size": 3, "dilation_rate": 0}, "dilation_rate", V),
    ("Conv2D", {"filters": 2, "kernel_size": 3, "padding": "full"}, "padding", V),
    ("Conv2D", {"filters": 2, "kernel_size": 3, "padding": 1}, "padding", T),
    ("Conv2D", {"filters": 2, "kernel_size": 3, "data_format": "NHWC"}, "data_format", V),
    ("Conv2D", {"filters": 2, "kernel_size": 3, "groups": 0}, "groups", V),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "groups": 2}, "groups", V),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "activation": "swoosh"}, "activation", V),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "activation": 7}, "activation", T),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "use_bias": 1}, "use_bias", T),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "use_bias": None}, "use_bias", T),
    (
        "Conv2D",
        {"filters": 3, "kernel_size": 3, "kernel_initializer": "x"},
        "kernel_initializer",
        V,
    ),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "bias_initializer": 3}, "bias_initializer", T),
    (
        "Conv2D",
        {"filters": 3, "kernel_size": 3, "kernel_regularizer": "l2"},
        "kernel_regularizer",
        V,
    ),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "kernel_constraint": 1}, "kernel_constraint", V),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "name": 3}, "name", T),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "name": "a/b"}, "name", V),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "name": ""}, "name", V),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "dtype": "int32"}, "dtype", V),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "dtype": 32}, "dtype", T),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "trainable": "yes"}, "trainable", T),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "input_shape": (0, 3, 1)}, "input_shape", V),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "input_shape": (8.0, 3, 1)}, "input_shape", T),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "input_shape": "abc"}, "input_shape", T),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "kernal": 3}, "kernal", T),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 0}, "depth_multiplier", V),
    (
        "DepthwiseConv2D",
        {"kernel_size": 3, "depthwise_initializer": ""},
        "depthwise_initializer",
        V,
    ),
    ("SeparableConv2D", {"filters": 0, "kernel_size": 3}, "filters", V),
    (
        "SeparableConv2D",
        {"filters": 2, "kernel_size": 3, "pointwise_regularizer": 1},
        "pointwise_regularizer",
        V,
    ),
    (
        "Conv2DTranspose",
        {"filters": 2, "kernel_size": 3, "output_padding": -1},
        "output_padding",
        V,
    ),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "output_padding": 1}, "output_padding", V),
    (
        "Conv2DTranspose",
        {"filters": 2, "kernel_size": 3, "output_padding": 0.5},
        "output_padding",
        T,
    ),
    ("MaxPooling2D", {"pool_size": 0}, "pool_size", V),
    ("MaxPooling2D", {"strides": (1, 0)}, "strides", V),
    ("MaxPooling2D", {"padding": "zeros"}, "padding", V),
    ("AveragePooling2D", {"pool_size": "2"}, "pool_size", T),
    ("AveragePooling2D", {"pool_size": 2, "data_format": 1}, "data_format", T),
    ("GlobalMaxPooling2D", {"keepdims": 1}, "keepdims", T),
    ("GlobalAveragePooling2D", {"data_format": "NCHW"}, "data_format", V),
    ("Dense", {"units": 0}, "units", V),
    ("Dense", {"units": 2.5}, "units", T),
    ("Dense", {"units": 2, "activation": "Relu"}, "activation", V),
    ("Dense", {"units": 2, "bias_regularizer": "l1"}, "bias_regularizer", V),
    ("Activation", {"activation": "rectify"}, "activation", V),
    ("ReLU", {"max_value": -1}, "max_value", V),
    ("ReLU", {"negative_slope": -0.1}, "negative_slope", V),
    ("ReLU", {"negative_slope": "0"}, "negative_slope", T),
    ("ReLU", {"threshold": float("nan")}, "threshold", V),
    ("Softmax", {"axis": 0.5}, "axis", T),
    ("Flatten", {"data_format": "last"}, "data_format", V),
    ("Reshape", {"target_shape": (2, -1, -1)}, "target_shape", V),
    ("Reshape", {"target_shape": (2, 0)}, "target_shape", V),
    ("Reshape", {"target_shape": (2, 1.0)}, "target_shape", T),
    ("Reshape", {"target_shape": 2.0}, "target_shape", T),
    ("Reshape", {"target_shape": None}, "target_shape", T),
    ("Reshape", {"target_shape": "ab"}, "target_shape", T),
    ("ZeroPadding2D", {"padding": -1}, "padding", V),
    ("ZeroPadding2D", {"padding": "same"}, "padding", T),
    ("ZeroPadding2D", {"padding": ((1, 1), (1, 1), (1, 1))}, "padding", V),
    ("ZeroPadding2D", {"padding": 0.5}, "padding", T),
    ("UpSampling2D", {"size": 0}, "size", V),
    ("UpSampling2D", {"interpolation": "bilinear"}, "interpolation", V),
    ("Dropout", {"rate": -0.1}, "rate", V),
    ("Dropout", {"rate": 1.1}, "rate", V),
    ("Dropout", {"rate": float("nan")}, "rate", V),
    ("Dropout", {"rate": "0.5"}, "rate", T),
    ("Dropout", {"rate": None}, "rate", T),
    ("Dropout", {"rate": 0.5, "seed": -1}, "seed", V),
    ("Dropout", {"rate": 0.5, "seed": "x"}, "seed", T),
    ("Dropout", {"rate": 0.5, "noise_shape": 3.5}, "noise_shape", T),
    ("Dropout", {"rate": 0.5, "noise_shape": (None, -1)}, "noise_shape", V),
    ("BatchNormalization", {"axis": 1.0}, "axis", T),
    ("BatchNormalization", {"momentum": 2}, "momentum", V),
    ("BatchNormalization", {"momentum": None}, "momentum", T),
    ("BatchNormalization", {"epsilon": -1e-3}, "epsilon", V),
    ("BatchNormalization", {"epsilon": "small"}, "epsilon", T),
    ("BatchNormalization", {"center": 1}, "center", T),
    ("BatchNormalization", {"gamma_initializer": "one"}, "gamma_initializer", V),
    ("BatchNormalization", {"synchronized": True}, "synchronized", V),
    ("BatchNormalization", {"renorm": True}, "renorm", V),
    ("Concatenate", {"axis": None}, "axis", T),
    ("InputLayer", {"shape": (3, -1)}, "shape", V),
    ("InputLayer", {"shape": (3,), "sparse": True}, "sparse", V),
    ("InputLayer", {}, "shape", T),
    ("InputLayer", {"shape": (3,), "batch_shape": (2, 3)}, "batch_shape", T),
    ("InputLayer", {"shape": (3,), "batch_size": 0}, "batch_size", V),
    ("InputLayer", {"shape": (3,), "batch_size": 2.0}, "batch_size", T),
    ("InputLayer", {"batch_size": 2}, "shape", T),
    ("InputLayer", {"batch_shape": (2, 3), "batch_size": 2}, "batch_size", V),
    ("InputLayer", {"batch_shape": ()}, "batch_shape", V),
    ("InputLayer", {"batch_shape": (0, 3)}, "batch_shape", V),
    ("Add", {"axis": 1}, "axis", T),
]


@pytest.mark.parametrize(
    ("kind", "arguments", "named", "error"), BAD_ARGUMENTS, ids=lambda v: str(v).replace(" ", "")
)
def test_bad_arguments_are_named(kind, arguments, named, error):
    with pytest.raises((ValueError, TypeError)) as caught:
        getattr(layers, kind)(**arguments)
    assert caught.type is error
    text = str(caught.value)
    assert text.startswith(f"{kind}: ")
    assert named in text
    assert len(text) <= 200


IMAGES = np.zeros((2, 5, 6, 4), "float32")
BAD_INPUTS = [
    ("Conv2D", {"filters": 2, "kernel_size": 3}, np.zeros((5, 6, 4)), V),
    ("Conv2D", {"filters": 2, "kernel_size": 3}, np.zeros(()), V),
    ("Conv2D", {"filters": 2, "kernel_size": 7}, IMAGES, V),
    ("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 3}, IMAGES, V),
    ("Conv2D", {"filters": 2, "kernel_size": 3}, [[1, 2], [3, 4]], V),
    ("DepthwiseConv2D", {"kernel_size": 7}, IMAGES, V),
    ("SeparableConv2D", {"filters": 2, "kernel_size": 7}, IMAGES, V),
    ("Conv2DTranspose", {"filters": 2, "kernel_size": 3}, np.zeros((5, 6)), V),
    ("MaxPooling2D", {"pool_size": 6}, IMAGES, V),
    ("MaxPooling2D", {}, np.zeros((5, 6, 4)), V),
    ("AveragePooling2D", {"pool_size": 7}, IMAGES, V),
    ("GlobalMaxPooling2D", {}, np.zeros((5, 6)), V),
    ("Dense", {"units": 2}, np.zeros(3), V),
    ("Reshape", {"target_shape": (7, 7)}, IMAGES, V),
    ("Reshape", {"target_shape": (7, -1)}, IMAGES, V),
    ("ZeroPadding2D", {}, np.zeros((2, 3, 4)), V),
    ("UpSampling2D", {}, np.zeros((2, 3)), V),
    ("BatchNormalization", {"axis": 4}, IMAGES, V),
    ("BatchNormalization", {"axis": 0}, IMAGES, V),
    ("Softmax", {"axis": 4}, IMAGES, V),
    ("Dropout", {"rate": 0.5, "noise_shape": (None, 1)}, IMAGES, V),
    ("Dropout", {"rate": 0.5, "noise_shape": (None, 1, 2, 1)}, IMAGES, V),
    ("Add", {}, IMAGES, T),
    ("Add", {}, [], V),
    ("Add", {}, [np.zeros(())], V),
    ("Add", {}, [IMAGES, IMAGES[:, 1:]], V),
    ("Add", {}, [IMAGES, IMAGES[:1]], V),
    ("Add", {}, [IMAGES, np.zeros((2, 5))], V),
    ("Concatenate", {}, [], V),
    ("Concatenate", {}, [IMAGES, IMAGES[:, 1:]], V),
    ("Concatenate", {}, [IMAGES, IMAGES[:1]], V),
    ("Concatenate", {}, [IMAGES, IMAGES[0]], V),
    ("Concatenate", {"axis": 0}, [IMAGES, IMAGES[:, 1:]], V),
    ("Concatenate", {"axis": 4}, [IMAGES, IMAGES], V),
    ("Concatenate", {"axis": -5}, [IMAGES], V),
    ("Concatenate", {}, 3.5, T),
]


@pytest.mark.parametrize(
    ("kind", "arguments", "x", "error"),
    BAD_INPUTS,
    ids=[f"{row[0]}-{number}" for number, row in enumerate(BAD_INPUTS)],
)
def test_bad_inputs_are_refused_before_weights_are_made(kind, arguments, x, error):
    layer = getattr(layers, kind)(**arguments, name="first")
    with pytest.raises((ValueError, TypeError)) as caught:
        layer(x, training=True)
    assert caught.type is error
    assert str(caught.value).startswith("first: ")
    assert layer.weights == []
    assert not layer.built


@pytest.mark.parametrize("case", [case for case in CASES if case.layer().weights], ids=str)
def test_other_channels_than_the_weights_have(case):
    layer = case.layer("float32")
    before = layer.get_weights()
    axis = layer.axis if case.kind == "BatchNormalization" else -1
    axis = 1 if case.data_format == "channels_first" else axis
    x = case.x(dtype="float32")
    x = np.concatenate([x, x], axis=axis)
    with pytest.raises(ValueError, match=rf"{layer.name}: inputs must be of \d+ "):
        layer(x, training=True)
    for a, b in zip(layer.get_weights(), before, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize(
    "x", [np.array(["a", "b"]), np.zeros((2, 2), complex), [[1], [1, 2]], None]
)
def test_inputs_that_are_no_numbers(x):
    layer = layers.Dense(2, name="first")
    with pytest.raises((ValueError, TypeError), match="first: inputs must be"):
        layer(x)
    assert not layer.built


@pytest.mark.parametrize("kind", ["Dense", "Add"])
def test_tensors_and_arrays_do_not_mix(kind):
    tensor = layers.Input((3,))
    layer = layers.Dense(2, name="first") if kind == "Dense" else layers.Add(name="first")
    for inputs in ([tensor, np.zeros((1, 3))], [np.zeros((1, 3)), tensor]):
        with pytest.raises(TypeError, match="first: inputs must be"):
            layer(inputs)
    with pytest.raises(TypeError, match="first: inputs must be"):
        layer([tensor, tensor] if kind == "Dense" else tensor)
    assert layer.nodes == []


def test_a_symbolic_tensor_has_no_numbers():
    with pytest.raises(TypeError, match="symbolic"):
        np.asarray(layers.Input((3,)))
    with pytest.raises(AttributeError, match="it has no output before"):
        _ = layers.Dense(2).output


def test_a_layer_says_what_it_is_before_it_is_built():
    case = LayerCase("Conv2D", {"filters": 2, "kernel_size": 3}, (5, 5, 1), "channels_last")
    assert repr(case.layer(built=False)).startswith("<Conv2D name=conv2d")
    assert "built=True" in repr(case.layer())
    assert "shape=(3, 3, 1, 2)" in repr(case.layer().weights[0])


def test_models_are_layers():
    inner = models.Sequential([layers.Dense(3, activation="tanh"), layers.Dense(2)])
    x = np.ones((4, 5), "float32")
    y = inner(x)
    assert y.shape == (4, 2)
    assert_same(y, inner.predict(x, verbose=0))
