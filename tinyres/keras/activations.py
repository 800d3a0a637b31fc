"""Keras' activations as functions of a Tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyres.errors import closed
from tinyres.layers.activation import ACTIVATIONS
from tinyres.layers.activation import get as _get

__all__ = [
    "elu",
    "exponential",
    "gelu",
    "get",
    "hard_sigmoid",
    "hard_silu",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "swish",
    "tanh",
]


def get(identifier: Any) -> Any:
    """The function of this name; None is linear, a function is itself. Raises ArgumentError for an unknown name.

    >>> import tinyres as tf
    >>> tf.keras.activations.get("relu6")(tf.tensor([-1.0, 9.0]))
    Tensor([0., 6.], shape=(2,), dtype=float32)
    """
    return _get("activations", identifier)


elu = ACTIVATIONS["elu"]
exponential = ACTIVATIONS["exponential"]
gelu = ACTIVATIONS["gelu"]
hard_sigmoid = ACTIVATIONS["hard_sigmoid"]
hard_silu = ACTIVATIONS["hard_silu"]
leaky_relu = ACTIVATIONS["leaky_relu"]
linear = ACTIVATIONS["linear"]
log_softmax = ACTIVATIONS["log_softmax"]
mish = ACTIVATIONS["mish"]
relu = ACTIVATIONS["relu"]
relu6 = ACTIVATIONS["relu6"]
selu = ACTIVATIONS["selu"]
sigmoid = ACTIVATIONS["sigmoid"]
silu = ACTIVATIONS["silu"]
softmax = ACTIVATIONS["softmax"]
softplus = ACTIVATIONS["softplus"]
softsign = ACTIVATIONS["softsign"]
swish = ACTIVATIONS["swish"]
tanh = ACTIVATIONS["tanh"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)
