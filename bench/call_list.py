"""Kernel calls as a captured program makes them: a packed list of identical ones, walked in C."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from tinyres.backends import native
from tinyres.backends.buffers import ABSENT, Buffer, from_array
from tinyres.kernels.record import KERNELS

LIST_SECONDS = 1e-4  # long enough that the Python call around the list does not count
MOST_CALLS = 1000


class CallList:
    """`calls` calls of one kernel on the same operands; calling it runs them all on the native backend.

    outs, ins: arrays, copied into Buffers; None where an operand is absent. calls: 0 chooses.
    """

    def __init__(
        self,
        kernel: str,
        outs: Sequence[np.ndarray | None],
        ins: Sequence[np.ndarray | None],
        args: Sequence[int] = (),
        scalars: Sequence[float] = (),
        flags: int = 0,
        calls: int = 0,
    ) -> None:
        self.kernel = KERNELS[kernel]
        self.buffers = [ABSENT if a is None else from_array(a, a.dtype) for a in (*outs, *ins)]
        addresses = [buffer.address for buffer in self.buffers]
        self._call = self.kernel.pack(self.kernel.native_id, flags, 0, *addresses, *args, *scalars)
        self.calls = calls or self._enough_calls()
        self._list = self._call * self.calls

    def __call__(self) -> None:
        failed = native.run(self._list, self.calls)
        if failed >= 0:
            raise AssertionError(f"call {failed} of {self.kernel.name} did not run")

    def outputs(self) -> list[Buffer]:
        return self.buffers[: len(self.kernel.outs)]

    def _enough_calls(self) -> int:
        native.run(self._call, 1)
        start = time.perf_counter()
        native.run(self._call, 1)
        return max(1, min(MOST_CALLS, int(LIST_SECONDS / (time.perf_counter() - start))))
