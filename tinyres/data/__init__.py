"""Data to train on: the bundled handwritten digits, and tables from the user's own files."""

from tinyres.data.digits import load_digits
from tinyres.data.table import Table, load_table, read_table

__all__ = ["Table", "load_digits", "load_table", "read_table"]
