"""Keras with our kernels: its own tests, networks beside Keras on PyTorch, and what is refused.

Keras has one backend in a process, so each test runs a process of its own.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
SPEC = importlib.util.find_spec("keras")
pytestmark = pytest.mark.skipif(SPEC is None, reason="Keras is not installed")
SOURCES = Path(SPEC.origin).parent / "src" if SPEC is not None else Path()
with_or_without_jax = pytest.mark.parametrize("jax", ["jax", "no jax"])
ENABLED = "import keras_enabled, keras; assert keras.config.backend() == 'numpy';"


def python(*arguments, **variables):
    """Run Python, with this folder's plugin to be imported, and return what it printed."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    variables = {"KERAS_BACKEND": "numpy", "PYTHONPATH": path, **variables}
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    process = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**environment, **{name: value for name, value in variables.items() if value}},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.returncode == 0, process.stdout[-5000:]
    return process.stdout


def hidden(jax):
    """Return the variables under which there is JAX, or seems to be none; may skip."""
    if jax == "jax" and importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed")
    return {"FASTCONV_HIDE_JAX": "1" if jax == "no jax" else ""}


@with_or_without_jax
@pytest.mark.parametrize(
    ("folder", "choice"),
    [
        ("layers/convolutional", ["-m", "not requires_trainable_backend"]),
        ("layers/pooling", ["-m", "not requires_trainable_backend"]),
        ("ops/nn_test.py", ["-k", "conv or pool"]),
    ],
)
def test_the_tests_of_keras(folder, choice, jax, tmp_path):
    tests = SOURCES / folder
    if not (tests.is_file() or any(tests.glob("*_test.py"))):
        pytest.skip("this release of Keras comes without its tests")
    plugin = ["-p", "keras_enabled", "-p", "no:cacheprovider", "--rootdir", tmp_path]
    files = [tests] if tests.is_file() else sorted(tests.glob("*_test.py"))
    printed = python("-m", "pytest", "-q", "-W", "ignore", *plugin, *choice, *files, **hidden(jax))
    assert " passed" in printed


PREDICT = """
import sys, numpy as np, keras
name, folder = sys.argv[1:]
keras.utils.set_random_seed(3)
model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10)
if keras.config.backend() == "torch":
    model.save_weights(folder + "/model.weights.h5")
else:
    model.load_weights(folder + "/model.weights.h5")
x = np.random.default_rng(3).standard_normal((2, 64, 64, 3), np.float32)
np.save(f"{folder}/{keras.config.backend()}.npy", model.predict(x, verbose=0))
"""


@pytest.mark.parametrize("network", ["MobileNetV2", "ResNet50"])
def test_a_network_beside_pytorch(network, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("h5py", reason="weights are handed over in a file of h5py's")
    python("-c", PREDICT, network, tmp_path, KERAS_BACKEND="torch")
    python("-c", "import keras_enabled;" + PREDICT, network, tmp_path, FASTCONV_HIDE_JAX="1")
    found, expected = (np.load(tmp_path / f"{name}.npy") for name in ("numpy", "torch"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


STOCK = """
from fastconv.backends import keras as backend
nn = __import__("importlib").import_module("keras.src.backend.numpy.nn")
assert nn.conv.__module__.startswith("fastconv.")
backend.enable()
backend.disable()
assert nn.conv.__module__ == nn.max_pool.__module__ == "keras.src.backend.numpy.nn"
backend.disable()
backend.enable()
assert nn.max_pool.__module__.startswith("fastconv.")
"""


@with_or_without_jax
def test_enable_and_disable(jax):
    python("-c", ENABLED + STOCK, **hidden(jax))


def test_without_jax_a_transform_says_so_and_nobody_else_sees_one():
    code = """
import sys, numpy as np
assert not [name for name in sys.modules if name.split(".")[0] == "jax" or "backend.jax" in name]
try:
    keras.ops.fft((np.ones(4), np.zeros(4)))
except ImportError as error:
    assert "needs JAX" in str(error), error
else:
    raise AssertionError
"""
    python("-c", ENABLED + code, FASTCONV_HIDE_JAX="1")


def test_the_backend_is_chosen_where_nobody_has():
    python("-c", ENABLED, KERAS_BACKEND="")


SHORTHAND = """
import numpy as np
x = np.arange(16.0, dtype="float32").reshape(1, 4, 4, 1)
assert keras.ops.max_pool(x, 2).ravel().tolist() == [5, 7, 13, 15]
assert keras.ops.average_pool(x, 2, padding="same").shape == (1, 2, 2, 1)
assert keras.ops.average_pool(x.astype("float16"), 2).dtype == np.float16
w = np.ones((2, 2, 1, 1), "float32")
assert keras.ops.conv(x, keras.Variable(w)).dtype == np.float32
for bad in (lambda: keras.ops.conv(x, np.ones((2, 2, 3, 1), "float32")),
            lambda: keras.ops.conv(x, np.ones((5, 5, 1, 1), "float32")),
            lambda: keras.ops.max_pool(x, 2, padding="full"),
            lambda: keras.ops.max_pool(x[0, 0], 2)):
    try:
        bad()
    except ValueError as error:
        print(error)
    else:
        raise AssertionError
"""


def test_what_keras_itself_does_not_test():
    python("-c", ENABLED + SHORTHAND, FASTCONV_HIDE_JAX="1")


REFUSED = """
import importlib
from fastconv.backends import keras as backend
backend.disable()
nn = importlib.import_module("keras.src.backend.numpy.nn")
{change}
try:
    backend.enable()
except RuntimeError as error:
    assert {text!r} in str(error), error
else:
    raise AssertionError
"""


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("keras.__version__ = '3.99.0'", "got 3.99.0"),
        ("keras.config.backend = lambda: 'tensorflow'", "got tensorflow"),
        ("nn.conv = lambda inputs, filters: 0", "conv must take inputs, kernel, strides"),
    ],
)
def test_what_is_not_known_is_refused(change, text):
    python("-c", ENABLED + REFUSED.format(change=change, text=text), FASTCONV_HIDE_JAX="1")
