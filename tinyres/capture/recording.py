"""Recording: what a step did at the door, and what it did to `.grad`, without running any of it.

While a Recording is a thread's recorder every kernel call is noted and none runs. Buffers that were born before it
are the state of the step; those born inside are its temporaries, unless the step returns them or leaves them in a
`.grad`. The calls keep their buffers alive, so that no two of them share an identity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tinyres import kernels
from tinyres.backends.buffers import Buffer, births
from tinyres.engine.node import Node
from tinyres.engine.op import apply
from tinyres.engine.primitives import ADD, add_in_place
from tinyres.engine.state import current_scope, no_grad
from tinyres.engine.tensor import Tensor
from tinyres.errors import CaptureError
from tinyres.kernels.record import Kernel
from tinyres.launch import Launch, launch


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


class Recording:
    """The recorder of one captured step. check_finite: stop replays at a loss that is NaN or Inf."""

    def __init__(self, check_finite: bool = False) -> None:
        self._check_finite = check_finite
        self.started = next(births)
        self.calls: list[RecordedCall] = []
        self._grads_before: dict[Node, Tensor | None] = {}
        self._cleared: set[Node] = set()
        self.preparations: list[Callable[[], None]] = []

    def record(self, call: Launch) -> None:
        kernel, outs, ins, args, scalars, flags = call
        self.calls.append(
            RecordedCall(kernel, tuple(outs), tuple(ins), tuple(args), tuple(scalars), flags, current_scope())
        )

    def starts_backward(self, loss: Tensor) -> None:
        if self._check_finite:
            launch(kernels.check_finite, (), (loss.buffer,), (loss.size,))

    def set_grad(self, leaf: Node, gradient: Tensor | None) -> None:
        self._grads_before.setdefault(leaf, leaf.grad)
        self._cleared.add(leaf)
        leaf.set_grad(gradient)

    def accumulate_grad(self, leaf: Node, gradient: Tensor) -> None:
        """As in eager where this step cleared `.grad` before; else into a buffer that lasts from replay to replay."""
        self._grads_before.setdefault(leaf, leaf.grad)
        if leaf in self._cleared:
            if leaf.grad is None:
                leaf.set_grad(gradient)
            else:
                with no_grad():
                    leaf.set_grad(apply(ADD, (leaf.grad, gradient)))
            return
        if leaf.grad is None:
            buffer = Buffer(gradient.size, gradient.dtype)
            buffer.array.fill(0)
            leaf.set_grad(Tensor(buffer, gradient.shape, gradient.dtype))
        add_in_place(leaf.grad, gradient)  # type: ignore[arg-type]

    def before_replay(self, op: str, action: Callable[[], None]) -> None:
        if action in self.preparations:
            self.refuse(op, "a step that Python prepares cannot be taken twice")
        self.preparations.append(action)

    def refuse(self, op: str, what: str) -> None:
        raise CaptureError(
            f"[{op}] {what} while a step is being captured: nothing has run yet; "
            "return the Tensor from the step and read it outside, or do this before the capture"
        )

    def undo(self) -> None:
        """Put every `.grad` back: the step raised."""
        for leaf, gradient in self._grads_before.items():
            leaf.set_grad(gradient)

    def gradients(self) -> dict[Node, Tensor | None]:
        """What the step leaves in `.grad` of the leaves it touched."""
        return {leaf: leaf.grad for leaf in self._grads_before}
