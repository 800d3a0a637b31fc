"""capture: a function of tensors, recorded once per signature and replayed in one C call.

    @tr.capture
    def step(x, y):
        loss = tr.losses.softmax_cross_entropy(model(x, training=True), y)
        opt.zero_grad(); loss.backward(); opt.step()
        return loss

The first call with new shapes, dtypes or constants runs the Python once while the door records; then it plans, and
runs like every later call. Python side effects and branches on data are frozen at that moment, as in every tracing
system: what must change between calls lives in a tensor argument or in library state (`opt.lr`, generators).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from tinyres.backends.buffers import Buffer, pending_writes, settle_writer
from tinyres.capture.explain import compare_with_eager, explain_failure
from tinyres.capture.listing import listing
from tinyres.capture.passes import exposed_state, optimize
from tinyres.capture.plan import Executable
from tinyres.capture.program import Program, from_recording
from tinyres.capture.recording import Recording
from tinyres.capture.trees import flatten, unflatten
from tinyres.engine.node import grad_writes
from tinyres.engine.state import state
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import CaptureError
from tinyres.launch import backend, door, recording


def capture(fn: Callable[..., Any] | None = None, *, check_finite: bool = False, check: bool = False) -> Any:
    """Turn a function of tensors into a CapturedStep; also a decorator, with or without arguments.

    check_finite: stop at the first loss that is not finite, with all state as before that call, and name the first
    node that made it. check: at each recording also run the function eagerly and raise CaptureError at the first
    call whose result differs (slow; for finding frozen side effects).

    >>> import tinyres as tr
    >>> double = tr.capture(lambda x: x * 2.0)
    >>> double(tr.tensor([1.0, 2.0]))
    Tensor([2., 4.], shape=(2,), dtype=float32)
    """
    if fn is None:
        return functools.partial(capture, check_finite=check_finite, check=check)
    return CapturedStep(fn, check_finite, check)


class CapturedStep:
    """A function that replays; `program` is the listing of the last one that ran, `programs` one per signature."""

    def __init__(self, fn: Callable[..., Any], check_finite: bool = False, check: bool = False) -> None:
        functools.update_wrapper(self, fn, updated=())
        self.fn = fn
        self.check_finite = check_finite
        self.check = check
        self.programs: dict[Hashable, Replay] = {}
        self._last: Replay | None = None
        self._last_key: Hashable = None
        self._lock = threading.Lock()

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
        leaves, tree = flatten((args, kwargs))
        key = backend(), state.grad_enabled, tree
        with self._lock:
            if self._last is None or key != self._last_key:  # else there is nothing to look up
                replay = self.programs.get(key)
                if replay is None:
                    replay = self.programs[key] = Replay(self, leaves, tree)
                self._last, self._last_key = replay, key
            return self._last(leaves)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"<captured {getattr(self.fn, '__name__', 'step')}: {len(self.programs)} program(s)>"


class Replay:
    """One recorded signature of a step: fill the inputs, run the list, copy the outputs."""

    def __init__(self, step: CapturedStep, leaves: Sequence[Any], tree: Hashable) -> None:
        inputs = [_placeholder(leaf) for leaf in leaves]
        self._fn = step.fn
        self._tree = tree
        recorder = Recording(step.check_finite)
        args, kwargs = unflatten(tree, inputs)
        try:
            with recording(recorder):
                result = step.fn(*args, **kwargs)
            outputs, self._result_tree = flatten(result)
        except BaseException:
            recorder.undo()
            raise
        self._gradients = recorder.gradients()
        self._preparations = recorder.preparations
        self._outputs = [(t.shape, t.dtype) for t in outputs]
        self._inputs = [t.buffer.array.reshape(t.shape) for t in inputs]
        buffers = [t.buffer for t in inputs], [t.buffer for t in outputs]
        del args, kwargs, result, outputs, inputs
        self.recorded: Program = from_recording(recorder, *buffers)
        self.program: Program = optimize(self.recorded)
        self.executable = Executable(self.program)
        self._results = self.program.memory(self.program.outputs)
        self._written = self.program.memory(self.program.state_written())
        self._exposed = self.program.memory(exposed_state(self.program))
        self._grad_writes = grad_writes.count
        if step.check:
            self._fill(leaves)
            compare_with_eager(
                lambda: self._run_python(leaves), self.recorded, self._written, Executable(self.recorded).run_one
            )

    def __call__(self, leaves: Sequence[Any]) -> Any:
        self._fill(leaves)
        saved = [b.array.copy() for b in self._exposed]
        failed = self.executable.run()
        if failed >= 0:
            for buffer, values in zip(self._exposed, saved):
                buffer.array[...] = values
            explain_failure(lambda: self._run_python(leaves), self.program.calls[failed], self._written)
        pending_writes[id(self)] = self._written
        if self._grad_writes != grad_writes.count:
            for leaf, gradient in self._gradients.items():
                leaf.set_grad(gradient)
            self._grad_writes = grad_writes.count
        return unflatten(self._result_tree, [_copy(b, *kind) for b, kind in zip(self._results, self._outputs)])

    def __del__(self) -> None:
        settle_writer(id(self))

    def __str__(self) -> str:
        return listing(self.program, self.executable.arena_bytes, self.executable.unplanned_bytes)

    def _fill(self, leaves: Sequence[Any]) -> None:
        for view, leaf in zip(self._inputs, leaves):
            view[...] = leaf.buffer.array.reshape(view.shape) if isinstance(leaf, Tensor) else leaf
        for prepare in self._preparations:
            prepare()

    def _run_python(self, leaves: Sequence[Any]) -> Any:
        args, kwargs = unflatten(
            self._tree, [leaf if isinstance(leaf, Tensor) else _as_tensor(leaf) for leaf in leaves]
        )
        return self._fn(*args, **kwargs)


def _placeholder(leaf: Any) -> Tensor:
    if isinstance(leaf, Tensor):
        return tensor(leaf, dtype=leaf.dtype, requires_grad=leaf.requires_grad)
    return _as_tensor(leaf)


def _as_tensor(array: np.ndarray) -> Tensor:
    """Arrays become Tensors as data does: floats float32, integers (labels) int64."""
    return tensor(array, dtype=None if array.dtype.kind == "f" else array.dtype)


def _copy(source: Buffer, shape: tuple[int, ...], dtype: np.dtype) -> Tensor:
    buffer = Buffer(source.size, dtype)
    buffer.array[...] = source.array
    return Tensor(buffer, shape, dtype)
