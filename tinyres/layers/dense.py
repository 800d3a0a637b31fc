"""Dense: the fully connected layer, one fused op with its bias and ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.tensor import Parameter, Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.layers.affine import Affine
from tinyres.nn import regularizers
from tinyres.nn.layer import made_by_build
from tinyres.nn.layouts import MATRIX


class Dense(Affine):
    """activation(x · kernel + bias) over the last axis: (..., features) gives (..., units).

    units: the number of outputs. activation: a name or function, None for linear; "relu" is computed within the same
    op. Weights: kernel (features, units), bias (units,) unless use_bias=False. kernel_regularizer, bias_regularizer:
    what they add to the loss, such as "l2" or tr.regularizers.L2(0.001).
    Raises ArgumentError for units below 1, ShapeError when called with another number of features than the first time.

    >>> import tinyres as tr
    >>> layer = tr.layers.Dense(2, kernel_initializer="ones")
    >>> layer(tr.tensor([[1.0, 2.0]]))
    Tensor([[3., 3.]], shape=(1, 2), dtype=float32, requires_grad=True)
    """

    layouts = {"kernel": MATRIX}
    kernel: Parameter = made_by_build()

    def __init__(
        self,
        units: int,
        activation: str | Callable[[Tensor], Tensor] | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(activation, use_bias, bias_initializer, bias_regularizer, name)
        if isinstance(units, bool) or not isinstance(units, (int, np.integer)) or units < 1:
            raise ArgumentError(f"[Dense] units is the number of outputs, at least 1; got {units!r}; give an integer")
        self.units = int(units)
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = regularizers.get(kernel_regularizer)

    @property
    def by_token(self) -> bool:
        """Whether its activation is one of Keras'; a function of one's own may do anything."""
        return self.activation is None or isinstance(self.activation, str)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make kernel and bias for the number of features in the last axis."""
        if not isinstance(input_shape, tuple) or len(input_shape) < 2:
            raise ShapeError(
                f"[Dense] {self.path} takes a batch of shape (n, features); got shape {input_shape}; "
                "for one sample use x.reshape(1, -1)"
            )
        self._features = input_shape[-1]
        self.kernel = self.add_weight(
            "kernel",
            (self._features, self.units),  # type: ignore[arg-type]
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self._add_bias(self.units)

    def _product(self, x: Tensor, fused: str | None) -> Tensor:
        if x.shape[-1:] != (self._features,):
            self._refuse(x)
        return ops.dense(x, self.kernel, self.bias, fused)

    def _refuse(self, x: Tensor) -> None:
        raise ShapeError(
            f"[Dense] {self.path} was built for {self._features} features in the last axis; got shape {x.shape}; "
            "use another layer for another width"
        )
