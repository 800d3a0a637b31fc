"""Nodes whose inputs are all known: arithmetic on shapes, mostly, done with NumPy when the model is built.

A size that is not known before there is data is carried along as -1 with a mark, and marks what it goes into.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres.errors import need_extra
from tinyres.onnx.reading.table import FOLDERS, MOST_ELEMENTS, OPEN, Reading, reads
from tinyres.onnx.values import Known, Value

with need_extra("onnx", "models are written and read by the onnx package", "onnx"):
    from onnx import helper

Fold = Callable[..., Any]


def folds(*kinds: str) -> Callable[[Fold], Fold]:
    """Let this function compute nodes of these kinds: (reading, *arrays) -> array. It runs on the marks as well."""

    def enter(fold: Fold) -> Fold:
        FOLDERS.update(dict.fromkeys(kinds, fold))
        return fold

    return enter


def folded(reading: Reading) -> Value | None:
    """What a node gives whose inputs are all known; None if there is no rule for it."""
    fold = FOLDERS.get(reading.kind)
    inputs = [x for x in reading.inputs if x is not None]
    if fold is None or not all(isinstance(x, Known) for x in inputs):
        return None
    known = [x for x in reading.inputs if isinstance(x, Known) or x is None]
    arrays = [None if x is None else x.array for x in known]
    with np.errstate(all="ignore"):
        array = np.asarray(fold(reading, *arrays))
    if reading.kind in _ARITHMETIC:  # what an open size goes into is open
        open_ = np.zeros(array.shape, bool)
        for x in known:
            open_ |= x.open if x is not None else False
        if reading.kind == "Equal":  # whatever an open size will be, it is not negative
            negative = [(x.array < 0) & ~x.open for x in known if x is not None]
            never = open_ & np.logical_or(*negative)
            open_, array = open_ & ~never, array & ~never
        return Known(np.where(open_, -1, array).astype(array.dtype), open_)
    first, *rest = known
    if first is None or not any(x is not None and x.open.any() for x in known):
        weight = first is not None and first.weight and reading.kind in _MOVING
        return Known(array, weight=weight, name=first.name if first is not None else "")
    if reading.kind in _OF_SHAPES:
        return Known(array, weight=first.weight, name=first.name)
    if reading.kind == "Where" and not first.open.any():
        a, b = (x.open for x in rest if x is not None)
        return Known(array, np.where(first.array, a, b))
    if reading.kind not in _MOVING:
        raise reading.refuse("what it makes must follow from the file and its sizes", "a size that is open", OPEN)
    marks = [x.open if reading.kind == "Concat" and x is not None else None if x is None else x.array for x in rest]
    return Known(array, np.asarray(fold(reading, first.open, *marks)).astype(bool))


@reads("Shape")
def _shape(reading: Reading) -> Known:
    found = reading.value()
    shape = found.array.shape if isinstance(found, Known) else found.shape
    shape = shape[slice(reading.attr("start", 0), reading.attr("end", len(shape)))]
    sizes = np.array([-1 if n is None else n for n in shape], np.int64)
    return Known(sizes, sizes == -1)


@reads("Constant")
def _constant(reading: Reading) -> Known:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        found = reading.attr(name)
        if found is not None:
            kind = np.float32 if "float" in name else np.int64
            return Known(found if isinstance(found, np.ndarray) else np.array(found, kind))
    raise reading.refuse("constants are numbers", "another")


@folds("Identity")
def _identity(reading: Reading, x: np.ndarray) -> np.ndarray:
    return x


@folds("Concat")
def _concat(reading: Reading, *arrays: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays, axis=reading.attr("axis", 1))


@folds("Gather")
def _gather(reading: Reading, x: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return np.take(x, ids, axis=reading.attr("axis", 0))


@folds("Unsqueeze")
def _unsqueeze(reading: Reading, x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    return np.expand_dims(x, tuple(reading.ints(1, "axes") or ()))


@folds("Squeeze")
def _squeeze(reading: Reading, x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    found = reading.ints(1, "axes")
    return np.squeeze(x, None if found is None else tuple(found))


@folds("Reshape")
def _reshape(reading: Reading, x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return x.reshape([x.shape[i] if n == 0 else int(n) for i, n in enumerate(shape)])


@folds("Transpose")
def _transpose(reading: Reading, x: np.ndarray) -> np.ndarray:
    return x.transpose(reading.attr("perm"))


@folds("Slice")
def _slice(reading: Reading, x: np.ndarray, *operands: Any) -> np.ndarray:
    starts, ends = reading.ints(1, "starts") or [], reading.ints(2, "ends") or []
    axes = reading.ints(3, "axes") or list(range(len(starts)))
    steps = reading.ints(4, "steps") or [1] * len(starts)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        index[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(index)]


@folds("Cast")
def _cast(reading: Reading, x: np.ndarray) -> np.ndarray:
    return x.astype(helper.tensor_dtype_to_np_dtype(reading.attr("to")))


@folds("ConstantOfShape")
def _constant_of_shape(reading: Reading, shape: np.ndarray) -> np.ndarray:
    value = reading.attr("value", np.zeros(1, np.float32))
    return np.full(_closed(reading, 0, shape), value.reshape(-1)[0])


@folds("Expand")
def _expand(reading: Reading, x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, _closed(reading, 1, shape)))


@folds("Range")
def _range(reading: Reading, start: np.ndarray, limit: np.ndarray, delta: np.ndarray) -> np.ndarray:
    count = max(0, math.ceil((limit.item() - start.item()) / delta.item()))
    bounded(reading, np.array([count]))
    return start.item() + np.arange(count, dtype=start.dtype) * delta.item()


@folds("Where")
def _where(reading: Reading, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.where(condition, a, b)


@folds("Trilu")
def _trilu(reading: Reading, x: np.ndarray, k: np.ndarray | None = None) -> np.ndarray:
    return (np.triu if reading.attr("upper", 1) else np.tril)(x, 0 if k is None else int(k.reshape(-1)[0]))


def _closed(reading: Reading, i: int, shape: np.ndarray) -> tuple[int, ...]:
    """A shape with 1 where a size is open: what all samples share is broadcast to them when it is used."""
    found = reading.value(i)
    return bounded(reading, np.where(found.open, 1, shape) if isinstance(found, Known) else shape)


def bounded(reading: Reading, shape: np.ndarray) -> tuple[int, ...]:
    """A shape that there is memory for."""
    sizes = tuple(int(n) for n in shape.reshape(-1))
    if any(n < 0 for n in sizes) or math.prod(sizes) > MOST_ELEMENTS:
        raise reading.refuse(
            f"an array that follows from shapes has up to {MOST_ELEMENTS:,} elements", f"shape {sizes}"
        )
    return sizes


def _divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers are cut off towards 0."""
    if a.dtype.kind not in "iu":
        return a / b
    found = a // b
    return found + ((found * b != a) & ((a < 0) != (b < 0)))


_TWO: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Sum": np.add,
    "Mul": np.multiply,
    "Pow": np.power,
    "Div": _divided,
    "Mod": np.mod,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Max": np.maximum,
    "Min": np.minimum,
    "And": np.logical_and,
    "Or": np.logical_or,
}
_ONE: dict[str, Callable[..., Any]] = {"Neg": np.negative, "Abs": np.abs, "Sqrt": np.sqrt, "Not": np.logical_not}
_ARITHMETIC = frozenset((*_TWO, *_ONE))
_OF_SHAPES = frozenset(("Expand", "ConstantOfShape"))
_MOVING = frozenset(
    ("Identity", "Concat", "Gather", "Unsqueeze", "Squeeze", "Reshape", "Transpose", "Slice", "Cast", "Expand")
)


def _computed(function: Callable[..., Any]) -> Fold:
    def fold(reading: Reading, *arrays: np.ndarray | None) -> np.ndarray:
        given = [x for x in arrays if x is not None]
        if len(given) < len(arrays):
            raise reading.refuse("each of its operands is there", "one that is left out", "export it again")
        bounded(reading, np.array(np.broadcast_shapes(*[x.shape for x in given])))
        chosen = np.fmod if reading.attr("fmod", 0) else function
        found = functools.reduce(chosen, given) if reading.kind in _TWO else chosen(*given)
        return found.astype(given[0].dtype) if reading.kind == "Pow" else found

    return fold


FOLDERS.update({kind: _computed(function) for kind, function in {**_TWO, **_ONE}.items()})
