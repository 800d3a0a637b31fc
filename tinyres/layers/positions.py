"""Where in a text a token stands: learned vectors, sines, and rotations of what attention compares.

A layer of this file is told `start_index`, the place of the first token that it sees, where a text comes in pieces.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.tensor import Parameter, Tensor, tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.launch import DryRecorder, door
from tinyres.layers.embedding import at_least_1
from tinyres.nn.layer import SingleInput, made_by_build
from tinyres.nn.layouts import Layout


class PositionEmbedding(SingleInput):
    """A learned vector for each place: (..., tokens, dim) gives the vectors of the places in its shape, to be added.

    sequence_length: how many places there are. Weight: embeddings (sequence_length, dim).
    Raises ShapeError for more tokens than places.

    >>> import tinyres as tr
    >>> layer = tr.layers.PositionEmbedding(4, initializer="ones")
    >>> layer(tr.zeros((1, 2, 3))).tolist()
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]
    """

    places, reads_values = True, False
    layouts = {"embeddings": Layout("weight")}
    embeddings: Parameter = made_by_build()

    def __init__(self, sequence_length: int, initializer: Any = "glorot_uniform", name: str | None = None) -> None:
        super().__init__(name)
        self.sequence_length = at_least_1(self, "sequence_length", "the number of places", sequence_length)
        self.initializer = initializer

    def build(self, input_shape: Any) -> None:
        """Make the vectors."""
        _check_axes("PositionEmbedding", input_shape)
        self._check(input_shape[-2], 0)
        self.embeddings = self.add_weight("embeddings", (self.sequence_length, input_shape[-1]), self.initializer)

    def call(self, inputs: Tensor, start_index: int = 0) -> Tensor:
        """The vectors of the places of these tokens."""
        tokens = inputs.shape[-2]
        if isinstance(door.recorder, DryRecorder) and tokens > self.sequence_length:
            return ops.broadcast_to(self.embeddings[:1], inputs.shape)  # how many there will be is not known yet
        self._check(tokens, start_index)
        rows = self.embeddings[start_index : start_index + tokens]
        return ops.broadcast_to(rows, inputs.shape)

    def _check(self, tokens: int | None, start: int) -> None:
        if tokens is not None and start + tokens > self.sequence_length:
            after = f" after {start}" if start else ""
            raise ShapeError(
                f"[PositionEmbedding] {self.path} has {self.sequence_length} places; got {tokens} tokens{after}; cut "
                "the text, or make the layer with a larger sequence_length"
            )


class SinePositionEncoding(SingleInput):
    """Sines and cosines of the place, of falling frequency: (..., tokens, dim) gives them in its shape, to be added.

    max_wavelength: of the slowest, in tokens / 2π. Element 2i is sin(place / max_wavelength^(2i / dim)), 2i + 1 the
    cosine of the same (Vaswani et al. 2017).

    >>> import tinyres as tr
    >>> tr.layers.SinePositionEncoding()(tr.zeros((1, 2, 2)))
    Tensor([[[0.    , 1.    ],
             [0.8415, 0.5403]]], shape=(1, 2, 2), dtype=float32)
    """

    places, reads_values = True, False

    def __init__(self, max_wavelength: float = 10000, name: str | None = None) -> None:
        super().__init__(name)
        self.max_wavelength = wavelength_of("SinePositionEncoding", max_wavelength)

    def build(self, input_shape: Any) -> None:
        """Check that there are tokens."""
        _check_axes("SinePositionEncoding", input_shape)

    def call(self, inputs: Tensor, start_index: int = 0) -> Tensor:
        """The sines and cosines of the places of these tokens."""
        tokens, dim = inputs.shape[-2:]
        i = np.arange(dim)
        rates = float(self.max_wavelength) ** (-2.0 * (i // 2) / dim)
        angles = np.arange(start_index, start_index + tokens)[:, None] * rates
        values = np.where(i % 2, np.cos(angles), np.sin(angles))
        return ops.broadcast_to(tensor(values, dtype=inputs.dtype), inputs.shape)


class RotaryEmbedding(SingleInput):
    """Turn pairs of features by angles that grow with the place, so that products of two depend on their distance.

    max_wavelength: of the slowest, in tokens / 2π. scaling_factor: places are divided by it. sequence_axis,
    feature_axis: where tokens and features stand; feature i is paired with i + dim / 2. Queries and keys of
    (batch, tokens, heads, dim) are given it before they meet (Su et al. 2021).
    Raises ShapeError for an odd number of features.

    >>> import tinyres as tr
    >>> tr.layers.RotaryEmbedding()(tr.ones((1, 2, 2)))
    Tensor([[[ 1.    ,  1.    ],
             [-0.3012,  1.3818]]], shape=(1, 2, 2), dtype=float32)
    """

    places = True

    def __init__(
        self,
        max_wavelength: float = 10000,
        scaling_factor: float = 1.0,
        sequence_axis: int = 1,
        feature_axis: int = -1,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.max_wavelength = wavelength_of("RotaryEmbedding", max_wavelength)
        self.scaling_factor = float(scaling_factor)
        self.sequence_axis, self.feature_axis = int(sequence_axis), int(feature_axis)

    def build(self, input_shape: Any) -> None:
        """Check that features come in pairs."""
        _check_axes("RotaryEmbedding", input_shape)
        dim = input_shape[self.feature_axis]
        if dim is None or dim % 2:
            raise ShapeError(
                f"[RotaryEmbedding] features are turned in pairs, so there is an even number of them; got {dim} in "
                f"shape {input_shape}; choose another dim"
            )

    def call(self, inputs: Tensor, start_index: int = 0) -> Tensor:
        """The features, turned."""
        axis, feature = (n % inputs.ndim for n in (self.sequence_axis, self.feature_axis))
        places = np.arange(start_index, start_index + inputs.shape[axis]) / self.scaling_factor
        return rotated(inputs, places, self.max_wavelength, axis, feature)


def rotated(x: Tensor, places: np.ndarray, max_wavelength: float, axis: int = 1, feature: int = 3) -> Tensor:
    """Pairs of features turned by the places of their tokens, which stand along `axis`; see RotaryEmbedding."""
    half = x.shape[feature] // 2
    angles = places[:, None] * float(max_wavelength) ** (-np.arange(half) / half)
    shape = [1] * x.ndim
    shape[axis], shape[feature] = len(places), half
    angles = (angles if axis < feature else angles.T).reshape(shape)
    cos, sin = (tensor(f(angles), dtype=x.dtype) for f in (np.cos, np.sin))
    first, second = ops.split(x, 2, axis=feature)
    return ops.concatenate([first * cos - second * sin, second * cos + first * sin], axis=feature)


def _check_axes(owner: str, shape: Any) -> None:
    if not isinstance(shape, tuple) or len(shape) < 3 or shape[-1] is None:
        raise ShapeError(
            f"[{owner}] it takes (batch, tokens, dim); got shape {shape}; embed the tokens first, by layers.Embedding"
        )


def wavelength_of(owner: str, value: Any, what: str = "max_wavelength") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not value > 0:
        raise ArgumentError(f"[{owner}] {what} is a number above 0; got {value!r}; choose another")
    return value if isinstance(value, int) else float(value)
