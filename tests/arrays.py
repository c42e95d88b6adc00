"""Arrays to test with, in every layout, and how results are judged."""

import zlib

import numpy as np

# The largest error, as a share of the largest result. The small types are rounded once, at the end.
TOLERANCES = {"float16": 6e-4, "bfloat16": 5e-3, "float32": 4e-6, "float64": 1e-14}


def generator(name):
    """Return a random generator seeded with a name."""
    return np.random.default_rng(zlib.crc32(str(name).encode()))


def make_array(rng, shape, dtype="float32", layout="C"):
    """Return normal floats, or integers from -100 (or 0) to 100."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        low = max(np.iinfo(dtype).min, -100)
        array = rng.integers(low, 100, shape, endpoint=True).astype(dtype)
    else:
        array = rng.standard_normal(shape).astype(dtype)
    return LAYOUTS[layout](array)


def ramp(*shape, dtype="float64"):
    """Return small whole numbers: products and sums of them are exact in every dtype."""
    return (np.arange(np.prod(shape)) % 5).reshape(shape).astype(dtype)


def reversed_everywhere(array):
    return array[tuple(slice(None, None, -1) for _ in array.shape)]


def every_second(array, fill=0):
    """Return a view of every second element of a larger array of fill."""
    larger = np.full([2 * size + 1 for size in array.shape], fill, array.dtype)
    view = larger[tuple(slice(1, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def _axes_reversed(array):
    return np.ascontiguousarray(array.T).T


def _negative_strides(array):
    return reversed_everywhere(np.ascontiguousarray(reversed_everywhere(array)))


def _byte_swapped(array):
    return array.astype(array.dtype.newbyteorder("S"))


def _unaligned(array):
    buffer = np.empty(array.nbytes + 1, np.uint8)
    view = buffer[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": _axes_reversed,
    "negative_strides": _negative_strides,
    "every_second": every_second,
    "byte_swapped": _byte_swapped,
    "unaligned": _unaligned,
    "read_only": _read_only,
}


def images_in(data_format, images):
    """Turn (samples, channels, height, width) images to the layout of data_format."""
    if data_format == "NCHW" or images is None:
        return images
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def kernels_in(data_format, kernels):
    """Turn (filters, channels, rows, columns) kernels to the layout of data_format."""
    if data_format == "NCHW":
        return kernels
    return np.ascontiguousarray(kernels.transpose(2, 3, 1, 0))


def assert_same(got, want):
    """Check that two arrays are the same bit by bit, but for the payload of NaN."""
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got) & (got == 0), np.signbit(want) & (want == 0))


def assert_close(got, want, dtype=None, scale=None):
    """Check `got` against `want`, computed in float64 (or in int64, then they must be equal).

    The error is measured as a share of `scale`, by default the largest finite |want|. The
    elements that are not finite must be the same ones.
    """
    dtype = np.dtype(got.dtype if dtype is None else dtype)
    assert got.dtype == dtype
    assert got.shape == want.shape
    if dtype.kind in "iu":
        np.testing.assert_array_equal(got, want)
        return
    got, want = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(want)
    if not finite.all():
        np.testing.assert_array_equal(got[~finite], want[~finite])
    if not finite.any():
        return
    if scale is None:
        scale = np.abs(want[finite]).max()
    error = np.abs(got[finite] - want[finite]).max()
    limit = TOLERANCES[dtype.name]
    assert error <= limit * scale, f"error {error / scale:.1e} of the largest, limit {limit}"
