"""The reference backend: every kernel as NumPy says it, in float32 and float64."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from tinyres.backends.backend import Launch
from tinyres.backends.buffers import Buffer
from tinyres.kernels.record import Kernel


class NumPy:
    """Takes every call."""

    name = "reference"

    def takes(self, kernel: Kernel, outs: Sequence[Buffer], ins: Sequence[Buffer]) -> bool:
        """Always."""
        return True

    def run(self, calls: Sequence[Launch]) -> int:
        """Run the calls in order; -1, or the index of the call whose value check failed."""
        with np.errstate(all="ignore"):
            for i, (kernel, outs, ins, args, scalars, flags) in enumerate(calls):
                operands = [buffer.array for buffer in (*outs, *ins)]
                if kernel.reference(*operands, *args, *scalars, flags=flags):
                    return i
        return -1

    def replayed(self, calls: Sequence[Launch]) -> Callable[[], int]:
        """`run` of these calls, for many times: what they are called with is looked up once."""
        bound = [
            functools.partial(kernel.reference, *[b.array for b in (*outs, *ins)], *args, *scalars, flags=flags)
            for kernel, outs, ins, args, scalars, flags in calls
        ]

        def run() -> int:
            with np.errstate(all="ignore"):
                for i, call in enumerate(bound):
                    if call():
                        return i
            return -1

        return run


NUMPY = NumPy()
