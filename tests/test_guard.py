"""No kernel reads or writes past its arrays: each array touches a page that kills who tries.

In a process of its own, so that its death is a failure of one test and not the end of all.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from cases import ISAS

from fastconv import plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="memory is protected as Linux does it"
    ),
]
GUARDED = Path(__file__).with_name("guarded.py")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("side", ["begin", "end"])
def test_arrays_at_a_guard_page(isa, dtype, side):
    process = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(GUARDED), side, isa, dtype],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = process.stdout.splitlines()
    assert process.returncode == 0, f"at {lines[-2:]}: {process.stderr[-2000:]}"
    assert lines[-1] == "done"
    ran = {tuple(line.split()[1:3]) for line in lines if line.startswith("row ")}
    integers = dtype == "int64"
    assert ran == {
        (op, row.name) for op in plan.ROWS for row in plan.ROWS[op] if row.direct >= integers
    }


def test_the_guard_bites():
    """A read of one byte past the end of a guarded array does kill."""
    code = (
        "import ctypes, numpy as np; from guarded import guarded;"
        "a = guarded(np.zeros(5), {side!r}); ctypes.string_at(a.ctypes.data + {offset}, 1)"
    )
    for side, offset in (("end", 40), ("begin", -1)):
        for place, dies in ((0, False), (offset, True)):
            process = subprocess.run(
                [sys.executable, "-c", code.format(side=side, offset=place)],
                cwd=GUARDED.parent,
                capture_output=True,
                check=False,
                timeout=60,
            )
            assert (process.returncode != 0) == dies
