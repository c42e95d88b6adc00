"""The twins against SciPy and PyTorch, in float64: what they say is what all else is held to."""

from functools import partial

import numpy as np
import pytest
from arrays import assert_close, generator, make_array
from cases import CONV4D_CASES, CONV_CASES, POOL_CASES, TRANSPOSE_CASES
from problems import conv_problem, pool_problem

from fastconv import reference

cases = partial(pytest.mark.parametrize, "case", ids=str)


def pair(size):
    return (size, size) if isinstance(size, int) else tuple(size)


def pad(array, geometry, value=0):
    """Pad images as geometry says."""
    rows = geometry.pad_top, geometry.pad_bottom
    columns = geometry.pad_left, geometry.pad_right
    return np.pad(array, ((0, 0), (0, 0), rows, columns), constant_values=value)


def dilate(kernels, dilation):
    """Put the zeros in that a dilated kernel steps over."""
    rows, columns = pair(dilation)
    height, width = kernels.shape[2:]
    shape = (height - 1) * rows + 1, (width - 1) * columns + 1
    dilated = np.zeros((*kernels.shape[:2], *shape))
    dilated[:, :, ::rows, ::columns] = kernels
    return dilated


def sum_over_channels(function, problem, x):
    """Apply a function of two planes to every image and filter; add up the channels and bias."""
    case, kernels = problem.case, dilate(problem.w, problem.case.dilation)
    filters, channels = len(kernels) // case.groups, kernels.shape[1]
    out = []
    for sample in x:
        for number, kernel in enumerate(kernels):
            first = number // filters * channels
            out.append(sum(map(function, sample[first : first + channels], kernel)))
    rows, columns = pair(case.stride)
    out = np.array(out).reshape(len(x), len(kernels), *out[0].shape)[:, :, ::rows, ::columns]
    return out + problem.bias.reshape(-1, 1, 1)


@cases(CONV4D_CASES)
def test_conv4d_is_what_scipy_convolves(signal, case):
    problem = conv_problem("conv4d", case, "float64")
    x, mode = problem.x, case.padding
    if not isinstance(mode, str):
        x, mode = pad(x, problem.geometry), "valid"
    convolve = partial(signal.convolve, mode=mode, method="direct")
    assert_close(problem.out, sum_over_channels(convolve, problem, x), "float64")


@cases([case for case in CONV_CASES if np.prod(case.x) * np.prod(case.w) < 3e7])
def test_conv2d_is_what_scipy_correlates(signal, case):
    problem = conv_problem("conv2d", case, "float64")
    correlate = partial(signal.correlate, mode="valid", method="direct")
    x = pad(problem.x, problem.geometry)
    assert_close(problem.out, sum_over_channels(correlate, problem, x), "float64")


def torch_results(torch, problem, function):
    """Return out, grad_x, grad_w and grad_bias of function(x, w, bias)."""
    x, w, bias = (
        torch.tensor(array, requires_grad=True) for array in (problem.x, problem.w, problem.bias)
    )
    out = function(x, w, bias)
    out.backward(torch.tensor(problem.grad))
    return [tensor.detach().numpy() for tensor in (out, x.grad, w.grad, bias.grad)]


@cases(CONV_CASES)
def test_conv2d_is_what_torch_computes(torch, case):
    problem = conv_problem("conv2d", case, "float64")
    g = problem.geometry

    def function(x, w, bias):
        x = torch.nn.functional.pad(x, (g.pad_left, g.pad_right, g.pad_top, g.pad_bottom))
        return torch.nn.functional.conv2d(x, w, bias, case.stride, 0, case.dilation, case.groups)

    problem.check(torch_results(torch, problem, function))


@cases(TRANSPOSE_CASES)
def test_conv_transpose2d_is_what_torch_computes(torch, case):
    problem = conv_problem("conv_transpose2d", case, "float64")
    rows, columns = (pair(crop) for crop in pair(case.padding))

    def function(x, w, bias):
        keywords = {**case.keywords, "padding": 0}
        out = torch.nn.functional.conv_transpose2d(x, w, bias, **keywords)
        height, width = out.shape[2:]
        return out[:, :, rows[0] : height - rows[1], columns[0] : width - columns[1]]

    problem.check(torch_results(torch, problem, function))


@cases(CONV4D_CASES)
def test_conv4d_gradients_are_adjoint(case):
    problem = conv_problem("conv4d", case, "float64")
    grad_w, grad_bias = problem.grad_w_and_bias
    out = problem.out - problem.bias.reshape(-1, 1, 1)
    product = np.vdot(problem.grad, out)
    scale = np.abs(problem.grad * out).sum() * 1e-14
    assert abs(np.vdot(problem.grad_x, problem.x) - product) <= scale
    assert abs(np.vdot(grad_w, problem.w) - product) <= scale
    assert_close(grad_bias, problem.grad.sum(axis=(0, 2, 3)))


@cases(POOL_CASES)
def test_pools_window_by_window(case):
    """Against the definition, spelled out for one window after another."""
    problem = pool_problem(case, "float64")
    g = problem.geometry
    largest, indices = problem.maximum_and_indices
    for i, j in np.ndindex(g.out_h, g.out_w):
        rows = i * g.stride_h - g.pad_top + np.arange(g.kernel_h) * g.dilation_h
        columns = j * g.stride_w - g.pad_left + np.arange(g.kernel_w) * g.dilation_w
        counted = np.sum(rows < g.height + g.pad_bottom) * np.sum(columns < g.width + g.pad_right)
        rows = rows[(rows >= 0) & (rows < g.height)]
        columns = columns[(columns >= 0) & (columns < g.width)]
        window = problem.x[:, :, rows[:, None], columns].reshape(*case.x[:2], -1)
        numbers = (rows[:, None] * g.width + columns).reshape(-1)
        assert np.array_equal(largest[..., i, j], window.max(axis=2))
        assert np.array_equal(indices[..., i, j], numbers[window.argmax(axis=2)])
        count = counted if case.count_include_pad else window.shape[2]
        assert_close(problem.average[..., i, j], window.sum(axis=2) / count)


def in_torch(case, average):
    """Tell whether torch has a pool: it pads both sides alike, and averages nothing dilated."""
    if isinstance(case.padding, str) or not all(isinstance(p, int) for p in pair(case.padding)):
        return False
    return not average or case.dilation == 1


@cases([case for case in POOL_CASES if in_torch(case, average=False)])
def test_max_pool2d_is_what_torch_computes(torch, case):
    problem = pool_problem(case, "float64")
    x = torch.tensor(problem.x, requires_grad=True)
    function = partial(torch.nn.functional.max_pool2d, return_indices=True, **case.keywords)
    out, indices = function(x)
    out.backward(torch.tensor(problem.grad))
    assert np.array_equal(problem.maximum_and_indices[0], out.detach())
    assert np.array_equal(problem.maximum_and_indices[1], indices)
    assert_close(problem.maximum_grad_x, x.grad.numpy())


@cases([case for case in POOL_CASES if in_torch(case, average=True)])
def test_avg_pool2d_is_what_torch_computes(torch, case):
    problem = pool_problem(case, "float64")
    x = torch.tensor(problem.x, requires_grad=True)
    keywords = {name: value for name, value in case.average_keywords.items() if name != "dilation"}
    out = torch.nn.functional.avg_pool2d(x, **keywords)
    out.backward(torch.tensor(problem.grad))
    assert_close(problem.average, out.detach().numpy())
    assert_close(problem.average_grad_x, x.grad.numpy())


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "uint64", "float16", "float32"])
def test_max_pool2d_prefers_nan_then_the_first(dtype):
    x = np.array([[[[3, 7, 1], [7, 7, 0], [0, 2, 5]]]], dtype)
    out, indices = reference.max_pool2d(x, 2, 1, return_indices=True)
    assert out.dtype == dtype
    assert indices.tolist() == [[[[1, 1], [3, 4]]]]
    if x.dtype.kind == "f":
        x[0, 0, 1, 1] = x[0, 0, 2, 2] = np.nan
        out, indices = reference.max_pool2d(x, 2, 1, return_indices=True)
        assert np.isnan(out).all()
        assert indices.tolist() == [[[[4, 4], [4, 4]]]]


@pytest.mark.parametrize("lowest", [-np.inf, np.iinfo(np.int32).min])
def test_max_pool2d_of_the_lowest_number(lowest):
    x = np.full((1, 1, 3, 3), lowest, np.float32 if lowest == -np.inf else np.int32)
    out, indices = reference.max_pool2d(x, 3, 2, 1, return_indices=True)
    assert np.all(out == lowest)
    assert indices.tolist() == [[[[0, 1], [3, 4]]]]


def test_padding_contributes_nothing():
    """An infinite weight reaches the outputs for which its tap lies inside, and no other."""
    w = np.zeros((1, 1, 3, 3))
    w[0, 0, 0, 0] = np.inf
    out = reference.conv2d(np.ones((1, 1, 3, 3)), w, padding=1)[0, 0]
    assert np.array_equal(np.isinf(out), [[0, 0, 0], [0, 1, 1], [0, 1, 1]])
    assert not np.isnan(out).any()


def test_integers_wrap_around():
    x = np.full((1, 1, 1, 2), 2**62)
    out = reference.conv2d(x, np.ones((1, 1, 1, 2), np.int8))
    assert out.dtype == np.int64
    assert out.item() == -(2**63)


def test_types_of_results():
    for x, w, result in [
        ("float32", "float32", "float32"),
        ("float32", "float64", "float64"),
        ("float16", "float16", "float16"),
        ("int8", "float32", "float32"),
        ("int64", "float32", "float64"),
        ("uint8", "int16", "int64"),
    ]:
        x, w = np.ones((1, 1, 2, 2), x), np.ones((1, 1, 2, 2), w)
        assert reference.conv2d(x, w).dtype == result
        assert reference.conv4d_grad_x(x, w, (1, 1, 3, 3), "valid").dtype == result
        assert reference.conv_transpose2d_grad_w(x, w, (1, 1, 1, 1)).dtype == result


def test_empty_arrays():
    rng = generator("empty")
    x, w = make_array(rng, (0, 3, 5, 6)), make_array(rng, (4, 3, 2, 2))
    assert reference.conv2d(x, w).shape == (0, 4, 4, 5)
    assert not reference.conv2d_grad_w(np.zeros((0, 4, 4, 5)), x, w.shape).any()
    out = reference.conv2d(np.zeros((2, 0, 5, 6)), np.zeros((2, 0, 2, 2)), [1, 2])
    assert np.array_equal(out, np.broadcast_to(np.reshape([1, 2], (2, 1, 1)), (2, 2, 4, 5)))
    assert reference.max_pool2d(x, 2).shape == (0, 3, 2, 3)
