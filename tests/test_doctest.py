"""The examples in docstrings and in README.md are run, and give what they show."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import fastconv

README = Path(__file__).parents[1] / "README.md"
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
