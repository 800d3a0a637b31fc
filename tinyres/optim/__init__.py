"""Optimizers: SGD, Adam and AdamW, each a few calls of in-place kernels."""

from tinyres.optim.adam import Adam, AdamW
from tinyres.optim.optimizer import Optimizer
from tinyres.optim.sgd import SGD

BY_NAME: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}

__all__ = ["BY_NAME", "SGD", "Adam", "AdamW", "Optimizer"]
