"""Trace a module of PyTorch: run it and its loss once, forward and backward, and tell what was measured.

The module is as it was before: hooks are gone, `.grad`, buffers, flags and generators are what they were.
"""

from __future__ import annotations

from typing import Any

from tinyres.errors import ArgumentError
from tinyres.torch.assembling import assemble
from tinyres.torch.calls import Recorder
from tinyres.torch.chance import chance_of
from tinyres.torch.library import torch
from tinyres.torch.measuring import measure
from tinyres.torch.paths import path_spectrum
from tinyres.torch.running import Loss, Run
from tinyres.torch.skips import Skips
from tinyres.torch.tape import Tape, read_tape
from tinyres.trace.lint import Findings, lint_trace
from tinyres.trace.trace import Header
from tinyres.view import Trace


def trace(
    module: Any,
    *inputs: Any,
    loss: Loss | None = None,
    level: str = "layer",
    arrays: bool = False,
    audit: bool = True,
    paths: bool = False,
    **named: Any,
) -> Trace:
    """Run a PyTorch module and its loss once, forward and backward, and measure every node and edge.

    inputs, named: what the module is called with. loss: a function of what the module returns that gives one number;
    left out, the module returns the loss itself. level: "layer" (one node per call of a module that calls no others)
    or "op" (one per call of a function). audit: check that every gradient is the sum of what came over its edges.
    paths: also split the input's gradient by path length. arrays: not kept, as gradients are let go of as they pass.
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
    if arrays:
        raise ArgumentError(
            "[trace] of a module of PyTorch gradients are measured as they pass, and none is kept; got arrays=True; "
            "hold them by tensor.register_hook or retain_grad() of what is looked at, or trace a Model"
        )
    return _traced(module, inputs, named, loss, level, audit, paths)[0]


def lint(module: Any, *inputs: Any, loss: Loss | None = None, **named: Any) -> Findings:
    """Look for what a residual net hardly means to do, as `Graph.lint` does; arguments as for `trace`.

    Raises ArgumentError for a module that is none, or a loss that gives no number.

    >>> import torch
    >>> class Doubled(torch.nn.Module):
    ...     def forward(self, x):
    ...         return torch.tanh(x + x)
    >>> [finding.rule for finding in tr.torch.lint(Doubled(), torch.ones(4), loss=torch.sum)]
    ['self-add']
    """
    found, tape = _traced(module, inputs, named, loss, "layer", audit=False, paths=False)
    read = {id(w.tensor) for w in tape.weights}
    unread = [n.replace(".", "/") for n, p in module.named_parameters() if p.requires_grad and id(p) not in read]
    return lint_trace(found, unread)


def _traced(
    module: Any, inputs: tuple[Any, ...], named: dict[str, Any], loss: Loss | None, level: str, audit: bool, paths: bool
) -> tuple[Trace, Tape]:
    if level not in ("layer", "op"):
        raise ArgumentError(f'[trace] a level is "layer" or "op"; got {level!r}; blocks are read off the trace')
    if not isinstance(audit, bool):
        raise ArgumentError(
            f"[trace] of a module of PyTorch sums are audited; got audit={audit!r}; give True for that, or False, and "
            "check the derivatives of ops of your own by torch.autograd.gradcheck"
        )
    run = Run.of(module, inputs, named, loss)
    trained = {name: (p, p.requires_grad) for name, p in module.named_parameters()}
    with run.unchanged():
        recorder = Recorder(module.buffers())
        result = run.forward(recorder)
        tape = read_tape(result.grad_fn, recorder, trained, run.tensors, level)
        skips = Skips(tape)
        spectrum = path_spectrum(result, tape) if paths else None
        measured = measure(result, tape, skips, audit)
    with run.unchanged():
        carried = skips.carried(run)
    header = Header(
        loss=float(result.detach()),
        batch=next((t.shape[0] for t in run.tensors if t.dim()), None),
        training=module.training,
        dtype=str(result.dtype).removeprefix("torch."),
        backend=f"torch {torch.__version__.partition('+')[0]}/{result.device.type}",
        level=level,
        chance=chance_of(recorder.calls[-1].name, *recorder.latest),
        notes=tuple(tape.notes),
    )
    return assemble(header, tape, measured, carried, skips.returned(), spectrum), tape
