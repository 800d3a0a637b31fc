"""How each op is written in ONNX: one function for each, by the op's name; those that are none of inference say why.

In reading order: table, elementwise, movement, products, reducing, normalising, images, attention.
"""

from tinyres.onnx.writing import attention, elementwise, images, movement, normalising, products, reducing
from tinyres.onnx.writing.table import REFUSED, WRITERS

__all__ = [
    "REFUSED",
    "WRITERS",
    "attention",
    "elementwise",
    "images",
    "movement",
    "normalising",
    "products",
    "reducing",
]
