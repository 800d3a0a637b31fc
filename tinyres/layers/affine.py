"""What layers that are a product with a kernel share, dense or convolution: a bias, and an activation on top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyres.engine.tensor import Parameter, Tensor
from tinyres.layers import activation as activations
from tinyres.nn import regularizers
from tinyres.nn.layer import SingleInput, made_by_build


class Affine(SingleInput):
    """activation(product with a kernel + bias); ReLU is computed within the op of the product."""

    weighs = True
    bias: Parameter | None = made_by_build()

    def __init__(
        self,
        activation: str | Callable[[Tensor], Tensor] | None,
        use_bias: bool,
        bias_initializer: Any,
        bias_regularizer: Any,
        name: str | None,
    ) -> None:
        super().__init__(name)
        self.activation = activation
        self.use_bias = bool(use_bias)
        self.bias_initializer = bias_initializer
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self._fused = "relu" if activation == "relu" else None
        function = activations.get(type(self).__name__, activation)
        self._function = None if self._fused or activation in (None, "linear") else function

    @property
    def final_activation(self) -> str | None:
        """ "softmax" or "sigmoid" if that is its activation, else None."""
        named = isinstance(self.activation, str) and self.activation in activations.WITH_LOGITS
        return self.activation if named else None  # type: ignore[return-value]

    def call(self, x: Tensor) -> Tensor:
        """activation(x · kernel + bias)."""
        y = self._product(x, self._fused)
        return y if self._function is None else self._function(y)

    def logits(self, x: Tensor, training: bool = False) -> Tensor:
        """x · kernel + bias, before a softmax or sigmoid."""
        return self._product(x, None)

    def _product(self, x: Tensor, fused: str | None) -> Tensor:
        """x · kernel + bias, and the activation that the op has in it."""
        raise NotImplementedError

    def _add_bias(self, outputs: int) -> None:
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight("bias", (outputs,), self.bias_initializer, regularizer=self.bias_regularizer)
