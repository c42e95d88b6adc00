"""Any geometry there is, found by hypothesis: each operation and gradient against its twin."""

import numpy as np
import pytest
from arrays import LAYOUTS, assert_close, images_in, kernels_in
from cases import DATA_FORMATS, ISAS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastconv as fc
from fastconv import reference
from fastconv._core import runtime

# The same examples in every run: what fails here fails again.
steady = settings(
    max_examples=250,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(autouse=True)
def isa_restored():
    """Put back the ISA, which the examples choose themselves."""
    before = runtime.isa()
    yield
    runtime.select_isa(before)


def small(most, least=1):
    return st.integers(least, most)


@st.composite
def axes(draw, words, most_padding=4):
    """Draw kernel, stride, dilation and padding of one axis, and an image size that fits."""
    kernel, stride, dilation = draw(small(5)), draw(small(4)), draw(small(3))
    reach = (kernel - 1) * dilation + 1
    before, after = draw(small(most_padding, 0)), draw(small(most_padding, 0))
    room = 0 if words in ("same", "full") else reach - 1
    padded = 0 if words else before + after
    size = max(1, room + 1 - padded) + draw(st.one_of(small(6, 0), small(40, 0)))
    return kernel, stride, dilation, (before, after), size


@st.composite
def convolutions(draw):
    """Draw the shapes of x and w, the keywords, and how to make and to lay out the arrays."""
    words = draw(st.sampled_from([None, None, "same", "valid", "full"]))
    rows, columns = draw(axes(words)), draw(axes(words))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    channels, filters = (draw(st.one_of(small(6), small(40))) for _ in range(2))
    if draw(st.integers(0, 5)) == 0:
        groups, channels = draw(small(20)), 1  # depthwise
        filters = draw(small(2))
    x_shape = (draw(small(3)), channels * groups, rows[4], columns[4])
    w_shape = (filters * groups, channels, rows[0], columns[0])
    keywords = {
        "stride": (rows[1], columns[1]),
        "dilation": (rows[2], columns[2]),
        "padding": words or (rows[3], columns[3]),
        "groups": groups,
    }
    return x_shape, w_shape, keywords


@st.composite
def transposed_convolutions(draw):
    rows, columns = draw(axes(None, most_padding=0)), draw(axes(None, most_padding=0))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, filters = draw(small(5)), draw(small(5))
    x_shape = (draw(small(3)), channels * groups, draw(small(9)), draw(small(20)))
    w_shape = (channels * groups, filters, rows[0], columns[0])
    padding, output_padding = [], []
    for size, (kernel, stride, dilation, *_) in zip(x_shape[2:], (rows, columns), strict=True):
        output_padding.append(draw(small(max(stride, dilation) - 1, 0)))
        out = (size - 1) * stride + (kernel - 1) * dilation + output_padding[-1] + 1
        before = draw(small(min(out - 1, 4), 0))
        padding.append((before, draw(small(min(out - 1 - before, 4), 0))))
    keywords = {
        "stride": (rows[1], columns[1]),
        "dilation": (rows[2], columns[2]),
        "padding": tuple(padding),
        "output_padding": tuple(output_padding),
        "groups": groups,
    }
    return x_shape, w_shape, keywords


@st.composite
def pools(draw):
    words = draw(st.sampled_from([None, None, None, "same", "valid"]))
    axis = []
    for _ in range(2):
        kernel, stride, dilation = draw(small(4)), draw(small(4)), draw(st.sampled_from([1, 1, 2]))
        reach = (kernel - 1) * dilation + 1
        # A window must hold an element of the image, so padding stays below the first tap inside.
        most = 0 if dilation > 1 else kernel - 1
        before, after = draw(small(most, 0)), draw(small(min(most, kernel // 2), 0))
        size = reach + draw(st.one_of(small(8, 0), small(70, 0)))
        axis.append((kernel, stride, dilation, (before, after), size))
    rows, columns = axis
    x_shape = (draw(small(3)), draw(st.one_of(small(3), small(20))), rows[4], columns[4])
    keywords = {
        "kernel_size": (rows[0], columns[0]),
        "stride": (rows[1], columns[1]),
        "dilation": (rows[2], columns[2]),
        "padding": words or (rows[3], columns[3]),
        "ceil_mode": draw(st.booleans()),
    }
    return x_shape, keywords


how = st.tuples(
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(DATA_FORMATS),
    st.sampled_from(ISAS),
    st.sampled_from(sorted(LAYOUTS)),
    st.integers(0, 2**32 - 1),
)


def normal(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def check(operation, x_shape, w_shape, keywords, how):
    """Check an operation and its gradients against the twins, as a share of the sums of |x||w|."""
    dtype, data_format, isa, layout, seed = how
    runtime.select_isa(isa)
    twin, twin_x, twin_w = (
        getattr(reference, operation + suffix) for suffix in ("", "_grad_x", "_grad_w")
    )
    x, w = normal(seed, x_shape, w_shape)
    x, w = x.astype(dtype), w.astype(dtype)
    (grad,) = normal(seed + 1, twin(x, w, **keywords).shape)
    grad = grad.astype(dtype)

    def wanted(x, w, grad):
        return (
            twin(x, w, **keywords),
            twin_x(grad, w, x_shape, **keywords),
            twin_w(grad, x, w_shape, **keywords),
        )

    wide = [array.astype(np.float64) for array in (x, w, grad)]
    want, scales = wanted(*wide), wanted(*map(np.abs, wide))
    if operation == "conv4d":
        formatted = "NCHW"
    else:
        formatted, keywords = data_format, {**keywords, "data_format": data_format}
    x, grad = (LAYOUTS[layout](images_in(formatted, array)) for array in (x, grad))
    w = LAYOUTS[layout](kernels_in(formatted, w))
    got = (
        getattr(fc, operation)(x, w, **keywords),
        getattr(fc, operation + "_grad_x")(grad, w, x.shape, **keywords),
        getattr(fc, operation + "_grad_w")(grad, x, w.shape, **keywords),
    )
    turns = images_in, images_in, kernels_in
    for turn, result, expected, scale in zip(turns, got, want, scales, strict=True):
        assert_close(result, turn(formatted, expected), dtype, scale=scale.max())


@steady
@given(convolutions(), how)
def test_conv2d(convolution, how):
    check("conv2d", *convolution, how)


@steady
@given(convolutions(), how)
def test_conv4d(convolution, how):
    check("conv4d", *convolution, how)


@steady
@given(transposed_convolutions(), how)
def test_conv_transpose2d(convolution, how):
    check("conv_transpose2d", *convolution, how)


@steady
@given(convolutions(), how)
def test_whole_numbers_are_exact(convolution, how):
    """Sums of small whole numbers have no rounding, whatever their order, but in Winograd's."""
    x_shape, w_shape, keywords = convolution
    dtype, data_format, isa, _, seed = how
    runtime.select_isa(isa)
    rng = np.random.default_rng(seed)
    x, w = (rng.integers(-9, 9, shape) for shape in (x_shape, w_shape))
    want = reference.conv2d(x, w, **keywords)
    keywords = {**keywords, "data_format": data_format}
    x, w = images_in(data_format, x), kernels_in(data_format, w)
    want = images_in(data_format, want)
    assert_close(fc.conv2d(x, w, **keywords), want, "int64")
    with fc.precision("highest"):
        got = fc.conv2d(x.astype(dtype), w.astype(dtype), **keywords)
    assert np.array_equal(got, want)


@steady
@given(pools(), how, st.booleans())
def test_pools(pool, how, count_include_pad):
    x_shape, keywords = pool
    dtype, data_format, isa, layout, seed = how
    runtime.select_isa(isa)
    # Few values, so that there are ties.
    x = np.random.default_rng(seed).integers(-3, 4, x_shape).astype(dtype)
    average = {**keywords, "count_include_pad": count_include_pad}
    want, want_indices = reference.max_pool2d(x, return_indices=True, **keywords)
    want_average = reference.avg_pool2d(x, **average)
    (grad,) = normal(seed, want.shape)
    grad = grad.astype(dtype)
    want_grad = reference.max_pool2d_grad_x(grad, want_indices, x_shape)
    want_average_grad = reference.avg_pool2d_grad_x(grad, x_shape, **average)
    layed = LAYOUTS[layout](images_in(data_format, x))
    given_grad = LAYOUTS[layout](images_in(data_format, grad))
    formatted = {"data_format": data_format}
    out, indices = fc.max_pool2d(layed, return_indices=True, **keywords, **formatted)
    shape = layed.shape
    for got, expected, scale in (
        (out, want, 1),
        (indices, want_indices, 1),
        (fc.avg_pool2d(layed, **average, **formatted), want_average, 3),
        (fc.max_pool2d_grad_x(given_grad, indices, shape, **formatted), want_grad, None),
        (fc.avg_pool2d_grad_x(given_grad, shape, **average, **formatted), want_average_grad, None),
    ):
        if scale is None:
            scale = max(1, np.abs(expected).max())
        assert_close(got, images_in(data_format, expected), scale=scale)
