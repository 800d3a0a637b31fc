"""Plain deep nets of 3 x 3 convolutions (Simonyan and Zisserman 2014)."""

from __future__ import annotations

from collections.abc import Sequence

from tinyres.engine.state import name_scope
from tinyres.errors import ArgumentError
from tinyres.layers.activation import ReLU
from tinyres.layers.conv import Conv2D
from tinyres.layers.dense import Dense
from tinyres.layers.dropout import Dropout
from tinyres.layers.norm import BatchNorm
from tinyres.layers.pooling import MaxPooling2D
from tinyres.layers.shape import Flatten
from tinyres.model import Model
from tinyres.nn.operators import Input

_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_FILTERS = (64, 128, 256, 512, 512)


def vgg(
    depth: int,
    classes: int = 1000,
    input_shape: Sequence[int] = (224, 224, 3),
    batch_norm: bool = False,
    units: int = 4096,
    dropout: float = 0.5,
    activation: str | None = "softmax",
    name: str | None = None,
) -> Model:
    """A VGG, new and untrained: five stages of 3 x 3 convolutions with ReLU, each ended by pooling, then three Dense.

    depth: 11, 13, 16 or 19 layers with weights. input_shape: (height, width, channels) of an image, at least 32 x 32.
    batch_norm: between each convolution and its ReLU. units, dropout: of the two hidden Dense; dropout=0 leaves it out.
    activation: of the last layer. Parameters: 138,357,544 for 16, 143,667,240 for 19.
    Raises ArgumentError for another depth.

    >>> import tinyres as tr
    >>> model = tr.applications.vgg(11, classes=10, input_shape=(32, 32, 3), units=64)
    >>> model.output_shape, sum(w.size for w in model.trainable_weights)
    ((None, 10), 9258122)
    """
    if depth not in _STAGES:
        known = ", ".join(map(str, _STAGES))
        raise ArgumentError(f"[vgg] the depth is one of {known}; got {depth!r}; choose one of them")
    x = inputs = Input(shape=tuple(input_shape))
    for i, (count, filters) in enumerate(zip(_STAGES[depth], _FILTERS)):
        with name_scope(f"stage{i}"):
            for _ in range(count):
                fused = None if batch_norm else "relu"
                x = Conv2D(filters, 3, padding="same", activation=fused, kernel_initializer="he_normal")(x)
                if batch_norm:
                    x = ReLU()(BatchNorm(momentum=0.9, epsilon=1e-5)(x))
            x = MaxPooling2D()(x)
    x = Flatten()(x)
    for _ in range(2):
        x = Dense(units, activation="relu", kernel_initializer="he_normal")(x)
        x = Dropout(dropout)(x) if dropout else x
    return Model(inputs, Dense(classes, activation=activation, name="classes")(x), name=name)
