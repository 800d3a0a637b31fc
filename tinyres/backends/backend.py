"""What a backend is: an object that says which kernel calls it takes, and runs lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tinyres.backends.buffers import Buffer
from tinyres.kernels.record import Kernel

# One call: kernel, outs, ins, args, scalars, flags.
Launch = tuple[Kernel, Sequence[Buffer], Sequence[Buffer], Sequence[int], Sequence[float], int]


class Backend(Protocol):
    """The native core (`tinyres.backends.native`) or NumPy (`tinyres.backends.numpy`)."""

    @property
    def name(self) -> str:
        """What `set_backend` calls it."""
        ...

    def takes(self, kernel: Kernel, outs: Sequence[Buffer], ins: Sequence[Buffer]) -> bool:
        """Whether it can run this kernel on these buffers."""
        ...

    def run(self, calls: Sequence[Launch]) -> int:
        """Run calls that it takes, in order; -1, or the index of the call whose value check failed.

        Nothing behind a failed check has run.
        """
        ...
