"""The error of every algorithm that can run a layer, as a share of what is summed.

The tables are in docs/accuracy.md; `python -m bench.errors` makes them.
"""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))
errors = pytest.importorskip("bench.errors", reason="bench/ is not beside the tests")
from bench.problems import read_layers  # noqa: E402
from cases import ISAS  # noqa: E402

FEW = "s4_c1,s5_c4,s1_c1,tiny_5x7,mb_dw_s2,resnext_g32"
# Sums of products as they are, in u on average, whatever the layer. Measured: at most 0.55, but
# for sums of a few products, where it is a matter of luck (0.76).
DIRECT = 1.0
# What minimal filtering adds to that; measured: 2.4 forward, 1.7 for grad_x, 1.5 for grad_w.
FILTERED = 3.5


def layers(soak):
    most = 1.0 if soak else 0.005
    return [(layer, most) for layer in read_layers("*" if soak else FEW)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_algorithm(isa, soak, dtype):
    if errors.np.finfo(errors.WIDER[dtype]).eps >= errors.np.finfo(dtype).eps:
        pytest.skip("no type of this machine has more bits than float64, to judge it by")
    if not soak and isa != ISAS[-1]:
        pytest.skip("in the long form")
    found = []
    for layer, most in layers(soak):
        small = errors.cut(layer, most * errors.MOST[dtype])
        found += errors.errors_of(small, dtype, ("NCHW", "NHWC"))
    ours = [error for error in found if error.algorithm != "torch"]
    assert len(ours) > 40
    for error in ours:
        assert error.of_largest <= errors.LIMITS[dtype], error
        filtered = error.algorithm in ("winograd", "strips")
        assert error.mean <= (FILTERED if filtered else DIRECT), error
        if error.algorithm == "highest" and dtype == "float32":
            assert error.most <= 1.01, error  # rounded once


def test_the_highest_precision_is_not_below_torch(isa, soak, torch):
    """Of float32, on average over a result; float64 is in tests/test_numbers.py."""
    for layer, most in layers(soak):
        small = errors.cut(layer, most * errors.MOST["float32"])
        found = list(errors.errors_of(small, "float32", ("NCHW",)))
        theirs = {error.op: error.mean for error in found if error.algorithm == "torch"}
        for error in found:
            if error.algorithm == "highest":
                assert error.mean <= theirs[error.op], error
