"""Many Python threads call operations and models at once, each on threads of its own.

`make tsan` runs this under the thread sanitizer, which sees what no comparison of results does.
"""

import threading

import numpy as np
import pytest

import fastconv as fc
from fastconv import layers, models

PYTHON_THREADS = 4
ROUNDS = 3


def in_many_threads(function):
    """What every call of `function` returned; the first error is raised."""
    results, errors = [], []
    start = threading.Barrier(PYTHON_THREADS)

    def work():
        start.wait()
        try:
            results.extend(function() for _ in range(ROUNDS))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(PYTHON_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


@pytest.fixture(autouse=True)
def three_threads(threads_for_little_work):
    before = fc.get_num_threads()
    fc.set_num_threads(3)
    yield
    fc.set_num_threads(before)


def data(*shape, dtype=np.float32):
    return np.random.default_rng(7).standard_normal(shape).astype(dtype)


def everything(dtype, data_format):
    """Forward and gradients of convolutions and pools that different drivers run."""
    last = data_format == "NHWC"
    x = data(3, 14, 14, 16, dtype=dtype) if last else data(3, 16, 14, 14, dtype=dtype)
    results = []
    for kernel, groups, stride in ((3, 1, 1), (1, 1, 1), (3, 16, 1), (3, 1, 2), (5, 4, 1)):
        per_group = 16 // groups
        shape = (kernel, kernel, per_group, 16) if last else (16, per_group, kernel, kernel)
        w = data(*shape, dtype=dtype)
        sizes = {"groups": groups, "stride": stride, "data_format": data_format}
        y = fc.conv2d(x, w, **sizes)
        results += [y, fc.conv2d_grad_x(y, w, x.shape, **sizes)]
        results.append(fc.conv2d_grad_w(y, x, w.shape, **sizes))
    y, indices = fc.max_pool2d(x, 2, return_indices=True, data_format=data_format)
    results += [y, fc.max_pool2d_grad_x(y, indices, x.shape, data_format=data_format)]
    y = fc.avg_pool2d(x, 3, stride=2, data_format=data_format)
    results += [y, fc.avg_pool2d_grad_x(y, x.shape, 3, stride=2, data_format=data_format)]
    return results


@pytest.mark.parametrize("data_format", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_operations_at_once_give_what_one_gives(dtype, data_format):
    want = everything(dtype, data_format)
    for found in in_many_threads(lambda: everything(dtype, data_format)):
        for a, b in zip(found, want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_one_prepared_convolution_serves_many_threads():
    x, w = data(3, 16, 14, 14), data(16, 16, 3, 3)
    prepared = fc.prepare_conv2d(w, padding="same")  # packs its weights in the first call
    want = fc.conv2d(x, w, padding="same")
    for found in in_many_threads(lambda: prepared(x)):
        np.testing.assert_array_equal(found, want)


def test_one_model_predicts_in_many_threads():
    parts = [layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(), layers.Flatten()]
    model = models.Sequential([layers.Input((10, 10, 3)), *parts, layers.Dense(5)])
    x = data(8, 10, 10, 3)
    want = model.predict(x, verbose=0)
    for found in in_many_threads(lambda: model.predict(x, verbose=0)):
        np.testing.assert_array_equal(found, want)
