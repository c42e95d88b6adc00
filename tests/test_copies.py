"""Models made of models: with layers and inputs as they were, and with others."""

import numpy as np
import pytest
from arrays import assert_same, generator
from beside_keras import keras_in
from graphs import GRAPHS, chain, named_outputs, nested_twice, several, shared

import fastconv
import fastconv.layers
import fastconv.models
from fastconv import layers, losses, metrics, optimizers
from fastconv.models import Model, Sequential, clone_model

MAKERS = pytest.mark.parametrize("make", GRAPHS, ids=lambda make: make.__name__)


@pytest.fixture
def keras():
    with keras_in("float32") as module:
        yield module


def stack(lib):
    """Return a Sequential model whose input has a name and a number of samples."""
    begin = lib.layers.Input((3,), batch_size=5, name="begin")
    return lib.models.Sequential([begin, lib.layers.Dense(2, name="first"), lib.layers.ReLU()])


def data_of(model):
    rng = generator("copies")
    arrays = [rng.standard_normal((4, *t.shape[1:])).astype("float32") for t in model.inputs]
    return arrays if model.takes_list else arrays[0]


def listed(value):
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else [value]


def remade(layer):
    return type(layer).from_config(layer.get_config())


def assert_computes_alike(clone, model):
    clone.set_weights(model.get_weights())
    x = data_of(model)
    got, want = clone.predict(x, verbose=0), model.predict(x, verbose=0)
    assert type(got) is type(want)
    for a, b in zip(listed(got), listed(want), strict=True):
        assert_same(a, b)


@MAKERS
@pytest.mark.parametrize("way", ["plain", "function", "tensors"])
def test_a_clone_computes_alike_with_weights_of_its_own(make, way):
    model = make(fastconv)
    if way == "tensors":
        given = [layers.Input(batch_shape=tensor.shape) for tensor in model.inputs]
        clone = clone_model(model, given if model.takes_list else given[0])
        assert all(a is b for a, b in zip(clone.inputs, given, strict=True))
    else:
        clone = clone_model(model, clone_function=None if way == "plain" else remade)
        assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]
        assert clone.get_config() == model.get_config()
    assert clone.name == model.name
    assert clone.output_shape == model.output_shape
    assert not {id(v) for v in clone.weights} & {id(v) for v in model.weights}
    assert_computes_alike(clone, model)


def test_layers_may_be_replaced_or_kept_as_in_keras(keras):
    for lib in (keras, fastconv):
        clone = lib.models.clone_model

        def wider(layer, lib=lib):
            if not isinstance(layer, lib.layers.Dense):
                return layer
            return lib.layers.Dense(2 * layer.units, name=f"{layer.name}_wide")

        model = stack(lib)
        other = clone(model, clone_function=wider)
        assert tuple(other.output_shape) == (5, 4)
        assert [layer.name for layer in other.layers] == ["first_wide", model.layers[1].name]
        assert other.layers[1] is model.layers[1]
        assert other.inputs[0] is not model.inputs[0]
        graph = chain(lib)
        same = clone(graph, clone_function=lambda layer: layer)
        assert all(a is b for a, b in zip(same.layers[1:], graph.layers[1:], strict=True))
        assert same.layers[0].name == graph.layers[0].name
        assert same.layers[0] is not graph.layers[0]


def test_other_inputs_may_have_other_shapes_as_in_keras(keras):
    for lib in (keras, fastconv):
        wide = lib.layers.Input((7,), batch_size=2, name="wide")
        clone = lib.models.clone_model(stack(lib), wide)
        assert clone.inputs[0] is wide
        assert (tuple(clone.input_shape), tuple(clone.output_shape)) == ((2, 7), (2, 2))
        large = lib.layers.Input((12, 10, 2))
        assert [tuple(v.shape) for v in lib.models.clone_model(chain(lib), large).weights][2:] == [
            (60, 4),
            (4,),
        ]
        deferred = lib.models.Sequential([lib.layers.Dense(3)])
        assert tuple(lib.models.clone_model(deferred, wide).output_shape) == (2, 3)
        assert not lib.models.clone_model(deferred, None, lambda layer: layer).built


def test_inputs_by_name():
    model = several(fastconv)
    image, number = layers.Input((6, 6, 1)), layers.Input((3,))
    clone = clone_model(model, {"number": number, "image": image})
    assert clone.inputs == [image, number]
    assert_computes_alike(clone, model)


def test_a_clone_may_begin_inside_of_another_model():
    model = named_outputs(fastconv)
    x = layers.Input((3,))
    inside = layers.Dense(4)(x)
    clone = clone_model(model, inside)
    assert_computes_alike(clone, model)
    assert sorted(Model(x, clone(inside)).predict(np.ones((2, 3)), verbose=0)) == [
        *("mid", "small", "tall"),
    ]


@pytest.mark.parametrize("make", [shared, nested_twice], ids=lambda make: make.__name__)
def test_a_shared_layer_is_cloned_once(make):
    model, asked = make(fastconv), []

    def noted(layer):
        asked.append(layer.name)
        return remade(layer)

    clone = clone_model(model, clone_function=noted)
    assert len(asked) == len(set(asked))
    assert clone.count_params() == model.count_params()


@pytest.mark.parametrize("function", [None, remade])
def test_a_clone_is_compiled_as_its_model(function):
    class Third(losses.MeanSquaredError):
        pass

    model = stack(fastconv)
    mean = metrics.MeanAbsoluteError(name="mine")
    model.compile(optimizers.SGD(0.03, momentum=0.5), Third(), metrics=[mean])
    x, y = data_of(model), np.ones((4, 2))
    model.fit(x, y, verbose=0)
    clone = clone_model(model, clone_function=function)
    assert type(clone.loss) is Third
    assert clone.optimizer is not model.optimizer
    assert clone.optimizer.get_config() == model.optimizer.get_config()
    assert clone.optimizer.iterations == 0
    before = model.get_weights()
    assert set(clone.fit(x, y, verbose=0).history) == {"loss", "mine"}
    for a, b in zip(before, model.get_weights(), strict=True):
        assert_same(a, b)
    assert not clone_model(stack(fastconv)).compiled


def test_a_frozen_model_s_clone_is_frozen():
    for model in (stack(fastconv), chain(fastconv)):
        model.trainable = False
        assert clone_model(model, clone_function=remade).trainable_weights == []


IMAGE, NUMBER = layers.Input((6, 6, 1)), layers.Input((3,))


@pytest.mark.parametrize(
    ("make", "arguments", "error", "named"),
    [
        (several, {"input_tensors": [IMAGE]}, ValueError, "input_tensors must be a tensor for"),
        (several, {"input_tensors": IMAGE}, ValueError, "image, number"),
        (several, {"input_tensors": {"image": IMAGE, "n": NUMBER}}, ValueError, "input_tensors"),
        (several, {"input_tensors": [IMAGE, np.ones(3)]}, TypeError, "input_tensors"),
        (stack, {"input_tensors": [NUMBER, NUMBER]}, ValueError, "each of begin"),
        (stack, {"input_tensors": 3}, TypeError, "input_tensors"),
        (stack, {"clone_function": 3}, TypeError, "clone_function must be a function"),
        (stack, {"clone_function": lambda layer: 3}, TypeError, "that returns a layer"),
        (chain, {"clone_function": lambda layer: None}, TypeError, "that returns a layer"),
    ],
)
def test_what_cannot_be_cloned_is_named(make, arguments, error, named):
    with pytest.raises(error, match=f"clone_model: .*{named}"):
        clone_model(make(fastconv), **arguments)


def test_a_model_is_needed():
    with pytest.raises(TypeError, match="clone_model: model must be a Model"):
        clone_model(layers.Dense(2))
    assert isinstance(clone_model(Sequential([layers.Dense(2)])), Sequential)
