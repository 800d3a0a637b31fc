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

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.engine.node import ParameterLeaf
from tinyres.engine.tensor import Parameter, node_of
from tinyres.errors import ArgumentError, ShapeError, Worded, closed, named_arguments
from tinyres.nn.naming import snake_case
from tinyres.ops.random import default_generator
from tinyres.store.definitions import Definitions, claim
from tinyres.structure.fans import fans

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


INITIALIZERS: dict[str, type[Initializer]] = {}
INITIALIZER_CLASSES: Definitions[type[Initializer]] = Definitions("an initializer of class")

_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "normal", "uniform")
_TRUNCATED_DEVIATION = 0.87962566103423978  # of a standard normal cut off at ±2


class Initializer(metaclass=Worded):
    """A function from a shape to the values that a weight starts with.

    A subclass defines `__call__(shape)`, which gives float64 values, and keeps its arguments as attributes.

    >>> import tinyres as tr
    >>> class Checkered(tr.initializers.Initializer):
    ...     def __call__(self, shape):
    ...         return np.indices(shape).sum(0) % 2.0
    >>> layer = tr.layers.Dense(3, kernel_initializer=Checkered())
    >>> layer(tr.ones((1, 2))).tolist()
    [[1.0, 1.0, 1.0]]
    """

    name = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            claim(INITIALIZERS, cls.name, cls)
        INITIALIZER_CLASSES.add(cls.__module__, cls.__qualname__, cls)

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        """Float64 values of this shape."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {argument: getattr(self, argument) for argument in named_arguments(type(self))}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.config().items())})"


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


class _Seeded(Initializer):
    """An initialiser that draws."""

    seed: int | None

    def generator(self) -> np.random.Generator:
        """A fresh stream of the library's generator, or the stream of the seed."""
        return default_generator().numpy() if self.seed is None else np.random.default_rng(self.seed)


class RandomUniform(_Seeded):
    """Uniform between minval and maxval.

    seed: for the same numbers each time; default: the library's generator. Raises ArgumentError for a seed below 0.

    >>> import tinyres as tr
    >>> w = tr.initializers.RandomUniform(seed=0)((300, 100))
    >>> f"mean {w.mean():.3f}, deviation {w.std():.3f}, largest {abs(w).max():.3f}"
    'mean 0.000, deviation 0.029, largest 0.050'
    """

    name = "random_uniform"

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval, self.seed = float(minval), float(maxval), _checked_seed(seed)

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        return self.generator().uniform(self.minval, self.maxval, shape)


class RandomNormal(_Seeded):
    """Normal with this mean and standard deviation.

    seed: for the same numbers each time; default: the library's generator. Raises ArgumentError for a seed below 0.

    >>> import tinyres as tr
    >>> w = tr.initializers.RandomNormal(seed=0)((300, 100))
    >>> f"mean {w.mean():.3f}, deviation {w.std():.3f}, largest {abs(w).max():.3f}"
    'mean 0.000, deviation 0.050, largest 0.225'
    """

    name = "random_normal"

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = float(mean), float(stddev), _checked_seed(seed)

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        return self.generator().normal(self.mean, self.stddev, shape)


class TruncatedNormal(_Seeded):
    """Normal with this mean and standard deviation, drawn again beyond two of them.

    seed: for the same numbers each time; default: the library's generator. Raises ArgumentError for a seed below 0.

    >>> import tinyres as tr
    >>> w = tr.initializers.TruncatedNormal(seed=0)((300, 100))
    >>> f"mean {w.mean():.3f}, deviation {w.std():.3f}, largest {abs(w).max():.3f}"
    'mean 0.000, deviation 0.044, largest 0.100'
    """

    name = "truncated_normal"

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev, self.seed = float(mean), float(stddev), _checked_seed(seed)

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        return self.mean + self.stddev * _truncated_normal(self.generator(), shape)


class Scaled(_Seeded):
    """Zero mean and variance `scale / n`, where n is the fan_in or the mean of fan_in and fan_out."""

    scale = 1.0
    average_fans = False
    normal = False

    def __init__(self, seed: int | None = None) -> None:
        self.seed = _checked_seed(seed)

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        fan_in, fan_out = fans(shape)
        n = (fan_in + fan_out) / 2 if self.average_fans else fan_in
        deviation = math.sqrt(self.scale / max(n, 1))
        if self.normal:
            return _truncated_normal(self.generator(), shape) * (deviation / _TRUNCATED_DEVIATION)
        limit = math.sqrt(3.0) * deviation
        return self.generator().uniform(-limit, limit, shape)


class GlorotUniform(Scaled):
    """Uniform in ±√(6 / (fan_in + fan_out)): keeps variance through linear layers in both directions.

    Called with a shape, of a weight (fan_in, fan_out). seed: for the same numbers each time; default: the library's
    generator. Raises ArgumentError for a seed below 0.

    >>> import tinyres as tr
    >>> w = tr.initializers.GlorotUniform(seed=0)((300, 100))
    >>> f"mean {w.mean():.3f}, deviation {w.std():.3f}, largest {abs(w).max():.3f}"
    'mean 0.000, deviation 0.070, largest 0.122'
    """

    name, average_fans = "glorot_uniform", True


class GlorotNormal(Scaled):
    """Normal with variance 2 / (fan_in + fan_out).

    Called with a shape, of a weight (fan_in, fan_out). seed: for the same numbers each time; default: the library's
    generator. Raises ArgumentError for a seed below 0.

    >>> import tinyres as tr
    >>> w = tr.initializers.GlorotNormal(seed=0)((300, 100))
    >>> f"mean {w.mean():.3f}, deviation {w.std():.3f}, largest {abs(w).max():.3f}"
    'mean 0.000, deviation 0.070, largest 0.161'
    """

    name, average_fans, normal = "glorot_normal", True, True


class HeUniform(Scaled):
    """Uniform in ±√(6 / fan_in): keeps variance where a ReLU follows.

    Called with a shape, of a weight (fan_in, fan_out). seed: for the same numbers each time; default: the library's
    generator. Raises ArgumentError for a seed below 0.

    >>> import tinyres as tr
    >>> w = tr.initializers.HeUniform(seed=0)((300, 100))
    >>> f"mean {w.mean():.3f}, deviation {w.std():.3f}, largest {abs(w).max():.3f}"
    'mean 0.000, deviation 0.081, largest 0.141'
    """

    name, scale = "he_uniform", 2.0


class HeNormal(Scaled):
    """Normal with variance 2 / fan_in.

    Called with a shape, of a weight (fan_in, fan_out). seed: for the same numbers each time; default: the library's
    generator. Raises ArgumentError for a seed below 0.

    >>> import tinyres as tr
    >>> w = tr.initializers.HeNormal(seed=0)((300, 100))
    >>> f"mean {w.mean():.3f}, deviation {w.std():.3f}, largest {abs(w).max():.3f}"
    'mean 0.000, deviation 0.081, largest 0.186'
    """

    name, scale, normal = "he_normal", 2.0, True


class LecunUniform(Scaled):
    """Uniform in ±√(3 / fan_in).

    Called with a shape, of a weight (fan_in, fan_out). seed: for the same numbers each time; default: the library's
    generator. Raises ArgumentError for a seed below 0.

    >>> import tinyres as tr
    >>> w = tr.initializers.LecunUniform(seed=0)((300, 100))
    >>> f"mean {w.mean():.3f}, deviation {w.std():.3f}, largest {abs(w).max():.3f}"
    'mean 0.000, deviation 0.058, largest 0.100'
    """

    name = "lecun_uniform"


class LecunNormal(Scaled):
    """Normal with variance 1 / fan_in.

    Called with a shape, of a weight (fan_in, fan_out). seed: for the same numbers each time; default: the library's
    generator. Raises ArgumentError for a seed below 0.

    >>> import tinyres as tr
    >>> w = tr.initializers.LecunNormal(seed=0)((300, 100))
    >>> f"mean {w.mean():.3f}, deviation {w.std():.3f}, largest {abs(w).max():.3f}"
    'mean 0.000, deviation 0.057, largest 0.131'
    """

    name, normal = "lecun_normal", True


class VarianceScaling(_Seeded):
    """Zero mean and variance `scale / n`: n is the fan_in, the fan_out, or for "fan_avg" their mean.

    distribution: "truncated_normal", "untruncated_normal" or "uniform". Raises ArgumentError for others.

    >>> import tinyres as tr
    >>> w = tr.initializers.VarianceScaling(2.0, "fan_in", seed=0)((300, 100))
    >>> f"mean {w.mean():.3f}, deviation {w.std():.3f}, largest {abs(w).max():.3f}"
    'mean 0.000, deviation 0.081, largest 0.186'
    """

    name = "variance_scaling"

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        for what, value, known in (("mode", mode, _MODES), ("distribution", distribution, _DISTRIBUTIONS)):
            if value not in known:
                raise ArgumentError(f"[VarianceScaling] {what} is one of {list(known)}; got {value!r}; choose one")
        if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale < math.inf:
            raise ArgumentError(f"[VarianceScaling] scale is a finite number > 0; got {scale!r}; choose another")
        self.scale, self.mode, self.distribution = float(scale), mode, distribution
        self.seed = _checked_seed(seed)

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        fan_in, fan_out = fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        deviation = math.sqrt(self.scale / max(n, 1))
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * deviation
            return self.generator().uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return self.generator().normal(0.0, deviation, shape)
        return _truncated_normal(self.generator(), shape) * (deviation / _TRUNCATED_DEVIATION)


class Orthogonal(_Seeded):
    """Orthogonal rows or columns, whichever are fewer, times `gain`, all leading axes taken as one.

    Through square linear layers |x| and |g| stay exactly as they are (Saxe et al. 2014). Raises ArgumentError for a
    shape of fewer than 2 axes, and for a seed below 0.

    >>> import tinyres as tr
    >>> q = tr.initializers.Orthogonal(seed=0)((3, 3))
    >>> bool(np.allclose(q @ q.T, np.eye(3)))
    True
    """

    name = "orthogonal"

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain, self.seed = float(gain), _checked_seed(seed)

    def __call__(self, shape: Sequence[int]) -> np.ndarray:
        if len(shape) < 2:
            raise ArgumentError(
                f"[initializer] orthogonal is for shapes of at least 2 axes; got {tuple(shape)}; use another"
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = self.generator().standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diag(r) < 0, -1.0, 1.0)  # then each such matrix is as likely as any other
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


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


def _truncated_normal(generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    values = generator.standard_normal(shape)
    outside = np.abs(values) > 2.0
    while outside.any():
        values[outside] = generator.standard_normal(int(outside.sum()))
        outside = np.abs(values) > 2.0
    return values


def _checked_seed(seed: int | None) -> int | None:
    if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise ArgumentError(f"[initializer] a seed is an integer of at least 0, or None; got {seed!r}; choose one")
    return None if seed is None else int(seed)
