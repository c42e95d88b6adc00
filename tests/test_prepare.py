"""Prepared convolutions: what conv2d gives, weights of their own, any number of threads."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from arrays import ramp

import fastconv as fc


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
