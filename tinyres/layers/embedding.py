"""Embedding: whole numbers to learned rows, and the same table the other way round, for what a net answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.tensor import FLOATS, Parameter, Tensor, tensor
from tinyres.errors import ArgumentError, DTypeError, ShapeError
from tinyres.kernels.dtypes import INT64
from tinyres.nn import regularizers
from tinyres.nn.layer import Layer, made_by_build
from tinyres.nn.layouts import Layout
from tinyres.ops.gather import rows_of


class Embedding(Layer):
    """A learned vector for each whole number: ids of shape (...) give (..., output_dim).

    input_dim: how many ids there are, 0..input_dim - 1. output_dim: the size of a vector. Weight: embeddings
    (input_dim, output_dim). Ids may come as floats, as of an Input without dtype, which are cut to whole numbers.
    Raises ArgumentError for sizes below 1 and for mask_zero, which would let later layers leave out id 0: masks do not
    travel with tensors here; IndexError for ids out of range, before any is used.

    >>> import tinyres as tr
    >>> layer = tr.layers.Embedding(3, 2, embeddings_initializer="ones")
    >>> layer([[0, 2]]).shape
    (1, 2, 2)
    """

    by_token = True

    layouts = {"embeddings": Layout("weight")}
    embeddings: Parameter = made_by_build()

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        mask_zero: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.input_dim = at_least_1(self, "input_dim", "the number of ids", input_dim)
        self.output_dim = at_least_1(self, "output_dim", "the size of a vector", output_dim)
        self.embeddings_initializer = embeddings_initializer
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        if mask_zero:
            raise ArgumentError(
                f"[{type(self).__name__}] masks do not travel with tensors; got mask_zero={mask_zero!r}; leave it "
                "out and give the mask where it counts: attention_mask=(ids != 0)[:, None, :] to MultiHeadAttention, "
                "and ignore_class=0 to the loss"
            )
        self.mask_zero = False

    def build(self, input_shape: Any) -> None:
        """Make the table."""
        shape = self.input_dim, self.output_dim
        regularizer = self.embeddings_regularizer
        self.embeddings = self.add_weight("embeddings", shape, self.embeddings_initializer, regularizer=regularizer)

    def call(self, inputs: Tensor) -> Tensor:
        """The rows of these ids."""
        ids = inputs if inputs.dtype is INT64 else ops.astype(inputs, INT64)
        return rows_of(type(self).__name__, self.embeddings, ids)

    def _as_tensor(self, value: Any) -> Any:
        return as_ids(type(self).__name__, value)


def as_ids(owner: str, value: Any) -> Any:
    """An array or list of whole numbers as a Tensor of int64; a Tensor as it is."""
    if isinstance(value, Tensor) or value is None:
        return value
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError(
            f"[{owner}] ids stand in one array; got a ragged {type(value).__name__}; make all rows the same length"
        ) from None
    if array.dtype.kind == "f" and array.size and not np.all((np.abs(array) < 2.0**53) & (array == np.floor(array))):
        raise DTypeError(
            f"[{owner}] ids are whole numbers; got {array.dtype} of shape {array.shape} with others; number the tokens"
        )
    if array.dtype.kind not in "iuf":
        raise DTypeError(
            f"[{owner}] ids are whole numbers; got {array.dtype} of shape {array.shape}; number the tokens"
        )
    return tensor(array.astype(np.int64), dtype=INT64)


class ReversibleEmbedding(Embedding):
    """An Embedding that can be called the other way round too: vectors (..., output_dim) give scores (..., input_dim).

    tie_weights: the scores are products with the very rows of the table (Press and Wolf 2017); else with a kernel of
    their own. reverse=True in a call is the way back. logit_soft_cap: scores are cap · tanh(score / cap).
    Weights: embeddings (input_dim, output_dim); without tie_weights also reverse_embeddings (output_dim, input_dim).
    Raises ShapeError for vectors of another size.

    >>> import tinyres as tr
    >>> layer = tr.layers.ReversibleEmbedding(3, 2, embeddings_initializer="ones")
    >>> layer(layer([1]), reverse=True).tolist()
    [[2.0, 2.0, 2.0]]
    """

    reverse_embeddings: Parameter = made_by_build()

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        mask_zero: bool = False,
        logit_soft_cap: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(input_dim, output_dim, embeddings_initializer, embeddings_regularizer, mask_zero, name)
        self.tie_weights = bool(tie_weights)
        if logit_soft_cap is not None and not logit_soft_cap > 0:
            raise ArgumentError(
                f"[ReversibleEmbedding] logit_soft_cap is a number above 0; got {logit_soft_cap!r}; or leave it out"
            )
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: Any) -> None:
        """Make the table, and the kernel of the way back where it is another."""
        super().build(input_shape)
        if not self.tie_weights:
            shape = self.output_dim, self.input_dim
            self.reverse_embeddings = self.add_weight("reverse_embeddings", shape, self.embeddings_initializer)

    def call(self, inputs: Tensor, reverse: bool = False) -> Tensor:
        """The rows of these ids, or the scores of these vectors."""
        if not reverse:
            return super().call(inputs)
        if inputs.dtype not in FLOATS or inputs.shape[-1:] != (self.output_dim,):
            raise ShapeError(
                f"[ReversibleEmbedding] the way back takes vectors of {self.output_dim} floats in the last axis; got "
                f"{inputs.dtype} of shape {inputs.shape}; give it what the net made of the embeddings"
            )
        if self.tie_weights:
            scores = ops.matmul(inputs, self.embeddings, False, True)
        else:
            scores = ops.matmul(inputs, self.reverse_embeddings)
        cap = self.logit_soft_cap
        return scores if cap is None else ops.tanh(scores / cap) * cap

    def __call__(self, inputs: Any, reverse: bool = False, **options: Any) -> Any:
        """The rows of these ids, or with `reverse` the scores of these vectors."""
        if reverse and not hasattr(inputs, "producer"):
            inputs = inputs if isinstance(inputs, Tensor) else tensor(inputs, dtype=self.dtype)
        return super().__call__(inputs, **({"reverse": True} if reverse else {}), **options)


def at_least_1(owner: Layer, what: str, meaning: str, value: Any) -> int:
    """A size of a layer, checked."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        name = type(owner).__name__
        raise ArgumentError(f"[{name}] {what} is {meaning}, at least 1; got {value!r}; give an integer")
    return int(value)
