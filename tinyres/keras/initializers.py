"""Keras' initialisers: those of `tinyres.initializers`, also by their names in small letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import closed
from tinyres.nn import initializers as known
from tinyres.nn.initializers import *  # noqa: F403
from tinyres.nn.initializers import __all__ as _NAMES

__all__ = [
    *_NAMES,
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

constant = known.Constant
zeros = known.Zeros
ones = known.Ones
random_uniform = known.RandomUniform
random_normal = known.RandomNormal
glorot_uniform = known.GlorotUniform
glorot_normal = known.GlorotNormal
he_uniform = known.HeUniform
he_normal = known.HeNormal
lecun_uniform = known.LecunUniform
lecun_normal = known.LecunNormal
orthogonal = known.Orthogonal
truncated_normal = known.TruncatedNormal
variance_scaling = known.VarianceScaling

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)
