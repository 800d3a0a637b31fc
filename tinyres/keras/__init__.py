"""Keras' names, for a tutorial whose import lines become `import tinyres as tf` and `from tinyres.keras import layers`.

Modules of these names can be imported from, as in `from tinyres.keras.layers import Dense`.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from tinyres.errors import closed
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
    ops,
    optimizers,
    regularizers,
    utils,
)
from tinyres.layers.losses import Loss
from tinyres.model import Model, Sequential
from tinyres.nn.initializers import Initializer
from tinyres.nn.layer import Layer
from tinyres.nn.operators import Input
from tinyres.nn.regularizers import Regularizer
from tinyres.optim import Optimizer
from tinyres.training.metrics import Metric

__all__ = [
    "Initializer",
    "Input",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularizer",
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
    "ops",
    "optimizers",
    "regularizers",
    "utils",
]

_INSTEAD = {
    "Variable": "use tinyres.Parameter, or layer.add_weight",
    "applications": "there are no trained models; tinyres.applications builds ResNets, VGG, Transformers and U-Nets",
    "config": "dtypes are of models: model.astype",
    "constraints": "set the weights after each step, in a Callback",
    "distribution": "use model.fit(..., distributed=tinyres.distributed.world())",
    "mixed_precision": "leave it out; float32 and float64 are there",
    "preprocessing": "prepare arrays with NumPy; layers.Rescaling, Normalization, RandomFlip, RandomCrop are there",
    "random": "use tinyres.manual_seed and NumPy's generators",
    "saving": "use model.save and tinyres.load",
    "wrappers": "use tinyres.sklearn.Classifier or Regressor",
}

# So that `import tinyres.keras.datasets.mnist` and Keras' older paths are refused in words too.
for _name in __all__:
    if isinstance(globals()[_name], ModuleType):
        globals()[_name].__path__ = []

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
