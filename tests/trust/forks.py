"""Children forked at every bad moment: run in a process of its own, prints what became of them.

    python forks.py SCENARIO COUNT

A child computes as its parent did; it is killed if it is not done in time.
"""

import json
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter
from contextlib import contextmanager

import numpy as np

import fastconv as fc
from fastconv import layers, models
from fastconv._core import runtime
from fastconv.preprocessing.image import ImageDataGenerator

PATIENCE = 30  # seconds
generator = np.random.default_rng(1)
x = generator.standard_normal((4, 16, 24, 24), dtype=np.float32)
w = generator.standard_normal((16, 16, 3, 3), dtype=np.float32)
images = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
kernels = np.ascontiguousarray(w.transpose(2, 3, 1, 0))
prepared = fc.prepare_conv2d(w, padding=1)
model = models.Sequential(
    [
        layers.Input((24, 24, 16)),
        layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(3),
    ]
)


def work(_=None):
    """Something of everything, on as many threads as may be, and on one."""
    out = fc.conv2d(x, w, padding=1)
    results = [out, prepared(x), fc.conv2d_grad_x(out, w, x.shape, padding=1)]
    results += [fc.conv2d_grad_w(out, x, w.shape, padding=1), fc.conv2d(x[:1], w[:1])]
    results.append(fc.conv2d(images, kernels, groups=1, stride=2, data_format="NHWC"))
    y, indices = fc.max_pool2d(x, 2, return_indices=True)
    results += [y, fc.max_pool2d_grad_x(y, indices, x.shape), fc.avg_pool2d(x, 2)]
    results.append(fc.conv2d(x, w[:, :1], groups=16, padding=1))
    results.append(model.predict(images, verbose=0))
    return results


def same(results):
    return all(np.array_equal(a, b) for a, b in zip(results, wanted, strict=True))


def child_of(function):
    """Run it in a forked child: what became of this one."""
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE)
        code = 1
        try:
            code = 0 if function() else 2
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "right", 1: "failed", 2: "wrong", -signal.SIGALRM: "hung"}.get(code, "crashed")


def right():
    return same(work())


@contextmanager
def busy(*functions):
    """Other threads do these things, over and over."""
    done = threading.Event()

    def keep_at(function):
        while not done.is_set():
            function()

    threads = [threading.Thread(target=keep_at, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def after_a_call(count):
    return Counter(child_of(right) for _ in range(count))


def during_a_call(count):
    with busy(work):
        return Counter(child_of(right) for _ in range(count))


def in_another_thread(count):
    """The thread that forks is the child's main one, and not the parent's."""
    found = Counter()

    def fork():
        found.update(child_of(right) for _ in range(count))

    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    return found


def grandchild(count):
    return Counter(child_of(lambda: right() and child_of(right) == "right") for _ in range(count))


def of_multiprocessing(count):
    found = Counter()
    while found.total() < count:
        with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
            for results in pool.imap(work, range(min(50, count - found.total()))):
                found["right" if same(results) else "wrong"] += 1
    return found


def churn():
    """Workspace of new sizes, geometries and small calls that are new to all caches."""
    size = int(np.random.default_rng().integers(3, 120))
    fc.conv2d(np.ones((1, 8, size, size), np.float32), np.ones((8, 8, 3, 3), np.float32))


def step():
    model.predict(images[: int(np.random.default_rng().integers(1, 5))], verbose=0)


def while_caches_change(count):
    with busy(churn, churn, step):
        return Counter(child_of(right) for _ in range(count))


def import_again():
    for name in [name for name in sys.modules if name.startswith(("wave", "xml", "email"))]:
        sys.modules.pop(name, None)
    import email.mime.multipart  # noqa: F401
    import xml.dom.minidom  # noqa: F401

    fc.initializers.get("zeros")


def while_modules_are_imported(count):
    with busy(import_again):
        return Counter(child_of(right) for _ in range(count))


def while_batches_are_loaded(count):
    """The children go on with the iterator that other threads of the parent take from."""
    data = generator.integers(0, 255, (64, 8, 8, 3), dtype=np.uint8)
    batches = ImageDataGenerator().flow(data, batch_size=4, seed=1)
    with busy(lambda: next(batches), lambda: next(batches), lambda: batches[3]):
        return Counter(child_of(lambda: next(batches).shape == (4, 8, 8, 3)) for _ in range(count))


if __name__ == "__main__":
    fc.set_num_threads(2)
    runtime.always_use_threads(True)
    sys.modules["fastconv.threads"].WORK_OF_A_THREAD = 1
    wanted = work()
    found = globals()[sys.argv[1]](int(sys.argv[2]))
    found["the parent: right" if right() else "the parent: wrong"] += 1
    print(json.dumps(found))
