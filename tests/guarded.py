"""Run operations on arrays that touch a page which may not be read or written.

    python guarded.py (begin|end) ISA DTYPE

Every array begins right after, or ends right before, such a page; a kernel that reads or writes
past one kills the process, after it printed what it was about to do.
"""

import ctypes
import mmap
import sys
from functools import partial

import numpy as np
from arrays import images_in
from cases import CONV4D_CASES, CONV_CASES, DATA_FORMATS, POOL_CASES, TRANSPOSE_CASES
from problems import conv_problem, pool_problem

import fastconv as fc
from fastconv._core import runtime

PAGE = mmap.PAGESIZE
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


def out_like(array, side):
    return guarded(
        np.full(array.shape, -1 if array.dtype.kind == "i" else np.nan, array.dtype), side
    )


def filled(*arrays):
    """Check that nothing of what the arrays held is left."""
    for array in arrays:
        assert not np.isnan(array).any()


def convolve(operation, case, dtype, data_format, side):
    problem = conv_problem(operation, case, dtype)
    arrays = problem.arrays_in(data_format)
    x, w, bias, grad = (guarded(array, side) for array in arrays)
    out, grad_x, grad_w = (out_like(array, side) for array in (grad, x, w))
    keywords = problem.keywords_in(data_format)
    problem.function()(x, w, bias=bias, **keywords, out=out)
    problem.function("_grad_x")(grad, w, x.shape, **keywords, out=grad_x)
    problem.function("_grad_w")(grad, x, w.shape, with_bias=True, **keywords, out=grad_w)
    filled(out, grad_x, grad_w)


def pool(case, dtype, data_format, side):
    problem = pool_problem(case, dtype)
    x, grad = (guarded(images_in(data_format, array), side) for array in (problem.x, problem.grad))
    out, grad_x = out_like(grad, side), out_like(x, side)
    _, indices = fc.max_pool2d(
        x, **case.keywords, return_indices=True, data_format=data_format, out=out
    )
    indices = guarded(indices, side)
    fc.max_pool2d_grad_x(grad, indices, x.shape, data_format=data_format, out=grad_x)
    filled(out, grad_x)
    if x.dtype.kind == "i":
        return  # averages of integers are floats
    out, grad_x = out_like(grad, side), out_like(x, side)
    keywords = {**case.average_keywords, "data_format": data_format}
    fc.avg_pool2d(x, **keywords, out=out)
    fc.avg_pool2d_grad_x(grad, x.shape, **keywords, out=grad_x)
    filled(out, grad_x)


def runs(dtype):
    """Yield what to call for each case of each operation, and its words."""
    for operation, cases in (
        ("conv2d", CONV_CASES),
        ("conv4d", CONV4D_CASES),
        ("conv_transpose2d", TRANSPOSE_CASES),
    ):
        for case in cases:
            for data_format in DATA_FORMATS[: 1 if operation == "conv4d" else 2]:
                yield partial(convolve, operation, case, dtype, data_format)
    for case in POOL_CASES:
        for data_format in DATA_FORMATS:
            yield partial(pool, case, dtype, data_format)


def main(side, isa, dtype):
    runtime.select_isa(isa)
    for run in runs(dtype):
        print(run.func.__name__, *map(str, run.args), flush=True)
        run(side)
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
