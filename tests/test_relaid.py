"""What goes by way of the other layout, piece by piece."""

import numpy as np
import pytest
from arrays import assert_close, kernels_in
from cases import SMALL_CASES
from problems import conv_problem, every

from fastconv import plan, relaid
from fastconv.geometry import conv_geometry

CASES = [case for case in SMALL_CASES if case.groups == 1]


@pytest.fixture(params=[1, 400])
def little_at_a_time(request, monkeypatch):
    monkeypatch.setattr(relaid, "COPIED", request.param)
    relaid._strips.cache_clear()
    yield
    relaid._strips.cache_clear()


@pytest.mark.usefixtures("little_at_a_time")
@pytest.mark.parametrize("case", CASES, ids=str)
@every(dtype=["float32", "float64", "int64"])
def test_grad_w_of_some_rows_after_the_others(case, dtype):
    problem = conv_problem("conv2d", case, dtype)
    x, w, _, grad = problem.arrays_in("NHWC")
    geometry = conv_geometry("test", x.shape, w.shape, **case.keywords, data_format="NHWC")
    out = np.full(w.shape, np.nan if "float" in dtype else 77, dtype)
    row = next(row for row in plan.GRAD_W if row.name == "relaid")
    row.run(
        geometry, np.ascontiguousarray(grad), np.ascontiguousarray(x), out.transpose(3, 2, 0, 1)
    )
    assert_close(out, kernels_in("NHWC", problem.grad_w_and_bias[0]), dtype)


def test_strips_cover_an_image_once():
    geometry = conv_geometry("test", (1, 900, 700, 3), (5, 5, 3, 8), 2, 2, 1, 1, "NHWC")
    strips = relaid._strips(geometry)
    assert len(strips) > 1
    ends = [outputs.stop for outputs, _, _ in strips]
    assert [outputs.start for outputs, _, _ in strips] == [0, *ends[:-1]]
    assert ends[-1] == geometry.out_h
    elements = [inner.channels * inner.height * inner.width for _, _, inner in strips]
    assert max(elements) <= relaid.MOST


def test_windows_that_miss_the_image():
    geometry = conv_geometry(
        "test", (1, 1, 40, 3), (1, 1, 3, 4), (5, 1), ((2, 2), (0, 0)), 1, 1, "NHWC"
    )
    grad, x = np.ones(geometry.out_shape, "float32"), np.ones(geometry.x_shape, "float32")
    out = np.full(geometry.w_shape, np.nan, "float32")
    row = next(row for row in plan.GRAD_W if row.name == "relaid")
    row.run(geometry, grad, x, out.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(out, 0)
