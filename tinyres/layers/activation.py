"""Activations, by Keras' names, and the layers that apply one."""

from __future__ import annotations

from collections.abc import Callable

from tinyres import ops
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.nn.layer import SingleInput


def _linear(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": _linear,
    "relu": ops.relu,
    "sigmoid": ops.sigmoid,
    "softmax": ops.softmax,
    "softplus": ops.softplus,
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

    activation: "relu", "softmax", "tanh", "sigmoid", "softplus", "linear", or a function of a Tensor.
    Raises ArgumentError for an unknown name.

    >>> import tinyres as tr
    >>> tr.layers.Activation("relu")(tr.tensor([-1.0, 2.0]))
    Tensor([0., 2.], shape=(2,), dtype=float32)
    """

    def __init__(self, activation: str | Callable[[Tensor], Tensor], name: str | None = None) -> None:
        super().__init__(name)
        self.activation = activation
        self._function = get("Activation", activation)

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
    """max(x, 0), elementwise. The output has the shape of the input.

    >>> import tinyres as tr
    >>> tr.layers.ReLU()(tr.tensor([-1.0, 2.0]))
    Tensor([0., 2.], shape=(2,), dtype=float32)
    """

    def call(self, x: Tensor) -> Tensor:
        """max(x, 0)."""
        return ops.relu(x)


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
    def final_activation(self) -> str | None:
        """ "softmax" over the last axis, else None."""
        return "softmax" if self.axis == -1 else None

    def call(self, x: Tensor) -> Tensor:
        """The softmax of x."""
        return ops.softmax(x, axis=self.axis)

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        """What the softmax is applied to."""
        return x
