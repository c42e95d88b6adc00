"""The list of layers that everything about layers is tested on."""

from dataclasses import dataclass

import numpy as np
from arrays import generator

from fastconv import layers

FORMATS = ("channels_last", "channels_first")


@dataclass(frozen=True)
class LayerCase:
    """A class, its arguments, and the shape of one sample (a list: of several inputs).

    The shape of images is channels last, whatever the data_format; it is None for layers that
    have no such argument.
    """

    kind: str
    arguments: dict
    shape: tuple | list
    data_format: str | None

    def __str__(self):
        words = [f"{key}={value}".replace(" ", "") for key, value in self.arguments.items()]
        return "-".join([self.kind, *words, self.data_format or "any"])

    @property
    def several(self):
        """Whether the layer takes a list."""
        return isinstance(self.shape, list)

    @property
    def sample_shape(self):
        """The shape of one sample in the data_format; or a list."""
        return (
            [self._turned(one) for one in self.shape] if self.several else self._turned(self.shape)
        )

    def _turned(self, shape):
        return (shape[-1], *shape[:-1]) if self.data_format == "channels_first" else shape

    @property
    def keywords(self):
        """The arguments of the constructor."""
        return self.arguments | ({"data_format": self.data_format} if self.data_format else {})

    def layer(self, dtype="float64", built=True):
        """Make the layer, with random weights."""
        layer = getattr(layers, self.kind)(**self.keywords, dtype=dtype)
        if built:
            layer(self.zeros(0, dtype))
            rng = generator(f"weights of {self}")
            # variances, which are all above 0
            layer.set_weights(
                [
                    rng.uniform(0.5, 2, v.shape)
                    if "variance" in v.name
                    else rng.standard_normal(v.shape)
                    for v in layer.weights
                ]
            )
        return layer

    def _each(self, make, samples):
        shape = self.sample_shape
        if self.several:
            return [make((samples, *one)) for one in shape]
        return make((samples, *shape))

    def zeros(self, samples, dtype="float64"):
        """Return an input of zeros."""
        return self._each(lambda shape: np.zeros(shape, dtype), samples)

    def x(self, samples=3, dtype="float64", name="x"):
        """Return a random input."""
        rng = generator(f"{name} of {self}")
        return self._each(lambda shape: rng.standard_normal(shape).astype(dtype), samples)

    def symbolic_shape(self):
        """Return the input's shape with None for the samples."""
        return self._each(lambda shape: (None, *shape[1:]), 0)


IMAGE = (7, 6, 4)
SMALL = (5, 5, 2)
ACTIVATIONS = (
    *("linear", "relu", "relu6", "leaky_relu", "elu"),
    *("softplus", "sigmoid", "tanh", "softmax"),
)

# With a data_format, and tested in both.
_OF_IMAGES = [
    ("Conv2D", {"filters": 3, "kernel_size": 2}, IMAGE),
    ("Conv2D", {"filters": 3, "kernel_size": (3, 2), "strides": 2}, IMAGE),
    ("Conv2D", {"filters": 3, "kernel_size": (2, 4), "padding": "same"}, IMAGE),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "strides": (2, 3), "padding": "same"}, IMAGE),
    ("Conv2D", {"filters": 3, "kernel_size": 2, "strides": 3, "padding": "same"}, IMAGE),
    ("Conv2D", {"filters": 3, "kernel_size": 2, "dilation_rate": (2, 3)}, IMAGE),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "dilation_rate": 2, "padding": "same"}, IMAGE),
    ("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 2, "use_bias": False}, IMAGE),
    ("Conv2D", {"filters": 4, "kernel_size": 1, "groups": 4, "strides": 2}, IMAGE),
    *(
        ("Conv2D", {"filters": 3, "kernel_size": 2, "activation": activation}, SMALL)
        for activation in ACTIVATIONS[1:-1]
    ),
    ("DepthwiseConv2D", {"kernel_size": 3}, IMAGE),
    ("DepthwiseConv2D", {"kernel_size": (2, 3), "depth_multiplier": 3, "padding": "same"}, IMAGE),
    ("DepthwiseConv2D", {"kernel_size": 3, "strides": 2, "activation": "relu"}, IMAGE),
    ("DepthwiseConv2D", {"kernel_size": 2, "dilation_rate": 2, "use_bias": False}, IMAGE),
    ("SeparableConv2D", {"filters": 5, "kernel_size": 3}, IMAGE),
    (
        "SeparableConv2D",
        {"filters": 5, "kernel_size": (2, 3), "depth_multiplier": 2, "padding": "same"}
        | {"strides": 2, "activation": "tanh"},
        IMAGE,
    ),
    (
        "SeparableConv2D",
        {"filters": 2, "kernel_size": 2, "dilation_rate": 2, "use_bias": False},
        IMAGE,
    ),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3}, SMALL),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "padding": "same"}, SMALL),
    (
        "Conv2DTranspose",
        {"filters": 3, "kernel_size": (2, 4), "strides": 2, "padding": "same"},
        SMALL,
    ),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}, SMALL),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 3, "strides": (2, 3)}, SMALL),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 2, "strides": 3, "activation": "elu"}, SMALL),
    (
        "Conv2DTranspose",
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 1},
        SMALL,
    ),
    (
        "Conv2DTranspose",
        {"filters": 3, "kernel_size": 4, "strides": 3, "output_padding": (1, 2), "use_bias": False},
        SMALL,
    ),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 2, "dilation_rate": 2}, SMALL),
    ("MaxPooling2D", {}, IMAGE),
    ("MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    ("MaxPooling2D", {"pool_size": (2, 3), "strides": 1}, IMAGE),
    ("AveragePooling2D", {"pool_size": 2}, IMAGE),
    ("AveragePooling2D", {"pool_size": 3, "strides": 2, "padding": "same"}, IMAGE),
    ("AveragePooling2D", {"pool_size": (3, 2), "strides": (1, 2)}, IMAGE),
    ("GlobalMaxPooling2D", {}, IMAGE),
    ("GlobalMaxPooling2D", {"keepdims": True}, IMAGE),
    ("GlobalAveragePooling2D", {}, IMAGE),
    ("GlobalAveragePooling2D", {"keepdims": True}, IMAGE),
    ("Flatten", {}, IMAGE),
    ("ZeroPadding2D", {}, SMALL),
    ("ZeroPadding2D", {"padding": (2, 0)}, SMALL),
    ("ZeroPadding2D", {"padding": ((1, 2), (0, 3))}, SMALL),
    ("UpSampling2D", {}, SMALL),
    ("UpSampling2D", {"size": (3, 1)}, SMALL),
]

_OF_ANYTHING = [
    ("Conv2D", {"filters": 3, "kernel_size": 2, "activation": "softmax"}, SMALL),
    ("Dense", {"units": 4}, (5,)),
    ("Dense", {"units": 4, "use_bias": False}, (3, 5)),
    ("Dense", {"units": 1, "activation": "sigmoid"}, SMALL),
    *(("Dense", {"units": 4, "activation": name}, (5,)) for name in ACTIVATIONS[1:]),
    *(("Activation", {"activation": name}, (3, 5)) for name in ACTIVATIONS),
    ("ReLU", {}, (3, 5)),
    ("ReLU", {"max_value": 0.5, "negative_slope": 0.1}, (3, 5)),
    ("ReLU", {"max_value": 1.5, "negative_slope": 0.25, "threshold": 0.5}, (3, 5)),
    ("ReLU", {"threshold": 0.25}, (3, 5)),
    ("Softmax", {}, (3, 5)),
    ("Softmax", {"axis": 1}, SMALL),
    ("Flatten", {}, ()),
    ("Flatten", {}, (5,)),
    ("Reshape", {"target_shape": (6, 5)}, (5, 3, 2)),
    ("Reshape", {"target_shape": (2, -1)}, (5, 4)),
    ("Dropout", {"rate": 0}, (3, 5)),
    ("Dropout", {"rate": 0.4}, (3, 5)),
    ("Dropout", {"rate": 0.4, "noise_shape": (None, 1, 5)}, (3, 5)),
    ("Dropout", {"rate": 1}, (3, 5)),
    ("BatchNormalization", {}, (5,)),
    ("BatchNormalization", {"momentum": 0.7, "epsilon": 0.01}, SMALL),
    ("BatchNormalization", {"axis": 1}, SMALL),
    ("BatchNormalization", {"center": False}, SMALL),
    ("BatchNormalization", {"scale": False}, SMALL),
    ("BatchNormalization", {"scale": False, "center": False, "momentum": 0}, SMALL),
    ("BatchNormalization", {"trainable": False}, SMALL),
    ("Add", {}, [(3, 5), (3, 5)]),
    ("Add", {}, [SMALL, SMALL, SMALL]),
    ("Add", {}, [(3, 5)]),
    ("Add", {}, [(5,), (3, 5)]),
    ("Add", {}, [(3, 1), (1, 5), (3, 5), (3, 5)]),
    ("Add", {}, [(2,), SMALL, (1, 5, 1), (5, 1), ()]),
    ("Concatenate", {}, [(3, 5), (3, 2)]),
    ("Concatenate", {}, [(3, 5)]),
    ("Concatenate", {"axis": 0}, [(3, 5), (3, 5)]),
    ("Concatenate", {"axis": 1}, [SMALL, (1, 5, 2), SMALL]),
    ("Concatenate", {"axis": -2}, [SMALL, (5, 1, 2)]),
]

CASES = [
    *(LayerCase(*case, data_format) for case in _OF_IMAGES for data_format in FORMATS),
    *(LayerCase(*case, None) for case in _OF_ANYTHING),
]
# Those whose output has a fixed size; `Input` only stands for others.
KINDS = sorted({case.kind for case in CASES})
