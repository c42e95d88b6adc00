"""Pictures: curves of training, samples with their labels, and what every layer makes of one.

history       plot_history: losses and metrics, epoch by epoch
samples       plot_samples: images in a grid
feature_maps  feature_maps, show_deep_net: the outputs of all layers for one input
outputs       those outputs, in one pass, and where their channels are
cells         a map as an image, with its numbers written in
sheet         rows of such images with captions, as HTML and as one image
figures       Matplotlib without pyplot: nothing of the user's is changed
"""

from .feature_maps import FeatureMaps, LayerMaps, feature_maps, show_deep_net
from .history import plot_history
from .samples import plot_samples

__all__ = [
    "FeatureMaps",
    "LayerMaps",
    "feature_maps",
    "plot_history",
    "plot_samples",
    "show_deep_net",
]
