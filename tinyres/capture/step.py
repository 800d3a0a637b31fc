"""CapturedStep: a function of tensors, recorded once per signature and replayed in one C call."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from tinyres.backends.buffers import Buffer, pending_writes, settle_writer
from tinyres.capture.explain import compare_with_eager, explain_failure
from tinyres.capture.following import unchanged
from tinyres.capture.gradients import Gradients
from tinyres.capture.listing import listing
from tinyres.capture.passes import exposed_state, optimize
from tinyres.capture.plan import Executable
from tinyres.capture.program import Program, from_recording
from tinyres.capture.recording import Recording
from tinyres.capture.trees import flatten, leaf_names, unflatten
from tinyres.engine.node import Node, changes, regime_of
from tinyres.engine.state import state
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import CaptureError
from tinyres.launch import backend, door, recording


class CapturedStep:
    """A function that replays; `program` is the listing of the last one that ran, `programs` one per signature."""

    def __init__(self, fn: Callable[..., Any], check_finite: bool = False, check: bool = False) -> None:
        functools.update_wrapper(self, fn, updated=())
        self.fn = fn
        self.check_finite = check_finite
        self.check = check
        self._variants: dict[Hashable, list[Replay]] = {}
        self._last: Replay | None = None
        self._last_key: Hashable = None
        self._fixed = False  # whether all leaves among the arguments stand for themselves
        self._running = False
        self._lock = threading.RLock()
        _steps.add(self)

    @property
    def programs(self) -> list[Replay]:
        """What was recorded: one per signature."""
        return [replay for variants in self._variants.values() for replay in variants]

    @property
    def program(self) -> Replay:
        """The Program that ran last. Raises CaptureError before the first call."""
        if self._last is None:
            raise CaptureError(
                "[capture] nothing has been captured yet; got a request for the program; call the step once"
            )
        return self._last

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if door.recorder is not None:
            door.recorder.refuse("capture", "another step cannot be called")
        leaves, tree = flatten((args, kwargs), self._fixed)
        key = self._key(tree)
        with self._lock:
            if self._running:
                raise CaptureError(
                    f"[capture] a step cannot be called while it runs; got a call of {self._name} from within, as by a "
                    "signal handler; set a flag there and call it afterwards"
                )
            try:
                self._running = True
                last = self._last
                if last is not None and key == self._last_key and last.follows(leaves):
                    return last(leaves)
                return self._recorded(key, leaves, tree)(leaves)
            except _Known:
                self._fixed = True
            finally:
                self._running = False
        return self(*args, **kwargs)

    def _recorded(self, key: Hashable, leaves: Sequence[Any], tree: Hashable) -> Replay:
        """The program of this signature that fits the state as it is, recorded now if there is none."""
        variants = self._variants.setdefault(key, [])
        replay = next((v for v in variants if v.fits(leaves)), None)
        if replay is None:
            replay = Replay(self, leaves, tree)
            variants[:] = [v for v in variants if v.may_fit_again()]
            variants.append(replay)
        self._last, self._last_key = replay, key
        return replay

    def record(self, *args: Any, **kwargs: Any) -> Replay:
        """The program for arguments like these, recorded and planned if there is none yet; nothing of it is run."""
        leaves, tree = flatten((args, kwargs), self._fixed)
        with self._lock:
            return self._recorded(self._key(tree), leaves, tree)

    def _key(self, tree: Hashable) -> Hashable:
        return backend(), state.grad_enabled, state.record_all, state.preserving, state.training, tree

    @property
    def _name(self) -> str:
        return str(getattr(self.fn, "__name__", "step"))

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __reduce_ex__(self, protocol: Any) -> Any:
        name = getattr(self.fn, "__name__", "step")
        raise CaptureError(
            f"[pickle] a captured step belongs to the process that recorded it; got {name}; copy or pickle what it "
            "works on and capture the function there"
        )

    def __repr__(self) -> str:
        return f"<captured {self._name}: {len(self.programs)} program(s)>"

    def renew_lock(self) -> None:
        """In a forked child: whoever held it stayed behind."""
        self._lock, self._running = threading.RLock(), False


_steps: weakref.WeakSet[CapturedStep] = weakref.WeakSet()


def _renew_locks() -> None:
    for step in _steps:
        step.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


class _Known(Exception):
    """An argument that needs a gradient is also known to the step itself, as by its optimizer."""


class Replay:
    """One recorded signature of a step: fill the inputs, run the list, copy the outputs."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise CaptureError(
            "[pickle] a program belongs to the process that recorded it; got a recorded program; pickle its text, "
            "str(step.program)"
        )

    def __init__(self, step: CapturedStep, leaves: Sequence[Any], tree: Hashable) -> None:
        inputs = [_placeholder(leaf) for leaf in leaves]
        self._fn = step.fn
        self._tree = tree
        recorder = Recording(step.check_finite)
        self.started = recorder.started
        args, kwargs = unflatten(tree, inputs)
        self._leaves = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.requires_grad]
        try:
            with recording(recorder):
                result = step.fn(*args, **kwargs)
            outputs, self._result_tree = flatten(result)
            _refuse_arrays(outputs)
        except Exception:
            touched = {id(b) for call in recorder.calls for b in (*call.outs, *call.ins)}
            self._refuse_known(leaves, set(recorder.uses), touched)
            raise
        self._gradients = Gradients(recorder, inputs, leaves)
        self.preparations = recorder.preparations
        self._watchers = list(recorder.watchers.values())
        self.takes_gradients = any(use.place is not None for use in recorder.uses.values())
        self._outputs = [(t.shape, t.dtype) for t in outputs]
        self._inputs = [t.buffer.array.reshape(t.shape) for t in inputs]
        buffers = [t.buffer for t in inputs], [t.buffer for t in outputs]
        del args, kwargs, result, outputs, inputs
        self._holdings, self._arrays = recorder.followed.holdings(), recorder.followed.arrays()
        self.recorded: Program = from_recording(recorder, *buffers)
        self.program: Program = optimize(self.recorded)
        self.executable = Executable(self.program)
        self._results = self.program.memory(self.program.outputs)
        self.written = self.program.memory(self.program.state_written())
        self.exposed = self.program.memory(exposed_state(self.program))
        state_buffers = [s.buffer for s in self.recorded.slots if s.role == "state" and s.buffer is not None]
        self._known = self._gradients.leaves, {id(b) for b in state_buffers}
        self._refuse_known(leaves, *self._known)
        self._regimes = [(part, token_of(part)) for part in (*recorder.parts.values(), *state_buffers)]
        self.seen = -1  # how many changes there had been at the end of the last run; -1: each run has to look
        if step.check:
            self._gradients.take_in(leaves)
            self._fill(leaves)
            compare_with_eager(
                lambda: self._run_python(leaves), self.recorded, self.written, Executable(self.recorded).run_one
            )

    def follows(self, leaves: Sequence[Any]) -> bool:
        """`fits`, of the one that ran last: it need not look where nothing has changed."""
        return unchanged(self._holdings) if self.seen == changes.count else self.fits(leaves)

    def fits(self, leaves: Sequence[Any]) -> bool:
        """Whether eager would do what was recorded: of the state by which it was recorded, all is as it was."""
        self._refuse_known(leaves, *self._known)
        same = unchanged(self._holdings) and all(token_of(part) == token for part, token in self._regimes)
        return same and self._gradients.fit(leaves)

    def may_fit_again(self) -> bool:
        """Whether no layer was changed for good."""
        return unchanged(self._holdings) and all(
            isinstance(part, Buffer) or token_of(part)[0] == token[0] for part, token in self._regimes
        )

    def __call__(self, leaves: Sequence[Any]) -> Any:
        changed = self.seen != changes.count
        if changed:
            self._gradients.take_in(leaves)
        self._fill(leaves)
        saved = [b.array.copy() for b in self.exposed]
        failed = self.executable.run()
        if failed >= 0:
            for buffer, values in zip(self.exposed, saved):
                buffer.array[...] = values
            explain_failure(lambda: self._run_python(leaves), self.program.calls[failed], self.written)
        pending_writes[id(self)] = self.written
        if changed:
            self._gradients.hand_out(leaves)
            if self._gradients.stable:
                self.seen = changes.count
        return unflatten(self._result_tree, [_copy(b, *kind) for b, kind in zip(self._results, self._outputs)])

    def __del__(self) -> None:
        settle_writer(id(self))

    @property
    def input_names(self) -> list[str]:
        """What the function calls its Tensors and arrays: "x", and in a nest "x/0"."""
        return leaf_names(self._tree, len(self._inputs), "input", self._fn)

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        return [view.shape for view in self._inputs]

    @property
    def output_names(self) -> list[str]:
        """The keys of what the function returns, or their places: "loss", "0"; "output" for a Tensor alone."""
        return leaf_names(self._result_tree, len(self._outputs), "output")

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        return [shape for shape, _ in self._outputs]

    @property
    def result(self) -> Any:
        """What the function returned when it was recorded, over the program's own memory: nothing is copied."""
        kinds = zip(self._results, self._outputs)
        return unflatten(self._result_tree, [Tensor(buffer, *kind) for buffer, kind in kinds])

    def ports(self) -> list[tuple[str, Buffer]]:
        """The inputs and outputs that have memory of their own, by name."""
        slots = *self.program.inputs, *self.program.outputs
        named = zip((*self.input_names, *self.output_names), [self.program.slots[s] for s in slots])
        return [(n, s.buffer) for n, s in named if s.role in ("input", "output") and type(s.buffer) is Buffer]

    def export(self, path: str | os.PathLike[str], state: Mapping[str, Tensor] | None = None) -> None:
        """Write the step as a file that runs without Python, as the page does (`tinyres/play/static/engine.mjs`).

        path: "net.trp". state: names of Tensors, such as parameters, that shall be found in its memory. The memory is
        that of now: call it before the first step for untrained weights (`step.record(x, y)` records and runs nothing).
        Inputs have the names of the function's arguments, outputs the keys of the dict that it returns.
        Raises CaptureError for a step that needs Python or float64, FileError if the file cannot be written.

        >>> import os, tempfile
        >>> import tinyres as tr
        >>> @tr.capture
        ... def double(x):
        ...     return {"y": x * 2.0}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     double.record(tr.tensor([1.0, 2.0])).export(os.path.join(folder, "double.trp"))
        ...     os.listdir(folder)
        ['double.trp']
        """
        from tinyres.capture.export import exported

        exported({"step": self}, state).write(path)

    def __str__(self) -> str:
        return listing(self.program, self.executable.arena_bytes, self.executable.unplanned_bytes)

    def _refuse_known(self, leaves: Sequence[Any], nodes: set[Node], buffers: set[int]) -> None:
        """Raise _Known if an argument that needs a gradient is given twice, or is among what the step knows itself."""
        given = [leaves[i] for i in self._leaves if leaves[i].is_leaf]
        if given and (
            len({leaf.node for leaf in given}) < len(given)
            or any(leaf.node in nodes or id(leaf.buffer) in buffers for leaf in given)
        ):
            raise _Known

    def _fill(self, leaves: Sequence[Any]) -> None:
        for view, leaf in zip(self._inputs, leaves):
            view[...] = leaf.buffer.array.reshape(view.shape) if isinstance(leaf, Tensor) else leaf
        for array, buffer in self._arrays:
            buffer.array.reshape(array.shape)[...] = array
        for prepare in self.preparations:
            prepare()
        for watcher in self._watchers:
            watcher.begins()

    def _run_python(self, leaves: Sequence[Any]) -> Any:
        args, kwargs = unflatten(
            self._tree, [leaf if isinstance(leaf, Tensor) else _as_tensor(leaf) for leaf in leaves]
        )
        return self._fn(*args, **kwargs)


def token_of(part: Any) -> Any:
    """The present regime of what a step depends on: of a buffer, or of a layer (its version, whether it is trained)."""
    return regime_of(part) if isinstance(part, Buffer) else part.token


def _refuse_arrays(outputs: Sequence[Any]) -> None:
    """Raise CaptureError for what a step returns that a replay would not compute anew."""
    for given in outputs:
        if not isinstance(given, Tensor):
            raise CaptureError(
                f"[capture] what a step computes are Tensors; got an array of shape {given.shape}, which would "
                "for ever be that of the recording; return a Tensor, and read it by .numpy() outside of the step"
            )


def _placeholder(leaf: Any) -> Tensor:
    if isinstance(leaf, Tensor):
        made = tensor(leaf, dtype=leaf.dtype, requires_grad=leaf.requires_grad)
        if made.node is not None and leaf.node is not None and leaf.is_leaf:
            made.node.grad = leaf.node.grad  # what the recording finds there; each replay looks at its own argument
        return made
    return _as_tensor(leaf)


def _as_tensor(array: np.ndarray) -> Tensor:
    """Arrays become Tensors as data does: floats float32, integers (labels) int64."""
    return tensor(array, dtype=None if array.dtype.kind == "f" else array.dtype)


def _copy(source: Buffer, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    buffer = Buffer(source.size, dtype)
    buffer.array[...] = source.array
    return Tensor(buffer, shape, dtype)
