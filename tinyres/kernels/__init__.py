"""The reference backend: every kernel in NumPy, in float32 and float64.

It is the oracle that the native core is tested against, the backend of every float64 call, and the fallback
where no compiler was there at install time. So each kernel is written to be obviously right, not fast. The
modules bear the names of the C files that hold the same kernels.

Run it under `numpy.errstate(all="ignore")`: kernels give the values of IEEE 754 and never warn.
"""

from tinyres.kernels.elementwise import (
    abs,
    add,
    clip,
    clip_grad,
    compare,
    div,
    exp,
    log,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    reciprocal,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    sign,
    softplus,
    sqrt,
    square,
    sub,
    tanh,
    tanh_grad,
    where,
)
from tinyres.kernels.gemm import join_halves, matmul
from tinyres.kernels.inspect import check_finite, check_labels, dot, stats
from tinyres.kernels.movement import cast, copy, fill, one_hot
from tinyres.kernels.norm import batchnorm, batchnorm_grad, batchnorm_inference, moving_statistics
from tinyres.kernels.optim import adam, clip_scale, optimizer_tick, sgd
from tinyres.kernels.random import dropout, random_key
from tinyres.kernels.reduce import accuracy, argmax, max, min, sum, sum_squares
from tinyres.kernels.softmax import (
    log_softmax,
    softmax,
    softmax_cross_entropy,
    softmax_cross_entropy_grad,
)

__all__ = [
    "abs",
    "accuracy",
    "adam",
    "add",
    "argmax",
    "batchnorm",
    "batchnorm_grad",
    "batchnorm_inference",
    "cast",
    "check_finite",
    "check_labels",
    "clip",
    "clip_grad",
    "clip_scale",
    "compare",
    "copy",
    "div",
    "dot",
    "dropout",
    "exp",
    "fill",
    "join_halves",
    "log",
    "log_softmax",
    "matmul",
    "max",
    "maximum",
    "min",
    "minimum",
    "moving_statistics",
    "mul",
    "neg",
    "one_hot",
    "optimizer_tick",
    "pow",
    "random_key",
    "reciprocal",
    "relu",
    "relu_grad",
    "sgd",
    "sigmoid",
    "sigmoid_grad",
    "sign",
    "softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_grad",
    "softplus",
    "sqrt",
    "square",
    "stats",
    "sub",
    "sum",
    "sum_squares",
    "tanh",
    "tanh_grad",
    "where",
]
