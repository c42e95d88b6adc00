"""Arrays of more than 2**31 elements: 32 bits are too few for an index.

They are made of zeros, which take no memory until they are written; and strides are such that
only few elements are read.
"""

import numpy as np
import pytest

import fastconv as fc

pytestmark = pytest.mark.slow
SHAPE = (1, 1, 2**16 + 1, 2**15)  # the last row begins at element 2**31
STRIDE = (2**16, 2**14)


def zeros(shape, dtype):
    try:
        return np.zeros(shape, dtype)
    except MemoryError:
        pytest.skip("the machine has too little memory, even for what is not touched")


@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_conv2d(isa, dtype, data_format):
    x = zeros(SHAPE, dtype)
    x[0, 0, -1, :3] = 2, 3, 4
    x[0, 0, 0, -(2**14)] = 1
    w = np.array([1, 10, 100], dtype).reshape(1, 1, 1, 3)
    want = [[0, 1], [432, 0]]
    if data_format == "NHWC":
        x, w = x.reshape(1, *SHAPE[2:], 1), w.reshape(1, 3, 1, 1)
    out = fc.conv2d(x, w, stride=STRIDE, data_format=data_format)
    assert out.reshape(2, 2).tolist() == want


@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
def test_conv2d_grad_w(isa, data_format):
    x = zeros(SHAPE, "float32")
    x[0, 0, -1, :3] = 2, 3, 4
    grad = np.array([1, 2, 3, 4], np.float32).reshape(1, 1, 2, 2)
    w_shape = (1, 1, 1, 3)
    if data_format == "NHWC":
        x, grad, w_shape = x.reshape(1, *SHAPE[2:], 1), grad.reshape(1, 2, 2, 1), (1, 3, 1, 1)
    got = fc.conv2d_grad_w(grad, x, w_shape, stride=STRIDE, data_format=data_format)
    assert got.reshape(-1).tolist() == [6, 9, 12]


@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_pools(isa, dtype, data_format):
    x = zeros(SHAPE, dtype)
    x[0, 0, -1, -(2**14) : -(2**14) + 3] = 1, 5, 3
    if data_format == "NHWC":
        x = x.reshape(1, *SHAPE[2:], 1)
    sizes = {"kernel_size": (1, 3), "stride": STRIDE, "data_format": data_format}
    out, indices = fc.max_pool2d(x, **sizes, return_indices=True)
    assert out.reshape(2, 2).tolist() == [[0, 0], [0, 5]]
    assert indices.reshape(-1).tolist() == [0, 2**14, 2**31, 2**31 + 2**14 + 1]
    if dtype == "float32":
        assert fc.avg_pool2d(x, **sizes).reshape(2, 2).tolist() == [[0, 0], [0, 3]]


def test_many_small_images():
    """The number of samples makes the array large; only the first and the last are not zero."""
    x = zeros((2**19 + 1, 1, 64, 64), "uint8")
    x[0, 0, 0, 0], x[-1, 0, -1, -1] = 3, 7
    out = fc.max_pool2d(x, 64)
    assert out[[0, -1], 0, 0, 0].tolist() == [3, 7]
    assert np.count_nonzero(out) == 2
