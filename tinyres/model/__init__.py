"""Models: compile, fit, evaluate, predict, save and load."""

from tinyres.model.model import Model
from tinyres.model.saving import load
from tinyres.model.sequential import Sequential

__all__ = ["Model", "Sequential", "load"]
