"""Layers that bring to a scale: Rescaling by given numbers, Normalization by those of data, Scale by a learned one."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.tensor import Parameter, Tensor, constant
from tinyres.errors import ArgumentError, ShapeError, refuse_masked
from tinyres.nn.layer import Layer, SingleInput, made_by_build

_EPSILON = 1e-7  # Keras' least deviation to divide by


class Rescaling(SingleInput):
    """x · scale + offset: `Rescaling(1 / 255)` for bytes. The output has the shape of the input.

    scale, offset: numbers, or one for each feature of the last axis. Raises ArgumentError for what are no numbers.

    >>> import tinyres as tr
    >>> tr.layers.Rescaling(0.5, offset=-1.0)(tr.tensor([2.0, 4.0]))
    Tensor([0., 1.], shape=(2,), dtype=float32)
    """

    by_token = True

    def __init__(self, scale: Any, offset: Any = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        self.scale = _numbers("Rescaling", "scale", scale)
        self.offset = _numbers("Rescaling", "offset", offset)

    def call(self, x: Tensor) -> Tensor:
        """x rescaled."""
        return x * constant(self.scale, x.dtype) + constant(self.offset, x.dtype)


class Normalization(SingleInput):
    """(x - mean) / √variance per feature of the last axis, of the data that `adapt` was shown.

    axis: -1, or None for one mean and variance of all elements. mean, variance: given, instead of `adapt`.
    invert: x · √variance + mean. Weights, which no optimizer moves: mean, variance, count; none where they are given.
    Raises ArgumentError for another axis, or for one of mean and variance alone.

    >>> import tinyres as tr
    >>> layer = tr.layers.Normalization()
    >>> layer.adapt([[1.0], [3.0]])
    >>> layer(tr.tensor([[1.0], [3.0]]))
    Tensor([[-1.],
            [ 1.]], shape=(2, 1), dtype=float32)
    """

    mean_weight: Parameter = made_by_build()
    variance_weight: Parameter = made_by_build()
    count: Parameter = made_by_build()

    def __init__(
        self,
        axis: int | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        if axis not in (-1, None):
            raise ArgumentError(
                f"[Normalization] features stand in the last axis; got axis={axis!r}; use -1, None for all elements, "
                "or layers.Permute before it"
            )
        if (mean is None) != (variance is None):
            raise ArgumentError("[Normalization] mean and variance come together; got one of them; give both or none")
        self.axis = axis
        self.mean = None if mean is None else _numbers("Normalization", "mean", mean)
        self.variance = None if variance is None else _numbers("Normalization", "variance", variance)
        self.invert = bool(invert)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the statistics for the features in the last axis, unless they were given."""
        if self.mean is not None:
            return
        if not isinstance(input_shape, tuple) or len(input_shape) < 2:
            raise ShapeError(
                f"[Normalization] {self.path} takes a batch of shape (n, features); got shape {input_shape}; "
                "for one feature use x.reshape(-1, 1)"
            )
        shape: Any = () if self.axis is None else (input_shape[-1],)
        self.mean_weight = self.add_weight("mean", shape, "zeros", trainable=False)
        self.variance_weight = self.add_weight("variance", shape, "ones", trainable=False)
        self.count = self.add_weight("count", (), "zeros", trainable=False)

    def adapt(self, data: Any) -> None:
        """Take mean and variance (biased, as in Keras) from this array of samples.

        Raises ArgumentError for none, and where mean and variance were given.
        """
        if self.mean is not None:
            raise ArgumentError("[Normalization] mean and variance were given; got adapt as well; leave one out")
        refuse_masked("Normalization", data)
        array = np.asarray(data, np.float64)
        if array.ndim < 2 or not array.size:
            raise ShapeError(f"[Normalization] adapt takes (samples, features); got shape {array.shape}; give samples")
        if not self.built:
            self.build((None, *array.shape[1:]))
        axes = None if self.axis is None else tuple(range(array.ndim - 1))
        mean, variance = array.mean(axis=axes), array.var(axis=axes)
        if mean.shape != self.mean_weight.shape:
            raise ShapeError(
                f"[Normalization] {self.path} was built for {self.mean_weight.shape[0]} features in the last axis; "
                f"got shape {array.shape}; use another layer"
            )
        self.mean_weight.assign(mean)
        self.variance_weight.assign(variance)
        self.count.assign(np.asarray(float(array.size // max(mean.size, 1))))

    def call(self, x: Tensor) -> Tensor:
        """x normalised, or with invert brought back."""
        if self.mean is not None and self.variance is not None:
            mean, variance = constant(self.mean, x.dtype), constant(self.variance, x.dtype)
        else:
            mean, variance = self.mean_weight, self.variance_weight
        deviation = ops.maximum(ops.sqrt(variance), _EPSILON)
        return x * deviation + mean if self.invert else (x - mean) / deviation


class Scale(Layer):
    """Multiply by one number that is learned. The output has the shape of the input.

    initializer: what the number starts from, as for any weight. Weight: scale (1,).

    >>> import tinyres as tr
    >>> tr.layers.Scale("zeros")(tr.tensor([[1.0, 2.0]])).tolist()
    [[0.0, 0.0]]
    """

    by_token = True

    scale: Parameter = made_by_build()

    def __init__(self, initializer: Any = "ones", name: str | None = None) -> None:
        super().__init__(name)
        self.initializer = initializer

    def build(self, input_shape: Any) -> None:
        """Make the number."""
        self.scale = self.add_weight(name="scale", shape=(1,), initializer=self.initializer)

    def call(self, x: Tensor) -> Tensor:
        """x times the number."""
        return x * self.scale


def _numbers(owner: str, what: str, value: Any) -> Any:
    """A number, or an array of one per feature."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        raise ArgumentError(f"[{owner}] {what} is a finite number, or one per feature; got {value!r}; choose another")
    return array.item() if array.ndim == 0 else array
