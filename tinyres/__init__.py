"""tinyres: reverse-mode autodiff for small residual nets, in which every gradient can be seen."""

from __future__ import annotations

import warnings as _warnings

from tinyres import data, errors, keras, optim
from tinyres import view as _view  # noqa: F401  teaches traces how to show themselves
from tinyres.backends import native as _native
from tinyres.backends.native import set_threads
from tinyres.capture import capture
from tinyres.engine.backward import backward, grad
from tinyres.engine.gradcheck import gradcheck
from tinyres.engine.op import Op
from tinyres.engine.state import current_scope, enable_grad, is_grad_enabled, name_scope, no_grad
from tinyres.engine.tensor import Parameter, Tensor, tensor
from tinyres.graph import Graph, Trace, compare
from tinyres.launch import backend, info, set_backend
from tinyres.model import History, Model, Sequential, callbacks, load, metrics
from tinyres.nn import initializers, layers, losses
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
from tinyres.study.lesion import lesion
from tinyres.study.shattering import gradient_agreement, shattering

__version__ = "0.1.0"

if not _native.AVAILABLE:
    _warnings.warn(
        f"[tinyres] the C core is not there ({_native.reason}); NumPy runs all kernels, more slowly; "
        "install with a C compiler to get it",
        RuntimeWarning,
        stacklevel=2,
    )
