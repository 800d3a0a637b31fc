"""Keras' names, for a tutorial whose import lines become `import tinyres as tf` and `from tinyres.keras import layers`.

Modules of these names can be imported from, as in `from tinyres.keras.layers import Dense`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tinyres.errors import refuse_name
from tinyres.keras import (
    activations,
    backend,
    callbacks,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    utils,
)
from tinyres.model import Model, Sequential
from tinyres.nn.operators import Input

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "activations",
    "backend",
    "callbacks",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "utils",
]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        refuse_name(__name__, name, __all__)
