"""Optimizers: SGD, Adam and AdamW, each a few calls of in-place kernels."""

from tinyres.optim.adam import Adam, AdamW
from tinyres.optim.optimizer import OPTIMIZER_CLASSES, OPTIMIZERS, Optimizer
from tinyres.optim.sgd import SGD

__all__ = ["OPTIMIZERS", "OPTIMIZER_CLASSES", "SGD", "Adam", "AdamW", "Optimizer"]
