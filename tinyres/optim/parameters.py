"""The parameters of an optimizer: what may be one, and which of them weight decay leaves alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tinyres.backends.buffers import Buffer
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.errors import ArgumentError, DTypeError


def readable(op: str, params: Iterable[Tensor]) -> list[Tensor]:
    """The parameters as a list. Raises DTypeError or ArgumentError for what is no Tensor or cannot be moved."""
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        raise DTypeError(
            f"[{op}] parameters come as a list of Tensors; got {type(params).__name__}; "
            "pass model.parameters() or [w, b]"
        )
    listed = list(params)
    for i, p in enumerate(listed):
        if not isinstance(p, Tensor):
            raise DTypeError(
                f"[{op}] every parameter is a Tensor; got {type(p).__name__} at {i}; pass model.parameters()"
            )
        if p.dtype not in FLOATS or not p.is_leaf or p.node is None:
            raise ArgumentError(
                f"[{op}] a parameter is a float leaf made with requires_grad=True; got a Tensor of shape "
                f"{p.shape}, {p.dtype}, at {i} that is not; give what the model was made of"
            )
    return listed


def zeros_like(p: Tensor) -> Buffer:
    """State for a parameter, all 0."""
    buffer = Buffer(p.buffer.size, p.dtype)
    buffer.array.fill(0)
    return buffer


class Spared:
    """The parameters that are kept out of weight decay: by name, by number of axes, or themselves.

    given: None, one of these or a list: a text, which is looked for in the name as a regular expression; or a number:
    parameters of at most so many axes (1: biases and the scales of normalisations).
    """

    def __init__(self, op: str, given: Any) -> None:
        self.rules: list[str | int] = []
        self._tensors: list[Tensor] = []
        listed = [] if given is None else list(given) if isinstance(given, (list, tuple, set)) else [given]
        for rule in listed:
            self._add(op, rule)

    def add(self, op: str, tensors: Iterable[Tensor], names: Iterable[str]) -> None:
        """Spare these too. A parameter with a name is known by it from now on, so that files tell of it."""
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise ArgumentError(
                    f"[{op}] var_list holds parameters; got {type(tensor).__name__}; give names as var_names"
                )
            if tensor.name:
                self._add(op, f"^{re.escape(tensor.name)}$")
            else:
                self._tensors.append(tensor)
        for name in names:
            self._add(op, name)

    def covers(self, parameter: Tensor) -> bool:
        """Whether this one is spared."""
        named = parameter.name or ""
        return any(
            parameter.ndim <= rule if isinstance(rule, int) else bool(named and re.search(rule, named))
            for rule in self.rules
        ) or any(parameter is tensor for tensor in self._tensors)

    def __len__(self) -> int:
        return len(self.rules) + len(self._tensors)

    def _add(self, op: str, rule: Any) -> None:
        if isinstance(rule, bool) or not isinstance(rule, (str, int)) or rule in ("",):
            raise ArgumentError(
                f"[{op}] exclude names parameters by a part of their name, or by how many axes they have at most; got "
                f'{rule!r}; write exclude=["bias", "gamma"] or exclude=1'
            )
        if isinstance(rule, str):
            try:
                re.compile(rule)
            except re.error as error:
                raise ArgumentError(
                    f"[{op}] exclude is a regular expression; got {rule!r} ({error}); write \\ before its signs"
                ) from None
        self.rules.append(rule)
