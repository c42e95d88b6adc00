"""The steps of a graph: when arrays are freed, and the relu that a maximum after it stands for."""

import numpy as np
import pytest
from arrays import assert_same, generator

from fastconv import activations
from fastconv.layers import (
    Activation,
    Add,
    Conv2D,
    Conv2DTranspose,
    Flatten,
    GlobalMaxPooling2D,
    Input,
    MaxPooling2D,
    SeparableConv2D,
    Training,
)
from fastconv.models import Model, Sequential

BEFORE = {
    "Conv2D": lambda: [Conv2D(4, 3, activation="relu", dtype="float64")],
    "Activation": lambda: [Conv2D(4, 3, dtype="float64"), Activation("relu", dtype="float64")],
    "SeparableConv2D": lambda: [SeparableConv2D(4, 3, activation="relu", dtype="float64")],
    "Conv2DTranspose": lambda: [Conv2DTranspose(4, 3, activation="relu", dtype="float64")],
}
MAXIMUM = {
    "pool": lambda: MaxPooling2D(2, dtype="float64"),
    "overlapping": lambda: MaxPooling2D(3, 2, padding="same", dtype="float64"),
    "more_taps_than_a_byte_has_numbers": lambda: MaxPooling2D(17, 2, "same", dtype="float64"),
    "global": lambda: GlobalMaxPooling2D(dtype="float64"),
}


def step_by_step(layers, x, grad):
    """Return the gradients that the layers give one after the other, on their own."""
    saved = []
    for layer in layers:
        x, kept = layer.forward(x, Training())
        saved.append(kept)
    found = []
    for layer, kept in zip(reversed(layers), reversed(saved), strict=True):
        grad, of_weights = layer.backward(grad, kept)
        found = [*of_weights, *found]
    return x, grad, found


@pytest.mark.parametrize("maximum", MAXIMUM)
@pytest.mark.parametrize("before", BEFORE)
def test_a_maximum_stands_for_the_relu_before_it(before, maximum):
    rng = generator(before + maximum)
    # whole numbers: windows have ties, and many have nothing above 0
    x = rng.integers(-2, 3, (3, 9, 8, 2)).astype(np.float64)
    layers = [Conv2D(2, 1, dtype="float64"), *BEFORE[before](), MAXIMUM[maximum]()]
    model = Sequential([Input((9, 8, 2), dtype="float64"), *layers])
    y, saved = model.forward(x, Training())
    assert [step.relu for step in model._plan.steps].count(len(layers) - 2) == 1
    grad = rng.standard_normal(y.shape)
    want_y, want_x, want = step_by_step(layers, x, grad.copy())
    assert_same(y, want_y)
    grad_x, found = model.backward(grad.copy(), saved)
    assert_same(grad_x, want_x)
    for got, expected in zip(found, want, strict=True):
        assert_same(got, expected)
    for got, expected in zip(model.weight_gradients(grad, saved), want, strict=True):
        assert_same(got, expected)


@pytest.mark.parametrize("maximum", MAXIMUM)
def test_no_relu_is_gone_back_through(maximum, monkeypatch):
    layers = [*BEFORE["Activation"](), MAXIMUM[maximum]()]
    model = Sequential([Input((9, 8, 2), dtype="float64"), *layers])
    y, saved = model.forward(np.ones((3, 9, 8, 2)), Training())
    monkeypatch.delattr(type(activations.relu), "gradient")
    grad_x, _ = model.backward(np.ones_like(y), saved)
    assert grad_x.shape == (3, 9, 8, 2)


def test_what_the_relu_made_is_not_kept():
    model = Sequential([Input((8, 8, 1)), Conv2D(4, 3, activation="relu"), MaxPooling2D(2)])
    _, saved = model.forward(np.ones((2, 8, 8, 1), np.float32), Training())
    assert saved[0][1] is None


def test_a_relu_that_others_look_at_is_left_alone():
    inputs = Input((8, 8, 2))
    active = Conv2D(2, 3, padding="same", activation="relu")(inputs)
    joined = Add()([active, inputs])
    for outputs in ([MaxPooling2D(2)(active), joined], [MaxPooling2D(2)(active), active]):
        assert all(step.relu is None for step in Model(inputs, outputs)._plan.steps)
    tanh = Conv2D(2, 3, activation="tanh")(inputs)
    assert all(step.relu is None for step in Model(inputs, MaxPooling2D(2)(tanh))._plan.steps)
    # a relu in another dtype is not the one that the maximum sees
    other = Conv2D(2, 3, activation="relu", dtype="float64")(inputs)
    assert all(step.relu is None for step in Model(inputs, MaxPooling2D(2)(other))._plan.steps)


def test_arrays_are_freed_after_their_last_use():
    inputs = Input((4, 4, 1))
    first = Conv2D(2, 1)(inputs)
    model = Model(inputs, Flatten()(Add()([Conv2D(2, 1)(first), first])))
    freed = [place for step in model._plan.steps for place in step.last_used]
    assert len(freed) == len(set(freed)) == model._plan.places - len(model._plan.outputs)
