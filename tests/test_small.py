"""Small calls are kept: one that is found again must be the call that it was taken for."""

import asyncio

import numpy as np
import pytest
from arrays import assert_same, images_in, ramp
from cases import CONV_CASES, DATA_FORMATS, POOL_CASES
from problems import conv_problem, every, pool_problem

import fastconv as fc
from fastconv import plan, small
from fastconv._core import runtime
from fastconv.ops import run


class Sub(np.ndarray):
    pass


def fresh(call):
    """Return what a call gives that finds nothing kept."""
    small.forget()
    return call()


def repeated(call):
    """Return what a call gives, and check that it gives the same when it is kept."""
    want = fresh(call)
    for _ in range(2):
        assert_same(call(), want)
    return want


@pytest.mark.parametrize("case", CONV_CASES, ids=str)
@every(dtype=["float32", "float64", "int64", "float16"])
@every(data_format=DATA_FORMATS)
def test_every_case_gives_the_same_bits_again(case, dtype, data_format):
    problem = conv_problem("conv2d", case, dtype)
    x, w, bias, grad = problem.arrays_in(data_format)
    keywords = problem.keywords_in(data_format)
    activation = keywords.pop("activation", None)
    x, w, grad = map(np.ascontiguousarray, (x, w, grad))
    for values in (None, bias):
        repeated(lambda values=values: fc.conv2d(x, w, values, activation=activation, **keywords))
    repeated(lambda: fc.conv2d_grad_x(grad, w, x.shape, **keywords))
    repeated(lambda: fc.conv2d_grad_w(grad, x, w.shape, **keywords))
    got = repeated(
        lambda: np.concatenate(
            [
                part.ravel()
                for part in fc.conv2d_grad_w(grad, x, w.shape, with_bias=True, **keywords)
            ]
        )
    )
    assert got.size == w.size + (0 if bias is None else bias.size)


@pytest.mark.parametrize("case", CONV_CASES, ids=str)
@every(dtype=["float32", "int64"])
def test_every_case_flipped_gives_the_same_bits_again(case, dtype):
    problem = conv_problem("conv4d", case, dtype)
    x, w, bias, grad = map(np.ascontiguousarray, problem.arrays_in("NCHW"))
    keywords = problem.keywords_in("NCHW")
    keywords.pop("data_format", None)
    for values in (None, bias):
        repeated(lambda values=values: fc.conv4d(x, w, bias=values, **keywords))
    repeated(lambda: fc.conv4d_grad_x(grad, w, x.shape, **keywords))


@pytest.mark.parametrize("case", POOL_CASES, ids=str)
@every(dtype=["float32", "float64", "int8", "uint16", "int64", "float16"])
@every(data_format=DATA_FORMATS)
def test_every_pool_gives_the_same_bits_again(case, dtype, data_format):
    problem = pool_problem(case, dtype)
    x, grad = (
        np.ascontiguousarray(images_in(data_format, array)) for array in (problem.x, problem.grad)
    )
    keywords = {**case.keywords, "data_format": data_format}
    maxima = repeated(lambda: fc.max_pool2d(x, **keywords))
    for _ in range(3):
        got, indices = fc.max_pool2d(x, return_indices=True, **keywords)
        assert_same(got, maxima)
        assert_same(indices, images_in(data_format, problem.maximum_and_indices[1]))
    keywords = {**case.average_keywords, "data_format": data_format}
    repeated(lambda: fc.avg_pool2d(x, **keywords))
    repeated(lambda: fc.avg_pool2d_grad_x(grad, x.shape, **keywords))


def test_kept_calls_are_found(monkeypatch):
    x, w, stride = ramp(1, 2, 5, 7, dtype="float32"), ramp(3, 2, 2, 3, dtype="float32"), (1, 2)
    grad, bias = fc.conv2d(x, w, stride=stride), np.ones(3, "float32")
    last = [np.ascontiguousarray(array.transpose(0, 2, 3, 1)) for array in (grad, x)]
    prepared = fc.prepare_conv2d(w, bias)
    calls = (
        lambda: fc.conv2d(x, w, stride=(1, len(stride))),
        lambda: fc.conv2d(x, w, bias, "12".find("2"), activation="relu"),
        lambda: fc.conv4d(x, w),
        lambda: prepared(x),
        lambda: fc.conv2d_grad_x(grad, w, x.shape, stride),
        lambda: fc.conv2d_grad_w(grad, x, w.shape, stride, with_bias=True)[1],
        lambda: fc.conv2d_grad_w(*last, (2, 3, 2, 3), stride, data_format="NHWC"),
        lambda: fc.max_pool2d(x, 2),
        lambda: fc.avg_pool2d(x, 2),
        lambda: fc.avg_pool2d_grad_x(np.ones((1, 2, 2, 3), "float32"), x.shape, 2),
    )
    want = [fresh(call) for call in calls]
    for call in calls:
        call()
    monkeypatch.setattr(run, "forward", None)
    monkeypatch.setattr(run, "grad_x", None)
    monkeypatch.setattr(run, "grad_w", None)
    monkeypatch.setattr(plan, "max_pool", None)
    monkeypatch.setattr(plan, "avg_pool", None)
    monkeypatch.setattr(plan, "avg_pool_grad_x", None)
    for call, result in zip(calls, want, strict=True):
        assert_same(call(), result)


def test_what_the_arrays_hold_is_not_kept():
    x, w = ramp(1, 1, 5, 7), ramp(1, 1, 2, 3)
    first = fc.conv2d(x, w)
    again = fc.conv2d(x, w)
    assert again is not first
    np.testing.assert_array_equal(fc.conv2d(2 * x, w), 2 * first)
    np.testing.assert_array_equal(fc.conv2d(x, 3 * w), 3 * first)
    np.testing.assert_array_equal(fc.conv2d(x, w, [1]), first + 1)
    np.testing.assert_array_equal(fc.conv2d(x, w, np.ones(1, x.dtype)), first + 1)
    np.testing.assert_array_equal(fc.conv2d(x, -w, activation="relu"), np.maximum(-first, 0))


@pytest.mark.parametrize("equal", [True, 1.0, np.float64(1), np.True_, [1.0, 1], (True, 1)])
@pytest.mark.parametrize("argument", ["stride", "padding", "dilation"])
def test_what_equals_an_argument_is_not_taken_for_it(argument, equal):
    x, w = ramp(1, 1, 5, 7), ramp(1, 1, 2, 3)
    for plain in (1, (1, 1)):
        fc.conv2d(x, w, **{argument: plain}), fc.conv2d(x, w, **{argument: plain})
        with pytest.raises(TypeError, match=argument):
            fc.conv2d(x, w, **{argument: equal})


def test_a_list_that_has_changed_is_read_again():
    x, w, stride = ramp(1, 1, 5, 7), ramp(1, 1, 2, 3), [1, 1]
    assert fc.conv2d(x, w, stride=stride).shape == (1, 1, 4, 5)
    stride[0] = 2
    assert fc.conv2d(x, w, stride=stride).shape == (1, 1, 2, 5)
    assert fc.conv2d(x, w, stride=np.array([2, 2])).shape == (1, 1, 2, 3)


@every(dtype=["float32", "float64"])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_weights_that_are_not_finite_add_nothing_beside_the_image(dtype, value):
    x, w = ramp(1, 1, 5, 7, dtype=dtype), ramp(1, 1, 3, 3, dtype=dtype)
    wild = w.copy()
    wild[0, 0, 0, 0] = value
    for padding in (0, 1):
        want = fresh(lambda padding=padding: fc.conv2d(x, wild, padding=padding))
        fc.conv2d(x, w, padding=padding), fc.conv2d(x, w, padding=padding)
        for _ in range(2):
            np.testing.assert_array_equal(fc.conv2d(x, wild, padding=padding), want)
    prepared = fc.prepare_conv2d(wild, padding=1)
    for _ in range(3):
        np.testing.assert_array_equal(prepared(x), want)
    grad = np.ones((1, 1, 3, 5), dtype)
    want = fresh(lambda: fc.conv2d_grad_x(grad, wild, x.shape))
    fc.conv2d_grad_x(grad, w, x.shape), fc.conv2d_grad_x(grad, w, x.shape)
    np.testing.assert_array_equal(fc.conv2d_grad_x(grad, wild, x.shape), want)


@pytest.mark.parametrize(
    "other",
    [
        lambda x: x[::-1],
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(">f4"),
        lambda x: x.astype("f8"),
        lambda x: x.astype("f2"),
        lambda x: x.astype("i4"),
        lambda x: x.view(Sub),
        lambda x: x.tolist(),
        lambda x: np.frombuffer(b"0" + x.tobytes(), "f4", offset=1).reshape(x.shape),
        lambda x: x[0],
    ],
)
def test_other_arrays_of_the_same_sizes_go_the_long_way(other):
    x, w = ramp(2, 1, 5, 7, dtype="float32"), ramp(1, 1, 2, 3, dtype="float32")

    def call():
        try:
            return fc.conv2d(other(x), w), fc.conv2d(x, other(w))
        except ValueError as error:
            return str(error)

    want = fresh(call)
    fc.conv2d(x, w), fc.conv2d(x, w)
    for _ in range(2):
        got = call()
        if isinstance(want, str):
            assert got == want
        else:
            for y, expected in zip(got, want, strict=True):
                assert type(y) is np.ndarray
                assert_same(y, expected)


def test_precision_holds_for_calls_that_are_kept():
    x, w = np.full((1, 1, 1, 3), 1e8, "f4"), np.array([[[[1, 1e-8, -1]]]], "f4")
    high = repeated(lambda: fc.conv2d(x, w))
    with fc.precision("highest"):
        exact = fc.conv2d(x, w)
        assert_same(fc.conv2d(x, w), exact)
        assert exact.item() == np.float32(float(x[0, 0, 0, 0]) * float(w[0, 0, 0, 1]))
    assert_same(fc.conv2d(x, w), high)

    async def at_once():
        return fc.conv2d(x, w)

    with fc.precision("highest"):
        assert_same(asyncio.run(at_once()), exact)


def test_instruction_sets_are_not_mixed():
    x, w = ramp(1, 8, 20, 20, dtype="float32"), ramp(8, 8, 3, 3, dtype="float32")
    prepared, before = fc.prepare_conv2d(w), runtime.isa()
    try:
        for name in (*runtime.isas_supported(), *runtime.isas_supported()):
            runtime.select_isa(name)
            want = fresh(lambda: fc.conv2d(x, w))
            assert_same(fc.conv2d(x, w), want)
            assert_same(prepared(x), want)
    finally:
        runtime.select_isa(before)


def test_more_calls_than_are_kept():
    for turn in range(2):
        for width in range(3, 900):
            x = np.full((1, 1, 1, width), turn + 1, "f4")
            y = fc.conv2d(x, np.ones((1, 1, 1, 3), "f4"), stride=(1, 1 + width % 7))
            assert y.shape == (1, 1, 1, (width - 3) // (1 + width % 7) + 1)
            assert (y == 3 * (turn + 1)).all()


def test_the_algorithm_of_a_prepared_convolution_is_that_of_the_latest_images():
    prepared = fc.prepare_conv2d(ramp(32, 32, 3, 3, dtype="float32"), padding=1)
    small_images, large = np.ones((1, 32, 4, 4), "f4"), np.ones((1, 32, 32, 32), "f4")
    names = []
    for x in (small_images, large, small_images, small_images, large):
        prepared(x)
        names.append(prepared.algorithm)
    assert names[0] == names[2] == names[3]
    assert names[1] == names[4]


def calls_with_out():
    """Yield what to call with `out=`, and what a new result is like."""
    x, w = ramp(1, 2, 6, 7), ramp(3, 2, 2, 3)
    y, bias = fc.conv2d(x, w), ramp(3)
    yield (lambda **out: fc.conv2d(x, w, bias, **out)), y
    yield (lambda **out: fc.conv4d(x, w, padding=0, **out)), y
    yield (lambda **out: fc.conv2d_grad_x(y, w, x.shape, **out)), x
    yield (lambda **out: fc.conv2d_grad_w(y, x, w.shape, **out)), w
    prepared = fc.prepare_conv2d(w)
    yield (lambda **out: prepared(x, **out)), y
    pooled = fc.avg_pool2d(x, 2)
    yield (lambda **out: fc.max_pool2d(x, 2, **out)), pooled
    yield (lambda **out: fc.avg_pool2d(x, 2, **out)), pooled
    yield (lambda **out: fc.avg_pool2d_grad_x(pooled, x.shape, 2, **out)), x


@pytest.mark.parametrize("number", range(8))
def test_results_go_where_they_are_asked_for(number):
    call, like = list(calls_with_out())[number]
    small.forget()
    want = call()
    for out in (np.full_like(like, np.nan), np.full((*like.shape, 2), np.nan)[..., 0]):
        for _ in range(3):
            out[...] = np.nan
            assert call(out=out) is out
            np.testing.assert_array_equal(out, want)
    for _ in range(2):
        with pytest.raises(TypeError, match="out"):
            call(out=np.empty(like.shape, np.float32))
        with pytest.raises(ValueError, match="out"):
            call(out=np.empty((*like.shape[:3], 9)))
        read_only = np.empty_like(like)
        read_only.flags.writeable = False
        with pytest.raises(ValueError, match="out"):
            call(out=read_only)


@pytest.mark.parametrize("shift", [0, 5, 83])
def test_a_kept_call_never_writes_to_what_it_reads(shift):
    memory, w = np.zeros(200), ramp(3, 2, 2, 3)
    x = memory[:84].reshape(1, 2, 6, 7)
    fc.conv2d(x, w)
    out = memory[shift : shift + 75].reshape(1, 3, 5, 5)
    with pytest.raises(ValueError, match="apart from x"):
        fc.conv2d(x, w, out=out)
    assert not memory.any()
    apart = memory[84:159].reshape(1, 3, 5, 5)
    assert fc.conv2d(x, w, out=apart) is apart
