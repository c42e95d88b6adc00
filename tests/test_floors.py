"""The house's rules: who may import whom, what an import brings in, what each function has."""

import ast
import doctest
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv as fc
from fastconv import reference

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fastconv"
# Each part of the package, and the parts that it may import.
FLOORS = {
    "__init__": {"_version", "ops", "threads"},
    "backends": {"ops", "memory", "extras", "geometry", "errors"},
    "ops": {"small", "plan", "threads", "geometry", "errors"},
    "small": {"plan", "_core", "threads", "geometry"},
    "plan": {"choice", "by_taps", "relaid", "rescaled", "_core", "threads", "geometry", "errors"},
    "choice": {"costs", "relaid", "_core", "geometry"},
    "costs": {"geometry"},
    "by_taps": {"_core", "threads", "geometry"},
    "relaid": {"_core", "threads", "geometry"},
    "rescaled": {"_core", "geometry"},
    "threads": {"_core", "cpus", "_version", "geometry", "errors"},
    "memory": {"_core"},
    "cpus": {"errors"},
    "_core": {"geometry", "errors"},
    "reference": {"geometry"},
    "geometry": {"errors"},
    "models": {
        *("layers", "callbacks", "losses", "metrics", "optimizers", "initializers", "activations"),
        *("config", "random", "serialization", "extras", "files", "geometry", "errors", "memory"),
    },
    "layers": {"ops", "initializers", "activations", "config", "random", "geometry", "errors"},
    "initializers": {"serialization", "config", "random", "geometry", "errors"},
    "activations": {"ops", "errors"},
    "serialization": {"errors"},
    "config": {"geometry", "errors"},
    "random": {"geometry", "errors"},
    "callbacks": {"metrics", "errors", "geometry"},
    "metrics": {"losses", "errors", "geometry"},
    "losses": {"errors", "geometry"},
    "optimizers": {"ops", "errors", "geometry"},
    "plotting": {"models", "layers", "extras", "files", "config", "geometry", "errors"},
    "utils": {"layers", "preprocessing", "random", "config", "geometry", "errors"},
    "datasets": {"extras", "files", "config", "geometry", "errors"},
    "preprocessing": {"extras", "files", "random", "config", "cpus", "geometry", "errors"},
    "extras": set(),
    "files": set(),
    "errors": set(),
    "_version": set(),
}
OPERATIONS = [
    name
    for name, function in vars(fc).items()
    if re.match(r"conv|max_pool|avg_pool", name) and inspect.isfunction(function)
]
FUNCTIONS = [name for name in fc.__all__ if callable(getattr(fc, name))]


def part_of(path):
    """Return which part of the package a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].split(".")[0]


def imported(path):
    """Yield the dotted names, from the package on, of what a Python file imports of it."""
    here = ["fastconv", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("fastconv"))
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*start, *filter(None, [node.module])])
            if module == "fastconv":
                yield from (f"fastconv.{alias.name}" for alias in node.names)
            elif module.startswith("fastconv."):
                yield module


def cimported(path):
    """Yield what a Cython file imports of the package: they name it in full."""
    for line in path.read_text().splitlines():
        match = re.match(r"\s*(?:from\s+(\S+)\s+c?import|c?import\s+(\S+))", line)
        if match and (match[1] or match[2]).startswith(("fastconv", ".")):
            yield match[1] or match[2]


SOURCES = sorted(path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".pyx", ".pxd"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_floor_down(path):
    here = part_of(path)
    assert here in FLOORS, f"{here} stands on no floor: add it to FLOORS and to ARCHITECTURE.md"
    names = imported(path) if path.suffix == ".py" else cimported(path)
    for name in names:
        assert name.startswith("fastconv."), name
        part = name.split(".")[1]
        assert part == here or part in FLOORS[here], f"{here} must not import {part}"


def test_every_part_is_there():
    assert {part_of(path) for path in SOURCES} == set(FLOORS)


def test_openmp_stays_in_the_drivers():
    kernels = [*(PACKAGE / "_core" / "kernels").glob("*.[ch]")]
    assert kernels
    for path in kernels:
        assert not re.search(r"#\s*pragma\s+omp|\bomp_|pthread_create|malloc\(", path.read_text())


def test_an_import_brings_numpy_alone():
    code = (
        "import sys, json, numpy; before = set(sys.modules); import fastconv;"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    new = set(json.loads(process.stdout)) - sys.stdlib_module_names
    assert {name for name in new if "cython" not in name} <= {"fastconv", "numpy"}


def test_nothing_of_the_tests_is_imported():
    code = "import sys, fastconv; print('fastconv.reference' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert process.stdout.strip() == b"False"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_is_documented(name):
    text = getattr(fc, name).__doc__
    assert text
    assert "Examples\n" in text
    assert doctest.DocTestParser().get_examples(text)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_a_twin(name):
    """Of the same name, and with the same arguments and defaults, but for `out`."""
    ours = inspect.signature(getattr(fc, name)).parameters.values()
    twins = inspect.signature(getattr(reference, name)).parameters.values()
    ours = [(p.name, p.kind, p.default) for p in ours if p.name != "out"]
    assert ours == [(p.name, p.kind, p.default) for p in twins]


def test_the_operations_are_these():
    assert sorted(OPERATIONS) == sorted(
        [
            *("conv4d", "conv4d_grad_x", "conv4d_grad_w"),
            *("conv2d", "conv2d_grad_x", "conv2d_grad_w"),
            *("conv_transpose2d", "conv_transpose2d_grad_x", "conv_transpose2d_grad_w"),
            *("max_pool2d", "max_pool2d_grad_x", "avg_pool2d", "avg_pool2d_grad_x"),
        ]
    )


def test_all_is_all():
    public = {name for name in vars(fc) if not name.startswith("_")}
    modules = {name for name in public if inspect.ismodule(getattr(fc, name))}
    assert public - modules == set(fc.__all__) - {"__version__"}
