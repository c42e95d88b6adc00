"""The scripts in examples/ run, on small data of the form of the real."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, folder, *arguments):
    """Run a script as a user does, and return what it prints."""
    for package in ("matplotlib", "PIL", "tqdm"):
        pytest.importorskip(package, reason=f"the example needs {package}")
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_layer_arithmetic(tmp_path):
    printed = run("layer_arithmetic", tmp_path)
    for figures in ("(None, 99, 99, 16)", "896", "528,054"):
        assert figures in printed


def test_seeing_layers(tmp_path):
    printed = run("seeing_layers", tmp_path, "--output", "out")
    assert "max_pool_1: (1, 1, 2, 5)" in printed
    assert (tmp_path / "out" / "layers.png").stat().st_size > 1000
    assert "<table" in (tmp_path / "out" / "layers.html").read_text()


def test_cats_and_dogs(tmp_path):
    printed = run("cats_and_dogs", tmp_path, "--output", "out", "--epochs", "2")
    assert "Found 80 images belonging to 2 classes." in printed
    assert "Found 20 images belonging to 2 classes." in printed
    assert "4,750,337" in printed
    assert (tmp_path / "out" / "curves.png").exists()


def test_cifar10(tmp_path):
    printed = run("cifar10", tmp_path, "--output", "out", "--epochs", "2")
    assert "train dataset:  (450, 32, 32, 3) (450, 1)" in printed
    assert "229,834" in printed
    assert "Accuracy: " in printed
    assert (tmp_path / "out" / "train-samples.png").exists()


def test_digits(tmp_path):
    """98 % of what was held back, or the script ends with an error."""
    pytest.importorskip("sklearn", reason="the digits are scikit-learn's")
    assert "digits held back" in run("digits", tmp_path, "--output", "out")
    assert (tmp_path / "out" / "layers.png").exists()
