"""How workers can share a call so that none waits for another: each does its own columns (or rows) of every output.

A `Sharing` says of a call by how many columns it can be cut, or rows, and in which pattern each input is read then. The
planner of captured lists (`tinyres.capture.workers`) asks it and knows no kernel; the C kernels take their columns and
rows as `csrc/kernel.h` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyres.kernels.record import Kernel

# What a worker reads of an input. OWN: the same columns, or rows, as of the outputs. EVERY: all of it. COLUMNS, ROWS:
# its part of so many columns, or rows, of the input, where the outputs are cut the other way.
OWN, EVERY, COLUMNS, ROWS = "own", "every", "columns", "rows"

# How input i of a rows x columns kernel is laid out: bits 2i and 2i + 1 of the flags.
FULL, ROW, COLUMN, SCALAR = range(4)


@dataclass(frozen=True, slots=True)
class Cut:
    """count: the columns (rows) of every output. reads: the pattern of each input.

    flat: the call works on `count` items in a row, so that it can be cut by any number that divides them.
    """

    count: int
    reads: tuple[str, ...]
    flat: bool = False


class Sharing:
    """Not at all: worker 0 does the call, or, if it is large, all together as the kernel divides itself."""

    def check(self, kernel: Kernel) -> None:
        """Raise ValueError where the kernel has not the sizes and operands that this way of sharing needs."""

    def by_columns(self, kernel: Kernel, args: Sequence[int], flags: int) -> Cut | None:
        """How the call can be cut by columns; None: it cannot."""
        return None

    def by_rows(self, kernel: Kernel, args: Sequence[int], flags: int) -> Cut | None:
        """How the call can be cut by rows; None: it cannot."""
        return None


class Items(Sharing):
    """n items in a row: item i of every output needs item i of the inputs, and all of those named in `every`."""

    def __init__(self, every: str = "") -> None:
        self._every = every.split()

    def check(self, kernel: Kernel) -> None:
        if kernel.args != ("n",):
            raise ValueError(f"[kernel] {kernel.name}: what works item by item has the one size n; got {kernel.args}")
        _reads(kernel, self._every)

    def by_columns(self, kernel: Kernel, args: Sequence[int], flags: int) -> Cut | None:
        return Cut(args[0], _reads(kernel, self._every), flat=True)

    by_rows = by_columns


class Broadcast(Sharing):
    """rows x cols items, each input full, a row, a column or a scalar, as the flags say."""

    def check(self, kernel: Kernel) -> None:
        if kernel.args != ("rows", "cols"):
            raise ValueError(f"[kernel] {kernel.name}: what broadcasts has the sizes rows and cols; got {kernel.args}")

    def by_columns(self, kernel: Kernel, args: Sequence[int], flags: int) -> Cut | None:
        layouts = [flags >> 2 * i & 3 for i in range(len(kernel.ins))]
        reads = tuple([OWN if layout in (FULL, ROW) else EVERY for layout in layouts])
        if all(layout in (FULL, SCALAR) for layout in layouts):
            return Cut(args[0] * args[1], reads, flat=True)
        return Cut(args[1], reads)


class Columns(Sharing):
    """Matrices of as many columns as the size `columns` says; of the inputs named in `every` each worker reads all."""

    def __init__(self, columns: str, every: str = "") -> None:
        self._columns = columns
        self._every = every.split()

    def check(self, kernel: Kernel) -> None:
        if self._columns not in kernel.args:
            raise ValueError(f"[kernel] {kernel.name} is shared by {self._columns}, which is none of its sizes")
        _reads(kernel, self._every)

    def by_columns(self, kernel: Kernel, args: Sequence[int], flags: int) -> Cut | None:
        return Cut(args[kernel.args.index(self._columns)], _reads(kernel, self._every))


UNDIVIDED = Sharing()


def _reads(kernel: Kernel, every: Sequence[str]) -> tuple[str, ...]:
    names = kernel.operands[len(kernel.outs) :]
    unknown = [name for name in every if name not in names]
    if unknown:
        raise ValueError(f"[kernel] {kernel.name} has no input {', '.join(unknown)}; there are {', '.join(names)}")
    return tuple([EVERY if name in every else OWN for name in names])
