"""Tables of features and labels from the user's own files, checked before anything is trained on them."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyres.data.delimited import LABEL_NAMES, TextTable, is_missing, read_text
from tinyres.errors import FileError
from tinyres.store.archive import read_arrays
from tinyres.store.opening import opened

INDEX_NAMES = ("", "unnamed: 0", "index")
TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
_FEW_EACH = 5  # examples per class, of many classes, below which numbers rather measure something
_MANY = 20  # labels of so many rows and more can be told from numbers that merely count or measure


@dataclass(frozen=True)
class Table:
    """Examples with what their file says of them.

    x: features, float32 (n, features). y: labels, int64 (n,), or targets, float32 (n, 1). features, label: names of
    the columns. classes: per label what stood in the file; None for targets. notes: what was done to the file's values,
    in words.

    >>> Table(np.zeros((2, 1), np.float32), np.array([0, 1]), ("width",), "kind", ("cat", "dog"), ()).classes
    ('cat', 'dog')
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[Any]
    features: tuple[str, ...]
    label: str
    classes: tuple[str, ...] | None
    notes: tuple[str, ...]


def load_table(path: str | os.PathLike[str]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Features x, float32 (n, features), and labels y, int64 (n,), from a .npz or text file: `read_table` in short.

    Raises FileError, which names the place, for what cannot be read so.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "two.csv"
    >>> _ = file.write_text("width,height,label\\n1,2,0\\n3,4,1\\n")
    >>> x, y = load_table(file)
    >>> x.tolist(), y.tolist()
    ([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    """
    table = read_table(path)
    return table.x, table.y


def read_table(path: str | os.PathLike[str], label: str | None = None, regression: bool = False) -> Table:
    """Read a table with what its file says of it.

    A .npz holds arrays `x` (n, ...), flattened to (n, features), and `y` (n,). Text (.csv, .tsv, .txt) holds one row
    per example, separated by commas, semicolons, tabs or bars; decimal commas, quotes, a byte order mark and lines that
    begin with # are understood, and a header is told from a first example.
    label: the column of labels, by name or as "column 3"; default: the one named label, y, target or class, else the
    last. Labels are words or whole numbers; unless they are 0 to classes - 1 already they are numbered in order.
    regression: the label column holds numbers to predict. Raises FileError, which names column and line, for missing
    values, words among the features, and labels that rather count or measure.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "iris.csv"
    >>> _ = file.write_text("1,5;3,0;setosa\\n4,7;3,2;versicolor\\n")
    >>> table = read_table(file)
    >>> table.x.tolist(), table.y.tolist(), table.classes
    ([[1.5, 3.0], [4.699999809265137, 3.200000047683716]], [0, 1], ('setosa', 'versicolor'))
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".npz", *TEXT_SUFFIXES):
        raise FileError(
            f"[load_table] the file must end in .npz, .csv, .tsv or .txt; got {path.name}; save it as one of them"
        )
    parts = _from_npz(path, label) if suffix == ".npz" else _from_text(read_text(path), label, path)
    x = _checked_features(parts.x, path)
    if regression:
        return Table(x, _targets(parts, len(x), path), parts.features, parts.label, None, parts.notes)
    y, classes, notes = _labels(parts, len(x), path)
    return Table(x, y, parts.features, parts.label, classes, (*parts.notes, *notes))


@dataclass(frozen=True)
class _Parts:
    """A table as it stands in its file."""

    x: npt.NDArray[Any]
    y: npt.NDArray[Any]
    features: tuple[str, ...]
    label: str
    notes: tuple[str, ...] = ()


def _from_npz(path: Path, label: str | None) -> _Parts:
    wanted = "write it with np.savez(path, x=x, y=y)"
    if label is not None:
        raise FileError(f"[load_table] a .npz has its labels in y; got the label column {label!r}; leave it out")
    with opened("load_table", path, "a table") as file:
        if not zipfile.is_zipfile(file):
            raise FileError(
                f"[load_table] the file must be a complete .npz; {path.name} is not one, or is cut off; {wanted}"
            )
        file.seek(0)
        try:
            arrays = read_arrays(file)
        except Exception as error:  # NumPy and zipfile raise nearly anything for bytes that are not what they claim
            raise FileError(
                f"[load_table] the file must be a sound .npz without Python objects; {path.name}: {error}; {wanted}"
            ) from error
    if "x" in arrays and "y" in arrays:
        x = arrays["x"]
        names = [f"column {i + 1}" for i in range(x[:1].size)] if x.ndim > 1 else []
        return _Parts(x, arrays["y"], tuple(names), "y")
    came = ", ".join(arrays) or "nothing"
    raise FileError(f"[load_table] a .npz must hold arrays x and y; {path.name} holds {came}; {wanted}")


def _from_text(table: TextTable, label: str | None, path: Path) -> _Parts:
    at = _label_column(table, label, path)
    index = _index_column(table, at)
    features = [i for i in range(len(table.names)) if i not in (at, index)]
    if not features:
        raise FileError(f"[load_table] a row holds features and a label; {path.name} has no features; add a column")
    notes = []
    if index is not None:
        notes.append(f"column {index + 1} ({table.names[index] or 'unnamed'}) counts the rows: left out as an index")
    columns = [_numbers(table, i, path) for i in features]
    for i, column in zip(features, columns):
        steps = np.diff(column)
        if len(column) >= _MANY and bool(np.all((steps >= 1) & (steps % 1 == 0))) and np.median(steps) == 1:
            gaps = ", with gaps," if steps.max() > 1 else ""  # as where rows were dropped after it was written
            notes.append(
                f"column {i + 1} ({table.names[i]}) counts the rows{gaps} and is taken for a feature: "
                "drop it if it is an ID"
            )
    labels = [row[at] for row in table.rows]
    empty = [line for line, cell in zip(table.lines, labels) if is_missing(cell)]
    if empty:
        raise FileError(
            f"[load_table] every row needs a label; column {table.names[at]!r} of {path.name} has none in "
            f"{_places(empty)}; fill or drop {'that row' if len(empty) == 1 else 'those rows'}"
        )
    numbers = [table.number(cell) for cell in labels]
    y = np.array(labels) if None in numbers else np.array(numbers, np.float64)
    return _Parts(np.array(columns).T, y, tuple(table.names[i] for i in features), table.names[at], tuple(notes))


def _label_column(table: TextTable, label: str | None, path: Path) -> int:
    if label is not None:
        names = [*table.names, *(f"column {i + 1}" for i in range(len(table.names)))]
        if label not in names:
            raise FileError(
                f"[load_table] the label must be a column of the file; {path.name} has {', '.join(table.names)}; "
                f"got {label!r}; choose one of them"
            )
        return names.index(label) % len(table.names)
    lowered = [name.lower() for name in table.names]
    return next((lowered.index(name) for name in LABEL_NAMES if name in lowered), len(table.names) - 1)


def _index_column(table: TextTable, label: int) -> int | None:
    """A column that only counts the rows, as pandas writes it, under no name or one of its own."""
    if not table.has_header or label == 0 or table.names[0].lower() not in INDEX_NAMES or len(table.rows) < 2:
        return None
    numbers = [table.number(row[0]) for row in table.rows]
    counts = any(numbers == list(map(float, range(start, start + len(numbers)))) for start in (0, 1))
    return 0 if counts else None


def _numbers(table: TextTable, column: int, path: Path) -> list[float]:
    """One column of features."""
    name = table.names[column]
    cells = [row[column] for row in table.rows]
    numbers = [table.number(cell) for cell in cells]
    missing = [line for line, cell in zip(table.lines, cells) if is_missing(cell)]
    words = [i for i, cell in enumerate(cells) if numbers[i] is None and not is_missing(cell)]
    if words:
        kinds = sorted({cells[i] for i in words})
        shown = ", ".join(map(repr, kinds[:3])) + (", ..." if len(kinds) > 3 else "")
        raise FileError(
            f"[load_table] features must be numbers; column {name!r} of {path.name} has {shown} in "
            f"{_places([table.lines[i] for i in words])}; encode it (pd.get_dummies makes a column per category) or "
            "drop it"
        )
    if missing:
        raise FileError(
            f"[load_table] features must not be missing; column {name!r} of {path.name} has no value in "
            f"{_places(missing)}; fill it (with the column's median, say) or drop "
            f"{'that row' if len(missing) == 1 else 'those rows'}"
        )
    return [number for number in numbers if number is not None]


def _places(lines: list[int]) -> str:
    return f"line {lines[0]}" if len(lines) == 1 else f"{len(lines)} lines, the first of them {lines[0]}"


def _checked_features(x: npt.NDArray[Any], path: Path) -> npt.NDArray[np.float32]:
    if x.dtype.kind not in "biuf":
        raise FileError(f"[load_table] x must hold numbers; x in {path.name} is {x.dtype}; encode it as floats")
    if x.ndim < 2 or x.size == 0:
        raise FileError(
            f"[load_table] x must have shape (n, features) with n and features at least 1; x in {path.name} has "
            f"shape {x.shape}; use x.reshape(len(x), -1)"
        )
    with np.errstate(over="ignore"):
        table = np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.float32)
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        row, column = bad[0].tolist()
        raise FileError(
            f"[load_table] features must be finite in float32; {path.name} has {table[row, column]} in row {row}, "
            f"column {column} (from 0), and {len(bad)} such value(s) in all; fill or drop those rows"
        )
    return table


def _one_per_row(parts: _Parts, rows: int, path: Path) -> npt.NDArray[Any]:
    y = parts.y[:, 0] if parts.y.ndim == 2 and parts.y.shape[1] == 1 else parts.y
    if y.shape != (rows,):
        raise FileError(
            f"[load_table] y must hold one label per row of x, shape ({rows},); y in {path.name} has shape {y.shape}; "
            "use y.argmax(axis=1) if it is one-hot"
        )
    return y


def _targets(parts: _Parts, rows: int, path: Path) -> npt.NDArray[np.float32]:
    y = _one_per_row(parts, rows, path)
    with np.errstate(over="ignore"):
        fits = y.dtype.kind in "biuf" and bool(np.isfinite(y.astype(np.float32)).all())
    if not fits:
        raise FileError(
            f"[load_table] targets of a regression must be finite numbers; column {parts.label!r} of {path.name} has "
            f"values like {y[0].item()!r}; choose another label column, or leave regression out"
        )
    return y.astype(np.float32).reshape(-1, 1)


def _labels(parts: _Parts, rows: int, path: Path) -> tuple[npt.NDArray[np.int64], tuple[str, ...], list[str]]:
    """Labels as 0 to classes - 1, what they stood for, and what to say of it."""
    y = _one_per_row(parts, rows, path)
    where = f"column {parts.label!r} of {path.name}"
    words = y.dtype.kind in "US"
    if not words and (y.dtype.kind not in "biuf" or not np.isfinite(y).all() or (y != np.floor(y)).any()):
        wrong = next((v for v in y.tolist() if not isinstance(v, (int, float)) or v != v or v % 1), y[0])
        raise FileError(
            f"[load_table] labels are classes: words or whole numbers; {where} has {wrong!r}; "
            "if it is a number to predict, ask for a regression (--regression), else choose another label column"
        )
    values, numbered = np.unique(y, return_inverse=True)
    if rows >= _MANY and len(values) > rows / 2:
        raise FileError(
            f"[load_table] labels are classes, each with several examples; {where} has {len(values)} different values "
            f"in {rows} rows: it rather counts the rows or measures something; choose another label column (--label), "
            "or ask for a regression (--regression)"
        )
    classes = tuple(str(v) if words else str(int(v)) for v in values)
    if not words and values[0] == 0 and values[-1] < max(rows, 2):  # numbered already; a class may have no example
        count = int(values[-1]) + 1
        return y.astype(np.int64), tuple(map(str, range(count))), _sparse(rows, len(values), count)
    shown = ", ".join(f"{name} -> {i}" for i, name in enumerate(classes[:5])) + (", ..." if len(classes) > 5 else "")
    sparse = [] if words else _sparse(rows, len(values), len(values))
    return numbered.astype(np.int64).reshape(-1), classes, [f"labels were numbered: {shown}", *sparse]


def _sparse(rows: int, present: int, classes: int) -> list[str]:
    """What to say of many whole numbers that may be no classes: some have no example, or each has few."""
    told = []
    if present < classes >= _MANY:
        told.append(f"{classes - present} of the {classes} classes have no example")
    if present >= _MANY and rows < _FEW_EACH * present:
        told.append(
            f"{rows / present:.1f} examples per class: if the label is a number to predict, ask for --regression"
        )
    return told
