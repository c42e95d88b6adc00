"""What a convolution computes, and what it saves: the arithmetic of small examples.

    python examples/conv_arithmetic.py

It needs NumPy and fastconv alone, and ends with an error if a number is not as it should be.
"""

import numpy as np

import fastconv as fc


def show(title: str, result: np.ndarray, expected: list[list[int]]) -> None:
    """Print a result plane by plane after comparing it with what is expected."""
    np.testing.assert_array_equal(result.reshape(-1, result.shape[-1]), expected)
    print(f"{title}: {' x '.join(map(str, result.shape))}")
    for row in result.reshape(-1, result.shape[-1]):
        print("   ", " ".join(f"{value:3}" for value in row))


def impulse() -> None:
    """The kernel is flipped, so the response to an impulse is the kernel itself."""
    x = np.zeros((1, 1, 5, 7), int)
    x[0, 0, 2, 3] = 1
    w = np.arange(1, 7).reshape(1, 1, 2, 3)
    expected = np.zeros((4, 5), int)
    expected[1:3, 1:4] = w[0, 0]
    show("the response to an impulse, valid", fc.conv4d(x, w, "valid"), expected.tolist())


def crossed_diagonals() -> None:
    """How many of the five places of an X are set, around each pixel."""
    image = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    kernel = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    result = fc.conv4d(np.array([[image]]), np.array([[kernel]]), "valid")
    show("an X over a binary image, valid", result, [[4, 3, 4], [2, 4, 3], [2, 3, 4]])


def shapes_of_a_network() -> None:
    """The sizes and the number of weights of four layers in a row, pools between them."""
    layers = [(45, 3, 32, 6), (20, 32, 64, 5), (8, 64, 128, 3), (6, 128, 128, 3)]
    total = 0
    for size, channels, filters, kernel in layers:
        x = np.zeros((1, channels, size, size), np.float32)
        w = np.zeros((filters, channels, kernel, kernel), np.float32)
        out = fc.conv4d(x, w, "valid")
        assert out.shape == (1, filters, size - kernel + 1, size - kernel + 1)
        total += w.size
        print(f"  {x.shape[1:]} -> {out.shape[1:]}: {w.size} weights")
    assert total == 275_840
    print(f"  together {total} weights")


def dense_or_convolution() -> None:
    """Joining every pixel of a 100x100 image to every output of a 3x3 convolution, or sharing."""
    out = fc.conv4d(np.zeros((1, 1, 100, 100)), np.zeros((1, 1, 3, 3)), "valid")
    dense, shared = 100 * 100 * out.size, 3 * 3
    assert (dense, shared) == (96_040_000, 9)
    print(f"  dense layer: {dense:,} weights; convolution: {shared}; factor {dense / shared:,.0f}")


if __name__ == "__main__":
    impulse()
    crossed_diagonals()
    print("four layers:")
    shapes_of_a_network()
    print("a 100x100 image to the 98x98 outputs of a 3x3 kernel:")
    dense_or_convolution()
