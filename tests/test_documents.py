"""The cases that conv4d was first described by, with their exact figures."""

import numpy as np
import pytest
from arrays import generator, make_array

import fastconv as fc
from fastconv import reference

X_KERNEL = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
PLUS_KERNEL = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]])
types = pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "float32", "float64"])


@pytest.fixture(params=[fc, reference], ids=["fastconv", "reference"])
def conv4d(request):
    return request.param.conv4d


def point(height, width, value=1):
    """Return an image of zeros with a value in its middle."""
    image = np.zeros((height, width), int)
    image[height // 2, width // 2] = value
    return image


@types
def test_the_response_to_an_impulse_is_the_kernel(isa, conv4d, dtype):
    x = point(5, 7).reshape(1, 1, 5, 7).astype(dtype)
    w = np.arange(1, 7).reshape(1, 1, 2, 3).astype(dtype)
    y = conv4d(x, w, "valid")
    assert y.tolist() == [[[[0, 0, 0, 0, 0], [0, 1, 2, 3, 0], [0, 4, 5, 6, 0], [0, 0, 0, 0, 0]]]]
    assert y.dtype == (dtype if "float" in dtype else np.int64)


@types
def test_the_x_kernel_on_a_binary_image(isa, conv4d, dtype):
    rows = ["11100", "01110", "00111", "00110", "01100"]
    x = np.array([[[list(map(int, row)) for row in rows]]], dtype)
    y = conv4d(x, X_KERNEL[None, None].astype(dtype), "valid")
    assert y.tolist() == [[[[4, 3, 4], [2, 4, 3], [2, 3, 4]]]]


@types
def test_four_samples_and_one_filter(isa, conv4d, dtype):
    x = np.stack([point(3, 5, value) for value in range(4)])[:, None].astype(dtype)
    y = conv4d(x, X_KERNEL[None, None].astype(dtype))
    assert y.shape == (4, 1, 3, 5)
    one = np.array([[0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 1, 0]])
    assert y[:, 0].tolist() == [(value * one).tolist() for value in range(4)]


@types
def test_one_sample_and_two_filters(isa, conv4d, dtype):
    x = point(3, 5)[None, None].astype(dtype)
    y = conv4d(x, np.stack([X_KERNEL, PLUS_KERNEL])[:, None].astype(dtype))
    assert y.shape == (1, 2, 3, 5)
    assert y[0, 0].tolist() == [[0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 1, 0]]
    assert y[0, 1].tolist() == [[0, 0, 1, 0, 0], [0, 1, 2, 1, 0], [0, 0, 1, 0, 0]]


@types
def test_three_channels_and_one_filter(isa, conv4d, dtype):
    x = np.zeros((1, 3, 3, 5), dtype)
    for channel, row, column in ((0, 1, 1), (1, 0, 4), (1, 1, 2), (2, 1, 3)):
        x[0, channel, row, column] = 1
    w = np.zeros((1, 3, 3, 3), dtype)
    w[0, 0] = X_KERNEL
    w[0, 1] = np.minimum(PLUS_KERNEL, 1)
    w[0, 2, :, 1] = 1
    y = conv4d(x, w)
    assert y.tolist() == [[[[1, 0, 2, 2, 1], [0, 2, 1, 2, 1], [1, 0, 2, 1, 0]]]]


@pytest.mark.parametrize("kernel", [(2, 2), (2, 3), (4, 2), (1, 6), (5, 4)])
@pytest.mark.parametrize("mode", ["same", "valid", "full"])
def test_asymmetric_even_kernels(isa, conv4d, signal, kernel, mode):
    """These show the flip, and on which side of an even kernel "same" puts the odd column."""
    rng = generator(kernel)
    x, w = make_array(rng, (2, 3, 8, 9), "int64"), make_array(rng, (4, 3, *kernel), "int64")
    y = conv4d(x, w, mode)
    for sample in range(2):
        for number in range(4):
            pairs = zip(x[sample], w[number], strict=True)
            want = sum(signal.convolve(a, b, mode, "direct") for a, b in pairs)
            assert np.array_equal(y[sample, number], want)


def test_the_walk_through_a_network(isa):
    """Shapes and numbers of parameters, layer by layer; 16 rows pool to 8, 40 to 20."""
    x = np.zeros((2, 3, 45, 45), np.float32)
    parameters = []
    layers = ((32, 6, 40, 2), (64, 5, 16, 2), (128, 3, 6, 1), (128, 3, 4, 1))
    for filters, size, out, pool in layers:
        w = np.ones((filters, x.shape[1], size, size), np.float32)
        parameters.append(w.size)
        x = fc.conv4d(x, w, "valid")
        assert x.shape == (2, filters, out, out)
        x = fc.max_pool2d(x, pool)
    assert parameters == [3456, 51200, 73728, 147456]
    assert sum(parameters) == 275840


def test_a_kernel_in_place_of_a_dense_layer(isa):
    """From 100 x 100 to 98 x 98: 9 parameters share what 96 million would hold apart."""
    x = np.ones((1, 1, 100, 100), np.float32)
    w = np.ones((1, 1, 3, 3), np.float32)
    y = fc.conv4d(x, w, "valid")
    assert y.shape == (1, 1, 98, 98)
    dense = x.size * y.size
    assert dense == 96_040_000
    assert w.size == 9
    assert dense / w.size == pytest.approx(10_671_111.1, abs=0.1)
    assert fc.conv4d(x, w, "same").shape == x.shape
