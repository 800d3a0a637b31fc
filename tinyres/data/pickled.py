"""Pickles of plain data, read without running anything: the few instructions that lists, dicts and arrays need.

A pickle is a program, and Python's own reader runs it: whoever wrote the file decides what is called. Here the program
is walked by a reader that makes numbers, text, lists, tuples, dicts and arrays of bytes, and knows no other name.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np

MOST_STEPS = 1 << 19  # CIFAR-10 takes 50,000 for a file

_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 "
    "UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT".split()
)
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ARRAY, _DTYPE, _ENCODE = "array", "dtype", "encode"
_NAMES = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _ARRAY for core in ("core", "_core")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): _DTYPE,
    ("_codecs", "encode"): _ENCODE,
}


@dataclass
class _Name:
    """One of the few names that a pickle may use; it is never called."""

    kind: str


@dataclass
class _Described:
    """An array or a dtype under construction."""

    kind: str
    arguments: tuple[Any, ...]
    state: Any = field(default=None)


def read_plain(data: bytes) -> Any:
    """What a pickle holds, with arrays of uint8 as NumPy arrays. Raises ValueError for anything else.

    >>> import pickle
    >>> read_plain(pickle.dumps({"labels": [1, 2]}, protocol=2))
    {'labels': [1, 2]}
    """
    machine = _Machine()
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(BytesIO(data))):
            if step > MOST_STEPS:
                raise ValueError(f"it takes more than {MOST_STEPS} steps")
            if opcode.name == "STOP":
                break
            machine.run(opcode.name, argument)
        if len(machine.stack) != 1:
            raise ValueError(f"it leaves {len(machine.stack)} values")
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"it takes what it has not made ({error})") from error
    return _finished(machine.stack[0])


class _Machine:
    """What runs the instructions. marks: how many values lay on the stack at each mark."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _TUPLES:
            count = _TUPLES[name]
            stack.append(tuple(self._popped(count)))
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else argument] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("PROTO", "FRAME"):
            pass
        elif name == "POP":
            self._popped(1)
        else:
            self._built(name, argument)

    def _built(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("TUPLE", "LIST"):
            items = self._since_mark()
            stack.append(tuple(items) if name == "TUPLE" else items)
        elif name == "DICT":
            items = self._since_mark()
            stack.append(_filled({}, items))
        elif name in ("APPEND", "APPENDS"):
            items = self._popped(1) if name == "APPEND" else self._since_mark()
            _checked(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._popped(2) if name == "SETITEM" else self._since_mark()
            _filled(_checked(stack[-1], dict), items)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            named = tuple(argument.split(" ")) if name == "GLOBAL" else tuple(self._popped(2))
            if named not in _NAMES:
                raise ValueError(f"it wants to call {'.'.join(map(str, named))[:80]}, which plain data does not")
            stack.append(_Name(_NAMES[named]))
        elif name == "REDUCE":
            of, arguments = self._popped(2)
            stack.append(_reduced(_checked(of, _Name).kind, _checked(arguments, tuple)))
        elif name == "BUILD":
            (state,) = self._popped(1)
            _checked(stack[-1], _Described).state = state
        else:
            raise ValueError(f"its instruction {name} is none that plain data needs")

    def _popped(self, count: int) -> list[Any]:
        left = len(self.stack) - count
        if left < (self.marks[-1] if self.marks else 0):
            raise ValueError("it takes what it has not made")
        items = self.stack[left:]
        del self.stack[left:]
        return items

    def _since_mark(self) -> list[Any]:
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"it takes a {type(value).__name__} for a {kind.__name__.strip('_')}")
    return value


def _filled(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2 or not all(isinstance(key, (str, bytes)) for key in items[::2]):
        raise ValueError("the keys of its dicts are no names")
    target.update((key, _finished(value)) for key, value in zip(items[::2], items[1::2]))
    return target


def _reduced(kind: str, arguments: tuple[Any, ...]) -> Any:
    if kind == _ENCODE:
        text, encoding = arguments
        if encoding not in ("latin1", "latin-1"):
            raise ValueError(f"its bytes are encoded as {encoding!r}"[:100])
        return _checked(text, str).encode("latin-1")
    return _Described(kind, arguments)


def _finished(value: Any) -> Any:
    """An array that has all that belongs to it, as NumPy's; what is none stays."""
    if not isinstance(value, _Described):
        return value
    if value.kind != _ARRAY or not isinstance(value.state, tuple) or len(value.state) != 5:
        raise ValueError("an array in it is not complete")
    _, shape, dtype, columns_first, content = value.state
    name = dtype.arguments[0] if isinstance(dtype, _Described) and dtype.kind == _DTYPE and dtype.arguments else None
    if name not in ("u1", b"u1") or columns_first is not False and columns_first != 0:
        raise ValueError("arrays in it must be of uint8, row by row")
    content = content.encode("latin-1") if isinstance(content, str) else _checked(content, bytes)
    sizes = [n for n in _checked(shape, tuple) if type(n) is int and n >= 0]
    if len(sizes) != len(shape) or len(shape) > 6:
        raise ValueError(f"an array in it has shape {str(shape)[:80]}")
    return np.frombuffer(content, np.uint8).reshape(shape)
