"""The handwritten digits that come with tinyres; source and license stand in ATTRIBUTION.md."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinyres.data.bundled import bundled

TRAIN_IMAGES = 1437

Split = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def load_digits() -> tuple[Split, Split]:
    """Real handwritten digits as ((x_train, y_train), (x_test, y_test)), always in the same order and split.

    x is float32 (1437, 64) and (360, 64): 8 x 8 pixels row by row, 0 (paper) to 1 (ink). y is int64, 0 to 9. The arrays
    are new at each call. Source: UCI Optical Recognition of Handwritten Digits (Alpaydin and Kaynak 1998, CC BY 4.0),
    https://doi.org/10.24432/C50P49. Raises FileError where the file that comes with tinyres is missing.

    >>> (x_train, y_train), (x_test, y_test) = load_digits()
    >>> x_train.shape, y_test.shape
    ((1437, 64), (360,))
    """
    with np.load(bundled("load_digits", "data", "digits.npz"), allow_pickle=False) as file:
        x = file["x"].astype(np.float32) / np.float32(16)
        y = file["y"].astype(np.int64)
    return (x[:TRAIN_IMAGES], y[:TRAIN_IMAGES]), (x[TRAIN_IMAGES:], y[TRAIN_IMAGES:])
