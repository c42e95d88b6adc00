"""Arrays in and out: what is taken, the dtype of the result, `out`."""

import numpy as np
import pytest
from arrays import ramp

import fastconv as fc

INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"]
FLOATS = ["float16", "float32", "float64"]


def calls(dtype, other=None):
    """Yield a name, a call of each operation with `out` still to give, and its two inputs."""
    x, w = ramp(2, 2, 4, 5, dtype=dtype), ramp(3, 2, 2, 3, dtype=other or dtype)
    y, large = ramp(2, 3, 3, 3, dtype=dtype), ramp(2, 2, 4, 5, dtype=other or dtype)
    full = ramp(2, 2, 4, 5, dtype=dtype)
    yield "conv2d", lambda a, b, **k: fc.conv2d(a, b, **k), x, w
    yield "conv4d", lambda a, b, **k: fc.conv4d(a, b, **k), x, w
    yield "conv2d_grad_x", lambda a, b, **k: fc.conv2d_grad_x(a, b, x.shape, **k), y, w
    yield "conv2d_grad_w", lambda a, b, **k: fc.conv2d_grad_w(a, b, w.shape, **k), y, large
    yield "conv4d_grad_x", lambda a, b, **k: fc.conv4d_grad_x(a, b, x.shape, "valid", **k), y, w
    yield "conv4d_grad_w", lambda a, b, **k: fc.conv4d_grad_w(a, b, w.shape, "valid", **k), y, large
    yield "conv_transpose2d", lambda a, b, **k: fc.conv_transpose2d(a, b, **k), y, w
    yield (
        "conv_transpose2d_grad_x",
        lambda a, b, **k: fc.conv_transpose2d_grad_x(a, b, y.shape, **k),
        full,
        w,
    )
    yield (
        "conv_transpose2d_grad_w",
        lambda a, b, **k: fc.conv_transpose2d_grad_w(a, b, w.shape, **k),
        full,
        ramp(2, 3, 3, 3, dtype=other or dtype),
    )


def pools(dtype):
    """Yield a name, a call of each pool with `out` still to give, and its input."""
    x, y = ramp(2, 2, 4, 6, dtype=dtype), ramp(2, 2, 2, 3, dtype=dtype)
    indices = np.zeros(y.shape, np.int64)
    yield "max_pool2d", lambda a, **k: fc.max_pool2d(a, 2, **k), x
    yield "max_pool2d_grad_x", lambda a, **k: fc.max_pool2d_grad_x(a, indices, x.shape, **k), y
    yield "avg_pool2d", lambda a, **k: fc.avg_pool2d(a, 2, **k), x
    yield "avg_pool2d_grad_x", lambda a, **k: fc.avg_pool2d_grad_x(a, x.shape, 2, **k), y


def unaligned(shape, dtype):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.zeros(size + 1, np.uint8)[1:].view(dtype).reshape(shape)


# The dtype of the result


@pytest.mark.parametrize("first", FLOATS + INTEGERS)
@pytest.mark.parametrize("second", [*FLOATS, "int8", "int64"])
def test_results_are_promoted_as_numpy_promotes(first, second):
    both_integers = first in INTEGERS and second in INTEGERS
    want = np.dtype(np.int64) if both_integers else np.result_type(first, second)
    for name, call, a, b in calls(first, second):
        exact = call(a.astype("float64"), b.astype("float64"))
        got = call(a, b)
        assert got.dtype == want, name
        np.testing.assert_array_equal(got, exact.astype(want), err_msg=name)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, "uint64"])
def test_maxima_keep_their_dtype_and_averages_are_floats(dtype):
    for name, call, a in pools(dtype):
        got = call(a)
        keeps = name.startswith("max") or dtype in FLOATS
        assert got.dtype == (dtype if keeps else "float64"), name
        np.testing.assert_array_equal(got, call(a.astype("float64")).astype(got.dtype))


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS + [">f4", ">f8", ">i4", ">f2"])
def test_results_are_in_native_byte_order(dtype):
    for name, call, *arrays in (*calls(dtype), *pools(dtype)):
        assert call(*arrays).dtype.isnative, name


def test_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    dtype = np.dtype(ml_dtypes.bfloat16)
    for name, call, *arrays in (*calls(dtype), *pools(dtype)):
        got = call(*arrays)
        assert got.dtype == dtype, name
        want = call(*(array.astype("float32") for array in arrays)).astype(dtype)
        np.testing.assert_array_equal(got, want, err_msg=name)
    for _, call, a, b in calls(dtype, "float32"):
        assert call(a, b).dtype == np.float32
    x, w = ramp(1, 1, 3, 3, dtype=dtype), ramp(1, 1, 2, 2, dtype=dtype)
    with pytest.raises(TypeError, match="w must be of a dtype that NumPy promotes with that of x"):
        fc.conv2d(x, w.astype(np.int64))
    for other in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.int4):
        # an older NumPy finds no common dtype first
        with pytest.raises(TypeError, match=r"(x must be of a floating dtype|promotes)"):
            fc.conv2d(x.astype(other), w)


def test_half_precision_is_accumulated_in_float32_and_rounded_once():
    ones = np.ones((1, 4096, 1, 1), np.float16)
    assert fc.conv2d(ones, ones)[0, 0, 0, 0] == 4096
    tiny = np.full((1, 16, 1, 1), 2.0**-16, np.float16)
    assert fc.conv2d(tiny, tiny)[0, 0, 0, 0] == np.float16(2.0**-28)


def test_half_precision_overflows_to_inf_without_a_warning(recwarn):
    large = np.full((1, 1, 1, 1), 6e4, np.float16)
    assert fc.conv2d(large, large)[0, 0, 0, 0] == np.inf
    assert fc.conv_transpose2d_grad_w(large, large, large.shape, with_bias=True)[0] == np.inf
    out = np.empty((1, 2, 1, 1), np.float16)[:, ::2]
    assert fc.conv2d(large, large, out=out)[0, 0, 0, 0] == np.inf
    assert not recwarn.list


def test_integers_are_exact_and_wrap_as_numpys():
    x = np.array([[[[2**62 + 1, 3]]]])
    w = np.array([[[[3, 1]]]])
    with np.errstate(over="ignore"):
        want = x[0, 0, 0, 0] * 3 + 3
    assert fc.conv2d(x, w)[0, 0, 0, 0] == want
    small = np.full((1, 1000, 1, 1), 127, np.int8)
    assert fc.conv2d(small, small)[0, 0, 0, 0] == 127 * 127 * 1000


@pytest.mark.parametrize("dtype", ["float32", "int16", "float16", ">f8", "uint64"])
def test_bias_is_cast_to_the_dtype_of_the_result(dtype):
    x, w = ramp(1, 1, 3, 3, dtype="float32"), ramp(2, 1, 2, 2, dtype="float32")
    bias = np.array([1, 2]).astype(dtype)
    got = fc.conv2d(x, w, bias)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, fc.conv2d(x, w) + np.float32([1, 2])[:, None, None])
    half = fc.conv2d(x.astype("f2"), w.astype("f2"), np.float32([2049, 0]))
    want = (np.float32(2048) + fc.conv2d(x, w)[0, 0]).astype(np.float16)
    np.testing.assert_array_equal(half[0, 0], want)
    whole = fc.conv2d(x.astype(int), w.astype(int), bias.astype("float64") + 0.75)
    assert whole.dtype == np.int64
    np.testing.assert_array_equal(whole, got)


@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64"])
def test_the_bias_of_a_transposed_convolution_has_a_gradient_too(dtype, data_format):
    grad, x, w = ramp(2, 4, 5, 6, dtype=dtype), ramp(2, 3, 4, 5, dtype=dtype), (3, 4, 2, 2)
    if data_format == "NHWC":
        grad, x, w = grad.transpose(0, 2, 3, 1), x.transpose(0, 2, 3, 1), (2, 2, 4, 3)
    grad_w, grad_bias = fc.conv_transpose2d_grad_w(
        grad, x, w, with_bias=True, data_format=data_format
    )
    axes = (0, 2, 3) if data_format == "NCHW" else (0, 1, 2)
    assert grad_w.dtype == grad_bias.dtype == dtype
    assert grad_w.shape == w
    np.testing.assert_array_equal(grad_bias, grad.sum(axes))


# What is taken


class HasArray:
    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array


class HasDlpack:
    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **arguments):
        return self.array.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class Subclass(np.ndarray):
    pass


@pytest.mark.parametrize(
    "wrap",
    [HasArray, HasDlpack, np.ndarray.tolist, memoryview, lambda a: a.view(Subclass)],
    ids=["array", "dlpack", "list", "memoryview", "subclass"],
)
def test_whatever_converts_to_an_array_is_taken(wrap):
    for name, call, *arrays in (*calls("float64"), *pools("float64")):
        got = call(*map(wrap, arrays))
        assert type(got) is np.ndarray
        np.testing.assert_array_equal(got, call(*arrays), err_msg=name)
    x, w, bias = ramp(1, 1, 4, 4), ramp(2, 1, 2, 2), ramp(2)
    np.testing.assert_array_equal(fc.conv2d(x, w, wrap(bias)), fc.conv2d(x, w, bias))


def test_torch_tensors_are_taken(torch):
    x, w = ramp(1, 1, 4, 4), ramp(2, 1, 2, 2)
    got = fc.conv2d(torch.tensor(x), torch.tensor(w), padding=torch.tensor(1))
    np.testing.assert_array_equal(got, fc.conv2d(x, w, padding=1))
    got = fc.conv2d_grad_x(torch.tensor(got), torch.tensor(w), torch.tensor(x).shape, 1, 1)
    assert got.shape == x.shape


class Elsewhere(HasDlpack):
    def __dlpack_device__(self):
        return 2, 0


class Unwilling(HasDlpack):
    def __dlpack__(self, **arguments):
        raise BufferError("it is being looked at")


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (Elsewhere, r"x must be in the memory of the CPU, got a Elsewhere on another device"),
        (Unwilling, r"x must be a tensor that NumPy can read, got a Unwilling, .* looked at"),
    ],
)
def test_tensors_that_cannot_be_read_are_named(wrap, message):
    for _, call, first, *others in (*calls("float64"), *pools("float64")):
        with pytest.raises(TypeError, match=message.replace("x must", "(x|grad) must")):
            call(wrap(first), *others)
    with pytest.raises(TypeError, match="conv2d: bias must be in the memory"):
        fc.conv2d(ramp(1, 1, 4, 4), ramp(2, 1, 2, 2), Elsewhere(ramp(2)))


def test_torch_tensors_that_cannot_be_read_are_named(torch):
    x, w = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 2, 2)
    for bad in (x.clone().requires_grad_(), x.to_sparse(), x.bfloat16(), x.to("meta")):
        with pytest.raises(TypeError, match="conv2d: x must be a tensor that NumPy can read"):
            fc.conv2d(bad, w)
    # of a view the elements are read where they lie
    wide = torch.arange(32.0).reshape(1, 1, 4, 8)
    np.testing.assert_array_equal(
        fc.conv2d(wide[..., ::2], w), fc.conv2d(wide.numpy()[..., ::2], w)
    )


def test_what_conversion_raises_passes_unchanged():
    class Stubborn:
        def __array__(self, dtype=None, copy=None):
            raise ZeroDivisionError("not today")

    with pytest.raises(ZeroDivisionError, match="not today"):
        fc.conv2d(Stubborn(), ramp(1, 1, 1, 1))


# out


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "float16"])
def test_out_is_filled_and_returned(dtype):
    for name, call, *arrays in (*calls(dtype), *pools(dtype)):
        want = call(*arrays)
        swapped = want.dtype.newbyteorder("S")
        doubled = tuple(2 * size for size in want.shape)
        for out in (
            np.full(want.shape, 7, want.dtype),
            np.full(want.shape[::-1], 7, want.dtype).T,
            np.full(doubled, 7, want.dtype)[::2, ::2, ::2, ::2],
            np.full(want.shape, 7, want.dtype)[::-1, :, ::-1],
            np.full(want.shape, 7, swapped),
            unaligned(want.shape, want.dtype),
            np.full(want.shape, 7, want.dtype).view(Subclass),
        ):
            assert call(*arrays, out=out) is out, name
            np.testing.assert_array_equal(out, want, err_msg=name)


def test_out_leaves_the_elements_between_its_own_alone():
    for name, call, *arrays in (*calls("float32"), *pools("float32")):
        want = call(*arrays)
        whole = np.full(tuple(2 * size for size in want.shape), 7, np.float32)
        call(*arrays, out=whole[::2, ::2, ::2, ::2])
        whole[::2, ::2, ::2, ::2] = 7
        assert (whole == 7).all(), name


def test_results_are_new_contiguous_arrays():
    for name, call, *arrays in (*calls("float32"), *pools("float32")):
        got = call(*arrays)
        assert got.flags.c_contiguous, name
        assert got.flags.writeable, name
        assert not any(np.shares_memory(got, array) for array in arrays), name


def test_empty_arrays_go_through():
    for name, call, *arrays in calls("float32"):
        if name.endswith("_grad_x"):
            continue  # their shapes are given
        empty = arrays[0][:0]
        if name.endswith("_grad_w"):
            got = call(empty, arrays[1][:0], out=np.full((3, 2, 2, 3), 7, np.float32))
            assert not got.any(), name
        else:
            assert len(call(empty, arrays[1])) == 0, name
    maxima, indices = fc.max_pool2d(np.zeros((0, 2, 4, 4)), 2, return_indices=True)
    assert maxima.shape == indices.shape == (0, 2, 2, 2)
    assert fc.max_pool2d_grad_x(maxima, indices, (0, 2, 4, 4)).shape == (0, 2, 4, 4)
