"""Optimizers beside Keras's: the same weights after many steps on the same gradients."""

import copy
import itertools
import math
import os
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

import fastconv as fc
from fastconv import optimizers, reference
from fastconv.ops.update import Step, update
from fastconv.optimizers import base, schedules

SHAPES = [(3, 2, 4), (4,), (), (70, 501)]  # the last is more than one block of float64


@pytest.fixture
def keras(monkeypatch):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    module = pytest.importorskip("keras", reason="the optimizers are compared with Keras's")
    before = module.config.floatx()
    module.config.set_floatx("float64")
    # But for TensorFlow, Keras computes much in float32, whatever it is given.
    types = module.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE
    monkeypatch.setitem(types, "float64", "float64")
    yield module
    module.config.set_floatx(before)


def made(dtype=np.float64, shapes=SHAPES, seed=0):
    """Return variables."""
    rng = np.random.default_rng(seed)
    return [
        SimpleNamespace(
            name=f"v{index}",
            path=f"layer/v{index}",
            value=np.asarray(rng.standard_normal(shape), dtype, order="C"),
        )
        for index, shape in enumerate(shapes)
    ]


def steps(count, dtype=np.float64, shapes=SHAPES):
    """Yield the gradients of each step; their sizes vary, so that clipping happens at times."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        size = rng.uniform(0.01, 2)
        yield [np.asarray(size * rng.standard_normal(shape), dtype) for shape in shapes]


def values(variables):
    return [variable.value.copy() for variable in variables]


CASES = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"nesterov": True}),
    ("RMSprop", {}),
    ("RMSprop", {"rho": 0.8, "epsilon": 1e-3, "learning_rate": 0.01}),
    ("RMSprop", {"momentum": 0.7}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"centered": True, "momentum": 0.7}),
    ("Adam", {}),
    ("Adam", {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    ("Adam", {"amsgrad": True, "beta_2": 0.7}),
]
MORE = [
    {"weight_decay": 0.1},
    {"clipnorm": 1.5},
    {"clipvalue": 0.4},
    {"global_clipnorm": 100.0, "weight_decay": 0.01},
]
ALL = [
    *CASES,
    *((name, {**options, **more}) for name, options in CASES[1::4] for more in MORE),
]
IDS = ["-".join([name, *options]) for name, options in ALL]


def run_theirs(keras, name, options, count, dtype):
    """Return Keras's weights after so many steps."""
    torch = pytest.importorskip("torch", reason="Keras computes with PyTorch")
    variables = [
        keras.Variable(v.value, dtype=np.dtype(dtype).name, name=v.name) for v in made(dtype)
    ]
    optimizer = getattr(keras.optimizers, name)(**options)
    for gradients in steps(count, dtype):
        optimizer.apply([torch.tensor(gradient) for gradient in gradients], variables)
    return [variable.numpy() for variable in variables], optimizer


@pytest.mark.parametrize(("name", "options"), ALL, ids=IDS)
def test_as_keras_in_float64(keras, name, options):
    expected, theirs = run_theirs(keras, name, options, 50, np.float64)
    variables = made()
    optimizer = getattr(optimizers, name)(**options)
    for gradients in steps(50):
        optimizer.apply(gradients, variables)
    assert optimizer.iterations == 50
    for variable, other in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.value, other, rtol=1e-12, atol=1e-13)
    ours = optimizer.variables
    assert [each.name for each in theirs.variables] == [
        each.name.removeprefix("layer_") for each in ours
    ]
    for each, other in zip(ours, theirs.variables, strict=True):
        np.testing.assert_allclose(each.value, other.numpy(), rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize(("name", "options"), ALL, ids=IDS)
def test_as_keras_in_float32(keras, name, options):
    keras.config.set_floatx("float32")
    expected, _ = run_theirs(keras, name, options, 3, np.float32)
    variables = made(np.float32)
    optimizer = getattr(optimizers, name)(**options)
    for gradients in steps(3, np.float32):
        optimizer.apply(gradients, variables)
    for variable, other in zip(variables, expected, strict=True):
        assert variable.value.dtype == np.float32
        np.testing.assert_allclose(variable.value, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), ALL, ids=IDS)
def test_float32_follows_float64(name, options):
    """No constant is rounded too early: after 50 steps float32 has only its own rounding."""
    exact, single = made(), made(np.float32)
    for variable, other in zip(exact, single, strict=True):
        variable.value[...] = other.value
    first, second = (getattr(optimizers, name)(**options) for _ in range(2))
    for gradients in steps(50, np.float32):
        first.apply(gradients, exact)
        second.apply(gradients, single)
    for variable, other in zip(exact, single, strict=True):
        np.testing.assert_allclose(other.value, variable.value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "options"), ALL, ids=IDS)
def test_resuming_is_exact(name, options):
    gradients = list(steps(7))
    straight, broken = made(), made()
    whole = getattr(optimizers, name)(**options)
    for each in gradients:
        whole.apply(each, straight)
    first = getattr(optimizers, name)(**options)
    for each in gradients[:3]:
        first.apply(each, broken)
    second = optimizers.deserialize(optimizers.serialize(first))
    resumed = [SimpleNamespace(name=v.name, value=v.value.copy()) for v in broken]
    second.build(resumed)
    second.set_state(first.get_state())
    third = copy.deepcopy(second)
    for each in gradients[3:]:
        second.apply(each, resumed)
    for one, other in zip(straight, resumed, strict=True):
        assert np.array_equal(one.value, other.value)
    # A copy has variables of its own.
    for each in gradients[3:]:
        third.apply(each)
    for one, other in zip(straight, third._variables, strict=True):
        assert np.array_equal(one.value, other.value)
    fourth = pickle.loads(pickle.dumps(second))
    assert fourth.get_state().keys() == second.get_state().keys()


def test_keras_s_own_file_format():
    variables = made()
    optimizer = optimizers.Adam(amsgrad=True)
    for gradients in steps(3):
        optimizer.apply(gradients, variables)
    store = {}
    optimizer.save_own_variables(store)
    assert list(store) == [str(index) for index in range(2 + 3 * len(SHAPES))]
    other = optimizers.Adam(amsgrad=True)
    other.build(made())
    other.load_own_variables(store)
    assert other.learning_rate == 0.001
    state, expected = other.get_state(), optimizer.get_state()
    assert state.keys() == expected.keys()
    assert all(np.array_equal(state[name], expected[name]) for name in state)
    del store["0"]
    with pytest.raises(ValueError, match="store must be of 14 arrays"):
        other.load_own_variables(store)


def test_weights_go_to_keras_and_back(keras):
    for name, options in CASES:
        variables = made(shapes=SHAPES[:2])
        optimizer = getattr(optimizers, name)(**options)
        for gradients in steps(2, shapes=SHAPES[:2]):
            optimizer.apply(gradients, variables)
        theirs = getattr(keras.optimizers, name)(**options)
        theirs.build([keras.Variable(variable.value) for variable in variables])
        theirs.set_weights([each.value for each in optimizer.variables])
        again = getattr(optimizers, name)(**options)
        again.build(made(shapes=SHAPES[:2]))
        again.set_weights([each.numpy() for each in theirs.variables])
        expected = optimizer.get_state()
        for key, value in again.get_state().items():
            np.testing.assert_allclose(value, expected[key], rtol=1e-15)


def test_gradients_are_left_alone_and_may_be_strided():
    rng = np.random.default_rng(3)
    wide = rng.standard_normal((6, 8))
    wide.setflags(write=False)
    for name, options in ALL:
        one, other = made(shapes=[(8, 6)]), made(shapes=[(8, 6)])
        kind = getattr(optimizers, name)
        kind(**options).apply([wide.T], one)
        kind(**options).apply([np.ascontiguousarray(wide.T)], other)
        assert np.array_equal(one[0].value, other[0].value)


def test_arrays_are_changed_in_place_and_empty_ones_are_fine():
    variables = made(shapes=[(2, 3), (0, 4)])
    array = variables[0].value
    optimizer = optimizers.Adam(global_clipnorm=1.0)
    optimizer.apply([np.ones((2, 3)), np.ones((0, 4))], variables)
    assert variables[0].value is array
    assert optimizer.apply_gradients(zip([np.ones((2, 3))], variables[:1], strict=True)) == 2


def test_a_gradient_of_another_precision_is_cast():
    one, other = made(np.float32), made(np.float32)
    gradients = next(iter(steps(1)))
    optimizers.Adam().apply(gradients, one)
    optimizers.Adam().apply([gradient.astype(np.float32) for gradient in gradients], other)
    assert all(np.array_equal(a.value, b.value) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("name", "options"), ALL, ids=IDS)
def test_blocks_do_not_show(monkeypatch, name, options):
    results = []
    for size in (800, 1 << 20):
        monkeypatch.setattr(base, "BLOCK_BYTES", size)
        variables = made()
        optimizer = getattr(optimizers, name)(**options)
        for gradients in steps(3):
            optimizer.apply(gradients, variables)
        results.append(values(variables))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


VARIANTS = [
    ("sgd", {}, []),
    ("sgd", {"momentum": 0.9}, ["momentum"]),
    ("sgd", {"momentum": 0.9, "nesterov": True}, ["momentum"]),
    ("rmsprop", {"rho": 0.9, "epsilon": 1e-7}, ["velocity"]),
    ("rmsprop", {"rho": 0.9, "epsilon": 1e-7, "momentum": 0.7}, ["velocity", "momentum"]),
    ("rmsprop", {"rho": 0.8, "epsilon": 1e-3}, ["velocity", "average_gradient"]),
    (
        "rmsprop",
        {"rho": 0.8, "epsilon": 1e-3, "momentum": 0.7},
        ["velocity", "momentum", "average_gradient"],
    ),
    ("adam", {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}, ["momentum", "velocity"]),
    (
        "adam",
        {"beta_1": 0.9, "beta_2": 0.7, "epsilon": 1e-7},
        ["momentum", "velocity", "velocity_hat"],
    ),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("changes", [{}, {"clip": 0.4, "decay": 0.003}], ids=["", "clipped"])
def test_the_step_has_its_twin_s_bits_on_every_instruction_set(isa, changes, threads, dtype):
    """So no sum has swallowed the rounding of a product, and no piece or thread shows."""
    for (rule, numbers, names), size in itertools.product(VARIANTS, [1, 7, 64, 3 * 2**15 + 5]):
        step = Step(rule, 0.01, **numbers, **changes)
        rng = np.random.default_rng(size)
        ours = [rng.standard_normal(size).astype(dtype) for _ in range(2 + len(names))]
        for array in ours[2:]:
            np.abs(array, out=array)  # a mean of squares is not below zero
        twins = [array.copy() for array in ours]
        for first, factor in ((0.0, 1.0), (np.inf, 0.3), (np.nan, math.nan if changes else 1.7)):
            gradient = rng.standard_normal(size).astype(dtype)
            gradient[:2] = first
            for run, (w, g, *slots) in ((update, ours), (reference.update, twins)):
                g[:] = gradient
                with fc.threads(threads):
                    run(step, w, g, dict(zip(names, slots, strict=True)), factor)
        for array, twin in zip(ours, twins, strict=True):
            np.testing.assert_array_equal(array, twin, strict=True)


def test_unaligned_variables_and_gradients_of_the_same_memory():
    before = np.random.default_rng(0).standard_normal(100)
    memory = bytearray(801)
    unaligned = np.frombuffer(memory, np.uint8)[1:].view(np.float64)
    shared = before.copy()
    for array in (unaligned, shared):
        array[:] = before
        optimizer = optimizers.SGD(learning_rate=0.5, weight_decay=0.5)
        optimizer.apply([array], [SimpleNamespace(name="w", value=array)])
        assert np.array_equal(array, before - before * 0.25 - before * 0.5)
    assert not unaligned.flags.aligned


def test_infinite_gradients_are_seen():
    for option in ("clipnorm", "global_clipnorm"):
        variables = made(shapes=[(3,)])
        with np.errstate(invalid="ignore"):
            optimizers.SGD(**{option: 1.0}).apply([np.array([np.inf, 1.0, 1.0])], variables)
        assert np.isnan(variables[0].value[0])


def test_a_centered_variance_is_never_below_zero():
    """With equal gradients v and mean^2 meet, and rounding decides the sign of what remains."""
    variables = made(np.float32, [(1000,)])
    gradient = np.random.default_rng(0).uniform(1e5, 1e6, 1000).astype(np.float32)
    optimizer = optimizers.RMSprop(centered=True)
    for _ in range(400):
        optimizer.apply([gradient], variables)
    assert np.isfinite(variables[0].value).all()


def test_a_small_decay_is_not_rounded():
    """1 - 0.9e-7 is 1 - 1.2e-7 in float32: weights times that would decay too fast by a third."""
    before = np.random.default_rng(0).uniform(1, 2, 10000).astype(np.float32)
    variables = [SimpleNamespace(name="w", value=before.copy())]
    optimizer = optimizers.SGD(learning_rate=1e-3, weight_decay=0.9e-4)
    optimizer.apply([np.zeros_like(before)], variables)
    part = (before.astype(np.float64) - variables[0].value) / before
    assert part.mean() == pytest.approx(0.9e-7, rel=0.15)


# The learning rate.

SCHEDULES = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}),
    (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True},
    ),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}),
    (
        "InverseTimeDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True},
    ),
    ("PiecewiseConstantDecay", {"boundaries": [3, 10], "values": [0.1, 0.05, 0.01]}),
    ("PiecewiseConstantDecay", {"boundaries": [3], "values": [0.1, 0.05]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "power": 2.0}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "cycle": True}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 11, "alpha": 0.1}),
    (
        "CosineDecay",
        {
            "initial_learning_rate": 0.01,
            "decay_steps": 11,
            "warmup_target": 0.1,
            "warmup_steps": 5,
        },
    ),
]


@pytest.mark.parametrize(("name", "options"), SCHEDULES)
def test_schedules_as_keras(keras, name, options):
    schedule = getattr(schedules, name)(**options)
    other = getattr(keras.optimizers.schedules, name)(**options)
    for step in range(30):
        rate = schedule(step)
        assert type(rate) is float
        assert rate == pytest.approx(float(other(step)), rel=1e-12)
    config = schedules.serialize(schedule)
    assert schedules.deserialize(config).get_config() == schedule.get_config()
    again = keras.optimizers.schedules.deserialize(config)
    assert again.get_config() == other.get_config()


@pytest.mark.parametrize(("name", "options"), SCHEDULES[::3])
def test_an_optimizer_follows_its_schedule(keras, name, options):
    theirs = {"learning_rate": getattr(keras.optimizers.schedules, name)(**options)}
    more = {"momentum": 0.9, "weight_decay": 0.01}
    expected, other = run_theirs(keras, "SGD", {**theirs, **more}, 20, np.float64)
    optimizer = optimizers.SGD(getattr(schedules, name)(**options), **more)
    variables = made()
    for gradients in steps(20):
        optimizer.apply(gradients, variables)
    for variable, value in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable.value, value, rtol=1e-12, atol=1e-13)
    assert len(optimizer.variables) == len(other.variables) == 1 + len(SHAPES)
    assert "learning_rate" not in optimizer.get_state()
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.learning_rate == optimizer._learning_rate(0)
    with pytest.raises(TypeError, match="learning_rate must be a schedule"):
        optimizer.learning_rate = 0.1


def test_the_learning_rate_is_settable():
    optimizer = optimizers.Adam()
    assert optimizer.learning_rate == 0.001
    optimizer.learning_rate = np.float32(0.5)
    assert optimizer.learning_rate == 0.5
    assert type(optimizer.learning_rate) is float
    optimizer.learning_rate = lambda: 0.25
    assert optimizer.learning_rate == 0.25
    with pytest.raises(TypeError, match="a number or a schedule"):
        optimizer.get_config()
    optimizer.learning_rate = schedules.ExponentialDecay(1.0, 1, 0.5)
    optimizer.apply([np.ones(1)], made(shapes=[(1,)]))
    assert optimizer.learning_rate == 0.5


# Names, configurations, errors.


@pytest.mark.parametrize(("name", "options"), ALL, ids=IDS)
def test_configurations_are_keras_s(keras, name, options):
    keras.config.set_floatx("float64")
    optimizer = getattr(optimizers, name)(**options)
    other = keras.optimizers.deserialize(optimizers.serialize(optimizer))
    config = other.get_config()
    assert optimizer.get_config().items() <= config.items()
    again = optimizers.deserialize(keras.optimizers.serialize(other))
    assert again.get_config() == optimizer.get_config()


def test_get():
    for name, kind in (("adam", "Adam"), ("SGD", "SGD"), ("sgd", "SGD"), ("RMSprop", "RMSprop")):
        assert type(optimizers.get(name)).__name__ == kind
    own = optimizers.SGD(name="own")
    assert optimizers.get(own) is own
    assert type(optimizers.get(optimizers.Adam)) is optimizers.Adam
    with pytest.raises(ValueError, match="one of Adam, RMSprop, SGD, got 'adagrad'"):
        optimizers.get("adagrad")
    with pytest.raises(TypeError, match=r"optimizers\.get: identifier"):
        optimizers.get(None)


def step(optimizer, gradients, variables):
    optimizer.apply(gradients, variables)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: optimizers.SGD(lr=0.1), ValueError, "SGD: lr must be given as learning_rate"),
        (lambda: optimizers.Adam(decay=0.1), ValueError, "learning_rate=schedules.InverseTime"),
        (lambda: optimizers.Adam(beta=0.1), ValueError, "beta must be an argument that exists"),
        (lambda: optimizers.Adam(use_ema=True), ValueError, "use_ema must be False"),
        (lambda: optimizers.SGD("fast"), TypeError, "learning_rate must be a finite number"),
        (lambda: optimizers.SGD(-1), ValueError, "of at least 0, got -1"),
        (lambda: optimizers.SGD(math.nan), ValueError, "learning_rate"),
        (lambda: optimizers.SGD(momentum=2), ValueError, "at most 1, got 2"),
        (lambda: optimizers.SGD(nesterov=1), TypeError, "nesterov must be True or False"),
        (lambda: optimizers.SGD(clipnorm=0), ValueError, "clipnorm must be a finite number above"),
        (lambda: optimizers.SGD(clipnorm=1, clipvalue=1), ValueError, "the only one of"),
        (
            lambda: optimizers.Adam(beta_1=1.0),
            ValueError,
            "beta_1 must be a number from 0 to below",
        ),
        (lambda: optimizers.Adam(name=1), TypeError, "name must be a str"),
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), ValueError, "decay_steps"),
        (lambda: schedules.PiecewiseConstantDecay([1, 2], [1]), ValueError, "of length 3"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 1, 1]), ValueError, "increasing"),
        (lambda: schedules.deserialize({"class_name": "No"}), ValueError, "got 'No'"),
        (lambda: optimizers.SGD().apply([np.ones(2)]), ValueError, "build"),
        (lambda: step(optimizers.SGD(), [np.ones(2)], []), ValueError, "grads must be 0"),
        (lambda: step(optimizers.SGD(), [np.ones(2)], made(shapes=[(3,)])), ValueError, r"\(3,\)"),
        (lambda: step(optimizers.SGD(), [None], made(shapes=[(3,)])), TypeError, "got None"),
        (
            lambda: step(optimizers.SGD(), [np.ones(3, int)], made(shapes=[(3,)])),
            TypeError,
            "an array of floats",
        ),
        (
            lambda: step(optimizers.SGD(), [np.ones(3)], [SimpleNamespace(value=[1.0])]),
            TypeError,
            "C-contiguous",
        ),
        (
            lambda: optimizers.SGD().build([SimpleNamespace(name="w", value=np.ones((3, 2)).T)]),
            ValueError,
            "w.value must be a C-contiguous",
        ),
        (lambda: optimizers.SGD().build(made(shapes=[()]) * 2), ValueError, "one of them twice"),
        (lambda: optimizers.SGD().set_weights([]), ValueError, "not built"),
        (lambda: optimizers.SGD().set_state({}), ValueError, "a difference in iterations"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_an_error_changes_nothing():
    variables = made(shapes=[(3,), (2,)])
    optimizer = optimizers.Adam()
    optimizer.build(variables)
    before = values(variables)
    with pytest.raises(ValueError, match=r"grads\[1\] must be of shape"):
        optimizer.apply([np.ones(3), np.ones(3)], variables)
    assert optimizer.iterations == 0
    assert all(np.array_equal(a.value, b) for a, b in zip(variables, before, strict=True))
    assert not any(slot.any() for slot in optimizer._slots["momentum"])
    with pytest.raises(ValueError, match="layer/v0', which it doesn't know"):
        optimizer.apply([np.ones(3)], made(shapes=[(3,)]))
