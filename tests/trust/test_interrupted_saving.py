"""Files while the disk fails or the process is killed, at every call to the file system.

A file is the old one or the new one then, whole; the next save leaves nothing else beside it. What
is written is on the disk before it takes the place of the old one.
"""

import pytest
from faults import library, run

SCRIPT = "failing_files.py"
OURS = (
    "file",
    "m.fastconv",
    "m.safetensors",
    "checkpoint.fastconv",
    "archive.tar.gz",
    "figure.png",
    "split",
)
OTHERS = {
    "h5py": ("m.keras", "m.h5", "m.weights.h5"),
    "PIL": ("image.png", "maps.html", "maps.png"),
}
QUICK = {"m.fastconv": 1, "split": 7, "m.keras": 4, "image.png": 4, "archive.tar.gz": 3}


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    return library(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("name", [*OURS, *(name for names in OTHERS.values() for name in names)])
def test_a_file_is_the_old_one_or_the_new_one(name, faults, soak, tmp_path, capsys):
    if not soak and name not in QUICK:
        pytest.skip("the long form has it")
    for module, names in OTHERS.items():
        if name in names:
            pytest.importorskip(module, reason=f"{module} is not installed")
    asked = {"folder": str(tmp_path), "names": [name], "step": 1 if soak else QUICK[name]}
    found = run(faults, SCRIPT, asked, 3600)
    assert not found["wrong"], "\n".join(found["wrong"])
    assert found["killed"] > 0
    for order in found["orders"].values():
        check_order([call for call, _ in order], [where for _, where in order])
    with capsys.disabled():
        print(f"\n{name}: { {key: found[key] for key in ('calls', 'raised', 'killed')} }")


def check_order(calls, places):
    """The file is on the disk before it gets its name, and that name before it is said so."""
    renamed = calls.index("rename")
    part = places[calls.index("flock")]
    synced = [at for at, call in enumerate(calls) if call == "fsync"]
    assert len(synced) == 2
    before, after = synced
    assert places[before] == part
    assert places[after] != part
    written = [at for at, call in enumerate(calls) if call == "write" and places[at] == part]
    assert max(written) < before < renamed < after
    assert places[renamed].endswith(".part")
