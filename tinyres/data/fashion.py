"""The images of clothes that come with tinyres; source and license stand in ATTRIBUTION.md."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinyres.data.bundled import bundled

TRAIN_IMAGES = 2000

# What the labels 0 to 9 stand for.
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

Split = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def load_fashion() -> tuple[Split, Split]:
    """Photographs of clothes as ((x_train, y_train), (x_test, y_test)), always in the same order and split.

    x is float32 (2000, 28, 28, 1) and (500, 28, 28, 1), 0 (background) to 1. y is int64, 0 to 9, as many of each;
    FASHION_CLASSES has their names. The arrays are new at each call. A part of Fashion-MNIST (Zalando SE 2017, MIT
    License), https://github.com/zalandoresearch/fashion-mnist. Raises FileError where the file that comes with tinyres
    is missing.

    >>> (x_train, y_train), (x_test, y_test) = load_fashion()
    >>> x_train.shape, y_test.shape, FASHION_CLASSES[y_train[0]]
    ((2000, 28, 28, 1), (500,), 'Sandal')
    """
    with np.load(bundled("load_fashion", "data", "fashion.npz"), allow_pickle=False) as file:
        x = file["x"][..., None].astype(np.float32) / np.float32(255)
        y = file["y"].astype(np.int64)
    return (x[:TRAIN_IMAGES], y[:TRAIN_IMAGES]), (x[TRAIN_IMAGES:], y[TRAIN_IMAGES:])
