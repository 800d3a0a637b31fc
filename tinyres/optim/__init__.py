"""Optimizers: SGD, Adam, AdamW, RMSprop and Nadam, each a few calls of in-place kernels; learning-rate schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed
from tinyres.optim import schedules
from tinyres.optim.adam import Adam, AdamW
from tinyres.optim.optimizer import OPTIMIZER_CLASSES, OPTIMIZERS, Optimizer, get
from tinyres.optim.rms import Nadam, RMSprop
from tinyres.optim.sgd import SGD

__all__ = [
    "OPTIMIZERS",
    "OPTIMIZER_CLASSES",
    "SGD",
    "Adam",
    "AdamW",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
    "schedules",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)
