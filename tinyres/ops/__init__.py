"""The concrete ops: each is one record (`Op`) with a named VJP, and the public function that runs it.

In reading order: rules, arithmetic, elementwise, casting, comparison, power, indexing, movement, reduction, matmul,
softmax, norm, losses, random, custom; methods attaches them to Tensor.
"""

from tinyres.engine.primitives import add, sum_to
from tinyres.ops.arithmetic import div, mul, neg, sub
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
from tinyres.ops.custom import custom_vjp
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
from tinyres.ops.losses import mse
from tinyres.ops.matmul import dense, matmul
from tinyres.ops.methods import attach
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
from tinyres.ops.norm import batchnorm, batchnorm_inference
from tinyres.ops.power import pow
from tinyres.ops.random import Generator, default_generator, dropout, manual_seed, preserving_generator
from tinyres.ops.reduction import argmax, logsumexp, max, mean, min, sum, var
from tinyres.ops.softmax import log_softmax, one_hot, softmax, softmax_cross_entropy

attach()

__all__ = [
    "Generator",
    "abs",
    "add",
    "argmax",
    "astype",
    "batchnorm",
    "batchnorm_inference",
    "broadcast_to",
    "clip",
    "concatenate",
    "custom_vjp",
    "default_generator",
    "dense",
    "div",
    "dropout",
    "equal",
    "exp",
    "flatten",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "log",
    "log_softmax",
    "logsumexp",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mse",
    "mul",
    "neg",
    "not_equal",
    "one_hot",
    "pad",
    "permute",
    "pow",
    "preserving_generator",
    "reciprocal",
    "relu",
    "reshape",
    "sigmoid",
    "sign",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "sqrt",
    "square",
    "stack",
    "sub",
    "sum",
    "sum_to",
    "tanh",
    "transpose",
    "var",
    "where",
]
