"""Fixtures that every test module may ask for."""

import pytest
from cases import ISAS

from fastconv._core import runtime


@pytest.fixture(params=ISAS)
def isa(request):
    """Run the test once for each instruction set that this machine has."""
    before = runtime.isa()
    runtime.select_isa(request.param)
    yield request.param
    runtime.select_isa(before)


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="session")
def signal():
    return pytest.importorskip("scipy.signal", reason="SciPy is not installed")
