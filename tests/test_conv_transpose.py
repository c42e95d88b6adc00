"""conv_transpose2d and its gradients against their twins, in every type, layout and ISA."""

from functools import partial

import numpy as np
import pytest
from arrays import LAYOUTS, assert_close, assert_same, generator, images_in, kernels_in, make_array
from cases import DATA_FORMATS, TRANSPOSE_CASES
from problems import conv_problem, every
from test_conv import outs

import fastconv as fc
from fastconv import reference

cases = partial(pytest.mark.parametrize, "case", ids=str)
formats = every(data_format=DATA_FORMATS)


@cases(TRANSPOSE_CASES)
@every(dtype=["float32", "float64", "float16", "int64", "int8", "uint16"])
@formats
def test_conv_transpose2d(isa, case, dtype, data_format):
    problem = conv_problem("conv_transpose2d", case, dtype)
    arrays = problem.arrays_in(data_format)
    copies = [array.copy() for array in arrays]
    results = problem.run(*arrays, data_format)
    problem.check(results, data_format, "int64" if "int" in dtype else dtype)
    for array, copy in zip(arrays, copies, strict=True):
        assert_same(array, copy)


@cases(TRANSPOSE_CASES)
@every(layout=LAYOUTS)
@formats
def test_layouts(isa, case, layout, data_format):
    problem = conv_problem("conv_transpose2d", case, "float32")
    arrays = problem.arrays_in(data_format)
    want = problem.run(*arrays, data_format)
    got = problem.run(*map(LAYOUTS[layout], arrays), data_format)
    for array, expected in zip(got, want, strict=True):
        assert_same(array, expected)


@cases(TRANSPOSE_CASES)
@every(dtype=["float32", "float64", "int64", "float16"])
@formats
def test_out(isa, case, dtype, data_format):
    problem = conv_problem("conv_transpose2d", case, dtype)
    x, w, bias, grad = problem.arrays_in(data_format)
    keywords = problem.keywords_in(data_format)
    for call in (
        partial(fc.conv_transpose2d, x, w, bias, **keywords),
        partial(fc.conv_transpose2d_grad_x, grad, w, x.shape, **keywords),
        partial(fc.conv_transpose2d_grad_w, grad, x, w.shape, **keywords),
    ):
        want = call()
        for kind, out in outs(want.shape, dtype).items():
            assert call(out=out) is out, kind
            assert_same(out, want)


@formats
@pytest.mark.parametrize(
    ("samples", "channels", "filters"), [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)]
)
def test_empty(isa, samples, channels, filters, data_format):
    rng = generator("empty")
    x = images_in(data_format, make_array(rng, (samples, channels, 3, 4)))
    w = kernels_in(data_format, make_array(rng, (channels, filters, 3, 2)))
    bias, keywords = make_array(rng, filters), {"stride": 2, "data_format": data_format}
    out = fc.conv_transpose2d(x, w, bias, **keywords)
    assert_close(out, reference.conv_transpose2d(x, w, bias, **keywords))
    got = fc.conv_transpose2d_grad_x(out, w, x.shape, **keywords)
    assert_close(got, reference.conv_transpose2d_grad_x(out, w, x.shape, **keywords))
    got = fc.conv_transpose2d_grad_w(out, x, w.shape, with_bias=True, **keywords)
    want = reference.conv_transpose2d_grad_w(out, x, w.shape, with_bias=True, **keywords)
    assert_close(got[0], want[0])
    assert_close(got[1], want[1])


@cases([case for case in TRANSPOSE_CASES if not any(isinstance(p, tuple) for p in [case.padding])])
def test_against_torch(isa, torch, case):
    problem = conv_problem("conv_transpose2d", case, "float64")
    x, w, bias = (
        torch.tensor(array, requires_grad=True) for array in (problem.x, problem.w, problem.bias)
    )
    out = torch.nn.functional.conv_transpose2d(x, w, bias, **case.keywords)
    out.backward(torch.tensor(problem.grad))
    results = problem.run(problem.x, problem.w, problem.bias, problem.grad)
    for got, want in zip(results, (out.detach(), x.grad, w.grad, bias.grad), strict=True):
        assert_close(got, want.numpy())


def test_it_is_the_gradient_of_conv2d(isa):
    """The same array w, the same numbers bit by bit."""
    rng = generator("gradient")
    x, w = make_array(rng, (2, 8, 7, 6)), make_array(rng, (8, 5, 3, 3))
    out = fc.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1)
    assert_same(out, fc.conv2d_grad_x(x, w, (2, 5, 14, 12), stride=2, padding=1))
    assert not np.isnan(out).any()
