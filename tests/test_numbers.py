"""Convolutions of numbers that break careless arithmetic, and what holds for any numbers."""

from functools import cache, partial

import numpy as np
import pytest
from arrays import assert_close, generator, make_array
from cases import CONV4D_CASES, CONV_CASES, FEW_CASES, NAMED, TRANSPOSE_CASES
from problems import ConvProblem, conv_problem, every

import fastconv as fc
from fastconv import reference

cases = partial(pytest.mark.parametrize, "case", ids=str)
floats = every(dtype=["float32", "float64"])
some_floats = pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)]
)
NOT_FINITE = (np.inf, -np.inf, np.nan)
MODERATE = [case for case in CONV_CASES if np.prod(case.x) * np.prod(case.w) < 1e9]
EVERY_OPERATION = [  # as (operation, case); the large ones stay out
    *(pytest.param("conv2d", case, id=f"conv2d-{case}") for case in MODERATE),
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


@cases(MODERATE)
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


def share_of_sums(got, problem):
    """Return the largest error as a share of the sum of |x| |w|, element by element."""
    x, w = np.abs(problem.x).astype(np.float64), np.abs(problem.w).astype(np.float64)
    sums = reference.conv2d(x, w, **problem.case.keywords)
    want = problem.out - problem.bias.astype(np.float64).reshape(-1, 1, 1)
    return (np.abs(got - want) / np.where(sums > 0, sums, 1)).max()


@pytest.mark.parametrize("name", ["3x3_64_to_64", "3x3_512_at_7", "3x3_130_to_100", "1x1_deep"])
@floats
def test_highest_precision_is_not_below_torch(isa, torch, name, dtype):
    problem = conv_problem("conv2d", NAMED[name], dtype)
    with fc.precision("highest"):
        ours = fc.conv2d(problem.x, problem.w, **problem.case.keywords)
    x, w = torch.tensor(problem.x), torch.tensor(problem.w)
    theirs = torch.nn.functional.conv2d(x, w, **problem.case.keywords).numpy()
    # the largest of many random errors: two ways of the same exactness differ by some
    assert share_of_sums(ours, problem) <= 1.25 * share_of_sums(theirs, problem)
