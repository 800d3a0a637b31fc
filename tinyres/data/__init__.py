"""Data to train on: the bundled handwritten digits, tables from the user's own files, and batches of large arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tinyres.data.digits import load_digits
from tinyres.data.loader import Loader
from tinyres.data.table import Table, load_table, read_table
from tinyres.errors import refuse_name

__all__ = ["Loader", "Table", "load_digits", "load_table", "read_table"]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        remedies = {
            "AUTOTUNE": "leave it out",
            "DataLoader": "use tinyres.data.Loader(x, y, batch_size=32)",
            "Dataset": "use tinyres.data.Loader(x, y, batch_size=32), or give arrays to fit",
        }
        refuse_name(__name__, name, __all__, remedies)
