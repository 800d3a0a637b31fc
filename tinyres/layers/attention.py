"""MultiHeadAttention: what each query sees of the values, by how well it fits their keys, in several heads."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyres import ops
from tinyres.engine.state import Scope, entered, state
from tinyres.engine.tensor import Parameter, Tensor, tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.kernels.dtypes import BOOL
from tinyres.layers.drawing import Drawing
from tinyres.layers.embedding import at_least_1
from tinyres.layers.positions import rotated, wavelength_of
from tinyres.nn import initializers, regularizers
from tinyres.nn.layer import made_by_build
from tinyres.nn.layouts import Layout
from tinyres.ops.attention import attention_weights, weighted_values

_PARTS = tuple(enumerate(("query", "key", "value")))


class Heads(NamedTuple):
    """What attention is computed from: (batch, tokens, heads, dim) each."""

    query: Tensor
    key: Tensor
    value: Tensor


class MultiHeadAttention(Drawing):
    """softmax(q kᵀ / √key_dim) v in several heads side by side, with learned projections: Vaswani et al. 2017.

    Called on query (batch, tokens, dim) and value (batch, keys, dim), and on key where it differs from value; gives
    (batch, tokens, output_shape), output_shape being the query's dim if left out. key_dim, value_dim: of one head.
    dropout: the share of scores left out in training. attention_axes: the axes that are attended over, all between
    batch and dim if left out. value_initializer, output_initializer: of these kernels, where they differ from
    kernel_initializer, which draws each kernel as the matrix (inputs, heads · dim) that it is. rotary: queries and keys
    are turned by their places, with this max_wavelength, as by RotaryEmbedding.
    Weights, in Keras' order: query_kernel (dim, heads, key_dim), query_bias (heads, key_dim), the same for key and
    value, output_kernel (heads, value_dim, output_shape), output_bias. Raises ArgumentError and ShapeError for what
    does not fit.

    >>> import tinyres as tr
    >>> layer = tr.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    >>> x = tr.ones((1, 5, 8))
    >>> layer(x, x, use_causal_mask=True).shape
    (1, 5, 8)
    """

    layouts = {
        **{f"{p}_kernel": Layout("in_proj_weight", ((1, 2), (0,)), (i, 3), f"{p}_dense/vars/0") for i, p in _PARTS},
        **{f"{p}_bias": Layout("in_proj_bias", ((0, 1),), (i, 3), f"{p}_dense/vars/1") for i, p in _PARTS},
        "output_kernel": Layout("out_proj.weight", ((2,), (0, 1)), keras="output_dense/vars/0"),
        "output_bias": Layout("out_proj.bias", keras="output_dense/vars/1"),
    }
    query_kernel: Parameter = made_by_build()
    output_kernel: Parameter = made_by_build()

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        seed: int | None = None,
        value_initializer: Any = None,
        output_initializer: Any = None,
        rotary: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(seed, name)
        self.num_heads = at_least_1(self, "num_heads", "how many heads there are", num_heads)
        self.key_dim = at_least_1(self, "key_dim", "the size of one head's keys", key_dim)
        given = key_dim if value_dim is None else value_dim
        self.value_dim = at_least_1(self, "value_dim", "the size of one head's values", given)
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0.0 <= dropout < 1.0:
            raise ArgumentError(
                f"[MultiHeadAttention] dropout is the share of scores to drop, 0 <= dropout < 1; got {dropout!r}; "
                "choose one"
            )
        self.dropout = float(dropout)
        self.use_bias = bool(use_bias)
        self.output_sizes = _sizes(output_shape)
        self.attention_axes = None if attention_axes is None else _axes(attention_axes)
        self.flash_attention = flash_attention  # both ways give the same, so that there is nothing to choose
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.value_initializer, self.output_initializer = value_initializer, output_initializer
        self.rotary = None if rotary is None else wavelength_of("MultiHeadAttention", rotary, "rotary")
        if self.rotary is not None and self.key_dim % 2:
            raise ArgumentError(
                f"[MultiHeadAttention] rotary turns features in pairs, so key_dim is even; got key_dim={key_dim}; "
                "choose another"
            )
        self._dims: tuple[int, int, int] | None = None  # of query, key and value, as the first call has them

    def config(self) -> dict[str, Any]:
        """The constructor's arguments; `output_shape` of a built layer is the shape that it gave."""
        sizes = self.output_sizes
        vars(self)["output_shape"] = sizes
        try:
            return super().config()
        finally:
            del vars(self)["output_shape"]

    def __call__(self, query: Any, value: Any = None, key: Any = None, **options: Any) -> Any:
        """Attention of the queries over the values. Builds the layer the first time; see `call`."""
        if value is None:
            raise ArgumentError(
                "[MultiHeadAttention] it is called on queries and values; got queries alone; for attention of a "
                "sequence to itself write layer(x, x)"
            )
        return super().__call__(query, value, *(() if key is None else (key,)), **options)

    def build_for(self, args: Sequence[Any]) -> None:
        """Build for these arguments; query, key and value may have dims of their own."""
        if not self.built and len(args) > 1:
            query, value, *key = args
            self._dims = tuple(_dim(x) for x in (query, *(key or [value]), value))  # type: ignore[assignment]
        super().build_for(args)

    def build(self, input_shape: Any) -> None:
        """Make the weights for queries of this shape, and keys and values of the same dim unless a call has told."""
        dims = self._dims or (_dim(_Shaped(input_shape)),) * 3
        self.query_kernel, self.query_bias = self._projection("query", dims[0], self.key_dim, None)
        self.key_kernel, self.key_bias = self._projection("key", dims[1], self.key_dim, None)
        self.value_kernel, self.value_bias = self._projection("value", dims[2], self.value_dim, self.value_initializer)
        out = self.output_sizes or (dims[0],)
        shape = self.num_heads, self.value_dim, *out
        matrix = self.num_heads * self.value_dim, math.prod(out)
        self.output_kernel = self._kernel("output_kernel", shape, matrix, self.output_initializer)
        self.output_bias = self._bias("output_bias", out)

    def _projection(self, part: str, dim: int, size: int, initializer: Any) -> tuple[Parameter, Parameter | None]:
        shape, matrix = (dim, self.num_heads, size), (dim, self.num_heads * size)
        return self._kernel(f"{part}_kernel", shape, matrix, initializer), self._bias(f"{part}_bias", shape[1:])

    def _kernel(self, leaf: str, shape: tuple[int, ...], matrix: tuple[int, int], initializer: Any) -> Parameter:
        drawing = initializers.get(self.kernel_initializer if initializer is None else initializer)
        kernel = self.add_weight(
            leaf, shape, lambda _: np.asarray(drawing(matrix)).reshape(shape), regularizer=self.kernel_regularizer
        )
        initializers.note_drawn(kernel, drawing)
        return kernel

    def _bias(self, leaf: str, shape: tuple[int, ...]) -> Parameter | None:
        if not self.use_bias:
            return None
        return self.add_weight(leaf, shape, self.bias_initializer, regularizer=self.bias_regularizer)

    def layout_of(self, leaf: str) -> Layout:
        """How a weight stands in PyTorch and Keras: in one with the others, unless keys or values have another dim."""
        layout = super().layout_of(leaf)
        part = leaf.partition("_")[0]
        apart = len({kernel.shape[0] for kernel in (self.query_kernel, self.key_kernel, self.value_kernel)}) > 1
        if apart and layout.name == "in_proj_weight":
            return dataclasses.replace(layout, name=f"{part[0]}_proj_weight", part=(0, 1))
        return layout

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
        training: bool = False,
    ) -> Any:
        """What the queries see of the values; with return_attention_scores (that, scores (batch, heads, tokens, keys)).

        attention_mask: where it is true (or 1), a query sees a key: (batch, tokens, keys), sizes of 1 and missing
        leading axes stand for all, and (batch, heads, tokens, keys) tells heads apart. query_mask (batch, tokens),
        value_mask, key_mask (batch, keys): true for tokens that count. use_causal_mask: a query sees no later key.
        A query that sees no key gets 0 of every value.
        """
        key = value if key is None else key
        lead = query.shape
        if self.attention_axes is not None:
            query, key, value = (_attended_last(x, self.attention_axes) for x in (query, key, value))
        elif query.ndim > 3:
            query, key, value = (ops.reshape(x, (x.shape[0], -1, x.shape[-1])) for x in (query, key, value))
        heads = self.projected(query, key, value)
        masks = [_as_mask(query_mask, 1), _as_mask(value_mask, 2), _as_mask(key_mask, 2), _as_mask(attention_mask, 0)]
        given = [checked for each in masks if (checked := _checked_mask(each, heads)) is not None]
        mask = functools.reduce(ops.bitwise_and, given) if given else None
        if return_attention_scores or (self.dropout and training):
            seen, scores = self._composed(heads, mask, use_causal_mask, training)
        else:
            seen, scores = ops.dot_product_attention(*heads, mask=mask, is_causal=use_causal_mask), None
        output = self._unfolded(self.joined(seen), lead)
        return (output, scores) if return_attention_scores else output

    def projected(self, query: Tensor, key: Tensor, value: Tensor, start: int = 0) -> Heads:
        """Queries, keys and values of each head; start: the place of the first of them."""
        return Heads(
            self._turned("query", self._heads("query", query, self.query_kernel, self.query_bias), start),
            self._turned("key", self._heads("key", key, self.key_kernel, self.key_bias), start),
            self._heads("value", value, self.value_kernel, self.value_bias),
        )

    def _turned(self, part: str, heads: Tensor, start: int) -> Tensor:
        if self.rotary is None:
            return heads
        with self._part(part):
            return rotated(heads, np.arange(start, start + heads.shape[1]), self.rotary)

    def joined(self, seen: Tensor) -> Tensor:
        """What the heads saw, (batch, tokens, heads, value_dim), as one output per token."""
        with self._part("output"):
            kernel, bias = self.output_kernel, self.output_bias
            flat = ops.reshape(seen, (*seen.shape[:2], -1))
            out = kernel.shape[2:]
            y = ops.dense(
                flat,
                ops.reshape(kernel, (flat.shape[-1], -1)),
                bias if bias is None or len(out) == 1 else ops.reshape(bias, (-1,)),
            )
            return y if len(out) == 1 else ops.reshape(y, (*y.shape[:-1], *out))

    def looks_back(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a token sees itself and earlier ones alone, in a call on these arguments."""
        query, *others = args
        told = {name for name, value in kwargs.items() if value is not None and value is not False}
        itself = all(other is query for other in others if other is not None)
        return itself and query.ndim == 3 and self.attention_axes is None and told == {"use_causal_mask"}

    def continued(self, x: Tensor, past: Heads | None) -> tuple[Tensor, Heads]:
        """(what these tokens see of earlier ones and of themselves, the keys and values of all), in inference."""
        query, key, value = self.projected(x, x, x, start=0 if past is None else past.key.shape[1])
        if past is not None:
            key, value = (ops.concatenate(pair, axis=1) for pair in ((past.key, key), (past.value, value)))
        seen = ops.dot_product_attention(query, key, value, is_causal=True, offset=key.shape[1] - query.shape[1])
        return self.joined(seen), Heads(query, key, value)

    def _heads(self, part: str, x: Tensor, kernel: Parameter, bias: Parameter | None) -> Tensor:
        dim, heads, size = kernel.shape
        if x.shape[-1] != dim or x.ndim != 3:
            raise ShapeError(
                f"[MultiHeadAttention] {self.path} takes a {part} of shape (batch, tokens, {dim}); got {x.shape}; use "
                "another layer for another width"
            )
        with self._part(part):
            flat = bias if bias is None else ops.reshape(bias, (-1,))
            y = ops.dense(x, ops.reshape(kernel, (dim, heads * size)), flat)
            return ops.reshape(y, (*x.shape[:2], heads, size))

    def _composed(self, heads: Heads, mask: Tensor | None, causal: bool, training: bool) -> tuple[Tensor, Tensor]:
        """The same with the scores as a Tensor of their own, which dropout and the caller need."""
        with self._part("scores"):
            scores = attention_weights(heads.query, heads.key, mask=mask, is_causal=causal)
            kept = scores
            if self.dropout and training:
                kept = ops.dropout(scores, self.dropout, self._source)
            return weighted_values(kept, heads.value), scores

    def _unfolded(self, y: Tensor, lead: tuple[int, ...]) -> Tensor:
        if self.attention_axes is None:
            return y if len(lead) == 3 else ops.reshape(y, (*lead[:-1], *y.shape[2:]))
        axes = _positive(self.attention_axes, len(lead))
        order = [*(i for i in range(len(lead) - 1) if i not in axes), *axes]
        y = ops.reshape(y, (*(lead[i] for i in order), *y.shape[2:]))
        back = [order.index(i) for i in range(len(order))]
        return ops.transpose(y, (*back, *range(len(order), y.ndim)))

    @contextlib.contextmanager
    def _part(self, name: str) -> Iterator[None]:
        """Within, ops are named as a part of this layer, and stay in its block."""
        outer = state.scope
        if outer is None:
            yield
            return
        with entered(Scope(f"{outer.path}/{name}", outer.block, None, outer, outer.source)):
            yield

    def compute_output_shape(self, input_shape: Any, value_shape: Any = None, key_shape: Any = None) -> Any:
        """The shape of the output for queries of this shape."""
        return (*tuple(input_shape)[:-1], *(self.output_sizes or (tuple(input_shape)[-1],)))


def _as_mask(mask: Any, axes: int) -> Tensor | None:
    """A mask as bools. axes: 1 (batch, tokens) and 2 (batch, keys) are given the axis that they lack."""
    if mask is None:
        return None
    if not isinstance(mask, Tensor):
        mask = tensor(np.asarray(mask) != 0, dtype=BOOL)
    t = mask if mask.dtype is BOOL else ops.not_equal(mask, 0)
    return ops.expand_dims(t, 2 if axes == 1 else 1) if axes else t


def _checked_mask(mask: Tensor | None, heads: Heads) -> Tensor | None:
    """The mask with four axes, if it broadcasts to the scores."""
    if mask is None:
        return None
    batch, tokens, count, _ = heads.query.shape
    wanted = batch, count, tokens, heads.key.shape[1]
    shape = mask.shape
    if mask.ndim == 3:
        mask = ops.expand_dims(mask, 1)
    fits = 2 <= mask.ndim <= 4 and all(n in (1, m) for n, m in zip(mask.shape[::-1], wanted[::-1]))
    if not fits:
        raise ShapeError(
            f"[MultiHeadAttention] attention_mask has shape (batch, tokens, keys), here {(batch, *wanted[2:])}; got "
            f"{shape}; for a mask of padding write mask[:, None, :]"
        )
    return mask


def _attended_last(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """(all other axes, those attended over, dim)."""
    chosen = _positive(axes, x.ndim)
    free = [i for i in range(x.ndim - 1) if i not in chosen]
    turned = ops.transpose(x, (*free, *chosen, x.ndim - 1))
    sizes = [x.shape[i] for i in free]
    return ops.reshape(turned, (math.prod(sizes), math.prod(x.shape[i] for i in chosen), x.shape[-1]))


def _positive(axes: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    found = tuple(axis % ndim if -ndim <= axis < ndim else -1 for axis in axes)
    if any(not 0 < axis < ndim - 1 for axis in found) or len(set(found)) < len(found):
        raise ArgumentError(
            f"[MultiHeadAttention] attention_axes lie between the batch and the last axis; got {axes} for {ndim} axes; "
            "choose others"
        )
    return found


class _Shaped(NamedTuple):
    shape: Any


def _dim(x: Any) -> int:
    shape = getattr(x, "shape", None)
    if not isinstance(shape, tuple) or len(shape) < 3 or shape[-1] is None:
        raise ShapeError(
            f"[MultiHeadAttention] it takes (batch, tokens, dim); got shape {shape}; for one sequence use x[None]"
        )
    return int(shape[-1])


def _sizes(output_shape: Any) -> tuple[int, ...] | None:
    if output_shape is None:
        return None
    sizes = (output_shape,) if isinstance(output_shape, (int, np.integer)) else tuple(output_shape)
    if not sizes or any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1 for n in sizes):
        raise ArgumentError(
            f"[MultiHeadAttention] output_shape is the size of the output per token; got {output_shape!r}; "
            "give an integer"
        )
    return tuple(int(n) for n in sizes)


def _axes(axes: Any) -> tuple[int, ...]:
    return (int(axes),) if isinstance(axes, (int, np.integer)) else tuple(int(axis) for axis in axes)
