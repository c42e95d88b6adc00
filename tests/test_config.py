"""The configuration: what layers take where they are not told otherwise."""

import numpy as np
import pytest

from fastconv import config, layers


@pytest.fixture(autouse=True)
def restored():
    before = config.floatx(), config.image_data_format()
    yield
    config.set_floatx(before[0])
    config.set_image_data_format(before[1])


def test_the_defaults_are_keras_s():
    assert config.floatx() == "float32"
    assert config.image_data_format() == "channels_last"


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_floatx_holds_for_layers_made_from_now_on(name):
    before = layers.Dense(1)
    config.set_floatx(name)
    assert config.floatx() == name
    assert config.checked_dtype("f", None) == name
    assert layers.Dense(1)(np.ones((2, 3))).dtype == name
    assert layers.Input((3,)).dtype == name
    assert before(np.ones((2, 3))).dtype == "float32"


@pytest.mark.parametrize("name", ["channels_last", "channels_first"])
def test_the_layout_holds_for_layers_made_from_now_on(name):
    before = layers.MaxPooling2D()
    config.set_image_data_format(name)
    assert config.image_data_format() == name
    assert config.checked_data_format("f", None) == name
    assert layers.MaxPooling2D().data_format == name
    assert before.data_format == "channels_last"
    assert layers.MaxPooling2D(data_format="channels_last").data_format == "channels_last"


@pytest.mark.parametrize(
    ("function", "value", "error"),
    [
        ("set_floatx", "int32", ValueError),
        ("set_floatx", "Float32", ValueError),
        ("set_floatx", None, TypeError),
        ("set_floatx", 32, TypeError),
        ("set_image_data_format", "NCHW", ValueError),
        ("set_image_data_format", None, TypeError),
    ],
)
def test_bad_values_change_nothing(function, value, error):
    with pytest.raises(error, match=f"{function}: "):
        getattr(config, function)(value)
    assert config.floatx() == "float32"
    assert config.image_data_format() == "channels_last"


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64")])
def test_dtypes_of_numpy_are_taken(dtype):
    assert config.checked_dtype("f", dtype) == "float64"


@pytest.mark.parametrize("dtype", ["int32", np.int32, np.dtype("complex128"), 3, object()])
def test_other_dtypes_are_not(dtype):
    with pytest.raises((ValueError, TypeError), match="f: dtype must be"):
        config.checked_dtype("f", dtype)
