"""The concrete ops: each is one record (`Op`) with a named VJP, and the public function that runs it.

In reading order: rules, arithmetic, elementwise, casting, comparison, power, indexing, movement, reduction, affine,
matmul, softmax, normalisation, group_normalisation, losses, random, custom; then functions, activations, division,
integers, gather, sorting, arranging, moments, running, contraction, einsum, attention, creation; of images geometry,
conv, pooling; methods attaches them to Tensor. `__all__` is what `tinyres` exports too.
"""

from tinyres.engine.primitives import add
from tinyres.engine.primitives import sum_to as sum_to
from tinyres.ops.activations import elu, gelu, leaky_relu, silu
from tinyres.ops.arithmetic import div, mul, neg, sub
from tinyres.ops.arranging import expand_dims, ravel, repeat, split, squeeze, tile
from tinyres.ops.attention import dot_product_attention
from tinyres.ops.casting import astype
from tinyres.ops.comparison import (
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    maximum,
    minimum,
    not_equal,
    where,
)
from tinyres.ops.conv import conv2d, conv2d_transpose
from tinyres.ops.creation import arange, eye, full, ones, ones_like, zeros, zeros_like
from tinyres.ops.custom import custom_vjp
from tinyres.ops.division import floor_divide, mod
from tinyres.ops.einsum import einsum
from tinyres.ops.elementwise import (
    abs,
    clip,
    exp,
    log,
    reciprocal,
    relu,
    sigmoid,
    sign,
    softplus,
    sqrt,
    square,
    tanh,
)
from tinyres.ops.functions import ceil, cos, erf, expm1, floor, isfinite, isinf, isnan, log1p, round, sin
from tinyres.ops.gather import take
from tinyres.ops.group_normalisation import group_norm, layer_norm, rms_norm
from tinyres.ops.integers import (
    all,
    any,
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
)
from tinyres.ops.losses import mse as mse
from tinyres.ops.matmul import dense, dot, matmul
from tinyres.ops.methods import attach
from tinyres.ops.moments import norm, std, var
from tinyres.ops.movement import (
    broadcast_to,
    concatenate,
    flatten,
    pad,
    permute,
    reshape,
    stack,
    transpose,
)
from tinyres.ops.noise import rand, randn
from tinyres.ops.normalisation import batchnorm, batchnorm_inference
from tinyres.ops.pooling import average_pool2d, max_pool2d, upsample2d
from tinyres.ops.power import pow
from tinyres.ops.random import Generator, dropout, manual_seed
from tinyres.ops.random import default_generator as default_generator
from tinyres.ops.random import preserving_generator as preserving_generator
from tinyres.ops.reduction import argmax, logsumexp, max, mean, min, sum
from tinyres.ops.running import cumsum, prod
from tinyres.ops.softmax import log_softmax, one_hot, softmax
from tinyres.ops.softmax import softmax_cross_entropy as softmax_cross_entropy
from tinyres.ops.sorting import argmin, argsort, sort

attach()

__all__ = [
    "Generator",
    "abs",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "astype",
    "average_pool2d",
    "batchnorm",
    "batchnorm_inference",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "broadcast_to",
    "ceil",
    "clip",
    "concatenate",
    "conv2d",
    "conv2d_transpose",
    "cos",
    "cumsum",
    "custom_vjp",
    "dense",
    "div",
    "dot",
    "dot_product_attention",
    "dropout",
    "einsum",
    "elu",
    "equal",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "flatten",
    "floor",
    "floor_divide",
    "full",
    "gelu",
    "greater",
    "greater_equal",
    "group_norm",
    "isfinite",
    "isinf",
    "isnan",
    "layer_norm",
    "leaky_relu",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "manual_seed",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mod",
    "mul",
    "neg",
    "norm",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "pad",
    "permute",
    "pow",
    "prod",
    "rand",
    "randn",
    "ravel",
    "reciprocal",
    "relu",
    "repeat",
    "reshape",
    "rms_norm",
    "round",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "softmax",
    "softplus",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "take",
    "tanh",
    "tile",
    "transpose",
    "upsample2d",
    "var",
    "where",
    "zeros",
    "zeros_like",
]
