"""The door: `launch` is the only function that runs a kernel.

Every kernel call of the library passes here, eager or recorded, native or reference. It records if a recorder is
installed on this thread (capture, or the shape inference of layers), else it packs the call into one C struct and
hands a list of one to the walker that also replays captured programs. The first backend that takes a call runs it:
float64 always runs on NumPy.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, Protocol

import numpy as np

from tinyres.backends import native
from tinyres.backends.backend import Backend
from tinyres.backends.backend import Launch as Launch
from tinyres.backends.buffers import Buffer
from tinyres.backends.native import NATIVE
from tinyres.backends.numpy import NUMPY
from tinyres.errors import BackendError, CaptureError, ValueCheckFailed
from tinyres.kernels.record import Kernel


class Watcher(Protocol):
    """Sees a backward pass: every edge and every total. order: the nodes that the pass goes through, newest first."""

    order: list[Any]

    def begins(self) -> None:
        """A run of the step is about to begin."""
        ...

    def on_edge(self, consumer: Any, position: int, producer: Any, cotangent: Any) -> None: ...

    def on_node(self, node: Any, total: Any) -> None: ...


class Recorder(Protocol):
    """What takes the calls of a thread instead of the machine, and the changes that eager code would make at once."""

    def record(self, call: Launch) -> None: ...

    def starts_backward(self, loss: Any, on_node: Any) -> Any:
        """The observer of this pass, for the one that was given, or None."""
        ...

    def watch(self, root: Any, watcher: Watcher) -> None:
        """Let the backward pass that starts from this node be seen."""
        ...

    def watcher_of(self, root: Any) -> Watcher | None:
        """Who is to see the pass that starts from this node."""
        ...

    def set_grad(self, leaf: Any, gradient: Any) -> None: ...

    def accumulate_grad(self, leaf: Any, gradient: Any) -> None: ...

    def grad_of(self, leaf: Any, held: bool = False) -> Any:
        """What `.grad` would show now. held: to somebody who may keep it."""
        ...

    def depends_on(self, part: Any) -> None:
        """Note a buffer, or an object with a `token`, by whose present regime the step is recorded.

        The object's `held()` gives its attributes that may be changed in place.
        """
        ...

    def reads(self, array: np.ndarray, buffer: Buffer) -> None:
        """Note that the values of a NumPy array went into a buffer: it may have others at the next run."""
        ...

    def before_replay(self, op: str, action: Callable[[], None]) -> None:
        """Let Python do this before each run of what is recorded."""
        ...

    def refuse(self, op: str, what: str) -> None:
        """Raise CaptureError: `what` is not possible now, and what to do instead."""
        ...


class DryRecorder:
    """Takes every call and runs none: what comes out of ops has shapes and no values.

    remedy: what an error tells a user whose code asks for more.
    """

    def __init__(self, remedy: str) -> None:
        self.remedy = remedy

    def record(self, call: Launch) -> None:
        """Nothing is kept."""

    def starts_backward(self, loss: Any, on_node: Any) -> None:
        self.refuse("backward", "a gradient cannot be computed")

    def watch(self, root: Any, watcher: Watcher) -> None:
        self.refuse("watch", "a gradient cannot be looked at")

    def watcher_of(self, root: Any) -> None:
        return None

    def set_grad(self, leaf: Any, gradient: Any) -> None:
        self.refuse("grad", "a gradient cannot be set")

    def accumulate_grad(self, leaf: Any, gradient: Any) -> None:
        self.refuse("grad", "a gradient cannot be set")

    def grad_of(self, leaf: Any, held: bool = False) -> Any:
        return leaf.grad

    def depends_on(self, part: Any) -> None:
        """Nothing will run."""

    def reads(self, array: np.ndarray, buffer: Buffer) -> None:
        """Nothing will run."""

    def before_replay(self, op: str, action: Callable[[], None]) -> None:
        """Nothing will run."""

    def refuse(self, op: str, what: str) -> NoReturn:
        """Raise CaptureError with the remedy."""
        raise CaptureError(f"[{op}] {what} while only shapes are being worked out; {self.remedy}")


class _Door(threading.local):
    """Per thread: what takes the calls; None: the machine."""

    recorder: Recorder | None = None


door = _Door()

# By the name that a user chooses: who is asked for a call, in this order.
_BACKENDS: dict[str, tuple[Backend, ...]] = {"native": (NATIVE, NUMPY), "reference": (NUMPY,)}
_chosen = "reference"
_native_enabled = False


def launch(
    kernel: Kernel,
    outs: Sequence[Buffer],
    ins: Sequence[Buffer],
    args: Sequence[int] = (),
    scalars: Sequence[float] = (),
    flags: int = 0,
) -> None:
    """Run one kernel call now, or record it.

    `outs` and `ins` are Buffers (ABSENT for an optional operand), `args` the sizes in the order the kernel names
    them, `scalars` its constants. Raises ValueCheckFailed if the kernel is a value check and the check fails.
    """
    if door.recorder is not None:
        door.recorder.record((kernel, outs, ins, args, scalars, flags))
        return
    # What NATIVE.takes and NATIVE.run do, written out: every eager op passes here. None: not for the native backend.
    call = kernel.pack_buffers(outs, ins, args, scalars, flags) if _native_enabled else None
    if call is not None:
        failed = native.run(call, 1)
    else:
        failed = NUMPY.run(((kernel, outs, ins, args, scalars, flags),))
    if failed >= 0:
        raise ValueCheckFailed(f"[{kernel.name}] the value check failed")
    if kernel.mutates:
        for buffer in outs:
            buffer.version += 1


def launch_list(calls: Sequence[Launch]) -> None:
    """`launch` for many calls, each a tuple of its arguments: one crossing into C if all of them are native."""
    packed = NATIVE.pack(calls) if door.recorder is None and _native_enabled else None
    if packed is None:
        for arguments in calls:
            launch(*arguments)
        return
    failed = native.run(packed, len(calls))
    for call in calls:
        if call[0].mutates:
            for buffer in call[1]:
                buffer.version += 1
    if failed >= 0:
        raise ValueCheckFailed(f"[{calls[failed][0].name}] the value check failed")


def backend_of(kernel: Kernel, outs: Sequence[Buffer], ins: Sequence[Buffer]) -> Backend:
    """The backend that runs this call: the first of the chosen ones that takes it."""
    return next(backend for backend in _BACKENDS[_chosen] if backend.takes(kernel, outs, ins))


def prepare(op: str, action: Callable[[], None]) -> None:
    """Do this in Python now, or, of a step that is being recorded, before each of its runs: it fills buffers with what
    changes from step to step. Once per step."""
    if door.recorder is None:
        action()
    else:
        door.recorder.before_replay(op, action)


def refuse_while_recording(what: str) -> None:
    """Raise CaptureError if a recorder is open on this thread: there are no values to read yet."""
    if door.recorder is not None:
        door.recorder.refuse(what, "a value cannot be read")


@contextlib.contextmanager
def recording(recorder: Recorder | None) -> Iterator[None]:
    """Send this thread's calls to `recorder` (None: to the machine) until the block ends."""
    previous, door.recorder = door.recorder, recorder
    try:
        yield
    finally:
        door.recorder = previous


def set_backend(name: str) -> None:
    """Choose what runs float32 kernels: "native" (the C core) or "reference" (NumPy). Process-wide.

    Raises BackendError if the name is unknown or the C core is not there.

    >>> import tinyres as tr
    >>> tr.set_backend("reference"); tr.backend()
    'reference'
    >>> tr.set_backend("native")
    """
    global _chosen, _native_enabled
    if name not in _BACKENDS:
        raise BackendError(f'[set_backend] the backend is "native" or "reference"; got {name!r}; choose one of them')
    if name == "native" and not native.AVAILABLE:
        raise BackendError(f"[set_backend] the C core is not there: {native.reason}")
    _chosen = name
    _native_enabled = NATIVE in _BACKENDS[name]


def backend() -> str:
    """The backend of float32 kernels: "native" or "reference".

    >>> import tinyres as tr
    >>> tr.backend() in ("native", "reference")
    True
    """
    return _chosen


def info() -> dict[str, str]:
    """What runs the kernels here, and why: backend, instruction set, threads, and the environment that chose them.

    >>> import tinyres as tr
    >>> sorted(tr.info())[:2]
    ['backend', 'environment']
    """
    chosen = {k: v for k, v in sorted(os.environ.items()) if k.startswith("TINYRES_")}
    facts = {
        "backend": f"{backend()} (float64 always runs on the reference)",
        "environment": ", ".join(f"{k}={v}" for k, v in chosen.items()) or "no TINYRES_ variable is set",
    }
    if native.AVAILABLE:
        supported = [name for name, runs in native.isas().items() if runs]
        facts["isa"] = f"{native.isa()} (this machine supports {', '.join(supported)})"
        facts["threads"] = str(native.threads())
    else:
        facts["native core"] = f"not there: {native.reason}"
    facts["numpy"] = np.__version__
    return facts


set_backend(os.environ.get("TINYRES_BACKEND") or ("native" if native.AVAILABLE else "reference"))
