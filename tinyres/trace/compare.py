"""Compare traces of nets: how the gradient changes per block toward the input, in a table and in sentences."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tinyres.errors import ArgumentError
from tinyres.trace.flow import flow_of
from tinyres.trace.trace import Trace
from tinyres.trace.verdict import story_of


class Comparison:
    """Traces side by side; print it. flows: one per trace. unmatched: per trace the nodes that no other has.

    sentences: what happened to the gradient in each; rates are stated toward the input.
    """

    def __init__(self, traces: dict[str, Trace]) -> None:
        self.traces = dict(traces)
        self.flows = [flow_of(name, trace) for name, trace in traces.items()]
        names = {name: {n.name for n in t.nodes} for name, t in traces.items()}
        common = set.intersection(*names.values())
        self.unmatched = {name: [n.name for n in t.nodes if n.name not in common] for name, t in traces.items()}

    @property
    def sentences(self) -> list[str]:
        """One or two sentences per trace, each beginning with its name."""
        return [f"{flow.name}: {story_of(flow, self.traces[flow.name])}" for flow in self.flows]

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
        told = [f.name if f.rate is None else f"{f.name} (|g| x {f.rate:.2f} per {f.unit})" for f in self.flows]
        return f"<Comparison of {', '.join(told)}; print it>"

    if TYPE_CHECKING:
        # What the view room attaches, for type checkers.
        @property
        def table(self) -> str: ...
        def export(self, path: str | os.PathLike[str]) -> None: ...
        def plot(self, ax: Any = None) -> Any: ...
        def _repr_html_(self) -> str: ...


def compare(*unnamed: Trace, **traces: Trace) -> Comparison:
    """Traces of nets side by side, each under the name it is given; those without are a, b, and so on.

    Raises ArgumentError unless every argument is a Trace.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0], requires_grad=True, name="x")
    >>> trace = tr.Graph((x * x).sum()).trace()
    >>> tr.compare(one=trace, other=trace).unmatched
    {'one': [], 'other': []}
    """
    traces = {**{chr(ord("a") + i): trace for i, trace in enumerate(unnamed)}, **traces}
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
