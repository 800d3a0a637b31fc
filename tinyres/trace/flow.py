"""Flow: how the gradient of one net runs over its depth, as a rate, a power of the depth, and what theory says.

Read off a Trace: one value per block or, without blocks, per parametric layer. Rates are stated toward the input.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tinyres.trace.nodes import TraceNode
from tinyres.trace.trace import Trace

PER_LAYER_WITH_BATCHNORM = math.sqrt(math.pi / (math.pi - 1))  # Yang et al., A mean field theory of BN, 2019
_STARTS = (0.0, 1.0, 2.0, 4.0)  # how many blocks' worth a stem may add before the first block
_START = 1.0  # the one for which the power is stated: it fits pre-activation nets on white input exactly
_CLEARLY = 0.3  # a power of the depth must leave less than this part of the rate's misfit


class Theory(NamedTuple):
    """A published factor of |g| per block toward the input, and the kind of net that it holds for."""

    net: str
    rate: float

    def __str__(self) -> str:
        return f"theory for {self.net}: x {self.rate:.2f}"


class Fit(NamedTuple):
    """Least squares on log |g| over the depth, with standard errors.

    rate: the factor per block (or layer) toward the input. power: the p of |g| ~ depth^-p, None unless |g| grows toward
    the input and a power of the depth fits it clearly better than a rate.
    """

    rate: float
    rate_error: float
    power: float | None
    power_error: float | None


@dataclass(frozen=True, slots=True)
class Flow:
    """How the gradient of one net runs over its blocks (or, without any, over its parametric layers).

    unit: "block" or "layer". names, grad_norms, value_norms, skips: at each one's input, in graph order.
    """

    name: str
    loss: float
    unit: str
    names: tuple[str, ...]
    grad_norms: tuple[float, ...]
    value_norms: tuple[float, ...]
    skips: tuple[float | None, ...]
    theory: Theory | None

    @property
    def first_over_last(self) -> float | None:
        """|g| at the first over |g| at the last; None if there are not two, or the last is exactly 0."""
        if len(self.grad_norms) < 2 or self.grad_norms[-1] == 0:
            return None
        return self.grad_norms[0] / self.grad_norms[-1]

    @property
    def rate(self) -> float | None:
        """The factor of |g| per block toward the input (geometric mean)."""
        ratio = self.first_over_last
        if ratio is None or not math.isfinite(ratio):
            return ratio
        return float(ratio ** (1 / (len(self.grad_norms) - 1)))

    @property
    def fit(self) -> Fit | None:
        """A line through log |g|; None for fewer than 3 values, or where one is 0 or not finite."""
        norms = np.array(self.grad_norms)
        if len(norms) < 3 or not np.isfinite(norms).all() or norms.min() <= 0:
            return None
        depth = np.arange(1.0, len(norms) + 1)
        logs = np.log(norms)
        slope, error, misfit = _line(depth, logs)
        rate = math.exp(-slope)
        power = power_error = None
        if len(norms) >= 6 and norms[0] > 3 * norms[-1]:
            least = min(_line(np.log(depth + start), logs)[2] for start in _STARTS)
            if least < _CLEARLY * misfit:
                slope, power_error, _ = _line(np.log(depth + _START), logs)
                power = -slope
        return Fit(rate, rate * error, power, power_error)

    @property
    def fitted(self) -> tuple[float, ...] | None:
        """The line that `fit` tells of: |g| by it, one per name."""
        fit = self.fit
        if fit is None:
            return None
        depth = np.arange(1.0, len(self.grad_norms) + 1)
        line = -depth * math.log(fit.rate) if fit.power is None else -fit.power * np.log(depth + _START)
        return tuple(np.exp(line + np.mean(np.log(self.grad_norms) - line)).tolist())

    @property
    def power(self) -> float | None:
        """The p of |g| ~ depth^-p, where `fit` has found one."""
        return None if self.fit is None else self.fit.power


def flow_of(name: str, trace: Trace) -> Flow:
    """The flow of a trace."""
    if trace.blocks:
        blocks = trace.blocks
        return Flow(
            name,
            trace.loss,
            "block",
            tuple(b.name for b in blocks),
            tuple(b.grad_norm for b in blocks),
            tuple(b.x_norm for b in blocks),
            tuple(b.skip for b in blocks),
            theory_of(trace),
        )
    layers = [n for n in trace.nodes if n.params]
    return Flow(
        name,
        trace.loss,
        "layer",
        tuple(n.name for n in layers),
        tuple(n.grad_norm for n in layers),
        tuple(n.value_norm for n in layers),
        (None,) * len(layers),
        None,
    )


def first_not_finite(trace: Trace) -> TraceNode | None:
    """The first node forward whose value has a NaN or an infinity."""
    return next((n for n in trace.nodes if n.nans or n.infs), None)


def theory_of(trace: Trace) -> Theory | None:
    """The published rate at initialisation, where the blocks are of a kind that it is known for."""
    nodes = block_nodes(trace)
    rectified = sum(n.facts.rectifies for n in nodes)
    if not rectified:
        return None
    blocks = len(trace.blocks)
    residual = any(b.fork is not None for b in trace.blocks)
    normalises = {n.facts.normalises for n in nodes} - {""}
    if normalises:
        if residual or normalises != {"batch"}:
            return None
        return Theory("BatchNorm and ReLU", PER_LAYER_WITH_BATCHNORM ** (rectified / blocks))
    kernels = kernels_of(nodes)
    initialisers = {_initialiser(fans, variance) for fans, variance in kernels}
    if len(initialisers) != 1 or None in initialisers or _has_unknown_weights(nodes):
        return None
    initialiser = initialisers.pop()
    # Backward through a Dense multiplies |g|^2 by fan_in * Var(W), and a ReLU lets half of it through.
    log_gain = sum(math.log(_nominal_gain(fans, variance)) for fans, variance in kernels) - rectified * math.log(2)
    gain = math.exp(log_gain / blocks)
    if not residual:
        return Theory(f"{initialiser} and ReLU", math.sqrt(gain))
    # Skip and branch are uncorrelated, and with nothing behind the Add their |g|^2 add up.
    bare = all(n.facts.piecewise_linear for n in nodes)
    if any(b.join is not b.output or b.skip is None for b in trace.blocks) or not bare:
        return None
    return Theory(f"{initialiser}, skips and no BatchNorm", math.sqrt(1 + gain))


def block_nodes(trace: Trace) -> list[TraceNode]:
    """The nodes that lie in blocks."""
    return [n for b in trace.blocks for n in b.nodes]


def has_batchnorm(nodes: Iterable[TraceNode]) -> bool:
    """Whether one of them normalises over the batch."""
    return any(n.facts.normalises == "batch" for n in nodes)


def kernels_of(nodes: Iterable[TraceNode]) -> list[tuple[tuple[int, int], float]]:
    """((fan_in, fan_out), variance) of every weight that an op multiplies its input with."""
    kernels = [p for n in nodes for p in n.params.values() if p.size]
    return [(p.fans, p.value_norm**2 / p.size) for p in kernels if p.fans is not None and min(p.fans) > 0]


def _line(depth: np.ndarray, logs: np.ndarray) -> tuple[float, float, float]:
    """Slope, its standard error, and the sum of squares that is left."""
    centred = depth - depth.mean()
    spread = float(centred @ centred)
    slope = float(centred @ logs) / spread
    left = logs - logs.mean() - slope * centred
    misfit = float(left @ left)
    return slope, math.sqrt(misfit / max(1, len(logs) - 2) / spread), misfit


def _has_unknown_weights(nodes: Iterable[TraceNode]) -> bool:
    """Whether there is a matrix of weights without fans: what it does to the gradient is not known."""
    return any(len(p.shape) >= 2 and p.fans is None for n in nodes for p in n.params.values())


def _initialiser(fans: tuple[int, int], variance: float) -> str | None:
    """The initialiser that has this variance, to a tenth."""
    fan_in, fan_out = fans
    for name, nominal in (("Glorot", 2 / (fan_in + fan_out)), ("He", 2 / fan_in), ("LeCun", 1 / fan_in)):
        if abs(variance / nominal - 1) < 0.1:
            return name
    return None


def _nominal_gain(fans: tuple[int, int], variance: float) -> float:
    """fan_in * Var(W) as the initialiser means it."""
    fan_in, fan_out = fans
    name = _initialiser(fans, variance)
    return {"Glorot": 2 * fan_in / (fan_in + fan_out), "He": 2.0, "LeCun": 1.0}[name or "LeCun"]
