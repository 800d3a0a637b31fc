"""tinyres: reverse-mode autodiff for small residual nets, in which every gradient can be seen."""

from __future__ import annotations

import importlib as _importlib
import warnings as _warnings
from typing import TYPE_CHECKING
from typing import Any as _Any

from tinyres import errors, keras, layers, optim
from tinyres import view as _view  # noqa: F401  teaches traces how to show themselves
from tinyres.backends import native as _native
from tinyres.backends.native import set_threads
from tinyres.capture import capture
from tinyres.engine.backward import backward, grad
from tinyres.engine.gradcheck import gradcheck
from tinyres.engine.op import Op
from tinyres.engine.state import current_scope, enable_grad, is_grad_enabled, name_scope, no_grad
from tinyres.engine.tensor import Parameter, Tensor, tensor
from tinyres.launch import backend, info, set_backend
from tinyres.layers import losses
from tinyres.measure.graph import Graph
from tinyres.model import Model, Sequential, load
from tinyres.nn import initializers
from tinyres.nn.operators import Input
from tinyres.ops import (
    Generator,
    abs,
    add,
    argmax,
    astype,
    batchnorm,
    batchnorm_inference,
    broadcast_to,
    clip,
    concatenate,
    custom_vjp,
    dense,
    div,
    dropout,
    equal,
    exp,
    flatten,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    log_softmax,
    logsumexp,
    manual_seed,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    mul,
    neg,
    not_equal,
    one_hot,
    pad,
    permute,
    pow,
    reciprocal,
    relu,
    reshape,
    sigmoid,
    sign,
    softmax,
    softplus,
    sqrt,
    square,
    stack,
    sub,
    sum,
    tanh,
    transpose,
    var,
    where,
)
from tinyres.trace import Trace, compare
from tinyres.training import callbacks, metrics
from tinyres.training.gradients import GradientNorms
from tinyres.training.history import History

if TYPE_CHECKING:
    from tinyres import data
    from tinyres.study.lesion import lesion
    from tinyres.study.shattering import gradient_agreement, shattering

__version__ = "0.1.0"

# What an import of tinyres does not need loads when it is first asked for.
_LAZY = {
    "data": "tinyres.data",
    "gradient_agreement": "tinyres.study.shattering",
    "lesion": "tinyres.study.lesion",
    "shattering": "tinyres.study.shattering",
}


def __getattr__(name: str) -> _Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tinyres' has no attribute {name!r}")
    module = _importlib.import_module(_LAZY[name])
    return module if _LAZY[name] == f"tinyres.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "Generator",
    "GradientNorms",
    "Graph",
    "History",
    "Input",
    "Model",
    "Op",
    "Parameter",
    "Sequential",
    "Tensor",
    "Trace",
    "abs",
    "add",
    "argmax",
    "astype",
    "backend",
    "backward",
    "batchnorm",
    "batchnorm_inference",
    "broadcast_to",
    "callbacks",
    "capture",
    "clip",
    "compare",
    "concatenate",
    "current_scope",
    "custom_vjp",
    "data",
    "dense",
    "div",
    "dropout",
    "enable_grad",
    "equal",
    "errors",
    "exp",
    "flatten",
    "grad",
    "gradcheck",
    "gradient_agreement",
    "greater",
    "greater_equal",
    "info",
    "initializers",
    "is_grad_enabled",
    "keras",
    "layers",
    "lesion",
    "less",
    "less_equal",
    "load",
    "log",
    "log_softmax",
    "logsumexp",
    "losses",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "metrics",
    "min",
    "minimum",
    "mul",
    "name_scope",
    "neg",
    "no_grad",
    "not_equal",
    "one_hot",
    "optim",
    "pad",
    "permute",
    "pow",
    "reciprocal",
    "relu",
    "reshape",
    "set_backend",
    "set_threads",
    "shattering",
    "sigmoid",
    "sign",
    "softmax",
    "softplus",
    "sqrt",
    "square",
    "stack",
    "sub",
    "sum",
    "tanh",
    "tensor",
    "transpose",
    "var",
    "where",
]

if not _native.AVAILABLE:
    _warnings.warn(
        f"[tinyres] the C core is not there ({_native.reason}); NumPy runs all kernels, more slowly; "
        "install with a C compiler to get it",
        RuntimeWarning,
        stacklevel=2,
    )
