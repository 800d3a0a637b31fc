"""Transformers: one that goes on with a text (Radford et al. 2018, 2019), one that tells what a sequence is."""

from __future__ import annotations

import math
from typing import Any

from tinyres.engine.state import name_scope
from tinyres.errors import ArgumentError
from tinyres.layers.activation import Activation
from tinyres.layers.dense import Dense
from tinyres.layers.dropout import Dropout
from tinyres.layers.embedding import Embedding, ReversibleEmbedding
from tinyres.layers.group_norm import LayerNormalization
from tinyres.layers.merge import Add
from tinyres.layers.pooling import GlobalAveragePooling1D
from tinyres.layers.positions import PositionEmbedding, SinePositionEncoding
from tinyres.layers.scaling import Rescaling
from tinyres.layers.transformer import TRANSFORMERS
from tinyres.model import Model
from tinyres.nn.initializers import RandomNormal
from tinyres.nn.layer import Layer
from tinyres.nn.operators import Input

_DEVIATION = 0.02  # of GPT-2's weights
_POSITIONS = ("learned", "sine", "rotary")
_WAVELENGTH = 10_000  # of the slowest pair of features that turns


def gpt(
    vocabulary: int,
    context: int,
    layers: int = 4,
    heads: int = 4,
    width: int = 128,
    norm: str = "pre",
    dropout: float = 0.0,
    tied: bool = True,
    hidden: int | None = None,
    use_bias: bool = True,
    positions: str = "learned",
    activation: str | None = "softmax",
    name: str | None = None,
) -> Model:
    """A Transformer that goes on with a text: ids (batch, tokens) give what comes next at each place. New, untrained.

    vocabulary: how many ids there are. context: how many tokens it looks at, at most. layers: blocks, each of attention
    and a net of two Dense with gelu between, `hidden` units (4 · width). norm: "pre", "post", "deepnorm" or "rezero",
    as in layers.blocks. tied: the scores are products with the very table of the ids. positions: "learned",
    "sine", or "rotary": queries and keys of each attention are turned by their places.
    activation: of the output, None for scores. "pre" and "rezero" begin as GPT-2 does: deviation 0.02, kernels that end
    a branch over √(2 · layers); "post" and "deepnorm" as their papers do: Glorot, and embeddings of variance 1.
    Parameters of gpt(50257, 1024, 12, 12, 768), which is GPT-2: 124,439,808.
    Raises ArgumentError for another norm, or heads that do not divide the width.

    >>> import tinyres as tr
    >>> model = tr.applications.gpt(66, context=64)
    >>> model.output_shape, model.count_params()
    ((None, None, 66), 809984)
    """
    _check("gpt", norm, positions)
    unit = norm in ("post", "deepnorm")
    inputs = Input(shape=(None,), dtype="int64", name="ids")
    drawn = RandomNormal(stddev=width**-0.5 if unit else _DEVIATION)
    table = ReversibleEmbedding(vocabulary, width, tied, embeddings_initializer=drawn, name="tokens")
    x = _placed(table(inputs), context, positions, unit, dropout)
    options: dict[str, Any] = {"causal": True, "dropout": dropout, "hidden": hidden, "use_bias": use_bias}
    x = _blocks(x, layers, heads, norm, positions, options)
    if norm == "pre":
        x = LayerNormalization(epsilon=1e-5, center=use_bias, name="final_norm")(x)
    outputs = table(x, reverse=True)
    return Model(inputs, outputs if activation is None else Activation(activation, name="next")(outputs), name=name)


def transformer_encoder(
    classes: int,
    context: int,
    layers: int = 4,
    heads: int = 4,
    width: int = 128,
    norm: str = "pre",
    dropout: float = 0.0,
    vocabulary: int | None = None,
    features: int | None = None,
    padding: int | None = None,
    hidden: int | None = None,
    positions: str = "learned",
    activation: str | None = "softmax",
    name: str | None = None,
) -> Model:
    """A Transformer that tells the class of a sequence, by the mean over its tokens; new and untrained.

    vocabulary: sequences are ids (batch, tokens) below it; or else features: they are floats (batch, tokens, features).
    context: how many tokens it looks at, at most. padding: the id that fills up short sequences, which nobody sees and
    the mean leaves out. The other options are those of `gpt`; tokens see one another all.
    Raises ArgumentError unless one of vocabulary and features is given, and for padding among features.

    >>> import tinyres as tr
    >>> model = tr.applications.transformer_encoder(10, context=28, features=28)
    >>> model.output_shape
    (None, 10)
    """
    _check("transformer_encoder", norm, positions)
    if (vocabulary is None) == (features is None):
        raise ArgumentError(
            "[transformer_encoder] sequences are ids below vocabulary, or have features; got "
            f"vocabulary={vocabulary!r} and features={features!r}; give one of them"
        )
    if padding is not None and vocabulary is None:
        raise ArgumentError(
            f"[transformer_encoder] padding is an id below vocabulary; got {padding!r} among features; leave it out"
        )
    unit = norm in ("post", "deepnorm")
    drawn = RandomNormal(stddev=width**-0.5 if unit else _DEVIATION)
    inputs: Any
    if vocabulary is not None:
        inputs = Input(shape=(None,), dtype="int64", name="ids")
        x = Embedding(vocabulary, width, embeddings_initializer=drawn, name="tokens")(inputs)
    else:
        inputs = Input(shape=(None, features))
        x = Dense(width, name="tokens")(inputs)
    x = _placed(x, context, positions, unit and vocabulary is not None, dropout)
    counts = None if padding is None else inputs != padding
    seen = None if counts is None else counts[:, None, :]
    x = _blocks(x, layers, heads, norm, positions, {"dropout": dropout, "hidden": hidden, "mask": seen})
    if norm == "pre":
        x = LayerNormalization(epsilon=1e-5, name="final_norm")(x)
    x = GlobalAveragePooling1D(name="mean")(x, **({} if counts is None else {"mask": counts}))
    return Model(inputs, Dense(classes, activation, name="classes")(x), name=name)


def _placed(x: Any, context: int, positions: str, unit: bool, dropout: float) -> Any:
    """Embedded tokens with where they stand."""
    width = x.shape[-1]
    if unit:
        x = Rescaling(math.sqrt(width), name="tokens_scale")(x)
    if positions == "rotary":
        return Dropout(dropout, name="embedded_dropout")(x) if dropout else x
    where: Layer
    if positions == "sine":
        where = SinePositionEncoding(name="positions")
    else:
        where = PositionEmbedding(context, RandomNormal(stddev=1.0 if unit else _DEVIATION), name="positions")
    x = Add(name="embedded")([x, where(x)])
    return Dropout(dropout, name="embedded_dropout")(x) if dropout else x


def _blocks(x: Any, count: int, heads: int, norm: str, positions: str, options: dict[str, Any]) -> Any:
    options = {**options, "rotary": _WAVELENGTH if positions == "rotary" else None}
    if norm == "deepnorm":
        options = {**options, "depth": count}
    elif norm != "post":
        options = {
            **options,
            "kernel_initializer": RandomNormal(stddev=_DEVIATION),
            "output_initializer": RandomNormal(stddev=_DEVIATION / math.sqrt(2 * count)),
        }
    for i in range(count):
        with name_scope(f"block{i}"):
            x = TRANSFORMERS[norm](x, heads, **options)
    return x


def _check(owner: str, norm: Any, positions: Any) -> None:
    for what, value, known in (("norm", norm, TRANSFORMERS), ("positions", positions, _POSITIONS)):
        if value not in known:
            raise ArgumentError(f"[{owner}] {what} is one of {', '.join(known)}; got {value!r}; choose one of them")
