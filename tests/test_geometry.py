"""Sizes: the formulas of convolutions against PyTorch and SciPy; what geometries hold."""

import dataclasses
import math

import numpy as np
import pytest
from geometries import conv, pool, transposed
from hypothesis import assume, given, settings
from hypothesis import strategies as st

CONV_NUMBERS = [
    "samples",
    "channels",
    "height",
    "width",
    "filters",
    "kernel_h",
    "kernel_w",
    "stride_h",
    "stride_w",
    "dilation_h",
    "dilation_w",
    "pad_top",
    "pad_left",
    "groups",
    "out_h",
    "out_w",
]
POOL_NUMBERS = [
    "samples",
    "channels",
    "height",
    "width",
    "kernel_h",
    "kernel_w",
    "stride_h",
    "stride_w",
    "dilation_h",
    "dilation_w",
    "pad_top",
    "pad_bottom",
    "pad_left",
    "pad_right",
    "out_h",
    "out_w",
]


def on_axis(kernel, stride=1, padding=0, dilation=1, size=10, **same):
    """Return (pad_top, pad_bottom, out_h) of a convolution whose columns are trivial."""
    if not isinstance(padding, (int, str)):
        padding = (padding, (0, 0))
    g = conv((1, 1, size, 1), (1, 1, kernel, 1), (stride, 1), padding, (dilation, 1), **same)
    return g.pad_top, g.pad_bottom, g.out_h


# Convolution


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"kernel": 3}, (0, 0, 8)),
        ({"kernel": 10}, (0, 0, 1)),
        ({"kernel": 3, "padding": "valid"}, (0, 0, 8)),
        ({"kernel": 3, "padding": "full"}, (2, 2, 12)),
        ({"kernel": 3, "padding": "full", "dilation": 3}, (6, 6, 16)),
        ({"kernel": 3, "padding": 1}, (1, 1, 10)),
        ({"kernel": 3, "padding": 20}, (20, 20, 48)),
        ({"kernel": 3, "padding": (0, 5)}, (0, 5, 13)),
        ({"kernel": 2, "padding": "same"}, (0, 1, 10)),
        ({"kernel": 4, "padding": "same"}, (1, 2, 10)),
        ({"kernel": 3, "padding": "same", "stride": 2}, (0, 1, 5)),
        ({"kernel": 3, "padding": "same", "stride": 2, "size": 9}, (1, 1, 5)),
        ({"kernel": 2, "padding": "same", "stride": 5}, (0, 0, 2)),
        ({"kernel": 1, "padding": "same", "stride": 3}, (0, 0, 4)),
        ({"kernel": 3, "padding": "same", "dilation": 4}, (4, 4, 10)),
        ({"kernel": 25, "padding": "same"}, (12, 12, 10)),
        ({"kernel": 3, "dilation": 4, "stride": 2}, (0, 0, 1)),
        ({"kernel": 2, "padding": "same", "flipped": True}, (1, 0, 10)),
        ({"kernel": 3, "padding": "same", "flipped": True}, (1, 1, 10)),
        ({"kernel": 4, "padding": "same", "flipped": True}, (2, 1, 10)),
        ({"kernel": 4, "padding": "same", "flipped": True, "stride": 3}, (2, 1, 4)),
        ({"kernel": 2, "padding": "same", "flipped": True, "dilation": 3}, (2, 1, 10)),
        ({"kernel": 26, "padding": "same", "flipped": True}, (13, 12, 10)),
        ({"kernel": 3, "padding": "full", "flipped": True}, (2, 2, 12)),
    ],
)
def test_padding_and_outputs(arguments, expected):
    assert on_axis(**arguments) == expected


@pytest.mark.parametrize("flipped", [False, True])
@given(st.data())
@settings(max_examples=200, deadline=None)
def test_same_has_ceil_of_size_over_stride_outputs(flipped, data):
    size, kernel, stride, dilation = (data.draw(st.integers(1, n)) for n in (40, 12, 9, 5))
    before, after, out = on_axis(kernel, stride, "same", dilation, size, flipped=flipped)
    assert out == math.ceil(size / stride)
    if not flipped:
        reach = (kernel - 1) * dilation + 1
        assert before + after == max((out - 1) * stride + reach - size, 0)
        assert after - before in (0, 1)


def test_rows_and_columns_are_told_apart():
    g = conv((2, 6, 20, 30), (8, 3, 3, 5), (1, 2), ((1, 2), (3, 4)), (2, 3), 2)
    assert (g.stride_h, g.stride_w, g.dilation_h, g.dilation_w) == (1, 2, 2, 3)
    assert (g.pad_top, g.pad_bottom, g.pad_left, g.pad_right) == (1, 2, 3, 4)
    assert (g.out_h, g.out_w) == (20 + 3 - 5 + 1, (30 + 7 - 13) // 2 + 1)
    pair = conv((2, 6, 20, 30), (8, 3, 3, 5), padding=(1, 2), groups=2)
    assert (pair.pad_top, pair.pad_bottom, pair.pad_left, pair.pad_right) == (1, 1, 2, 2)


def test_layouts_describe_the_same_convolution():
    first = conv((2, 6, 20, 30), (8, 3, 3, 5), 2, 1, 1, 2)
    last = conv((2, 20, 30, 6), (3, 5, 3, 8), 2, 1, 1, 2, "NHWC")
    assert first.x_shape == (2, 6, 20, 30)
    assert first.w_shape == (8, 3, 3, 5)
    assert first.out_shape == (2, 8, 10, 14)
    assert last.x_shape == (2, 20, 30, 6)
    assert last.w_shape == (3, 5, 3, 8)
    assert last.out_shape == (2, 10, 14, 8)
    assert list(first.numbers[:-1]) == list(last.numbers[:-1])
    assert (first.numbers[-1], last.numbers[-1]) == (0, 1)


def test_numbers_have_the_order_of_the_engine():
    g = conv((2, 6, 20, 30), (8, 3, 3, 5), (1, 2), ((1, 2), (3, 4)), (2, 3), 2)
    assert list(g.numbers[:-1]) == [getattr(g, name) for name in CONV_NUMBERS]
    p = pool((2, 20, 30, 6), (3, 5), (1, 2), ((1, 2), (3, 4)), (2, 1), data_format="NHWC")
    assert list(p.numbers[:-2]) == [getattr(p, name) for name in POOL_NUMBERS]
    assert list(p.numbers[-2:]) == [1, 1]
    for geometry in (g, p):
        assert geometry.numbers.dtype == np.int64
        assert geometry.numbers.flags.c_contiguous


def test_geometries_cannot_be_changed():
    for g in (conv((1, 1, 5, 5), (1, 1, 3, 3)), pool((1, 1, 5, 5), 2)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            g.height = 7
        with pytest.raises(ValueError, match="read-only"):
            g.numbers[0] = 7


@pytest.mark.parametrize("empty", ["samples", "channels", "filters"])
def test_nothing_to_compute_is_a_geometry_too(empty):
    n, c, f = (0 if empty == name else 2 for name in ("samples", "channels", "filters"))
    g = conv((n, c, 5, 5), (f, c, 3, 3))
    assert g.out_shape == (n, f, 3, 3)
    assert transposed((n, f, 5, 5), (f, c, 3, 3)).x_shape == (n, c, 7, 7)
    assert pool((n, c, 5, 5), 2).out_shape == (n, c, 2, 2)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_conv_sizes_are_those_of_torch(torch, data):
    kernel, stride, dilation, padding, size = (
        (data.draw(st.integers(low, high)), data.draw(st.integers(low, high)))
        for low, high in ((1, 5), (1, 4), (1, 3), (0, 6), (1, 20))
    )
    room = [
        s + 2 * p - (k - 1) * d for s, p, k, d in zip(size, padding, kernel, dilation, strict=True)
    ]
    if min(room) < 1:
        with pytest.raises(ValueError, match="w must be a kernel that"):
            conv((1, 1, *size), (1, 1, *kernel), stride, padding, dilation)
        return
    g = conv((1, 1, *size), (1, 1, *kernel), stride, padding, dilation)
    y = torch.nn.functional.conv2d(
        torch.zeros(1, 1, *size), torch.zeros(1, 1, *kernel), None, stride, padding, dilation
    )
    assert g.out_shape == tuple(y.shape)


@pytest.mark.parametrize("mode", ["same", "valid", "full"])
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_conv4d_places_the_kernel_where_scipy_does(signal, mode, data):
    kernel, size = (
        (data.draw(st.integers(1, high)), data.draw(st.integers(1, high))) for high in (7, 9)
    )
    assume(mode != "valid" or (kernel[0] <= size[0] and kernel[1] <= size[1]))
    g = conv((1, 1, *size), (1, 1, *kernel), padding=mode, flipped=True)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(size), rng.standard_normal(kernel)
    padded = np.pad(x, ((g.pad_top, g.pad_bottom), (g.pad_left, g.pad_right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel)
    got = np.einsum("ijkl,kl->ij", windows, w[::-1, ::-1])
    want = signal.convolve(x, w, mode, method="direct")
    assert got.shape == want.shape == (g.out_h, g.out_w)
    np.testing.assert_allclose(got, want, atol=1e-12)


# Transposed convolution


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_transposed_sizes_are_those_of_torch(torch, data):
    kernel, stride, dilation, padding, size, extra = (
        (data.draw(st.integers(low, high)), data.draw(st.integers(low, high)))
        for low, high in ((1, 5), (1, 4), (1, 4), (0, 4), (1, 7), (0, 4))
    )
    x, w = torch.zeros(1, 2, *size), torch.zeros(2, 3, *kernel)
    try:
        y = torch.nn.functional.conv_transpose2d(x, w, None, stride, padding, extra, 1, dilation)
        if not y.numel():  # no output: theirs is empty then, or an error, as it happens
            raise RuntimeError
    except RuntimeError:
        with pytest.raises(ValueError, match="padding must be"):
            transposed(tuple(x.shape), tuple(w.shape), stride, padding, extra, 1, dilation)
        return
    g = transposed(tuple(x.shape), tuple(w.shape), stride, padding, extra, 1, dilation)
    assert g.x_shape == tuple(y.shape)
    assert g.out_shape == tuple(x.shape)


def test_transposed_geometry_is_that_of_its_convolution():
    g = transposed((2, 4, 5, 6), (4, 3, 3, 2), (2, 1), ((1, 0), (0, 1)), (1, 0), 2, (1, 2))
    c = conv(g.x_shape, g.w_shape, (2, 1), ((1, 0), (0, 1)), (1, 2), 2)
    assert list(g.numbers) == list(c.numbers)
    assert (g.channels, g.filters) == (6, 4)
    last = transposed(
        (2, 5, 6, 4), (3, 2, 3, 4), (2, 1), ((1, 0), (0, 1)), (1, 0), 2, (1, 2), "NHWC"
    )
    assert last.x_shape == (2, *g.x_shape[2:], 6)
    assert last.w_shape == (3, 2, 3, 4)
