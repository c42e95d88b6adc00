"""Sizes of pools: the formulas against PyTorch and counting."""

import math

import pytest
from geometries import pool
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv.geometry import unpool_geometry
from fastconv.geometry.sizes import Axis, pool_axis, windows_hold_image


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_pool_sizes_are_those_of_torch(torch, data):
    kernel, stride, dilation, size = (
        (data.draw(st.integers(1, high)), data.draw(st.integers(1, high))) for high in (5, 6, 3, 12)
    )
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    ceil_mode = data.draw(st.booleans())
    try:
        y = torch.nn.functional.max_pool2d(
            torch.zeros(1, 1, *size), kernel, stride, padding, dilation, ceil_mode
        )
    except RuntimeError:
        with pytest.raises(ValueError, match="must be"):
            pool((1, 1, *size), kernel, stride, padding, dilation, ceil_mode)
        return
    if torch.isinf(y).any():  # where torch has a window without an element
        with pytest.raises(ValueError, match="padding must be small enough"):
            pool((1, 1, *size), kernel, stride, padding, dilation, ceil_mode)
        return
    g = pool((1, 1, *size), kernel, stride, padding, dilation, ceil_mode)
    assert g.out_shape == tuple(y.shape)


@given(
    *(st.integers(1, high) for high in (9, 6, 6, 6)),
    st.integers(0, 12),
    st.integers(0, 12),
    st.booleans(),
)
@settings(max_examples=1000, deadline=None)
def test_windows_without_an_element_are_found(
    size, kernel, stride, dilation, before, after, ceil_mode
):
    reach = (kernel - 1) * dilation + 1
    axis = pool_axis((before, after), size, reach, stride, ceil_mode)
    if axis is None:
        assert size + before + after < reach
        return
    assert size + before + after > reach - (stride if ceil_mode else 1)
    counted = all(
        any(0 <= i * stride - before + j * dilation < size for j in range(kernel))
        for i in range(axis.out)
    )
    assert windows_hold_image(axis, size, kernel, stride, dilation) == counted


def test_windows_are_checked_without_visiting_them():
    axis = Axis(2**30, 0, 2**31 - 1)
    assert not windows_hold_image(axis, 7, 3, 1, 2**30)
    assert windows_hold_image(Axis(2**30, 0, 2**30 + 7), 7, 2**30 + 1, 1, 1)


@pytest.mark.parametrize("ceil_mode", [False, True])
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_pool_same_is_that_of_keras_in_either_mode(ceil_mode, data):
    size, kernel, stride, dilation = (data.draw(st.integers(1, n)) for n in (30, 6, 6, 3))
    try:
        g = pool((1, 1, size, 1), (kernel, 1), (stride, 1), "same", (dilation, 1), ceil_mode)
    except ValueError:
        assert dilation > size
        return
    assert g.out_h == math.ceil(size / stride)


def test_stride_of_a_pool_is_its_window_by_default():
    g = pool((1, 1, 9, 9), (2, 3))
    assert (g.stride_h, g.stride_w, g.out_h, g.out_w) == (2, 3, 4, 3)


def test_unpool_geometry_takes_its_outputs_from_grad():
    g = unpool_geometry("max_pool2d_grad_x", (2, 9, 8, 3), (2, 4, 4, 3), "NHWC")
    assert (g.height, g.width, g.out_h, g.out_w, g.channels) == (9, 8, 4, 4, 3)
    with pytest.raises(ValueError, match=r"grad must be of shape \(2, 4, 4, 3\)"):
        unpool_geometry("max_pool2d_grad_x", (2, 9, 8, 3), (2, 4, 4, 2), "NHWC")
