"""The same bits on any number of threads, and of an image alone or in a batch: real layers.

Of every layer the convolution, prepared too, both gradients, and the pools of its image and theirs.
"""

import pytest
from arrays import assert_same, generator, make_array
from cases import DATA_FORMATS
from real_layers import LAYERS

import fastconv as fc

pytestmark = pytest.mark.usefixtures("threads_for_little_work")
FLOATS = ("float32", "float64")
THREADS = (1, 2, 3, 4, 7, 8, 16, 31, 64)
WAYS = [(data_format, dtype) for data_format in DATA_FORMATS for dtype in FLOATS]
POOLS = ((2, 2, 0), (3, 2, 1), (3, 1, 1))  # kernel, stride, padding


def test_there_are_ninety_six():
    assert len({layer[1:] for layer in LAYERS}) == len({layer.name for layer in LAYERS}) == 96


def results(layer, samples, data_format, dtype):
    """Return a function of images and gradients, of all that is computed of them; and both."""
    rng = generator(layer.name)
    x_shape, w_shape = layer.shapes(samples, data_format)
    keywords = {**layer.keywords, "data_format": data_format}
    w, bias = make_array(rng, w_shape, dtype), make_array(rng, layer.filters, dtype)
    prepared = fc.prepare_conv2d(w, bias, **keywords)
    x = make_array(rng, x_shape, dtype)
    grad = make_array(rng, prepared(x).shape, dtype)

    def of_images(x, grad):
        yield "conv2d", fc.conv2d(x, w, bias, **keywords)
        yield "prepare_conv2d", prepared(x)
        yield "conv2d_grad_x", fc.conv2d_grad_x(grad, w, x.shape, **keywords)
        for sizes in POOLS:
            if min(layer.image[1:]) >= sizes[0]:
                yield from pools(x, sizes, data_format)

    def of_weights(x, grad):
        found = fc.conv2d_grad_w(grad, x, w_shape, **keywords, with_bias=True)
        yield from zip(("conv2d_grad_w", "its bias"), found, strict=True)

    return of_images, of_weights, x, grad


def pools(x, sizes, data_format):
    out, indices = fc.max_pool2d(x, *sizes, return_indices=True, data_format=data_format)
    yield f"max_pool2d {sizes}", out
    yield f"its indices {sizes}", indices
    got = fc.max_pool2d_grad_x(out, indices, x.shape, data_format=data_format)
    yield f"max_pool2d_grad_x {sizes}", got
    yield f"avg_pool2d {sizes}", fc.avg_pool2d(x, *sizes, data_format=data_format)
    got = fc.avg_pool2d_grad_x(out, x.shape, *sizes, data_format=data_format)
    yield f"avg_pool2d_grad_x {sizes}", got


def layers(every):
    """Run a test for each layer; in its quick form for one of so many."""
    return pytest.mark.parametrize(
        "number",
        [
            pytest.param(number, id=str(layer), marks=[pytest.mark.soak] if number % every else [])
            for number, layer in enumerate(LAYERS)
        ],
    )


def ways(soak, number):
    """Return all layouts and dtypes; in the quick form another one for each layer."""
    return WAYS if soak else [WAYS[number % len(WAYS)]]


@layers(7)
def test_any_number_of_threads(number, soak):
    for data_format, dtype in ways(soak, number):
        of_images, of_weights, x, grad = results(
            LAYERS[number], 3 if soak else 2, data_format, dtype
        )
        wanted = None
        for threads in THREADS if soak else THREADS[::2]:
            with fc.threads(threads):
                got = [*of_images(x, grad), *of_weights(x, grad)]
            wanted = wanted or got
            for (name, array), (_, want) in zip(got, wanted, strict=True):
                print(data_format, dtype, threads, name)
                assert_same(array, want)


@layers(5)
def test_alone_or_in_a_batch(number, soak):
    for data_format, dtype in ways(soak, number):
        samples = 5 if soak else 3
        of_images, _, x, grad = results(LAYERS[number], samples, data_format, dtype)
        whole = list(of_images(x, grad))
        # in any company: all others are turned round
        with fc.threads(2):
            turned = list(of_images(x[::-1].copy(), grad[::-1].copy()))
        for image in range(len(x)):
            one = slice(image, image + 1)
            alone = list(of_images(x[one], grad[one]))
            for (name, got), (_, want), (_, other) in zip(alone, whole, turned, strict=True):
                print(data_format, dtype, image, name)
                assert_same(got, want[one])
                assert_same(got, other[::-1][one])
