"""conv2d, conv4d and their gradients against their twins, in every type, layout and ISA."""

from functools import cache, partial

import numpy as np
import pytest
from arrays import (
    LAYOUTS,
    assert_close,
    assert_same,
    every_second,
    generator,
    images_in,
    kernels_in,
    make_array,
)
from cases import CONV4D_CASES, CONV_CASES, DATA_FORMATS, FEW_CASES, NAMED, SMALL_CASES
from problems import conv_problem, every

import fastconv as fc
from fastconv import reference

cases = partial(pytest.mark.parametrize, "case", ids=str)
floats = every(dtype=["float32", "float64"])
formats = every(data_format=DATA_FORMATS)


@cases(CONV_CASES)
@floats
@formats
def test_conv2d(isa, case, dtype, data_format):
    problem = conv_problem("conv2d", case, dtype)
    arrays = problem.arrays_in(data_format)
    copies = [array.copy() for array in arrays]
    problem.check(problem.run(*arrays, data_format), data_format, dtype)
    for array, copy in zip(arrays, copies, strict=True):
        assert_same(array, copy)


@cases(SMALL_CASES)
@every(dtype=["int64", "int8", "uint16", "float16"])
@formats
def test_conv2d_of_other_types(isa, case, dtype, data_format):
    problem = conv_problem("conv2d", case, dtype)
    results = problem.run(*problem.arrays_in(data_format), data_format)
    problem.check(results, data_format, "float16" if dtype == "float16" else "int64")


@cases(CONV4D_CASES)
@every(dtype=["float32", "float64", "int64", "uint8", "float16"])
def test_conv4d(isa, case, dtype):
    problem = conv_problem("conv4d", case, dtype)
    results = problem.run(problem.x, problem.w, problem.bias, problem.grad)
    problem.check(results, dtype="int64" if "int" in dtype else dtype)


@cases(FEW_CASES)
def test_conv2d_of_bfloat16(isa, case):
    bfloat16 = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed").bfloat16
    problem = conv_problem("conv2d", case, bfloat16)
    problem.check(problem.run(problem.x, problem.w, problem.bias, problem.grad), dtype=bfloat16)


@cache
def plain_results(isa, case, dtype, data_format):
    """Return what comes of C-contiguous arrays, computed once for each ISA."""
    problem = conv_problem("conv2d", case, dtype)
    return problem.run(*problem.arrays_in(data_format), data_format)


@cases(FEW_CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
@floats
@formats
def test_layouts(isa, case, layout, dtype, data_format):
    """However an array lies in memory, the result is the same bit by bit."""
    problem = conv_problem("conv2d", case, dtype)
    arrays = problem.arrays_in(data_format)
    results = problem.run(*map(LAYOUTS[layout], arrays), data_format)
    for got, want in zip(results, plain_results(isa, case, dtype, data_format), strict=True):
        assert_same(got, want)


@pytest.mark.parametrize("operation", ["conv2d", "conv4d"])
def test_broadcast_inputs(isa, operation):
    """Strides of zero."""
    x = np.broadcast_to(np.float32([1, 2, 3, 4, 5]), (2, 3, 6, 5))
    w = np.broadcast_to(np.float32(0.5), (4, 3, 3, 3))
    got = getattr(fc, operation)(x, w, padding="same")
    assert_same(got, getattr(fc, operation)(x.copy(), w.copy(), padding="same"))
    assert_close(got, getattr(reference, operation)(x, w, padding="same"))


def outs(shape, dtype):
    """Return arrays of every kind that `out` may be, full of NaN (or of a number)."""
    fill = np.nan if np.dtype(dtype).kind == "f" else 77
    plain = np.full(shape, fill, dtype)
    return {
        "plain": plain,
        "Fortran": LAYOUTS["Fortran"](plain),
        "negative_strides": LAYOUTS["negative_strides"](plain),
        "every_second": every_second(plain, fill=fill),
        "unaligned": LAYOUTS["unaligned"](plain),
    }


@cases(FEW_CASES)
@every(dtype=["float32", "float64", "int64", "float16"])
@formats
def test_out(isa, case, dtype, data_format):
    """`out` is filled, whatever it held and however it lies, and returned; nothing beside it is."""
    problem = conv_problem("conv2d", case, dtype)
    x, w, bias, grad = problem.arrays_in(data_format)
    keywords = problem.keywords_in(data_format)
    for call in (
        partial(fc.conv2d, x, w, bias, **keywords),
        partial(fc.conv2d_grad_x, grad, w, x.shape, **keywords),
        partial(fc.conv2d_grad_w, grad, x, w.shape, **keywords),
    ):
        want = call()
        for kind, out in outs(want.shape, dtype).items():
            assert call(out=out) is out, kind
            assert_same(out, want)
            if kind == "every_second":
                out[...] = 0
                assert np.isnan(out.base).sum() == out.base.size - out.size or dtype == "int64"


@formats
def test_out_of_grad_w_with_bias(isa, data_format):
    problem = conv_problem("conv2d", NAMED["groups2"], "float32")
    x, w, _, grad = problem.arrays_in(data_format)
    out = np.full_like(w, np.nan)
    keywords = problem.keywords_in(data_format)
    grad_w, grad_bias = fc.conv2d_grad_w(grad, x, w.shape, with_bias=True, out=out, **keywords)
    assert grad_w is out
    assert_close(grad_w, problem.wanted_in(data_format)[2])
    assert_close(grad_bias, problem.wanted_in(data_format)[3])


@cases(FEW_CASES)
@floats
@formats
def test_relu(isa, case, dtype, data_format):
    problem = conv_problem("conv2d", case, dtype)
    x, w, bias, _ = problem.arrays_in(data_format)
    keywords = problem.keywords_in(data_format)
    got = fc.conv2d(x, w, bias, activation="relu", **keywords)
    assert_same(got, np.maximum(fc.conv2d(x, w, bias, **keywords), 0))
    x = x.copy()
    x.flat[::97] = np.nan
    got = fc.conv2d(x, w, activation="relu", **keywords)
    assert_close(got, reference.conv2d(x, w, activation="relu", **keywords))


@pytest.mark.parametrize("types", ["fd", "df", "if", "bd", "ef", "be", "hB", "lf"])
def test_mixed_types(isa, types):
    rng = generator("mixed types")
    x, w = make_array(rng, (2, 3, 6, 7), types[0]), make_array(rng, (4, 3, 3, 3), types[1])
    for bias in (None, make_array(rng, 4, "float64"), make_array(rng, 4, "int8")):
        got, want = fc.conv2d(x, w, bias), reference.conv2d(x, w, bias)
        assert got.dtype == want.dtype
        assert_close(got, want)
    grad = make_array(rng, (2, 4, 6, 7), types[0])
    assert_close(fc.conv4d_grad_x(grad, w, x.shape), reference.conv4d_grad_x(grad, w, x.shape))
    assert_close(
        fc.conv4d_grad_w(x, grad, (3, 4, 3, 3)), reference.conv4d_grad_w(x, grad, (3, 4, 3, 3))
    )


@formats
@every(dtype=["float32", "float64", "int64", "float16"])
@pytest.mark.parametrize(
    ("samples", "channels", "filters"), [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)]
)
def test_empty(isa, samples, channels, filters, dtype, data_format):
    rng = generator("empty")
    x = images_in(data_format, make_array(rng, (samples, channels, 5, 6), dtype))
    w = kernels_in(data_format, make_array(rng, (filters, channels, 3, 2), dtype))
    grad = images_in(data_format, make_array(rng, (samples, filters, 3, 5), dtype))
    bias = make_array(rng, filters, dtype)
    keywords = {"data_format": data_format}
    pairs = [
        (fc.conv2d(x, w, bias, **keywords), reference.conv2d(x, w, bias, **keywords)),
        (fc.conv2d(x, w, **keywords), reference.conv2d(x, w, **keywords)),
        (
            fc.conv2d_grad_x(grad, w, x.shape, **keywords),
            reference.conv2d_grad_x(grad, w, x.shape, **keywords),
        ),
        *zip(
            fc.conv2d_grad_w(grad, x, w.shape, with_bias=True, **keywords),
            reference.conv2d_grad_w(grad, x, w.shape, with_bias=True, **keywords),
            strict=True,
        ),
    ]
    for got, want in pairs:
        assert got.dtype == want.dtype
        assert_close(got, want)
