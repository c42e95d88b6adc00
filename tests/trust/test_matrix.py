"""Bad and odd input, every row in a process of its own: no crash, no hang, nothing silently wrong.

In the short form some rows of each table; all refusals of the operations run within one process in
tests/test_bad_arguments.py too.
"""

import importlib
import os

import isolated
import pytest
from cases import ISAS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
SOME = {"matrix": 29, "layer_matrix": 41}  # every so many rows are the short form


def check(module, every, isa):
    counts, bad = isolated.run(
        module,
        timeout=4 * 3600 if every == 1 else 300,
        every=every,
        environment={"FASTCONV_ISA": isa},
    )
    print(module, isa, counts)
    assert not bad, "\n".join(f"{row['outcome']} {row['row']}: {row['text']}" for row in bad[:20])
    assert counts["right"] > 100


@pytest.mark.parametrize("module", SOME)
def test_some_rows(module):
    check(module, SOME[module], ISAS[-1])


@pytest.mark.soak
@pytest.mark.parametrize("isa", ISAS)
def test_every_row_of_the_operations(isa):
    check("matrix", 1, isa)


@pytest.mark.soak
def test_every_row_of_the_layers():
    check("layer_matrix", 1, ISAS[-1])


def test_the_outcomes_are_told_apart():
    counts, bad = isolated.run("outcomes", timeout=60, row_timeout=2)
    assert counts == dict.fromkeys(isolated.OUTCOMES, 1)
    assert {row["row"]: row["outcome"] for row in bad} == {
        outcome: outcome for outcome in isolated.OUTCOMES if outcome != "right"
    }


@pytest.mark.parametrize("module", SOME)
def test_the_tables_are_large(module):
    names = [name for name, _ in importlib.import_module(module).rows()]
    assert len(names) > 3000
