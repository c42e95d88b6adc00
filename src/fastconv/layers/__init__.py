"""Layers in Keras's words: thin, for the mathematics is in the operations.

base             what a layer is; variables
graph            symbolic tensors, and the order of a graph
naming           conv2d, conv2d_1, ...
images           sizes and layouts of images
convolution      Conv2D, and what all convolutions share
depthwise        DepthwiseConv2D, SeparableConv2D
transposed       Conv2DTranspose
pooling          MaxPooling2D, AveragePooling2D, and of whole images
core             Input, Dense, Activation, ReLU, Softmax
reshaping        Flatten, Reshape, ZeroPadding2D, UpSampling2D
regularization   Dropout, BatchNormalization
merging          Add, Concatenate
"""

from .base import Layer, Training, Variable
from .convolution import Conv2D
from .core import Activation, Dense, Input, InputLayer, ReLU, Softmax
from .depthwise import DepthwiseConv2D, SeparableConv2D
from .graph import Tensor
from .merging import Add, Concatenate
from .pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from .regularization import BatchNormalization, Dropout
from .reshaping import Flatten, Reshape, UpSampling2D, ZeroPadding2D
from .transposed import Conv2DTranspose

MaxPool2D, AvgPool2D = MaxPooling2D, AveragePooling2D
GlobalMaxPool2D, GlobalAvgPool2D = GlobalMaxPooling2D, GlobalAveragePooling2D
Convolution2D = Conv2D

__all__ = [
    "Activation",
    "Add",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Convolution2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "Input",
    "InputLayer",
    "Layer",
    "MaxPool2D",
    "MaxPooling2D",
    "ReLU",
    "Reshape",
    "SeparableConv2D",
    "Softmax",
    "Tensor",
    "Training",
    "UpSampling2D",
    "Variable",
    "ZeroPadding2D",
]
