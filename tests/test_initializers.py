"""Initializers: their distributions, Keras's fans and names, seeds."""

import math

import numpy as np
import pytest
from arrays import assert_same
from beside_keras import keras_in

from fastconv import initializers
from fastconv.utils import set_random_seed

# inputs and outputs of kernels, (rows, columns, in, out) or (in, out)
FANS = {
    (3, 5, 40, 60): (600, 900),
    (200, 300): (200, 300),
    (1, 1, 100, 400): (100, 400),
    (9000,): (9000, 9000),
}
SCALED = {
    "glorot_uniform": (1, "avg", "uniform"),
    "glorot_normal": (1, "avg", "truncated"),
    "he_uniform": (2, "in", "uniform"),
    "he_normal": (2, "in", "truncated"),
    "lecun_uniform": (1, "in", "uniform"),
    "lecun_normal": (1, "in", "truncated"),
}
RANDOM = [*SCALED, "random_uniform", "random_normal", "truncated_normal", "variance_scaling"]
FIXED = ["zeros", "ones", "constant"]


def check_variance(values, variance):
    """Check mean and variance to five standard errors."""
    n = values.size
    assert abs(values.mean()) < 5 * math.sqrt(variance / n)
    # the fourth moment of none of these distributions is above a normal one's
    assert abs(values.var() / variance - 1) < 5 * math.sqrt(2 / n)


@pytest.mark.parametrize("shape", FANS, ids=str)
@pytest.mark.parametrize("name", SCALED)
def test_variances_are_shares_of_the_fans(name, shape):
    scale, mode, kind = SCALED[name]
    fan_in, fan_out = FANS[shape]
    variance = scale / (fan_in if mode == "in" else (fan_in + fan_out) / 2)
    values = getattr(initializers, type(initializers.get(name)).__name__)(seed=3)(shape, "float64")
    assert values.shape == shape
    check_variance(values, variance)
    if kind == "uniform":
        limit = math.sqrt(3 * variance)
        assert 0.99 * limit < np.abs(values).max() <= limit
        share = (np.abs(values) < limit / 2).mean()
        assert abs(share - 0.5) < 5 * math.sqrt(0.25 / values.size)
    else:
        # a normal distribution cut at two deviations, widened to the variance asked for
        limit = 2 * math.sqrt(variance) / 0.87962566103423978
        assert 0.98 * limit < np.abs(values).max() <= limit


@pytest.mark.parametrize("name", [*SCALED, "random_uniform", "random_normal", "truncated_normal"])
def test_distributions_are_those_of_keras(name):
    """Mean, deviation, range and quartiles of many numbers of each."""
    shape = (5, 5, 40, 60)
    set_random_seed(5)
    ours = initializers.get(name)(shape, "float64").ravel()
    with keras_in("float64") as keras:
        class_name = type(initializers.get(name)).__name__
        theirs = getattr(keras.initializers, class_name)(seed=1)(shape, dtype="float64")
    theirs = theirs.detach().cpu().numpy().ravel()
    spread = theirs.std()
    assert ours.std() == pytest.approx(spread, rel=0.02)
    at = [0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999]
    np.testing.assert_allclose(
        np.quantile(ours, at) / spread, np.quantile(theirs, at) / spread, atol=0.1
    )
    if name != "random_normal":
        assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.02)


@pytest.mark.parametrize("distribution", ["truncated_normal", "untruncated_normal", "uniform"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
def test_variance_scaling(mode, distribution):
    fan = {"fan_in": 600, "fan_out": 900, "fan_avg": 750}[mode]
    values = initializers.VarianceScaling(0.5, mode, distribution, seed=5)(
        (3, 5, 40, 60), "float64"
    )
    check_variance(values, 0.5 / fan)
    if distribution == "untruncated_normal":
        assert np.abs(values).max() > 3 * math.sqrt(0.5 / fan)
    assert initializers.VarianceScaling(distribution="normal").distribution == "truncated_normal"


def test_plain_distributions():
    values = initializers.RandomUniform(-1, 3, seed=1)((20000,), "float64")
    assert -1 <= values.min() < -0.99
    assert 2.99 < values.max() < 3
    assert values.mean() == pytest.approx(1, abs=0.05)
    values = initializers.RandomNormal(2, 0.5, seed=1)((20000,), "float64")
    check_variance(values - 2, 0.25)
    assert np.abs(values - 2).max() > 1.5
    values = initializers.TruncatedNormal(2, 0.5, seed=1)((20000,), "float64")
    assert np.abs(values - 2).max() <= 1
    assert values.std() == pytest.approx(0.5 * 0.8796, rel=0.02)


def test_fixed_numbers():
    assert_same(initializers.get("zeros")((2, 3)), np.zeros((2, 3), "float32"))
    assert_same(initializers.get("Ones")((2,), "float64"), np.ones(2))
    assert_same(initializers.Constant(2.5)((2,), "float64"), np.full(2, 2.5))


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name):
    shape, kind = (3, 4), type(initializers.get(name))
    seeded = kind(seed=7)
    assert_same(seeded(shape), seeded(shape))
    assert_same(seeded(shape), kind(seed=7)(shape))
    assert (seeded(shape) != kind(seed=8)(shape)).any()
    free = kind()
    assert (free(shape) != free(shape)).any()
    set_random_seed(5)
    first = free(shape)
    set_random_seed(5)
    assert_same(free(shape), first)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", None])
@pytest.mark.parametrize("name", RANDOM + FIXED)
def test_every_dtype_and_shape(name, dtype):
    for shape in [(), (0,), (5,), (2, 3), (3, 3, 2, 4), (3, 3, 0, 4)]:
        values = initializers.get(name)(shape, dtype)
        assert values.dtype == (dtype or "float32")
        assert values.shape == shape


@pytest.mark.parametrize("name", RANDOM + FIXED)
def test_names_and_descriptions_are_those_of_keras(name):
    ours = initializers.get(name)
    kind = type(ours).__name__
    assert type(initializers.get(kind)) is type(ours)
    described = initializers.serialize(ours)
    assert initializers.serialize(initializers.get(described)) == described
    with keras_in("float32") as keras:
        if name != "constant":  # Keras asks for its value
            assert type(keras.initializers.get(name)).__name__ == kind
        theirs = getattr(keras.initializers, kind)()
        wanted = keras.initializers.serialize(theirs)
        assert type(keras.initializers.get(described)).__name__ == kind
    # Keras has axes besides, which are None; and a seed of its own where none was given
    axes = ("input_axes", "output_axes")
    config = {key: value for key, value in wanted["config"].items() if key not in axes}
    assert described["config"] | {"seed": 0} == config | {"seed": 0}
    assert {**described, "config": 0} == {**wanted, "config": 0}
    assert type(initializers.get(wanted)) is type(ours)


def test_any_function_will_do():
    def mine(shape, dtype=None):
        return np.full(shape, 3, dtype)

    assert initializers.get(mine) is mine
    with pytest.raises(TypeError, match="initializer must be"):
        initializers.serialize(mine)


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: initializers.get("glorot"), ValueError, "identifier"),
        (lambda: initializers.get(3), TypeError, "identifier"),
        (lambda: initializers.get({"class_name": "Evil", "config": {}}), ValueError, "identifier"),
        (lambda: initializers.get({"config": {}}), TypeError, "identifier"),
        (lambda: initializers.get({"class_name": "Zeros", "config": 3}), TypeError, "identifier"),
        (lambda: initializers.GlorotUniform(seed=-1), ValueError, "seed"),
        (lambda: initializers.GlorotUniform(seed=2**32), ValueError, "seed"),
        (lambda: initializers.GlorotUniform(seed=1.5), (TypeError, ValueError), "seed"),
        (lambda: initializers.VarianceScaling(0), ValueError, "scale"),
        (lambda: initializers.VarianceScaling(float("nan")), ValueError, "scale"),
        (lambda: initializers.VarianceScaling("a"), TypeError, "scale"),
        (lambda: initializers.VarianceScaling(mode="fan"), ValueError, "mode"),
        (lambda: initializers.VarianceScaling(distribution="beta"), ValueError, "distribution"),
        (lambda: initializers.Constant("a"), TypeError, "value"),
        (lambda: initializers.RandomUniform("a", 1), TypeError, "minval"),
        (lambda: initializers.RandomUniform(0, None), TypeError, "maxval"),
        (lambda: initializers.RandomNormal(stddev="a"), TypeError, "stddev"),
        (lambda: initializers.RandomNormal(stddev=-1), ValueError, "stddev"),
        (lambda: initializers.TruncatedNormal(mean=None), TypeError, "mean"),
    ],
)
def test_bad_arguments(make, error, named):
    with pytest.raises(error, match=rf"\w+: {named} must be"):
        make()
