"""The `.grad` of leaves in a replay: what it takes in before it runs, and what it leaves behind.

Where a step asks what `.grad` was when it began, that there was one, or none, is part of its signature; the values are
copied to a place of the program's own, for the user may hold the Tensor. What a step leaves behind stays in the
program's memory and is lent to the leaf: who reads `.grad` gets a copy (`Node.kept_grad`), and the next replay, which
writes there, costs nothing where nobody looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tinyres.backends.buffers import Buffer, Window
from tinyres.capture.recording import GradUse, Recording
from tinyres.engine.node import Node
from tinyres.engine.tensor import Tensor, node_of
from tinyres.errors import CaptureError


@dataclass(frozen=True, slots=True)
class _Use:
    """The GradUse of one leaf. node: of a leaf that the step knows; else it is the argument of this number.

    outside: whether what is left is a Tensor from outside of the step. shared: whether it is in memory that the step
    also uses for something else.
    """

    node: Node | None
    argument: int
    use: GradUse
    outside: bool
    shared: bool

    def leaf(self, arguments: Sequence[Any]) -> Node:
        return self.node if self.node is not None else node_of(arguments[self.argument])


class Gradients:
    """What a recorded step does with `.grad`. stable: whether a replay may follow another one without a look."""

    def __init__(self, recorder: Recording, placeholders: Sequence[Tensor], arguments: Sequence[Any]) -> None:
        numbers = {t.node: i for i, t in enumerate(placeholders) if t.node is not None}
        places = {id(u.place.buffer) for u in recorder.uses.values() if u.place is not None}
        inputs = {id(t.buffer) for t in placeholders}
        self._uses: list[_Use] = []
        for leaf, use in recorder.uses.items():
            argument = numbers.get(leaf, -1)
            if argument >= 0 and not isinstance(arguments[argument], Tensor):
                continue
            if argument >= 0 and not arguments[argument].is_leaf:
                raise CaptureError(
                    "[capture] a gradient ends at the arguments of a captured step; argument "
                    f"{argument}, of shape {arguments[argument].shape}, was computed from others that need one; "
                    "compute it inside the step, or give x.detach()"
                )
            outside = shared = False
            if use.grad is not None and use.grad is not use.place:
                left = use.grad.buffer
                base = left.base if isinstance(left, Window) else left
                outside = base.born < recorder.started and id(base) not in inputs
                shared = base is not left or id(base) in inputs | places
                use.grad = use.grad if outside else use.grad.detach()
            self._uses.append(_Use(None if argument >= 0 else leaf, argument, use, outside, shared))
        self.of_arguments = any(u.node is None for u in self._uses)
        self.stable = not self.of_arguments and all(map(_settles, self._uses))

    @property
    def leaves(self) -> set[Node]:
        """The leaves that the step knows."""
        return {u.node for u in self._uses if u.node is not None}

    def fit(self, arguments: Sequence[Any]) -> bool:
        """Whether `.grad` is there where it was when the step was recorded."""
        return all(u.use.had is None or u.use.had is (u.leaf(arguments).grad is not None) for u in self._uses)

    def take_in(self, arguments: Sequence[Any]) -> None:
        """Copy each `.grad` that the step reads to its place."""
        for u in self._uses:
            if u.use.place is not None:
                present = u.leaf(arguments).grad
                if present is not u.use.place:
                    u.use.place.buffer.array[...] = present.buffer.array  # type: ignore[union-attr]

    def hand_out(self, arguments: Sequence[Any]) -> None:
        """Let each `.grad` show what the step has left there."""
        for u in self._uses:
            leaf, gradient = u.leaf(arguments), u.use.grad
            if not u.use.changed:
                continue
            if gradient is None or u.outside:
                if leaf.grad is not gradient:
                    leaf.set_grad(gradient)
            elif u.shared or u.node is None:
                leaf.set_grad(copied(gradient.buffer, gradient))
            elif leaf.grad is not gradient:
                leaf.set_grad(gradient, lent=True)


def _settles(u: _Use) -> bool:
    """Whether `.grad` is, after a replay, as the next one asks for, and in its place."""
    left = u.use.grad
    if u.use.had is None:
        return not u.shared
    if not u.use.had:
        return left is None
    return left is u.use.place and u.use.changed and not u.use.held


def copied(source: Buffer, like: Tensor) -> Tensor:
    """A Tensor of its own with these values, of this shape."""
    buffer = Buffer(source.size, like.dtype)
    buffer.array[...] = source.array
    return Tensor(buffer, like.shape, like.dtype)
