"""Scripts beside this one, in processes of their own: what they say, a line of JSON each."""

import json
import os
import subprocess
import sys
from pathlib import Path


def said_by(script, *arguments):
    """Return what a script that ends well printed."""
    process = subprocess.run(
        [sys.executable, Path(__file__).with_name(script), *map(str, arguments)],
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=60 * 60,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return [json.loads(line) for line in process.stdout.splitlines()]
