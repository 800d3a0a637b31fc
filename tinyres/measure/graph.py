"""Graph: one recorded computation that can be traced.

`tr.Graph(loss)` holds on to the tape of a loss that has been computed; `Graph.of(run)` computes it anew at each trace.
A trace leaves no mark: no `.grad`, moving statistic, generator or open capture is changed by it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tinyres.backends.buffers import settle_writes
from tinyres.engine.node import Node
from tinyres.engine.state import enable_grad, entered, preserving
from tinyres.engine.tensor import Parameter, Tensor, node_of
from tinyres.errors import ArgumentError, CaptureError, GradientError, ShapeError, TraceError
from tinyres.launch import door, recording
from tinyres.measure.assemble import assemble
from tinyres.measure.audit import Ledger
from tinyres.measure.look import Look, backend_of, batch_of
from tinyres.measure.paths import path_spectrum
from tinyres.measure.roles import LEAF, SAMPLE_WEIGHT, TARGET
from tinyres.measure.shape import input_of, shape_of
from tinyres.measure.statistics import measure
from tinyres.measure.tape import Tape, read_tape
from tinyres.structure.structure import structure_of
from tinyres.trace.html import preformatted
from tinyres.trace.lint import Findings, lint_trace
from tinyres.trace.spectrum import Spectrum
from tinyres.trace.trace import Header, Trace, unknown_name

_AGAIN = "run forward again and make a new tr.Graph(loss), or use model.graph(x, y), whose trace() runs forward itself"


class Graph:
    """One recorded computation: its trace tells the gradient at every node and on every edge.

    loss: one element, recorded. The tape is pinned: a later `loss.backward()` does not free it. What was computed from
    Tensors that require no gradient was not recorded and counts as an input; make the data with requires_grad=True to
    see it (`model.graph` records everything). Raises TraceError if the tape is gone or was never recorded, ShapeError
    if loss is not one number.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0, 2.0], requires_grad=True, name="x")
    >>> trace = tr.Graph((x * x).sum()).trace()
    >>> round(trace["x"].grad_norm, 3)
    4.472
    """

    def __init__(self, loss: Tensor) -> None:
        self._run: Callable[[], Tensor] | None = None
        self._batch: int | None = None
        self._training: bool | None = None
        self._parameters: Callable[[], Mapping[str, Parameter]] | None = None
        self._pinned: list[Node] = []
        self._chance: float | None = None
        self._given: Mapping[Node, str] | None = None
        self._root = _recorded("graph", loss)
        self._tape = _tape(self._root, "layer")
        if door.recorder is not None:
            return
        self._versions = {n: n.buffer.version for n in self._tape.order if n.op is None}
        for node in self._tape.order:
            node.pins += 1
        self._pinned = self._tape.order

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TraceError(
            "[pickle] a Graph holds the tape of a run in this process; got a Graph; pickle graph.trace() instead"
        )

    @classmethod
    def of(
        cls,
        run: Callable[[], Tensor],
        batch: int | None = None,
        training: bool | None = None,
        parameters: Callable[[], Mapping[str, Parameter]] | None = None,
        chance: float | None = None,
        data: Sequence[Any] | None = None,
    ) -> Graph:
        """A Graph whose every trace calls `run()` for the loss, at the parameters' values of that moment.

        run is called with all float leaves recorded and moving statistics held; generators are its own care.
        batch, training: rows of the data, and whether layers run in training mode; for the header of the trace.
        parameters: gives all Parameters by full name, so that `lint` finds those that the loss does not depend on.
        chance: the loss of the best answer that ignores the input. data: the Tensors that run reads: inputs, targets
        and weights of samples, each a Tensor or a list; other leaves are then constants.
        """
        graph = cls.__new__(cls)
        graph._run = run
        graph._batch = batch
        graph._training = training
        graph._parameters = parameters
        graph._chance = chance
        graph._given = None if data is None else _roles(data)
        graph._pinned = []
        return graph

    def trace(self, level: str = "layer", arrays: bool = False, audit: bool | str = True, paths: bool = False) -> Trace:
        """Run backward (and, for a Graph of a model, forward before it) and measure every node and edge.

        level: "layer" (one node per layer call) or "op". arrays: keep values and gradients too. audit: check that
        every gradient is the sum of what came over its edges; "full" also checks each VJP against differences of its
        own forward, in float64 (slow), and what it sent in this run beside the same in float64. paths: also split the
        input's gradient by path length.
        Raises TraceError if values were changed since they were recorded.
        """
        if level not in ("layer", "op"):
            raise ArgumentError(f'[trace] a level is "layer" or "op"; got {level!r}; blocks are read off the trace')
        if audit not in (True, False, "full"):
            raise ArgumentError(f'[trace] audit is True, False or "full"; got {audit!r}; choose one of them')
        return self._traced(level, arrays, audit, paths)[0]

    def watch(self) -> Look:
        """Measure, by kernels, what `trace()` does: within a captured step at each replay, in the pass that trains it.

        Call it on `tr.Graph(loss)` between the loss and `loss.backward()`, and return what it gives from the step: each
        call of that returns a `Look`, whose `trace()` is that of the run, to the last bit. Outside of a capture it runs
        backward at once, as `trace()` does. Raises TraceError for the graph of a model.
        """
        if self._run is not None:
            raise TraceError(
                "[watch] a step watches the loss that it computes; got the graph of a function, such as model.graph; "
                "write tr.Graph(loss).watch() in the step, or model.fit(..., watch=1, watch_edges=True)"
            )
        if door.recorder is None:
            self._check_unchanged()
        look = Look(self._root, self._tape, self._training, self._chance, self._batch)
        look.observe()
        return look

    def paths(self, at: str | None = None) -> Spectrum:
        """Split the gradient at one node by the number of residual branches that it passed.

        at: the node, by name; default: the input. Raises TraceError for a name that is not there.

        >>> import tinyres as tr
        >>> x, w = tr.tensor(1.0, name="x"), tr.Parameter(0.5, "w")
        >>> h = x + w * x
        >>> tr.Graph((h + w * h) * 2.0).paths().shares  # (1 + w)^2 = 1 + 2 w + w^2
        (0.4444444444444444, 0.4444444444444444, 0.1111111111111111)
        """
        with self._computed() as root:
            tape = self._tape if self._run is None else _tape(root, "layer", self._given)
            structure = structure_of(shape_of(tape))
            if at is not None and at not in tape.names:
                raise TraceError(unknown_name("the node of a path spectrum", at, tape.names))
            unit = input_of(tape, structure.shape) if at is None else tape.names.index(at)
            return path_spectrum(root, tape, structure, unit)

    def lint(self) -> Findings:
        """Look for what a residual net hardly means to do: each finding has a node, a source line, and what to do.

        Among them: a tensor that is added to itself or twice, anything on a skip that is not the identity, a skip that
        is missing or detached, a dead branch or ReLU, sums and losses that broadcast, a softmax over one unit,
        parameters without a gradient, a branch that never rejoins, inputs that were not scaled, heads of attention that
        look at one token only or have no gradient.

        >>> import tinyres as tr
        >>> x = tr.tensor([1.0, 2.0], requires_grad=True, name="x")
        >>> [finding.rule for finding in tr.Graph(tr.sum(x + x)).lint()]
        ['self-add']
        """
        trace, tape = self._traced("layer", arrays=False, audit=False, paths=False)
        declared = {} if self._parameters is None else self._parameters()
        read = set(tape.parameters)
        return lint_trace(trace, [n for n, p in declared.items() if p.requires_grad and node_of(p) not in read])

    def close(self) -> None:
        """Let go of the tape: from now on backward() frees it again."""
        for node in self._pinned:
            node.pins -= 1
        self._pinned = []

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._run is not None:
            return "<Graph of a function; graph.trace() runs and measures it>"
        kind = f"{len(self._tape.units)} nodes and {len(self._tape.parameters)} parameters"
        return f"<Graph of {kind}; graph.trace() measures it>"

    def _repr_html_(self) -> str:
        return preformatted(repr(self), wrap=True)

    def _traced(self, level: str, arrays: bool, audit: bool | str, paths: bool) -> tuple[Trace, Tape]:
        with self._computed() as root:
            tape = self._tape if level == "layer" and self._run is None else _tape(root, level, self._given)
            ledger = Ledger(root, tape, full=audit == "full") if audit else None
            structure = structure_of(shape_of(tape))
            measured = measure(root, tape, structure, ledger, arrays)
            header = Header(
                loss=float(root.buffer.array[0]),
                batch=batch_of(tape) if self._batch is None else self._batch,
                training=self._training,
                dtype=str(root.dtype),
                backend=backend_of(root),
                level=level,
                chance=self._chance,
            )
            spectrum = path_spectrum(root, tape, structure, input_of(tape, structure.shape)) if paths else None
            return assemble(header, tape, structure, measured, spectrum), tape

    @contextlib.contextmanager
    def _computed(self) -> Iterator[Node]:
        """The root of a tape with values, in a state in which nothing that runs leaves a mark."""
        if door.recorder is not None and self._run is None:
            raise CaptureError(
                "[graph] a step is being recorded, its values are not there yet; got a loss of this step; "
                "return graph.watch() from it, or use model.graph(x, y), whose trace() runs by itself"
            )
        with recording(None), preserving(), entered(None), enable_grad():
            if self._run is not None:
                yield _recorded("trace", self._run())
            else:
                self._check_unchanged()
                yield self._root

    def _check_unchanged(self) -> None:
        if not self._pinned:
            raise TraceError(f"[trace] the graph was closed; got trace() after close(); {_AGAIN}")
        settle_writes()
        for node in self._tape.order:
            if node.op is None:
                _check_version(node, self._versions[node])
            for position, version in zip(node.op.saves if node.op is not None else (), node.versions):
                _check_version(node.inputs[position], version)


def _check_version(node: Node, version: int) -> None:
    if node.buffer.version != version:
        raise TraceError(
            f"[trace] the values of a graph must be those of its forward pass; {node.label()} {node.shape} was changed "
            f"in place since (an optimizer step?); {_AGAIN}"
        )


def _recorded(op: str, loss: Tensor) -> Node:
    """The node of a loss that can be traced."""
    if not isinstance(loss, Tensor):
        raise ArgumentError(f"[{op}] a graph ends in a Tensor; got {type(loss).__name__}; pass the loss itself")
    if loss.size != 1:
        raise ShapeError(f"[{op}] a graph ends in one number; got shape {loss.shape}; reduce it with .mean() or .sum()")
    if loss.node is None:
        raise TraceError(
            f"[{op}] the loss must be recorded; nothing was for this Tensor of shape {loss.shape}: computed under "
            f"no_grad, detached, returned by a captured step, or from nothing that requires a gradient; {_AGAIN}"
        )
    return loss.node


def watched(loss: Tensor, data: Sequence[Any]) -> Look:
    """What a step in training mode, that is being recorded or runs, measures of this loss. data: as for `Graph.of`."""
    root = _recorded("watch", loss)
    look = Look(root, _tape(root, "layer", _roles(data)), True, None, None)
    look.observe()
    return look


def _roles(data: Sequence[Any]) -> dict[Node, str]:
    """By leaf what a model was given it as."""
    found = {}
    for role, given in zip((LEAF, TARGET, SAMPLE_WEIGHT), data):
        for t in given if isinstance(given, list) else [given]:
            if t is not None:
                found[node_of(t)] = role
    return found


def _tape(root: Node, level: str, given: Mapping[Node, str] | None = None) -> Tape:
    try:
        return read_tape(root, level, given)
    except GradientError:
        raise TraceError(
            "[graph] the tape must still be there; an earlier backward() freed it; make tr.Graph(loss) before "
            "backward(), call backward(retain_graph=True), or use model.graph(x, y)"
        ) from None
