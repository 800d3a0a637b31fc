"""Transformer blocks: attention and a small net for each token, and four ways to put them around a skip.

They differ in where the normalisation stands and in how large the branches begin, which is what decides how the
gradient comes through many of them. Each takes and gives (batch, tokens, width), so blocks stack.

Sources: Vaswani et al. 2017 (arXiv:1706.03762, post), Xiong et al. 2020 (arXiv:2002.04745, pre), Wang et al. 2022
(arXiv:2203.00555, DeepNorm), Bachlechner et al. 2020 (arXiv:2003.04887, ReZero).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.layers.attention import MultiHeadAttention
from tinyres.layers.dense import Dense
from tinyres.layers.dropout import Dropout
from tinyres.layers.group_norm import LayerNormalization
from tinyres.layers.merge import Add
from tinyres.layers.scaling import Scale
from tinyres.nn.initializers import VarianceScaling
from tinyres.nn.options import refuse_option


@dataclass(frozen=True)
class _Form:
    """The options that all blocks have.

    heads: of the attention, a divisor of the width. hidden: units between the two Dense, 4 · width if left out.
    causal: a token sees none that comes later. mask: where it is true a token sees another, (batch, tokens, tokens).
    rotary: of the attention. dropout: of scores, and of what each branch gives. activation: between the two Dense.
    epsilon: of normalisations.
    kernel_initializer: of all kernels. output_initializer: of those that end a branch, value_initializer: of those that
    come before them in it, where they differ.
    """

    heads: int
    hidden: int | None = None
    causal: bool = False
    mask: Any = None
    rotary: float | None = None
    dropout: float = 0.0
    activation: Any = "gelu"
    use_bias: bool = True
    epsilon: float = 1e-5
    kernel_initializer: Any = "glorot_uniform"
    value_initializer: Any = None
    output_initializer: Any = None

    def attention(self, x: Any) -> Any:
        """What the tokens see of one another."""
        layer = MultiHeadAttention(
            self.heads,
            x.shape[-1] // self.heads,
            dropout=self.dropout,
            use_bias=self.use_bias,
            kernel_initializer=self.kernel_initializer,
            value_initializer=self.value_initializer,
            output_initializer=self.output_initializer,
            rotary=self.rotary,
            name="attention",
        )
        masks = {"attention_mask": self.mask} if self.mask is not None else {}
        return self._dropped(layer(x, x, use_causal_mask=self.causal, **masks), "attention_dropout")

    def mlp(self, x: Any) -> Any:
        """Two Dense, for each token alone."""
        width = x.shape[-1]
        first, last = self.value_initializer, self.output_initializer
        first, last = (self.kernel_initializer if each is None else each for each in (first, last))
        y = Dense(self.hidden or 4 * width, self.activation, self.use_bias, first, name="mlp_hidden")(x)
        y = Dense(width, use_bias=self.use_bias, kernel_initializer=last, name="mlp_output")(y)
        return self._dropped(y, "mlp_dropout")

    def normalised(self, x: Any, name: str) -> Any:
        return LayerNormalization(epsilon=self.epsilon, center=self.use_bias, name=name)(x)

    def _dropped(self, x: Any, name: str) -> Any:
        return Dropout(self.dropout, name=name)(x) if self.dropout else x


def transformer_pre(x: Any, heads: int, **options: Any) -> Any:
    """x + Attention(LN(x)), then x + MLP(LN(x)): nothing stands on the skip (Xiong et al. 2020).

    options, of all four blocks: hidden (4 · width), causal (False), mask, rotary, dropout (0.0), activation ("gelu"),
    use_bias, epsilon (1e-5), kernel_initializer ("glorot_uniform"), value_initializer, output_initializer. x: (n,
    tokens, width); gives the same shape. heads: a divisor of the width. Raises ArgumentError for other heads and
    unknown options.

    >>> import tinyres as tr
    >>> tr.layers.blocks.transformer_pre(tr.Input(shape=(10, 16)), heads=4).shape
    (None, 10, 16)
    """
    form = _form("transformer_pre", x, heads, options)
    x = Add(name="attention_add")([form.attention(form.normalised(x, "attention_norm")), x])
    return Add(name="mlp_add")([form.mlp(form.normalised(x, "mlp_norm")), x])


def transformer_post(x: Any, heads: int, **options: Any) -> Any:
    """LN(x + Attention(x)), then LN(x + MLP(x)): the first Transformer (Vaswani et al. 2017). Options: those of pre.

    x: (n, tokens, width); gives the same shape. heads: a divisor of the width. Raises ArgumentError for other heads and
    unknown options.

    >>> import tinyres as tr
    >>> tr.layers.blocks.transformer_post(tr.Input(shape=(10, 16)), heads=4).shape
    (None, 10, 16)
    """
    form = _form("transformer_post", x, heads, options)
    x = form.normalised(Add(name="attention_add")([form.attention(x), x]), "attention_norm")
    return form.normalised(Add(name="mlp_add")([form.mlp(x), x]), "mlp_norm")


def transformer_deepnorm(x: Any, heads: int, depth: int, **options: Any) -> Any:
    """LN(α · x + Attention(x)), then LN(α · x + MLP(x)), α = (2 depth)^¼, for nets of `depth` such blocks.

    Kernels are Glorot's normal ones, those of values, outputs and the MLP times β = (8 depth)^-¼ (Wang et al. 2022, for
    an encoder or a decoder alone). Options: those of pre; initializers that are given go before these. x: (n, tokens,
    width); gives the same shape. heads: a divisor of the width. Raises ArgumentError for other heads and unknown
    options.

    >>> import tinyres as tr
    >>> tr.layers.blocks.transformer_deepnorm(tr.Input(shape=(10, 16)), heads=4, depth=12).shape
    (None, 10, 16)
    """
    alpha, beta = (2 * depth) ** 0.25, (8 * depth) ** -0.25
    quiet = VarianceScaling(beta**2, "fan_avg", "untruncated_normal")
    drawn = {"kernel_initializer": VarianceScaling(1.0, "fan_avg", "untruncated_normal")}
    drawn |= {"value_initializer": quiet, "output_initializer": quiet}
    form = _form("transformer_deepnorm", x, heads, {**drawn, **options})
    x = form.normalised(Add(name="attention_add")([form.attention(x), x * alpha]), "attention_norm")
    return form.normalised(Add(name="mlp_add")([form.mlp(x), x * alpha]), "mlp_norm")


def transformer_rezero(x: Any, heads: int, **options: Any) -> Any:
    """x + α · Attention(x), then x + α · MLP(x), each α learned from 0 on, not normalised. Options: those of pre.

    x: (n, tokens, width); gives the same shape. heads: a divisor of the width. Raises ArgumentError for other heads and
    unknown options.

    >>> import tinyres as tr
    >>> tr.layers.blocks.transformer_rezero(tr.Input(shape=(10, 16)), heads=4).shape
    (None, 10, 16)
    """
    form = _form("transformer_rezero", x, heads, options)
    x = Add(name="attention_add")([Scale("zeros", name="attention_scale")(form.attention(x)), x])
    return Add(name="mlp_add")([Scale("zeros", name="mlp_scale")(form.mlp(x)), x])


def _form(owner: str, x: Any, heads: Any, options: dict[str, Any]) -> _Form:
    known = [field.name for field in dataclasses.fields(_Form)]
    for option, value in options.items():
        if option not in known:
            refuse_option(owner, option, value, known)
    width = x.shape[-1]
    if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1 or width % heads:
        raise ArgumentError(
            f"[{owner}] heads share out the width, {width}; got {heads!r} heads; choose a divisor of it"
        )
    return _Form(heads, **options)


TRANSFORMERS: dict[str, Callable[..., Any]] = {
    "pre": transformer_pre,
    "post": transformer_post,
    "deepnorm": transformer_deepnorm,
    "rezero": transformer_rezero,
}
