"""Errors of arithmetic, reductions, products and movement: what was called, the class, the whole text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import tinyres as tr
from tinyres.engine.op import apply
from tinyres.errors import ArgumentError, DTypeError, ShapeError, TinyresError
from tinyres.ops.contraction import CONTRACT
from tinyres.ops.indexing import IndexOutOfRange, WrongIndex


def z(*shape: int, dtype: str = "float32") -> tr.Tensor:
    return tr.tensor(np.zeros(shape), dtype=dtype)


CASES: list[tuple[Callable[[], object], type[TinyresError], str]] = [
    # arithmetic, comparison
    (
        lambda: z(2, 3) + z(2, 4),
        ShapeError,
        "[add] shapes must broadcast, aligned at the last axis, each pair of sizes equal or one of them 1; "
        "got (2, 3) and (2, 4); reshape one of them",
    ),
    (
        lambda: z(3) / z(2),
        ShapeError,
        "[div] shapes must broadcast, aligned at the last axis, each pair of sizes equal or one of them 1; "
        "got (3,) and (2,); reshape one of them",
    ),
    (
        lambda: z(2) * z(2, dtype="float64"),
        DTypeError,
        "[mul] the dtypes must be the same; got float32 and float64; use .astype() on one of them",
    ),
    (
        lambda: z(2) & z(2),
        DTypeError,
        "[and] & takes masks or integers; got float32 (2,) and float32 (2,); compare first, as in (x > 0) & (y > 0)",
    ),
    (
        lambda: tr.exp(z(2, dtype="bool")),
        DTypeError,
        '[exp] takes float Tensors; got bool of shape (2,); use .astype("float32")',
    ),
    (
        lambda: tr.where(z(2), z(2), z(2)),
        DTypeError,
        "[where] takes a bool Tensor here; got float32 of shape (2,); compare it, as in x != 0",
    ),
    (
        lambda: tr.where(np.ones(3, bool), z(2), 0.0),
        ShapeError,
        "[where] shapes must broadcast, aligned at the last axis, each pair of sizes equal or one of them 1; "
        "got (3,) and (2,) and (); reshape one of them",
    ),
    (
        lambda: tr.clip(z(2), 1.0, 0.0),
        ArgumentError,
        "[clip] the lower limit must not exceed the upper; got lo=1.0, hi=0.0; swap them",
    ),
    (
        lambda: tr.clip(z(2), "a", 0.0),
        ArgumentError,
        "[clip] the limits must be numbers or None; got 'a' and 0.0; "
        "for limits per element use tr.minimum(tr.maximum(x, lo), hi)",
    ),
    # reductions
    (
        lambda: z(2, 3).sum(axis=2),
        ShapeError,
        "[sum] an axis must be one of the 2 of shape (2, 3); got axis=2; choose one in -2..1",
    ),
    (
        lambda: z().mean(axis=0),
        ShapeError,
        "[mean] an axis must be one of the 0 of shape (); got axis=0; leave axis out",
    ),
    (
        lambda: z(2, 3).max(axis=(0, -2)),
        ShapeError,
        "[max] each axis may be named once; got axis=(0, -2) for shape (2, 3); drop the second",
    ),
    (
        lambda: z(2, 3).min(axis="rows"),
        ArgumentError,
        "[min] an axis is an int, several are a tuple, None is all; got axis='rows'; name axes by number",
    ),
    (
        lambda: z(2, 3).sum(axis=[[0]]),
        ArgumentError,
        "[sum] an axis is an int, several are a tuple, None is all; got axis=[[0]]; name axes by number",
    ),
    (
        lambda: z(2, 3).argmax(axis=(0, 1)),
        ArgumentError,
        "[argmax] takes one axis, an int; got axis=(0, 1); reshape several axes into one first",
    ),
    (
        lambda: z(0, 3).mean(),
        ShapeError,
        "[mean] needs at least one element to reduce; got shape (0, 3), axis=None; check for an empty batch",
    ),
    (
        lambda: z(0, 3).max(axis=0),
        ShapeError,
        "[max] needs at least one element to reduce; got shape (0, 3), axis=0; check for an empty batch",
    ),
    (
        lambda: z(3, 0).argmax(axis=1),
        ShapeError,
        "[argmax] needs at least one element per row; got shape (3, 0); check for an empty axis",
    ),
    # products
    (
        lambda: z(32, 64) @ z(128, 10),
        ShapeError,
        "[matmul] the last dimension of the left input must equal the first of the right: got (32, 64) @ (128, 10); "
        "transpose or reshape one of them",
    ),
    (
        lambda: tr.matmul(z(64, 32), z(128, 10), transpose_a=True),
        ShapeError,
        "[matmul] the last dimension of the left input must equal the first of the right: got (32, 64) @ (128, 10) "
        "after transposing; transpose or reshape one of them",
    ),
    (
        lambda: z() @ z(4, 5),
        ShapeError,
        "[matmul] each input must have at least one axis; got () @ (4, 5); multiply by a number with *",
    ),
    (
        lambda: z(2, 3, 4) @ z(3, 4, 5),
        ShapeError,
        "[matmul] the axes before the last two must broadcast, each pair of sizes equal or one of them 1; "
        "got (2, 3, 4) @ (3, 4, 5); reshape one of them",
    ),
    (
        lambda: z(2, 3, 4) @ z(5),
        ShapeError,
        "[matmul] the last dimension of the left input must equal the first of the right: got (3, 4) @ (5, 1); "
        "transpose or reshape one of them",
    ),
    (
        lambda: tr.dense(z(32, 64), z(128, 10)),
        ShapeError,
        "[dense] the last axis of the input must equal the first of the kernel (the features): "
        "got (32, 64) @ (128, 10); give 128 features, or build the layer for 64",
    ),
    (
        lambda: tr.dense(z(64), z(64, 10), z(10)),
        ShapeError,
        "[dense] the input must have shape (..., features) with at least 2 axes, the kernel (features, units); "
        "got (64,) and (64, 10); reshape them",
    ),
    (
        lambda: tr.dense(z(32, 64), z(64, 10), z(1)),
        ShapeError,
        "[dense] the bias must have one element per unit, shape (10,); got (1,) for a kernel of shape (64, 10); "
        "reshape the bias",
    ),
    (
        lambda: tr.dense(z(32, 64), z(64, 10), None, "tanh"),
        ArgumentError,
        "[dense] the fused activation is None or \"relu\"; got 'tanh'; apply another one to the output",
    ),
    # movement
    (
        lambda: z(2, 3).reshape(4, -1),
        ShapeError,
        "[reshape] the new shape must hold the same number of elements, with at most one -1; "
        "got (2, 3) (6 elements) to (4, -1); choose sizes whose product is 6",
    ),
    (
        lambda: z(2, 3).reshape(-1, -1),
        ShapeError,
        "[reshape] the new shape must hold the same number of elements, with at most one -1; "
        "got (2, 3) (6 elements) to (-1, -1); choose sizes whose product is 6",
    ),
    (
        lambda: z(6).reshape(-2, -3),
        ShapeError,
        "[reshape] the new shape must hold the same number of elements, with at most one -1; "
        "got (6,) (6 elements) to (-2, -3); choose sizes whose product is 6",
    ),
    (
        lambda: z(6).reshape(2.0, 3),
        ArgumentError,
        "[reshape] a shape is an int or a tuple of ints; got (2.0, 3); convert the sizes",
    ),
    (
        lambda: tr.flatten(z(2, 3), 2),
        ShapeError,
        "[flatten] start_axis must name an axis of shape (2, 3); got 2; choose one from 0 on",
    ),
    (
        lambda: z(2, 3).transpose(0, 0),
        ShapeError,
        "[transpose] the axes must name each of the 2 axes of shape (2, 3) once; got (0, 0); for example (1, 0)",
    ),
    (
        lambda: tr.broadcast_to(z(2, 3), (3, 3)),
        ShapeError,
        "[broadcast_to] shapes must broadcast, aligned at the last axis, each pair of sizes equal or one of them 1; "
        "got (2, 3) and (3, 3); reshape one of them",
    ),
    (
        lambda: tr.broadcast_to(z(2, 3), (3,)),
        ShapeError,
        "[broadcast_to] each axis of size 1 may grow, and new axes come in front; got (2, 3) to (3,); "
        "reshape the input first",
    ),
    (
        lambda: z(2, 3)[2],
        IndexOutOfRange,
        "[index] 2 is out of range for axis 0 of shape (2, 3); choose -2..1",
    ),
    (lambda: z(0)[0], IndexOutOfRange, "[index] axis 0 of shape (0,) is empty; got 0"),
    (
        lambda: z(2, 3)[0, 0, 0],
        IndexOutOfRange,
        "[index] an index names each axis once at most, and one ... at most; got 3 for shape (2, 3)",
    ),
    (
        lambda: z(2, 3)[np.ones((3, 2), bool)],
        IndexOutOfRange,
        "[index] a mask must have the shape of the axes that it stands for; got (3, 2) for (2, 3) of (2, 3); "
        "compare the Tensor itself, as in x[x > 0]",
    ),
    (
        lambda: z(2, 3)[[0, 2]],
        IndexOutOfRange,
        "[index] an index must lie in -2..1 for an axis of 2; got 0..2; correct the ids",
    ),
    (
        lambda: z(2, 3)[[0.5]],
        WrongIndex,
        '[index] an index array holds integers or is a bool mask; got float64 of shape (1,); use .astype("int64")',
    ),
    (
        lambda: z(2, 3)[[0, 1], [0, 1, 2]],
        IndexOutOfRange,
        "[index] index arrays must broadcast together; got (2,) and (3,); reshape one of them",
    ),
    (
        lambda: z(2, 3)[1.0],
        WrongIndex,
        "[index] an index is made of ints, slices, None, ..., arrays of integers and masks; got 1.0; convert it",
    ),
    (
        lambda: tr.split(z(2, 3), 2, 1),
        ShapeError,
        "[split] equal parts must come out; got 2 parts of axis 1 of shape (2, 3); give the indices at which to cut",
    ),
    (
        lambda: tr.squeeze(z(2, 1), 0),
        ShapeError,
        "[squeeze] only axes of size 1 can go; got axis 0 of shape (2, 1); leave it out or reduce it",
    ),
    (
        lambda: tr.tile(z(2), -1),
        ArgumentError,
        "[tile] reps are counts from 0 on; got -1; give an int or a list of ints",
    ),
    (
        lambda: tr.repeat(z(2), [1, 2, 3], 0),
        ShapeError,
        "[repeat] needs one count for all or one per element; got 3 for axis 0 of shape (2,); give one for each",
    ),
    (
        lambda: tr.std(z(1), ddof=1),
        ArgumentError,
        "[std] ddof must be less than the number of elements; got ddof=1 for 1 elements of shape (1,), axis=None; "
        "use ddof=0",
    ),
    (
        lambda: tr.norm(z(2), 3),
        ArgumentError,
        "[norm] ord is 2 (the default), 1, inf or -inf; got 3; write it as a sum of powers",
    ),
    (
        lambda: tr.einsum("ii->i", z(2, 2)),
        ArgumentError,
        "[einsum] a letter comes once per input, diagonals are not taken; got 'ii->i'; multiply by np.eye(n) and sum",
    ),
    (
        lambda: tr.einsum("ij,jk->ik", z(2, 3), z(4, 5)),
        ShapeError,
        "[einsum] axes of one letter must have one size; got 3 and 4 for \"j\" in 'ij,jk->ik' with (2, 3) and (4, 5); "
        "reshape one of them",
    ),
    (
        lambda: tr.einsum("ij->ijk", z(2, 3)),
        ArgumentError,
        "[einsum] the output takes letters of the inputs, each once; got 'ij->ijk'; the subscripts are letters per "
        'axis of each input, then "->" and those of the output',
    ),
    (
        lambda: tr.gelu(z(2), approximate="erf"),
        ArgumentError,
        '[gelu] approximate is False, True, "none" or "tanh"; got \'erf\'; leave it out for the exact one',
    ),
    (
        lambda: tr.dot(z(2, 3), z(4, 3, 2)),
        ShapeError,
        "[dot] the right input has 2 axes at most; got (2, 3) and (4, 3, 2); use tr.matmul or tr.einsum",
    ),
    (
        lambda: z(2, 3)[::0],
        ArgumentError,
        "[index] the step of a slice must not be 0; got slice(None, None, 0); leave it out",
    ),
    (
        lambda: tr.concatenate([z(2, 3), z(2, 4)]),
        ShapeError,
        "[concatenate] shapes must agree in all axes but axis 0; got (2, 3), (2, 4); reshape or slice them",
    ),
    (
        lambda: tr.concatenate([z(2), z(2)], 1),
        ShapeError,
        "[concatenate] the axis must be one of shape (2,); got 1; choose one in -1..0",
    ),
    (
        lambda: tr.concatenate([]),
        ArgumentError,
        "[concatenate] takes a list of at least one Tensor; got none; write tr.concatenate([x, y])",
    ),
    (
        lambda: tr.concatenate(z(2)),  # type: ignore[arg-type]
        ArgumentError,
        "[concatenate] takes a list of at least one Tensor; got Tensor; write tr.concatenate([x, y])",
    ),
    (
        lambda: tr.concatenate([z(2), z(2)], "0"),  # type: ignore[arg-type]
        ArgumentError,
        "[concatenate] the axis is an int; got '0'; name the axis by number",
    ),
    (
        lambda: tr.concatenate([z(2), z(2, dtype="int64")]),
        DTypeError,
        "[concatenate] the dtypes must be the same; got float32 and int64; use .astype() on one of them",
    ),
    (
        lambda: tr.stack([z(2), z(3)]),
        ShapeError,
        "[stack] all shapes must be equal; got (2,), (3,); use tr.concatenate along a common axis",
    ),
    (
        lambda: tr.stack([z(2), z(2)], 2),
        ShapeError,
        "[stack] the axis must be one of the result; got 2; choose one in -2..1",
    ),
    (
        lambda: tr.pad(z(2), -1),
        ArgumentError,
        "[pad] the widths must be counts from 0 on, one (before, after) per axis; got -1; write ((0, 0), (1, 1))",
    ),
    *(
        (
            lambda letters=letters: apply(CONTRACT, (z(2, 3), z(3, 4)), *letters),
            ArgumentError,
            "[contract] the letters must describe a batch of products of strided matrices; got "
            f"{letters[0]!r} for (2, 3), {letters[1]!r} for (3, 4) and {letters[2]!r} for the output; use tr.einsum",
        )
        for letters in (
            ("ij", "kj", "ik"),
            ("aa", "bc", "abc"),
            ("ij", "jk", "il"),
            ("i", "jk", "ik"),
            ("ijk", "kl", "ijl"),
            ("ij", "jk", "k"),
        )
    ),
    (
        lambda: tr.pad(z(2), ((1, 1), (1, 1))),
        ShapeError,
        "[pad] needs one (before, after) per axis; got 2 for shape (2,); write ((0, 0), (1, 1))",
    ),
    (
        lambda: z(2).astype("float16"),
        DTypeError,
        "[astype] dtypes are float32, float64, int64 and bool; got 'float16'; choose one of them",
    ),
]
