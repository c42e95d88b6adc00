"""The examples in docstrings and in README.md are run, and give what they show."""

import doctest
import importlib.util
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
HOSTS = {path.stem for path in (ROOT / "src" / "fastconv" / "backends").iterdir()}
MODULES = [
    "fastconv",
    *(found.name for found in pkgutil.walk_packages(fastconv.__path__, "fastconv.")),
]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if not name.startswith("fastconv.backends."):
            raise
        pytest.skip(str(error))  # a backend without its host
    assert not doctest.testmod(module).failed


def test_readme():
    failed, attempted = doctest.testfile(str(README), module_relative=False, encoding="utf-8")
    assert not failed
    assert attempted > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages(page):
    """Each in a process of its own, as a reader would: Keras has one backend in a process."""
    if page.stem in HOSTS and importlib.util.find_spec(page.stem) is None:
        pytest.skip(f"{page.stem} is not installed")
    variables = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    command = [sys.executable, "-m", "doctest", str(page)]
    process = subprocess.run(command, env=variables, capture_output=True)
    assert process.returncode == 0, (process.stdout + process.stderr).decode()
