"""The product of two Tensors by index letters: one batched matrix product over operands as they lie, where axes allow.

A letter that all three have is an axis of matrices; of those in the left input and the output, rows; in the right one
and the output, columns; in both inputs only, what is summed over. Its gradients are products of the same kind with the
letters exchanged, so the op is closed under differentiation. What is no batch of strided matrices is turned around.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.layout import Shape, merged_axes
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.kernels.record import TRANSPOSE_A, TRANSPOSE_B
from tinyres.launch import launch
from tinyres.ops.matmul import matmul
from tinyres.ops.movement import reshape, transpose

_Axes = Sequence[Sequence[int]]  # outermost first: a size, and how far apart items are in a, in b and in the output
_ONE = (1, 0, 0, 0)


class _Call(NamedTuple):
    """A batched product: its sizes, its flags, and whether the right input is the left matrix."""

    sizes: tuple[int, ...]
    flags: int
    swapped: bool


def contracted(a: Tensor, of_a: str, b: Tensor, of_b: str, order: str) -> Tensor:
    """The sums of products of a and b, with the letters `order`; each letter stands in two of the three at least."""
    batch = "".join(c for c in of_a if c in of_b and c in order)
    summed = "".join(c for c in of_a if c in of_b and c not in order)
    rows = "".join(c for c in of_a if c not in of_b)
    columns = "".join(c for c in of_b if c not in of_a)
    letters = batch + rows + columns
    lies_right = of_a == batch + rows + summed and of_b == batch + summed + columns and order == letters
    if not lies_right and _call(a.shape, b.shape, of_a, of_b, order) is not None:
        return apply(CONTRACT, (a, b), of_a, of_b, order)
    sizes = _sizes_of(a.shape, b.shape, of_a, of_b)
    left = _grouped(arranged(a, of_a, batch + rows + summed), sizes, batch, rows, summed)
    right = _grouped(arranged(b, of_b, batch + summed + columns), sizes, batch, summed, columns)
    return arranged(reshape(matmul(left, right), [sizes[c] for c in letters]), letters, order)


def arranged(x: Tensor, letters: str, order: str) -> Tensor:
    """x with its axes in another order."""
    return x if letters == order else transpose(x, [letters.index(c) for c in order])


def _grouped(x: Tensor, sizes: dict[str, int], batch: str, *groups: str) -> Tensor:
    lead = [math.prod(sizes[c] for c in batch)] if batch else []
    return reshape(x, [*lead, *[math.prod(sizes[c] for c in group) for group in groups]])


def _sizes_of(a: Shape, b: Shape, of_a: str, of_b: str) -> dict[str, int]:
    return {**dict(zip(of_a, a)), **dict(zip(of_b, b))}


@functools.lru_cache(maxsize=1024)
def _call(a: Shape, b: Shape, of_a: str, of_b: str, order: str) -> _Call | None:
    """The one call that does it; None where there is none."""
    sizes = _sizes_of(a, b, of_a, of_b)
    if 0 in sizes.values():
        return None
    steps = {
        letter: (sizes[letter], *[_step(letter, letters, sizes) for letters in (of_a, of_b, order)]) for letter in sizes
    }
    batch = merged_axes([steps[c] for c in order if c in of_a and c in of_b])
    rows = merged_axes([steps[c] for c in order if c not in of_b])
    columns = merged_axes([steps[c] for c in order if c not in of_a])
    summed = merged_axes([steps[c] for c in of_a if c not in order])
    if len(summed) > 1:
        return None
    # Rows that do not move as one are matrices too, of which the right one is the same.
    axes = [*batch, *rows[:-1], *columns[:-1]]
    if len(axes) > 2:
        return None
    parts = (rows or [_ONE])[-1], (columns or [_ONE])[-1], (summed or [_ONE])[0]
    return _matrices(axes, *parts) or _swapped(axes, *parts)


def _step(letter: str, letters: str, sizes: dict[str, int]) -> int:
    """How far items of this axis are apart in a contiguous Tensor of these; 0 where it has none."""
    return math.prod(sizes[c] for c in letters[letters.index(letter) + 1 :]) if letter in letters else 0


def _swapped(axes: _Axes, row: Sequence[int], column: Sequence[int], summed: Sequence[int]) -> _Call | None:
    """The same with the inputs exchanged, for an output whose rows are next to one another."""
    turned = [[(size, b, a, out) for size, a, b, out in group] for group in (axes, [column], [row], [summed])]
    found = _matrices(turned[0], *[group[0] for group in turned[1:]])
    return None if found is None else found._replace(swapped=True)


def _matrices(axes: _Axes, row: Sequence[int], column: Sequence[int], summed: Sequence[int]) -> _Call | None:
    (m, a_row, _, out_row), (n, _, b_column, out_column), (k, a_step, b_step, _) = row, column, summed
    if n > 1 and out_column != 1:
        return None
    if k == 1 or a_step == 1:
        flags, a_line = 0, a_row if m > 1 else k
    elif m == 1 or a_row == 1:
        flags, a_line = TRANSPOSE_A, a_step
    else:
        return None
    if n == 1 or b_column == 1:
        b_line = b_step if k > 1 else n
    elif k == 1 or b_step == 1:
        flags, b_line = flags | TRANSPOSE_B, b_column
    else:
        return None
    outer, inner = [_ONE, _ONE, *axes][-2:]
    lines = a_line, b_line, out_row if m > 1 else n
    steps = [step for i, line in enumerate(lines, 1) for step in (outer[i], inner[i], line)]
    return _Call((m, n, k, outer[0], inner[0], *steps), flags, False)


def _contract_shape(a: Tensor, b: Tensor, of_a: str, of_b: str, order: str) -> Shape:
    if not _are_letters(a.shape, b.shape, of_a, of_b, order) or _call(a.shape, b.shape, of_a, of_b, order) is None:
        raise ArgumentError(
            "[contract] the letters must describe a batch of products of strided matrices; got "
            f"{of_a!r} for {a.shape}, {of_b!r} for {b.shape} and {order!r} for the output; use tr.einsum"
        )
    sizes = _sizes_of(a.shape, b.shape, of_a, of_b)
    return tuple([sizes[letter] for letter in order])


def _are_letters(a: Shape, b: Shape, of_a: str, of_b: str, order: str) -> bool:
    """Whether each axis has a letter, each letter one size, and two of the three have it or all."""
    sizes = _sizes_of(a, b, of_a, of_b)
    if (len(of_a), len(of_b)) != (len(a), len(b)) or not set(order) <= set(sizes):
        return False
    agree = [sizes[c] for c in of_a] == list(a) and [sizes[c] for c in of_b] == list(b)
    once = all(len(set(letters)) == len(letters) for letters in (of_a, of_b, order))
    return agree and once and all((c in of_a) + (c in of_b) + (c in order) > 1 for c in sizes)


def _contract_forward(out: Buffer, a: Tensor, b: Tensor, of_a: str, of_b: str, order: str) -> None:
    call = _call(a.shape, b.shape, of_a, of_b, order)
    assert call is not None
    ins = (b.buffer, a.buffer) if call.swapped else (a.buffer, b.buffer)
    launch(kernels.matmul_batch, (out,), ins, call.sizes, (), call.flags)


def _contract_vjp(g: Tensor, ctx: Context) -> Gradients:
    a, b = ctx.inputs
    of_a, of_b, order = ctx.attrs
    to_a = contracted(g, order, b, of_b, of_a) if ctx.needs[0] else None
    return to_a, contracted(a, of_a, g, order, of_b) if ctx.needs[1] else None


CONTRACT = Op(
    "contract", shape=_contract_shape, forward=_contract_forward, vjp=_contract_vjp, saves=(0, 1), multiplies=True
)
