"""einsum: sums of products by index letters, as one batched product per pair of inputs, and sums."""

from __future__ import annotations

import functools
from typing import Any

from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.ops.composed import composed
from tinyres.ops.contraction import arranged, contracted
from tinyres.ops.reduction import sum

_SPARE = "0123456789"  # letters for the axes that "..." stands for, last axis first
_RULE = 'the subscripts are letters per axis of each input, then "->" and those of the output'


@composed
def einsum(subscripts: str, *operands: Operand) -> Tensor:
    """The sum of products that the letters describe, as np.einsum: letters that the output lacks are summed over.

    subscripts: "bij,bjk->bik"; "..." stands for leading axes, and without "->" the output has the letters that come
    once, in alphabetical order. Several inputs are multiplied from left to right.
    Raises ArgumentError for other forms (a letter twice in one input: a diagonal), ShapeError for unequal sizes.

    >>> import tinyres as tr
    >>> tr.einsum("ij,j->i", tr.tensor([[1.0, 2.0], [3.0, 4.0]]), tr.tensor([1.0, 10.0]))
    Tensor([21., 43.], shape=(2,), dtype=float32)
    """
    tensors = as_operands(*operands)
    inputs, output = _parsed(subscripts, tuple([t.shape for t in tensors]))
    value, letters = tensors[0], inputs[0]
    for i, (following, its_letters) in enumerate(zip(tensors[1:], inputs[1:]), 2):
        wanted = {*output, *"".join(inputs[i:])}
        value, letters = _pair(value, letters, following, its_letters, wanted, output)
    value, letters = _summed(value, letters, set(output))
    return arranged(value, letters, output)


@functools.lru_cache(maxsize=1024)
def _parsed(subscripts: Any, shapes: tuple[tuple[int, ...], ...]) -> tuple[tuple[str, ...], str]:
    """The letters of each input and of the output, "..." written out."""
    if not isinstance(subscripts, str):
        raise ArgumentError(f'[einsum] the first argument is the subscripts; got {subscripts!r}; write "ij,jk->ik"')
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    given = left.split(",")
    if len(given) != len(shapes):
        raise ArgumentError(
            f"[einsum] there must be letters for each input; got {subscripts!r} for {len(shapes)} inputs; separate by ,"
        )
    inputs = tuple([_expanded(subscripts, term, shape) for term, shape in zip(given, shapes)])
    everything = "".join(inputs)
    spare = "".join(sorted({letter for letter in everything if letter in _SPARE}, reverse=True))
    if not arrow:
        right = "".join(sorted(c for c in set(everything) if everything.count(c) == 1 and c not in _SPARE))
        right = "..." + right if spare else right
    output = right.replace("...", spare)
    if len(set(output)) != len(output) or not set(output) <= set(everything):
        raise ArgumentError(f"[einsum] the output takes letters of the inputs, each once; got {subscripts!r}; {_RULE}")
    _check_sizes(subscripts, inputs, shapes)
    return inputs, output


def _expanded(subscripts: str, term: str, shape: tuple[int, ...]) -> str:
    letters = term.replace("...", "", 1)
    if not all(c.isascii() and c.isalpha() for c in letters):
        raise ArgumentError(f"[einsum] {_RULE}; got {subscripts!r}; for example 'bij,bjk->bik'")
    if len(set(letters)) != len(letters):
        raise ArgumentError(
            f"[einsum] a letter comes once per input, diagonals are not taken; got {subscripts!r}; "
            "multiply by np.eye(n) and sum"
        )
    free = len(shape) - len(letters)
    if free < 0 or free and "..." not in term or free > len(_SPARE):
        raise ShapeError(
            f"[einsum] each input needs a letter per axis; got {term!r} for shape {shape}; "
            f"{'add ... in front' if free > 0 else 'leave letters out'}"
        )
    return term.replace("...", "".join(reversed(_SPARE[:free])))


def _check_sizes(subscripts: str, inputs: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> None:
    sizes: dict[str, int] = {}
    for letters, shape in zip(inputs, shapes):
        for letter, size in zip(letters, shape):
            if sizes.setdefault(letter, size) != size:
                listed = " and ".join(map(str, shapes))
                axis = '"..."' if letter in _SPARE else f'"{letter}"'
                raise ShapeError(
                    f"[einsum] axes of one letter must have one size; got {sizes[letter]} and {size} for {axis} in "
                    f"{subscripts!r} with {listed}; reshape one of them"
                )


def _pair(a: Tensor, of_a: str, b: Tensor, of_b: str, wanted: set[str], output: str) -> tuple[Tensor, str]:
    """The product of two inputs, summed over the letters that nobody wants; in the output's order if it is that."""
    a, of_a = _summed(a, of_a, wanted | set(of_b))
    b, of_b = _summed(b, of_b, wanted | set(of_a))
    letters = {*of_a, *of_b} & wanted
    order = output if letters == set(output) else "".join(c for c in dict.fromkeys(of_a + of_b) if c in letters)
    return contracted(a, of_a, b, of_b, order), order


def _summed(x: Tensor, letters: str, wanted: set[str]) -> tuple[Tensor, str]:
    """x summed over the letters that nobody wants."""
    gone = tuple([i for i, c in enumerate(letters) if c not in wanted])
    if not gone:
        return x, letters
    return sum(x, gone), "".join(c for c in letters if c in wanted)
