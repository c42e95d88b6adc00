"""Pools so wide, deep or large that the drivers cut a row, a pixel or a window in pieces."""

import numpy as np
import pytest
from arrays import assert_close, assert_same, generator, images_in, make_array
from cases import DATA_FORMATS, PoolCase
from problems import every, pool_problem

import fastconv as fc

CASES = (
    PoolCase("pieces_of_a_row", (1, 2, 3, 40_000), 3, 1, 1, count_include_pad=False),
    PoolCase("pieces_of_a_row_inside", (1, 2, 3, 40_000), 2, 1),
    PoolCase("pieces_of_a_strided_row", (2, 1, 3, 70_000), (3, 4), (1, 3), (1, 2), (1, 2), True),
    PoolCase("pieces_of_a_pixel", (1, 20_000, 3, 3), 2, 1, 1),
    PoolCase("pieces_of_a_window", (2, 3, 50, 45), (40, 30), 3, 5, count_include_pad=False),
    PoolCase("columns_of_high_windows", (1, 1, 1000, 600), (500, 3), (100, 1), (0, 1)),
    PoolCase("rows_of_taps_alone", (1, 2, 900, 300), (3, 2), (40, 1), (200, 90), (300, 100)),
    PoolCase(
        "window_too_large_to_copy", (1, 1, 2200, 600), (2000, 2), (100, 10), (0, 300), (1, 600)
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
@every(data_format=DATA_FORMATS)
@every(dtype=["float32", "float64"])
def test_pieces(isa, case, dtype, data_format):
    problem = pool_problem(case, dtype)
    x, grad = images_in(data_format, problem.x), images_in(data_format, problem.grad)
    keywords = {**case.keywords, "data_format": data_format}
    want, want_indices = (images_in(data_format, array) for array in problem.maximum_and_indices)
    assert_same(fc.max_pool2d(x, **keywords), want)
    out, indices = fc.max_pool2d(x, return_indices=True, **keywords)
    assert_same(out, want)
    assert_same(indices, want_indices)
    keywords = {**case.average_keywords, "data_format": data_format}
    assert_close(fc.avg_pool2d(x, **keywords), images_in(data_format, problem.average))
    got = fc.avg_pool2d_grad_x(grad, x.shape, **keywords)
    assert_close(got, images_in(data_format, problem.average_grad_x))


@every(dtype=["float32", "float64"])
def test_a_window_of_very_many_rows(isa, dtype):
    """NumPy's own reductions are the twin here: the reference takes seconds for so many taps."""
    x = make_array(generator("rows"), (1, 1, 70_000, 3), dtype)
    assert_same(fc.max_pool2d(x, (70_000, 1)), x.max(axis=2, keepdims=True))
    _, indices = fc.max_pool2d(x, (70_000, 1), return_indices=True)
    assert_same(indices, x.argmax(axis=2, keepdims=True) * 3 + np.arange(3))
    want = x.astype(np.float64).mean(axis=2, keepdims=True)
    scale = np.abs(x).mean()  # the mean itself is what is left of large sums
    assert_close(fc.avg_pool2d(x, (70_000, 1)), want, scale=scale)


@pytest.mark.parametrize("case", CASES, ids=str)
@every(data_format=DATA_FORMATS)
def test_pieces_for_any_number_of_threads(case, data_format):
    problem = pool_problem(case, "float32")
    x, grad = images_in(data_format, problem.x), images_in(data_format, problem.grad)
    keywords = {**case.average_keywords, "data_format": data_format}
    results = []
    for count in (1, 3):
        with fc.threads(count):
            maxima = fc.max_pool2d(x, **case.keywords, data_format=data_format)
            means = fc.avg_pool2d(x, **keywords)
            results.append((maxima, means, fc.avg_pool2d_grad_x(grad, x.shape, **keywords)))
    for got, want in zip(*results, strict=True):
        assert_same(got, want)
