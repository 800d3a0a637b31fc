"""Node: one recorded step of a computation, and the edges to what it was computed from.

A Node holds its output *buffer*, never the Tensor, so that no cycle keeps memory alive, and a trace can read values
until backward frees them. A leaf Node (`op is None`) belongs to a Tensor that the user made and keeps its `.grad`.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.backends.buffers import ABSENT, Buffer, pending_writes, settle_writes
from tinyres.engine.state import Scope, state, user_source
from tinyres.errors import GradientError

if TYPE_CHECKING:
    from tinyres.engine.op import Op
    from tinyres.engine.tensor import Tensor

_creation = itertools.count()


class _Changes:
    """How often any `.grad` was set, any weight frozen or any part of a model replaced: a captured step that has seen
    this number need not look at each of them. parts: how often something was set on a layer."""

    count = 0
    parts = 0


changes = _Changes()
_regimes: weakref.WeakKeyDictionary[Buffer, dict[Hashable, Hashable]] = weakref.WeakKeyDictionary()


def regime_of(buffer: Buffer) -> Mapping[Hashable, Hashable]:
    """How what lives in this buffer is treated, where that was ever changed: a captured step depends on it."""
    return _regimes.get(buffer, {})


def set_regime(buffer: Buffer, by: Hashable, rule: Hashable) -> None:
    """Let captured steps that use this buffer know that they were recorded under another rule: a frozen weight.

    by: what treats it so, such as one of the leaves that share it.
    """
    _regimes[buffer] = {**regime_of(buffer), by: rule}
    changes.count += 1


class Node:
    """One op's record on the tape, or a leaf.

    index: grows with creation, so descending order is a valid order for backward.
    lent: of a leaf, whether the memory of its `.grad` belongs to a captured step.
    inputs: the nodes of the op's inputs, in order. versions: the versions of the buffers that the VJP will read.
    saved: extra buffers that forward left for the VJP. pins: how many Graphs keep this node from being freed.
    """

    __slots__ = (
        "op",
        "attrs",
        "inputs",
        "buffer",
        "shape",
        "dtype",
        "saved",
        "versions",
        "requires_grad",
        "index",
        "scope",
        "source",
        "name",
        "pins",
        "freed",
        "grad",
        "lent",
        "__weakref__",
    )

    def __init__(
        self,
        op: Op | None,
        attrs: tuple[Any, ...],
        inputs: tuple[Node, ...],
        buffer: Buffer,
        shape: tuple[int, ...],
        dtype: np.dtype,
        saved: tuple[Buffer, ...],
        requires_grad: bool,
        name: str | None = None,
    ) -> None:
        self.op = op
        self.attrs = attrs
        self.inputs = inputs
        self.buffer = buffer
        self.shape = shape
        self.dtype = dtype
        self.saved = saved
        self.requires_grad = requires_grad
        self.index = next(_creation)
        self.scope: Scope | None = state.scope
        self.name = name
        self.pins = 0
        self.freed = False
        self.grad: Tensor | None = None
        self.lent: bool
        if op is None:
            self.versions: tuple[int, ...] = ()
            self.source = None
        else:
            if pending_writes:
                settle_writes()
            self.versions = tuple([inputs[i].buffer.version for i in op.saves])
            scope = self.scope
            self.source = scope.source if scope is not None and scope.layer else user_source()

    def label(self) -> str:
        """How an error names this node: its own name, else its scope and op."""
        if self.name:
            return self.name
        kind = self.op.name if self.op is not None else "a leaf"
        return f"{self.scope.path}/{kind}" if self.scope is not None else kind

    def set_grad(self, gradient: Tensor | None, lent: bool = False) -> None:
        """Replace what `.grad` shows. lent: in memory that a captured step will write again."""
        self.grad = gradient
        self.lent = lent
        changes.count += 1

    def kept_grad(self) -> Tensor | None:
        """`.grad` for somebody who may keep it: of a lent one, a copy, which stays."""
        gradient = self.grad
        if gradient is not None and self.lent:
            buffer = Buffer(gradient.buffer.size, gradient.dtype)
            buffer.array[...] = gradient.buffer.array
            gradient = type(gradient)(buffer, gradient.shape, gradient.dtype)
            self.set_grad(gradient)
        return gradient

    def free(self) -> None:
        """Drop what only a second backward would need."""
        self.freed = True
        self.saved = ()
        self.inputs = ()
        self.buffer = ABSENT

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GradientError(
            "[pickle] the record of a computation belongs to its process; got a node of the tape; pickle Tensors, "
            "models or traces"
        )


Outputs = tuple[tuple[Buffer, ...], tuple[tuple[int, ...], ...], tuple[np.dtype, ...]]  # one item for each


class FirstOutput(Node):
    """The Node of an op with several outputs: it stands for the op and holds the first output.

    outputs: buffer, shape and dtype of all. It holds no other Node, so a further output lives no longer than what was
    computed from it.
    """

    __slots__ = ("outputs",)
    outputs: Outputs

    def free(self) -> None:
        """Drop what only a second backward would need."""
        super().free()
        self.outputs = (), (), ()


class FurtherOutput(Node):
    """Another output of the op whose FirstOutput is its only input. position: 1 for the second output.

    Backward hands its gradient over to that Node, where the op's VJP gets the cotangents of all outputs at once. Over
    the edge between the two flows nothing: the one is no function of the other.
    """

    __slots__ = ("position",)
    position: int


class ParameterLeaf(Node):
    """The leaf of a Parameter: a trace shows it under the layer that reads it, not as data.

    initializer: the name of what drew the values that its buffer had at first, "" if it has none.
    """

    __slots__ = ("initializer",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.initializer = ""


class ConstantLeaf(Node):
    """The leaf of what is written in the program, as 0.5 in `x * 0.5`: a trace leaves it out."""

    __slots__ = ()


def leaf(
    buffer: Buffer,
    shape: tuple[int, ...],
    dtype: np.dtype,
    requires_grad: bool,
    name: str | None,
    kind: type[Node] = Node,
) -> Node:
    """A node that nothing computed: data, or a parameter."""
    made = kind(None, (), (), buffer, shape, dtype, (), requires_grad, name)
    made.lent = False
    return made
