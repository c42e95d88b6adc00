"""Our kernels in Keras 3's NumPy backend.

`enable` puts convolutions and pools of one, two and three dimensions in the place of those of
``KERAS_BACKEND=numpy``, which go through JAX; `disable` puts the latter back. Enabled before the
first ``import keras``, Keras needs no JAX. What runs is Keras's own code, layers and files
included, with our functions for six of its backend: models predict; that backend has no gradients,
so to train use `fastconv.models`, or Keras on another backend.
"""

from .host import RELEASES, disable, enable

__all__ = ["RELEASES", "disable", "enable"]
