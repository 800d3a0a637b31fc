"""Data to train on: the bundled digits and clothes, tables from the user's own files, and batches of large arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.data.digits import load_digits
from tinyres.data.fashion import FASHION_CLASSES, load_fashion
from tinyres.data.loader import Loader
from tinyres.data.table import Table, load_table, read_table
from tinyres.errors import closed

__all__ = ["FASHION_CLASSES", "Loader", "Table", "load_digits", "load_fashion", "load_table", "read_table"]

_INSTEAD = {
    "AUTOTUNE": "leave it out",
    "DataLoader": "use tinyres.data.Loader(x, y, batch_size=32)",
    "Dataset": "use tinyres.data.Loader(x, y, batch_size=32), or give arrays to fit",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
