"""Minimal filtering: its error, what is not finite, and when it runs."""

import numpy as np
import pytest
from arrays import assert_same, images_in, kernels_in
from cases import DATA_FORMATS

import fastconv as fc
from fastconv import plan, reference
from fastconv.geometry import conv_geometry

SHAPES = {  # x, filters, kernel, keywords
    "one block": ((2, 24, 14, 15), 40, (3, 3), {"padding": 1}),
    "weights of its own": ((3, 136, 9, 12), 130, (3, 3), {"padding": 1}),
    "many blocks": ((2, 16, 40, 44), 32, (3, 3), {"padding": 1}),
    "four parts": ((2, 48, 21, 19), 64, (5, 6), {"padding": ((2, 2), (2, 3))}),
    "dilated": ((2, 70, 17, 26), 24, (3, 3), {"padding": (2, 3), "dilation": (2, 3)}),
    "dilated more": ((1, 16, 30, 31), 17, (5, 5), {"padding": (4, 8), "dilation": (2, 4)}),
}
every_shape = pytest.mark.parametrize("shape", SHAPES)
every_format = pytest.mark.parametrize("data_format", DATA_FORMATS)


def arrays(shape, data_format, dtype=np.float32, seed=0):
    """Return images, kernels, a gradient of the same height and width, and keywords."""
    random = np.random.default_rng(seed)
    (samples, channels, height, width), filters, kernel, keywords = SHAPES[shape]
    x = random.standard_normal((samples, channels, height, width)).astype(dtype)
    w = random.standard_normal((filters, channels, *kernel)).astype(dtype)
    grad = random.standard_normal((samples, filters, height, width)).astype(dtype)
    keywords = {**keywords, "data_format": data_format}
    images, grads = images_in(data_format, x), images_in(data_format, grad)
    return images, kernels_in(data_format, w), grads, keywords


def as_first(data_format, array):
    """View images with their channels first."""
    return array.transpose(0, 3, 1, 2) if data_format == "NHWC" else array


def geometry_of(x, w, padding, data_format, dilation=1):
    return conv_geometry("test", x.shape, w.shape, 1, padding, dilation, 1, data_format)


@every_shape
@every_format
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", ["forward", "grad_x", "grad_w"])
def test_error(isa, shape, data_format, dtype, op):
    """At most 4e-6 of the largest result, 1e-14 in float64."""
    x, w, grad, keywords = arrays(shape, data_format, dtype)
    assert plan.choose(op, geometry_of(x, w, **keywords)).name == "winograd"
    name, arguments = {
        "forward": ("conv2d", (x, w)),
        "grad_x": ("conv2d_grad_x", (grad, w, x.shape)),
        "grad_w": ("conv2d_grad_w", (grad, x, w.shape)),
    }[op]
    wide = [np.asarray(a, float) if isinstance(a, np.ndarray) else a for a in arguments]
    want = getattr(reference, name)(*wide, **keywords)
    found = getattr(fc, name)(*arguments, **keywords)
    limit = {"float32": 4e-6, "float64": 1e-14}[dtype]
    assert np.abs(found - want).max() <= limit * np.abs(want).max()


@every_shape
@every_format
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_windows(isa, shape, data_format, value):
    x, w, _, keywords = arrays(shape, data_format)
    clean = fc.conv2d(x, w, **keywords)
    dirty, ones = x.copy(), np.zeros_like(x)
    as_first(data_format, dirty)[-1, 5, 6, 7] = value
    as_first(data_format, ones)[-1, :, 6, 7] = 1
    found = fc.conv2d(dirty, w, **keywords)
    inside = reference.conv2d(ones, np.ones_like(w), **keywords) > 0
    assert_same(found[:-1], clean[:-1])
    assert not np.isfinite(found[inside]).any()
    # computed again without tiles
    assert np.abs(found[~inside] - clean[~inside]).max() <= 8e-6 * np.abs(clean).max()


@every_format
def test_an_infinite_gradient_stays_in_its_windows(isa, data_format):
    x, w, grad, keywords = arrays("one block", data_format)
    as_first(data_format, grad)[0, 3, 0, 0] = np.inf
    found = fc.conv2d_grad_x(grad, w, x.shape, **keywords)
    finite = np.isfinite(as_first(data_format, found))
    assert finite[1].all()
    assert finite[0, :, 2:].all()
    assert not finite[0, :, :2, :2].any()


@every_format
def test_infinite_weights(isa, data_format):
    """They are computed without tiles, padded or not."""
    x, w, *_ = arrays("one block", data_format)
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
    x, w, *_ = arrays("one block", data_format)
    x = np.sign(x) * np.float32(1.2e38)
    w = np.sign(w) * np.float32(1e-3)
    want = reference.conv2d(x.astype(float), w.astype(float), padding=1, data_format=data_format)
    assert np.abs(want).max() < np.finfo(np.float32).max
    found = fc.conv2d(x, w, padding=1, data_format=data_format)
    np.testing.assert_allclose(found, want, atol=1e-5 * np.abs(want).max())


def test_the_highest_precision_and_integers_do_without():
    x, w, *_ = arrays("one block", "NCHW")
    geometry = geometry_of(x, w, 1, "NCHW")
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
@every_format
def test_a_prepared_convolution_gives_the_same_bits(isa, shape, data_format):
    x, w, _, keywords = arrays(shape, data_format)
    prepared = fc.prepare_conv2d(w, **keywords, x_shape=x.shape)
    assert prepared.algorithm == "winograd"
    assert_same(prepared(x), fc.conv2d(x, w, **keywords))
    assert_same(prepared(x[:1]), fc.conv2d(x, w, **keywords)[:1])


@every_format
def test_a_gradient_of_weights_with_something_not_finite(isa, data_format):
    """It is computed without tiles: only what is summed with it is not finite."""
    x, w, grad, keywords = arrays("one block", data_format)
    as_first(data_format, x)[0, 2, 0, 0] = np.inf
    found = fc.conv2d_grad_w(grad, x, w.shape, **keywords)
    want = reference.conv2d_grad_w(grad, x, w.shape, **keywords)
    assert_same(np.isfinite(found), np.isfinite(want))
    finite = np.isfinite(want)
    assert 0 < finite.sum() < finite.size
    assert np.abs(found[finite] - want[finite]).max() <= 4e-6 * np.abs(want[finite]).max()
