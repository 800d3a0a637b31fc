"""Keras' `backend`: what notebooks take from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.engine.tensor import Parameter, Tensor, tensor
from tinyres.errors import ArgumentError, closed
from tinyres.layers.activation import ACTIVATIONS
from tinyres.ops import (
    abs,
    argmax,
    argmin,
    clip,
    concatenate,
    cumsum,
    exp,
    flatten,
    log,
    log_softmax,
    max,
    maximum,
    mean,
    min,
    minimum,
    ones_like,
    pow,
    prod,
    relu,
    reshape,
    sigmoid,
    softmax,
    softplus,
    sqrt,
    square,
    stack,
    std,
    sum,
    tanh,
    transpose,
    var,
    where,
    zeros_like,
)
from tinyres.ops import matmul as dot
from tinyres.optim.numbers import LearningRate

elu, softsign, hard_sigmoid = (ACTIVATIONS[name] for name in ("elu", "softsign", "hard_sigmoid"))

__all__ = [
    "abs",
    "argmax",
    "argmin",
    "cast",
    "clear_session",
    "clip",
    "concatenate",
    "constant",
    "cumsum",
    "dot",
    "elu",
    "epsilon",
    "exp",
    "flatten",
    "floatx",
    "get_value",
    "hard_sigmoid",
    "image_data_format",
    "int_shape",
    "log",
    "log_softmax",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "ndim",
    "ones_like",
    "pow",
    "prod",
    "relu",
    "reshape",
    "set_floatx",
    "set_value",
    "shape",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "sqrt",
    "square",
    "stack",
    "std",
    "sum",
    "tanh",
    "transpose",
    "var",
    "where",
    "zeros_like",
]

_INSTEAD = {
    "binary_crossentropy": "use keras.losses.binary_crossentropy(y_true, y_pred)",
    "categorical_crossentropy": "use keras.losses.categorical_crossentropy(y_true, y_pred)",
    "function": "use keras.Model(model.inputs, layer.output)",
    "get_session": "leave it out; there is no session",
    "gradients": "use tinyres.grad",
    "learning_phase": "call the model with training=True or False",
    "set_learning_phase": "call the model with training=True or False",
    "set_session": "leave it out; there is no session",
    "variable": "use tinyres.tensor(array, requires_grad=True)",
}


def cast(x: Any, dtype: Any) -> Tensor:
    """x as a Tensor of this dtype."""
    return x.astype(dtype) if isinstance(x, Tensor) else tensor(x, dtype=dtype)


def constant(value: Any, dtype: Any = "float32", shape: Any = None, name: str | None = None) -> Tensor:
    """A Tensor of these values."""
    array = np.asarray(value) if shape is None else np.broadcast_to(value, shape)
    return tensor(array, dtype=dtype, name=name)


def get_value(x: Any) -> Any:
    """The values of a Tensor or weight, or a learning rate."""
    return x.numpy()


def set_value(x: Any, value: Any) -> None:
    """Assign to a weight or to `optimizer.learning_rate`. Raises ArgumentError for anything else."""
    if not isinstance(x, (Parameter, LearningRate)):
        raise ArgumentError(
            f"[backend] weights and learning rates can be set; got a {type(x).__name__}; set the attribute: "
            "optimizer.lr = 0.001"
        )
    x.assign(value)


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape, None where a size is not known."""
    return tuple(x.shape)


shape = int_shape


def ndim(x: Any) -> int:
    """The number of axes."""
    return len(x.shape)


def image_data_format() -> str:
    """Where pictures have their channels."""
    return "channels_last"


def set_floatx(dtype: str) -> None:
    """float32 it is. Raises ArgumentError for another."""
    if dtype != "float32":
        raise ArgumentError(f"[backend] weights are float32 to begin with; got {dtype!r}; use model.astype({dtype!r})")


def clear_session() -> None:
    """Nothing: no state is kept between models. Names are counted per model; memory goes with the model."""


def epsilon() -> float:
    """Keras' smallest number to divide by."""
    return 1e-7


def floatx() -> str:
    """The dtype of weights unless a model is told otherwise."""
    return "float32"


if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
