"""Residual nets of images (He et al. 2015 and 2016), in the form for CIFAR and in that for ImageNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tinyres.engine.state import name_scope
from tinyres.errors import ArgumentError
from tinyres.layers import blocks
from tinyres.layers.activation import ReLU
from tinyres.layers.conv import Conv2D
from tinyres.layers.dense import Dense
from tinyres.layers.norm import BatchNorm
from tinyres.layers.pooling import GlobalAveragePooling2D, MaxPooling2D
from tinyres.model import Model
from tinyres.nn.operators import Input

CIFAR_DEPTHS = (20, 32, 44, 56, 110)
_IMAGENET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class _Form(NamedTuple):
    """stages: blocks of each; width: filters of the first; stem: size and strides of the first convolution."""

    stages: Sequence[int]
    block: Callable[..., Any]
    width: int
    stem: tuple[int, int]
    classes: int
    input_shape: tuple[int, int, int]


def resnet(
    depth: int,
    classes: int | None = None,
    input_shape: Sequence[int] | None = None,
    version: int = 1,
    width: int | None = None,
    residual: bool = True,
    activation: str | None = "softmax",
    name: str | None = None,
) -> Model:
    """A residual net, new and untrained.

    depth: 20, 32, 44, 56 or 110 in the form for CIFAR (3 x 3 stem, three stages of 16, 32 and 64 filters), 18, 34, 50,
    101 or 152 in that for ImageNet (7 x 7 stem and pooling, four stages from 64 filters on, bottlenecks from 50 on).
    classes: 10 or 1000 if left out. input_shape: (height, width, channels) of an image, (32, 32, 3) or (224, 224, 3).
    version: 1, or 2 for pre-activation. width: filters of the first stage. residual=False: the net without its Adds and
    projections. activation: of the last layer. Skips that change shape are projections: 1 x 1 convolutions. Parameters
    that are trained, with the classes of the paper: 272,474 for 20, 25,557,032 for 50.
    Raises ArgumentError for another depth or version.

    >>> import tinyres as tr
    >>> model = tr.applications.resnet(20)
    >>> model.output_shape, sum(w.size for w in model.trainable_weights)
    ((None, 10), 272474)
    """
    form = _form(depth, version)
    classes = form.classes if classes is None else classes
    x = inputs = Input(shape=tuple(form.input_shape if input_shape is None else input_shape))
    width = form.width if width is None else width
    with name_scope("stem"):
        x = _stem(x, width, form.stem, version)
    for i, count in enumerate(form.stages):
        with name_scope(f"stage{i}"):
            for j in range(count):
                with name_scope(f"block{j}"):
                    x = form.block(x, width * 2**i, 2 if i and not j else 1, residual)
    if version == 2:
        x = ReLU()(BatchNorm(momentum=0.9, epsilon=1e-5)(x))
    outputs = Dense(classes, activation=activation, name="classes")(GlobalAveragePooling2D()(x))
    return Model(inputs, outputs, name=name)


def _form(depth: int, version: int) -> _Form:
    if version not in (1, 2):
        raise ArgumentError(f"[resnet] version is 1, or 2 for pre-activation; got {version!r}; choose one of them")
    basic, bottleneck = (
        (blocks.basic, blocks.bottleneck) if version == 1 else (blocks.preact_basic, blocks.preact_bottleneck)
    )
    if depth in CIFAR_DEPTHS:
        return _Form(((depth - 2) // 6,) * 3, basic, 16, (3, 1), 10, (32, 32, 3))
    if depth in _IMAGENET:
        return _Form(_IMAGENET[depth], basic if depth < 50 else bottleneck, 64, (7, 2), 1000, (224, 224, 3))
    known = ", ".join(map(str, [*CIFAR_DEPTHS, *_IMAGENET]))
    raise ArgumentError(f"[resnet] the depth is one of {known}; got {depth!r}; choose one of them")


def _stem(x: Any, width: int, stem: tuple[int, int], version: int) -> Any:
    size, strides = stem
    x = Conv2D(width, size, strides, size // 2, use_bias=False, kernel_initializer="he_normal")(x)
    if version == 1:
        x = ReLU()(BatchNorm(momentum=0.9, epsilon=1e-5)(x))
    return MaxPooling2D(3, 2, 1)(x) if strides > 1 else x
