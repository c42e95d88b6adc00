"""Measure what calls leave behind: the bytes that malloc has handed out, before and after many.

    PYTHONMALLOC=malloc MALLOC_ARENA_MAX=1 GLIBC_TUNABLES=glibc.malloc.tcache_count=0 \\
      python leaks.py [--calls N] [--shapes N] [--plant BYTES]

The calls are all there are: operations of varied shapes, dtypes, threads and precision, prepared
convolutions that are made and dropped, errors of every type, and a model that predicts and trains.
With --shapes the same calls come again and again, else ever new ones, for whose sizes NumPy and the
engine keep a block each; --plant keeps an object of so
many bytes a round. Python's objects count too, for its allocator is malloc. Prints a line of JSON:
bytes a call, and the resident kilobytes at ten points.
"""

import argparse
import ctypes
import functools
import gc
import json
import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np

import fastconv as fc
from fastconv import layers, models, small
from fastconv._core import runtime

MOST_WARM = 60_000  # calls that do not count
CACHE = type(functools.lru_cache(len))
MISTAKES = (ValueError, TypeError, MemoryError)
DTYPES = ("float32", "float32", "float64", "float16", "int64", "int8")


class Counters(ctypes.Structure):
    """What glibc's mallinfo2 returns."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def empty_caches():
    """Empty the caches, which have bounds that ever new shapes take a million calls to reach.

    Python's own as well: it keeps 4096 names of methods, which NumPy makes anew for each call.
    """
    if hasattr(sys, "_clear_type_cache"):
        sys._clear_type_cache()
    small.forget()
    for cache in gc.get_objects():
        if isinstance(cache, CACHE) and cache.__module__.startswith("fastconv"):
            assert cache.cache_info().maxsize is not None, f"{cache} has no bound"
            cache.cache_clear()


def bytes_in_use():
    """Return the bytes that malloc has handed out and not got back."""
    empty_caches()
    gc.collect()
    function = ctypes.CDLL(None).mallinfo2
    function.restype = Counters
    counters = function()
    return counters.uordblks + counters.hblkhd


def resident():
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1])


class Caller:
    """Makes calls of shapes that a seed gives, and counts them."""

    def __init__(self):
        self.calls = 0
        parts = [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D()]
        parts += [layers.DepthwiseConv2D(3), layers.GlobalAveragePooling2D(), layers.Dense(2)]
        self.model = models.Sequential([layers.Input((10, 10, 3)), *parts])
        self.model.compile("adam", "mse")

    def round(self, seed):
        """Make some calls, of one shape and of errors."""
        rng = np.random.default_rng(seed)
        threads = int(rng.integers(1, 4))
        runtime.select_isa(runtime.isas_supported()[seed % len(runtime.isas_supported())])
        with fc.threads(threads), fc.precision("highest" if seed % 7 == 0 else "high"):
            self.convolutions(rng)
            self.pools(rng)
            self.mistakes(rng, seed)
        if seed % 20 == 0:
            self.model.predict(np.ones((1 + seed // 20 % 5, 10, 10, 3), "float32"), verbose=0)
            self.calls += 1
        if seed % 100 == 0:
            x = np.ones((2 + seed // 100 % 3, 10, 10, 3), "float32")
            self.model.train_on_batch(x, np.ones((len(x), 2), "float32"))
            self.calls += 1

    def convolutions(self, rng):
        samples, channels, filters, kernel = (int(n) for n in rng.integers(1, (3, 20, 20, 5)))
        height, width = (int(n) for n in kernel + rng.integers(0, 20, 2))
        stride, padding = int(rng.integers(1, 3)), int(rng.integers(0, 3))
        groups = channels if rng.integers(4) == 0 else 1
        filters = filters * groups if groups > 1 else filters
        dtype = DTYPES[rng.integers(len(DTYPES))]
        sizes = {"stride": stride, "padding": padding, "groups": groups}
        x = np.ones((samples, channels, height, width), dtype)
        w = np.ones((filters, channels // groups, kernel, kernel), dtype)
        y = fc.conv2d(x, w, np.ones(filters, dtype), **sizes)
        fc.conv2d(x[..., ::-1], w, **sizes, out=y)
        fc.conv2d_grad_x(y, w, x.shape, **sizes)
        fc.conv2d_grad_w(y, x, w.shape, **sizes, with_bias=True)
        fc.conv4d(x, w, **sizes)
        prepared = fc.prepare_conv2d(w, **sizes, x_shape=x.shape)
        for _ in range(3):
            prepared(x)
        last = x.transpose(0, 2, 3, 1).copy(), w.transpose(2, 3, 1, 0).copy()
        fc.conv2d(*last, **sizes, data_format="NHWC", activation="relu")
        image = fc.conv_transpose2d(y, w, stride=stride, groups=groups)
        fc.conv_transpose2d_grad_w(image, y, w.shape, stride=stride, groups=groups)
        self.calls += 12

    def pools(self, rng):
        shape = tuple(int(n) for n in rng.integers((1, 1, 3, 3), (3, 9, 20, 40)))
        dtype, data_format = DTYPES[rng.integers(len(DTYPES))], ("NCHW", "NHWC")[rng.integers(2)]
        x, layout = np.ones(shape, dtype), {"data_format": data_format}
        if data_format == "NHWC":
            x = x.transpose(0, 2, 3, 1)
        sizes = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        y, indices = fc.max_pool2d(x, *sizes, return_indices=True, **layout)
        fc.max_pool2d(x, *sizes, **layout)
        fc.max_pool2d_grad_x(y, indices, x.shape, **layout)
        fc.avg_pool2d_grad_x(fc.avg_pool2d(x, *sizes, **layout), x.shape, *sizes, **layout)
        self.calls += 5

    def mistakes(self, rng, seed):
        """Make calls that raise, before and after arrays are made."""
        size = int(rng.integers(3, 12))
        x, w = np.ones((1, 2, size, size + 1), "float32"), np.ones((3, 2, 3, 3), "float32")
        wrong = np.full((1, 2, size, size + 1), 10**6)
        for function, arguments, keywords in (
            (fc.conv2d, (x, w[:, :1]), {}),
            (fc.conv2d, (x, w), {"stride": 0}),
            (fc.conv2d, (x.astype("complex64"), w), {}),
            (fc.conv2d, (x, w), {"padding": "what"}),
            (fc.conv2d, (x, w), {"out": x}),
            (fc.conv2d, (x, w), {"groups": object()}),
            (fc.conv2d, (x, np.ones((3, 2, 1, 1), "float32")), {"padding": 2**29}),
            (fc.conv2d_grad_x, (x, w, x.shape), {}),
            (fc.conv2d_grad_w, (x, x, (3, 2, 3, 3, 3)), {}),
            (fc.prepare_conv2d, (w, [1, 2]), {}),
            (fc.max_pool2d, (x, size + 2), {}),
            (fc.max_pool2d_grad_x, (x, wrong, x.shape), {}),
        ):
            try:
                function(*arguments, **keywords)
            except MISTAKES:
                self.calls += 1
            else:
                raise AssertionError(f"{function.__name__}{arguments} raised nothing ({seed})")


def arguments_of(words):
    parser = argparse.ArgumentParser(description="Measure what calls leave behind.")
    parser.add_argument("--calls", type=float, default=20_000)
    parser.add_argument("--shapes", type=int, help="how many rounds of calls come again and again")
    parser.add_argument("--plant", type=int, default=0, help="bytes to keep for each round")
    return parser.parse_args(words)


def main(words=None):
    given, caller, kept = arguments_of(words), Caller(), []
    runtime.always_use_threads(True)
    number, points = 0, np.zeros((3, 11), np.int64)  # made now, so that it does not count

    def until(calls):
        nonlocal number
        while caller.calls < calls:
            number += 1
            caller.round(number % given.shapes if given.shapes else number)
            if given.plant:
                kept.append(bytes(given.plant))

    warm = min(given.calls, MOST_WARM)
    until(warm)
    for tenth in range(11):
        until(warm + given.calls * tenth / 10)
        points[:, tenth] = caller.calls, bytes_in_use(), resident()
    calls, used, kilobytes = points.tolist()
    report = {
        "calls": calls[-1] - calls[0],
        "bytes a call": round((used[-1] - used[0]) / (calls[-1] - calls[0]), 4),
        "bytes": [each - used[0] for each in used],
        "resident": kilobytes,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    sys.exit(main())
