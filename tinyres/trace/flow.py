"""Flow: how the gradient of one net runs over its depth: one value per block or, without blocks, per layer."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tinyres.trace.blocks import Block
from tinyres.trace.course import LEAST, Course, change_of, course_of
from tinyres.trace.nodes import TraceNode
from tinyres.trace.theory import Theory, is_polynomial, theory_of, theory_of_layers, walk_of
from tinyres.trace.trace import Trace


@dataclass(frozen=True)
class Stage:
    """A run of blocks (or layers) whose inputs have one shape and in which |g| may follow one course.

    at: their places in the flow. course: of |g| at their inputs; None for fewer than 4, or where one is 0 or not
    finite. law: the published rate of their build, whatever was measured. scope: the one that they lie in, "" if none.
    """

    at: range
    course: Course | None
    law: Theory | None
    scope: str = ""

    @property
    def theory(self) -> Theory | None:
        """The law that the build follows, unless the measured rate contradicts it."""
        if self.law is None or self.course is None or self.course.power is not None:
            return None
        return self.law if self.law.agrees(self.course.rate, self.course.low, self.course.high) else None


@dataclass(frozen=True)
class Flow:
    """How the gradient of one net runs over its blocks (or, without any, over its parametric layers).

    unit: "block" or "layer". names, grad_norms, value_norms, skips: at each one's input, in graph order. stages: where
    the shape changes, |g| begins anew; one stage where no stage is long enough to tell its course. even: whether all
    inputs have one shape. chained: whether all of the gradient passes block after block; skips across make it no chain,
    of which no factor per block can be told.
    """

    name: str
    loss: float
    unit: str
    names: tuple[str, ...]
    grad_norms: tuple[float, ...]
    value_norms: tuple[float, ...]
    skips: tuple[float | None, ...]
    stages: tuple[Stage, ...]
    even: bool
    chained: bool = True

    @property
    def first_over_last(self) -> float | None:
        """|g| at the first over |g| at the last; None if there are not two, or the last is exactly 0."""
        if len(self.grad_norms) < 2 or self.grad_norms[-1] == 0:
            return None
        return self.grad_norms[0] / self.grad_norms[-1]

    @property
    def course(self) -> Course | None:
        """The course of |g| over all, if there is one."""
        return self.stages[0].course if len(self.stages) == 1 else None

    @property
    def rate(self) -> float | None:
        """The factor of |g| per block toward the input: that of the course or, without one, the geometric mean."""
        if self.course is not None:
            return self.course.rate
        ratio = self.first_over_last if self.chained else None
        if ratio is None or not math.isfinite(ratio):
            return ratio
        return float(ratio ** (1 / (len(self.grad_norms) - 1)))

    @property
    def theory(self) -> Theory | None:
        """The law that all blocks follow, unless the measured rate contradicts it."""
        return self.stages[0].theory if len(self.stages) == 1 else None

    @property
    def fitted(self) -> tuple[float, ...] | None:
        """The course as a line: |g| by it, one per name."""
        course = self.course
        if course is None:
            return None
        depth = np.arange(1.0, len(self.grad_norms) + 1)
        line = -depth * math.log(course.rate) if course.power is None else -course.power * np.log(depth + 1)
        for jump in course.jumps:
            usual = course.rate if course.power is None else (1 + 1 / (jump.at + 2)) ** course.power
            line[: jump.at + 1] += math.log(jump.factor / usual)
        return tuple(np.exp(line + np.mean(np.log(self.grad_norms) - line)).tolist())


def flow_of(name: str, trace: Trace) -> Flow:
    """The flow of a trace, without skips across. Of blocks that begin at one node (nested ones), the outer counts."""
    if not all(b.across for b in trace.blocks):
        first: dict[str, Block] = {}
        for block in (b for b in trace.blocks if not b.across):
            first.setdefault(block.input.name, block)
        blocks = list(first.values())
        at = [(b.name, b.grad_norm, b.x_norm, b.skip, b.input.shape[1:]) for b in blocks]
        return _flow(name, trace, "block", at, blocks)
    layers = [(n.name, n.grad_norm, n.value_norm, None, n.shape[1:]) for n in trace.nodes if n.params]
    return _flow(name, trace, "layer", layers, [])


def _flow(
    name: str,
    trace: Trace,
    unit: str,
    at: Sequence[tuple[str, float, float, float | None, tuple[int, ...]]],
    blocks: Sequence[Block],
) -> Flow:
    names, norms, values, skips, shapes = zip(*at) if at else ((), (), (), (), ())
    cuts = [i for i in range(1, len(shapes)) if shapes[i] != shapes[i - 1]]
    runs = [range(a, b) for a, b in zip([0, *cuts], [*cuts, len(shapes)])]
    chained = not any(b.across for b in trace.blocks)
    if max(map(len, runs)) < LEAST:
        runs = [range(len(shapes))]
    builds = [is_polynomial(trace, blocks[run.start : run.stop]) for run in runs]
    if not cuts:
        runs = [part for run, build in zip(runs, builds) for part in _of_one_rate(run, norms, build)]
    stages = []
    for run in runs:
        inside = blocks[run.start : run.stop]
        if run.stop < len(shapes):
            inside = inside[:-1]  # the last one leads into the next stage
        course = None
        if chained:
            course = course_of(norms[run.start : run.stop], is_polynomial(trace, inside), walk_of(trace, inside))
        law = theory_of(trace, inside) if blocks else theory_of_layers(trace, names[run.start : run.stop])
        scopes = {posixpath.dirname(b.name) for b in inside}
        stages.append(Stage(run, course, law, scopes.pop() if len(scopes) == 1 else ""))
    return Flow(name, trace.loss, unit, names, norms, values, skips, tuple(stages), not cuts, chained)


def _of_one_rate(run: range, norms: Sequence[float], polynomial: bool | None) -> list[range]:
    """A run, in two where |g| clearly follows one rate and then another."""
    change = None if polynomial else change_of(norms[run.start : run.stop])
    if change is None:
        return [run]
    return [range(run.start, run.start + change), range(run.start + change, run.stop)]


def blocks_of(trace: Trace, names: Collection[str] | None) -> list[Block]:
    """The blocks of these names; all for None."""
    return [b for b in trace.blocks if names is None or b.name in names]


def block_nodes(trace: Trace, names: Collection[str] | None = None) -> list[TraceNode]:
    """The nodes that lie in blocks (of these names); without any, those before the last layer with parameters."""
    if trace.blocks:
        return [n for b in blocks_of(trace, names) for n in b.nodes]
    nodes = list(trace.nodes)
    head = max((i for i, n in enumerate(nodes) if n.params), default=len(nodes))
    return [n for n in nodes[:head] if n.primitive]


def normalises_batch(nodes: Iterable[TraceNode]) -> bool:
    """Whether one of them normalises over the batch."""
    return any(n.facts.normalises == "batch" for n in nodes)
