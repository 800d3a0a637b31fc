"""Models: compile, fit, evaluate, predict, save and load."""

from tinyres.model.model import Model, Sequential
from tinyres.model.saving import load

__all__ = ["Model", "Sequential", "load"]
