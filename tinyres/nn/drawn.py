"""Initialisers that draw: uniform, normal, scaled by fans, orthogonal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinyres.errors import ArgumentError
from tinyres.nn.initializer import Initializer
from tinyres.ops.random import default_generator
from tinyres.structure.fans import fans

_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "normal", "uniform")
_TRUNCATED_DEVIATION = 0.87962566103423978  # of a standard normal cut off at ±2


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
