"""Tables of features and labels from the user's own files, checked before anything is trained on them."""

from __future__ import annotations

import csv
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyres.errors import FileError

LABEL_NAMES = ("label", "y", "target", "class")


def load_table(path: str | os.PathLike[str]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Features x, float32 (n, features), and labels y, int64 (n,), from a .npz or .csv file.

    A .npz holds arrays `x` (n, ...), flattened to (n, features), and `y` (n,). A .csv holds one row per example;
    the label column is the one named label, y, target or class, else the last. A header is optional.
    Labels are the integers 0 to classes - 1. Raises FileError, which names the place, for everything else.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "two.csv"
    >>> _ = file.write_text("width,height,label\\n1,2,0\\n3,4,1\\n")
    >>> x, y = load_table(file)
    >>> x.tolist(), y.tolist()
    ([[1.0, 2.0], [3.0, 4.0]], [0, 1])
    """
    path = Path(path)
    readers = {".npz": _read_npz, ".csv": _read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise FileError(f"[load_table] the file must end in .npz or .csv; got {path.name}; save it as one of them")
    try:
        x, y = reader(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(f"[load_table] the file cannot be read: {path}: {reason}; check the path") from error
    return _check_features(x, path), _check_labels(y, len(x), path)


def _read_npz(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    wanted = "write it with np.savez(path, x=x, y=y)"
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise FileError(
                f"[load_table] the file must be a complete .npz; {path.name} is not one, or is cut off; {wanted}"
            )
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                if "x" in arrays and "y" in arrays:
                    return arrays["x"], arrays["y"]
                came = ", ".join(arrays.files) or "nothing"
        # What NumPy and zipfile raise for bytes that are not what they claim to be; RuntimeError if encrypted.
        except (zipfile.BadZipFile, zlib.error, EOFError, MemoryError, RuntimeError, ValueError) as error:
            raise FileError(
                f"[load_table] the file must be a sound .npz without Python objects; {path.name}: {error}; {wanted}"
            ) from error
    raise FileError(f"[load_table] a .npz must hold arrays x and y; {path.name} holds {came}; {wanted}")


def _read_csv(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            numbered = [(reader.line_num, row) for row in reader if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise FileError(
            f"[load_table] a .csv must be UTF-8 text with commas; {path.name}: {error}; export it again"
        ) from error
    header = _header(numbered[0][1]) if numbered else None
    rows = numbered[1:] if header else numbered
    if not rows:
        raise FileError(f"[load_table] the file needs rows of numbers; {path.name} has none; check what wrote it")
    names = header or [f"column {i + 1}" for i in range(len(rows[0][1]))]
    if len(names) < 2:
        raise FileError(
            f"[load_table] a row holds features and a label; the rows of {path.name} have one column; "
            "separate columns by commas"
        )
    for line, row in rows:
        if len(row) != len(names):
            raise FileError(
                f"[load_table] all rows must have the same columns; line {line} of {path.name} has {len(row)}, "
                f"expected {len(names)}; mend that line"
            )
    label = _label_column(names)
    features = [i for i in range(len(names)) if i != label]
    x = np.array([[_number(row[i], line, names[i], path) for i in features] for line, row in rows])
    y = np.array([row[label].strip() for _, row in rows])
    try:
        y = y.astype(np.float64)
    except ValueError:
        pass  # _check_labels words the error, as for strings out of a .npz
    return x, y


def _header(row: list[str]) -> list[str] | None:
    """The names in the first row, or None if it holds numbers: then it is the first example."""
    try:
        for cell in row:
            float(cell)
    except ValueError:
        return [cell.strip() for cell in row]
    return None


def _label_column(names: list[str]) -> int:
    lowered = [name.lower() for name in names]
    return next((lowered.index(name) for name in LABEL_NAMES if name in lowered), len(names) - 1)


def _number(cell: str, line: int, column: str, path: Path) -> float:
    try:
        return float(cell)
    except ValueError:
        raise FileError(
            f"[load_table] features must be numbers; line {line} of {path.name} has {cell!r} in {column}; "
            "encode or drop that column"
        ) from None


def _check_features(x: npt.NDArray[Any], path: Path) -> npt.NDArray[np.float32]:
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


def _check_labels(y: npt.NDArray[Any], rows: int, path: Path) -> npt.NDArray[np.int64]:
    remedy = "use classes, y = np.unique(y, return_inverse=True)"
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (rows,):
        raise FileError(
            f"[load_table] y must hold one label per row of x, shape ({rows},); y in {path.name} has shape {y.shape}; "
            "use y.argmax(axis=1) if it is one-hot"
        )
    if y.dtype.kind not in "biuf":
        raise FileError(
            f"[load_table] labels must be integers from 0; {path.name} has labels like {y[0].item()!r} ({y.dtype}); "
            + remedy
        )
    wrong = y[~((y >= 0) & (y < rows) & (y == np.floor(y)))] if y.dtype.kind == "f" else y[(y < 0) | (y >= rows)]
    if len(wrong):
        raise FileError(
            f"[load_table] labels must be the integers 0 to classes - 1; {path.name} has label {wrong[0]} in its "
            f"{rows} rows; {remedy}"
        )
    return y.astype(np.int64)
