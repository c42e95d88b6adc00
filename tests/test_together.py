"""Many Python threads call operations and models at once, each on threads of its own.

`make tsan` runs this under the thread sanitizer, which sees what no comparison of results does.
"""

import sys
import threading
from functools import partial

import numpy as np
import pytest
from arrays import assert_same
from cases import CONV4D_CASES, DATA_FORMATS, DENSE_CASES, FEW_CASES, NAMED, POOL_CASES
from cases import TRANSPOSE_CASES as TRANSPOSED
from problems import conv_problem
from test_determinism import all_pools, all_results
from test_kernels import accepting, geometry_of, views

import fastconv as fc
from fastconv import layers, models, plan
from fastconv.layers.naming import automatic_name
from fastconv.ops.dense import dense, dense_grad_w, dense_grad_x
from fastconv.ops.pool_codes import max_pool2d_codes, max_pool2d_codes_grad_x
from fastconv.ops.update import Step, update

PYTHON_THREADS = 8
# With these every row of the plan runs, but relaid forward and grad_x, which take large images.
ROWS = ("6x6_colour", "7x7_stem", "depthwise_7x7", "3x3_width_150", "wide_band", "2x2_small_map")
CASES = (*FEW_CASES, *(NAMED[name] for name in ROWS))
formats = pytest.mark.parametrize("data_format", DATA_FORMATS)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])


def in_many_threads(function, rounds=3):
    """What every call of `function` returned; the first error is raised.

    Threads call it with their number, and under as many threads of the engine as that says.
    """
    results, errors = [], []
    start = threading.Barrier(PYTHON_THREADS)

    def work(number):
        start.wait()
        try:
            with fc.threads(1 + number % 4):
                results.extend(function(number) for _ in range(rounds))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(PYTHON_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    assert len(results) == rounds * PYTHON_THREADS
    return results


def check_together(function, rounds=1):
    """Compare what `function` returns to each of many threads with what it returns to one."""
    want = function()
    for found in in_many_threads(lambda number: function(), rounds):
        for got, wanted in zip(found, want, strict=True):
            assert_same(got, wanted)


@pytest.fixture(autouse=True)
def three_threads(threads_for_little_work):
    before = fc.get_num_threads()
    fc.set_num_threads(3)
    yield
    fc.set_num_threads(before)


def data(*shape, dtype=np.float32):
    return np.random.default_rng(7).standard_normal(shape).astype(dtype)


def every_row(case, dtype, data_format):
    """Yield what the rows of the plan that accept a case make of it."""
    geometry, problem = geometry_of(case, data_format), conv_problem("conv2d", case, dtype)
    x, _, bias, grad = problem.arrays_in(data_format)
    w, _ = views(problem.w, data_format)
    direct = dtype == "int64"
    for row in accepting("forward", geometry, direct):
        yield (out := np.zeros(geometry.out_shape, dtype))
        row.run(geometry, x, w, bias, out, True)
    for row in accepting("grad_x", geometry, direct):
        yield (out := np.zeros(geometry.x_shape, dtype))
        row.run(geometry, grad, w, None, out)
    for row in accepting("grad_w", geometry, direct):
        out, biases = np.zeros(w.shape, dtype), np.zeros(geometry.filters, dtype)
        yield from (out, biases)
        row.run(geometry, grad, x, out, *([biases] if row.sums_grad(geometry) else []))


@formats
@dtypes
def test_every_row(dtype, data_format):
    arrays = partial(every_row, dtype=dtype, data_format=data_format)
    check_together(lambda: [array for case in CASES for array in arrays(case)])


@dtypes
def test_convolutions(dtype):
    """As users call them: prepared, of small images, with weights that are not finite."""
    x, w = data(2, 3, 9, 9), data(4, 3, 3, 3)
    w[0, 0, 0, 0] = np.inf
    calls = [partial(lambda: [fc.conv2d(x, w, padding=1)])] if dtype == "float32" else []
    for data_format in DATA_FORMATS:
        calls += [partial(all_results, "conv2d", c, dtype, data_format) for c in FEW_CASES]
        calls += [
            partial(all_results, "conv_transpose2d", c, dtype, data_format) for c in TRANSPOSED
        ]
    calls += [partial(all_results, "conv4d", case, dtype, "NCHW") for case in CONV4D_CASES]
    check_together(lambda: [result for call in calls for result in call()])


@formats
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pools(dtype, data_format):
    def function():
        results = [all_pools(case, dtype, data_format) for case in POOL_CASES]
        for relu in (False, True):
            x = data(3, 12, 13, 24, dtype=dtype) - 0.5
            out, codes = max_pool2d_codes(x, 2, relu=relu, data_format=data_format)
            grad_x = max_pool2d_codes_grad_x(out, codes, x.shape, 2, data_format=data_format)
            results.append((out, codes, grad_x))
        return [array for arrays in results for array in arrays]

    check_together(function)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint64"])
def test_pools_of_integers(dtype):
    x = (10 * data(3, 4, 20, 33)).astype(dtype)
    check_together(lambda: [fc.max_pool2d(x, 3, 2, 1), *fc.max_pool2d(x, 2, return_indices=True)])


def test_dense_layers_and_optimizers():
    def function():
        results = []
        for rows, channels, units in DENSE_CASES:
            x, w, grad = data(rows, channels), data(channels, units), data(rows, units)
            results += [dense(x, w, w[0]), dense_grad_x(grad, w), dense_grad_w(grad, x)]
        for rule in ("sgd", "rmsprop", "adam"):
            names = ("momentum", "velocity", "average_gradient", "velocity_hat")
            slots = {
                name: np.ones(40_000, np.float32) for name in names[: 4 if rule != "sgd" else 1]
            }
            w = data(40_000)
            step = Step(rule, 0.1, momentum=0.9, rho=0.9, beta_1=0.9, beta_2=0.99, epsilon=1e-6)
            update(step, w, data(40_000), slots)
            results += [w, *slots.values()]
        return results

    check_together(function)


def test_one_prepared_convolution():
    x, w = data(3, 16, 14, 14), data(16, 16, 3, 3)
    want = [fc.conv2d(x[:, :, :size], w, padding="same") for size in range(4, 14)]
    prepared = fc.prepare_conv2d(w, padding="same")  # packs its weights in the first calls
    function = lambda number: [prepared(x[:, :, :size]) for size in range(4, 14)]  # noqa: E731
    for found in in_many_threads(function):
        for got, wanted in zip(found, want, strict=True):
            assert_same(got, wanted)


def test_small_calls():
    """More shapes than a function keeps, so that threads take each other's places."""
    images = [data(1, 1, height, width) for height in range(5, 25) for width in range(5, 25)]
    w = data(1, 1, 2, 3)

    def function():
        results = [fc.conv2d(x, w) for x in images] + [
            fc.conv2d_grad_x(x, w, (1, 1, *(np.add(x.shape[2:], (1, 2)).tolist()))) for x in images
        ]
        return results + [fc.max_pool2d(x, 2) for x in images]

    check_together(function)


def test_threads_and_precision_are_each_thread_s_own():
    x, w = data(2, 32, 20, 20), data(32, 32, 3, 3)
    wanted = {"high": fc.conv2d(x, w, padding=1)}
    with fc.precision("highest"):
        wanted["highest"] = fc.conv2d(x, w, padding=1)
    assert not np.array_equal(wanted["high"], wanted["highest"])

    def function(number):
        level = "highest" if number % 2 else "high"
        for _ in range(5):
            if number == 0:  # nobody's result depends on it
                fc.set_num_threads(1 + fc.get_num_threads() % 4)
                fc.show_config(mode="dicts")
            with fc.threads(1 + number), fc.precision(level):
                assert fc.get_num_threads() == 1 + number
                assert_same(fc.conv2d(x, w, padding=1), wanted[level])
            assert fc.get_num_threads() == 1 + number % 4

    in_many_threads(function)


def network(size=10):
    parts = [
        *(layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(2)),
        *(layers.SeparableConv2D(8, 3, padding="same"), layers.BatchNormalization()),
        *(layers.DepthwiseConv2D(3, padding="same", activation="relu"), layers.AveragePooling2D(2)),
        *(layers.Conv2DTranspose(6, 3, strides=2), layers.Dropout(0.2, seed=3), layers.Flatten()),
    ]
    return models.Sequential([layers.Input((size, size, 3)), *parts, layers.Dense(5)])


def test_one_model_predicts():
    model, x = network(), data(8, 10, 10, 3)
    want = model.predict(x, verbose=0)
    for found in in_many_threads(lambda number: model.predict(x, batch_size=3, verbose=0)):
        assert_same(found, want)


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_models_of_their_own_are_fitted(optimizer):
    x, y = data(24, 10, 10, 3), data(24, 5)
    weights = network().get_weights()

    def function():
        model = network()
        model.set_weights(weights)
        model.compile(optimizer, "mse")
        history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
        return [*model.get_weights(), np.array(history.history["loss"])]

    check_together(function)


def test_no_name_is_given_twice():
    classes = [f"Layer{i}" for i in range(100)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        names = in_many_threads(lambda number: [automatic_name(name) for name in classes])
    finally:
        sys.setswitchinterval(before)
    assert len({name for some in names for name in some}) == len(names) * len(classes)


def test_every_row_was_there():
    chosen = {
        (op, row.name)
        for case in CASES
        for data_format in DATA_FORMATS
        for op in plan.ROWS
        for row in accepting(op, geometry_of(case, data_format))
    }
    assert {(op, row.name) for op, rows in plan.ROWS.items() for row in rows} == chosen
