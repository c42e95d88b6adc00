"""Keras as the measure of layers and models, in the floats that are asked for."""

import contextlib
import os

import numpy as np
import pytest

from fastconv import config


@contextlib.contextmanager
def keras_in(floatx):
    """Give Keras on PyTorch, with both libraries' floats set; skip the test without it."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="the comparison is with Keras")
    if keras.backend.backend() != "torch":
        pytest.skip("the comparison needs Keras on PyTorch")
    types = keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE
    before = keras.config.floatx(), config.floatx(), types["float64"]
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(floatx)  # of layers; it would stay what it was at the first one
    config.set_floatx(floatx)
    # But for TensorFlow, Keras takes products and means in float32, whatever it is given.
    types["float64"] = "float64"
    _forget_types(keras)
    try:
        yield keras
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[0])
        config.set_floatx(before[1])
        types["float64"] = before[2]
        _forget_types(keras)


def _forget_types(keras):
    """Let Keras find result types anew: it remembers those of other settings."""
    for function in vars(keras.src.backend.common.dtypes).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def as_numpy(value):
    """Return arrays of tensors, or a list of them."""
    if isinstance(value, (list, tuple)):
        return [as_numpy(one) for one in value]
    return value.detach().cpu().numpy()


def plain(value):
    """Return a configuration as JSON would have it: tuples are lists."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def largest_difference(ours, theirs):
    """Return the largest difference between two lists of arrays of equal shapes."""
    assert [np.shape(a) for a in ours] == [np.shape(b) for b in theirs]
    return max(float(np.abs(a - b).max(initial=0)) for a, b in zip(ours, theirs, strict=True))
