"""Models: layers in a graph, and what is done with them.

model        Model: the graph, forward and back
sequential   Sequential: layers one after the other
training     compile, fit, evaluate, predict
feeding      what a caller gives, checked
data         batches of arrays and iterables
compiled     losses and metrics, averaged
summary      the table of layers
"""

from .model import Model
from .sequential import Sequential

__all__ = ["Model", "Sequential"]
