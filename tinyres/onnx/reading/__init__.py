"""How each node of ONNX is read: one function for each op, by its name.

In reading order: table, folding, elementwise, movement, products, normalising, images, reducing.
"""

from tinyres.onnx.reading import elementwise, folding, images, movement, normalising, products, reducing
from tinyres.onnx.reading.table import READERS

__all__ = ["READERS", "elementwise", "folding", "images", "movement", "normalising", "products", "reducing"]
