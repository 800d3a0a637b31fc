"""Trace a module of PyTorch: run it and its loss once, forward and backward, and tell what was measured.

The module is as it was before: hooks are gone, `.grad`, buffers, flags and generators are what they were.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tinyres.errors import ArgumentError, ShapeError, TraceError
from tinyres.structure.blocks import block_of_nodes
from tinyres.structure.kinds import PARAMETER
from tinyres.torch.calls import Recorder, Visit, visits_of
from tinyres.torch.library import torch
from tinyres.torch.measuring import Measurement, measure
from tinyres.torch.statistics import sums_of
from tinyres.torch.tape import LEAF, Tape, read_tape
from tinyres.trace.building import NOTHING, EdgeNumbers, Statistics, blocks_of, edge_of, forks_of, numbers_of
from tinyres.trace.lint import Findings, lint_trace
from tinyres.trace.nodes import TraceEdge, TraceNode, TraceParameter
from tinyres.trace.trace import Header
from tinyres.view import Trace

Loss = Callable[[Any], Any]


def trace(module: Any, *inputs: Any, loss: Loss | None = None, level: str = "layer", audit: bool = True) -> Trace:
    """Run a PyTorch module and its loss once, forward and backward, and measure every node and edge.

    inputs: what the module is called with. loss: a function of what the module returns that gives one number; left out,
    the module returns the loss itself. level: "layer" (one node per call of a module that calls no others) or "op"
    (one per call of a function). audit: check that every gradient is the sum of what came over its edges.
    Names are those of the modules, with / for dots; blocks, forks and kinds are found as for a Model. The module runs
    in the mode that it is in; it, its gradients, its moving statistics and all generators stay as they are.
    Raises ArgumentError for what is no module, ShapeError for a loss that is not one number, TraceError for one that
    nothing with a gradient leads to.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> class Block(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.branch = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8))
    ...     def forward(self, x):
    ...         return x + self.branch(x)
    >>> net = torch.nn.Sequential(Block(), Block(), torch.nn.Linear(8, 1))
    >>> traced = tr.torch.trace(net, torch.randn(4, 8), loss=lambda y: (y**2).mean())
    >>> [(block.name, round(block.skip + block.branch, 3)) for block in traced.blocks]
    [('0', 1.0), ('1', 1.0)]
    """
    return _traced(module, inputs, loss, level, audit)[0]


def lint(module: Any, *inputs: Any, loss: Loss | None = None) -> Findings:
    """Look for what a residual net hardly means to do, as `Graph.lint` does; arguments as for `trace`.

    >>> import torch
    >>> class Doubled(torch.nn.Module):
    ...     def forward(self, x):
    ...         return torch.tanh(x + x)
    >>> [finding.rule for finding in tr.torch.lint(Doubled(), torch.ones(4), loss=torch.sum)]
    ['self-add']
    """
    found, tape = _traced(module, inputs, loss, "layer", audit=False)
    read = {id(w.tensor) for w in tape.weights}
    unread = [n.replace(".", "/") for n, p in module.named_parameters() if p.requires_grad and id(p) not in read]
    return lint_trace(found, unread)


def _traced(module: Any, inputs: Any, loss: Loss | None, level: str, audit: bool) -> tuple[Trace, Tape]:
    if not isinstance(module, torch.nn.Module):
        raise ArgumentError(
            f"[torch] what is traced is a torch.nn.Module; got {type(module).__name__}; of a tinyres model, call "
            "model.graph(x, y).trace()"
        )
    if level not in ("layer", "op"):
        raise ArgumentError(f'[trace] a level is "layer" or "op"; got {level!r}; blocks are read off the trace')
    trained = {name: (p, p.requires_grad) for name, p in module.named_parameters()}
    given = [_leaf(value) for value in inputs]
    with _unchanged(module):
        recorder = Recorder(module.buffers())
        with recorder, _visiting(module, recorder):
            result = module(*given)
            recorder.at_loss = len(recorder.calls)
            result = result if loss is None else loss(result)
            if isinstance(result, torch.Tensor):
                recorder.see(result)
        root = _root(result, loss)
        tape = read_tape(root, recorder, trained, [t for t in given if isinstance(t, torch.Tensor)], level)
        measured = measure(result, tape, audit)
    rows = next((t.shape[0] for t in given if isinstance(t, torch.Tensor) and t.dim()), None)
    header = Header(
        loss=float(result.detach()),
        batch=rows,
        training=module.training,
        dtype=str(result.dtype).removeprefix("torch."),
        backend=f"torch {torch.__version__.partition('+')[0]}/{result.device.type}",
        level=level,
    )
    return _assembled(header, tape, measured), tape


def _leaf(value: Any) -> Any:
    """An input as a leaf whose gradient can be measured; what holds no floats as it is."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().requires_grad_()
    return value


def _root(loss: Any, function: Loss | None) -> Any:
    what = "the module returns" if function is None else "loss gives"
    if not isinstance(loss, torch.Tensor):
        raise ArgumentError(
            f"[torch] a trace ends in a loss; {what} {type(loss).__name__}; pass loss=, a function of what the module "
            "returns that gives one number"
        )
    if loss.numel() != 1:
        raise ShapeError(
            f"[torch] a trace ends in one number; {what} shape {tuple(loss.shape)}; pass loss=, a function of what the "
            "module returns, or reduce it with .mean() or .sum()"
        )
    if loss.grad_fn is None:
        raise TraceError(
            f"[torch] the loss must come from what has a gradient; {what} a tensor that was computed under no_grad, "
            "detached, or from integers alone; look for detach(), item() or numpy() on the way"
        )
    return loss.grad_fn


@contextlib.contextmanager
def _unchanged(module: Any) -> Iterator[None]:
    """Hold what a forward pass changes, and let all Parameters have gradients meanwhile."""
    buffers = [(b, b.detach().clone()) for b in module.buffers()]
    frozen = [p for p in module.parameters() if not p.requires_grad and p.is_floating_point()]
    devices = {p.device.index for p in module.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)), torch.enable_grad():
        for p in frozen:
            p.requires_grad_(True)
        try:
            yield
        finally:
            with torch.no_grad():
                for p in frozen:
                    p.requires_grad_(False)
                for buffer, before in buffers:
                    buffer.copy_(before)


@contextlib.contextmanager
def _visiting(module: Any, recorder: Recorder) -> Iterator[None]:
    """Tell the recorder which module is at work."""
    handles = []
    for inner, (path, scope) in visits_of(module).items():

        def enter(inner: Any, args: Any, path: str = path, scope: str = scope) -> None:
            own = not type(inner).__module__.startswith("torch.nn.")
            recorder.enter(Visit(path, scope, type(inner).__name__, own))

        def leave(inner: Any, args: Any, result: Any) -> None:
            recorder.leave(result)

        handles.append(inner.register_forward_pre_hook(enter))
        handles.append(inner.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _assembled(header: Header, tape: Tape, measured: Measurement) -> Trace:
    """The Trace of one measured pass."""
    count = len(tape.units)
    gradients = {place: sums.statistics for place, sums in measured.gradients.items()}
    parameters = [
        TraceParameter(
            w.name,
            tuple(w.tensor.shape),
            *numbers_of(sums_of([w.tensor]).statistics, gradients.get(count + i, NOTHING)),
            trainable=w.trainable,
            fans=w.fans,
        )
        for i, w in enumerate(tape.weights)
    ]
    nodes = _nodes(tape, measured, gradients, parameters)
    names = [*(n.name for n in nodes), *(p.name for p in parameters)]
    norms = [gradients.get(place, NOTHING).norm for place in range(len(names))]

    def edge(src: int, dst: int, kind: str, times: int) -> TraceEdge:
        part = measured.splits.get((src, dst), EdgeNumbers(0.0, 0.0))
        return edge_of(names[src], names[dst], kind, part, norms[src], times)

    structure = tape.structure
    edges = [edge(*ends, kind, tape.edges[ends]) for ends, kind in zip(structure.shape.edges, structure.kinds)]
    nothing: list[dict[int, Any]] = [{} for _ in structure.forks]
    forks = forks_of(structure, nodes, edges, nothing, nothing)
    blocks = blocks_of(structure, nodes, forks)
    edges += [edge(count + w, dst, PARAMETER, times) for (w, dst), times in tape.weight_edges.items()]
    return Trace(header, nodes, parameters, edges, forks, blocks, measured.audit)


def _nodes(
    tape: Tape, measured: Measurement, gradients: dict[int, Statistics], parameters: list[TraceParameter]
) -> list[TraceNode]:
    params: dict[int, dict[str, TraceParameter]] = {}
    for w, dst in tape.weight_edges:
        record, prefix = parameters[w], f"{tape.units[dst].name.partition('@')[0]}/"
        short = record.name.removeprefix(prefix) if record.name.startswith(prefix) else record.name.rpartition("/")[2]
        params.setdefault(dst, {})[short] = record
    block_of = block_of_nodes(tape.structure.blocks)
    nodes = []
    for i, unit in enumerate(tape.units):
        values = sums_of([unit.tensor]) if unit.tensor is not None else unit.calls[-1].values
        shape = tuple(unit.tensor.shape) if unit.tensor is not None else unit.calls[-1].shape
        nodes.append(
            TraceNode(
                unit.name, shape, *numbers_of(values.statistics, gradients.get(i, NOTHING)),
                op=unit.kind,
                primitive="" if unit.role else unit.calls[-1].name,
                block=block_of.get(i, ""),
                source=None if unit.role else unit.calls[-1].source,
                facts=unit.facts,
                by_position=measured.by_position.get(i),
                params=params.get(i, {}),
            )
        )  # fmt: skip
    return nodes


__all__ = ["LEAF", "lint", "trace"]
