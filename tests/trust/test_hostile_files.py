"""Files made to harm who reads them: nothing in them runs, and they cost no more than they may.

Each ends in a ValueError, or in an OSError if it is no file at all, within a second of the
processor's time and a bounded number of bytes.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_files import MEGABYTE, TABLES, WHOLES

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="limits and sizes are asked for as Linux has them"
)
HERE = Path(__file__).parent
NEEDED = {"image": "PIL", "archive": "h5py", "weights": "h5py", "model": "h5py"}
SECONDS = 1
# Beside the file itself, which may be in memory once, and once more unpacked.
BYTES = 96 * MEGABYTE


def run(asked, timeout):
    paths = [str(HERE), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(HERE / "hostile_files.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def readable(names, of):
    """Return those for which all that reads them is installed."""
    return [
        name
        for name in names
        if of(name) not in NEEDED or importlib.util.find_spec(NEEDED[of(name)])
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What became of all files: of one process that has the modules, and a fork of it for each."""
    if os.environ.get("FASTCONV_SANITIZE"):
        pytest.skip("the sanitizer wants more address space than is allowed here")
    tables = readable(TABLES, lambda name: name)
    return run({"folder": str(tmp_path_factory.mktemp("hostile")), "tables": tables}, 1800)


@pytest.mark.parametrize("table", TABLES)
def test_nothing_runs_and_an_error_comes_soon(table, results, capsys):
    if table not in readable(TABLES, lambda name: name):
        pytest.skip(f"{NEEDED[table]} is not installed")
    results = {n: found for n, found in results.items() if n.startswith(f"{table}: ")}
    assert len(results) == len(TABLES[table][1])
    wrong = []
    for name, found in results.items():
        if found["outcome"] not in ("ValueError", "OSError"):
            wrong.append(f"{name}: {found['outcome']}: {found['text'][:200]}")
            continue
        if found["outcome"] == "ValueError" and len(found["text"]) > 400:
            wrong.append(f"{name}: a message of {len(found['text'])} characters")
        if found["ran"]:
            wrong.append(f"{name}: something ran")
        if found["seconds"] > SECONDS:
            wrong.append(f"{name}: took {found['seconds']:.1f} seconds")
        if found["bytes"] > BYTES + 2 * found["size"]:
            wrong.append(f"{name}: took {found['bytes'] >> 20} MB for {found['size']} bytes")
    assert not wrong, "\n".join(wrong)
    with capsys.disabled():
        slowest = max(found["seconds"] for found in results.values())
        most = max(found["bytes"] for found in results.values()) >> 20
        print(f"\n{table}: {len(results)} files, {slowest:.2f} s and {most} MB at most")


def test_files_that_are_cut_off(soak, tmp_path):
    """At every byte; in the quick form at some. None is read as a model, and none crashes."""
    names = readable(WHOLES, lambda name: WHOLES[name][0])
    asked = {"folder": str(tmp_path), "names": names, "step": 1 if soak else 211}
    count, wrong = run(asked, 14400)
    assert count > 20 * len(names)
    assert not wrong, "\n".join(wrong)
