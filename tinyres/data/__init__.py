"""Data to train on: bundled digits, clothes and plays, the user's own tables, images and texts, published formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.data.cifar import CIFAR10_CLASSES, load_cifar10
from tinyres.data.digits import load_digits
from tinyres.data.fashion import FASHION_CLASSES, load_fashion
from tinyres.data.idx import load_mnist, read_idx
from tinyres.data.images import Images, load_images
from tinyres.data.loader import Loader
from tinyres.data.regions import SEGMENTATION_CLASSES, make_segmentation
from tinyres.data.table import Table, load_table, read_table
from tinyres.data.texts import Text, Windows, load_plays, text
from tinyres.errors import closed

__all__ = [
    "CIFAR10_CLASSES",
    "FASHION_CLASSES",
    "SEGMENTATION_CLASSES",
    "Images",
    "Loader",
    "Table",
    "Text",
    "Windows",
    "load_cifar10",
    "load_digits",
    "load_fashion",
    "load_images",
    "load_mnist",
    "load_plays",
    "load_table",
    "make_segmentation",
    "read_idx",
    "read_table",
    "text",
]

_INSTEAD = {
    "AUTOTUNE": "leave it out",
    "DataLoader": "use tinyres.data.Loader(x, y, batch_size=32)",
    "Dataset": "use tinyres.data.Loader(x, y, batch_size=32), or give arrays to fit",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
