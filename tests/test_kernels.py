"""Every row of the plan's tables on every ISA: not the chosen one alone, but each that accepts.

A row is run as the plan runs it, on arrays and on views of kernels with any strides, and on one
thread and on several even where there is work for one alone.
"""

import dataclasses
from functools import partial

import numpy as np
import pytest
from arrays import assert_close, assert_same, images_in, kernels_in, reversed_everywhere
from cases import CONV_CASES, DATA_FORMATS
from problems import conv_problem

import fastconv as fc
from fastconv import plan
from fastconv.geometry import conv_geometry

SMALL_CASES = [case for case in CONV_CASES if np.prod(case.x) * np.prod(case.w) < 1e7]
cases = partial(pytest.mark.parametrize, "case", ids=str)
formats = pytest.mark.parametrize("data_format", DATA_FORMATS)


@pytest.fixture(autouse=True)
def threads_for_little_work(monkeypatch):
    monkeypatch.setattr(plan, "WORK_OF_A_THREAD", 1)


def geometry_of(case, data_format):
    x_shape = images_in(data_format, np.broadcast_to(0, case.x)).shape
    w_shape = kernels_in(data_format, np.broadcast_to(0, case.w)).shape
    return conv_geometry("test", x_shape, w_shape, **case.keywords, data_format=data_format)


def accepting(op, geometry):
    rows = [row for row in plan.ROWS[op] if row.accepts(geometry)]
    assert rows, f"no row of {op} accepts {geometry}"
    assert rows[0] is plan.choose(op, geometry)
    return rows


def views(kernels, data_format):
    """Yield kernels in the ways that the ops hand them over: as they are, and flipped."""
    stored = kernels_in(data_format, kernels)
    turn = (lambda a: a.transpose(3, 2, 0, 1)) if data_format == "NHWC" else (lambda a: a)
    yield turn(stored)
    yield turn(reversed_everywhere(reversed_everywhere(stored).copy()))


def run_everywhere(row, shape, dtype, *arguments):
    """Return what a row fills an array with, which is the same for any number of threads."""
    results = []
    for threads in (1, 2, 5):
        out = np.full(shape, np.nan if "float" in dtype else 77, dtype)
        with fc.threads(threads):
            row.run(*(out if argument is OUT else argument for argument in arguments))
        results.append(out)
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])
    return results[0]


OUT = object()


def check_forward(row, geometry, problem, data_format, dtype):
    x, _, bias, _ = problem.arrays_in(data_format)
    for w in views(problem.w, data_format):
        shape = geometry.out_shape
        out = run_everywhere(row, shape, dtype, geometry, x, w, bias, OUT, False)
        assert_close(out, images_in(data_format, problem.out), dtype)
        relu = run_everywhere(row, shape, dtype, geometry, x, w, bias, OUT, True)
        assert_same(relu, np.maximum(out, 0))
        none = run_everywhere(row, shape, dtype, geometry, x, w, None, OUT, False)
        assert_close(none, out.astype(problem.out.dtype) - of_channels(bias, data_format), dtype)


def check_grad_x(row, geometry, problem, data_format, dtype):
    *_, grad = problem.arrays_in(data_format)
    bias = np.arange(geometry.channels, dtype=dtype)
    want = images_in(data_format, problem.grad_x)
    for w in views(problem.w, data_format):
        shape = geometry.x_shape
        out = run_everywhere(row, shape, dtype, geometry, grad, w, None, OUT)
        assert_close(out, want, dtype)
        out = run_everywhere(row, shape, dtype, geometry, grad, w, bias, OUT)
        assert_close(out, want + of_channels(bias, data_format), dtype)


def of_channels(bias, data_format):
    return bias if data_format == "NHWC" else bias[:, None, None]


def check_grad_w(row, geometry, problem, data_format, dtype):
    x, _, _, grad = problem.arrays_in(data_format)
    want, _ = problem.grad_w_and_bias
    results = []
    for threads in (1, 2, 5):
        for out in views(np.full(problem.case.w, 77, dtype), data_format):
            with fc.threads(threads):
                row.run(geometry, grad, x, out)
            assert_close(out, want, dtype)
            results.append(out)
    for out in results[1:]:
        assert_same(out, results[0])


CHECKS = {"forward": check_forward, "grad_x": check_grad_x, "grad_w": check_grad_w}


@cases(CONV_CASES)
@pytest.mark.parametrize("op", CHECKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
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
    for row in accepting(op, geometry):
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
