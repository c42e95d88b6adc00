"""A plugin of pytest for Keras's own tests: our kernels first, with or without JAX.

`python -m pytest -p keras_enabled ...` runs in a process of its own, for Keras has one backend in a
process; FASTCONV_HIDE_JAX=1 makes JAX look as if it were not installed.
"""

import os
import sys

import fastconv.backends.keras


class _NoJax:
    """Finds JAX where it is not."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jax", "jaxlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if os.environ.get("FASTCONV_HIDE_JAX"):
    sys.meta_path.insert(0, _NoJax())

fastconv.backends.keras.enable()


def pytest_configure(config):
    config.addinivalue_line("markers", "requires_trainable_backend: Keras's, of tests that train")
