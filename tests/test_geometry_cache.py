"""Geometries: what is too large for the engine, and what the cache may take for the same."""

import numpy as np
import pytest
from geometries import conv, pool, transposed

from fastconv.geometry import plain_shape
from fastconv.geometry.sizes import LARGEST_SIZE as LARGEST

# The limits


def test_largest_sizes_are_computed_without_wrapping():
    g = conv((1, 1, 5, 5), (1, 1, 3, 3), LARGEST, LARGEST, 1)
    assert g.out_h == (5 + 2 * LARGEST - 3) // LARGEST + 1
    g = conv((1, 1, 3, 1), (1, 1, 2, 1), 1, ((LARGEST, 0), (0, 0)), (LARGEST, 1))
    assert g.out_h == 3
    g = pool((1, 1, 1, 1), LARGEST, LARGEST, ((LARGEST - 1, 0), (0, LARGEST - 1)))
    assert (g.out_h, g.out_w) == (1, 1)
    g = transposed((1, 1, 2, 1), (1, 1, 2, 1), (LARGEST, 1), 0, 0, 1, (LARGEST, 1))
    assert g.height == 2 * LARGEST + 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: conv((1, 1, 5, 5), (1, 1, 3, 3), 1, LARGEST),
        lambda: conv((1, 1, 5, 5), (1, 1, 3, 3), 1, "full", LARGEST),
        lambda: conv((1, 1, 5, 5), (1, 1, LARGEST, 1), (1, 1), "full", (LARGEST, 1)),
        lambda: conv((2**60, 1, 1, 1), (1, 1, 1, 1), 1, 1),
        lambda: conv((2**30, 1, 1, 1), (2**30, 1, 1, 1)),
        lambda: conv((2**31, 1, 2**31, 1), (1, 1, 1, 1)),
        lambda: conv((0, 0, 2**31, 2**31), (0, 0, 1, 1)),
        lambda: conv((1, 2**40, 1, 1), (2**40, 2**40, 1, 1)),
        lambda: conv((1, 1, 5, 5), (1, 1, LARGEST + 1, 1), 1, "same"),
        lambda: transposed((1, 1, 5, 5), (1, 1, 3, 3), LARGEST),
        lambda: transposed((1, 1, 2**40, 1), (1, 1, 1, 1), LARGEST),
        lambda: pool((1, 1, 5, 5), LARGEST, 1, "full"),
        lambda: pool((2**40, 2**20, 1, 1), 1),
    ],
)
def test_what_passes_int64_is_refused(make):
    with pytest.raises(ValueError, match="must be"):
        make()


# The cache


def test_the_same_sizes_give_the_same_object():
    assert conv((1, 1, 5, 5), (1, 1, 3, 3)) is conv((1, 1, 5, 5), (1, 1, 3, 3))
    assert pool((1, 1, 5, 5), 2) is pool((1, 1, 5, 5), 2)
    assert transposed((1, 1, 5, 5), (1, 1, 3, 3)) is transposed((1, 1, 5, 5), (1, 1, 3, 3))


@pytest.mark.parametrize("equal", [1.0, True, np.float64(1), np.True_, 1 + 0j])
def test_what_equals_an_int_does_not_find_its_entry(equal):
    x, w = (1, 1, 5, 5), (1, 1, 3, 3)
    conv(x, w, 1, 1, 1, 1)
    conv(x, w, (1, 1), ((1, 1), (1, 1)), (1, 1))
    transposed(x, w, 2, 1, 1, 1, 1)
    pool(x, 2, 1, 1, 1)
    for bad in (
        lambda: conv(x, w, equal, 1, 1, 1),
        lambda: conv(x, w, 1, equal, 1, 1),
        lambda: conv(x, w, 1, 1, equal, 1),
        lambda: conv(x, w, 1, 1, 1, equal),
        lambda: conv(x, w, (1, equal), ((1, 1), (1, 1)), (1, 1)),
        lambda: conv(x, w, (1, 1), ((1, 1), (1, equal)), (1, 1)),
        lambda: conv(x, w, (1, 1), (1, equal), (1, 1)),
        lambda: conv(x, w, (1, 1), ((1, 1), (1, 1)), (equal, 1)),
        lambda: transposed(x, w, 2, equal, 1, 1, 1),
        lambda: transposed(x, w, 2, 1, equal, 1, 1),
        lambda: transposed(x, w, 2, 1, (1, equal), 1, 1),
        lambda: pool(x, 2, equal, 1, 1),
        lambda: pool(x, 2, 1, equal, 1),
        lambda: pool(x, 2, 1, 1, equal),
        lambda: pool(x, (2, equal), 1, 1, 1),
        lambda: plain_shape("conv2d_grad_x", "x_shape", (1, equal, 5, 5)),
    ):
        with pytest.raises(TypeError, match="must be"):
            bad()


def test_flags_are_not_looked_up_as_ints():
    pool((1, 1, 5, 5), 2, ceil_mode=True, count_include_pad=True)
    with pytest.raises(TypeError, match="ceil_mode must be True or False"):
        pool((1, 1, 5, 5), 2, ceil_mode=1)
    with pytest.raises(TypeError, match="count_include_pad must be True or False"):
        pool((1, 1, 5, 5), 2, count_include_pad=1.0)


def test_every_kind_of_int_is_an_int():
    class Index:
        def __index__(self):
            return 2

    class Int(int):
        pass

    want = conv((1, 1, 9, 9), (1, 1, 3, 3), 2, 2)
    for two in (np.int8(2), np.uint64(2), np.array(2), Index(), Int(2)):
        got = conv((1, 1, 9, 9), (1, 1, 3, 3), (two, 2), two)
        assert list(got.numbers) == list(want.numbers)
        assert type(got.stride_h) is int
    for pair in ([2, 2], np.array([2, 2]), (np.int16(2), 2)):
        assert list(conv((1, 1, 9, 9), (1, 1, 3, 3), pair, pair).numbers) == list(want.numbers)
    nested = conv((1, 1, 9, 9), (1, 1, 3, 3), 2, np.full((2, 2), 2))
    assert list(nested.numbers) == list(want.numbers)
    assert plain_shape("conv2d_grad_x", "x_shape", np.array([1, 2, 3, 4])) == (1, 2, 3, 4)
    assert plain_shape("conv2d_grad_x", "x_shape", range(4)) == (0, 1, 2, 3)


def test_what_index_raises_passes_unchanged():
    class Stubborn:
        def __index__(self):
            raise ZeroDivisionError("not today")

    with pytest.raises(ZeroDivisionError, match="not today"):
        conv((1, 1, 9, 9), (1, 1, 3, 3), Stubborn())
    with pytest.raises(ZeroDivisionError, match="not today"):
        conv((1, 1, 9, 9), (1, 1, 3, 3), 1, ((0, 0), (0, Stubborn())))


def test_words_may_be_subclasses_of_str():
    assert conv((1, 1, 9, 9), (1, 1, 3, 3), padding=np.str_("same")).out_h == 9
    assert conv((1, 9, 9, 1), (3, 3, 1, 1), data_format=np.str_("NHWC")).out_h == 7
