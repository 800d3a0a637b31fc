"""Rows by number: `gather_rows` and its gradient `scatter_rows`, which adds; take, and arrays and masks in x[...].

Sums of scatter_rows run in the order of the ids for any number of threads. Ids are checked before they are used; an id
below 0 counts from the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer
from tinyres.engine.accepting import refuse_masked
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ShapeError, ValueCheckFailed
from tinyres.kernels.dtypes import BOOL, INT64
from tinyres.kernels.record import OPERATIONS, RELATION_SHIFT
from tinyres.kernels.sharing import SCALAR
from tinyres.launch import launch
from tinyres.ops.by_axis import by_axis
from tinyres.ops.indexing import IndexOutOfRange, WrongIndex, basic_index


def _sizes(shape: Shape, axis: int, count: int) -> tuple[int, int, int]:
    """outer, classes and inner, where `count` axes from `axis` on are numbered as one."""
    stop = axis + count
    return math.prod(shape[:axis]), math.prod(shape[axis:stop]), math.prod(shape[stop:])


def _gather_shape(x: Tensor, ids: Tensor, axis: int, count: int) -> Shape:
    if not 0 <= axis <= axis + count <= len(x.shape):
        raise ShapeError(
            f"[index] the axes must be among those of shape {x.shape}; got {count} from {axis} on; see tr.take"
        )
    return (*x.shape[:axis], *ids.shape, *x.shape[axis + count :])


def _gather_forward(out: Buffer, x: Tensor, ids: Tensor, axis: int, count: int) -> None:
    outer, classes, inner = _sizes(x.shape, axis, count)
    n = ids.buffer.size
    try:
        launch(kernels.check_labels, (), (ids.buffer,), (n, classes, 0))
    except ValueCheckFailed:
        values = ids.buffer.array
        raise IndexOutOfRange(_out_of_range(values.min(), values.max(), x.shape[axis : axis + count])) from None
    launch(kernels.gather_rows, (out,), (x.buffer, ids.buffer), (outer, n, inner, classes), (), x.dtype.itemsize)


def _out_of_range(low: int, high: int, sizes: Shape) -> str:
    size = math.prod(sizes)
    return f"[index] an index must lie in {-size}..{size - 1} for an axis of {size}; got {low}..{high}; correct the ids"


def _gather_vjp(g: Tensor, ctx: Context) -> Gradients:
    return apply(SCATTER_ROWS, (g, ctx.inputs[1]), ctx.shapes[0], *ctx.attrs), None


GATHER_ROWS = Op("gather_rows", shape=_gather_shape, forward=_gather_forward, vjp=_gather_vjp, saves=(1,), takes="xl")


def _scatter_shape(g: Tensor, ids: Tensor, shape: Shape, axis: int, count: int) -> Shape:
    fits = 0 <= axis <= axis + count <= len(shape) and min(shape, default=0) >= 0
    if not fits or g.shape != (*shape[:axis], *ids.shape, *shape[axis + count :]):
        raise ShapeError(
            f"[scatter_rows] there must be as much as rows are chosen; got {g.shape} for {shape}; see tr.take"
        )
    return shape


def _scatter_forward(out: Buffer, g: Tensor, ids: Tensor, shape: Shape, axis: int, count: int) -> None:
    outer, classes, inner = _sizes(shape, axis, count)
    launch(kernels.scatter_rows, (out,), (g.buffer, ids.buffer), (outer, ids.buffer.size, inner, classes))


def _scatter_vjp(c: Tensor, ctx: Context) -> Gradients:
    return apply(GATHER_ROWS, (c, ctx.inputs[1]), *ctx.attrs[1:]), None


SCATTER_ROWS = Op(
    "scatter_rows", shape=_scatter_shape, forward=_scatter_forward, vjp=_scatter_vjp, saves=(1,), takes="fl"
)


@by_axis
def take(x: Operand, indices: Operand, axis: int | None = None) -> Tensor:
    """The elements or rows of x with these numbers along an axis, as np.take; of the flattened Tensor without one.

    indices: integers of any shape, negative ones from the end. Where a number comes several times, gradients add up.
    Raises IndexError for numbers out of range, DTypeError unless they are integers.

    >>> import tinyres as tr
    >>> tr.take(tr.tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 1, 0], axis=0)
    Tensor([[3., 4.],
            [3., 4.],
            [1., 2.]], shape=(3, 2), dtype=float32)
    """
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    if axis is None:
        x, axis = x.reshape(-1), 0
    ndim = len(x.shape)
    if not -ndim <= axis < ndim:
        raise ShapeError(
            f"[take] the axis must be one of shape {x.shape}; got {axis}; choose one in {-ndim}..{ndim - 1}"
        )
    return gathered(x, [as_ids("take", indices)], axis % ndim)


def rows_of(owner: str, table: Tensor, ids: Tensor) -> Tensor:
    """The rows of a table with these numbers: (classes, …) and ids of any shape give both; none counts from the end.

    owner: how errors name it. Raises IndexOutOfRange for ids below 0 or from `classes` on, before any is used.
    """
    try:
        return apply(GATHER_ROWS, (table, ids), 0, 1)
    except IndexOutOfRange:
        values = ids.buffer.array
        raise IndexOutOfRange(
            f"[{owner}] ids lie in 0..{table.shape[0] - 1}, one for each of its {table.shape[0]} rows; got "
            f"{values.min()}..{values.max()}; number the tokens anew, or make the table larger"
        ) from None


def as_ids(op: str, indices: Any) -> Tensor | np.ndarray:
    """Indices as an int64 Tensor or array."""
    refuse_masked(op, indices)
    if isinstance(indices, Tensor):
        if indices.dtype is INT64:
            return indices
    else:
        array = np.asarray(indices)
        if array.size == 0 and array.dtype.kind == "f":
            array = array.astype(np.int64)
        if array.dtype.kind in "iu":
            return array.astype(np.int64)
        indices = array
    raise WrongIndex(
        f"[{op}] an index array holds integers or is a bool mask; got {indices.dtype} of shape {indices.shape}; "
        'use .astype("int64")'
    )


def gathered(x: Tensor, ids: Sequence[Tensor | np.ndarray], axis: int) -> Tensor:
    """x with the axes from `axis` on, one for each of ids, replaced by those of the ids, broadcast together."""
    sizes = x.shape[axis : axis + len(ids)]
    if None in sizes:
        raise ShapeError(
            f"[index] the batch of a symbolic tensor is not known yet; got an index array for axis {axis} of shape "
            f"{x.shape}; index another axis, or do it in an own layer"
        )
    flat: Any = None
    for numbers, size in zip(ids, sizes):
        numbers = _wrapped(numbers, size)
        flat = numbers if flat is None else flat * size + numbers
    return apply(GATHER_ROWS, (x, flat if isinstance(flat, Tensor) else tensor(flat, dtype=INT64)), axis, len(ids))


def _wrapped(ids: Tensor | np.ndarray, size: int) -> Tensor | np.ndarray:
    """Ids from 0 on. Those of an array are checked at once, those of a Tensor when the step runs."""
    if isinstance(ids, np.ndarray):
        if ids.size and not (-size <= ids.min() and ids.max() < size):
            raise IndexOutOfRange(_out_of_range(ids.min(), ids.max(), (size,)))
        return ids % size if size else ids
    return apply(WRAP, (ids,), size)


def _wrap_forward(out: Buffer, ids: Tensor, size: int) -> None:
    n = out.size
    shift, shifted = tensor(size, dtype=INT64).buffer, Buffer(n, INT64)
    scalar = SCALAR << 2
    launch(kernels.integers, (shifted,), (ids.buffer, shift), (1, n), (), scalar | _operation("add"))
    try:
        launch(kernels.check_labels, (), (shifted,), (n, 2 * size, 0))
    except ValueCheckFailed:
        values = ids.buffer.array
        raise IndexOutOfRange(_out_of_range(values.min(), values.max(), (size,))) from None
    launch(kernels.integers, (out,), (shifted, shift), (1, n), (), scalar | _operation("mod"))


def _wrap_shape(ids: Tensor, size: int) -> Shape:
    if size < 0:
        raise ShapeError(f"[index] an axis has a size of at least 0; got {size}; see tr.take")
    return ids.shape


def _operation(name: str) -> int:
    return OPERATIONS.index(name) << RELATION_SHIFT


WRAP = Op("wrap", shape=_wrap_shape, forward=_wrap_forward, takes="l")


def index(x: Tensor, key: Any) -> Tensor:
    """x[key] for ints, slices, None (a new axis), `...`, arrays of integers and masks, as NumPy has it.

    Raises IndexError beyond an axis (a ShapeError too) and for what is no index (a DTypeError too).
    """
    entries = key if isinstance(key, tuple) else (key,)
    for entry in entries:
        if type(entry) not in _PLAIN and is_array(entry):
            return index_by_arrays(x, entries)
    return basic_index(x, entries)


_PLAIN = (int, slice, type(None), type(Ellipsis))


def is_array(entry: Any) -> bool:
    """Whether an entry of an index is an array, a list or a mask, and not an int, slice, None or `...`."""
    if isinstance(entry, (list, bool, np.bool_)):
        return True
    if isinstance(entry, Tensor):
        return bool(entry.shape) or entry.dtype is not INT64
    return isinstance(entry, np.ndarray) and (bool(entry.shape) or entry.dtype.kind == "b")


def index_by_arrays(x: Tensor, key: tuple[Any, ...]) -> Tensor:
    """x[key] where entries of key are arrays, lists or masks, as NumPy has it.

    Slices and None are taken first. Arrays (with them ints count as arrays) are broadcast together; their axes stand
    where they stood if they were neighbours, else in front. A mask stands for the places where it is true.
    """
    entries = _numbered(x, _spelled_out(x, key))
    plain, arrays, place = [], [], 0
    places: list[int] = []  # of each array, in the Tensor after the plain part of the index
    for entry in entries:
        if entry is None or isinstance(entry, slice):
            plain.append(entry)
        else:
            plain.append(slice(None))
            arrays.append(entry)
            places.append(place)
        place += 1
    y = x[tuple(plain)] if any(entry != slice(None) for entry in plain) else x
    first = places[0]
    if places != list(range(first, first + len(places))):
        y = y.transpose(*places, *[i for i in range(place) if i not in places])
        first = 0
    return gathered(y, _broadcast(arrays), first)


def _spelled_out(x: Tensor, key: tuple[Any, ...]) -> list[Any]:
    """The entries with `...` as slices; every axis of x has one, a mask stands for as many as it has."""
    count = sum([_axes_of(entry) for entry in key])
    if count > len(x.shape) or sum([entry is Ellipsis for entry in key]) > 1:
        raise IndexOutOfRange(
            f"[index] an index names each axis once at most, and one ... at most; got {count} for shape {x.shape}"
        )
    rest = [slice(None)] * (len(x.shape) - count)
    entries: list[Any] = []
    for entry in key:
        entries += rest if entry is Ellipsis else [entry]
    return entries if any(entry is Ellipsis for entry in key) else [*entries, *rest]


def _axes_of(entry: Any) -> int:
    if entry is None or entry is Ellipsis:
        return 0
    return np.ndim(entry) if _is_mask(entry) else 1


def _is_mask(entry: Any) -> bool:
    refuse_masked("index", entry)
    if isinstance(entry, Tensor):
        return entry.dtype is BOOL
    if isinstance(entry, list):
        return np.asarray(entry).dtype.kind == "b"
    return isinstance(entry, (bool, np.bool_)) or isinstance(entry, np.ndarray) and entry.dtype.kind == "b"


def _numbered(x: Tensor, entries: list[Any]) -> list[Any]:
    """The entries with masks as the numbers of the places where they are true; one per axis of x, and Nones."""
    numbered: list[Any] = []
    axis = 0
    for entry in entries:
        if entry is None or isinstance(entry, slice):
            numbered.append(entry)
            axis += entry is not None
        elif _is_mask(entry):
            mask = np.asarray(entry)
            shape = x.shape[axis : axis + mask.ndim]
            if mask.shape != shape or mask.ndim == 0:
                raise IndexOutOfRange(
                    f"[index] a mask must have the shape of the axes that it stands for; got {mask.shape} for {shape} "
                    f"of {x.shape}; compare the Tensor itself, as in x[x > 0]"
                )
            numbered += [np.asarray(ids) for ids in mask.nonzero()]
            axis += mask.ndim
        else:
            numbered.append(as_ids("index", entry))
            axis += 1
    return numbered


def _broadcast(ids: list[Tensor | np.ndarray]) -> list[Tensor | np.ndarray]:
    shapes = [i.shape for i in ids]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise IndexOutOfRange(
            f"[index] index arrays must broadcast together; got {' and '.join(map(str, shapes))}; reshape one of them"
        ) from None
    return [np.broadcast_to(i, shape) if isinstance(i, np.ndarray) else i.broadcast_to(shape) for i in ids]
