"""The verdict on one trace: what is wrong with the gradient's flow, why it probably is, and what to try.

Two things are judged: numbers that are not finite, and a gradient that reaches the first block changed out of
proportion. Growth like a power of the depth is what residual nets with BatchNorm do, and harmless. A net in which all
is well gets no sentence.
"""

from __future__ import annotations

import math

import numpy as np

from tinyres.structure.kinds import PARAMETER
from tinyres.trace.flow import (
    PER_LAYER_WITH_BATCHNORM,
    Flow,
    block_nodes,
    first_not_finite,
    flow_of,
    has_batchnorm,
    kernels_of,
)
from tinyres.trace.nodes import TraceNode
from tinyres.trace.trace import Trace

_NOTABLE = 10.0  # times (or one in so many) between first and last, if the rate is steep
_STEEP = 1.2
_UNDERFLOW = 1e-30
_GRAVE = 100.0  # times between first and last, however slowly it has come

_NOT_FINITE = {
    "log": ("log of a number below 0 is NaN, of 0 infinite", "keep its input positive, as with tr.clip(x, 1e-7, 1.0)"),
    "sqrt": ("the square root of a number below 0 is NaN", "keep its input from falling below 0"),
    "div": ("it divides by 0, or by next to nothing", "add a small number to the denominator"),
    "exp": ("its input is too large", "subtract the maximum first, or use tr.softmax and tr.logsumexp"),
    "pow": ("a negative base or too large a result", "keep the base positive and the exponent small"),
}
_OVERFLOW = "the values before it have grown too large", "normalise them (BatchNorm), or lower the learning rate"


class Verdict(tuple[str, ...]):
    """The sentences, the gravest first; prints one per line, or that all is well."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(self) if self else "verdict: the gradient flows well"


def verdict_of(trace: Trace) -> Verdict:
    """What is wrong with the gradient's flow: sentences with numbers, the likely cause, and what to try.

    The rate per block (or layer) toward the input with its standard error, exponential or a power of the depth;
    where values or gradients are not finite, the first node forward. Empty when all is well.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0, -1.0], requires_grad=True, name="x")
    >>> print(tr.Graph(tr.log(x).sum()).trace().verdict()[0].split("; ")[0])
    values are not finite from log (line 1) on (1 NaN, 0 Inf): log of a number below 0 is NaN, of 0 infinite
    """
    broken = _values_not_finite(trace) or _gradient_not_finite(trace)
    if broken:
        return Verdict([broken])
    flow = flow_of("", trace)
    return Verdict(filter(None, [_nothing_arrives(flow, trace) or _course(flow, trace)]))


Trace.verdict = verdict_of  # type: ignore[method-assign, assignment]


def times(ratio: float) -> str:
    """A ratio as one says it: "1/50,000 of", "318 times"."""
    if ratio < 1e-9:
        return f"{ratio:.1g} of"
    if ratio < 0.95:
        return f"1/{two_digits(1 / ratio)} of"
    return f"{two_digits(ratio)} times"


def two_digits(x: float) -> str:
    """A number as one says it: 1.4, 320, 50,000."""
    if x < 10:
        return f"{x:.1f}"
    if x >= 1e12:
        return f"{x:.1e}"
    unit = 10 ** (math.floor(math.log10(x)) - 1)
    return f"{round(x / unit) * unit:,.0f}"


def _rounded_up(error: float | None, per_unit: int = 10) -> float:
    """An error as the digits of its number show it, never 0."""
    return max(1, math.ceil((error or 0.0) * per_unit)) / per_unit


def _place(node: TraceNode) -> str:
    return node.name if node.source is None else f"{node.name} (line {node.source[1]})"


def _values_not_finite(trace: Trace) -> str:
    node = first_not_finite(trace)
    if node is None:
        return ""
    spoiled = [name for name, p in node.params.items() if p.nans or p.infs]
    if spoiled:
        cause = f"its {' and '.join(spoiled)} {'is' if len(spoiled) == 1 else 'are'} not finite"
        remedy = "an earlier step spoiled it; start again with a lower learning rate or clip_norm=1.0"
    elif not node.primitive:
        cause, remedy = "this is data", "look for missing values in it"
    else:
        cause, remedy = _NOT_FINITE.get(node.primitive, _OVERFLOW)
    return f"values are not finite from {_place(node)} on ({node.nans} NaN, {node.infs} Inf): {cause}; {remedy}."


def _gradient_not_finite(trace: Trace) -> str:
    """The node nearest to the loss whose gradient is not finite though all values are."""
    node = next((n for n in reversed(trace.nodes) if n.grad_nans), None)
    if node is None:
        spoiled = next((p for p in trace.parameters if p.grad_nans), None)
        if spoiled is None:
            return ""
        return f"the gradient of {spoiled.name} is not finite ({spoiled.grad_nans} elements), though every value is."
    consumers = ", ".join(dict.fromkeys(e.dst for e in trace.edges if e.src == node.name))
    through = f" behind {consumers}" if consumers else ""
    return (
        f"the gradient is not finite from {_place(node)} toward the input ({node.grad_nans} elements), though every "
        f"value is: the derivative{through} is infinite there, or the gradient has grown too large; keep the input of "
        "a square root, log or division away from 0."
    )


def _nothing_arrives(flow: Flow, trace: Trace) -> str:
    """Where a gradient of exactly 0 begins, if the first block (or layer) receives none."""
    if len(flow.grad_norms) < 2 or flow.grad_norms[0] != 0:
        return ""
    silent = next((n for n in reversed(trace.nodes) if n.primitive and n.grad_norm == 0), None)
    fed = {e.dst for e in trace.edges if e.kind != PARAMETER and trace[e.src].value_norm > 0}
    dead = next((n for n in trace.nodes if n.name in fed and n.facts.rectified and 0 < n.size == n.zeros), None)
    told = f"no gradient at all reaches {flow.names[0]}"
    norms = [norm for n in trace.nodes for norm in (n.value_norm, n.grad_norm) if norm > 0]
    if norms and min(norms) < _UNDERFLOW:
        below = f"values or gradients have vanished below the smallest number of {trace.header.dtype}"
        return f"{told}: {below}. {_why_vanishing(flow, trace)}"
    if dead is not None:
        return (
            f"{told}: every unit of {_place(dead)} is 0 for the whole batch, and a ReLU passes nothing where it is 0; "
            "lower the learning rate, or look at its bias and initialiser."
        )
    if flow.grad_norms[-1] == 0 or silent is None:
        return f"{told}, nor {flow.names[-1]}; look for a zero factor or a detach() before the loss."
    return f"{told}: it ends at {_place(silent)}; look for a zero factor, a zero initialiser or a detach() behind it."


def _course(flow: Flow, trace: Trace) -> str:
    """Vanishing, exploding, or harmless growth that looks alarming; "" for what is neither."""
    ratio, fit = flow.first_over_last, flow.fit
    if ratio is None or fit is None:
        return ""
    count, unit, first, last = len(flow.names), flow.unit, flow.names[0], flow.names[-1]
    change = max(ratio, 1 / ratio)
    steepness = max(fit.rate, 1 / fit.rate)
    if change < _NOTABLE or (change < _GRAVE and steepness < _STEEP and fit.power is None):
        return ""
    if fit.power is not None:
        return (
            f"grows like L^{fit.power:.1f} (± {_rounded_up(fit.power_error):.1f}) toward the input, harmless: "
            f"x {two_digits(ratio)} over {count} {unit}s, a power of the depth and no rate per {unit}."
        )
    word, why = ("vanishes", _why_vanishing) if ratio < 1 else ("explodes", _why_exploding)
    theory = f" ({flow.theory})" if flow.theory is not None else ""
    told = (
        f"{word}: |g| x {fit.rate:.2f} (± {_rounded_up(fit.rate_error, 100):.2f}) per {unit} toward the input, "
        f"exponential in depth{theory}; {first} receives {times(ratio)} what {last} receives."
    )
    return f"{told} {why(flow, trace)}"


def _why_vanishing(flow: Flow, trace: Trace) -> str:
    nodes = block_nodes(trace) or list(trace.nodes)
    squashing = next((n.primitive for n in nodes if n.primitive in ("sigmoid", "tanh")), None)
    if squashing is not None:
        most = "lets at most a quarter through" if squashing == "sigmoid" else "saturates"
        return f"The {squashing} {most}: use ReLU with kernel_initializer='he_normal', or add a skip."
    if any(b.skip is not None for b in trace.blocks):
        return "The skip does not carry it: graph.lint() tells what lies on it; let the skip be the identity."
    rectified = sum(n.facts.rectifies for n in nodes) / len(flow.names)
    initialiser = None if flow.theory is None else flow.theory.net.split()[0]
    if initialiser in ("Glorot", "LeCun"):
        layers = "Dense" if rectified == 1 else f"{rectified:.0f} Dense"
        assert flow.theory is not None
        lost = "half" if abs(flow.theory.rate - 0.5) < 0.05 else f"{1 - flow.theory.rate:.0%}"
        return (
            f"{initialiser} with ReLU loses {lost} per block of {layers}: use kernel_initializer='he_normal', or "
            "add a skip."
        )
    if rectified and (gain := _gain(nodes)) is not None and gain < 0.9:
        return f"The kernels are {gain:.2f} of the size of he_normal's: use that, or add a skip."
    return "Add a skip around each block, or BatchNorm and a skip."


def _why_exploding(flow: Flow, trace: Trace) -> str:
    nodes = block_nodes(trace) or list(trace.nodes)
    skips = any(b.skip is not None for b in trace.blocks)
    if has_batchnorm(nodes):
        if skips:
            return "BatchNorm tames it only where the skip is the identity: graph.lint() tells what lies on the skip."
        return (
            f"BatchNorm without a skip multiplies it by {PER_LAYER_WITH_BATCHNORM:.2f} per layer: add a skip around "
            "each block, or use kernel_initializer='he_normal' in its place."
        )
    if skips:
        return (
            "In every block the branch adds its own gradient to the skip's: put BatchNorm into the branch, scale it by "
            "1/√blocks (layers.blocks.skipinit), or let it start at 0 (layers.blocks.rezero)."
        )
    if (gain := _gain(nodes)) is not None and gain > 1.1:
        return f"The kernels are {gain:.1f} times the size of he_normal's: use that."
    return "Use kernel_initializer='he_normal', or BatchNorm and a skip around each block."


def _gain(nodes: list[TraceNode]) -> float | None:
    """The standard deviation of the kernels over that of he_normal, the geometric mean of all."""
    gains = [variance * fan_in / 2 for (fan_in, _), variance in kernels_of(nodes) if variance > 0]
    return math.exp(0.5 * float(np.mean(np.log(gains)))) if gains else None
