"""Optimizers: SGD, Adam and AdamW, each a few calls of in-place kernels."""

from tinyres.optim.adam import Adam, AdamW
from tinyres.optim.optimizer import OPTIMIZERS, Optimizer
from tinyres.optim.sgd import SGD

__all__ = ["OPTIMIZERS", "SGD", "Adam", "AdamW", "Optimizer"]
