"""Data to train on: the bundled handwritten digits, tables from the user's own files, and batches of large arrays."""

from tinyres.data.digits import load_digits
from tinyres.data.loader import Loader
from tinyres.data.table import Table, load_table, read_table

__all__ = ["Loader", "Table", "load_digits", "load_table", "read_table"]


def __dir__() -> list[str]:
    return sorted(__all__)
