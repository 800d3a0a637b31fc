"""Flow: how the gradient of one net runs over its depth: one value per block or, without blocks, per layer."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tinyres.trace.course import Course, course_of
from tinyres.trace.nodes import TraceNode
from tinyres.trace.theory import Theory, is_polynomial, theory_of
from tinyres.trace.trace import Trace


@dataclass(frozen=True)
class Flow:
    """How the gradient of one net runs over its blocks (or, without any, over its parametric layers).

    unit: "block" or "layer". names, grad_norms, value_norms, skips: at each one's input, in graph order. widths: the
    sizes of those inputs. polynomial: what the build tells of the course (`theory.is_polynomial`). law: the published
    rate of this build, whatever was measured.
    """

    name: str
    loss: float
    unit: str
    names: tuple[str, ...]
    grad_norms: tuple[float, ...]
    value_norms: tuple[float, ...]
    skips: tuple[float | None, ...]
    widths: tuple[int, ...]
    polynomial: bool | None
    law: Theory | None

    @property
    def first_over_last(self) -> float | None:
        """|g| at the first over |g| at the last; None if there are not two, or the last is exactly 0."""
        if len(self.grad_norms) < 2 or self.grad_norms[-1] == 0:
            return None
        return self.grad_norms[0] / self.grad_norms[-1]

    @functools.cached_property
    def course(self) -> Course | None:
        """The course of |g|; None for fewer than 4 values, or where one is 0 or not finite."""
        return course_of(self.grad_norms, self.polynomial)

    @property
    def rate(self) -> float | None:
        """The factor of |g| per block toward the input: that of the course or, of few blocks, the geometric mean."""
        if self.course is not None:
            return self.course.rate
        ratio = self.first_over_last
        if ratio is None or not math.isfinite(ratio):
            return ratio
        return float(ratio ** (1 / (len(self.grad_norms) - 1)))

    @property
    def theory(self) -> Theory | None:
        """The law that the build follows, unless the measured rate contradicts it."""
        if self.law is None or self.course is None or self.course.power is not None:
            return None
        return self.law if self.law.agrees(self.course.rate, self.course.low, self.course.high) else None

    @property
    def stages(self) -> list[range]:
        """The runs of blocks whose inputs have one width."""
        cuts = [i for i in range(1, len(self.widths)) if self.widths[i] != self.widths[i - 1]]
        return [range(a, b) for a, b in zip([0, *cuts], [*cuts, len(self.widths)])]

    @property
    def fitted(self) -> tuple[float, ...] | None:
        """The course as a line: |g| by it, one per name."""
        course = self.course
        if course is None:
            return None
        depth = np.arange(1.0, len(self.grad_norms) + 1)
        line = -depth * math.log(course.rate) if course.power is None else -course.power * np.log(depth + 1)
        for jump in course.jumps:
            line[: jump.at + 1] += math.log(jump.factor / course.rate)
        return tuple(np.exp(line + np.mean(np.log(self.grad_norms) - line)).tolist())


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
            tuple(b.input.shape[-1] if b.input.shape else 1 for b in blocks),
            is_polynomial(trace),
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
        tuple(n.shape[-1] if n.shape else 1 for n in layers),
        None,
        None,
    )


def block_nodes(trace: Trace) -> list[TraceNode]:
    """The nodes that lie in blocks; without any, all."""
    return [n for b in trace.blocks for n in b.nodes] or list(trace.nodes)


def normalises_batch(nodes: Iterable[TraceNode]) -> bool:
    """Whether one of them normalises over the batch."""
    return any(n.facts.normalises == "batch" for n in nodes)
