"""Records as DataFrames of pandas and polars, which load when one is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyres.errors import need_extra

Rows = Sequence[Mapping[str, Any]]


def pandas_of(rows: Rows, index: str | None = None) -> Any:
    """A pandas.DataFrame with a row for each dict. index: the column that becomes the index."""
    with need_extra("to_pandas", "it gives a DataFrame of pandas", "frames"):
        import pandas
    frame = pandas.DataFrame(list(rows), columns=None if rows or index is None else [index])
    return frame if index is None else frame.set_index(index)


def polars_of(rows: Rows) -> Any:
    """A polars.DataFrame with a row for each dict; tuples become lists."""
    with need_extra("to_polars", "it gives a DataFrame of polars", "frames"):
        import polars
    plain = [{key: list(v) if isinstance(v, tuple) else v for key, v in row.items()} for row in rows]
    return polars.DataFrame(plain, infer_schema_length=None)
