"""The compiled part: drivers in Cython over kernels in C.

libgomp's threads spin for milliseconds after each parallel loop before they sleep. On a machine
with few cores they take those from whoever comes next: BLAS's threads in a dense layer, other
processes. How long they spin libgomp reads when it is loaded, and it is loaded here. Who sets
OMP_WAIT_POLICY or GOMP_SPINCOUNT has the last word, and so has whoever loaded libgomp before.
"""

import os as _os

_SPINS = "1000"  # a tenth of a millisecond

if "OMP_WAIT_POLICY" not in _os.environ and "GOMP_SPINCOUNT" not in _os.environ:
    _os.environ["GOMP_SPINCOUNT"] = _SPINS
    try:
        from . import runtime as _runtime  # noqa: F401
    finally:
        del _os.environ["GOMP_SPINCOUNT"]
