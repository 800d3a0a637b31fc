"""Normalisation of each sample by itself, the same in training and inference: of its rows (LayerNormalization,
RMSNormalization), or of groups of channels over its positions (GroupNormalization)."""

from __future__ import annotations

from typing import Any

from tinyres import ops
from tinyres.engine.tensor import Parameter, Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.nn import regularizers
from tinyres.nn.layer import SingleInput, made_by_build
from tinyres.nn.layouts import NORM, Layout
from tinyres.ops.group_normalisation import last_axes


class _Normalisation(SingleInput):
    """What the three have in common: epsilon, and the weights that scale and move."""

    def __init__(self, axis: Any, epsilon: float, name: str | None) -> None:
        super().__init__(name)
        owner = type(self).__name__
        if isinstance(axis, bool) or not isinstance(axis, (int, tuple, list)):
            raise ArgumentError(f"[{owner}] axis is that of the features, -1; got {axis!r}; leave it out")
        if not epsilon >= 0.0:
            raise ArgumentError(f"[{owner}] epsilon is at least 0; got {epsilon!r}; leave it out for Keras' default")
        self.axis = axis
        self.epsilon = float(epsilon)

    def _checked(self, input_shape: Any) -> tuple[int | None, ...]:
        if not isinstance(input_shape, tuple) or len(input_shape) < 2:
            raise ShapeError(
                f"[{type(self).__name__}] {self.path} takes a batch of shape (n, ..., features); "
                f"got shape {input_shape}; add a batch axis"
            )
        return input_shape

    def _axes(self, input_shape: Any) -> int:
        """Over how many last axes it normalises, none of which is the batch's."""
        shape = self._checked(input_shape)
        axes = last_axes(type(self).__name__, self.axis, len(shape))
        if axes == len(shape):
            raise ArgumentError(
                f"[{type(self).__name__}] {self.path} normalises each sample by itself; got axis={self.axis!r} "
                f"for shape {shape}, which holds the batch; leave it out"
            )
        return axes

    def _refuse_other(self, shape: tuple[int, ...], built_for: tuple[int | None, ...]) -> None:
        """Raise ShapeError where features differ from those that the layer was built for."""
        if shape[len(shape) - len(built_for) :] != built_for:
            raise ShapeError(
                f"[{type(self).__name__}] {self.path} was built for features of shape {built_for} at the end; "
                f"got shape {shape}; use another layer for another width"
            )


class _OfRows(_Normalisation):
    """One over the last axes of each row."""

    @property
    def by_token(self) -> bool:
        """Whether it normalises over the last axis alone."""
        return isinstance(self.axis, int)


class _Affine(_Normalisation):
    """One with gamma and beta."""

    layouts = NORM
    gamma: Parameter | None = made_by_build()
    beta: Parameter | None = made_by_build()

    def _keep(self, center: bool, scale: bool, initializers: tuple[Any, Any], regularizers_: tuple[Any, Any]) -> None:
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer, self.gamma_initializer = initializers
        self.beta_regularizer, self.gamma_regularizer = map(regularizers.get, regularizers_)

    def _weigh(self, shape: Any) -> None:
        self._features = shape
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight("gamma", shape, self.gamma_initializer, regularizer=self.gamma_regularizer)
        if self.center:
            self.beta = self.add_weight("beta", shape, self.beta_initializer, regularizer=self.beta_regularizer)


class LayerNormalization(_OfRows, _Affine):
    """gamma · (x - mean) / √(variance + epsilon) + beta over the features of each row. (..., features) keeps its shape.

    axis: what is normalised over together: the last axis, or a list of last ones. center, scale: whether there is a
    beta, a gamma. Weights: gamma, beta, of the shape of these axes. epsilon: 1e-3 as in Keras; PyTorch has 1e-5.
    Source: Ba, Kiros and Hinton 2016. Raises ArgumentError for other axes than the last, or an epsilon below 0.

    >>> import tinyres as tr
    >>> layer = tr.layers.LayerNormalization(epsilon=0.0)
    >>> layer(tr.tensor([[1.0, 3.0], [0.0, 20.0]]))
    Tensor([[-1.,  1.],
            [-1.,  1.]], shape=(2, 2), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(axis, epsilon, name)
        self._keep(center, scale, (beta_initializer, gamma_initializer), (beta_regularizer, gamma_regularizer))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for the features in the last axes."""
        self._weigh(input_shape[len(input_shape) - self._axes(input_shape) :])

    def call(self, x: Tensor) -> Tensor:
        """Each row normalised."""
        self._refuse_other(x.shape, self._features)
        return ops.layer_norm(x, self.gamma, self.beta, self.epsilon, tuple(range(-len(self._features), 0)))


class RMSNormalization(_OfRows):
    """scale · x / √(mean(x²) + epsilon) over the features of each row. (..., features) keeps its shape.

    axis: as in LayerNormalization. Weight: scale, of the shape of these axes. Source: Zhang and Sennrich 2019.
    Raises ArgumentError for other axes than the last, or an epsilon below 0.

    >>> import tinyres as tr
    >>> tr.layers.RMSNormalization(epsilon=0.0)(tr.tensor([[3.0, 3.0]]))
    Tensor([[1., 1.]], shape=(1, 2), dtype=float32, requires_grad=True)
    """

    layouts = {"scale": Layout("weight")}
    scale: Parameter = made_by_build()

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, name: str | None = None) -> None:
        super().__init__(axis, epsilon, name)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weight for the features in the last axes."""
        features: Any = input_shape[len(input_shape) - self._axes(input_shape) :]
        self._features = features
        self.scale = self.add_weight("scale", features, "ones")

    def call(self, x: Tensor) -> Tensor:
        """Each row normalised."""
        self._refuse_other(x.shape, self._features)
        return ops.rms_norm(x, self.scale, self.epsilon, tuple(range(-len(self._features), 0)))


class GroupNormalization(_Affine):
    """gamma · (x - mean) / √(variance + epsilon) + beta, per sample and group of channels.

    (n, ..., channels) keeps its shape. groups: how many groups of neighbouring channels; each has one mean and
    variance, over its channels at all positions. 1: all channels together; -1: each by itself (instance
    normalisation). axis: of the channels, the last one. Weights: gamma, beta, each (channels,). Source: Wu and He 2018.
    Raises ArgumentError for groups that do not divide the channels, another axis, or an epsilon below 0.

    >>> import tinyres as tr
    >>> tr.layers.GroupNormalization(groups=2, epsilon=0.0)(tr.tensor([[1.0, 3.0, 0.0, 20.0]]))
    Tensor([[-1.,  1., -1.,  1.]], shape=(1, 4), dtype=float32, requires_grad=True)
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(axis, epsilon, name)
        if isinstance(groups, bool) or not isinstance(groups, int) or (groups < 1 and groups != -1):
            raise ArgumentError(
                f"[GroupNormalization] groups is a number of groups, or -1 for one per channel; got {groups!r}; "
                "choose a divisor of the channels"
            )
        self.groups = groups
        self._keep(center, scale, (beta_initializer, gamma_initializer), (beta_regularizer, gamma_regularizer))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for the channels in the last axis."""
        shape = self._checked(input_shape)
        if self.axis not in (-1, len(shape) - 1):
            raise ArgumentError(
                f"[GroupNormalization] {self.path} takes the channels in the last axis; got axis={self.axis} for shape "
                f"{shape}; transpose once, by layers.Permute before it, and leave axis out"
            )
        channels = shape[-1]
        if channels is not None and self.groups > 0 and channels % self.groups:
            raise ArgumentError(
                f"[GroupNormalization] groups must divide the channels; got groups={self.groups} for {channels} "
                f"channels of shape {shape}; choose a divisor, or -1 for one group per channel"
            )
        self._weigh(shape[-1:])

    def call(self, x: Tensor) -> Tensor:
        """Each group of each sample normalised."""
        self._refuse_other(x.shape, self._features)
        groups = x.shape[-1] if self.groups == -1 else self.groups
        return ops.group_norm(x, self.gamma, self.beta, groups, self.epsilon)
