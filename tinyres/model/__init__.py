"""Models: compile, fit, evaluate, predict, save and load."""

from tinyres.model import callbacks, metrics
from tinyres.model.history import GradientNorms, History
from tinyres.model.model import Model, Sequential
from tinyres.model.saving import load

__all__ = ["GradientNorms", "History", "Model", "Sequential", "callbacks", "load", "metrics"]
