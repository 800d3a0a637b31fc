"""Keras' `utils`: what notebooks take from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.backends.memory import check_fits
from tinyres.errors import ArgumentError, DTypeError, closed, refuse_masked
from tinyres.ops import manual_seed

__all__ = ["normalize", "set_random_seed", "to_categorical"]

_INSTEAD = {
    "Sequence": "use tinyres.data.Loader, or anything that yields batches",
    "get_file": "nothing is downloaded; use tinyres.data.load_table(path)",
    "image_dataset_from_directory": "use tinyres.data.load_images(folder, size=(height, width))",
    "model_to_dot": 'use model.graph(x, y).trace().export("net.svg")',
    "np_utils": "use keras.utils.to_categorical",
    "plot_model": 'use model.graph(x, y).trace().export("net.svg")',
    "split_dataset": "split the arrays, or use fit(validation_split=0.2)",
}


def to_categorical(x: Any, num_classes: int | None = None, dtype: Any = "float32") -> np.ndarray:
    """Labels as one-hot rows: (n,) or (n, 1) gives (n, classes).

    num_classes: one more than the largest label unless it is given. Raises DTypeError for what are no whole numbers,
    ArgumentError for labels outside of 0..num_classes - 1, OutOfMemoryError for rows that do not fit.

    >>> import tinyres as tf
    >>> tf.keras.utils.to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    refuse_masked("to_categorical", x)
    labels = np.asarray(x)
    if labels.dtype.kind not in "iubf" or not np.all(labels == np.floor(labels.astype(np.float64))):
        raise DTypeError(
            f"[to_categorical] labels are whole numbers; got {labels.dtype} of shape {labels.shape}; number the "
            "classes with y = np.unique(y, return_inverse=True)[1]"
        )
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels.reshape(labels.shape[:-1])
    labels = labels.astype(np.int64)
    largest = int(labels.max()) if labels.size else -1
    classes = largest + 1 if num_classes is None else int(num_classes)
    if labels.size and (labels.min() < 0 or largest >= classes):
        raise ArgumentError(
            f"[to_categorical] labels lie in 0..{classes - 1}; got {labels.min()} to {largest}; give num_classes"
        )
    size = labels.size * classes * np.dtype(dtype).itemsize
    remedy = "keep the numbers, with a sparse_ loss"
    check_fits("to_categorical", size, f"{labels.size} rows of {classes} classes", remedy)
    rows = np.zeros((*labels.shape, classes), dtype)
    np.put_along_axis(rows, labels[..., None], 1, axis=-1)
    return rows


def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray:
    """x with vectors along `axis` divided by their norm of this order; those of norm 0 stay.

    >>> import tinyres as tf
    >>> tf.keras.utils.normalize([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """
    array = np.asarray(x, np.float64)
    norms = np.linalg.norm(array, ord=order, axis=axis, keepdims=True)
    return array / np.where(norms == 0, 1.0, norms)


def set_random_seed(seed: int) -> None:
    """Seed Python's, NumPy's and the library's generators.

    >>> import tinyres as tf
    >>> state = np.random.get_state()
    >>> tf.keras.utils.set_random_seed(0); float(np.random.random()) == float(np.random.RandomState(0).random_sample())
    True
    >>> np.random.set_state(state)  # as it was
    """
    import random

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  what notebooks draw their data from
    manual_seed(seed)


if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
