"""Shattered gradients: how alike the gradients of neighbouring inputs still are.

Balduzzi et al., "The shattered gradients problem" (2017): in deep plain nets the gradient with respect to the input
looks like white noise along a line of inputs, in residual nets it keeps some of its order. BatchNorm statistics are
frozen throughout: at those of the data given here, or at the moving ones.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np

from tinyres.engine.backward import grad
from tinyres.engine.state import enable_grad, no_grad
from tinyres.engine.tensor import tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.layers.norm import BatchNormalization
from tinyres.model import Model
from tinyres.model.architecture import every_layer
from tinyres.nn.symbolic import Symbolic
from tinyres.ops.random import Generator, preserving_generator
from tinyres.study.cuts import blocks_of, outputs_of
from tinyres.trace.html import preformatted
from tinyres.view.numbers import number
from tinyres.view.table import Column, lines_of


@dataclass(frozen=True)
class Correlation:
    """At one depth: name of the block, how many blocks deep, and how alike dy/dx is along the line.

    lag1: the correlation at neighbouring inputs, which depends on how far apart they are. half: the distance in x at
    which the correlation has fallen to a half, which does not; None where the line is too short for that.
    """

    name: str
    depth: int
    lag1: float
    half: float | None


class _Named(Protocol):
    """A dataclass with a name."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str: ...


R = TypeVar("R", bound=_Named)


class Rows(Generic[R]):
    """Records that print as a table in 80 columns."""

    def __init__(self, records: Sequence[R], head: str, columns: Sequence[Column]) -> None:
        self.records: tuple[R, ...] = tuple(records)
        self._head = head
        self._columns = columns

    def rows(self) -> list[dict[str, Any]]:
        """Flat dicts, ready for a DataFrame."""
        return [asdict(record) for record in self.records]

    def __getitem__(self, key: int | str) -> R:
        if isinstance(key, int):
            return self.records[key]
        for record in self.records:
            if record.name == key:
                return record
        known = ", ".join(record.name for record in self.records)
        raise ArgumentError(f"[shattering] {key!r} was not measured; got a name that is not among {known}; use one")

    def __iter__(self) -> Iterator[R]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __str__(self) -> str:
        return "\n".join([self._head, *lines_of(self.records, self._columns)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return preformatted(str(self))


class Shattering(Rows[Correlation]):
    """What `tr.shattering` measured: a Correlation per block, in graph order; print it, or take `.rows()`."""


def shattering(
    model: Model, x: Any = None, *, points: int = 256, readouts: int = 8, seed: int = 0, statistics: str = "batch"
) -> Shattering:
    """How alike dy/dx is at inputs along a line, after each block: its autocorrelation.

    x: (points, *shape of the input), features or images, at equal distances; default: `points` of them on the segment
    between two random points with standard-normal features, off the origin, where all kinks of a net without biases
    lie; from -2 to 2 for a single feature. y: a random readout of the block's output; `readouts` of them are averaged,
    drawn with `seed`. statistics: BatchNorm frozen at those of x ("batch") or at its moving ones ("moving"). Near 1 the
    gradient is smooth, near 0 it is white noise. The model is not touched. Source: Balduzzi et al. 2017, section 2;
    `pair_correlations` is the quantity of their theorems. Raises ArgumentError for a model of several inputs, or
    options out of range.

    >>> import tinyres as tr
    >>> h = inputs = tr.Input(shape=(1,))
    >>> for _ in range(2):
    ...     h = tr.layers.Dense(16, activation="tanh")(h)
    >>> 0.5 < tr.shattering(tr.Model(inputs, h))[-1].lag1 <= 1.0
    True
    """
    checked(model, "shattering", statistics)
    shape = model.inputs[0].shape[1:]
    if len(model.inputs) != 1 or not shape or None in shape:
        shapes = ", ".join(str(s.shape) for s in model.inputs)
        raise ShapeError(f"[shattering] a line leads through one input of a known shape; got {shapes}; use another")
    rng = Generator(seed).numpy()
    values = _line(shape, points, rng) if x is None else np.asarray(x)
    if values.ndim != 1 + len(shape) or len(values) < 3:
        wanted = "features" if len(shape) == 1 else ", ".join(map(str, shape))
        raise ShapeError(f"[shattering] x is (points, {wanted}), 3 points or more; got {values.shape}; give a line")
    apart = float(np.linalg.norm(values[-1] - values[0])) / (len(values) - 1)
    found = [
        Correlation(name, i + 1, autocorrelation(gradients), _half(gradients, apart))
        for i, (name, gradients) in enumerate(_input_gradients(model, values, readouts, rng, statistics))
    ]
    columns = [
        Column("block", 40, lambda r: r.name, words=True),
        Column("depth", 8, lambda r: str(r.depth)),
        Column("lag-1", 12, lambda r: f"{r.lag1:.3f}"),
        Column("half at", 12, lambda r: number(r.half)),
    ]
    head = f"Shattering: correlation of dy/dx at neighbours, {len(values)} points, {number(apart)} apart in x"
    return Shattering(found, head, columns)


def pair_correlations(
    model: Model, x: Any, *, readouts: int = 8, seed: int = 0, statistics: str = "batch"
) -> dict[str, float]:
    """The correlation of dy/dx at two different inputs, over all pairs of them, after each block, by its name.

    x: (n, *shape of the input). The rest as in `shattering`. Σ⟨gᵢ, gⱼ⟩ over pairs, over what it would be if all were
    alike. Source: Balduzzi et al. 2017, theorems 1 to 3, where x are inputs that activate units independently of each
    other.

    >>> import tinyres as tr
    >>> model = tr.Sequential([tr.Input(shape=(3,)), tr.layers.Dense(2)])
    >>> round(pair_correlations(model, np.eye(3))["dense"], 3)
    1.0
    """
    checked(model, "pair_correlations", statistics)
    values = np.asarray(x)
    rng = Generator(seed).numpy()
    found = {}
    for name, gradients in _input_gradients(model, values, readouts, rng, statistics):
        g = gradients.astype(np.float64)
        squares = np.sum(g**2)
        pairs = np.sum(np.sum(g, axis=1) ** 2) - squares
        found[name] = float(pairs / (squares * (g.shape[1] - 1))) if squares > 0 else 1.0
    return found


def _input_gradients(
    model: Model, values: np.ndarray, readouts: int, rng: np.random.Generator, statistics: str
) -> Iterator[tuple[str, np.ndarray]]:
    """Per block its name and dy/dx at each input, (readouts, n, numbers), for random readouts y of its output."""
    frozen = calibrated(model, values) if statistics == "batch" else copy.deepcopy(model)
    depths = _depths(frozen)
    probe = frozen.from_graph(frozen.inputs[0], list(depths.values()), None)
    points = tensor(values, requires_grad=True, dtype=frozen.float_dtype)
    with enable_grad():
        results = probe(points, training=False)
        for name, h in zip(depths, results if isinstance(results, list) else [results]):
            weights = rng.standard_normal((readouts, *h.shape[1:]))
            found = [grad((h * v).sum(), [points], retain_graph=True)[0].numpy() for v in weights]
            yield name, np.stack(found).reshape(readouts, len(values), -1)


def autocorrelation(gradients: np.ndarray, lag: int = 1) -> float:
    """Σ⟨gₜ - ḡ, gₜ₊ₗ - ḡ⟩ / Σ⟨gₜ - ḡ, gₜ - ḡ⟩ along axis 1 of (readouts, points, features); 1 where g is constant."""
    centred = gradients.astype(np.float64)
    centred = centred - centred.mean(axis=1, keepdims=True)
    n = centred.shape[1]
    variance = np.sum(centred**2) / n
    if variance <= 1e-12 * np.mean(gradients.astype(np.float64) ** 2):
        return 1.0
    return float(np.sum(centred[:, lag:] * centred[:, : n - lag]) / (n - lag) / variance)


def _half(gradients: np.ndarray, apart: float) -> float | None:
    """The distance at which the autocorrelation comes down to a half, on a straight line between two lags."""
    before = 1.0
    for lag in range(1, gradients.shape[1] // 2):
        here = autocorrelation(gradients, lag)
        if here < 0.5:
            return apart * (lag - 1 + (before - 0.5) / (before - here))
        before = here
    return None


def calibrated(model: Model, x: Any) -> Model:
    """A copy whose BatchNorm layers have the statistics of x as their moving ones, layer by layer."""
    clone = copy.deepcopy(model)
    norms = [layer for layer in every_layer(clone) if isinstance(layer, BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0  # one step in training mode then takes over the whole batch
    with no_grad(), preserving_generator():
        clone(x, training=True)
    for layer, momentum in zip(norms, momenta):
        layer.momentum = momentum
    return clone


def _line(shape: tuple[Any, ...], points: int, rng: np.random.Generator) -> np.ndarray:
    if shape == (1,):
        return np.linspace(-2.0, 2.0, points)[:, None]
    start, end = rng.standard_normal((2, *shape))
    return np.linspace(start, end, points)


def _depths(model: Model) -> dict[str, Symbolic]:
    """Where to read: the output of each block with a single one; without blocks, that of each layer with weights."""
    found = {}
    for name, block in blocks_of(model).items():
        outputs = outputs_of(model, block)
        if len(outputs) == 1:
            found[name] = outputs[0]
    if found:
        return found
    return {
        step.path: step.call.outputs
        for step in model.steps
        if step.layer.weights and isinstance(step.call.outputs, Symbolic)
    }


def checked(model: Any, op: str, statistics: str) -> None:
    """Raise ArgumentError for what is no graph of layers, and for other statistics."""
    if not isinstance(model, Model) or not model.steps:
        got = type(model).__name__
        raise ArgumentError(f"[{op}] it reads a model's graph of layers; got {got} without one; use tr.Model(...)")
    if statistics not in ("batch", "moving"):
        raise ArgumentError(f'[{op}] statistics are "batch" or "moving"; got {statistics!r}; choose one of them')
