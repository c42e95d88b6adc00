"""Where threads can't be started a call runs on fewer, with the same result.

libgomp would end the process: so threads are tried first (thread_start.h).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these limits are Linux's")


def under_limits(kind, soak):
    process = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            Path(__file__).parent / "limited.py",
            kind,
            "several" if soak else "some",
        ],
        env={**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=1000,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout)


def test_a_limit_of_processes(soak):
    found = under_limits("processes", soak)
    said = found["said"]
    refused = [text for text in said.values() if text.startswith("no limit")]
    if refused:
        pytest.skip(refused[0])
    results = {amount: text.split()[0] for amount, text in said.items()}
    assert results == dict.fromkeys(said, found["want"])
    if said["0"].split()[1] != "1":
        pytest.skip("the limit of processes binds nobody here")


def test_a_limit_of_memory(soak):
    """A call may have too little for its result; then it says so."""
    found = under_limits("memory", soak)
    said = found["said"]
    texts = [text.split()[0] for text in said.values()]
    assert set(texts) <= {found["want"], "MemoryError"}
    assert texts[-1] == found["want"]
    assert texts.count("MemoryError") <= 2


@pytest.mark.parametrize("cpus", [1, 2])
def test_affinity(cpus):
    allowed = sorted(os.sched_getaffinity(0))[:cpus]
    code = (
        f"import os; os.sched_setaffinity(0, {allowed})\n"
        "import fastconv as fc; print(fc.get_num_threads())"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("NUM_THREADS")}
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert 1 <= int(process.stdout) <= len(allowed)
