"""Which samples a training sees, and how much each counts: a weight of 3 is three samples, a weight of 0 is none."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, need_extra

with need_extra("sklearn", "estimators are classes of scikit-learn", "sklearn"):
    from sklearn.utils.validation import _check_sample_weight


def weight_of(sample_weight: Any, X: np.ndarray) -> np.ndarray | None:
    """The weight of each sample in float64, by scikit-learn's rules; None where all count alike."""
    return None if sample_weight is None else _check_sample_weight(sample_weight, X, dtype=np.float64)


def counted(
    X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, merged: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(X, y, weight) without samples of weight 0; weights have a mean of 1, so that steps are as large without them.

    merged: samples that are the same in X and y become one that weighs what they do together, in an order that only
    their values say. So a weighted sample and repeated ones are the same training, bit for bit, where it does not
    matter how many rows there are: in batches of all of them.
    """
    if weight is not None and ((weight < 0).any() or weight.sum() <= 0):
        raise ArgumentError(
            f"[sklearn] sample weights are not negative, and not all 0; got {weight.min():g} to {weight.max():g}; "
            "leave samples out with a weight of 0"
        )
    if weight is not None and not weight.all():
        X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
    if merged:
        rows = np.column_stack([X, y])
        _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        X, y, weight = X[first], y[first], np.bincount(group.reshape(-1), weight)
    if weight is None or (weight == weight[0]).all():
        return X, y, None
    return X, y, weight / weight.mean()
