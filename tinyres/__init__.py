"""tinyres: reverse-mode autodiff for small residual nets, in which every gradient can be seen."""

from __future__ import annotations

import importlib as _importlib
import sys as _sys
import types as _types
import warnings as _warnings
from typing import TYPE_CHECKING
from typing import Any as _Any

from tinyres import errors, layers, optim
from tinyres import ops as _ops
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
from tinyres.nn import initializers, regularizers
from tinyres.nn.operators import Input
from tinyres.ops import *  # noqa: F403  what ops lists in its __all__

if TYPE_CHECKING:
    from tinyres import applications, data, distributed, keras, onnx, play, sklearn
    from tinyres.measure.graph import Graph
    from tinyres.model import Model, Sequential, load
    from tinyres.play.wasm import wasm
    from tinyres.study.agreement import gradient_agreement
    from tinyres.study.lesion import lesion
    from tinyres.study.shattering import shattering
    from tinyres.training import callbacks, metrics
    from tinyres.training.edges import EdgeNorms
    from tinyres.training.gradients import GradientNorms
    from tinyres.training.history import History
    from tinyres.view import Trace, compare

__version__ = "0.2.0"

# What loads when it is first asked for, since not every program trains a model or looks at a trace.
_LAZY_MODULES = {
    "applications": "tinyres.applications",
    "callbacks": "tinyres.training.callbacks",
    "data": "tinyres.data",
    "distributed": "tinyres.distributed",
    "keras": "tinyres.keras",
    "metrics": "tinyres.training.metrics",
    "onnx": "tinyres.onnx",
    "play": "tinyres.play",
    "sklearn": "tinyres.sklearn",
    "torch": "tinyres.torch",
}
_LAZY_NAMES = {
    "EdgeNorms": "tinyres.training.edges",
    "GradientNorms": "tinyres.training.gradients",
    "Graph": "tinyres.measure.graph",
    "History": "tinyres.training.history",
    "Model": "tinyres.model",
    "Sequential": "tinyres.model",
    "Trace": "tinyres.view",
    "compare": "tinyres.view",
    "gradient_agreement": "tinyres.study.agreement",
    "lesion": "tinyres.study.lesion",
    "load": "tinyres.model",
    "shattering": "tinyres.study.shattering",
    "wasm": "tinyres.play.wasm",
}


# Names of TensorFlow and PyTorch, and what to write here.
_INSTEAD = {
    "FloatTensor": "use tinyres.tensor(array)",
    "GradientTape": "compute the loss, then loss.backward(); gradients stand in .grad",
    "Variable": "use tinyres.tensor(array, requires_grad=True), or tinyres.Parameter",
    "cast": 'use tensor.astype("float32")',
    "cat": "use tinyres.concatenate([...], axis=0)",
    "concat": "use tinyres.concatenate([...], axis=0)",
    "config": "leave it out: it runs on the CPU; tinyres.info() shows how",
    "constant": "use tinyres.tensor(array)",
    "convert_to_tensor": "use tinyres.tensor(array)",
    "cuda": "leave it out: it runs on the CPU",
    "device": "leave it out: it runs on the CPU",
    "expand_dims": "use x[:, None], or x.reshape",
    "float32": 'write dtype="float32"',
    "float64": 'write dtype="float64"',
    "from_numpy": "use tinyres.tensor(array)",
    "function": "use tinyres.capture",
    "int64": 'write dtype="int64"',
    "mm": "use a @ b",
    "random": "use tinyres.manual_seed, and NumPy's generators",
    "reduce_max": "use tinyres.max",
    "reduce_mean": "use tinyres.mean",
    "reduce_min": "use tinyres.min",
    "reduce_sum": "use tinyres.sum",
    "save": "use model.save(path), and tinyres.load(path)",
    "stop_gradient": "use tensor.detach()",
    "train": "use model.fit, or tinyres.capture",
    "unsqueeze": "use x[:, None], or x.reshape",
}


def __getattr__(name: str) -> _Any:
    if name in _LAZY_MODULES:
        found = _importlib.import_module(_LAZY_MODULES[name])
    elif name in _LAZY_NAMES:
        found = getattr(_importlib.import_module(_LAZY_NAMES[name]), name)
    else:
        errors.refuse_name(__name__, name, ("layers", "Model", "Tensor", "and what dir(tinyres) lists"), _INSTEAD)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)


class _Alias(_types.ModuleType):
    """A module under a second name, which loads when something in it is asked for."""

    def __init__(self, name: str, module: str) -> None:
        super().__init__(name, f"{module}, under another name.")
        self._module = module

    def __getattr__(self, name: str) -> _Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(_importlib.import_module(self._module), name)

    def __dir__(self) -> list[str]:
        return dir(_importlib.import_module(self._module))


# So that imports find what stands under these names here, and what Keras has under them.
for _name, _module in {
    "callbacks": "tinyres.training.callbacks",
    "initializers": "tinyres.nn.initializers",
    "losses": "tinyres.layers.losses",
    "metrics": "tinyres.training.metrics",
    "models": "tinyres.keras.models",
    "optimizers": "tinyres.keras.optimizers",
    "regularizers": "tinyres.nn.regularizers",
    "utils": "tinyres.keras.utils",
}.items():
    _sys.modules[f"{__name__}.{_name}"] = _Alias(f"{__name__}.{_name}", _module)
_sys.meta_path.append(errors.WordedImports())


__all__ = [
    "EdgeNorms",
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
    "applications",
    "backend",
    "backward",
    "callbacks",
    "capture",
    "compare",
    "current_scope",
    "data",
    "distributed",
    "enable_grad",
    "errors",
    "grad",
    "gradcheck",
    "gradient_agreement",
    "info",
    "initializers",
    "is_grad_enabled",
    "keras",
    "layers",
    "lesion",
    "load",
    "losses",
    "metrics",
    "name_scope",
    "no_grad",
    "onnx",
    "optim",
    "play",
    "regularizers",
    "set_backend",
    "set_threads",
    "shattering",
    "sklearn",
    "tensor",
    "wasm",
]
__all__ += _ops.__all__

if not _native.AVAILABLE:
    _warnings.warn(
        f"[tinyres] the C core is not there, so NumPy runs all kernels, more slowly: {_native.reason}",
        RuntimeWarning,
        stacklevel=2,
    )
