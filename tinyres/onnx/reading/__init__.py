"""How each node of ONNX is read: one function for each op, by its name.

In reading order: table, folding, elementwise, movement, products, normalising, images, reducing, constants.
"""

from tinyres.onnx.reading import constants, elementwise, folding, images, movement, normalising, products, reducing
from tinyres.onnx.reading.table import READERS

__all__ = [
    "READERS",
    "constants",
    "elementwise",
    "folding",
    "images",
    "movement",
    "normalising",
    "products",
    "reducing",
]
