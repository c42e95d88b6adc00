"""The max pool of training: its codes against their twin, its gradient against that of indices."""

from functools import partial

import numpy as np
import pytest
from arrays import LAYOUTS, assert_close, assert_same, generator, images_in, make_array
from cases import DATA_FORMATS, POOL_CASES
from problems import PoolProblem, every, pool_problem
from test_pool import spoiled
from test_pool_pieces import CASES as PIECES

import fastconv as fc
from fastconv import layers, plan, reference
from fastconv.layers import Training
from fastconv.models import Sequential
from fastconv.ops.pool_codes import max_pool2d_codes, max_pool2d_codes_grad_x

cases = partial(pytest.mark.parametrize, "case", ids=str)
formats = every(data_format=DATA_FORMATS)
relus = every(relu=[False, True])
FLOATS = ["float32", "float64", "float16"]


def taps(case):
    return int(np.prod(np.broadcast_to(case.kernel_size, 2)))


def check(case, x, grad, data_format, relu):
    """Check a pool and its gradient against the twins, and, bit by bit, against indices."""
    sizes = {**case.keywords, "data_format": data_format}
    out, codes = max_pool2d_codes(x, **sizes, relu=relu)
    want, want_codes = reference.max_pool2d_codes(x, **sizes, relu=relu)
    assert_same(out, want)
    assert_same(codes, want_codes)
    assert codes.dtype == (np.uint8 if taps(case) <= 255 else np.int64)
    grad_x = max_pool2d_codes_grad_x(grad, codes, x.shape, **sizes)
    assert_close(grad_x, reference.max_pool2d_codes_grad_x(grad, codes, x.shape, **sizes), x.dtype)
    passed = np.where(out > 0, grad, grad.dtype.type(0)) if relu else grad
    _, indices = fc.max_pool2d(x, **sizes, return_indices=True)
    want = fc.max_pool2d_grad_x(passed, indices, x.shape, data_format=data_format)
    assert_same(grad_x, want)


def arrays_of(problem, data_format):
    return [images_in(data_format, array) for array in (problem.x, problem.grad)]


@cases(POOL_CASES)
@every(dtype=FLOATS)
@formats
@relus
def test_codes(isa, case, dtype, data_format, relu):
    x, grad = arrays_of(pool_problem(case, dtype), data_format)
    copies = x.copy(), grad.copy()
    check(case, x, grad, data_format, relu)
    assert_same(x, copies[0])
    assert_same(grad, copies[1])


@cases(POOL_CASES)
@every(dtype=FLOATS)
@formats
@relus
def test_ties_nan_and_infinities(isa, case, dtype, data_format, relu):
    problem = spoiled(case, dtype)
    x, grad = arrays_of(problem, data_format)
    values = np.array([np.nan, np.inf, 0.0, -0.0, 1.0], dtype)
    grad[...] = generator("grad").choice(values, grad.shape, p=[0.05, 0.05, 0.3, 0.3, 0.3])
    check(case, x, grad, data_format, relu)


@cases(POOL_CASES)
@every(dtype=["float32", "float64"])
@formats
def test_nothing_above_minus_infinity(isa, case, dtype, data_format):
    """Padding must not win over it, and the first element of a window must."""
    problem = PoolProblem(case, dtype)
    problem.x[...] = -np.inf
    x, grad = arrays_of(problem, data_format)
    check(case, x, grad, data_format, False)
    _, codes = max_pool2d_codes(x, **case.keywords, data_format=data_format, relu=True)
    assert (codes == (255 if taps(case) <= 255 else -1)).all()


@cases(POOL_CASES[::4])
@every(layout=LAYOUTS)
@every(dtype=["float32", "float16"])
@formats
def test_layouts(isa, case, layout, dtype, data_format):
    x, grad = arrays_of(pool_problem(case, dtype), data_format)
    sizes = {**case.keywords, "data_format": data_format}
    want, codes = max_pool2d_codes(x, **sizes, relu=True)
    out, got = max_pool2d_codes(LAYOUTS[layout](x), **sizes, relu=True)
    assert_same(out, want)
    assert_same(got, codes)
    want = max_pool2d_codes_grad_x(grad, codes, x.shape, **sizes)
    assert_same(max_pool2d_codes_grad_x(LAYOUTS[layout](grad), codes, x.shape, **sizes), want)


@cases([case for case in PIECES if taps(case) <= 255])
@every(dtype=["float32", "float64"])
@formats
def test_pieces(isa, case, dtype, data_format):
    x, grad = arrays_of(pool_problem(case, dtype), data_format)
    check(case, x, grad, data_format, True)


@formats
@pytest.mark.parametrize(("samples", "channels"), [(0, 3), (2, 0), (0, 0)])
def test_empty(isa, samples, channels, data_format):
    x = images_in(data_format, np.zeros((samples, channels, 5, 6), np.float32))
    out, codes = max_pool2d_codes(x, 2, data_format=data_format, relu=True)
    assert out.shape == codes.shape == reference.max_pool2d(x, 2, data_format=data_format).shape
    got = max_pool2d_codes_grad_x(out, codes, x.shape, 2, data_format=data_format)
    assert got.shape == x.shape


def test_bfloat16(isa):
    bfloat16 = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed").bfloat16
    x = make_array(generator("bfloat16"), (2, 9, 20, 3), "float32").astype(bfloat16)
    sizes = {"kernel_size": 3, "stride": 2, "padding": 1, "data_format": "NHWC"}
    out, codes = max_pool2d_codes(x, **sizes, relu=True)
    wide, want = max_pool2d_codes(x.astype(np.float32), **sizes, relu=True)
    assert out.dtype == bfloat16
    assert_same(out.astype(np.float32), wide)
    assert_same(codes, want)
    grad_x = max_pool2d_codes_grad_x(out, codes, x.shape, **sizes)
    assert grad_x.dtype == bfloat16


LARGER = {
    "side_by_side": ((1, 17, 130, 131), 2, 2, 0),
    "overlapping": ((1, 17, 130, 131), 3, 2, 1),
    "apart": ((2, 33, 60, 61), 2, 3, 1),
    "half_beside": ((2, 33, 60, 61), (3, 2), 2, (1, 0)),
}


@pytest.mark.parametrize("name", LARGER)
@every(dtype=["float32", "float64"])
@formats
def test_any_number_of_threads(isa, name, dtype, data_format):
    """Work enough for all of them, of images fewer than they are."""
    shape, *sizes = LARGER[name]
    x = images_in(data_format, make_array(generator(name), shape, dtype))
    results = []
    for threads in (1, 2, 3, 5, 8):
        with fc.threads(threads):
            out, codes = max_pool2d_codes(x, *sizes, data_format=data_format, relu=True)
            grad_x = max_pool2d_codes_grad_x(out, codes, x.shape, *sizes, data_format=data_format)
            _, indices = fc.max_pool2d(x, *sizes, data_format=data_format, return_indices=True)
            results.append((out, codes, grad_x, indices))
    for others in results[1:]:
        for got, want in zip(others, results[0], strict=True):
            assert_same(got, want)


# --------------------------------------------------------------------------------- layers


def network(pool):
    return Sequential(
        [
            layers.Input((15, 14, 3)),
            layers.Conv2D(5, 3, padding="same", activation="relu"),
            pool(),
            layers.Conv2D(6, 3),
            pool(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


POOLS = {
    "side_by_side": partial(layers.MaxPooling2D, 2),
    "overlapping": partial(layers.MaxPooling2D, 3, 1, "same"),
    "large": partial(layers.MaxPooling2D, 17, 1, "same"),
}


def trained(pool):
    model = network(pool)
    rng = generator("weights")
    for variable in model.trainable_weights:
        variable.assign(rng.standard_normal(variable.shape) / 4)
    x = rng.standard_normal((24, 15, 14, 3)).astype(np.float32)
    model.compile("adam", "mse")
    model.fit(x, x[:, 0, 0, :2], batch_size=8, epochs=3, shuffle=False, verbose=0)
    return [variable.value for variable in model.trainable_weights]


@pytest.mark.parametrize("pool", POOLS)
def test_training_is_what_it_is_with_indices(isa, pool, monkeypatch):
    by_codes = trained(POOLS[pool])
    monkeypatch.setattr(plan, "max_pool_codes_fit", lambda geometry: False)
    for got, want in zip(by_codes, trained(POOLS[pool]), strict=True):
        assert np.isfinite(want).all()
        assert_same(got, want)


@pytest.mark.parametrize("pool", ["side_by_side", "overlapping"])
def test_a_layer_keeps_a_byte_a_window(pool):
    model = network(POOLS[pool])
    x = np.ones((2, 15, 14, 3), np.float32)
    _, saved = model.forward(x, Training())
    for number in (1, 3):
        codes, _ = saved[number]
        assert codes.dtype == np.uint8
