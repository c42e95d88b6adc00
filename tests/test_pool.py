"""The pools and their gradients against their twins, in every type, layout and ISA."""

from functools import partial

import numpy as np
import pytest
from arrays import LAYOUTS, assert_close, assert_same, generator, images_in, make_array
from cases import DATA_FORMATS, POOL_CASES
from problems import PoolProblem, every, pool_problem
from test_conv import outs

import fastconv as fc
from fastconv import reference

cases = partial(pytest.mark.parametrize, "case", ids=str)
formats = every(data_format=DATA_FORMATS)
FLOATS = ["float32", "float64", "float16"]
INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


def maximum(problem, x, data_format):
    return fc.max_pool2d(x, **problem.case.keywords, return_indices=True, data_format=data_format)


@cases(POOL_CASES)
@every(dtype=FLOATS + INTEGERS)
@formats
def test_max_pool2d(isa, case, dtype, data_format):
    problem = pool_problem(case, dtype)
    x, grad = images_in(data_format, problem.x), images_in(data_format, problem.grad)
    copies = x.copy(), grad.copy()
    out, indices = maximum(problem, x, data_format)
    want = [images_in(data_format, array) for array in problem.maximum_and_indices]
    assert_same(out, want[0])
    assert_same(indices, want[1])
    assert_same(fc.max_pool2d(x, **case.keywords, data_format=data_format), want[0])
    got = fc.max_pool2d_grad_x(grad, indices, x.shape, data_format=data_format)
    assert_close(got, images_in(data_format, problem.maximum_grad_x), dtype)
    assert_same(x, copies[0])
    assert_same(grad, copies[1])


NEAR = [case for case in POOL_CASES if case.name.startswith(("2x2_s", "3x3_s1", "3x3_s2"))]


@cases(NEAR)
@every(dtype=["float32", "float64", "int64"])
@formats
def test_max_pool2d_grad_x_of_any_indices(isa, case, dtype, data_format):
    """Some or all of the indices are outside of the windows that their sizes are those of."""
    problem = pool_problem(case, dtype)
    grad = images_in(data_format, problem.grad)
    shape = images_in(data_format, problem.x).shape
    rng, pixels = generator(case.name), case.x[2] * case.x[3]
    keywords = {"data_format": data_format}
    for share in (0.001, 1.0):
        indices = images_in(data_format, problem.maximum_and_indices[1]).copy()
        some = rng.random(indices.shape) < share
        some.flat[rng.integers(some.size)] = True
        indices[some] = rng.integers(0, pixels, indices.shape)[some]
        want = reference.max_pool2d_grad_x(grad, indices, shape, **keywords)
        assert_close(fc.max_pool2d_grad_x(grad, indices, shape, **keywords), want, dtype)
        for wrong in (pixels, -1, 1 << 32, -(1 << 32)):
            indices.flat[-1] = wrong if wrong in (pixels, -1) else indices.flat[-1] + wrong
            with pytest.raises(ValueError, match="indices"):
                fc.max_pool2d_grad_x(grad, indices, shape, **keywords)


@cases(POOL_CASES)
@every(dtype=[*FLOATS, "int64", "uint8"])
@formats
def test_avg_pool2d(isa, case, dtype, data_format):
    problem = pool_problem(case, dtype)
    x, grad = images_in(data_format, problem.x), images_in(data_format, problem.grad)
    copies = x.copy(), grad.copy()
    keywords = {**case.average_keywords, "data_format": data_format}
    result = "float64" if "int" in dtype else dtype
    out = fc.avg_pool2d(x, **keywords)
    assert_close(out, images_in(data_format, problem.average), result)
    got = fc.avg_pool2d_grad_x(grad, x.shape, **keywords)
    assert_close(got, images_in(data_format, problem.average_grad_x), result)
    assert_same(x, copies[0])
    assert_same(grad, copies[1])


def spoiled(case, dtype):
    """Return a problem whose image holds NaN, inf, -inf, ties, and zeros of both signs."""
    problem = PoolProblem(case, dtype)
    rng = generator(case.name)
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0], dtype)
    problem.x[...] = rng.choice(values, case.x, p=[0.06, 0.1, 0.24, 0.15, 0.15, 0.15, 0.15])
    return problem


@cases(POOL_CASES)
@every(dtype=FLOATS)
@formats
def test_ties_nan_and_infinities(isa, case, dtype, data_format):
    problem = spoiled(case, dtype)
    x = images_in(data_format, problem.x)
    out, indices = maximum(problem, x, data_format)
    want = [images_in(data_format, array) for array in problem.maximum_and_indices]
    assert_same(out, want[0])
    assert_same(indices, want[1])
    assert_same(fc.max_pool2d(x, **case.keywords, data_format=data_format), want[0])
    keywords = {**case.average_keywords, "data_format": data_format}
    assert_close(fc.avg_pool2d(x, **keywords), images_in(data_format, problem.average), dtype)
    keywords = {"data_format": data_format}
    got = fc.max_pool2d_grad_x(want[0], want[1], x.shape, **keywords)
    assert_close(got, reference.max_pool2d_grad_x(want[0], want[1], x.shape, **keywords))
    keywords = {**case.average_keywords, "data_format": data_format}
    got = fc.avg_pool2d_grad_x(want[0], x.shape, **keywords)
    assert_close(got, reference.avg_pool2d_grad_x(want[0], x.shape, **keywords))


@cases(POOL_CASES)
@every(dtype=["float32", "float64", "int8", "uint64"])
@formats
def test_the_lowest_number_everywhere(isa, case, dtype, data_format):
    """Padding must not win over it, and the first element of a window must."""
    lowest = -np.inf if "float" in dtype else np.iinfo(dtype).min
    x = images_in(data_format, np.full(case.x, lowest, dtype))
    problem = pool_problem(case, dtype)
    out, indices = maximum(problem, x, data_format)
    want = reference.max_pool2d(x, **case.keywords, return_indices=True, data_format=data_format)
    assert_same(out, want[0])
    assert_same(indices, want[1])


@cases(POOL_CASES[::3])
@every(layout=LAYOUTS)
@every(dtype=["float32", "float64", "int32"])
@formats
def test_layouts(isa, case, layout, dtype, data_format):
    problem = pool_problem(case, dtype)
    make = LAYOUTS[layout]
    x, grad = images_in(data_format, problem.x), images_in(data_format, problem.grad)
    out, indices = maximum(problem, make(x), data_format)
    want = [images_in(data_format, array) for array in problem.maximum_and_indices]
    assert_same(out, want[0])
    assert_same(indices, want[1])
    got = fc.max_pool2d_grad_x(make(grad), make(indices), x.shape, data_format=data_format)
    assert_same(got, fc.max_pool2d_grad_x(grad, indices, x.shape, data_format=data_format))
    keywords = {**case.average_keywords, "data_format": data_format}
    assert_same(fc.avg_pool2d(make(x), **keywords), fc.avg_pool2d(x, **keywords))
    got = fc.avg_pool2d_grad_x(make(grad), x.shape, **keywords)
    assert_same(got, fc.avg_pool2d_grad_x(grad, x.shape, **keywords))


@cases(POOL_CASES)
@every(dtype=["float32", "float64", "float16", "uint8"])
@formats
def test_out(isa, case, dtype, data_format):
    problem = pool_problem(case, dtype)
    x, grad = images_in(data_format, problem.x), images_in(data_format, problem.grad)
    keywords = {"data_format": data_format}
    _, indices = maximum(problem, x, data_format)
    for call in (
        partial(fc.max_pool2d, x, **case.keywords, **keywords),
        partial(fc.max_pool2d_grad_x, grad, indices, x.shape, **keywords),
        partial(fc.avg_pool2d, x, **case.average_keywords, **keywords),
        partial(fc.avg_pool2d_grad_x, grad, x.shape, **case.average_keywords, **keywords),
    ):
        want = call()
        for kind, out in outs(want.shape, want.dtype).items():
            assert call(out=out) is out, kind
            assert_same(out, want)
    plain = outs(indices.shape, dtype)["every_second"]
    got, got_indices = fc.max_pool2d(x, **case.keywords, **keywords, return_indices=True, out=plain)
    assert got is plain
    assert_same(got_indices, indices)


@formats
@pytest.mark.parametrize(("samples", "channels"), [(0, 3), (2, 0), (0, 0)])
def test_empty(isa, samples, channels, data_format):
    x = images_in(data_format, np.zeros((samples, channels, 5, 6), np.float32))
    keywords = {"data_format": data_format}
    out, indices = fc.max_pool2d(x, 2, return_indices=True, **keywords)
    assert out.shape == reference.max_pool2d(x, 2, **keywords).shape
    assert indices.dtype == np.int64
    assert fc.max_pool2d_grad_x(out, indices, x.shape, **keywords).shape == x.shape
    assert_same(fc.avg_pool2d(x, 2, **keywords), reference.avg_pool2d(x, 2, **keywords))
    assert fc.avg_pool2d_grad_x(out, x.shape, 2, **keywords).shape == x.shape


@every(dtype=["float32", "float64"])
def test_max_pool2d_of_bfloat16(isa, dtype):
    bfloat16 = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed").bfloat16
    x = make_array(generator("bfloat16"), (2, 3, 9, 20), dtype).astype(bfloat16)
    out, indices = fc.max_pool2d(x, 3, 2, 1, return_indices=True)
    want = reference.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert out.dtype == bfloat16
    assert_same(out.astype(dtype), want[0].astype(dtype))
    assert_same(indices, want[1])
    assert_close(
        fc.avg_pool2d(x, 3, 2, 1), reference.avg_pool2d(x.astype(dtype), 3, 2, 1), bfloat16
    )
    got = fc.max_pool2d_grad_x(out, indices, x.shape)
    want = reference.max_pool2d_grad_x(out.astype(dtype), indices, x.shape)
    assert_close(got, want, bfloat16)


@every(dtype=["float32", "float64"])
def test_against_torch(isa, torch, dtype):
    x = make_array(generator("torch"), (3, 17, 30, 29), dtype)
    tensor = torch.tensor(x, requires_grad=True)
    want, want_indices = torch.nn.functional.max_pool2d(tensor, 3, 2, 1, return_indices=True)
    grad = make_array(generator("grad"), want.shape, dtype)
    want.backward(torch.tensor(grad))
    out, indices = fc.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert_same(out, want.detach().numpy())
    assert_same(indices, want_indices.numpy())
    assert_close(fc.max_pool2d_grad_x(grad, indices, x.shape), tensor.grad.numpy())
    tensor.grad = None
    want = torch.nn.functional.avg_pool2d(tensor, 3, 2, 1)
    want.backward(torch.tensor(grad))
    assert_close(fc.avg_pool2d(x, 3, 2, 1), want.detach().numpy())
    assert_close(fc.avg_pool2d_grad_x(grad, x.shape, 3, 2, 1), tensor.grad.numpy())


@cases(POOL_CASES)
@formats
def test_gradients_are_adjoint(isa, case, data_format):
    problem = pool_problem(case, "float64")
    x, grad = images_in(data_format, problem.x), images_in(data_format, problem.grad)
    out, indices = maximum(problem, x, data_format)
    keywords = {**case.average_keywords, "data_format": data_format}
    for value, grad_x in (
        (out, fc.max_pool2d_grad_x(grad, indices, x.shape, data_format=data_format)),
        (fc.avg_pool2d(x, **keywords), fc.avg_pool2d_grad_x(grad, x.shape, **keywords)),
    ):
        product, scale = np.vdot(grad, value), np.abs(grad * value).sum()
        assert abs(np.vdot(grad_x, x) - product) <= 1e-13 * scale
