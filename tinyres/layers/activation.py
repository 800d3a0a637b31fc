"""Activations, by Keras' names, and the layers that apply one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.tensor import Parameter, Tensor
from tinyres.errors import ArgumentError
from tinyres.nn import regularizers
from tinyres.nn.layer import SingleInput, made_by_build
from tinyres.nn.layouts import Layout


def _linear(x: Tensor) -> Tensor:
    """x itself, of any shape.

    >>> import tinyres as tf
    >>> tf.keras.activations.linear(tf.tensor([-1.0, 0.5, 8.0]))
    Tensor([-1. ,  0.5,  8. ], shape=(3,), dtype=float32)
    """
    return x


def _leaky_relu(x: Tensor) -> Tensor:
    """x where it is above 0, else 0.2 · x, elementwise: Keras' slope here, which is not that of the layer.

    >>> import tinyres as tf
    >>> tf.keras.activations.leaky_relu(tf.tensor([-1.0, 0.5, 8.0]))
    Tensor([-0.2,  0.5,  8. ], shape=(3,), dtype=float32)
    """
    return ops.leaky_relu(x, 0.2)


def _relu6(x: Tensor) -> Tensor:
    """max(0, min(x, 6)), elementwise.

    >>> import tinyres as tf
    >>> tf.keras.activations.relu6(tf.tensor([-1.0, 0.5, 8.0]))
    Tensor([0. , 0.5, 6. ], shape=(3,), dtype=float32)
    """
    return ops.clip(x, 0.0, 6.0)


def _hard_sigmoid(x: Tensor) -> Tensor:
    """relu6(x + 3) / 6, elementwise.

    >>> import tinyres as tf
    >>> tf.keras.activations.hard_sigmoid(tf.tensor([-1.0, 0.5, 8.0]))
    Tensor([0.3333, 0.5833, 1.    ], shape=(3,), dtype=float32)
    """
    return _relu6(x + 3.0) / 6.0


def _hard_silu(x: Tensor) -> Tensor:
    """x · relu6(x + 3) / 6, elementwise (Howard et al. 2019).

    >>> import tinyres as tf
    >>> tf.keras.activations.hard_silu(tf.tensor([-1.0, 0.5, 8.0]))
    Tensor([-0.3333,  0.2917,  8.    ], shape=(3,), dtype=float32)
    """
    return x * _hard_sigmoid(x)


def _mish(x: Tensor) -> Tensor:
    """x · tanh(softplus(x)), elementwise (Misra 2019).

    >>> import tinyres as tf
    >>> tf.keras.activations.mish(tf.tensor([-1.0, 0.5, 8.0]))
    Tensor([-0.3034,  0.3752,  8.    ], shape=(3,), dtype=float32)
    """
    return x * ops.tanh(ops.softplus(x))


def _selu(x: Tensor) -> Tensor:
    """1.0507 · x where x is above 0, else 1.7581 · (e^x - 1), elementwise (Klambauer et al. 2017).

    >>> import tinyres as tf
    >>> tf.keras.activations.selu(tf.tensor([-1.0, 0.5, 8.0]))
    Tensor([-1.1113,  0.5254,  8.4056], shape=(3,), dtype=float32)
    """
    return 1.0507009873554805 * ops.elu(x, 1.6732632423543772)


def _softsign(x: Tensor) -> Tensor:
    """x / (|x| + 1), elementwise.

    >>> import tinyres as tf
    >>> tf.keras.activations.softsign(tf.tensor([-1.0, 0.5, 8.0]))
    Tensor([-0.5   ,  0.3333,  0.8889], shape=(3,), dtype=float32)
    """
    return x / (ops.abs(x) + 1.0)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "elu": ops.elu,
    "exponential": ops.exp,
    "gelu": ops.gelu,
    "hard_sigmoid": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_swish": _hard_silu,
    "leaky_relu": _leaky_relu,
    "linear": _linear,
    "log_softmax": ops.log_softmax,
    "mish": _mish,
    "relu": ops.relu,
    "relu6": _relu6,
    "selu": _selu,
    "sigmoid": ops.sigmoid,
    "silu": ops.silu,
    "softmax": ops.softmax,
    "softplus": ops.softplus,
    "softsign": _softsign,
    "swish": ops.silu,
    "tanh": ops.tanh,
}

WITH_LOGITS = ("softmax", "sigmoid")


def get(owner: str, activation: str | Callable[[Tensor], Tensor] | None) -> Callable[[Tensor], Tensor]:
    """The function of this name; None is linear, a function is itself. Raises ArgumentError for an unknown name."""
    if activation is None:
        return ACTIVATIONS["linear"]
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    if callable(activation) and not isinstance(activation, type):
        return activation
    known = ", ".join(ACTIVATIONS)
    raise ArgumentError(f"[{owner}] known activations are {known}; got {activation!r}; use one, or your own function")


class Activation(SingleInput):
    """Apply an activation elementwise (softmax: over the last axis). The output has the shape of the input.

    activation: any of Keras' names ("relu", "softmax", "gelu", "silu", "elu", "leaky_relu" with slope 0.2, …), or a
    function of a Tensor. Raises ArgumentError for an unknown name.

    >>> import tinyres as tr
    >>> tr.layers.Activation("relu")(tr.tensor([-1.0, 2.0]))
    Tensor([0., 2.], shape=(2,), dtype=float32)
    """

    def __init__(self, activation: str | Callable[[Tensor], Tensor], name: str | None = None) -> None:
        super().__init__(name)
        self.activation = activation
        self._function = get("Activation", activation)

    @property
    def by_token(self) -> bool:
        """Whether it is one of Keras'; a function of one's own may do anything."""
        return isinstance(self.activation, str)

    @property
    def final_activation(self) -> str | None:
        """ "softmax" or "sigmoid" if this applies it, else None."""
        return self.activation if isinstance(self.activation, str) and self.activation in WITH_LOGITS else None

    def call(self, x: Tensor) -> Tensor:
        """The activation of x."""
        return self._function(x)

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        """What the activation is applied to."""
        return x


class ReLU(SingleInput):
    """max(x, 0), elementwise, with Keras' options. The output has the shape of the input.

    max_value: what the output is cut off at. negative_slope: the slope below the threshold. threshold: below it x gives
    negative_slope · (x - threshold). Raises ArgumentError for a max_value or slope below 0.

    >>> import tinyres as tr
    >>> tr.layers.ReLU()(tr.tensor([-1.0, 2.0]))
    Tensor([0., 2.], shape=(2,), dtype=float32)
    """

    by_token = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.max_value = None if max_value is None else _at_least_0("ReLU", "max_value", max_value)
        self.negative_slope = _at_least_0("ReLU", "negative_slope", negative_slope)
        self.threshold = float(threshold)

    def call(self, x: Tensor) -> Tensor:
        """max(x, 0), or what the options say."""
        if self.threshold:
            low = (x - self.threshold) * self.negative_slope
            y = ops.where(x >= self.threshold, x, low)
        elif self.negative_slope:
            y = ops.leaky_relu(x, self.negative_slope)
        else:
            y = ops.relu(x)
        return y if self.max_value is None else ops.minimum(y, self.max_value)


class LeakyReLU(SingleInput):
    """x where it is positive, else negative_slope · x. alpha is Keras' older name of the slope.

    Source: Maas et al. 2013. Raises ArgumentError for a slope below 0.

    >>> import tinyres as tr
    >>> tr.layers.LeakyReLU(0.5)(tr.tensor([-1.0, 2.0]))
    Tensor([-0.5,  2. ], shape=(2,), dtype=float32)
    """

    by_token = True

    def __init__(self, negative_slope: float = 0.3, alpha: float | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.negative_slope = _at_least_0("LeakyReLU", "negative_slope", negative_slope if alpha is None else alpha)
        self.alpha = None  # a file keeps the slope by one name

    def call(self, x: Tensor) -> Tensor:
        """x, with negative elements times the slope."""
        return ops.leaky_relu(x, self.negative_slope)


class ELU(SingleInput):
    """x where it is positive, else alpha · (exp(x) - 1). Source: Clevert et al. 2016.

    >>> import tinyres as tr
    >>> tr.layers.ELU()(tr.tensor([0.0, 2.0]))
    Tensor([0., 2.], shape=(2,), dtype=float32)
    """

    by_token = True

    def __init__(self, alpha: float = 1.0, name: str | None = None) -> None:
        super().__init__(name)
        self.alpha = float(alpha)

    def call(self, x: Tensor) -> Tensor:
        """The elu of x."""
        return ops.elu(x, self.alpha)


class PReLU(SingleInput):
    """x where it is positive, else alpha · x with a learned alpha per element of a sample.

    Weights: alpha, shaped like a sample, of size 1 along shared_axes (counted from 1, the axis after the batch).
    Source: He et al. 2015. Raises ArgumentError for an axis that a sample has not.

    >>> import tinyres as tr
    >>> layer = tr.layers.PReLU(alpha_initializer=tr.initializers.Constant(0.5))
    >>> layer(tr.tensor([[-1.0, 2.0]]))
    Tensor([[-0.5,  2. ]], shape=(1, 2), dtype=float32, requires_grad=True)
    """

    layouts = {"alpha": Layout("weight")}
    alpha: Parameter = made_by_build()

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.alpha_initializer = alpha_initializer
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.shared_axes = (shared_axes,) if isinstance(shared_axes, int) else tuple(shared_axes or ())

    def build(self, input_shape: Any) -> None:
        """Make alpha for the shape of a sample."""
        sizes = list(input_shape[1:])
        for axis in self.shared_axes:
            if not 1 <= axis <= len(sizes):
                raise ArgumentError(
                    f"[PReLU] shared_axes are axes of a sample, 1..{len(sizes)}; got {axis} for shape {input_shape}; "
                    "choose others"
                )
            sizes[axis - 1] = 1
        self.alpha = self.add_weight("alpha", tuple(sizes), self.alpha_initializer, regularizer=self.alpha_regularizer)

    def call(self, x: Tensor) -> Tensor:
        """x, with negative elements times alpha."""
        return ops.relu(x) - self.alpha * ops.relu(-x)


class Softmax(SingleInput):
    """exp(x) / Σ exp(x) along `axis` (default: the last). The output has the shape of the input.

    >>> import tinyres as tr
    >>> tr.layers.Softmax()(tr.tensor([[0.0, 0.0]]))
    Tensor([[0.5, 0.5]], shape=(1, 2), dtype=float32)
    """

    def __init__(self, axis: int = -1, name: str | None = None) -> None:
        super().__init__(name)
        self.axis = axis

    @property
    def by_token(self) -> bool:
        """Whether it works along the last axis."""
        return self.axis == -1

    @property
    def final_activation(self) -> str | None:
        """ "softmax" over the last axis, else None."""
        return "softmax" if self.axis == -1 else None

    def call(self, x: Tensor) -> Tensor:
        """The softmax of x."""
        return ops.softmax(x, axis=self.axis)

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        """What the softmax is applied to."""
        return x


def _at_least_0(owner: str, what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not value >= 0:
        raise ArgumentError(f"[{owner}] {what} is a number of at least 0; got {value!r}; choose another")
    return float(value)
