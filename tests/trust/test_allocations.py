"""Each allocation fails once, in every operation: MemoryError or the right result, and no trace.

Those are our own, which are workspaces, arrays' memory, and all that the interpreter takes for our
Python. What NumPy takes for itself within a ufunc is left out: there NumPy 2.4 crashes by itself.
The next call must be right, no block stay taken, and NumPy have its allocator back.
"""

import pytest
from faults import library, run

SCRIPT = "failing_allocations.py"
# group: how many allocations the quick form goes on by, those of Python being many; 0 leaves it out
GROUPS = {"memory": 1, "rows": 17, "convolutions": 41, "pools": 17, "products": 5, "models": 67}


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    return library(tmp_path_factory.mktemp("faults"))


def check(found, capsys):
    assert not found["wrong"], "\n".join(found["wrong"])
    assert found["MemoryError"] > 0
    with capsys.disabled():
        print(f"\n{found}")


@pytest.mark.parametrize("group", GROUPS)
def test_each_allocation_fails_once(group, faults, soak, capsys):
    """One thread; where it is the interpreter's, another does not matter."""
    asked = {"group": group, "threads": 1, "own": False, "every": soak}
    asked["step"] = 1 if soak else GROUPS[group]
    check(run(faults, SCRIPT, asked, 36000 if soak else 600, PYTHONMALLOC="malloc"), capsys)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("group", GROUPS)
def test_each_allocation_of_ours_fails_once(group, threads, faults, soak, capsys):
    """Each in a process of its own, where no earlier call has left a workspace."""
    if not soak and (group, threads) not in {("rows", 2), ("products", 1), ("models", 2)}:
        pytest.skip("the long form has it")
    asked = {"group": group, "threads": threads, "own": True, "every": soak}
    asked["step"] = 7 if group == "models" and not soak else 1
    check(run(faults, SCRIPT, asked, 36000 if soak else 600), capsys)
