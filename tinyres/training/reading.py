"""What `fit`, `evaluate` and `predict` are given, read and checked as a whole before anything runs.

Inputs and targets become C-contiguous NumPy arrays of the dtype that the model computes in. A check that can be made
on the data alone is made here, so that bad data changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres.backends.memory import check_fits
from tinyres.engine.accepting import refuse_masked
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, DTypeError, ShapeError
from tinyres.kernels.dtypes import INT64
from tinyres.nn.symbolic import agrees

UNIQUE_HINT = "number them with classes, y = np.unique(y, return_inverse=True)"


@dataclass(frozen=True)
class Port:
    """One input of a model: its name, its shape with None for the batch, the dtype it computes in."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype


def read_inputs(op: str, x: Any, ports: Sequence[Port]) -> list[np.ndarray]:
    """One array per input, checked against its shape; all with the same number of samples, at least one.

    x: one array; for several inputs a list of arrays in their order, or a dict by name.
    """
    arrays = [_read_input(op, array, port) for array, port in zip(_one_per_port(op, x, ports), ports)]
    counts = {port.name: len(array) for array, port in zip(arrays, ports)}
    if len(set(counts.values())) > 1:
        raise ShapeError(
            f"[{op}] all inputs must have the same number of samples; got {counts}; cut them to one length"
        )
    if not arrays[0].shape[0]:
        raise ShapeError(f"[{op}] there must be at least one sample; got x of shape {arrays[0].shape}; give it data")
    return arrays


def _one_per_port(op: str, x: Any, ports: Sequence[Port]) -> list[Any]:
    if isinstance(x, Mapping):
        names = [port.name for port in ports]
        if set(x) != set(names):
            raise ArgumentError(f"[{op}] a dict of inputs has the keys {names}; got {sorted(map(str, x))}; rename them")
        return [x[name] for name in names]
    if len(ports) == 1:
        return [x]
    if not isinstance(x, (list, tuple)) or len(x) != len(ports):
        got = f"{len(x)} of them" if isinstance(x, (list, tuple)) else type(x).__name__
        raise ArgumentError(
            f"[{op}] this model takes a list of {len(ports)} arrays, one per input: {[p.name for p in ports]}; "
            f"got {got}; give them in this order"
        )
    return list(x)


def _read_input(op: str, x: Any, port: Port) -> np.ndarray:
    array = read_numbers(op, "x", x, "encode them as numbers first")
    rest = port.shape[1:]
    if not agrees((None, *rest), array.shape):
        wanted = f"(samples, {', '.join(map(str, rest))})" if rest else "(samples,)"
        hint = _shape_hint(array.shape, rest)
        raise ShapeError(f"[{op}] {port.name} takes x of shape {wanted}; got {array.shape}; {hint}")
    needed = array.size * port.dtype.itemsize
    if array.dtype != port.dtype or not array.flags.c_contiguous:
        check_fits(op, needed, f"x as one array of {port.dtype}", "give a tinyres.data.Loader, or fewer samples")
    if port.dtype is INT64 and array.dtype.kind == "f":
        if not np.all((np.abs(array) < 2.0**53) & (array == np.floor(array))):
            raise DTypeError(f"[{op}] {port.name} takes whole numbers; got {array.dtype} with others; round x first")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and the loss says so
        return np.ascontiguousarray(array, port.dtype)


def _shape_hint(got: tuple[int, ...], rest: tuple[int | None, ...]) -> str:
    """What to do with x of this shape for samples of shape `rest`."""
    if got == rest:
        return "a single sample is x[None]"
    sample = got[1:]
    if len(sample) == len(rest) == 1:
        return f"this model was built for {rest[0]} features"
    if len(rest) < 3:
        return "give one row per sample"
    if agrees(rest, (*sample, 1)):
        return "give the channel an axis, x[..., None]"
    if len(sample) == len(rest) == 3:
        upside = (sample[1], sample[2], sample[0])
        if agrees(rest, upside):
            return "channels stand last, x.transpose(0, 2, 3, 1)"
        return f"this model was built for images of {' x '.join(map(str, rest))}; resize them, or build it for these"
    if None not in rest and math.prod(sample) == math.prod(n for n in rest if n is not None):
        return f"use x.reshape(-1, {', '.join(map(str, rest))})"
    return "give one image per sample"


def read_numbers(op: str, what: str, value: Any, string_hint: str) -> np.ndarray:
    """The value as an array of real numbers with at least one axis, or the error that says what it is instead."""
    if value is None:
        raise ArgumentError(f"[{op}] {what} is needed; got None; give an array")
    if isinstance(value, Tensor):
        array = value.numpy()
    else:
        if hasattr(value, "columns") and hasattr(value, "dtypes"):
            value = _numbers_of_frame(op, what, value)
        refuse_masked(op, value)
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, OverflowError):
            raise ShapeError(
                f"[{op}] {what} must be one array; got a ragged or unreadable {type(value).__name__}; "
                "make all rows the same length"
            ) from None
    if array.dtype.kind in "USO" and array.size and all(isinstance(v, str) for v in array.flat[:1]):
        raise DTypeError(f"[{op}] {what} must be numbers; got strings ({str(array.flat[0])!r}, ...); {string_hint}")
    if array.dtype.kind not in "fiub":
        raise DTypeError(
            f"[{op}] {what} must be real numbers; got {array.dtype} of shape {array.shape}; convert it first"
        )
    if array.ndim == 0:
        raise ShapeError(
            f"[{op}] {what} needs an axis for the samples; got the single number {array.item()}; give a list"
        )
    return array


def _numbers_of_frame(op: str, what: str, frame: Any) -> np.ndarray:
    """A DataFrame of pandas or polars as an array; columns of several kinds of numbers become float64."""
    kinds = {str(name): _kind_of(dtype) for name, dtype in zip(frame.columns, frame.dtypes)}
    wrong = [name for name, kind in kinds.items() if kind not in "fiub"]
    if wrong:
        raise DTypeError(
            f"[{op}] {what} must be numbers; got a DataFrame with other column(s), {', '.join(map(repr, wrong[:5]))}; "
            "encode them with pd.get_dummies(df), or drop them"
        )
    if hasattr(frame, "get_columns"):  # polars: what is missing is NaN in a column of floats
        columns = [np.asarray(column) for column in frame.get_columns()]
        return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))
    plain = len(set(kinds.values())) == 1 and all(isinstance(dtype, np.dtype) for dtype in frame.dtypes)
    return frame.to_numpy() if plain else frame.to_numpy(dtype=np.float64, na_value=np.nan)


def _kind_of(dtype: Any) -> str:
    """NumPy's letter for a dtype of NumPy, pandas or polars; "O" for what are no numbers."""
    if hasattr(dtype, "kind"):
        return str(dtype.kind)
    numeric = getattr(dtype, "is_numeric", lambda: False)()
    return "f" if numeric and not dtype.is_decimal() else "b" if str(dtype) == "Boolean" else "O"


def read_targets(
    op: str,
    y: Any,
    count: int,
    kind: str,
    output: tuple[int | None, ...],
    dtype: np.dtype,
    what: str = "y",
    ignored: int | None = None,
) -> np.ndarray:
    """The targets as the loss reads them: one per sample of x, finite, in range.

    what: how an error calls them. kind: "labels" (integers below output[-1]), "probabilities" (between 0 and 1, shaped
    like the output), "values" (finite numbers, shaped like the output), or "any" (a loss function of the user's own:
    integers stay integers). ignored: a label that may stand beside those in range.
    """
    array = read_numbers(op, what, y, UNIQUE_HINT)
    if len(array) != count:
        raise ShapeError(
            f"[{op}] x and {what} must have the same number of samples; got {count} and {len(array)}; cut one"
        )
    if kind == "labels":
        return _read_labels(op, array, output, what, ignored)
    if kind == "any":
        integer = array.dtype.kind in "iub"
        return np.ascontiguousarray(array, INT64 if integer else dtype)
    if array.ndim == 1 and output[1:] == (1,):
        array = array.reshape(-1, 1)  # as Keras takes them
    if not agrees((None, *output[1:]), array.shape):
        raise ShapeError(_shape_rule(op, array, kind, output, what))
    if array.dtype.kind == "f":
        _refuse_non_finite(op, array, what)
    if kind == "probabilities" and array.size and (array.min() < 0 or array.max() > 1):
        raise ArgumentError(
            f"[{op}] targets of a cross-entropy lie between 0 and 1; got {array.min():g} to {array.max():g}; "
            "scale or one-hot encode y"
        )
    return np.ascontiguousarray(array, dtype)


def _shape_rule(op: str, y: np.ndarray, kind: str, output: tuple[int | None, ...], what: str) -> str:
    per_sample = "x".join(map(str, output[1:])) or "one number"
    if y.size == len(y) * _size(output):
        hint = f"use y.reshape({', '.join(map(str, (-1, *output[1:])))})"
    elif y.dtype.kind in "iu" and y.size == len(y):
        hint = 'for integer labels use loss="sparse_categorical_crossentropy"'
    else:
        hint = "give one target per output of the model"
    return (
        f"[{op}] {what} must have the shape of the output, {per_sample} per sample; "
        f"got {what} of shape {y.shape}; {hint}"
    )


def _size(output: tuple[int | None, ...]) -> int:
    return int(np.prod([size for size in output[1:] if size is not None], dtype=np.int64))


def _read_labels(op: str, y: np.ndarray, output: tuple[int | None, ...], what: str, ignored: int | None) -> np.ndarray:
    classes, shape = output[-1], output[1:-1]
    if classes is None:
        raise ShapeError(
            f"[{op}] labels need a known number of classes; the output has shape {output}; end in a layer that has it, "
            "such as layers.Dense"
        )
    if agrees((None, *shape, 1), y.shape):
        y = y.reshape(y.shape[:-1])
    if not agrees((None, *shape), y.shape):
        hint = "give one integer per sample"
        if y.shape[1:] == output[1:]:
            hint = 'for one-hot targets use loss="categorical_crossentropy", or y.argmax(axis=-1)'
        elif shape and y.ndim == 1:
            hint = "for one answer per sample put layers.Flatten() before the end of the model"
        wanted = f"(samples,{''.join(f' {size},' for size in shape)})"
        raise ShapeError(f"[{op}] labels have the shape {wanted}; got {what} of shape {y.shape}; {hint}")
    if y.dtype.kind == "f":
        _refuse_non_finite(op, y, what)
        fractional = y != np.floor(y)
        if fractional.any():
            raise DTypeError(
                f'[{op}] labels are whole numbers; got {y[fractional][0]:g}; for a regression use loss="mse"'
            )
    counted = y if ignored is None else y[y != ignored]
    if counted.size and (counted.min() < 0 or counted.max() >= classes):
        raise ArgumentError(
            f"[{op}] labels lie in 0..{classes - 1}, one for each output of the model; "
            f"got {counted.min():g} to {counted.max():g}; {UNIQUE_HINT}"
        )
    return np.ascontiguousarray(y, INT64)


def _refuse_non_finite(op: str, y: np.ndarray, what: str) -> None:
    bad = non_finite(y)
    if bad:
        raise ArgumentError(f"[{op}] {what} must be finite; got {bad}; drop or fill these samples")


def non_finite(y: np.ndarray) -> str:
    """How many values are NaN or infinite, and which is the first; "" if there are none."""
    bad = ~np.isfinite(y)
    if not bad.any():
        return ""
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    where = first[0] if len(first) == 1 else first
    return f"{int(bad.sum())} NaN or infinite value(s), the first is {y[first]} at {where}"


def non_finite_inputs(inputs: Sequence[np.ndarray]) -> str:
    """The end of an error about a loss that is not finite: what of x was not finite in the first place."""
    found = [non_finite(x) for x in inputs]
    what = [f"x{f'[{i}]' if len(found) > 1 else ''} has {text}" for i, text in enumerate(found) if text]
    return f"; {', '.join(what)}; drop or fill these samples" if what else ""


def per_name(op: str, what: str, value: Any, names: Sequence[str]) -> list[Any]:
    """What was given for each output: in a dict by name, in a list in their order, or, for one output, as it is."""
    if isinstance(value, Mapping):
        unknown = sorted(str(key) for key in value if key not in names)
        if unknown:
            raise ArgumentError(
                f"[{op}] a dict for {what} has names of outputs, {list(names)}; got {unknown[0]!r}; rename it"
            )
        return [value.get(name) for name in names]
    if len(names) == 1:
        return [value]
    if not isinstance(value, (list, tuple)) or len(value) != len(names):
        got = f"{len(value)} of them" if isinstance(value, (list, tuple)) else type(value).__name__
        raise ArgumentError(
            f"[{op}] this model takes a list of {len(names)} for {what}, one per output: {list(names)}; got {got}; "
            "give them in this order, or a dict by name"
        )
    return list(value)


def read_weights(
    op: str, weight: Any, count: int, outputs: Sequence[tuple[int | None, ...]], names: Sequence[str], dtype: np.dtype
) -> list[np.ndarray | None] | None:
    """One weight per sample (or per row of a sample) for each output; None where all count alike.

    weight: an array (samples,), for all outputs; or a list or dict of arrays, one per output.
    """
    if weight is None:
        return None
    several = isinstance(weight, Mapping) or (
        len(names) > 1 and isinstance(weight, (list, tuple)) and any(w is None or np.ndim(w) for w in weight)
    )
    given = per_name(op, "sample_weight", weight, names) if several else [weight] * len(names)
    found: list[np.ndarray | None] = []
    for each, shape in zip(given, outputs):
        if each is None:
            found.append(None)
            continue
        array = read_numbers(op, "sample_weight", each, "give one number per sample")
        if array.shape == (count, 1):
            array = array.reshape(count)
        rows = (count, *shape[1:-1])  # of a sequence each step may have its own
        if array.shape != rows[: array.ndim]:
            raise ShapeError(
                f"[{op}] sample_weight is one number per sample, ({count},); got shape {array.shape}; give one each"
            )
        if not np.isfinite(array).all():
            raise ArgumentError(f"[{op}] sample_weight must be finite; got NaN or infinite values; use 0 to leave out")
        found.append(np.ascontiguousarray(array, dtype))
    return None if all(array is None for array in found) else found


def read_class_weight(op: str, class_weight: Any, outputs: int) -> dict[int, float] | None:
    """The weight of each class by its number, checked."""
    if class_weight is None:
        return None
    if outputs > 1:
        raise ArgumentError(
            f"[{op}] class_weight is for models with one output; this one has {outputs}; give a sample_weight for each"
        )
    if not isinstance(class_weight, Mapping):
        raise ArgumentError(
            f"[{op}] class_weight is a dict of class: weight; got {type(class_weight).__name__}; write {{0: 1, 1: 2}}"
        )
    for label, weight in class_weight.items():
        whole = isinstance(label, (int, np.integer)) and not isinstance(label, bool) and label >= 0
        number = isinstance(weight, (int, float, np.number)) and not isinstance(weight, bool)
        if not whole or not number or not np.isfinite(weight):
            raise ArgumentError(
                f"[{op}] class_weight is a dict of class: weight, an integer from 0 and a finite number; "
                f"got {label!r}: {weight!r}; mend it"
            )
    return {int(label): float(weight) for label, weight in class_weight.items()}


def weights_of_classes(
    op: str, class_weight: Mapping[int, float], target: np.ndarray, kind: str, classes: int | None
) -> np.ndarray:
    """The weight of each sample by its class; 1 for a class without. One-hot targets are of the class of their 1."""
    if target.ndim > 1 and kind != "labels":
        target = target.argmax(axis=-1) if target.shape[-1] > 1 else target[..., 0]
    if target.ndim != 1:
        raise ShapeError(
            f"[{op}] class_weight needs one class per sample; got targets of shape {target.shape}; give a sample_weight"
        )
    known = max(classes or 0, 2)
    beyond = [label for label in class_weight if label >= known]
    if beyond:
        raise ArgumentError(
            f"[{op}] class_weight has classes 0..{known - 1}, those of the model; got {beyond[0]}; drop it"
        )
    table = np.array([class_weight.get(label, 1.0) for label in range(known)])
    return table[np.clip(np.rint(target).astype(np.int64), 0, known - 1)]


def read_count(op: str, what: str, value: Any, least: int) -> int:
    """An integer argument that is at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"[{op}] {what} is an integer >= {least}; got {value!r}; choose another")
    return int(value)


def refuse_targets(op: str, x: Any, y: Any, weight: Any) -> None:
    """Refuse targets and weights beside what yields them itself."""
    if y is not None or weight is not None:
        what = "y" if y is not None else "sample_weight"
        raise ArgumentError(
            f"[{op}] a {type(x).__name__} yields (x, y) or (x, y, sample_weight) itself; got {what} too; leave it out"
        )


def read_steps(op: str, value: Any) -> int | None:
    """How many batches to take; None for all."""
    return None if value is None else read_count(op, "a number of steps", value, 1)
