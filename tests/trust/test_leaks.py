"""Calls leave nothing behind: operations, errors, prepared convolutions, a model in training."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEAKS = Path(__file__).with_name("leaks.py")
# Every byte that malloc hands out is counted in one place, Python's objects with it.
COUNTED = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0",
}


def counts():
    """Whether this system's malloc can say what it has handed out."""
    try:
        return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallinfo2")
    except OSError:
        return False


pytestmark = [
    pytest.mark.skipif(not counts(), reason="glibc 2.33 counts what malloc has handed out"),
    pytest.mark.skipif(
        "asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer has a malloc of its own"
    ),
]


def measured(*words, timeout=600):
    process = subprocess.run(
        [sys.executable, str(LEAKS), *map(str, words)],
        env={**os.environ, **COUNTED},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    print(process.stdout)
    return json.loads(process.stdout)


def test_calls_that_come_again_leave_nothing():
    """After as many that do not count: less than a byte in ten calls."""
    report = measured("--calls", 10_000, "--shapes", 20)
    assert report["bytes a call"] < 0.1
    assert max(report["resident"]) - report["resident"][0] < 8 * 1024


def test_a_planted_leak_is_found():
    """Of a byte a call, about."""
    assert measured("--calls", 5_000, "--shapes", 20, "--plant", 1)["bytes a call"] > 1


@pytest.mark.soak
def test_a_million_calls_leave_nothing():
    """Of ten thousand shapes, again and again."""
    report = measured("--calls", 1_000_000, "--shapes", 1000, timeout=7200)
    assert report["bytes a call"] < 0.05
    assert max(report["resident"]) - report["resident"][0] < 8 * 1024
