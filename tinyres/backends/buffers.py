"""Aligned memory for tensors: a size-class pool, and Buffer, the only thing a kernel reads or writes.

A Buffer is contiguous, 64-byte aligned, never aliased by a user's array, and carries a version that in-place writes
(an optimizer step, `assign`) raise, so that a gradient computed from changed values is an error and not a number.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres.backends.memory import check_fits, refused
from tinyres.kernels.dtypes import DTYPES

ALIGNMENT = 64
KEPT_BYTES = 256 << 20  # of free memory, in all bins together
LARGEST_KEPT = 32 << 20  # of one block: larger ones go back to the system
GROWTH_BYTES = 1 << 20  # by so much at a time the share of a bin grows

births = itertools.count(1)


class _Bin(list["tuple[Any, int, _Bin]"]):
    """Free blocks of one size class; a block is (memory, address, its bin).

    limit: how many it may keep; of all bins together these are at most KEPT_BYTES. grows: whether it may take more.
    """

    __slots__ = ("nbytes", "limit", "grows")

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.limit = 0
        self.grows = nbytes <= LARGEST_KEPT

    def grow(self, block: tuple[Any, int, _Bin]) -> None:
        """Keep one block more than the limit, at the cost of bins that have a larger share; else let it go."""
        bins = list(_bins_by_class.values())
        more = max(1, GROWTH_BYTES // self.nbytes)
        free = KEPT_BYTES - sum(bin_.limit * bin_.nbytes for bin_ in bins)
        while free < more * self.nbytes:
            largest = max(bins, key=lambda bin_: bin_.limit * bin_.nbytes)
            if largest is self:
                return
            free += (largest.limit - largest.limit // 2) * largest.nbytes
            largest.limit //= 2
            del largest[largest.limit :]
        self.limit += more
        self.append(block)


_bins_by_class: dict[int, _Bin] = {}
_bins: dict[int, _Bin] = {}


def _bin_for(nbytes: int) -> _Bin:
    """The bin whose blocks hold nbytes: four size classes to the octave waste at most a quarter."""
    shift = max(nbytes.bit_length() - 3, 6)
    size_class = max(ALIGNMENT, -(-nbytes >> shift) << shift)
    bin_ = _bins_by_class.setdefault(size_class, _Bin(size_class))
    _bins[nbytes] = bin_
    return bin_


def _new_block(bin_: _Bin, needed: int) -> tuple[Any, int, _Bin]:
    check_fits("memory", needed, "one tensor")
    try:
        raw = np.empty(bin_.nbytes + ALIGNMENT, np.uint8)
    except MemoryError:
        raise refused("memory", needed, "one tensor") from None
    start = -raw.ctypes.data % ALIGNMENT
    memory = raw[start : start + bin_.nbytes]
    return memory, memory.ctypes.data, bin_


_NO_BLOCK: tuple[Any, int, _Bin] = (None, 0, _Bin(1))
_NO_BLOCK[2].grows = False


class Buffer:
    """A typed, aligned, contiguous run of `size` elements; its memory returns to the pool when it is dropped."""

    __slots__ = ("block", "address", "size", "dtype", "version", "born", "_array", "__weakref__")

    def __init__(self, size: int, dtype: np.dtype) -> None:
        nbytes = size * dtype.itemsize
        bin_ = _bins.get(nbytes)
        if bin_ is None:
            bin_ = _bin_for(nbytes)
        try:
            self.block = block = bin_.pop()
        except IndexError:
            self.block = _NO_BLOCK  # stays if the allocation below fails, so that __del__ finds one
            self.block = block = _new_block(bin_, nbytes)
        self.address = block[1]
        self.size = size
        self.dtype = dtype
        self.version = 0
        self.born = next(births)
        self._array: np.ndarray | None = None

    @property
    def array(self) -> np.ndarray:
        """The elements as a flat NumPy view; valid for as long as this Buffer lives."""
        if self._array is None:
            self._array = self.block[0][: self.size * self.dtype.itemsize].view(self.dtype)
        return self._array

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickles and copies have the values in memory of their own: an address means nothing elsewhere."""
        return _from_values, (self.array.copy(), self.dtype.name)

    def __del__(self) -> None:
        try:
            bin_ = self.block[2]
        except AttributeError:  # Ctrl-C came before there was one
            return
        if len(bin_) < bin_.limit:
            bin_.append(self.block)
        elif bin_.grows:
            bin_.grow(self.block)


class Window(Buffer):
    """Some elements of another buffer, as a buffer: writing to it writes there. Keeps the other one alive.

    offset: in bytes. The other buffer may have another dtype, and be a window itself: `base` is the buffer that has the
    memory, and `offset` in it. A window has the version of its base.
    """

    __slots__ = ("base", "offset")

    def __init__(self, parent: Buffer, offset: int, size: int, dtype: np.dtype) -> None:
        self.base: Buffer = parent.base if isinstance(parent, Window) else parent
        self.offset: int = parent.offset + offset if isinstance(parent, Window) else offset
        self.block = _NO_BLOCK
        self.address = parent.address + offset
        self.size = size
        self.dtype = dtype
        self.born = self.base.born
        self._array = None

    @property
    def array(self) -> np.ndarray:
        """The elements as a flat NumPy view."""
        if self._array is None:
            memory = self.base.array.view(np.uint8)
            self._array = memory[self.offset : self.offset + self.size * self.dtype.itemsize].view(self.dtype)
        return self._array

    @property
    def version(self) -> int:
        return self.base.version

    @version.setter
    def version(self, version: int) -> None:
        self.base.version = version

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _window, (self.base, self.offset, self.size, self.dtype.name)

    def __del__(self) -> None:
        """The memory belongs to the parent."""


class _Absent(Buffer):
    """Stands for an optional operand that was not given."""

    __slots__ = ()

    def __init__(self) -> None:
        self.block = _NO_BLOCK
        self.address = self.size = self.version = self.born = 0
        self.dtype = None  # type: ignore[assignment]
        self._array = None

    @property
    def array(self) -> None:  # type: ignore[override]
        return None

    def __reduce_ex__(self, protocol: Any) -> str:
        return "ABSENT"


ABSENT = _Absent()


def _from_values(values: np.ndarray, dtype: str) -> Buffer:
    return from_array(values, DTYPES[dtype])


def _window(base: Buffer, offset: int, size: int, dtype: str) -> Window:
    return Window(base, offset, size, DTYPES[dtype])


def from_array(array: np.ndarray, dtype: np.dtype) -> Buffer:
    """A new Buffer with a copy of the array's elements in C order, cast to dtype."""
    buffer = Buffer(array.size, dtype)
    buffer.array.reshape(array.shape)[...] = array
    return buffer


# By writer: the buffers that its replays have written since versions were last settled.
pending_writes: dict[int, Sequence[Buffer]] = {}


def settle_writes() -> None:
    """Raise the versions of what replayed programs have written; a replay itself only leaves a note."""
    while pending_writes:
        try:
            _, written = pending_writes.popitem()
        except KeyError:  # the garbage collector took the last writer, which has settled its own note
            return
        for buffer in written:
            buffer.version += 1


def settle_writer(writer: int) -> None:
    """The same for one writer, which has to do it before it goes."""
    for buffer in pending_writes.pop(writer, ()):
        buffer.version += 1
