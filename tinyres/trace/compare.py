"""Compare traces of nets: how the gradient changes per block toward the input, in a table and in sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinyres.errors import ArgumentError
from tinyres.trace.flow import Flow, block_nodes, first_not_finite, flow_of, has_batchnorm
from tinyres.trace.trace import Trace
from tinyres.trace.verdict import times, two_digits

_STEADY = 0.03


class Comparison:
    """Traces side by side; print it. flows: one per trace. unmatched: per trace the nodes that no other has.

    sentences: what happened to the gradient in each; rates are stated toward the input.
    """

    def __init__(self, traces: dict[str, Trace]) -> None:
        self.traces = dict(traces)
        self.flows = [flow_of(name, trace) for name, trace in traces.items()]
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

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.traces)}; print it>"

    if TYPE_CHECKING:
        # What the view room attaches, for type checkers.
        @property
        def table(self) -> str: ...
        def plot(self, ax: Any = None) -> Any: ...
        def _repr_html_(self) -> str: ...


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


def _story(flow: Flow, trace: Trace) -> str:
    """What happened to the gradient, in words with numbers."""
    broken = first_not_finite(trace)
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
        return f"the gradient {course}{theory}; {first} receives {times(ratio)} what {last} receives."
    if flow.power is not None:
        course = f"x {two_digits(ratio)} over {len(flow.names)} {flow.unit}s, grows like L^{flow.power:.1f}, harmless"
    else:
        trend = "steady" if abs(rate - 1) <= _STEADY else "growing" if rate > 1 else "shrinking"
        course = f"x {rate:.2f} per {flow.unit}, {trend}"
    story = f"the gradient reaches {first} ({course}); {skip:.0%} of it came over the skip."
    return story + _growth_of_values(flow, trace)


def _growth_of_values(flow: Flow, trace: Trace) -> str:
    if flow.value_norms[0] == 0 or has_batchnorm(block_nodes(trace)):
        return ""
    growth = flow.value_norms[-1] / flow.value_norms[0]
    if growth < 3:
        return ""
    return f" |x| grows {two_digits(growth)}-fold with depth: BatchNorm in the branch tames it."


def _course(rate: float, unit: str) -> str:
    if 0.45 <= rate <= 0.55:
        return f"halves in every {unit} toward the input"
    if abs(rate - 1) <= _STEADY:
        return f"stays about the same toward the input (x {rate:.2f} per {unit})"
    return f"{'grows' if rate > 1 else 'shrinks'} toward the input, x {rate:.2f} per {unit}"
