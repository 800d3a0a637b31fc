"""What a module does in its forward pass: calls of functions, with their values and the nodes of autograd they made.

A mode of PyTorch sees every function call, in-place ones too, and hooks see which module is at work. What no function
call shows (a custom autograd.Function, what was compiled) is seen when its result is next read or returned.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tinyres.torch.library import torch
from tinyres.torch.statistics import Sums, dead_channels, sums_of
from tinyres.torch.vocabulary import function

_LIBRARY = os.path.dirname(torch.__file__) + os.sep
_OWN = os.path.dirname(__file__) + os.sep
_Fake = torch._subclasses.fake_tensor.FakeTensor  # what stands for tensors while a region is compiled
COMPILED = torch._dynamo.OptimizedModule
_STAGES = (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)


@dataclass(slots=True, eq=False)
class Visit:
    """One call of a module. path: its name with / for dots; scope: that of the block it stands in.

    kind: the class. own: whether users wrote it, so that what is in it may be told apart. holds: whether it called
    other modules. opaque: why nothing in it is seen, "" if it is.
    """

    path: str
    scope: str
    kind: str
    own: bool
    holds: bool = False
    opaque: str = ""


@dataclass(slots=True, eq=False)
class Call:
    """One call of a function. index: when. nodes: of autograd, made by it. values: of its results, all together.

    shape, dtype: of its first result. constants: tensors that it read and that need no gradient. options: what it was
    called with, by name or by place.
    """

    name: str
    index: int
    visit: Visit | None
    nodes: list[Any]
    values: Sums
    shape: tuple[int, ...]
    source: tuple[str, int] | None
    constants: list[Any] = field(default_factory=list)
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    dead: int | None = None
    size: int = 0
    channels_first: bool = False


class Recorder(torch.overrides.TorchFunctionMode):
    """Keeps the calls that are made while it is entered. of: by node of autograd the call that made it."""

    def __init__(self, buffers: Iterable[Any]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.of: dict[Any, Call] = {}
        self.at_loss = sys.maxsize  # the index of the first call of the loss
        self.latest: tuple[Any, Any] = (), {}  # arguments of the last call
        self._known = {id(b) for b in buffers}
        self._visits: list[Visit] = []

    @property
    def count(self) -> int:
        """How many calls there were."""
        return len(self.calls)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        read = list(tensors_in((args, options)))
        if torch.compiler.is_compiling() or any(isinstance(t, _Fake) for t in read):
            return func(*args, **options)
        for t in read:
            self.see(t)
        result = func(*args, **options)
        made = args[:1] if result is None and args and isinstance(args[0], torch.Tensor) else tensors_in(result)
        self._note(_name(func), list(made), read, args, options)
        return result

    def enter(self, visit: Visit, given: Any) -> None:
        """A module begins; what it is given may have come about unseen, outside of it."""
        for t in tensors_in(given):
            self.see(t)
        for outer in self._visits[-1:]:
            outer.holds = True
        self._visits.append(visit)

    def leave(self, results: Any) -> None:
        """The module that began last has come to these results."""
        for t in tensors_in(results):
            self.see(t)
        self._visits.pop()

    def see(self, tensor: Any) -> None:
        """A tensor that may have come about unseen."""
        node = tensor.grad_fn
        if node is not None and node not in self.of:
            self._note(_called(node), [tensor], [], (), {})

    def _note(self, name: str, made: list[Any], read: list[Any], args: Any, options: Any) -> None:
        nodes: list[Any] = []
        own = [t for t in made if t.grad_fn is not None and t.grad_fn not in self.of]
        call = Call(name, len(self.calls), self._visits[-1] if self._visits else None, nodes, Sums(), (), None)
        for t in own:
            stack = [t.grad_fn]
            while stack:
                node = stack.pop()
                if node not in self.of and not is_leaf(node):
                    self.of[node] = call
                    nodes.append(node)
                    stack += [n for n, _ in node.next_functions if n is not None]
        if not nodes:
            return
        call.size = sum(t.numel() for t in own)
        call.shape = tuple(own[0].shape)
        call.source = _source()
        call.channels_first = self._has_channels_first(call)
        self.values(call, own)
        call.constants = [t for t in read if self._is_constant(t)]
        call.args, call.options = _plain(args), {k: v for k, v in options.items() if not _holds_tensors(v)}
        self.calls.append(call)
        self.latest = args, options

    def values(self, call: Call, made: list[Any]) -> None:
        """Measure what a call has made, before anything in place changes it."""
        call.values = sums_of(made)
        if function(call.name).rectifies and made[0].dim():
            call.dead = dead_channels(made[0], 1 if call.channels_first else -1)

    def _has_channels_first(self, call: Call) -> bool:
        """Whether channels stand on axis 1: behind what works on images, until axes are moved."""
        known = function(call.name)
        if known.images or known.moves or len(call.shape) < 3:
            return known.images and len(call.shape) > 2
        before = {self.of[n] for node in call.nodes for n, _ in node.next_functions if n in self.of} - {call}
        return any(c.channels_first and len(c.shape) == len(call.shape) for c in before)

    def _is_constant(self, tensor: Any) -> bool:
        return not tensor.requires_grad and tensor.numel() > 1 and id(tensor) not in self._known


def tensors_in(nest: Any) -> Iterator[Any]:
    """The tensors of floats in nested tuples, lists and dicts."""
    if isinstance(nest, torch.Tensor):
        if nest.is_floating_point():
            yield nest
    elif isinstance(nest, dict):
        for value in nest.values():
            yield from tensors_in(value)
    elif isinstance(nest, (tuple, list)):
        for value in nest:
            yield from tensors_in(value)


def is_compiled(module: Any) -> bool:
    """Whether calls of a module run what was compiled."""
    return isinstance(module, COMPILED) or getattr(module, "_compiled_call_impl", None) is not None


def is_leaf(node: Any) -> bool:
    """Whether gradients end in this node of autograd: its tensor was not computed."""
    return hasattr(node, "variable")


def _plain(args: Any) -> tuple[Any, ...]:
    return tuple([None if _holds_tensors(a) else a for a in args])


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or (isinstance(value, (tuple, list)) and any(map(_holds_tensors, value)))


def _name(func: Any) -> str:
    name = getattr(func, "__name__", "") or type(func).__name__
    if name == "__get__":
        name = getattr(func.__self__, "__name__", name)
    return str(name).strip("_")


def _called(node: Any) -> str:
    """The name of a node of autograd without its ending."""
    return str(node.name()).rpartition("::")[2].rstrip("0123456789").removesuffix("Backward")


def _source() -> tuple[str, int] | None:
    """Where in the user's code a call was made."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_LIBRARY, _OWN)) and not file.startswith("<"):
            return file, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


def visits_of(module: Any) -> dict[Any, tuple[str, str]]:
    """Per module inside another its path and its scope: the block around it, which a mere Sequential is none of."""
    known = dict(module.named_modules())
    found = {}
    for name, inner in known.items():
        outer = name.rpartition(".")[0]
        while outer and type(known.get(outer)) in _STAGES:
            outer = outer.rpartition(".")[0]
        found[inner] = name.replace(".", "/"), outer.replace(".", "/")
    return found


__all__ = ["COMPILED", "Call", "Recorder", "Visit", "is_compiled", "is_leaf", "tensors_in", "visits_of"]
