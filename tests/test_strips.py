"""Minimal filtering along rows: its error, what is not finite, and when it runs."""

import numpy as np
import pytest
from arrays import assert_same, images_in, kernels_in
from cases import DATA_FORMATS

import fastconv as fc
from fastconv import plan, reference
from fastconv._core import conv
from fastconv.geometry import conv_geometry

SHAPES = {  # x, filters, kernel, keywords: parts of 2 to 5 taps, with single ones and without
    "2 taps": ((2, 6, 19, 22), 9, (3, 2), {"padding": 1}),
    "2 taps and one": ((2, 6, 29, 30), 9, (3, 3), {"padding": 1, "stride": 2}),
    "3 taps": ((3, 3, 45, 45), 32, (6, 6), {}),
    "3 taps of 4 phases": ((1, 3, 60, 71), 24, (11, 11), {"padding": 2, "stride": 4}),
    "4 taps": ((2, 3, 62, 64), 40, (7, 7), {"padding": 3, "stride": 2}),
    "5 taps": ((2, 32, 20, 20), 33, (5, 5), {"padding": (2, 0)}),
    "5 taps and one": ((2, 2, 30, 33), 8, (3, 11), {"padding": (0, 7)}),
    "rows dilated": ((2, 5, 31, 30), 17, (3, 5), {"dilation": (3, 1), "stride": (2, 1)}),
    "groups": ((2, 6, 24, 25), 10, (5, 5), {"groups": 2}),
    "deep": ((1, 130, 12, 13), 20, (5, 7), {"padding": 3}),
}
every_shape = pytest.mark.parametrize("shape", SHAPES)
every_format = pytest.mark.parametrize("data_format", DATA_FORMATS)
every_float = pytest.mark.parametrize("dtype", ["float32", "float64"])
ROWS = {
    op: next(row for row in plan.ROWS[op] if row.name == "strips") for op in ("forward", "grad_x")
}
LIMITS = {"float32": 4e-6, "float64": 1e-14}


def problem(shape, data_format, dtype="float32"):
    """Return images, kernels, a gradient, as the engine takes them, the geometry and keywords."""
    random = np.random.default_rng(0)
    x_shape, filters, kernel, keywords = SHAPES[shape]
    groups = keywords.get("groups", 1)
    x = images_in(data_format, random.standard_normal(x_shape).astype(dtype))
    w = random.standard_normal((filters, x_shape[1] // groups, *kernel)).astype(dtype)
    w = kernels_in(data_format, w)
    keywords = {"padding": 0, "stride": 1, "dilation": 1, "groups": 1, **keywords}
    geometry = conv_geometry("test", x.shape, w.shape, **keywords, data_format=data_format)
    grad = random.standard_normal(geometry.out_shape).astype(dtype)
    return x, w, grad, geometry, {**keywords, "data_format": data_format}


def as_filters_first(data_format, w):
    return w.transpose(3, 2, 0, 1) if data_format == "NHWC" else w


def forward(geometry, x, w, bias=None, relu=False, threads=1):
    out = np.full(geometry.out_shape, np.nan, x.dtype)
    with fc.threads(threads):
        w = as_filters_first(geometry.data_format, w)
        ROWS["forward"].run(geometry, x, w, bias, out, relu)
    return out


@every_shape
@every_format
@every_float
def test_error(isa, shape, data_format, dtype):
    """At most 4e-6 of the largest result, 1e-14 in float64."""
    x, w, grad, geometry, keywords = problem(shape, data_format, dtype)
    want = reference.conv2d(x.astype(float), w.astype(float), **keywords)
    found = forward(geometry, x, w)
    assert np.abs(found - want).max() <= LIMITS[dtype] * np.abs(want).max()
    want = reference.conv2d_grad_x(grad.astype(float), w.astype(float), x.shape, **keywords)
    found = np.full(x.shape, np.nan, dtype)
    if conv.strips_fit(geometry.numbers, True):
        ROWS["grad_x"].run(geometry, grad, as_filters_first(data_format, w), None, found)
        assert np.abs(found - want).max() <= LIMITS[dtype] * np.abs(want).max()


@every_shape
@every_format
def test_the_same_bits_on_any_number_of_threads(isa, shape, data_format, threads_for_little_work):
    x, w, _, geometry, _ = problem(shape, data_format)
    bias = np.arange(geometry.filters, dtype=np.float32)
    found = forward(geometry, x, w, bias, relu=True)
    for threads in (2, 3, 8):
        assert_same(forward(geometry, x, w, bias, relu=True, threads=threads), found)
    of_filters = bias if data_format == "NHWC" else bias[:, None, None]
    assert_same(found, np.maximum(forward(geometry, x, w) + of_filters, 0))


@every_shape
@every_format
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_windows(isa, shape, data_format, value):
    x, w, _, geometry, keywords = problem(shape, data_format)
    clean = forward(geometry, x, w)
    dirty, ones = x.copy(), np.zeros_like(x)
    at = (-1, 10, 11, 1) if data_format == "NHWC" else (-1, 1, 10, 11)
    dirty[at] = value
    ones[at] = 1
    inside = reference.conv2d(ones, np.ones_like(w), **keywords) > 0
    found = forward(geometry, dirty, w)
    assert_same(found[:-1], clean[:-1])
    assert not np.isfinite(found[inside]).any()
    # computed again directly
    assert np.abs(found[~inside] - clean[~inside]).max() <= 8e-6 * np.abs(clean).max()


@every_format
def test_a_value_that_no_output_reads_changes_no_bit(isa, data_format):
    """Strips reach beyond the last output of a row, and bands beyond the last row."""
    x, w, _, geometry, _ = problem("4 taps", data_format)
    geometry = conv_geometry("test", x.shape, w.shape, 4, 0, 1, 1, data_format)
    clean, dirty = forward(geometry, x, w), x.copy()
    rows, columns = (4 * size - 4 + 7 for size in (geometry.out_h, geometry.out_w))
    if data_format == "NHWC":
        dirty[:, rows:], dirty[:, :, columns:] = np.inf, np.nan
    else:
        dirty[:, :, rows:], dirty[..., columns:] = np.inf, np.nan
    found = forward(geometry, dirty, w)
    assert np.abs(found - clean).max() <= 8e-6 * np.abs(clean).max()


def test_first_layers_take_it():
    """Few channels and wide kernels; the highest precision and integers do without."""
    _, w, _, geometry, _ = problem("3 taps", "NCHW")
    assert plan.choose("forward", geometry).name == "strips"
    assert plan.choose("forward", geometry, direct=True).name != "strips"
    x, w, _, _, keywords = problem("4 taps", "NCHW")
    prepared = fc.prepare_conv2d(w, **keywords)
    out = prepared(x)
    assert prepared.algorithm == "strips"
    assert_same(out, fc.conv2d(x, w, **keywords))
    assert_same(prepared(x[:1]), out[:1])
    with fc.precision("highest"):
        exact = prepared(x)
        assert prepared.algorithm != "strips"
    want = reference.conv2d(x.astype(float), w.astype(float), **keywords)
    assert np.abs(exact - want).max() <= 1e-7 * np.abs(want).max()
