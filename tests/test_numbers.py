"""Convolutions of numbers that break careless arithmetic, and what holds for any numbers."""

from functools import cache, partial

import numpy as np
import pytest
from arrays import assert_close, generator, make_array
from cases import CONV4D_CASES, FEW_CASES, MODERATE_CASES, NAMED, TRANSPOSE_CASES, Case
from problems import ConvProblem, conv_problem, every

import fastconv as fc
from fastconv import reference
from fastconv._core import runtime

cases = partial(pytest.mark.parametrize, "case", ids=str)
floats = every(dtype=["float32", "float64"])
some_floats = pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)]
)
NOT_FINITE = (np.inf, -np.inf, np.nan)
EVERY_OPERATION = [  # as (operation, case); the large ones stay out
    *(pytest.param("conv2d", case, id=f"conv2d-{case}") for case in MODERATE_CASES),
    *(pytest.param("conv4d", case, id=f"conv4d-{case}") for case in CONV4D_CASES),
    *(pytest.param("conv_transpose2d", case, id=f"transpose-{case}") for case in TRANSPOSE_CASES),
]


@cache
def spoiled_problem(operation, case, dtype, name):
    """Return a problem with numbers that are not finite at the ends and inside of one array."""
    problem = ConvProblem(operation, case, dtype)
    rng = generator(case.name)
    flat = getattr(problem, name).reshape(-1)
    places = [0, flat.size - 1, *rng.integers(flat.size, size=1 + flat.size // 500)]
    flat[places] = rng.choice(NOT_FINITE, len(places))
    return problem


RESULTS = ("out", "grad_x", "grad_w", "grad_bias")


def meets_padding(operation, name, result):
    """Tell whether a result multiplies an array's elements by the padding of another."""
    slid = "x" if operation == "conv_transpose2d" else "grad"
    return (name, result) in (("w", "out"), ("w", "grad_x"), (slid, "grad_w"))


def check_spoiled(operation, case, dtype, name, padding):
    problem = spoiled_problem(operation, case, dtype, name)
    results = problem.run(problem.x, problem.w, problem.bias, problem.grad)
    for result, got, want in zip(RESULTS, results, problem.wanted_in("NCHW"), strict=True):
        if meets_padding(operation, name, result) == padding:
            assert_close(got, want)


@pytest.mark.parametrize(("operation", "case"), EVERY_OPERATION)
@every(name=["x", "w", "grad"])
@some_floats
def test_what_is_not_finite_stays_in_its_window(isa, operation, case, name, dtype):
    """inf and NaN reach the results whose sums hold them, and all others are as exact as ever."""
    check_spoiled(operation, case, dtype, name, padding=False)


@pytest.mark.parametrize(("operation", "case"), EVERY_OPERATION)
@every(name=["w", "grad"])
@some_floats
def test_padding_contributes_nothing(isa, operation, case, name, dtype):
    """What is not finite in a weight, or a gradient, makes no NaN with the padding it meets."""
    if operation == "conv_transpose2d" and name == "grad":
        name = "x"
    check_spoiled(operation, case, dtype, name, padding=True)


@cache
def large_problems(case, dtype):
    """Return two problems with results near the largest number: with large x, with large grad."""
    large_x, large_grad = ConvProblem("conv2d", case, dtype), ConvProblem("conv2d", case, dtype)
    for array in (large_x.x, large_grad.grad):
        array *= np.finfo(dtype).max / 4 / max(1, np.abs(array).max())
    for array in (large_x.w, large_grad.w, large_grad.x):
        array /= 1e6
    for problem in (large_x, large_grad):
        problem.bias[...] = 0
        problem.grad[...] *= 1 if problem is large_grad else 1e-6
    return large_x, large_grad


@cases(MODERATE_CASES)
@some_floats
def test_large_numbers_do_not_overflow_inside(isa, case, dtype):
    """No step of an algorithm may pass the largest number where the result doesn't."""
    for problem in large_problems(case, dtype):
        results = problem.run(problem.x, problem.w, problem.bias, problem.grad)
        # All but the bias's gradient: a sum of many large numbers may well be too large.
        for got, want in zip(results[:3], problem.wanted_in("NCHW"), strict=False):
            assert_close(got, want)


@cases(FEW_CASES)
@floats
def test_subnormal_numbers_are_kept(isa, case, dtype):
    problem = ConvProblem("conv2d", case, dtype)
    tiny = np.finfo(dtype).tiny
    problem.x[...] = problem.x * (tiny / 16)
    got = fc.conv2d(problem.x, problem.w, **case.keywords)
    wide = problem.x.astype(np.float64), problem.w.astype(np.float64)
    want = reference.conv2d(*wide, **case.keywords)
    # Each product may be rounded to a multiple of the smallest number.
    scale = np.abs(want).max()
    error = np.abs(got.astype(np.float64) - want).max()
    products = np.prod(case.w[1:])
    smallest = np.finfo(dtype).smallest_subnormal
    assert error <= 4e-6 * scale + 8 * products * smallest
    assert got.any()


def test_rounding_modes_are_left_alone(isa):
    tiny = np.full(4, np.finfo(np.float32).tiny)
    before = tiny / 4
    x = make_array(generator("modes"), (2, 16, 14, 14))
    fc.conv2d(x, make_array(generator("modes"), (16, 16, 3, 3)))
    fc.max_pool2d(x, 2)
    assert np.array_equal(tiny / 4, before)
    assert np.all(tiny / 4 > 0)


@pytest.mark.parametrize(("operation", "case"), EVERY_OPERATION)
def test_gradients_are_adjoint(isa, operation, case):
    """<grad, conv(x, w)> = <grad_x, x> = <grad_w, w>."""
    problem = conv_problem(operation, case, "float64")
    x, w, grad = problem.x, problem.w, problem.grad
    out, grad_x, grad_w, grad_bias = problem.run(x, w, np.zeros_like(problem.bias), grad)
    product, scale = np.vdot(grad, out), np.abs(grad * out).sum()
    assert abs(np.vdot(grad_x, x) - product) <= 1e-13 * scale
    assert abs(np.vdot(grad_w, w) - product) <= 1e-13 * scale
    assert_close(grad_bias, grad.sum(axis=(0, 2, 3)), scale=np.abs(grad_bias).max() + 1)


@pytest.mark.parametrize(("operation", "case"), EVERY_OPERATION)
def test_numeric_gradients(isa, operation, case):
    """Slopes measured by steps along a few random axes, in float64."""
    problem = conv_problem(operation, case, "float64")
    _, *gradients = problem.run(problem.x, problem.w, problem.bias, problem.grad)
    function, keywords = problem.function(), case.keywords
    rng = generator(operation + str(case))
    for place, gradient in enumerate(gradients):
        element = rng.integers(gradient.size)
        values = []
        for step in (1, -1):
            arrays = [array.copy() for array in (problem.x, problem.w, problem.bias)]
            arrays[place].flat[element] += step
            out = function(arrays[0], arrays[1], bias=arrays[2], **keywords)
            values.append(out * problem.grad)
        slope = np.sum(values[0] - values[1]) / 2
        scale = np.abs(values[0]).sum()
        assert abs(gradient.flat[element] - slope) <= 1e-13 * scale


@pytest.mark.parametrize("operation", ["conv2d", "conv4d", "conv_transpose2d"])
def test_integers_wrap_around(isa, operation):
    rng = generator("wrap")
    x = rng.integers(-(2**63), 2**63, (2, 3, 6, 7), endpoint=False)
    w = rng.integers(-(2**63), 2**63, (3, 3, 2, 3), endpoint=False)
    assert_close(getattr(fc, operation)(x, w), getattr(reference, operation)(x, w))


EXACT_CASES = [
    *(NAMED[name] for name in ("3x3_64_to_64", "3x3_512_at_7", "3x3_130_to_100", "1x1_deep")),
    Case("long_sums_of_grad_w", (4, 8, 90, 91), (10, 8, 3, 3), padding=1),
    Case("long_sums_of_grad_w_grey", (2, 1, 200, 210), (2, 1, 3, 3)),
    Case("long_sums_of_grad_w_strided", (3, 17, 60, 64), (18, 17, 3, 3), stride=2, padding=1),
]


def without_bias(case, dtype):
    problem = ConvProblem("conv2d", case, dtype)
    problem.bias[...] = 0
    return problem


@cache
def exact_results(case, dtype):
    """Return out, grad_x and grad_w in more bits than the dtype has, and the sums of |x| |w|."""
    # drawn in float64: the same numbers
    problem = without_bias(case, {"float32": "float32", "float64": "longdouble"}[dtype])
    return problem.wanted_in("NCHW")[:3], problem.absolute().wanted_in("NCHW")[:3]


@cache
def results_of_torch(case, dtype):
    import torch

    problem = without_bias(case, dtype)
    x, w = (torch.tensor(a, requires_grad=True) for a in (problem.x, problem.w))
    out = torch.nn.functional.conv2d(x, w, **case.keywords)
    out.backward(torch.tensor(problem.grad))
    return [array.numpy() for array in (out.detach(), x.grad, w.grad)]


def shares_of_sums(results, case, dtype):
    """Return the error of each result as a share of the sums of |x| |w|: its mean, its largest."""
    for got, want, scale in zip(results, *exact_results(case, dtype), strict=True):
        error = np.abs(got - want)
        mean = np.sqrt(np.sum(error**2) / np.sum(scale**2))
        yield mean, np.max(error / np.maximum(scale, np.finfo(dtype).tiny))


@cases(EXACT_CASES)
def test_highest_precision_of_float32_is_not_below_torch(isa, torch, case):
    problem = without_bias(case, "float32")
    with fc.precision("highest"):
        ours = problem.run(problem.x, problem.w, None, problem.grad)[:3]
    ours = shares_of_sums(ours, case, "float32")
    theirs = shares_of_sums(results_of_torch(case, "float32"), case, "float32")
    for result, share, other in zip(RESULTS, ours, theirs, strict=False):
        assert share[0] <= other[0], f"{result}: on average {share[0]:.1e}, theirs {other[0]:.1e}"
        assert share[1] <= other[1], f"{result}: at most {share[1]:.1e}, theirs {other[1]:.1e}"


@cases(EXACT_CASES)
def test_highest_precision_of_float64_is_not_below_torch(isa, torch, case):
    if np.finfo(np.longdouble).eps == np.finfo(np.float64).eps:
        pytest.skip("no type of this machine has more bits than float64, to judge it by")
    problem = without_bias(case, "float64")
    with fc.precision("highest"):
        ours = problem.run(problem.x, problem.w, None, problem.grad)[:3]
    ours = shares_of_sums(ours, case, "float64")
    theirs = shares_of_sums(results_of_torch(case, "float64"), case, "float64")
    # The largest error of one or the other is a matter of luck, and the hundredth part of the mean
    # one of whether 10 sums of 9 or 9 of 10 are added. Without fused multiplications every product
    # is rounded, which they spare where the machine has them.
    limit = 1.1 if runtime.isa() == "baseline" else 1.02
    for result, (share, _), (other, _) in zip(RESULTS, ours, theirs, strict=False):
        assert share <= limit * other, f"{result}: {share:.1e}, theirs {other:.1e}"


@every(data_format=["NCHW", "NHWC"])
def test_highest_precision_rounds_once(isa, data_format):
    """float32 in all operations: the sums that float64 gives, rounded."""
    conv = conv_problem("conv2d", NAMED["3x3_64_to_64"], "float32")
    arrays = [array.astype(np.float64) for array in conv.arrays_in(data_format)]
    with fc.precision("highest"):
        got = conv.run(*conv.arrays_in(data_format), data_format)
        want = conv.run(*arrays, data_format)
        prepared = fc.prepare_conv2d(
            *conv.arrays_in(data_format)[1:3], **conv.keywords_in(data_format)
        )
        got = *got, prepared(conv.arrays_in(data_format)[0])
        want = *want, want[0]
        x = arrays[0].astype(np.float32)
        sizes = {"kernel_size": 7, "data_format": data_format}
        got = *got, fc.avg_pool2d(x, **sizes)
        want = *want, fc.avg_pool2d(x.astype(np.float64), **sizes)
    for result, expected in zip(got, want, strict=True):
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, expected.astype(np.float32))
