"""Run a module and its loss forward so that a recorder sees all of it and nothing stays changed.

Hooks are gone afterwards; buffers, flags and generators are what they were. Each run draws the same numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tinyres.errors import ArgumentError, ShapeError, TraceError
from tinyres.torch.calls import COMPILED, Recorder, Visit, is_compiled, visits_of
from tinyres.torch.library import torch

Loss = Callable[[Any], Any]


@dataclass
class Run:
    """What is run. given, named: the inputs, those of floats as leaves whose gradients can be measured."""

    module: Any
    given: list[Any]
    named: dict[str, Any]
    loss: Loss | None

    @classmethod
    def of(cls, module: Any, inputs: tuple[Any, ...], named: dict[str, Any], loss: Loss | None) -> Run:
        """Raises ArgumentError for what is no module, for one whose code is not Python's, and for what is no loss."""
        if not isinstance(module, torch.nn.Module):
            raise ArgumentError(
                f"[torch] what is traced is a torch.nn.Module; got {type(module).__name__}; of a tinyres model, call "
                "model.graph(x, y).trace()"
            )
        if any(isinstance(inner, torch.jit.RecursiveScriptModule) for inner in module.modules()):
            raise ArgumentError(
                "[torch] a module is seen at work by hooks, which scripted ones do not take; got a ScriptModule; trace "
                "the module that it was made of"
            )
        if loss is not None and (not callable(loss) or isinstance(loss, torch.nn.modules.loss._Loss)):
            raise ArgumentError(
                f"[torch] loss is a function of what the module returns alone; got {type(loss).__name__}; write "
                " loss=lambda y: torch.nn.functional.cross_entropy(y, target)"
            )
        with torch.inference_mode(False):
            leaves = {name: _leaf(value) for name, value in named.items()}
            return cls(module, [_leaf(value) for value in inputs], leaves, loss)

    def forward(self, recorder: Recorder) -> Any:
        """The loss, checked. Call it within `unchanged`."""
        with recorder, _visiting(self.module, recorder):
            result = self.module(*self.given, **self.named)
            recorder.at_loss = recorder.count
            result = result if self.loss is None else self.loss(result)
            if isinstance(result, torch.Tensor) and not result.is_complex():
                recorder.see(result)
        return _checked(result, self.loss)

    @property
    def tensors(self) -> list[Any]:
        """The inputs that are tensors."""
        return [t for t in (*self.given, *self.named.values()) if isinstance(t, torch.Tensor)]

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """Hold what a forward pass changes, and let all Parameters have gradients meanwhile."""
        buffers = [(b, b.detach().clone()) for b in self.module.buffers()]
        frozen = [p for p in self.module.parameters() if not p.requires_grad and p.is_floating_point()]
        devices = {p.device.index for p in self.module.parameters() if p.device.type == "cuda"}
        with torch.random.fork_rng(devices=sorted(devices)), torch.inference_mode(False), torch.enable_grad():
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


def _leaf(value: Any) -> Any:
    """An input as a leaf whose gradient can be measured; what holds no floats as it is."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return (value.clone() if value.is_inference() else value).detach().requires_grad_()
    return value


def _checked(loss: Any, function: Loss | None) -> Any:
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
    if loss.is_complex():
        raise ArgumentError(
            f"[torch] a trace ends in a real number; {what} one of {str(loss.dtype).removeprefix('torch.')}; take its "
            ".real or .abs()"
        )
    if loss.grad_fn is None:
        raise TraceError(
            f"[torch] the loss must come from what has a gradient; {what} a tensor that was computed under no_grad, "
            "detached, or from integers alone; look for detach(), item() or numpy() on the way"
        )
    return loss


@contextlib.contextmanager
def _visiting(module: Any, recorder: Recorder) -> Iterator[None]:
    """Tell the recorder which module is at work."""
    handles = []
    compiled = [m for m in module.modules() if is_compiled(m)]
    within = {inner for m in compiled for inner in m.modules() if inner is not m or not isinstance(m, COMPILED)}
    for inner, (path, scope) in visits_of(module).items():

        def enter(inner: Any, args: Any, path: str = path, scope: str = scope) -> None:
            own = not type(inner).__module__.startswith("torch.nn.")
            recorder.enter(Visit(path, scope, type(inner).__name__, own), args)

        def leave(inner: Any, args: Any, result: Any) -> None:
            recorder.leave(result)

        if inner in within:
            continue  # hooks there would be compiled too
        handles.append(inner.register_forward_pre_hook(enter))
        handles.append(inner.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
