"""A minute of fuzzing; `make soak-fuzz` runs a million calls, under the sanitizers."""

import subprocess
import sys
from pathlib import Path

import fuzz
import numpy as np
import pytest
from fuzz_problems import ConvProblem
from runnable import runnable

from fastconv import plan
from fastconv._core import runtime

SECONDS, LONG = 45, 3600


@pytest.fixture
def as_before(monkeypatch):
    """Put back what the fuzzer sets for the whole process."""
    threads = sys.modules["fastconv.threads"]
    monkeypatch.setattr(threads, "WORK_OF_A_THREAD", threads.WORK_OF_A_THREAD)
    before = runtime.isa()
    yield
    runtime.select_isa(before)
    fuzz.small.forget()


def test_nothing_is_found(soak, tmp_path):
    """In a process of its own, which says what it ran when it died."""
    seconds, trace = LONG if soak else SECONDS, tmp_path / "problem"
    words = ["--seconds", str(seconds), "--seed", "1", "--trace", str(trace)]
    process = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(Path(fuzz.__file__)), *words],
        capture_output=True,
        text=True,
        timeout=2 * seconds + 200,
        check=False,
    )
    print(process.stdout[-20000:], process.stderr[-5000:])
    assert process.returncode == 0, f"last: {trace.read_text() if trace.exists() else 'nothing'}"
    assert ", 0 findings" in process.stdout


@pytest.mark.parametrize("op", plan.ROWS)
def test_every_row_is_drawn(op):
    """The problems of a minute reach every row; what the plan would choose, too."""
    run, chosen = set(), set()
    for number in range(400):
        problem = ConvProblem(np.random.default_rng([3, number]))
        for data_format in fuzz.FORMATS:
            geometry = problem.geometry_in(data_format)
            run.update(row.name for row in runnable(op, geometry))
            chosen.add(plan.choose(op, geometry).name)
    names = {row.name for row in plan.ROWS[op]}
    assert run == names
    # the sum over taps is chosen for absurd sizes, and for what is not finite
    assert chosen | {"taps"} == names


def test_a_planted_fault_is_found(as_before, capsys):
    """One wrong element of one driver, and its seed shows it again."""
    (row,) = (row for row in plan.FORWARD if row.name == "rows")
    run, element = row.run, 1234

    def wrong(geometry, x, w, bias, out, *more):
        run(geometry, x, w, bias, out, *more)
        out.flat[element % max(out.size, 1)] += 1

    object.__setattr__(row, "run", wrong)
    try:
        assert fuzz.main(["--calls", "300", "--seed", "2"]) > 0
        line = next(line for line in capsys.readouterr().out.splitlines() if "finding" in line)
        words = line.split("#")[0].split()
        assert fuzz.main(words[words.index("--seed") :]) == 1
    finally:
        object.__setattr__(row, "run", run)
    assert fuzz.main(words[words.index("--seed") :]) == 0
