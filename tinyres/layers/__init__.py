"""The layers by family, under Keras' names: what a net is built of."""

from __future__ import annotations

from tinyres.layers import blocks
from tinyres.layers.activation import Activation, ReLU, Softmax
from tinyres.layers.blocks import Scale
from tinyres.layers.dense import Dense
from tinyres.layers.dropout import Dropout
from tinyres.layers.merge import Add, Concatenate, Multiply
from tinyres.layers.norm import BatchNorm, BatchNormalization
from tinyres.layers.shape import Flatten, Reshape
from tinyres.nn.layer import Layer
from tinyres.nn.operators import Input, InputLayer

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
