"""Fixtures that every test module may ask for."""

import os

# Threads that wait must sleep: a spinning barrier takes milliseconds on busy cores.
# OpenMP reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import sys

import hypothesis
import pytest
from cases import ISAS

from fastconv import small
from fastconv._core import runtime

# The same examples in every run.
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None)
hypothesis.settings.load_profile("repeatable")

# What is tested on several threads must run on several, however busy the machine.
runtime.always_use_threads(True)


def pytest_addoption(parser):
    parser.addoption(
        "--soak", action="store_true", help="the long form of the tests that have one: `make soak`"
    )


def pytest_collection_modifyitems(config, items):
    """Leave out what is marked `soak` unless it is asked for."""
    if config.getoption("--soak"):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    items[:] = [item for item in items if item not in long]
    config.hook.pytest_deselected(items=long)


@pytest.fixture(scope="session")
def soak(request):
    """Whether the long form of a test is asked for."""
    return request.config.getoption("--soak")


@pytest.fixture(params=ISAS)
def isa(request):
    """Run the test once for each instruction set that this machine has."""
    before = runtime.isa()
    runtime.select_isa(request.param)
    yield request.param
    runtime.select_isa(before)


@pytest.fixture
def threads_for_little_work(monkeypatch):
    """Let even the smallest problem be shared out among threads."""
    # By its full name: `fastconv.threads` is a function to who asks the package.
    monkeypatch.setattr(sys.modules["fastconv.threads"], "WORK_OF_A_THREAD", 1)
    small.forget()


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="session")
def signal():
    return pytest.importorskip("scipy.signal", reason="SciPy is not installed")
