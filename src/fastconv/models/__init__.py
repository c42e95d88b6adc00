"""Models: layers in a graph, and what is done with them.

model        Model: the graph, forward and back
steps        the calls of a graph, in order
sequential   Sequential: layers one after the other
training     compile, fit, evaluate, predict
feeding      what a caller gives, checked
data         batches of arrays and iterables
compiled     losses and metrics, averaged
summary      the table of layers
saveable     save, load_weights, get_config, pickles: what a model is when it is not in memory
saving       to files and back: their own format
copies       new models of JSON, or of another model
config       models to JSON; config_reading is the way back
tensors      that format's arrays
training_config  what compile was told, to JSON and back
keras_format, keras_legacy, h5  Keras's files
"""

from .copies import clone_model, model_from_json
from .model import Model
from .saving import load_model, save_model
from .sequential import Sequential

__all__ = [
    "Model",
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_json",
    "save_model",
]
