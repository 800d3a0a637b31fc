"""Data to train on: the bundled handwritten digits, and tables from the user's own files."""

from tinyres.data.digits import load_digits
from tinyres.data.table import load_table

__all__ = ["load_digits", "load_table"]
