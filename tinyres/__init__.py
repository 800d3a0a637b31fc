"""tinyres: reverse-mode autodiff for small residual nets, in which every gradient can be seen."""

from __future__ import annotations

import warnings as _warnings

from tinyres import errors
from tinyres.backends import native as _native
from tinyres.capture import capture
from tinyres.engine.backward import backward, grad
from tinyres.engine.node import Node
from tinyres.engine.op import OPS, Op
from tinyres.engine.primitives import add
from tinyres.engine.state import current_scope, enable_grad, is_grad_enabled, name_scope, no_grad
from tinyres.engine.tensor import Parameter, Tensor, tensor
from tinyres.launch import backend, set_backend

__version__ = "0.1.0"

if not _native.AVAILABLE:
    _warnings.warn(
        f"[tinyres] the C core is not there ({_native.reason}); NumPy runs all kernels, more slowly; "
        "install with a C compiler to get it",
        RuntimeWarning,
        stacklevel=2,
    )
