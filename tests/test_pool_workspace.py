"""Memory that a pool takes beside its arrays, on images and windows of extreme shapes."""

import subprocess
import sys
from dataclasses import astuple

import pytest
from cases import PoolCase

LIMIT = (16 + 2) << 20  # of a thread; 2 MB are for what Python does meanwhile
# The arrays are there, and written to, before the peak is read for the first time.
# The peak of getrusage would be the parent's if that one is larger, hence /proc.
CODE = """
import sys
import numpy as np
import fastconv as fc
from fastconv import plan
from fastconv.geometry import pool_geometry

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))

(_, shape, *sizes), dtype, data_format = {arguments}
if data_format == "NHWC":
    shape = tuple(shape[axis] for axis in (0, 2, 3, 1))
geometry = pool_geometry("test", shape, *sizes, data_format)
x, grad_x = np.ones((2, *shape), dtype)
out = np.ones(geometry.out_shape, dtype)
indices = np.ones(geometry.out_shape, np.int64)
codes = np.ones(geometry.out_shape, np.uint8)
fc.set_num_threads(1)
before = peak()
{calls}
print(peak() - before)
"""
CALLS = {
    "max": "plan.max_pool(geometry, x, out, None)",
    "indices": "plan.max_pool(geometry, x, out, indices)",
    "max_grad": "plan.max_pool_grad_x(geometry, out, indices, grad_x)",
    "codes": "plan.max_pool_codes(geometry, x, out, codes, True)",
    "codes_grad": "plan.max_pool_codes_grad_x(geometry, out, codes, grad_x)",
    "avg": "plan.avg_pool(geometry, x, out)",
    "avg_grad": "plan.avg_pool_grad_x(geometry, out, grad_x)",
}
WIDE = PoolCase("wide", (1, 1, 4, 2_500_000), 3, 1, 1)
TALL = PoolCase("tall", (1, 1, 2_500_000, 4), 3, 1, 1)
LARGE = PoolCase("large_window", (1, 1, 3000, 3000), 1000, None, 1)
LARGEST = PoolCase("largest_window", (1, 2, 3000, 3000), 3000, None, 1)
APART = PoolCase("taps_far_apart", (1, 1, 3000, 3000), 3, 100, 1000, 1000)
MANY = PoolCase("many_channels", (1, 2_500_000, 2, 2), 2)
ALL = " ".join(CALLS)
OF_ROWS = "max indices codes codes_grad avg"
UNCODED = " ".join(name for name in CALLS if "codes" not in name)  # windows of too many taps
# each kind of workspace that grows with an axis where nothing bounds it
CASES = [
    *((WIDE, "float32", data_format, ALL) for data_format in ("NCHW", "NHWC")),
    *(
        (TALL, "float32", data_format, "max indices codes codes_grad avg")
        for data_format in ("NCHW", "NHWC")
    ),
    *((LARGE, "float64", data_format, UNCODED) for data_format in ("NCHW", "NHWC")),
    *((LARGEST, "float32", data_format, "max avg") for data_format in ("NCHW", "NHWC")),
    (APART, "float32", "NCHW", ALL),
    (MANY, "float64", "NHWC", ALL),
]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read in Linux's /proc")
@pytest.mark.parametrize(("case", "dtype", "data_format", "calls"), CASES, ids=str)
def test_workspace_of_a_thread(case, dtype, data_format, calls):
    arguments = (astuple(case), dtype, data_format)
    code = CODE.format(
        arguments=repr(arguments), calls="\n".join(CALLS[name] for name in calls.split())
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) <= LIMIT
