"""The same problems under pytest-benchmark: `pytest bench --benchmark-only`, grouped by layer.

Nothing here asserts a time. Results are checked against float64 as in bench.run.
"""

from __future__ import annotations

import pytest

pytest.importorskip("pytest_benchmark")

from .check import Expected, largest_error, tolerance
from .peers import Unsupported, installed
from .problems import OPS, problems_of

PEERS, _ = installed()
CASES = [
    pytest.param(op, problem, name, id=f"{op}-{problem.name}-{name}")
    for op in OPS
    for problem in problems_of(op)
    for name in PEERS
    if name != "memory-copy"
]
DTYPE = "float32"
LIMIT = 0.5  # seconds a call may take


@pytest.fixture(scope="module")
def expected():
    """Results by problem, of which the last is kept: cases of one problem follow each other."""
    judge, last = Expected(PEERS), {}

    def results(op, problem, arrays):
        if (op, problem) not in last:
            last.clear()
            last[op, problem] = judge.results(op, problem, arrays)
        return last[op, problem]

    return results


@pytest.mark.parametrize(("op", "problem", "name"), CASES)
def test_layer(benchmark, expected, op, problem, name):
    peer, arrays = PEERS[name], problem.arrays(DTYPE)
    peer.set_threads(1)
    benchmark.group = f"{op} {problem.name}"
    try:
        contender = peer.prepare(op, problem, arrays, reuse=False)
    except Unsupported as reason:
        pytest.skip(f"{name}: {reason}")
    if contender.estimate > LIMIT:
        pytest.skip(f"{name}: a call would take about {contender.estimate:.1f} s")
    result = contender.to_numpy(benchmark(contender.call))
    error = largest_error(result, expected(op, problem, arrays))
    assert error <= tolerance(name, peer, DTYPE)
