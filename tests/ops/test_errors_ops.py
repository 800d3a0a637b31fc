"""Every error of the ops: its class, its whole text, and that no kernel ran before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinyres as tr
from tinyres import ops
from tinyres.errors import ArgumentError, DTypeError, ShapeError, TinyresError
from tinyres.launch import Launch, recording
from tinyres.ops.indexing import IndexOutOfRange


def z(*shape: int, dtype: str = "float32") -> tr.Tensor:
    return tr.tensor(np.zeros(shape), dtype=dtype)


CE = ops.softmax_cross_entropy
INF = float("inf")

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
        lambda: z(2) * z(2, dtype="int64"),
        DTypeError,
        '[mul] takes float Tensors; got int64 of shape (2,); use .astype("float32")',
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
        lambda: z(2, 3, 4) @ z(4, 5),
        ShapeError,
        "[matmul] both inputs must be matrices (2 axes); got (2, 3, 4) @ (4, 5); "
        "reshape them, or use tr.dense(x, kernel) for x with leading batch axes",
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
        ShapeError,
        "[index] an index names each axis once at most, and one ... at most; got 3 for shape (2, 3)",
    ),
    (
        lambda: z(2, 3)[z(2, 3) > 0],
        DTypeError,
        "[index] an index is made of ints, slices, None and ...; got bool of shape (2, 3); "
        "use tr.where(mask, x, 0.0) for a mask, tr.stack([x[i] for i in rows]) for a few rows",
    ),
    (
        lambda: z(2, 3)[[0, 1]],
        DTypeError,
        "[index] an index is made of ints, slices, None and ...; got [0, 1]; "
        "use tr.where(mask, x, 0.0) for a mask, tr.stack([x[i] for i in rows]) for a few rows",
    ),
    (
        lambda: z(2, 3)[1.0],
        DTypeError,
        "[index] an index is made of ints, slices, None and ...; got 1.0; "
        "use tr.where(mask, x, 0.0) for a mask, tr.stack([x[i] for i in rows]) for a few rows",
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
    # softmax
    (
        lambda: tr.softmax(z(2, 3), 2),
        ShapeError,
        "[softmax] an axis must be one of the 2 of shape (2, 3); got axis=2; choose one in -2..1",
    ),
    (
        lambda: tr.softmax(z()),
        ShapeError,
        "[softmax] an axis must be one of the 0 of shape (); got axis=-1; leave axis out",
    ),
    (
        lambda: CE(z(4, 3), [0, 1, 2, 3]),
        ArgumentError,
        "[softmax_cross_entropy] labels must lie in 0..2 for 3 classes; got 0..3; "
        "renumber the labels, or give the last layer more units",
    ),
    (
        lambda: CE(z(2, 3), [-1, 1]),
        ArgumentError,
        "[softmax_cross_entropy] labels must lie in 0..2 for 3 classes; got -1..1; "
        "renumber the labels, or give the last layer more units",
    ),
    (
        lambda: CE(z(2, 3), [0.0, 1.0]),
        DTypeError,
        "[softmax_cross_entropy] labels must be integers of shape (batch,); got float64 of shape (2,); "
        'use labels.astype("int64")',
    ),
    (
        lambda: CE(z(2, 3), tr.tensor([0, 1])),
        DTypeError,
        "[softmax_cross_entropy] labels must be integers of shape (batch,); got float32 of shape (2,); "
        'use labels.astype("int64")',
    ),
    (
        lambda: CE(z(2, 3), [0.0, np.nan]),
        DTypeError,
        "[softmax_cross_entropy] labels must be integers of shape (batch,); got float64 with 1 NaN of shape (2,); "
        "remove the examples without a label",
    ),
    (
        lambda: CE(z(2, 3), ["cat", "dog"]),
        DTypeError,
        "[softmax_cross_entropy] labels must be integers of shape (batch,); got strings of shape (2,); "
        "number them with classes, y = np.unique(y, return_inverse=True)",
    ),
    (
        lambda: CE(z(2, 3), np.eye(3)[:2]),
        DTypeError,
        "[softmax_cross_entropy] labels must be integers of shape (batch,); got float64 of shape (2, 3); "
        'these look one-hot: use labels.argmax(axis=1), or the loss "categorical_crossentropy"',
    ),
    (
        lambda: CE(z(2, 3), np.eye(3, dtype=int)[:2]),
        ShapeError,
        "[softmax_cross_entropy] labels must have shape (batch,), here (2,); got labels (2, 3) for logits (2, 3); "
        'these look one-hot: use labels.argmax(axis=1), or the loss "categorical_crossentropy"',
    ),
    (
        lambda: CE(z(2, 3), [[0], [1]]),
        ShapeError,
        "[softmax_cross_entropy] labels must have shape (batch,), here (2,); got labels (2, 1) for logits (2, 3); "
        "use labels.reshape(-1)",
    ),
    (
        lambda: CE(z(2, 3), [0, 1, 2]),
        ShapeError,
        "[softmax_cross_entropy] labels must have shape (batch,), here (2,); got labels (3,) for logits (2, 3); "
        "give one integer per example",
    ),
    (
        lambda: CE(z(3), [0, 1, 2]),
        ShapeError,
        "[softmax_cross_entropy] logits must have shape (batch, classes); got (3,); reshape them",
    ),
    (
        lambda: CE(z(0, 3), np.zeros(0, int)),
        ShapeError,
        "[softmax_cross_entropy] the batch is empty, its mean is not defined: got logits of shape (0, 3); "
        "give at least one example and one class",
    ),
    (
        lambda: CE(tr.softmax(tr.tensor([[1.0, 2.0]], requires_grad=True)), [0]),
        ArgumentError,
        "[softmax_cross_entropy] takes logits, from which it makes the softmax itself; got a softmax of shape (1, 2); "
        "pass what went into the softmax",
    ),
    # norm
    (
        lambda: tr.batchnorm(z(3)),
        ShapeError,
        "[batchnorm] the input must have shape (batch, ..., features); got (3,); add a batch axis",
    ),
    (
        lambda: tr.batchnorm(z(0, 3)),
        ShapeError,
        "[batchnorm] the batch is empty, its mean is not defined: got shape (0, 3); give at least one example",
    ),
    (
        lambda: tr.batchnorm(z(2, 3), z(4), z(4)),
        ShapeError,
        "[batchnorm] gamma, beta and the statistics must have one element per feature, shape (3,); "
        "got (4,) for an input of shape (2, 3); build the layer for 3 features",
    ),
    (
        lambda: tr.batchnorm_inference(z(2, 3), z(4), z(4)),
        ShapeError,
        "[batchnorm_inference] gamma, beta and the statistics must have one element per feature, shape (3,); "
        "got (4,) for an input of shape (2, 3); build the layer for 3 features",
    ),
    # losses
    (
        lambda: ops.mse(z(32, 1), z(32)),
        ShapeError,
        "[mse] prediction (32, 1) and target (32,) differ; use y.reshape(-1, 1)",
    ),
    (
        lambda: ops.mse(z(32), z(32, 1)),
        ShapeError,
        "[mse] prediction (32,) and target (32, 1) differ; use y.reshape(-1)",
    ),
    (
        lambda: ops.mse(z(4, 2), z(4, 3)),
        ShapeError,
        "[mse] prediction (4, 2) and target (4, 3) differ; "
        "losses do not broadcast: give one target per predicted value",
    ),
    (
        lambda: ops.mse(z(0, 2), z(0, 2)),
        ShapeError,
        "[mse] the batch is empty, its mean is not defined: got shape (0, 2); give at least one example",
    ),
    (
        lambda: tr.losses.binary_crossentropy(z(4, 1), z(4)),
        ShapeError,
        "[binary_crossentropy] prediction (4, 1) and target (4,) differ; use y.reshape(-1, 1)",
    ),
    # random
    (
        lambda: tr.dropout(z(2), 1.0),
        ArgumentError,
        "[dropout] the rate is the share to zero, 0 <= rate < 1; got 1.0; choose another",
    ),
    (
        lambda: tr.manual_seed(-1),
        ArgumentError,
        "[manual_seed] a seed is an int in 0..2**63 - 1; got -1; choose one, such as 0",
    ),
    (
        lambda: tr.Generator("x"),  # type: ignore[arg-type]
        ArgumentError,
        "[Generator] a seed is an int in 0..2**63 - 1; got 'x'; choose one, such as 0",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), CASES, ids=[c[2].split("]")[0][1:] for c in CASES])
def test_message(call: Callable[[], object], error: type[TinyresError], message: str) -> None:
    with pytest.raises(error) as raised:
        call()
    assert type(raised.value) is error
    assert str(raised.value) == message


class _Counting:
    """A recorder that counts calls of compute kernels; value checks and the arguments' own preparation are not that."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def record(self, call: Launch) -> None:
        self.calls.append(call[0].name)


SHAPE_ERRORS = [c for c in CASES if c[1] is ShapeError and "softmax of shape" not in c[2]]


@pytest.mark.parametrize(("call", "error", "message"), SHAPE_ERRORS, ids=[c[2].split("]")[0][1:] for c in SHAPE_ERRORS])
def test_raised_before_any_kernel_runs(call: Callable[[], object], error: type[TinyresError], message: str) -> None:
    counting = _Counting()
    with recording(counting), pytest.raises(error):  # type: ignore[arg-type]
        call()
    assert counting.calls == []


def test_every_message_has_the_form_of_the_house() -> None:
    for _, _, message in CASES:
        assert message.startswith("[") and "] " in message
        assert ";" in message or ":" in message
