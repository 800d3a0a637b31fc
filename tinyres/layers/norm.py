"""BatchNormalization: every feature with zero mean and unit variance over the batch."""

from __future__ import annotations

from typing import Any

from tinyres import kernels, ops
from tinyres.engine.state import state
from tinyres.engine.tensor import Parameter, Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.launch import launch
from tinyres.nn.layer import SingleInput, made_by_build
from tinyres.nn.layouts import NORM, Layout
from tinyres.ops.normalisation import batchnorm_across, batchnorm_and_statistics


class BatchNormalization(SingleInput):
    """gamma · (x - mean) / √(variance + epsilon) + beta, per feature of the last axis. (..., features) keeps its shape.

    axis: of the features, the last one: -1 or its number. Positionally (axis, momentum, epsilon, …), as in Keras, or
    (momentum, epsilon, …).

    In training mean and variance (biased, as in Keras) are those of the batch, and the moving ones move towards them:
    moving = momentum · moving + (1 - momentum) · batch. In inference, and when the layer is frozen, the moving ones are
    used. Weights: gamma, beta, moving_mean, moving_variance, each (features,); scale=False leaves out gamma,
    center=False beta. sync: where ranks share a batch (`fit(distributed=)`), the statistics are those of the batch and
    not of a rank's part; each rank takes one shard then. Source: Ioffe and Szegedy 2015.
    Raises ArgumentError for a momentum outside 0..1 or an epsilon below 0.

    >>> import tinyres as tr
    >>> layer = tr.layers.BatchNorm(epsilon=0.0)
    >>> layer(tr.tensor([[1.0], [3.0]]), training=True)
    Tensor([[-1.],
            [ 1.]], shape=(2, 1), dtype=float32, requires_grad=True)
    """

    layouts = NORM | {"moving_mean": Layout("running_mean"), "moving_variance": Layout("running_var")}
    gamma: Parameter | None = made_by_build()
    beta: Parameter | None = made_by_build()
    moving_mean: Parameter = made_by_build()
    moving_variance: Parameter = made_by_build()

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        sync: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        if isinstance(axis, float):  # tinyres' own order begins with the momentum, Keras' with the axis, a whole number
            axis, momentum, epsilon = -1, axis, epsilon if momentum == 0.99 else momentum
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise ArgumentError(f"[BatchNormalization] axis is that of the features, -1; got {axis!r}; leave it out")
        if not 0.0 <= momentum <= 1.0:
            raise ArgumentError(f"[BatchNormalization] momentum is within 0..1; got {momentum!r}; the default is 0.99")
        if not epsilon >= 0.0:
            raise ArgumentError(f"[BatchNormalization] epsilon is at least 0; got {epsilon!r}; the default is 0.001")
        self.axis = axis
        self.momentum = float(momentum)
        self.epsilon = float(epsilon)
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = beta_initializer
        self.gamma_initializer = gamma_initializer
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer
        self.sync = bool(sync)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for the number of features in the last axis."""
        if not isinstance(input_shape, tuple) or len(input_shape) < 2:
            raise ShapeError(
                f"[BatchNormalization] {self.path} takes a batch of shape (n, features); got shape {input_shape}; "
                "for one feature use x.reshape(-1, 1)"
            )
        if self.axis not in (-1, len(input_shape) - 1):
            raise ArgumentError(
                f"[BatchNormalization] {self.path} takes the features in the last axis; got axis={self.axis} for shape "
                f"{input_shape}; transpose once, by layers.Permute before it, and leave axis out"
            )
        self._features = features = input_shape[-1]
        shape: tuple[int, ...] = (features,)  # type: ignore[assignment]
        self.gamma = self.add_weight("gamma", shape, self.gamma_initializer) if self.scale else None
        self.beta = self.add_weight("beta", shape, self.beta_initializer) if self.center else None
        self.moving_mean = self.add_weight("moving_mean", shape, self.moving_mean_initializer, trainable=False)
        self.moving_variance = self.add_weight(
            "moving_variance", shape, self.moving_variance_initializer, trainable=False
        )

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """x normalised; in training the moving statistics move, unless the run is to leave no mark."""
        if x.shape[-1:] != (self._features,):
            raise ShapeError(
                f"[BatchNormalization] {self.path} was built for {self._features} features in the last axis; "
                f"got shape {x.shape}; use another layer for another width"
            )
        if not training or not self._trainable:
            return ops.batchnorm_inference(
                x, self.moving_mean, self.moving_variance, self.gamma, self.beta, self.epsilon
            )
        if self.sync and state.across is not None:
            y, mean, variance = batchnorm_across(x, self.gamma, self.beta, self.epsilon, state.across)
        else:
            y, mean, variance = batchnorm_and_statistics(x, self.gamma, self.beta, self.epsilon)
        if not state.preserving:
            launch(
                kernels.moving_statistics,
                (self.moving_mean.buffer, self.moving_variance.buffer),
                (mean, variance),
                (mean.size,),
                (self.momentum,),
            )
        return y


BatchNorm = BatchNormalization
