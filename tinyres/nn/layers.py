"""The public namespace `layers`: Keras' names for what a net is built of."""

from __future__ import annotations

from tinyres.nn import blocks
from tinyres.nn.activation import Activation, ReLU, Softmax
from tinyres.nn.blocks import Scale
from tinyres.nn.dense import Dense
from tinyres.nn.dropout import Dropout
from tinyres.nn.layer import Layer
from tinyres.nn.merge import Add, Concatenate, Multiply
from tinyres.nn.norm import BatchNorm, BatchNormalization
from tinyres.nn.operators import Input, InputLayer
from tinyres.nn.shape import Flatten, Reshape

__all__ = [
    "Activation",
    "Add",
    "BatchNorm",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "Multiply",
    "ReLU",
    "Reshape",
    "Scale",
    "Softmax",
    "blocks",
]
