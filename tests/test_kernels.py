"""Every row of the plan's tables on every ISA: not the chosen one alone, but each that accepts.

A row is run as the plan runs it, on arrays and on views of kernels with any strides, and on one
thread and on several even where there is work for one alone.
"""

import dataclasses
from functools import partial

import numpy as np
import pytest
from arrays import assert_close, assert_same, images_in, kernels_in, reversed_everywhere
from cases import CONV_CASES, DATA_FORMATS, SMALL_CASES
from problems import conv_problem, every

import fastconv as fc
from fastconv import plan
from fastconv.geometry import conv_geometry

pytestmark = pytest.mark.usefixtures("threads_for_little_work")
cases = partial(pytest.mark.parametrize, "case", ids=str)
FLOATS = ["float32", pytest.param("float64", marks=pytest.mark.slow)]
formats = every(data_format=DATA_FORMATS)


def geometry_of(case, data_format):
    x_shape = images_in(data_format, np.broadcast_to(0, case.x)).shape
    w_shape = kernels_in(data_format, np.broadcast_to(0, case.w)).shape
    return conv_geometry("test", x_shape, w_shape, **case.keywords, data_format=data_format)


def accepting(op, geometry, direct=False):
    """Return the rows that accept a geometry; of integers, those that are `direct`."""
    rows = [row for row in plan.ROWS[op] if row.accepts(geometry) and row.direct >= direct]
    assert rows, f"no row of {op} accepts {geometry}"
    assert rows[0] is plan.choose(op, geometry, direct)
    # one call a tap: small kernels show all there is to it
    few_taps = geometry.kernel_h * geometry.kernel_w <= 16
    return [row for row in rows if few_taps or row.name != "taps"]


def views(kernels, data_format):
    """Yield kernels in the ways that the ops hand them over: as they are, and flipped."""
    stored = kernels_in(data_format, kernels)
    for array in (stored, reversed_everywhere(reversed_everywhere(stored).copy())):
        yield array.transpose(3, 2, 0, 1) if data_format == "NHWC" else array


def run(row, shape, dtype, *arguments, threads=2):
    """Return what a row fills an array with that it is given for OUT."""
    out = np.full(shape, np.nan if "float" in dtype else 77, dtype)
    with fc.threads(threads):
        row.run(*(out if argument is OUT else argument for argument in arguments))
    return out


OUT = object()


def check_forward(row, geometry, problem, data_format, dtype):
    x, _, bias, _ = problem.arrays_in(data_format)
    plain, flipped = views(problem.w, data_format)
    compute = partial(run, row, geometry.out_shape, dtype, geometry, x)
    out = compute(plain, bias, OUT, False)
    assert_close(out, images_in(data_format, problem.out), dtype)
    assert_same(compute(plain, bias, OUT, False, threads=1), out)
    assert_same(compute(flipped, bias, OUT, False, threads=3), out)
    assert_same(compute(plain, bias, OUT, True), np.maximum(out, 0))
    without = images_in(data_format, problem.out) - of_channels(bias, data_format)
    assert_close(compute(plain, None, OUT, False), without, dtype)


def check_grad_x(row, geometry, problem, data_format, dtype):
    *_, grad = problem.arrays_in(data_format)
    bias = np.arange(geometry.channels, dtype=dtype)
    want = images_in(data_format, problem.grad_x)
    plain, flipped = views(problem.w, data_format)
    compute = partial(run, row, geometry.x_shape, dtype, geometry, grad)
    out = compute(plain, None, OUT)
    assert_close(out, want, dtype)
    assert_same(compute(plain, None, OUT, threads=1), out)
    assert_same(compute(flipped, None, OUT, threads=3), out)
    assert_close(compute(plain, bias, OUT), want + of_channels(bias, data_format), dtype)


def of_channels(bias, data_format):
    return bias if data_format == "NHWC" else bias[:, None, None]


def check_grad_w(row, geometry, problem, data_format, dtype):
    x, _, _, grad = problem.arrays_in(data_format)
    want, want_bias = problem.grad_w_and_bias
    plain, flipped = views(np.full(problem.case.w, 77, dtype), data_format)
    made = []
    for threads, out in ((2, plain), (3, flipped), (1, plain.copy())):
        biases = (np.full(geometry.filters, 77, dtype),) if row.sums_grad(geometry) else ()
        with fc.threads(threads):
            row.run(geometry, grad, x, out, *biases)
        assert_close(out, want, dtype)
        assert_same(out, plain)
        made += biases
    for bias in made:
        assert_close(bias, want_bias, dtype)
        assert_same(bias, made[0])
    if made:  # what is made on the way changes nothing
        with fc.threads(1):
            row.run(geometry, grad, x, flipped)
        assert_same(flipped, plain)


CHECKS = {"forward": check_forward, "grad_x": check_grad_x, "grad_w": check_grad_w}


@cases(CONV_CASES)
@pytest.mark.parametrize("op", CHECKS)
@pytest.mark.parametrize("dtype", FLOATS)
@formats
def test_every_row(isa, case, op, dtype, data_format):
    geometry, problem = geometry_of(case, data_format), conv_problem("conv2d", case, dtype)
    for row in accepting(op, geometry):
        print(row.name)
        CHECKS[op](row, geometry, problem, data_format, dtype)


@cases(SMALL_CASES)
@pytest.mark.parametrize("op", CHECKS)
@formats
def test_every_row_on_integers(isa, case, op, data_format):
    geometry, problem = geometry_of(case, data_format), conv_problem("conv2d", case, "int64")
    for row in accepting(op, geometry, direct=True):
        print(row.name)
        CHECKS[op](row, geometry, problem, data_format, "int64")


@pytest.mark.parametrize("op", CHECKS)
def test_every_row_has_a_case(op):
    """What is listed is tested."""
    geometries = [geometry_of(case, form) for case in CONV_CASES for form in DATA_FORMATS]
    for row in plan.ROWS[op]:
        assert any(map(row.accepts, geometries)), f"no case for {row.name} of {op}"


@pytest.mark.parametrize("op", CHECKS)
def test_the_choice_does_not_look_at_the_batch(op):
    for case in CONV_CASES:
        for data_format in DATA_FORMATS:
            chosen = {
                plan.choose(op, geometry_of(of_samples(case, samples), data_format)).name
                for samples in (1, 2, 7, 64)
            }
            assert len(chosen) == 1, case


def of_samples(case, samples):
    return dataclasses.replace(case, x=(samples, *case.x[1:]))


def test_the_tables_are_these():
    assert set(plan.ROWS) == set(CHECKS)
    for rows in plan.ROWS.values():
        names = [row.name for row in rows]
        assert len(names) == len(set(names))
