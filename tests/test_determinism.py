"""The same answer every time, bit by bit: for any threads, batch, caller and process."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from arrays import assert_same, generator, make_array
from cases import CONV_CASES, DATA_FORMATS, FEW_CASES, NAMED, POOL_CASES, TRANSPOSE_CASES
from problems import conv_problem, every, pool_problem

import fastconv as fc

pytestmark = pytest.mark.usefixtures("threads_for_little_work")
floats = every(dtype=["float32", "float64"])
formats = every(data_format=DATA_FORMATS)
cases = partial(pytest.mark.parametrize, "case", ids=str)
CASES_AND_TYPES = [
    *(pytest.param(case, "float32", id=f"{case}-float32") for case in CONV_CASES),
    *(pytest.param(case, "float64", id=f"{case}-float64") for case in FEW_CASES),
]
THREADS = (1, 2, 3, 5, 8)
HERE = Path(__file__).parent


def all_results(operation, case, dtype, data_format):
    problem = conv_problem(operation, case, dtype)
    return problem.run(*problem.arrays_in(data_format), data_format)


def all_pools(case, dtype, data_format):
    problem = pool_problem(case, dtype)
    if data_format == "NHWC":
        x, grad = problem.x.transpose(0, 2, 3, 1).copy(), problem.grad.transpose(0, 2, 3, 1).copy()
    else:
        x, grad = problem.x, problem.grad
    average = {**case.average_keywords, "data_format": data_format}
    out, indices = fc.max_pool2d(x, **case.keywords, return_indices=True, data_format=data_format)
    return (
        out,
        indices,
        fc.max_pool2d_grad_x(grad, indices, x.shape, data_format=data_format),
        fc.avg_pool2d(x, **average),
        fc.avg_pool2d_grad_x(grad, x.shape, **average),
    )


def check_threads(function):
    """Compare what a function returns under each number of threads, and twice under one."""
    results = []
    for threads in (*THREADS, THREADS[1]):
        with fc.threads(threads):
            results.append(function())
    for others in results[1:]:
        for got, want in zip(others, results[0], strict=True):
            assert_same(got, want)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "dtype"), CASES_AND_TYPES)
@formats
def test_conv2d_for_any_threads(isa, case, dtype, data_format):
    check_threads(partial(all_results, "conv2d", case, dtype, data_format))


@cases(TRANSPOSE_CASES)
@floats
@formats
def test_conv_transpose2d_for_any_threads(isa, case, dtype, data_format):
    check_threads(partial(all_results, "conv_transpose2d", case, dtype, data_format))


@cases(POOL_CASES)
@floats
@formats
def test_pools_for_any_threads(isa, case, dtype, data_format):
    check_threads(partial(all_pools, case, dtype, data_format))


LARGER = (
    ((6, 3, 64, 60), (24, 3, 3, 3), {"padding": 1}),
    ((5, 32, 30, 33), (40, 32, 3, 3), {"padding": 1}),
    ((3, 24, 40, 41), (24, 24, 5, 5), {"padding": 2}),
    ((4, 64, 28, 28), (96, 64, 1, 1), {}),
    ((7, 40, 20, 20), (24, 40, 3, 3), {"stride": 2, "padding": 1}),
    ((6, 64, 30, 31), (64, 1, 3, 3), {"padding": 1, "groups": 64}),
)


@pytest.mark.parametrize(("x_shape", "w_shape", "keywords"), LARGER)
@floats
def test_enough_work_for_all_threads(isa, x_shape, w_shape, keywords, dtype):
    """Larger than the list's cases, so that every thread gets a part."""
    rng = generator(x_shape)
    x, w = make_array(rng, x_shape, dtype), make_array(rng, w_shape, dtype)

    def function():
        out = fc.conv2d(x, w, **keywords)
        return (
            out,
            fc.conv2d_grad_x(out, w, x_shape, **keywords),
            *fc.conv2d_grad_w(out, x, w_shape, with_bias=True, **keywords),
            fc.max_pool2d(x, 2),
            fc.avg_pool2d(x, 3, 2, 1),
        )

    check_threads(function)


@pytest.mark.parametrize(
    ("case", "dtype"), [pair for pair in CASES_AND_TYPES if pair.values[0].x[0] > 1]
)
@formats
def test_an_image_alone_or_in_a_batch(isa, case, dtype, data_format):
    problem = conv_problem("conv2d", case, dtype)
    x, w, bias, grad = problem.arrays_in(data_format)
    keywords = problem.keywords_in(data_format)
    out = fc.conv2d(x, w, bias, **keywords)
    grad_x = fc.conv2d_grad_x(grad, w, x.shape, **keywords)
    for number in range(len(x)):
        one = slice(number, number + 1)
        assert_same(fc.conv2d(x[one], w, bias, **keywords), out[one])
        got = fc.conv2d_grad_x(grad[one], w, x[one].shape, **keywords)
        assert_same(got, grad_x[one])
    # A neighbour that is not finite is no matter either.
    spoiled = x.copy()
    spoiled[0] = np.nan
    assert_same(fc.conv2d(spoiled, w, bias, **keywords)[1:], out[1:])


@cases([case for case in TRANSPOSE_CASES if case.x[0] > 1])
@floats
def test_a_transposed_image_alone_or_in_a_batch(isa, case, dtype):
    problem = conv_problem("conv_transpose2d", case, dtype)
    out = fc.conv_transpose2d(problem.x, problem.w, problem.bias, **case.keywords)
    for number in range(len(problem.x)):
        one = slice(number, number + 1)
        got = fc.conv_transpose2d(problem.x[one], problem.w, problem.bias, **case.keywords)
        assert_same(got, out[one])


@cases(FEW_CASES)
@floats
@formats
def test_nothing_is_left_of_the_call_before(isa, case, dtype, data_format):
    """Not in the memory that the engine keeps, either: NaN there would show."""
    problem = conv_problem("conv2d", case, dtype)
    arrays = problem.arrays_in(data_format)
    want = problem.run(*arrays, data_format)
    problem.run(*(np.full_like(array, np.nan) for array in arrays), data_format)
    for got, expected in zip(problem.run(*arrays, data_format), want, strict=True):
        assert_same(got, expected)


def test_many_python_threads_at_once(isa):
    """Each gets what it would alone, whatever the others compute and how many threads they use."""
    names = ("3x3_16_to_16", "1x1", "5x5_same", "depthwise", "3x3_stride2", "3x3_512_at_7")
    jobs = [partial(all_results, "conv2d", NAMED[name], "float32", "NCHW") for name in names]
    jobs += [partial(all_pools, case, "float64", "NHWC") for case in POOL_CASES[8:12]]
    wanted = [job() for job in jobs]

    def work(number):
        with fc.threads(1 + number % 3):
            return jobs[number % len(jobs)]()

    with ThreadPoolExecutor(8) as executor:
        for number, results in enumerate(executor.map(work, range(12 * len(jobs)))):
            for got, want in zip(results, wanted[number % len(jobs)], strict=True):
                assert_same(got, want)


FORKS = """
import multiprocessing, os, signal, sys, threading
import numpy as np
import fastconv as fc

rng = np.random.default_rng(1)
x = rng.standard_normal((4, 32, 40, 40), dtype=np.float32)
w = rng.standard_normal((32, 32, 3, 3), dtype=np.float32)
fc.set_num_threads(2)

def work(_=None):
    out = fc.conv2d(x, w, padding=1)
    grad_x = fc.conv2d_grad_x(out, w, x.shape, padding=1)
    grad_w = fc.conv2d_grad_w(out, x, w.shape, padding=1)
    return out, grad_x, grad_w, fc.max_pool2d(x, 2), fc.avg_pool2d(x, 2)

def same(got):
    return all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))

def forked():
    child = os.fork()
    if not child:
        signal.alarm(60)
        os._exit(0 if same(work()) else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

wanted = work()
assert forked() == 0, "the child of a process that has computed"
assert same(work()), "the parent afterwards"
codes = []
threads = [threading.Thread(target=lambda: codes.append(forked())) for _ in range(4)]
busy = threading.Thread(target=lambda: [work() for _ in range(20)])
for thread in (busy, *threads):
    thread.start()
for thread in (busy, *threads):
    thread.join()
assert codes == [0] * 4, "children forked while another thread computes"

def grandchild():
    child = os.fork()
    if not child:
        signal.alarm(60)
        os._exit(forked())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert grandchild() == 0, "the child of a child"
with multiprocessing.get_context("fork").Pool(2) as pool:
    for got in pool.map(work, range(4)):
        assert same(got), "a worker of multiprocessing"
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_fork_after_a_call():
    process = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.strip() == "done"


OTHER_RUN = """
import sys
sys.path.insert(0, {here!r})
import hashlib
from cases import NAMED
from test_determinism import all_results
from fastconv._core import runtime

runtime.select_isa({isa!r})
digest = hashlib.sha256()
for name in {names!r}:
    for array in all_results("conv2d", NAMED[name], "float32", "NCHW"):
        digest.update(array.tobytes())
print(digest.hexdigest())
"""


def test_another_run_gives_the_same(isa):
    names = ("3x3_16_to_32_valid", "1x1", "7x7_stem", "depthwise", "3x3_stride2_deep")
    code = OTHER_RUN.format(here=str(HERE), isa=isa, names=names)
    digests = set()
    for threads in ("1", "2"):
        process = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, "FASTCONV_NUM_THREADS": threads},
            timeout=120,
            check=True,
        )
        digests.add(process.stdout)
    assert len(digests) == 1
