"""Why a captured step stopped, or differs: the same inputs once more in eager, leaving no mark.

Both recorders here run every call as it comes, so they see what eager sees; afterwards all state is put back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinyres.backends.buffers import Buffer
from tinyres.capture.program import Call, Program
from tinyres.capture.recording import Recording
from tinyres.errors import CaptureError, NonFiniteError, ValueCheckFailed
from tinyres.kernels.dtypes import FLOAT32, FLOAT64
from tinyres.kernels.record import Kernel
from tinyres.launch import Launch, launch, recording


class _Running(Recording):
    """A recorder that runs what it gets, then looks at the results."""

    def record(self, call: Launch) -> None:
        super().record(call)
        with recording(None):
            launch(*call)
        self.look(call[1])

    def look(self, outs: Sequence[Buffer]) -> None:
        raise NotImplementedError


class _FirstNonFinite(_Running):
    """Stops at the check that fails, and names the first call that made a NaN or Inf."""

    _first = ""

    def record(self, call: Launch) -> None:
        try:
            super().record(call)
        except ValueCheckFailed:
            checked = call[2][0]
            if checked.dtype not in (FLOAT32, FLOAT64) or np.isfinite(checked.array).all():
                raise
            error = NonFiniteError(
                f"[check_finite] the loss must be finite; {self._first}; all state is as before this step; lower the "
                "learning rate or look at its inputs"
            )
            error.found = _extremes(checked.array)
            raise error from None

    def look(self, outs: Sequence[Buffer]) -> None:
        for out in outs:
            if not self._first and out.dtype in (FLOAT32, FLOAT64) and not np.isfinite(out.array).all():
                call = self.calls[-1]
                self._first = f"{_name(call.label, call.kernel)} is the first to give {_extremes(out.array)}"


def explain_failure(run: Callable[[], Any], call: Call, written: Sequence[Buffer]) -> None:
    """Raise the error that eager raises for these inputs, or one that names the failed check. Changes nothing."""
    with _restored(written), np.errstate(all="ignore"):
        with recording(_FirstNonFinite(check_finite=True)):
            run()
    raise CaptureError(
        f"[capture] the value check {_name(call.label, call.kernel)} failed in the replay but not in eager; "
        "all state is as before this step; look for side effects with tr.capture(fn, check=True)"
    )


def compare_with_eager(
    run: Callable[[], Any], recorded: Program, written: Sequence[Buffer], replay: Callable[[Call], Sequence[Buffer]]
) -> None:
    """Run eagerly and replay call by call, and raise CaptureError at the first call that differs. Changes nothing."""
    seen: list[list[np.ndarray]] = []

    class _Keeping(_Running):
        def look(self, outs: Sequence[Buffer]) -> None:
            seen.append([out.array.copy() for out in outs if out.size])

    with _restored(written):
        recorder = _Keeping()
        with recording(recorder):
            run()
        eager = recorder.calls
    with _restored(written):
        for i, call in enumerate(recorded.calls):
            if i >= len(eager) or (eager[i].kernel, eager[i].args, eager[i].scalars, eager[i].flags) != (
                call.kernel,
                call.args,
                call.scalars,
                call.flags,
            ):
                raise CaptureError(
                    f"[capture] eager and replay must make the same calls; they part at call {i}, "
                    f"{_name(call.label, call.kernel)}; a branch or a constant depends on data or on when it is called"
                )
            for buffer, values in zip([b for b in replay(call) if b.size], seen[i]):
                if buffer.array.tobytes() != values.tobytes():
                    raise CaptureError(
                        f"[capture] eager and replay must agree; call {i}, {_name(call.label, call.kernel)}, differs "
                        f"by up to {np.max(np.abs(buffer.array - values)):.3g}; look for state that the step changes"
                    )
        if len(eager) != len(recorded.calls):
            raise CaptureError(
                f"[capture] eager and replay must make the same calls; eager makes {len(eager)}, the replay "
                f"{len(recorded.calls)}; a branch depends on data or on the time of the call"
            )


@contextlib.contextmanager
def _restored(written: Sequence[Buffer]) -> Iterator[None]:
    saved = [buffer.array.copy() for buffer in written]
    try:
        yield
    finally:
        for buffer, values in zip(written, saved):
            buffer.array[...] = values


def _name(label: str, kernel: Kernel) -> str:
    return f"{label}/{kernel.name}" if label else kernel.name


def _extremes(array: np.ndarray) -> str:
    nans, infs = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    return f"{nans} NaN and {infs} Inf among {array.size} values"
