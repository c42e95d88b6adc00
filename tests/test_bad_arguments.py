"""Bad input: every operation, every argument. One line that names them, and nothing is changed."""

import inspect

import numpy as np
import pytest
from bad_arguments import LARGEST, OPERATIONS, T, V, good, images, refusal, rows_of

import fastconv as fc

MATRIX = [
    pytest.param(name, *row, id=f"{name}-{row[0]}-{number}")
    for name in OPERATIONS
    for number, row in enumerate(rows_of(name))
]


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_matrix_leaves_no_argument_out(name):
    function = getattr(fc, name)
    assert set(good(name)) == set(inspect.signature(function).parameters)
    function(**good(name))


@pytest.mark.parametrize(("name", "argument", "bad", "error"), MATRIX)
def test_bad_argument(name, argument, bad, error):
    assert refusal(name, argument, bad, error) is None


def test_the_matrix_is_large():
    assert len(MATRIX) >= 150


# What only some combinations show


def fails(error, match, function, *args, **kwargs):
    with pytest.raises(error, match=match) as caught:
        function(*args, **kwargs)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("function", "x", "w"),
    [
        (fc.conv2d, (1, 2, 5, 5), (3, 1, 2, 2)),
        (fc.conv2d, (1, 2, 5, 5), (3, 3, 2, 2)),
        (fc.conv4d, (1, 2, 5, 5), (3, 4, 2, 2)),
        (fc.conv_transpose2d, (1, 2, 5, 5), (3, 2, 2, 2)),
    ],
)
def test_channels_that_differ(function, x, w):
    message = rf"w must be .*x of shape {x}.*got shape {w}".replace("(", r"\(").replace(")", r"\)")
    fails(V, message, function, images(*x), images(*w))


def test_groups_divide_channels_and_filters():
    x, w = images(1, 6, 3, 3), images(4, 2, 2, 2)
    fails(V, "groups must be a divisor of the 4 filters of w, got 3", fc.conv2d, x, w, groups=3)
    fails(V, "groups must be a divisor of the 6 channels of x, got 4", fc.conv2d, x, w, groups=4)
    x = images(1, 4, 3, 3)
    match = "groups must be a divisor of the 4 input channels of w, got 3"
    fails(V, match, fc.conv_transpose2d, x, w, groups=3)


@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
@pytest.mark.parametrize("empty", [2, 3])
def test_images_without_rows_or_columns(data_format, empty):
    shape = [1, 2, 5, 5]
    shape[empty] = 0
    w = images(2, 2, 1, 1)
    if data_format == "NHWC":
        shape = [shape[0], *shape[2:], shape[1]]
        w = w.transpose(2, 3, 1, 0)
    x = np.zeros(shape)
    match = "x must be .*height and width of at least 1, got shape"
    fails(V, match, fc.conv2d, x, w, data_format=data_format)
    fails(V, match, fc.conv2d, x, w, padding=3, data_format=data_format)
    fails(V, match, fc.conv2d, x, w, padding="same", data_format=data_format)
    fails(V, match, fc.conv_transpose2d, x, w, data_format=data_format)
    fails(V, match, fc.max_pool2d, x, 1, data_format=data_format)
    fails(V, match, fc.avg_pool2d, x, 1, padding=1, data_format=data_format)
    match = match.replace("x must", "x_shape must")
    fails(V, match, fc.conv2d_grad_x, x, w, shape, data_format=data_format)
    fails(V, match, fc.avg_pool2d_grad_x, x, shape, 1, data_format=data_format)


@pytest.mark.parametrize("empty", [2, 3])
def test_kernels_without_rows_or_columns(empty):
    shape = [1, 1, 3, 3]
    shape[empty] = 0
    x, w = images(1, 1, 5, 5), np.zeros(shape, np.float32)
    for function in (fc.conv2d, fc.conv4d, fc.conv_transpose2d):
        fails(V, "w must be .*kernel_w from 1 to", function, x, w)
    fails(V, "w_shape must be .*kernel_w from 1 to", fc.conv2d_grad_w, x, x, shape)
    fails(V, "w must be .*kernel_w from 1 to", fc.prepare_conv2d, w)


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"padding": 0}, False),
        ({"padding": "valid"}, False),
        ({"padding": (1, 0)}, True),
        ({"padding": ((0, 1), (0, 0))}, True),
        ({"padding": ((0, 1), (0, 0)), "dilation": 2}, False),
        ({"padding": 1, "dilation": LARGEST}, False),
        ({"padding": 0, "stride": 5}, False),
        ({"padding": "same"}, True),
        ({"padding": "full"}, True),
    ],
)
def test_kernels_larger_than_the_padded_image(arguments, fits):
    x, w = images(1, 1, 2, 3), images(1, 1, 3, 3)
    if fits:
        assert fc.conv2d(x, w, **arguments).shape == fc.conv4d(x, w, **arguments).shape
        return
    for function in (fc.conv2d, fc.conv4d):
        fails(
            V,
            r"w must be a kernel that.*fits x.*got shape \(1, 1, 3, 3\)",
            function,
            x,
            w,
            **arguments,
        )


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3},
        {"kernel_size": (1, 5)},
        {"kernel_size": 2, "dilation": 4},
        {"kernel_size": LARGEST},
        {"kernel_size": 2, "padding": 2},
        {"kernel_size": 2, "padding": ((0, 0), (0, 4))},
        {"kernel_size": 1, "padding": 1},
        {"kernel_size": 2, "padding": "full", "dilation": 5, "stride": 1},
        {"kernel_size": 2, "padding": (0, LARGEST)},
        {"kernel_size": LARGEST, "padding": (0, LARGEST), "stride": 1},
    ],
)
def test_windows_that_hold_nothing(arguments):
    x = images(1, 1, 2, 4)
    for function in (fc.max_pool2d, fc.avg_pool2d):
        fails(V, "(kernel_size|padding) must be ", function, x, **arguments)
    match = "(kernel_size|padding) must be .*x_shape"
    fails(V, match, fc.avg_pool2d_grad_x, x, x.shape, **arguments)


@pytest.mark.parametrize(
    ("data_format", "array", "hint"),
    [
        ("NCHW", images(5, 6), r"x\[None, None\]"),
        ("NCHW", images(3, 5, 6), r"x\[None\]"),
        ("NHWC", images(5, 6), r"x\[None, :, :, None\]"),
        ("NHWC", images(5, 6, 3), r"x\[None\]"),
    ],
)
def test_missing_axes_are_explained(data_format, array, hint):
    for function in (fc.max_pool2d, fc.avg_pool2d):
        fails(V, f"add the missing axes with {hint}", function, array, 2, data_format=data_format)
    w = images(2, 2, 2, 2)
    fails(V, f"add the missing axes with {hint}", fc.conv2d, array, w, data_format=data_format)
    hint = {"NCHW": r"w\[None, None\]", "NHWC": r"w\[:, :, None, None\]"}[data_format]
    fails(V, hint, fc.conv2d, images(1, 9, 9, 9), images(2, 2), data_format=data_format)


@pytest.mark.parametrize("word", ["reflect", "symmetric", "wrap", "fill", "replicate"])
def test_other_borders_are_left_to_numpy(word):
    x, w = images(1, 1, 5, 5), images(1, 1, 2, 2)
    fails(V, f"np.pad first, got '{word}'", fc.conv2d, x, w, padding=word)
    fails(V, f"np.pad first, got '{word}'", fc.conv4d, x, w, word)
    fails(V, f"np.pad first, got '{word}'", fc.max_pool2d, x, 2, padding=word)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if "out" in good(name)])
def test_out_apart_from_every_input(name):
    function = getattr(fc, name)
    arguments = good(name)
    shape, size = arguments["out"].shape, arguments["out"].size
    for argument, value in arguments.items():
        if argument == "out" or not isinstance(value, np.ndarray):
            continue
        # Input and out as the two ends of one buffer, which have an element in common.
        itemsize = max(value.itemsize, 4)
        buffer = np.zeros((value.size + size) * itemsize, np.uint8)
        shared = buffer[: value.nbytes].view(value.dtype).reshape(value.shape)
        shared[...] = value
        end = buffer[value.nbytes - 4 :][: size * 4]
        out = end.view(np.float32).reshape(shape)
        bad = arguments | {argument: shared, "out": out}
        before = buffer.copy()
        fails(V, f"^{name}: out must be apart from {argument}, got", function, **bad)
        np.testing.assert_array_equal(buffer, before)


def test_out_interleaved_with_an_input_is_apart():
    both = np.zeros((1, 1, 6, 6, 2), np.float32)
    x, out = both[..., 0], both[..., 1]
    x[...] = 1
    assert fc.conv2d(x, np.ones((1, 1, 1, 1), np.float32), out=out) is out
    np.testing.assert_array_equal(both, 1)


@pytest.mark.parametrize("index", [-1, 20, 2**62, -(2**63)])
@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
def test_indices_out_of_range(index, data_format):
    shape = (3, 2, 4, 5) if data_format == "NCHW" else (3, 4, 5, 2)
    grad = np.ones((3, 2, 2, 2))
    indices = np.zeros(grad.shape, np.int64)
    indices[2, 1, 1, 1] = index
    fails(
        V,
        "max_pool2d_grad_x: indices must be from 0 to 19, got",
        fc.max_pool2d_grad_x,
        *(grad, indices, shape),
        data_format=data_format,
    )


def test_uint64_has_no_integer_result():
    x, w = np.ones((1, 1, 3, 3), np.uint64), np.ones((1, 1, 2, 2), np.uint64)
    fails(T, "x must be of integers that int64 holds, got dtype uint64", fc.conv2d, x, w)
    fails(T, "w must be of integers that int64 holds", fc.conv4d, x.astype(np.int64), w)
    fails(T, "x must be of integers that int64 holds", fc.conv2d, x, w.astype(np.uint8))
    assert fc.conv2d(x, w.astype(np.float32)).dtype == np.float64
    assert fc.max_pool2d(x, 2).dtype == np.uint64


def test_uneven_lists_are_no_arrays():
    w = images(1, 1, 1, 1)
    fails(V, "x must be an array, got a list of uneven length", fc.conv2d, [[1], [1, 2]], w)


def test_the_call_of_a_prepared_convolution_is_checked():
    prepared = fc.prepare_conv2d(images(3, 2, 2, 2), padding="same")
    fails(V, "PreparedConv2D: w must be of 4 channels a filter", prepared, images(1, 4, 5, 5))
    fails(V, r"PreparedConv2D: x must be 4-D .*x\[None\]", prepared, images(2, 5, 5))
    fails(T, "PreparedConv2D: x must be of a floating", prepared, images(1, 2, 5, 5) > 0)
    x = images(1, 2, 5, 5)
    fails(V, "PreparedConv2D: out must be of shape", prepared, x, out=x)


@pytest.mark.parametrize("function", [fc.set_num_threads, fc.threads])
@pytest.mark.parametrize(
    ("bad", "error"),
    [(0, V), (-1, V), (2**31, V), (2**70, V)] + [(bad, T) for bad in (1.0, True, "2", None, (1,))],
)
def test_numbers_of_threads(function, bad, error):
    before = fc.get_num_threads()
    fails(error, rf"^{function.__name__}: n must be an int from 1 to", function, bad)
    assert fc.get_num_threads() == before


@pytest.mark.parametrize(("bad", "error"), [("low", V), ("", V), (None, T), (1, T)])
def test_words_of_the_settings(bad, error):
    fails(error, "^precision: level must be 'highest' or 'high', got", fc.precision, bad)
    fails(error, "^show_config: mode must be 'text' or 'dicts', got", fc.show_config, bad)
