"""What Python may change in place between two replays: lists and dicts that layers hold, arrays that were read.

A list that is no longer what it was makes the recording unfit, as a changed attribute does. An array is read again, as
eager code would. What the step itself changes while it is recorded is a side effect, and frozen.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from operator import is_
from typing import Any

import numpy as np

from tinyres.backends.buffers import Buffer

Kept = tuple[Any, list[Any]]  # a list or dict, and what was in it

_PLAIN = (int, float, bool, str, type(None))


class Followed:
    """What a recording finds of them: `holdings` in layers, `arrays` that Tensors were made from."""

    def __init__(self) -> None:
        self._holdings: dict[int, Kept] = {}  # by identity
        self._arrays: list[tuple[Any, dict[str, Any], Buffer]] = []

    def note_holdings(self, attributes: Iterable[Any]) -> None:
        """Follow those of these that are lists and dicts, and the ones in them."""
        for held in attributes:
            if isinstance(held, (list, dict)):
                if id(held) in self._holdings:
                    continue
                self._holdings[id(held)] = held, _items(held)
            if isinstance(held, (list, dict, tuple)):
                self.note_holdings(_items(held))

    def note_array(self, array: np.ndarray, buffer: Buffer) -> None:
        """The values of this array went into this buffer."""
        owner: Any = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        alive = weakref.ref(owner) if owner.base is None else lambda: owner  # of other memory nobody knows who has it
        self._arrays.append((alive, array.__array_interface__, buffer))

    def holdings(self) -> list[Kept]:
        """Those that the step has not changed itself."""
        return [kept for kept in self._holdings.values() if unchanged([kept])]

    def arrays(self) -> list[tuple[np.ndarray, Buffer]]:
        """Those that outlive the recording: only they can be changed."""
        found = [(alive(), interface, buffer) for alive, interface, buffer in self._arrays]
        return [(np.asarray(_View(interface, owner)), b) for owner, interface, b in found if owner is not None]


class _View:
    """A view of the memory of an array that is there; it may itself be gone."""

    def __init__(self, interface: dict[str, Any], owner: Any) -> None:
        self.__array_interface__ = interface
        self.owner = owner


def unchanged(holdings: Iterable[Kept]) -> bool:
    """Whether all of them are as they were."""
    for held, before in holdings:
        now = _items(held)
        if len(now) != len(before) or not (all(map(is_, now, before)) or all(map(_alike, now, before))):
            return False
    return True


def _items(held: Any) -> list[Any]:
    return [*held, *held.values()] if isinstance(held, dict) else list(held)


def _alike(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and type(a) in _PLAIN and a == b)
