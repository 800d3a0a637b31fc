"""Recording: what a step did at the door, and what it did to `.grad`, without running any of it.

While a Recording is a thread's recorder every kernel call is noted and none runs, and what happens to a `.grad` is kept
here: no leaf sees it before the step has run. Buffers that were born before it
are the state of the step; those born inside are its temporaries, unless the step returns them or leaves them in a
`.grad`. The calls keep their buffers alive, so that no two of them share an identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer, births
from tinyres.capture.finite import FiniteGradients
from tinyres.capture.following import Followed
from tinyres.engine.backward import OnNode
from tinyres.engine.node import Node
from tinyres.engine.op import apply
from tinyres.engine.primitives import ADD, add_in_place
from tinyres.engine.state import current_scope, no_grad
from tinyres.engine.tensor import Tensor
from tinyres.errors import CaptureError
from tinyres.kernels.record import Kernel
from tinyres.launch import Launch, Watcher, launch


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call as it passed the door. label: the scope that it was made under."""

    kernel: Kernel
    outs: tuple[Buffer, ...]
    ins: tuple[Buffer, ...]
    args: tuple[int, ...]
    scalars: tuple[float, ...]
    flags: int
    label: str


@dataclass(slots=True)
class GradUse:
    """What a step does with the `.grad` of one leaf.

    had: whether there was one when it began; None: the step replaced it without a look. place: what stands for that
    one. grad: what `.grad` is now. changed: whether it is another than when the step began. held: whether the step may
    hold the Tensor in `place`.
    """

    had: bool | None = None
    place: Tensor | None = None
    grad: Tensor | None = None
    changed: bool = False
    held: bool = False


class Recording:
    """The recorder of one captured step. check_finite: stop replays at a loss or gradient that is NaN or Inf."""

    def __init__(self, check_finite: bool = False) -> None:
        self._check_finite = check_finite
        self.started = next(births)
        self.calls: list[RecordedCall] = []
        self.uses: dict[Node, GradUse] = {}
        self.parts: dict[int, Any] = {}  # by identity: the buffers and layers whose regime it was recorded under
        self.followed = Followed()
        self.preparations: list[Callable[[], None]] = []
        self.watchers: dict[Node, Watcher] = {}

    def record(self, call: Launch) -> None:
        kernel, outs, ins, args, scalars, flags = call
        self.calls.append(
            RecordedCall(kernel, tuple(outs), tuple(ins), tuple(args), tuple(scalars), flags, current_scope())
        )

    def starts_backward(self, loss: Tensor, on_node: OnNode | None) -> OnNode | None:
        if not self._check_finite:
            return on_node
        launch(kernels.check_finite, (), (loss.buffer,), (loss.size,))
        return FiniteGradients(on_node)

    def watch(self, root: Node, watcher: Watcher) -> None:
        self.watchers[root] = watcher

    def watcher_of(self, root: Node) -> Watcher | None:
        return self.watchers.get(root)

    def set_grad(self, leaf: Node, gradient: Tensor | None) -> None:
        use = self.uses.get(leaf)
        if use is None:
            use = self.uses[leaf] = GradUse()
        use.grad, use.changed = gradient, True

    def grad_of(self, leaf: Node, held: bool = False) -> Tensor | None:
        use = self._reading(leaf)
        use.held = use.held or held
        return use.grad

    def accumulate_grad(self, leaf: Node, gradient: Tensor) -> None:
        """As in eager; but into the place of the gradient that was there when the step began, if only that sees it."""
        use = self._reading(leaf)
        use.changed = True
        if use.grad is None:
            use.grad = gradient
        elif use.grad is use.place and not use.held:
            add_in_place(use.grad, gradient)
        else:
            with no_grad():
                use.grad = apply(ADD, (use.grad, gradient))

    def _reading(self, leaf: Node) -> GradUse:
        """The use of a leaf's `.grad`, of which what it was when the step began is asked for."""
        use = self.uses.get(leaf)
        if use is None:
            use = self.uses[leaf] = GradUse(had=leaf.grad is not None)
            if leaf.grad is not None:
                buffer = Buffer(leaf.grad.buffer.size, leaf.grad.dtype)
                buffer.array[...] = leaf.grad.buffer.array
                use.grad = use.place = Tensor(buffer, leaf.grad.shape, leaf.grad.dtype)
        return use

    def depends_on(self, part: Any) -> None:
        if id(part) not in self.parts:
            self.parts[id(part)] = part
            if not isinstance(part, Buffer):
                self.followed.note_holdings(part.held())

    def reads(self, array: np.ndarray, buffer: Buffer) -> None:
        """The values of a NumPy array went into a buffer: it may have others at the next run."""
        self.followed.note_array(array, buffer)

    def before_replay(self, op: str, action: Callable[[], None]) -> None:
        if action in self.preparations:
            self.refuse(op, "a step that Python prepares cannot be taken twice")
        self.preparations.append(action)

    def refuse(self, op: str, what: str) -> None:
        raise CaptureError(
            f"[{op}] {what} while a step is being captured: nothing has run yet; "
            "return the Tensor from the step and read it outside, or do this before the capture"
        )

    def lasting(self) -> list[Buffer]:
        """The buffers that hold a `.grad` from replay to replay."""
        held = [t.buffer for use in self.uses.values() for t in (use.place, use.grad) if t is not None]
        return [b for b in held if b.born > self.started]
