"""Minimal filtering: its error, what is not finite, and when it runs."""

import numpy as np
import pytest
from arrays import assert_same, images_in, kernels_in
from cases import DATA_FORMATS

import fastconv as fc
from fastconv import plan, reference
from fastconv.geometry import conv_geometry

SHAPES = {  # x, filters
    "one block": ((2, 24, 14, 15), 40),
    "weights of its own": ((3, 136, 9, 12), 130),
    "many blocks": ((2, 16, 40, 44), 32),
}
every_shape = pytest.mark.parametrize("shape", SHAPES)
every_format = pytest.mark.parametrize("data_format", DATA_FORMATS)


def arrays(shape, data_format, dtype=np.float32, seed=0):
    """Return images, kernels and a gradient of the output's shape, padding 1."""
    random = np.random.default_rng(seed)
    (samples, channels, height, width), filters = SHAPES[shape]
    x = random.standard_normal((samples, channels, height, width)).astype(dtype)
    w = random.standard_normal((filters, channels, 3, 3)).astype(dtype)
    grad = random.standard_normal((samples, filters, height, width)).astype(dtype)
    return images_in(data_format, x), kernels_in(data_format, w), images_in(data_format, grad)


def as_first(data_format, array):
    """View images with their channels first."""
    return array.transpose(0, 3, 1, 2) if data_format == "NHWC" else array


def rows_of(x, w, data_format):
    geometry = conv_geometry("test", x.shape, w.shape, 1, 1, 1, 1, data_format)
    return [plan.choose(op, geometry).name for op in ("forward", "grad_x")]


@every_shape
@every_format
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_error(isa, shape, data_format, dtype):
    """At most 4e-6 of the largest result, 1e-14 in float64: forward and gradient."""
    x, w, grad = arrays(shape, data_format, dtype)
    assert rows_of(x, w, data_format) == ["winograd"] * 2
    wide = [array.astype(np.float64) for array in (x, w, grad)]
    limit = {"float32": 4e-6, "float64": 1e-14}[dtype]
    want = reference.conv2d(wide[0], wide[1], padding=1, data_format=data_format)
    found = fc.conv2d(x, w, padding=1, data_format=data_format)
    assert np.abs(found - want).max() <= limit * np.abs(want).max()
    want = reference.conv2d_grad_x(wide[2], wide[1], x.shape, padding=1, data_format=data_format)
    found = fc.conv2d_grad_x(grad, w, x.shape, padding=1, data_format=data_format)
    assert np.abs(found - want).max() <= limit * np.abs(want).max()


@every_shape
@every_format
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_windows(isa, shape, data_format, value):
    x, w, _ = arrays(shape, data_format)
    clean = fc.conv2d(x, w, padding=1, data_format=data_format)
    dirty = x.copy()
    as_first(data_format, dirty)[-1, 5, 6, 7] = value
    found = fc.conv2d(dirty, w, padding=1, data_format=data_format)
    assert_same(found[:-1], clean[:-1])
    one, other = (as_first(data_format, a)[-1] for a in (found, clean))
    inside = np.zeros(one.shape, bool)
    inside[:, 5:8, 6:9] = True
    assert not np.isfinite(one[inside]).any()
    # computed again without tiles
    difference = np.abs(one[~inside] - other[~inside])
    assert difference.max() <= 8e-6 * np.abs(other).max()


@every_format
def test_an_infinite_gradient_stays_in_its_windows(isa, data_format):
    x, w, grad = arrays("one block", data_format)
    as_first(data_format, grad)[0, 3, 0, 0] = np.inf
    found = fc.conv2d_grad_x(grad, w, x.shape, padding=1, data_format=data_format)
    finite = np.isfinite(as_first(data_format, found))
    assert finite[1].all()
    assert finite[0, :, 2:].all()
    assert not finite[0, :, :2, :2].any()


@every_format
def test_infinite_weights(isa, data_format):
    """They are computed without tiles, padded or not."""
    x, w, _ = arrays("one block", data_format)
    (w.transpose(3, 2, 0, 1) if data_format == "NHWC" else w)[4, 3, 2, 1] = np.inf
    for padding in (0, 1):
        found = fc.conv2d(x, w, padding=padding, data_format=data_format)
        want = reference.conv2d(x, w, padding=padding, data_format=data_format)
        assert_same(np.isfinite(found), np.isfinite(want))
        found = as_first(data_format, found)
        assert np.isfinite(np.delete(found, 4, axis=1)).all()


@every_format
def test_sums_that_overflow_within_a_tile_alone(isa, data_format):
    """Sums of transformed pixels exceed the largest number where no result does."""
    x, w, _ = arrays("one block", data_format)
    x = np.sign(x) * np.float32(1.2e38)
    w = np.sign(w) * np.float32(1e-3)
    want = reference.conv2d(x.astype(float), w.astype(float), padding=1, data_format=data_format)
    assert np.abs(want).max() < np.finfo(np.float32).max
    found = fc.conv2d(x, w, padding=1, data_format=data_format)
    np.testing.assert_allclose(found, want, atol=1e-5 * np.abs(want).max())


def test_the_highest_precision_and_integers_do_without():
    x, w, _ = arrays("one block", "NCHW")
    geometry = conv_geometry("test", x.shape, w.shape, 1, 1, 1, 1, "NCHW")
    assert plan.choose("forward", geometry).name == "winograd"
    assert plan.choose("forward", geometry, direct=True).name != "winograd"
    prepared = fc.prepare_conv2d(w, padding=1)
    prepared(x)
    assert prepared.algorithm == "winograd"
    with fc.precision("highest"):
        exact = prepared(x)
        assert prepared.algorithm != "winograd"
    want = reference.conv2d(x.astype(float), w.astype(float), padding=1)
    assert np.abs(exact - want).max() <= 1e-7 * np.abs(want).max()
    whole = np.rint(4 * x).astype(int), np.rint(4 * w).astype(int)
    assert_same(fc.conv2d(*whole, padding=1), reference.conv2d(*whole, padding=1))


@every_shape
def test_a_prepared_convolution_gives_the_same_bits(isa, shape):
    x, w, _ = arrays(shape, "NCHW")
    prepared = fc.prepare_conv2d(w, padding=1, x_shape=x.shape)
    assert_same(prepared(x), fc.conv2d(x, w, padding=1))
    assert_same(prepared(x[:1]), fc.conv2d(x, w, padding=1)[:1])
