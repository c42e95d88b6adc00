"""A forked child computes, and so does its parent, whatever another thread did at that moment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

SCENARIOS = (
    "after_a_call",
    "during_a_call",
    "in_another_thread",
    "grandchild",
    "of_multiprocessing",
    "while_caches_change",
    "while_modules_are_imported",
    "while_batches_are_loaded",
)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_children(scenario, soak):
    count = 1000 if soak else 20
    process = subprocess.run(
        [sys.executable, "-W", "ignore", Path(__file__).parent / "forks.py", scenario, str(count)],
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=100 + 5 * count,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert json.loads(process.stdout) == {"right": count, "the parent: right": 1}
