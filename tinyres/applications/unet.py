"""U-Nets (Ronneberger et al. 2015; with time and groups as in Ho et al. 2020): an encoder, a decoder, and skips across.

On the way down each level halves height and width; on the way up they double, and what the encoder had at that size
joins: fine detail need not pass through the small images below. Every level has a scope, "down0" … and "up0" …, so a
trace tells how much of the gradient came back across, and how much from below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinyres.engine.state import name_scope
from tinyres.errors import ArgumentError
from tinyres.layers.activation import Activation
from tinyres.layers.attention import MultiHeadAttention
from tinyres.layers.conv import Conv2D
from tinyres.layers.dense import Dense
from tinyres.layers.embedding import Embedding
from tinyres.layers.group_norm import GroupNormalization
from tinyres.layers.merge import Add, Concatenate
from tinyres.layers.pooling import UpSampling2D
from tinyres.layers.shape import Reshape
from tinyres.layers.times import TimeEmbedding
from tinyres.model import Model
from tinyres.nn.operators import Input

_SKIPS = ("concatenate", "add", None)
_LEAST_GROUP = 8  # numbers; a group of one is 0 whatever comes in, as at a lowest level of one pixel


class _Form(NamedTuple):
    """What all levels have in common."""

    skips: str | None
    residual: bool
    groups: int
    blocks: int
    heads: int


def unet(
    input_shape: Sequence[int] = (28, 28, 1),
    outputs: int | None = None,
    widths: Sequence[int] = (32, 64),
    skips: str | None = "concatenate",
    residual: bool = True,
    blocks: int = 1,
    attention: Sequence[int] = (),
    heads: int = 4,
    groups: int = 8,
    time: bool = False,
    classes: int | None = None,
    activation: Any = None,
    name: str | None = None,
) -> Model:
    """A U-Net, new and untrained: from images to images of the same height and width.

    input_shape: (height, width, channels) of an image; height and width are divisible by 2 for every level but one.
    outputs: channels of the result, those of the input if left out. widths: filters of each level, the finest first.
    skips: across from encoder to decoder, "concatenate", "add" (of a 1 x 1 convolution where widths differ), or None
    for none. residual: whether blocks have a skip of their own. blocks: of two 3 x 3 convolutions, per level and way.
    attention: the levels with attention between pixels behind their blocks, and heads of it. groups: of the
    normalisations, as far as they divide the width and hold 8 numbers or more. time: whether there is a second input, a
    number per image, that is added within every block. classes: whether there is a further one, a class per image from
    0 to classes - 1, or `classes` itself for none. activation: of the last layer.
    Raises ArgumentError for a form that does not fit.

    >>> import tinyres as tr
    >>> model = tr.applications.unet((8, 8, 1), widths=(8, 16))
    >>> model.output_shape
    (None, 8, 8, 1)
    """
    height, width, channels = _checked(input_shape, widths, skips, attention)
    form = _Form(skips, bool(residual), groups, blocks, heads)
    x = images = Input(shape=(height, width, channels), name="images")
    inputs, condition = [images], None
    if time or classes is not None:
        further, condition = _condition(widths[0], time, classes)
        inputs += further
    x = Conv2D(widths[0], 3, padding="same", name="stem")(x)
    across = []
    for i, filters in enumerate(widths):
        with name_scope(f"down{i}"):
            x = Conv2D(widths[i - 1], 3, 2, 1, name="halve")(x) if i else x
            x = _level(x, filters, condition, form, i in attention)
        across.append(x)
    with name_scope("middle"):
        x = _level(x, widths[-1], condition, form, len(widths) - 1 in attention)
    for i in reversed(range(len(widths))):
        with name_scope(f"up{i}"):
            x = UpSampling2D(2, name="double")(x) if i + 1 < len(widths) else x
            x = _joined(x, across[i], form)
            x = _level(x, widths[i], condition, form, i in attention)
    x = _normalised(x, form)
    outputs = channels if outputs is None else outputs
    y = Conv2D(outputs, 3, padding="same", activation=activation, name="head")(x)
    return Model(inputs if len(inputs) > 1 else images, y, name=name)


def _checked(input_shape: Any, widths: Any, skips: Any, attention: Any) -> tuple[int, int, int]:
    if skips not in _SKIPS:
        known = ", ".join(map(repr, _SKIPS))
        raise ArgumentError(f"[unet] skips are one of {known}; got {skips!r}; choose one of them")
    if not isinstance(widths, (tuple, list)) or not widths or not all(isinstance(w, int) and w > 0 for w in widths):
        raise ArgumentError(f"[unet] widths are counts of filters, one per level; got {widths!r}; give (32, 64)")
    halved = 2 ** (len(widths) - 1)
    shape = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else input_shape
    if not isinstance(shape, tuple) or len(shape) != 3 or not all(isinstance(s, int) and s > 0 for s in shape):
        raise ArgumentError(f"[unet] an image is (height, width, channels); got {input_shape!r}; give (28, 28, 1)")
    if shape[0] % halved or shape[1] % halved:
        raise ArgumentError(
            f"[unet] with {len(widths)} levels height and width are multiples of {halved}; "
            f"got {shape[0]} x {shape[1]}; pad the images, as by layers.ZeroPadding2D, or take fewer levels"
        )
    wrong = [i for i in attention if i not in range(len(widths))]
    if wrong:
        raise ArgumentError(
            f"[unet] attention names levels from 0 to {len(widths) - 1}; got {wrong[0]!r}; the last is the smallest"
        )
    return shape


def _condition(width: int, time: bool, classes: int | None) -> tuple[list[Any], Any]:
    """The inputs beside the images, and the vector that every block is told: 4 · width numbers per image."""
    inputs, parts = [], []
    if time:
        inputs.append(Input(shape=(), name="time"))
        parts.append(Dense(4 * width, "silu", name="time_hidden")(TimeEmbedding(width, name="time_waves")(inputs[-1])))
    if classes is not None:
        inputs.append(Input(shape=(), dtype="int64", name="label"))
        parts.append(Embedding(classes + 1, 4 * width, name="class_vectors")(inputs[-1]))
    told = Add(name="told")(parts) if len(parts) > 1 else parts[0]
    return inputs, Activation("silu", name="condition")(Dense(4 * width, name="condition_dense")(told))


def _level(x: Any, filters: int, condition: Any, form: _Form, attends: bool) -> Any:
    for j in range(form.blocks):
        if form.blocks == 1:
            x = _block(x, filters, condition, form)
        else:
            with name_scope(f"block{j}"):
                x = _block(x, filters, condition, form)
    return _attended(x, form) if attends else x


def _block(x: Any, filters: int, condition: Any, form: _Form) -> Any:
    """Normalised → SiLU → 3×3, twice, what is told added in between; and a skip around it."""
    y = Conv2D(filters, 3, padding="same")(_normalised(x, form))
    if condition is not None:
        y = y + Reshape((1, 1, filters))(Dense(filters)(condition))
    y = Conv2D(filters, 3, padding="same")(_normalised(y, form))
    if not form.residual:
        return y
    return Add()([y, x if x.shape[-1] == filters else Conv2D(filters, 1)(x)])


def _normalised(x: Any, form: _Form) -> Any:
    return Activation("silu")(_in_groups(x, form))


def _in_groups(x: Any, form: _Form) -> Any:
    _, height, width, channels = x.shape
    groups = math.gcd(form.groups, channels)
    while groups > 1 and height * width * channels // groups < _LEAST_GROUP:
        groups = max(n for n in range(1, groups) if groups % n == 0)
    return GroupNormalization(groups, epsilon=1e-5)(x)


def _attended(x: Any, form: _Form) -> Any:
    """Every pixel sees all others."""
    _, height, width, channels = x.shape
    heads = math.gcd(form.heads, channels)
    y = Reshape((height * width, channels))(_in_groups(x, form))
    y = MultiHeadAttention(heads, channels // heads)(y, y)
    return Add()([Reshape((height, width, channels))(y), x])


def _joined(x: Any, across: Any, form: _Form) -> Any:
    if form.skips is None:
        return x
    if form.skips == "concatenate":
        return Concatenate(name="join")([x, across])
    x = x if x.shape[-1] == across.shape[-1] else Conv2D(across.shape[-1], 1, name="match")(x)
    return Add(name="join")([x, across])
