"""Run operations on arrays that touch a page which may not be read or written.

    python guarded.py (begin|end) ISA DTYPE

Every array begins right after, or ends right before, such a page; a kernel that reads or writes
past one kills the process, after it printed what it was about to do.
"""

import ctypes
import mmap
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
from arrays import images_in
from cases import (
    CONV4D_CASES,
    CONV_CASES,
    DATA_FORMATS,
    DENSE_CASES,
    MODERATE_CASES,
    POOL_CASES,
    TRANSPOSE_CASES,
)
from problems import conv_problem, pool_problem
from runnable import runnable
from test_kernels import geometry_of

from fastconv import optimizers, plan
from fastconv._core import runtime
from fastconv.geometry import pool_geometry
from fastconv.ops.run import logical

PAGE = mmap.PAGESIZE
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
RULES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adam", {"amsgrad": True}),
]
LIBC = ctypes.CDLL(None, use_errno=True)


def guarded(array, side):
    """Return a copy of array on pages of its own, next to one that must not be touched."""
    pages = -(-array.nbytes // PAGE)
    mapping = mmap.mmap(-1, (pages + 2) * PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    for page in (0, pages + 1):
        place = ctypes.c_void_p(address + page * PAGE)
        if LIBC.mprotect(place, ctypes.c_size_t(PAGE), 0):  # PROT_NONE
            raise OSError(ctypes.get_errno(), "mprotect failed")
    start = PAGE if side == "begin" else (pages + 1) * PAGE - array.nbytes
    copy = np.frombuffer(mapping, array.dtype, array.size, start).reshape(array.shape)
    copy[...] = array
    return copy


def out_like(array, side, dtype=None):
    dtype = np.dtype(dtype or array.dtype)
    return guarded(np.full(array.shape, np.nan if dtype.kind == "f" else 77, dtype), side)


def filled(*arrays):
    """Check that nothing of what the arrays held is left, and let them hold it again."""
    for array in arrays:
        if array.dtype.kind == "f":
            assert not np.isnan(array).any()
            array.fill(np.nan)


def convolve(operation, case, dtype, data_format, side):
    """Run a public function and its gradients."""
    problem = conv_problem(operation, case, dtype)
    x, w, bias, grad = (guarded(array, side) for array in problem.arrays_in(data_format))
    out, grad_x, grad_w = (out_like(array, side) for array in (grad, x, w))
    keywords = problem.keywords_in(data_format)
    problem.function()(x, w, bias=bias, **keywords, out=out)
    problem.function("_grad_x")(grad, w, x.shape, **keywords, out=grad_x)
    problem.function("_grad_w")(grad, x, w.shape, with_bias=True, **keywords, out=grad_w)
    filled(out, grad_x, grad_w)


def rows(case, dtype, data_format, side):
    """Run every row that can run a case, chosen or not, and the gradient of the bias."""
    problem, geometry = conv_problem("conv2d", case, dtype), geometry_of(case, data_format)
    x, w, bias, grad = (guarded(array, side) for array in problem.arrays_in(data_format))
    out, grad_x, grad_w = (out_like(array, side) for array in (grad, x, w))
    grad_bias = out_like(bias, side)
    view, grad_view = (logical(array, data_format) for array in (w, grad_w))
    integers = np.dtype(dtype).kind == "i"
    for row in runnable("forward", geometry, integers):
        named("forward", row, data_format)
        row.run(geometry, x, view, bias, out, True)
        filled(out)
    for row in runnable("grad_x", geometry, integers):
        named("grad_x", row, data_format)
        row.run(geometry, grad, view, None, grad_x)
        filled(grad_x)
    for row in runnable("grad_w", geometry, integers):
        named("grad_w", row, data_format)
        row.run(geometry, grad, x, grad_view)
        if row.sums_grad(geometry):
            row.run(geometry, grad, x, grad_view, grad_bias)
            filled(grad_bias)
        filled(grad_w)
    plan.grad_w(geometry, grad, x, grad_view, grad_bias)
    filled(grad_w, grad_bias)


def named(op, row, data_format):
    """Say which row of the plan is about to run."""
    print("row", op, row.name, data_format, flush=True)


def pool(case, dtype, data_format, side):
    """Run the pools as the plan does, so that the indices are guarded when they are written."""
    problem = pool_problem(case, dtype)
    x, grad = (guarded(images_in(data_format, array), side) for array in (problem.x, problem.grad))
    geometry = pool_geometry("test", x.shape, **case.average_keywords, data_format=data_format)
    out, grad_x, indices = out_like(grad, side), out_like(x, side), out_like(grad, side, np.int64)
    plan.max_pool(geometry, x, out, None)
    plan.max_pool(geometry, x, out, indices)
    assert plan.max_pool_grad_x(geometry, grad, indices, grad_x)
    filled(out, grad_x)
    indices[...] = 0  # in few windows: the others' are added one by one
    assert plan.max_pool_grad_x(geometry, grad, indices, grad_x)
    filled(grad_x)
    if plan.max_pool_codes_fit(geometry):
        out, codes = out_like(grad, side), out_like(grad, side, np.uint8)
        for of_relu in (False, True):
            plan.max_pool_codes(geometry, x, out, codes, of_relu)
            filled(out)
        if x.dtype in ("float32", "float64", "int64"):
            grad_x = out_like(x, side)
            plan.max_pool_codes_grad_x(geometry, grad, codes, grad_x)
            filled(grad_x)
    if x.dtype.kind == "f":
        out, grad_x = out_like(grad, side), out_like(x, side)
        plan.avg_pool(geometry, x, out)
        plan.avg_pool_grad_x(geometry, grad, grad_x)
        filled(out, grad_x)


def relu(size, dtype, side):
    """Run the gradient of a relu, on vectors that end anywhere."""
    y, grad = (guarded(np.arange(size).astype(dtype), side) for _ in range(2))
    out = out_like(grad, side)
    plan.relu_gradient(grad, y, out)
    filled(out)


def dense(sizes, dtype, side):
    """Run the products of a dense layer."""
    samples, channels, units = sizes
    shapes = (samples, channels), (channels, units), (samples, units)
    x, w, grad = (guarded(np.ones(shape, dtype), side) for shape in shapes)
    bias = guarded(np.ones(units, dtype), side)
    out, grad_x, grad_w = (out_like(array, side) for array in (grad, x, w))
    plan.multiply(x, w, out, bias, False, False)
    plan.multiply(grad, w, grad_x, None, False, True)
    plan.multiply(x, grad, grad_w, None, True, False)
    filled(out, grad_x, grad_w)


def optimizer(name, options, size, dtype, side):
    """Run a step of an optimizer, its slots guarded too."""
    w, g = (guarded(np.ones(size, dtype), side) for _ in range(2))
    made = getattr(optimizers, name)(**options, weight_decay=0.1, clipvalue=0.5)
    made.build([SimpleNamespace(value=w)])
    for arrays in made._slots.values():
        arrays[0] = guarded(arrays[0], side)
    made.apply([g])
    filled(w, *(arrays[0] for arrays in made._slots.values()))


def runs(dtype):
    """Yield what to call for each case of each operation, and its words."""
    for size in (1, 2, 15, 16, 17, 63, 65, 2**16 + 1):
        yield partial(relu, size, dtype)
        for name, options in RULES if dtype != "int64" else ():
            yield partial(optimizer, name, options, size, dtype)
    for sizes in DENSE_CASES:
        yield partial(dense, sizes, dtype)
    operations = {"conv2d": CONV_CASES, "conv_transpose2d": TRANSPOSE_CASES}
    for data_format in DATA_FORMATS:
        for operation, cases in operations.items():
            for case in cases:
                yield partial(convolve, operation, case, dtype, data_format)
        for case in MODERATE_CASES:
            yield partial(rows, case, dtype, data_format)
        for case in POOL_CASES:
            for kind in INTEGERS if dtype == "int64" else [dtype]:
                yield partial(pool, case, kind, data_format)
    for case in CONV4D_CASES:
        yield partial(convolve, "conv4d", case, dtype, "NCHW")


def main(side, isa, dtype):
    runtime.select_isa(isa)
    for run in runs(dtype):
        print(run.func.__name__, *map(str, run.args), flush=True)
        run(side)
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
