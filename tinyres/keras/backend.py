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
    """x as a Tensor of this dtype.

    x: of any shape.

    >>> import tinyres as tf
    >>> tf.keras.backend.cast([1.7, 2.0], "int64")
    Tensor([1, 2], shape=(2,), dtype=int64)
    """
    return x.astype(dtype) if isinstance(x, Tensor) else tensor(x, dtype=dtype)


def constant(value: Any, dtype: Any = "float32", shape: Any = None, name: str | None = None) -> Tensor:
    """A Tensor of these values.

    >>> import tinyres as tf
    >>> tf.keras.backend.constant(2.0, shape=(2,))
    Tensor([2., 2.], shape=(2,), dtype=float32)
    """
    array = np.asarray(value) if shape is None else np.broadcast_to(value, shape)
    return tensor(array, dtype=dtype, name=name)


def get_value(x: Any) -> Any:
    """The values of a Tensor or weight, or a learning rate.

    x: of any shape.

    >>> import tinyres as tf
    >>> tf.keras.backend.get_value(tf.tensor([1.0, 2.0]))
    array([1., 2.], dtype=float32)
    """
    return x.numpy()


def set_value(x: Any, value: Any) -> None:
    """Assign to a weight or to `optimizer.learning_rate`. Raises ArgumentError for anything else.

    x, value: of one shape.

    >>> import tinyres as tf
    >>> opt = tf.keras.optimizers.SGD(0.1)
    >>> tf.keras.backend.set_value(opt.learning_rate, 0.5); float(opt.learning_rate)
    0.5
    """
    if not isinstance(x, (Parameter, LearningRate)):
        raise ArgumentError(
            f"[backend] weights and learning rates can be set; got a {type(x).__name__}; set the attribute: "
            "optimizer.lr = 0.001"
        )
    x.assign(value)


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape, None where a size is not known.

    >>> import tinyres as tf
    >>> tf.keras.backend.int_shape(tf.keras.Input(shape=(8,)))
    (None, 8)
    """
    return tuple(x.shape)


shape = int_shape


def ndim(x: Any) -> int:
    """The number of axes.

    >>> import tinyres as tf
    >>> tf.keras.backend.ndim(tf.zeros((2, 3)))
    2
    """
    return len(x.shape)


def image_data_format() -> str:
    """Where pictures have their channels.

    >>> import tinyres as tf
    >>> tf.keras.backend.image_data_format()
    'channels_last'
    """
    return "channels_last"


def set_floatx(dtype: str) -> None:
    """float32 it is. Raises ArgumentError for another.

    >>> import tinyres as tf
    >>> tf.keras.backend.set_floatx("float32")
    """
    if dtype != "float32":
        raise ArgumentError(f"[backend] weights are float32 to begin with; got {dtype!r}; use model.astype({dtype!r})")


def clear_session() -> None:
    """Nothing: no state is kept between models. Names are counted per model; memory goes with the model.

    >>> import tinyres as tf
    >>> tf.keras.backend.clear_session()
    """


def epsilon() -> float:
    """Keras' smallest number to divide by.

    >>> import tinyres as tf
    >>> tf.keras.backend.epsilon()
    1e-07
    """
    return 1e-7


def floatx() -> str:
    """The dtype of weights unless a model is told otherwise.

    >>> import tinyres as tf
    >>> tf.keras.backend.floatx()
    'float32'
    """
    return "float32"


if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
