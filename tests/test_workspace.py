"""A thread's workspace stays below 16 MB whatever the sizes; packed weights and sums come on top.

Measured as the growth of the process's largest resident size while one call runs, its inputs and
its output allocated before; each call in a fork of its own, so that nothing is there from others.
"""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere ru_maxrss has other units, and memory other rules"
)
BOUND = 16 << 20
SLACK = 2 << 20  # Python's own, and the last huge page
LANES = 16  # filters are padded to a vector

# name: (format, x, w, keywords); shapes in the format's own order
CASES = {
    "wide": ("NCHW", (1, 1, 4, 1_000_000), (1, 1, 3, 3), {"padding": 1}),
    "wide, channels last": ("NHWC", (1, 4, 1_000_000, 1), (3, 3, 1, 1), {"padding": 1}),
    "wide without padding": ("NCHW", (1, 1, 4, 1_000_000), (1, 1, 3, 3), {}),
    "wide, strided": ("NCHW", (1, 1, 4, 1_000_000), (1, 1, 3, 3), {"padding": 1, "stride": 2}),
    "tall": ("NCHW", (1, 1, 500_000, 4), (1, 1, 3, 3), {"padding": 1}),
    "tall, one column": ("NCHW", (1, 1, 500_000, 1), (4, 1, 3, 1), {"padding": (1, 0)}),
    "tall, one column left": ("NCHW", (1, 2, 500_000, 3), (4, 2, 3, 3), {"padding": (1, 0)}),
    "tall, channels last": ("NHWC", (1, 500_000, 4, 1), (3, 3, 1, 1), {"padding": 1}),
    "wide kernel": ("NCHW", (1, 1, 5000, 300), (1, 1, 3, 300), {"padding": (1, 0)}),
    "wide kernel, channels last": ("NHWC", (1, 30_000, 99, 2), (1, 99, 2, 2), {"padding": (1, 0)}),
    "large kernel, one column left": ("NCHW", (4, 1, 5000, 19), (4, 1, 19, 19), {}),
    "large kernel, one pixel left": ("NCHW", (256, 8, 19, 19), (8, 8, 19, 19), {}),
    "small kernel, one pixel left": ("NCHW", (20_000, 1, 3, 3), (4, 1, 3, 3), {}),
    "kernel as large as the image": ("NCHW", (64, 1, 200, 200), (1, 1, 200, 200), {}),
    "dilation": ("NCHW", (1, 1, 1000, 1000), (1, 1, 3, 3), {"padding": 400, "dilation": 400}),
    "one channel a group": ("NCHW", (1, 4096, 16, 16), (4096, 1, 3, 3), {"groups": 4096}),
}

SCRIPT = """
import json, os, resource, sys
import numpy as np
import fastconv as fc

def call(op, data_format, x_shape, w_shape, keywords):
    keywords = {**keywords, "data_format": data_format}
    x, w = np.ones(x_shape, np.float32), np.ones(w_shape, np.float32)
    out_shape = fc.conv2d(x[:0], w, **keywords).shape  # no sample, no workspace
    grad = np.ones((x_shape[0], *out_shape[1:]), np.float32)
    if op == "forward":
        return lambda: fc.conv2d(x, w, out=grad, **keywords)
    if op == "grad_x":
        return lambda: fc.conv2d_grad_x(grad, w, x_shape, out=x, **keywords)
    return lambda: fc.conv2d_grad_w(grad, x, w_shape, out=w, **keywords)

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def measure(*arguments):
    read, write = os.pipe()
    if os.fork() == 0:
        run = call(*arguments)
        before = most()
        with fc.threads(1):
            run()
        os.write(write, str(most() - before).encode())
        os._exit(0)
    os.close(write)
    os.wait()
    return int(os.read(read, 100) or -1)

cases = json.load(sys.stdin)
print(json.dumps([measure(*case) for case in cases]))
"""


@pytest.mark.parametrize("op", ["forward", "grad_x", "grad_w"])
def test_workspace_is_bounded(op):
    calls = [(op, *case) for case in CASES.values()]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=True,
    )
    too_much = {}
    for (name, case), grown in zip(CASES.items(), json.loads(done.stdout), strict=True):
        assert grown >= 0, f"{op} of {name} did not return: {done.stderr}"
        if grown > BOUND + SLACK + packed_bytes(*case):
            too_much[name] = f"{grown >> 20} MB"
    assert not too_much


def packed_bytes(data_format, x_shape, w_shape, keywords):
    """Return the most that packed weights, or sums for them, may take."""
    filters = w_shape[0] if data_format == "NCHW" else w_shape[3]
    groups = keywords.get("groups", 1)
    numbers = 4
    for size in w_shape:
        numbers *= size
    padded = -(-filters // groups // LANES) * LANES * groups
    return numbers // filters * padded + (1 << 20)
