"""Tables as text, as people have them: what separates the columns, whether there is a header, how numbers are written.

Splitting lines and quotes is the standard library's part (`csv`); here it is found out what a file does not say.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyres.errors import FileError
from tinyres.store.opening import opened

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?", "-"))  # in lower case, as in tables from elsewhere
LABEL_NAMES = ("label", "y", "target", "class")  # in the order in which they are looked for
_LOOKED_AT = 100  # rows from which separator and header are told


@dataclass(frozen=True, slots=True)
class TextTable:
    """The cells of a file, stripped: `rows` of as many as there are `names`, and the line each begins in.

    names: the header, or "column 1", ... where there is none (`has_header` tells). decimal_comma: numbers may be
    written as 1,5.
    """

    names: list[str]
    rows: list[list[str]]
    lines: list[int]
    has_header: bool
    decimal_comma: bool

    def number(self, cell: str) -> float | None:
        """The number that a cell holds; None if it is none."""
        return as_number(cell, self.decimal_comma)


def read_text(path: Path) -> TextTable:
    """Read a delimited text file. Raises FileError, which names the line, where rows or headers do not fit."""
    text = _decoded(path)
    separator = _separator(text)
    rows, comma = _rows(text, separator, path), separator != ","
    if not rows:
        raise FileError(f"[load_table] the file needs rows of numbers; {path.name} has none; check what wrote it")
    header = _is_header([cells for _, cells in rows[: _LOOKED_AT + 1]], comma)
    names = rows[0][1] if header else [f"column {i + 1}" for i in range(len(rows[0][1]))]
    body = rows[1:] if header else rows
    if not body:
        raise FileError(f"[load_table] the file needs rows of numbers; {path.name} has none; check what wrote it")
    if len(names) < 2:
        raise FileError(
            f"[load_table] a row holds features and a label; the rows of {path.name} have one column; "
            f"separate columns by {', '.join(list(SEPARATORS.values())[:-1])} or {list(SEPARATORS.values())[-1]}"
        )
    for line, cells in body:
        if len(cells) != len(names):
            raise FileError(
                f"[load_table] all rows must have the same columns; line {line} of {path.name} has {len(cells)}, "
                f"expected {len(names)}; mend that line"
            )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileError(
            f"[load_table] columns must have different names; {path.name} has {', '.join(map(repr, twice))} more than "
            "once; rename them"
        )
    if comma:
        _refuse_two_ways([cell for _, cells in body for cell in cells], path)
    return TextTable(names, [cells for _, cells in body], [line for line, _ in body], header, comma)


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.lower() in MISSING


def as_number(cell: str, decimal_comma: bool = False) -> float | None:
    """The number that a cell holds; None if it is none."""
    if decimal_comma and "." not in cell:
        cell = cell.replace(",", ".", 1)
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _refuse_two_ways(cells: Sequence[str], path: Path) -> None:
    """Where a comma may be a decimal one, a point must not be one too: 1,234 would be read as 1.234."""
    point = next((c for c in cells if "." in c and as_number(c) is not None), None)
    comma = next((c for c in cells if "," in c and as_number(c, True) is not None), None)
    if point is not None and comma is not None:
        raise FileError(
            f"[load_table] numbers are written with a decimal point or a decimal comma; {path.name} has {point} and "
            f"{comma}; write all of them in one way"
        )


def _decoded(path: Path) -> str:
    with opened("load_table", path, "a table") as file:
        raw = file.read()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileError(
            f"[load_table] a .csv must be UTF-8 text; {path.name}: {error}; export it again as UTF-8"
        ) from error


def _rows(text: str, separator: str, path: Path) -> list[tuple[int, list[str]]]:
    """(line, cells) of every row; empty lines, and lines that begin with #, are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    rows = []
    try:
        line = 1
        for cells in reader:
            if cells and not cells[0].startswith("#") and any(cells):
                rows.append((line, [cell.strip() for cell in cells]))
            line = reader.line_num + 1
        if text.count('"') % 2 and rows and "\n" in rows[-1][1][-1]:
            raise csv.Error(f"the quote that opens in line {rows[-1][0]} does not close")
    except csv.Error as error:
        raise FileError(f"[load_table] a .csv must be text; {path.name}: {error}; export it again") from error
    return rows


def _separator(text: str) -> str:
    """The separator that cuts most rows alike and leaves most numbers; a comma if none does."""

    def quality(separator: str) -> tuple[float, float, int]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
        rows: list[list[str]] = []
        try:
            for cells in reader:
                if any(cells) and not cells[0].startswith("#"):
                    rows.append(cells)
                if len(rows) == _LOOKED_AT:
                    break
        except csv.Error:
            return 0, 0, 0
        widths = [len(cells) for cells in rows]
        if not rows or max(widths) < 2:
            return 0, 0, 0
        usual = max(set(widths), key=widths.count)
        cells = [cell.strip() for row in rows for cell in row]
        numbers = sum(as_number(cell, separator != ",") is not None or is_missing(cell) for cell in cells)
        return widths.count(usual) / len(rows) if usual > 1 else 0, numbers / len(cells), usual

    return max(SEPARATORS, key=lambda separator: (quality(separator), separator == ","))


def _is_header(rows: Sequence[list[str]], comma: bool) -> bool:
    """Whether the first row names the columns.

    It does if it holds words above a column of numbers, counts the columns (0, 1, 2, ... or 1, 2, 3, ...), perhaps but
    for one that is called as a label is, or holds words only that do not come again below. A missing value, or a label
    in words above other labels, is none.
    """
    first, below = rows[0], [row for row in rows[1:] if len(row) == len(rows[0])]
    numbers = [as_number(cell, comma) for cell in first]
    if None not in numbers:
        return len(first) > 2 and numbers in _counted(len(first))
    called = [i for i, cell in enumerate(first) if cell.lower() in LABEL_NAMES]
    counts = [n for n in numbers if n is not None]
    if len(called) == 1 and len(counts) == len(first) - 1 and counts in _counted(len(counts)):
        return all(row[called[0]] != first[called[0]] for row in below)
    words = [i for i, cell in enumerate(first) if numbers[i] is None and not is_missing(cell)]
    for i in words:
        cells = [row[i] for row in below if not is_missing(row[i])]
        if cells and sum(as_number(cell, comma) is not None for cell in cells) > len(cells) / 2:
            return True
    only_words = len(words) == sum(not is_missing(cell) or cell == "" for cell in first)
    return bool(words) and only_words and not any(first[i] == row[i] for i in words for row in below)


def _counted(count: int) -> list[list[float]]:
    return [[float(n) for n in range(start, start + count)] for start in (0, 1)]
