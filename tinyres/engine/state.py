"""What the engine knows per thread: whether it records, under which scope, and whether state may change.

A Scope names a region of the user's program: a `name_scope` block or one call of a layer. Nodes keep the Scope they
were made under, which is how a trace can speak of `block3/dense` instead of op numbers.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from tinyres.errors import ArgumentError

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Scope:
    """One `with name_scope(...)` or one call of a layer; compared by identity.

    path: the full name, "block3/dense". block: the path of the innermost name_scope around it, or "".
    layer: the class name of the layer that is called, or None for a name_scope.
    source: (file, line) of the user's code that made the layer, if known.
    """

    __slots__ = ("path", "block", "layer", "parent", "source")

    def __init__(
        self,
        path: str,
        block: str,
        layer: str | None = None,
        parent: Scope | None = None,
        source: tuple[str, int] | None = None,
    ) -> None:
        self.path = path
        self.block = block
        self.layer = layer
        self.parent = parent
        self.source = source


class _State(threading.local):
    """training: what the layer call around this one was told; None outside of any.

    across: of a part of a batch, what sums a Tensor over all its parts; None where a batch is whole.
    every_op: see `every_op_recorded`.
    """

    grad_enabled: bool = True
    scope: Scope | None = None
    record_all: bool = False
    every_op: bool = False
    preserving: bool = False
    training: bool | None = None
    across: Callable[[Any], Any] | None = None


state = _State()


def is_grad_enabled() -> bool:
    """Whether ops on this thread record for backward.

    >>> import tinyres as tr
    >>> with tr.no_grad():
    ...     tr.is_grad_enabled()
    False
    """
    return state.grad_enabled


class no_grad(contextlib.ContextDecorator):
    """Context manager and decorator under which nothing is recorded for backward (this thread only).

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0, 2.0], requires_grad=True)
    >>> with tr.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _enabled = False

    def __init__(self) -> None:
        self._previous: dict[int, list[bool]] = {}  # by thread: a decorator is one object for all of them

    def __enter__(self) -> None:
        self._previous.setdefault(threading.get_ident(), []).append(state.grad_enabled)
        state.grad_enabled = self._enabled

    def __exit__(self, *exc: object) -> None:
        thread = threading.get_ident()
        state.grad_enabled = self._previous[thread].pop()
        if not self._previous[thread]:
            del self._previous[thread]


class enable_grad(no_grad):
    """Context manager and decorator that records again inside a `no_grad` block.

    >>> import tinyres as tr
    >>> x = tr.tensor([1.0], requires_grad=True)
    >>> with tr.no_grad(), tr.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    _enabled = True


@contextlib.contextmanager
def name_scope(name: str) -> Iterator[None]:
    """Name what is built or computed inside: layers and ops get `name/` before their own name. Nests.

    Raises ArgumentError for an empty name or one with "/" at an end.

    >>> import tinyres as tr
    >>> with tr.name_scope("block3"):
    ...     tr.current_scope()
    'block3'
    """
    if not isinstance(name, str) or not name.strip("/") or name != name.strip("/"):
        raise ArgumentError(
            f'[name_scope] a name is a non-empty string without "/" at its ends; got {name!r}; rename it'
        )
    outer = state.scope
    path = f"{outer.path}/{name}" if outer is not None else name
    with entered(Scope(path, path, parent=outer)):
        yield


@contextlib.contextmanager
def entered(scope: Scope | None) -> Iterator[None]:
    """Make nodes under `scope` until the block ends."""
    previous, state.scope = state.scope, scope
    try:
        yield
    finally:
        state.scope = previous


def current_scope() -> str:
    """The path of the innermost scope on this thread, "" outside of any.

    >>> import tinyres as tr
    >>> with tr.name_scope("block3"), tr.name_scope("branch"):
    ...     tr.current_scope()
    'block3/branch'
    """
    return state.scope.path if state.scope is not None else ""


@contextlib.contextmanager
def preserving() -> Iterator[None]:
    """A run that leaves no mark: moving statistics are not updated and every float leaf is recorded."""
    previous = state.preserving, state.record_all
    state.preserving = state.record_all = True
    try:
        yield
    finally:
        state.preserving, state.record_all = previous


@contextlib.contextmanager
def every_op_recorded() -> Iterator[None]:
    """A run that leaves no mark and records also the ops that have no gradient: what is computed, from end to end.

    Its tape is for reading; nothing is differentiated on it.
    """
    previous, state.every_op = state.every_op, True
    try:
        with preserving(), enable_grad():
            yield
    finally:
        state.every_op = previous


@contextlib.contextmanager
def recording_all() -> Iterator[None]:
    """Record what is computed from data alone too, so that a trace sees all of it."""
    previous, state.record_all = state.record_all, True
    try:
        yield
    finally:
        state.record_all = previous


def user_source() -> tuple[str, int] | None:
    """(file, line) of the innermost frame outside this package."""
    frame = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith(_PACKAGE) and not filename.startswith("<frozen"):
            return filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None
