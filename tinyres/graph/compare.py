"""Compare traces of nets: how the gradient changes per block toward the input, in a table and in sentences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinyres.errors import ArgumentError
from tinyres.graph.nodes import TraceNode
from tinyres.graph.trace import Trace, renderers

_STEADY = 0.03
_PER_LAYER_WITH_BATCHNORM = math.sqrt(math.pi / (math.pi - 1))  # Yang et al., A mean field theory of BN, 2019


class Theory(NamedTuple):
    """A published factor of |g| per block toward the input, and the kind of net that it holds for."""

    net: str
    rate: float

    def __str__(self) -> str:
        return f"theory for {self.net}: x {self.rate:.2f}"


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
    def power(self) -> float | None:
        """The p of |g| ~ depth^-p, if |g| grows toward the input and a power of the depth fits it better than a rate.

        depth counts blocks from the input. Least squares on log |g|; None for fewer than 6 blocks or no growth.
        """
        ratio = self.first_over_last
        if ratio is None or len(self.grad_norms) < 6 or not 3 < ratio < math.inf or min(self.grad_norms) <= 0:
            return None
        depth = np.arange(1.0, len(self.grad_norms) + 1)
        logs = np.log(self.grad_norms)
        (slope, _), power_misfit, *_ = np.polyfit(np.log(depth), logs, 1, full=True)
        _, rate_misfit, *_ = np.polyfit(depth, logs, 1, full=True)
        return float(-slope) if power_misfit[0] < rate_misfit[0] else None


class Comparison:
    """Traces side by side; print it. flows: one per trace. unmatched: per trace the nodes that no other has.

    sentences: what happened to the gradient in each; rates are stated toward the input.
    """

    def __init__(self, traces: dict[str, Trace]) -> None:
        self.traces = dict(traces)
        self.flows = [_flow(name, trace) for name, trace in traces.items()]
        names = {name: {n.name for n in t.nodes} for name, t in traces.items()}
        common = set.intersection(*names.values())
        self.unmatched = {
            name: [n.name for n in t.nodes if n.name not in common] for name, t in traces.items()
        }

    @property
    def sentences(self) -> list[str]:
        """One or two sentences per trace, each beginning with its name."""
        return [f"{flow.name}: {_story(flow, self.traces[flow.name])}" for flow in self.flows]

    def rows(self) -> list[dict[str, Any]]:
        """One flat dict per trace: loss, |g| at the first and last block, their ratio, and the rate per block."""
        return [
            {
                "name": f.name,
                "loss": f.loss,
                "first": f.names[0] if f.names else None,
                "last": f.names[-1] if f.names else None,
                "grad_norm_first": f.grad_norms[0] if f.names else None,
                "grad_norm_last": f.grad_norms[-1] if f.names else None,
                "first_over_last": f.first_over_last,
                "rate": f.rate,
            }
            for f in self.flows
        ]

    @property
    def ends(self) -> tuple[str, str]:
        """What the first and the last block are called, "first" and "last" where the nets differ in that."""
        firsts, lasts = {f.names[0] for f in self.flows if f.names}, {f.names[-1] for f in self.flows if f.names}
        return firsts.pop() if len(firsts) == 1 else "first", lasts.pop() if len(lasts) == 1 else "last"

    @property
    def table(self) -> str:
        """The rows as text in 80 columns."""
        return renderers["comparison table"](self)

    def plot(self, ax: Any = None) -> Any:
        """|g| by depth, one line per net, drawn with matplotlib into `ax` (default: a new figure); gives the Axes."""
        return renderers["comparison plot"](self, ax)

    def __str__(self) -> str:
        return renderers["comparison"](self)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.traces)}; print it>"

    def _repr_html_(self) -> str:
        return renderers["comparison html"](self)


def compare(**traces: Trace) -> Comparison:
    """Traces of nets side by side, each under the name it is given.

    Raises ArgumentError unless every argument is a Trace.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0], requires_grad=True, name="x")
    >>> trace = tr.Graph((x * x).sum()).trace()
    >>> tr.compare(one=trace, other=trace).unmatched
    {'one': [], 'other': []}
    """
    if not traces:
        raise ArgumentError(
            "[compare] there must be traces to compare; got none; write tr.compare(plain=a, residual=b)"
        )
    for name, trace in traces.items():
        if not isinstance(trace, Trace):
            raise ArgumentError(
                f"[compare] every argument is a Trace; got {type(trace).__name__} for {name}; pass graph.trace()"
            )
    return Comparison(traces)


def _flow(name: str, trace: Trace) -> Flow:
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


def theory_of(trace: Trace) -> Theory | None:
    """The published rate at initialisation, where the blocks are of a kind that it is known for."""
    if any(b.fork is not None for b in trace.blocks):
        return None
    nodes = [n for b in trace.blocks for n in b.nodes]
    rectified = sum(_is_rectified(n) for n in nodes)
    blocks = len(trace.blocks)
    if not rectified:
        return None
    if any(n.primitive.startswith("batchnorm") for n in nodes):
        return Theory("BatchNorm and ReLU", _PER_LAYER_WITH_BATCHNORM ** (rectified / blocks))
    kernels = [(p.shape, p.value_norm**2 / p.size) for n in nodes for p in n.params.values() if len(p.shape) == 2]
    initialisers = {_initialiser(shape, variance) for shape, variance in kernels}
    if len(initialisers) != 1 or None in initialisers:
        return None
    # Backward through a Dense multiplies |g|^2 by fan_in * Var(W), and a ReLU lets half of it through.
    log_rate = sum(math.log(_nominal_gain(shape, variance)) for shape, variance in kernels) - rectified * math.log(2)
    return Theory(f"{initialisers.pop()} and ReLU", math.exp(log_rate / 2 / blocks))


def _is_rectified(node: TraceNode) -> bool:
    """Whether a ReLU made the node's output; one that is fused into a Dense shows by its zeros."""
    if node.primitive == "relu":
        return True
    return node.primitive.startswith("dense") and node.size > 0 and node.zeros > 0.2 * node.size


def _initialiser(shape: tuple[int, ...], variance: float) -> str | None:
    """The initialiser that has this variance, to a tenth."""
    fan_in, fan_out = shape
    for name, nominal in (("Glorot", 2 / (fan_in + fan_out)), ("He", 2 / fan_in), ("LeCun", 1 / fan_in)):
        if abs(variance / nominal - 1) < 0.1:
            return name
    return None


def _nominal_gain(shape: tuple[int, ...], variance: float) -> float:
    fan_in, fan_out = shape
    name = _initialiser(shape, variance)
    return {"Glorot": 2 * fan_in / (fan_in + fan_out), "He": 2.0, "LeCun": 1.0}[name or "LeCun"]


def _story(flow: Flow, trace: Trace) -> str:
    """What happened to the gradient, in words with numbers."""
    broken = next((n for n in trace.nodes if n.nans or n.infs), None)
    if broken is not None:
        return f"values are not finite from {broken.name} on ({broken.nans} NaN, {broken.infs} Inf)."
    if not all(map(math.isfinite, flow.grad_norms)):
        where = [n for n, g in zip(flow.names, flow.grad_norms) if not math.isfinite(g)][-1]
        return f"the gradient is not finite from {where} toward the input."
    ratio, rate = flow.first_over_last, flow.rate
    if ratio is None or rate is None:
        return f"no rate, for that takes two {flow.unit}s with a gradient."
    first, last = flow.names[0], flow.names[-1]
    theory = f" ({flow.theory})" if flow.theory else ""
    skip = flow.skips[0]
    if ratio == 0:
        return f"no gradient at all reaches {first}{theory}."
    if skip is None:
        course = _course(rate, flow.unit)
        return f"the gradient {course}{theory}; {first} receives {_times(ratio)} what {last} receives."
    if flow.power is not None:
        course = f"x {_two_digits(ratio)} over {len(flow.names)} {flow.unit}s, about L^{flow.power:.1f}: "
        course += "polynomial, harmless"
    else:
        trend = "steady" if abs(rate - 1) <= _STEADY else "growing" if rate > 1 else "shrinking"
        course = f"x {rate:.2f} per {flow.unit}, {trend}"
    story = f"the gradient reaches {first} ({course}); {skip:.0%} of it came over the skip."
    return story + _growth_of_values(flow, trace)


def _growth_of_values(flow: Flow, trace: Trace) -> str:
    nodes = [n for b in trace.blocks for n in b.nodes]
    if flow.value_norms[0] == 0 or any(n.primitive.startswith("batchnorm") for n in nodes):
        return ""
    growth = flow.value_norms[-1] / flow.value_norms[0]
    if growth < 3:
        return ""
    return f" |x| grows {_two_digits(growth)}-fold with depth: BatchNorm in the branch tames it."


def _course(rate: float, unit: str) -> str:
    if 0.45 <= rate <= 0.55:
        return f"halves in every {unit} toward the input"
    if abs(rate - 1) <= _STEADY:
        return f"stays about the same toward the input (x {rate:.2f} per {unit})"
    return f"{'grows' if rate > 1 else 'shrinks'} toward the input, x {rate:.2f} per {unit}"


def _times(ratio: float) -> str:
    """A ratio as one says it: "1/50,000 of", "318 times"."""
    if ratio < 1e-9:
        return f"{ratio:.1g} of"
    if ratio < 0.95:
        return f"1/{_two_digits(1 / ratio)} of"
    return f"{_two_digits(ratio)} times"


def _two_digits(x: float) -> str:
    if x < 10:
        return f"{x:.1f}"
    if x >= 1e12:
        return f"{x:.1e}"
    unit = 10 ** (math.floor(math.log10(x)) - 1)
    return f"{round(x / unit) * unit:,.0f}"
