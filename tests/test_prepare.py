"""Prepared convolutions: what conv2d gives, weights of their own, any number of threads."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from arrays import assert_same, ramp
from cases import CONV_CASES, DATA_FORMATS, NAMED
from problems import conv_problem, every

import fastconv as fc
from fastconv import plan


@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
@pytest.mark.parametrize("bias", [None, [1.0, -20.0, 3.0]])
@pytest.mark.parametrize("x_shape", [None, "images"])
def test_prepared_convolutions_give_what_conv2d_gives(data_format, bias, x_shape):
    x, w = ramp(2, 2, 6, 7), ramp(3, 2, 3, 3)
    if data_format == "NHWC":
        x, w = x.transpose(0, 2, 3, 1), w.transpose(2, 3, 1, 0)
    sizes = {"stride": (1, 2), "padding": "same", "activation": "relu", "data_format": data_format}
    prepared = fc.prepare_conv2d(w, bias, **sizes, x_shape=x.shape if x_shape else None)
    want = fc.conv2d(x, w, bias, **sizes)
    np.testing.assert_array_equal(prepared(x), want)
    np.testing.assert_array_equal(prepared(x[1:]), want[1:])
    again = pickle.loads(pickle.dumps(prepared))
    np.testing.assert_array_equal(again(x), want)
    out = np.empty_like(want)
    assert prepared(x, out=out) is out
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("case", CONV_CASES, ids=str)
@every(dtype=["float32", "float64", "int64"])
@every(data_format=DATA_FORMATS)
def test_every_case_gives_the_bits_of_conv2d(isa, case, dtype, data_format):
    """Packed before or now: of a whole batch, and of one image, which may do without packing."""
    problem = conv_problem("conv2d", case, dtype)
    x, w, bias, _ = problem.arrays_in(data_format)
    keywords = problem.keywords_in(data_format)
    prepared = fc.prepare_conv2d(w, bias, **keywords, x_shape=x.shape)
    for images in (x, x[:1]):
        out = np.full_like(fc.conv2d(images, w, bias, **keywords), -1)
        assert_same(prepared(images, out=out), fc.conv2d(images, w, bias, **keywords))


def test_weights_are_packed_once(monkeypatch):
    packed = []
    pack = plan.conv.pack
    monkeypatch.setattr(plan.conv, "pack", lambda *a: packed.append(a[-1]) or pack(*a))
    problem = conv_problem("conv2d", NAMED["3x3_64_to_64"], "float32")
    x, keywords = problem.x, problem.case.keywords
    prepared = fc.prepare_conv2d(problem.w, **keywords)
    assert not packed
    prepared(x), prepared(x), prepared(x[:1])
    assert packed == [prepared.algorithm]
    known = fc.prepare_conv2d(problem.w, **keywords, x_shape=x.shape)
    assert len(packed) == 2
    known(x)
    assert len(packed) == 2


def test_each_precision_has_weights_of_its_own(isa):
    problem = conv_problem("conv2d", NAMED["3x3_64_to_64"], "float64")
    prepared = fc.prepare_conv2d(problem.w, **problem.case.keywords, x_shape=problem.x.shape)
    for level in ("highest", "high", "highest"):
        with fc.precision(level):
            want = fc.conv2d(problem.x, problem.w, **problem.case.keywords)
            assert_same(prepared(problem.x), want)


def test_infinite_weights_meet_no_padding(isa):
    x, w = ramp(1, 2, 5, 5) + 1, ramp(3, 2, 3, 3)
    w[0, 0, 0, 0] = np.inf
    for padding in (0, 1):
        want = fc.conv2d(x, w, padding=padding)
        assert_same(fc.prepare_conv2d(w, padding=padding)(x), want)
        assert_same(fc.prepare_conv2d(w, padding=padding, x_shape=x.shape)(x), want)


def test_prepared_weights_are_copies():
    x, w, bias = ramp(1, 1, 3, 3), ramp(2, 1, 2, 2), ramp(2)
    prepared = fc.prepare_conv2d(w, bias)
    want = prepared(x)
    w[...], bias[...] = 0, 0
    np.testing.assert_array_equal(prepared(x), want)


def test_prepared_weights_are_promoted_with_the_images():
    prepared = fc.prepare_conv2d(ramp(2, 1, 2, 2, dtype="float32"))
    assert prepared(ramp(1, 1, 3, 3, dtype="float32")).dtype == np.float32
    assert prepared(ramp(1, 1, 3, 3, dtype="float64")).dtype == np.float64


def test_prepared_convolutions_name_their_algorithm():
    prepared = fc.prepare_conv2d(ramp(2, 1, 2, 2))
    assert prepared.algorithm is None
    prepared(ramp(1, 1, 3, 3))
    known = fc.prepare_conv2d(ramp(2, 1, 2, 2), x_shape=(1, 1, 3, 3))
    assert prepared.algorithm == known.algorithm
    assert isinstance(known.algorithm, str)


def test_prepared_convolutions_serve_many_threads():
    prepared = fc.prepare_conv2d(ramp(3, 2, 3, 3), padding=1)
    images = [ramp(1, 2, size, size) + size for size in range(4, 20)]
    want = [prepared(x) for x in images]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for got, expected in zip(pool.map(prepared, images), want, strict=True):
                np.testing.assert_array_equal(got, expected)


@every(dtype=["float16", "int8", "uint16", "int32"])
@every(data_format=DATA_FORMATS)
def test_again_in_a_dtype_that_is_not_computed_in(dtype, data_format):
    """A small call is kept for the next: not one of arrays that are cast on the way."""
    x, w = ramp(2, 4, 5, 4, dtype=dtype), ramp(4, 4, 4, 4, dtype=dtype)
    want = fc.conv2d(x, w, padding="same", data_format=data_format)
    prepared = fc.prepare_conv2d(w, padding="same", data_format=data_format)
    for _ in range(3):
        assert_same(prepared(x), want)
