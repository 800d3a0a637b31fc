"""Initialisers: how weights begin, with Keras' names and defaults.

    glorot_uniform, glorot_normal    variance 2 / (fan_in + fan_out)    Glorot and Bengio 2010
    he_uniform, he_normal            variance 2 / fan_in                He et al. 2015
    lecun_uniform, lecun_normal      variance 1 / fan_in                LeCun et al. 1998
    random_uniform, random_normal    fixed range or deviation
    zeros, ones, constant

Normal ones are truncated at two standard deviations and widened again, as in Keras. Without a seed the numbers come
from the library's generator (`tr.manual_seed`); an initialiser with a seed gives the same numbers each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.engine.node import ParameterLeaf
from tinyres.engine.tensor import Parameter, node_of
from tinyres.errors import ArgumentError, ShapeError, closed
from tinyres.nn.drawn import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from tinyres.nn.initializer import INITIALIZERS, Initializer
from tinyres.nn.naming import snake_case

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "get",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed("tinyres.initializers", __all__)


class Constant(Initializer):
    """Every element is `value`: a number, or values that broadcast to the shape of the weight.

    Raises ArgumentError for what is no number, ShapeError for values that do not fit.

    >>> import tinyres as tr
    >>> tr.initializers.Constant(0.5)((2, 2))
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """

    name = "constant"

    def __init__(self, value: Any = 0.0) -> None:
        try:
            values = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"[initializer] constant takes a number, or an array of them; got {value!r}; give Constant(0.5)"
            ) from None
        self.value = values.tolist()

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        values = np.asarray(self.value)
        try:
            return np.broadcast_to(values, shape).copy()
        except ValueError:
            raise ShapeError(
                f"[initializer] the values of a constant broadcast to the weight; got {values.shape} for a weight of "
                f"shape {tuple(shape)}; give an array of that shape"
            ) from None


class Zeros(Initializer):
    """Every element is 0.

    >>> import tinyres as tr
    >>> tr.initializers.Zeros()((2, 2))
    array([[0., 0.],
           [0., 0.]])
    """

    name = "zeros"

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        return np.zeros(shape)


class Ones(Initializer):
    """Every element is 1.

    >>> import tinyres as tr
    >>> tr.initializers.Ones()((2, 2))
    array([[1., 1.],
           [1., 1.]])
    """

    name = "ones"

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        return np.ones(shape)


def get(identifier: str | Initializer | Callable[..., Any]) -> Callable[[Sequence[int]], Any]:
    """The initialiser of this name, or the object or function of a shape itself.

    Raises ArgumentError for an unknown name, and lists the known ones.

    >>> import tinyres as tr
    >>> tr.initializers.get("he_normal"), tr.initializers.get("zeros")((2,))
    (HeNormal(seed=None), array([0., 0.]))
    """
    if isinstance(identifier, str):
        name = snake_case(identifier)
        name = {"normal": "random_normal", "uniform": "random_uniform"}.get(name, name)
        if name in INITIALIZERS:
            return INITIALIZERS[name]()
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if callable(identifier) and not isinstance(identifier, type):
        return identifier
    known = ", ".join(sorted(INITIALIZERS))
    raise ArgumentError(f"[initializer] known names are {known}; got {identifier!r}; use one, or your own function")


def note_drawn(weight: Parameter, initializer: Any) -> None:
    """Let traces know what drew a new weight."""
    leaf = node_of(weight)
    if isinstance(leaf, ParameterLeaf) and isinstance(initializer, Initializer):
        leaf.initializer = initializer.name
