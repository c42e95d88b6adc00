"""Messages: how they are built, and how they stay one short line."""

import math

import numpy as np
import pytest

from fastconv.errors import LONGEST_MESSAGE, describe, type_error, value_error


def test_message():
    assert str(value_error("f", "a", "an int", 1.5)) == "f: a must be an int, got 1.5"
    assert (
        str(type_error("f", "a", "an int", "shape (1,)")) == "f: a must be an int, got shape (1,)"
    )
    assert type(value_error("f", "a", "b", 0)) is ValueError
    assert type(type_error("f", "a", "b", 0)) is TypeError


def test_message_is_one_line_and_short():
    message = str(value_error("f", "a", "r", "x\n\t" * 500))
    assert len(message) == LONGEST_MESSAGE
    assert message.isprintable()
    assert message.endswith("...")


class Rude:
    def __repr__(self):
        raise RuntimeError("no")


NESTED = []
NESTED.append((NESTED,))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (True, "True"),
        (-3, "-3"),
        (math.nan, "nan"),
        (10**5000, "an int of 16610 bits"),
        ("a'b\n", '"a\'b\\n"'),
        ((1, (2, 3)), "(1, (2, 3))"),
        ((1,), "(1,)"),
        ([1, "a"], "[1, 'a']"),
        (list(range(100)), "a list of length 100"),
        (np.ones((2, 3), np.int8), "an array of shape (2, 3) and dtype int8"),
        (np.float32(1.5), "float32 1.5"),
        (np.bool_(True), "bool True"),
        (Rude(), "an object of type Rude"),
        ((Rude(), 1), "(an object of type Rude, 1)"),
        (b"abc", "an object of type bytes"),
    ],
    ids=lambda value: type(value).__name__,  # pytest would print them
)
def test_values_are_described(value, text):
    if isinstance(value, np.bool_):
        text = f"{type(value).__name__} True"  # bool_ before NumPy 2
    assert describe(value) == text


def test_long_texts_and_deep_lists_are_cut():
    assert len(describe("x" * 10_000)) <= 60
    assert len(describe(NESTED)) <= 100
