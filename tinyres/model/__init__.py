"""Models: compile, fit, evaluate, predict, save and load."""

from tinyres.model import callbacks, metrics
from tinyres.model.gradients import GradientNorms
from tinyres.model.history import History
from tinyres.model.model import Model, Sequential
from tinyres.model.saving import load

__all__ = ["GradientNorms", "History", "Model", "Sequential", "callbacks", "load", "metrics"]
