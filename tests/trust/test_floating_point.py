"""Modes of arithmetic: ours are the caller's, on every thread, and nobody's are changed."""

import subprocess
import sys
import threading
from functools import partial

import modes
import numpy as np
import pytest
from arrays import assert_same, generator, make_array
from cases import CONV_CASES, FEW_CASES, POOL_CASES, TRANSPOSE_CASES
from problems import ConvProblem, PoolProblem

import fastconv as fc

pytestmark = [
    pytest.mark.usefixtures("threads_for_little_work"),
    pytest.mark.skipif(not modes.KNOWN, reason="modes are read on x86-64 Linux alone"),
]
settings = pytest.mark.parametrize("setting", modes.SETTINGS)
THREADS = 3


def calls(soak):
    """Yield a name and a call of every operation, in both layouts, by every algorithm chosen."""
    for dtype in ("float32", "float64", "int64") if soak else ("float32",):
        for case in CONV_CASES if soak else FEW_CASES:
            problem = ConvProblem("conv2d", case, dtype)
            for layout in ("NCHW", "NHWC"):
                run = partial(problem.run, *problem.arrays_in(layout), layout)
                yield f"{case}-{layout}-{dtype}", run
        for case in TRANSPOSE_CASES if soak else TRANSPOSE_CASES[::4]:
            problem = ConvProblem("conv_transpose2d", case, dtype)
            yield f"{case}-{dtype}", partial(problem.run, *problem.arrays_in("NCHW"))
        for case in POOL_CASES if soak else POOL_CASES[::6]:
            yield f"{case}-{dtype}", partial(all_pools, PoolProblem(case, dtype))


def all_pools(problem):
    case = problem.case
    out, indices = fc.max_pool2d(problem.x, **case.keywords, return_indices=True)
    return (
        fc.max_pool2d_grad_x(out, indices, case.x),
        fc.avg_pool2d(problem.x, **case.average_keywords),
        fc.avg_pool2d_grad_x(problem.grad, case.x, **case.average_keywords),
    )


def check_modes_stay(soak, setting):
    workers = modes.read_on_workers(THREADS)
    with modes.changed(modes.SETTINGS[setting]), fc.threads(THREADS):
        before = modes.read()
        for name, call in calls(soak):
            call()
            assert modes.read() == before, name
    if workers is not None:
        # the callback may find fewer of them if the machine has no more to give
        assert set(modes.read_on_workers(THREADS)) == set(workers)


@settings
def test_modes_are_the_same_after_every_operation(isa, soak, setting):
    check_modes_stay(soak, setting)


@settings
def test_modes_are_the_same_in_other_python_threads(soak, setting):
    failures = []

    def work():
        try:
            check_modes_stay(soak, setting)
        except BaseException as error:
            failures.append(error)

    usual = modes.read()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(3600 if soak else 120)
    assert not thread.is_alive()
    assert not failures
    assert modes.read() == usual


@settings
def test_threads_that_help_compute_as_the_caller_does(isa, soak, setting):
    """The same bits for any number of threads, also where the caller rounds or flushes."""
    with fc.threads(THREADS):
        fc.conv2d(np.ones((4, 8, 40, 40)), np.ones((8, 8, 3, 3)))  # there are helpers before
    with modes.changed(modes.SETTINGS[setting]):
        for name, call in calls(soak):
            results = []
            for threads in (1, THREADS):
                with fc.threads(threads):
                    results.append(call())
            for alone, together in zip(*results, strict=True):
                assert_same(together, alone), name


def test_rounding_is_the_callers(isa):
    """Or the tests above would see nothing."""
    rng = generator("rounding")
    x, w = make_array(rng, (2, 24, 20, 20)), make_array(rng, (16, 24, 1, 1))
    with fc.threads(THREADS):
        found = []
        for setting in ("down", "up"):
            with modes.changed(modes.SETTINGS[setting]):
                found.append(fc.conv2d(x, w))
    assert (found[0] <= found[1]).all()
    assert (found[0] < found[1]).mean() > 0.5


IMPORTS = """
import importlib, sys
sys.path.insert(0, {here!r})
import modes, numpy
before = modes.read()
import fastconv
assert modes.read() == before, "import fastconv"
for part in fastconv._PARTS:
    try:
        importlib.import_module("fastconv." + part)
    except ImportError:
        continue  # plotting, say, without Matplotlib
    assert modes.read() == before, part
tiny = numpy.full(4, numpy.finfo("f4").tiny)
assert (tiny / 4 > 0).all()
print("done")
"""


def test_an_import_changes_no_mode():
    process = subprocess.run(
        [sys.executable, "-c", IMPORTS.format(here=str(modes.Path(modes.__file__).parent))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.stdout.strip() == "done", process.stderr[-2000:]
