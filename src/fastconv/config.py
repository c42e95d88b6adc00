"""The dtype and the layout that layers take where they are not told otherwise."""

from __future__ import annotations

from .geometry import plain_word

_FLOATX = ("float32", "float64", "float16")
_DATA_FORMATS = ("channels_last", "channels_first")
_config = {"floatx": "float32", "image_data_format": "channels_last"}


def floatx() -> str:
    """Return the dtype of layers: "float32" unless `set_floatx` said otherwise.

    Examples
    --------
    >>> floatx()
    'float32'
    """
    return _config["floatx"]


def set_floatx(value: str) -> None:
    """Set the dtype of the layers made from now on.

    Parameters
    ----------
    value : {"float32", "float64", "float16"}
        float16 is computed in float32 within a convolution and rounded after it.

    Raises
    ------
    ValueError, TypeError
        If it is none of these.
    """
    _config["floatx"] = plain_word("set_floatx", "value", value, _FLOATX)


def image_data_format() -> str:
    """Return the layout of layers: "channels_last" unless `set_image_data_format` changed it.

    Examples
    --------
    >>> image_data_format()
    'channels_last'
    """
    return _config["image_data_format"]


def set_image_data_format(data_format: str) -> None:
    """Set the layout of the layers made from now on.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}
        Where images have their channels.

    Raises
    ------
    ValueError, TypeError
        If it is none of these.
    """
    name = "set_image_data_format"
    _config["image_data_format"] = plain_word(name, "data_format", data_format, _DATA_FORMATS)


def checked_data_format(function: str, data_format: object) -> str:
    """Return a layer's data_format, the default for None."""
    if data_format is None:
        return image_data_format()
    return plain_word(function, "data_format", data_format, _DATA_FORMATS)


def checked_dtype(function: str, dtype: object) -> str:
    """Return a layer's dtype, the default for None; dtype objects of NumPy are taken too."""
    if dtype is None:
        return floatx()
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", None)
    if name is None:
        name = getattr(dtype, "__name__", dtype)  # np.float32 is a class
    return plain_word(function, "dtype", name, _FLOATX)
