"""The products of dense layers beside their twins."""

import numpy as np
import pytest
from arrays import LAYOUTS, TOLERANCES, generator, make_array
from cases import DENSE_CASES

import fastconv as fc
from fastconv import plan
from fastconv import reference as twin
from fastconv.ops.dense import dense, dense_grad_w, dense_grad_x

sizes = pytest.mark.parametrize("sizes", DENSE_CASES, ids=str)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def arrays(sizes, dtype, layout="C"):
    """Return x, w, bias and grad."""
    samples, channels, units = sizes
    shapes = (samples, channels), (channels, units), (units,), (samples, units)
    rng = generator(sizes)
    return [make_array(rng, shape, dtype, layout) for shape in shapes]


def check(found, expected, dtype):
    assert found.dtype == np.dtype(dtype)
    assert found.shape == expected.shape
    limit = TOLERANCES[dtype] * np.abs(expected).max()
    np.testing.assert_allclose(found.astype("float64"), expected, rtol=0, atol=limit)


def check_all(x, w, bias, grad, dtype):
    wide = [array.astype("float64") for array in (x, w, bias, grad)]
    check(dense(x, w, bias), twin.dense(*wide[:3]), dtype)
    check(dense(x, w), twin.dense(*wide[:2]), dtype)
    check(dense_grad_x(grad, w), twin.dense_grad_x(wide[3], wide[1]), dtype)
    check(dense_grad_w(grad, x), twin.dense_grad_w(wide[3], wide[0]), dtype)


@sizes
@dtypes
def test_products(sizes, dtype, isa):
    check_all(*arrays(sizes, dtype), dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout):
    check_all(*arrays((9, 33, 16), "float32", layout), "float32")


def test_half_precision():
    check_all(*arrays((9, 33, 16), "float16"), "float16")


def test_highest_precision():
    x, w, bias, _ = arrays((20, 1000, 130), "float32")
    with fc.precision("highest"):
        found = dense(x, w, bias)
    exact = twin.dense(*(array.astype("float64") for array in (x, w, bias)))
    np.testing.assert_array_equal(found, exact.astype("float32"))


def test_leading_axes():
    x, w, bias, grad = arrays((12, 7, 5), "float64")
    whole = dense(x, w, bias)
    np.testing.assert_array_equal(dense(x.reshape(3, 4, 7), w, bias), whole.reshape(3, 4, 5))
    assert dense_grad_x(grad.reshape(2, 6, 5), w).shape == (2, 6, 7)
    found = dense_grad_w(grad.reshape(2, 6, 5), x.reshape(2, 6, 7))
    np.testing.assert_array_equal(found, dense_grad_w(grad, x))


@sizes
@dtypes
def test_everything_is_written(sizes, dtype, isa):
    x, w, bias, grad = arrays(sizes, dtype)
    products = (
        (x, w, bias, False, False),
        (grad, w, None, False, True),
        (x, grad, None, True, False),
    )
    for (a, b, add, *transposed), like in zip(products, (grad, x, w), strict=True):
        out = np.full_like(like, np.nan)
        plan.multiply(a, b, out, add, *transposed)
        assert np.isfinite(out).all()


@pytest.mark.usefixtures("threads_for_little_work")
@sizes
def test_threads_do_not_matter(sizes):
    x, w, bias, grad = arrays(sizes, "float32")

    def results():
        return dense(x, w, bias), dense_grad_x(grad, w), dense_grad_w(grad, x)

    with fc.threads(1):
        expected = results()
    for count in (2, 3, 8):
        with fc.threads(count):
            for found, one in zip(results(), expected, strict=True):
                np.testing.assert_array_equal(found, one)


@sizes
def test_a_sample_does_not_depend_on_the_batch(sizes):
    x, w, bias, grad = arrays(sizes, "float32")
    np.testing.assert_array_equal(dense(x, w, bias)[:1], dense(x[:1], w, bias))
    np.testing.assert_array_equal(dense_grad_x(grad, w)[:1], dense_grad_x(grad[:1], w))


@pytest.mark.parametrize("sizes", [(0, 3, 2), (2, 0, 3), (2, 3, 0)], ids=str)
def test_empty(sizes):
    x, w, bias, grad = arrays(sizes, "float32")
    np.testing.assert_array_equal(dense(x, w, bias), twin.dense(x, w, bias))
    np.testing.assert_array_equal(dense_grad_x(grad, w), twin.dense_grad_x(grad, w))
    assert dense_grad_w(grad, x).shape == w.shape


def test_values_that_are_not_finite():
    x, w, bias, _ = arrays((4, 30, 20), "float32")
    x[1, 3], x[2, 5] = np.inf, np.nan
    found = dense(x, w, bias)
    np.testing.assert_array_equal(np.isnan(found).any(1), [False, False, True, False])
    np.testing.assert_array_equal(np.isfinite(found).all(1), [True, False, False, True])
