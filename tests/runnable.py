"""The rows of the plan that can run a geometry, whether or not the plan would choose them.

What a row accepts says where it is fast; what its driver is right for is more, and is tested too.
"""

from fastconv import choice, plan, relaid
from fastconv._core import conv, weights


def _few_a_group(g):
    return 1 in (g.channels // g.groups, g.filters // g.groups)


def _winograd(g, gradient):
    parts = -(-g.kernel_h // 3) * -(-g.kernel_w // 3)
    channels, width = (g.filters, g.width) if gradient else (g.channels, g.out_w)
    small = channels // g.groups * parts <= 4096 and width * g.dilation_w <= 1 << 12
    return g.stride_h * g.stride_w == 1 and small


def _planes(g, gradient):
    channels = g.filters if gradient else g.channels
    first = not choice.channels_last(g) and channels == g.groups
    return first and bool(conv.planes_serve(g.numbers, gradient))


def _direct(g, gradient):
    if choice.channels_last(g) and (g.groups > 1 or max(g.stride_h, g.stride_w) > 4):
        return False
    return bool(conv.band_fits(g.numbers, gradient))


def _turned(g, gradient):
    return not choice.channels_last(g) and bool(conv.turned_fits(g.numbers))


# Of grad_w `accepts` says all but for these two.
_FITS = {
    "turned": _turned,
    "strips": lambda g, gradient: bool(conv.strips_fit(g.numbers, gradient)),
    "winograd": _winograd,
    "relaid": lambda g, gradient: relaid.fits(g),
    "planes": _planes,
    "direct": _direct,
    "scatter": lambda g, gradient: not _few_a_group(g) and bool(conv.scatter_fits(g.numbers)),
}
_FITS_GRAD_W = {
    "winograd": lambda g: _winograd(g, False),
    "relaid": relaid.rows_fit,
    "dot": lambda g: not choice.channels_last(g) and bool(weights.band_fits(g.numbers, "dot")),
}


def fits(op, row, geometry):
    """Whether a row is right for a geometry."""
    if row.accepts(geometry):
        return True
    if op == "grad_w":
        return row.name in _FITS_GRAD_W and bool(_FITS_GRAD_W[row.name](geometry))
    return row.name in _FITS and bool(_FITS[row.name](geometry, op == "grad_x"))


def runnable(op, geometry, direct=False, most_taps=16):
    """Return the rows that can run a geometry; with `direct`, those that take any dtype.

    The sum over taps makes a call for each: it is left out for kernels of more than `most_taps`.
    """
    few = geometry.kernel_h * geometry.kernel_w <= most_taps
    rows = [row for row in plan.ROWS[op] if row.direct or not direct]
    return [row for row in rows if (few or row.name != "taps") and fits(op, row, geometry)]
