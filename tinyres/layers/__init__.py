"""The layers by family, under Keras' names: what a net is built of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed
from tinyres.layers import blocks
from tinyres.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from tinyres.layers.attention import MultiHeadAttention
from tinyres.layers.augmentation import RandomCrop, RandomFlip
from tinyres.layers.blocks import Scale
from tinyres.layers.conv import Conv1D, Conv2D, Conv2DTranspose
from tinyres.layers.dense import Dense
from tinyres.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from tinyres.layers.dropout import Dropout
from tinyres.layers.embedding import Embedding, ReversibleEmbedding
from tinyres.layers.function import Lambda
from tinyres.layers.group_norm import GroupNormalization, LayerNormalization, RMSNormalization
from tinyres.layers.merge import (
    Add,
    Average,
    Concatenate,
    ConcatenateZeros,
    Dot,
    Maximum,
    Minimum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    dot,
    maximum,
    minimum,
    multiply,
    subtract,
)
from tinyres.layers.noise import Diffuse, GaussianDropout, GaussianNoise
from tinyres.layers.norm import BatchNorm, BatchNormalization
from tinyres.layers.pooling import (
    AveragePooling2D,
    AvgPool2D,
    Cropping2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    MaxPool2D,
    MaxPooling2D,
    UpSampling2D,
    ZeroPadding2D,
)
from tinyres.layers.positions import PositionEmbedding, RotaryEmbedding, SinePositionEncoding
from tinyres.layers.scaling import Normalization, Rescaling
from tinyres.layers.shape import Flatten, Permute, RepeatVector, Reshape
from tinyres.layers.times import TimeEmbedding
from tinyres.nn.layer import Layer
from tinyres.nn.operators import Input, InputLayer

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "Average",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNorm",
    "BatchNormalization",
    "Concatenate",
    "ConcatenateZeros",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Diffuse",
    "Dot",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePooling1D",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "Input",
    "InputLayer",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "ReLU",
    "PositionEmbedding",
    "RandomCrop",
    "RandomFlip",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "ReversibleEmbedding",
    "RotaryEmbedding",
    "Scale",
    "SeparableConv2D",
    "SinePositionEncoding",
    "Softmax",
    "Subtract",
    "TimeEmbedding",
    "UpSampling2D",
    "ZeroPadding2D",
    "add",
    "average",
    "blocks",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)
