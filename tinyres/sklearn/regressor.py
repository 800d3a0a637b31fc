"""Regressor: a residual net that predicts numbers, as an estimator of scikit-learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyres.errors import ShapeError, need_extra
from tinyres.sklearn.estimator import Estimator
from tinyres.sklearn.samples import weight_of

with need_extra("sklearn", "estimators are classes of scikit-learn", "sklearn"):
    from sklearn.base import RegressorMixin
    from sklearn.utils.validation import validate_data


class Regressor(RegressorMixin, Estimator):
    """A net of `blocks` residual blocks that predicts one number or several for each row of numbers.

    Features and targets are scaled first; the loss is the mean squared error of the scaled ones. Arguments and what is
    there after `fit` are as of Classifier, without classes; target_mean_, target_scale_ are of the targets.

    >>> from tinyres.sklearn import Regressor
    >>> x = np.linspace(-3, 3, 200)[:, None]
    >>> net = Regressor(blocks=2, block="rezero", random_state=0).fit(x, np.sin(x[:, 0]))
    >>> net.score(x, np.sin(x[:, 0])) > 0.9
    True
    """

    _loss = "mse"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Regressor:
        """Train a new net. X: (samples, features), an array or DataFrame; y: (samples,) or (samples, targets)."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True)
        X, y, weight = self._counted(X, y.astype(np.float64), weight_of(sample_weight, X))
        self.target_mean_ = np.average(y, axis=0, weights=weight)
        deviation = np.sqrt(np.average((y - self.target_mean_) ** 2, axis=0, weights=weight))
        self.target_scale_ = np.where(deviation > 0, deviation, 1.0)
        self._train(X, self._targets(y), 1 if y.ndim == 1 else y.shape[1], weight, None)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The numbers for each sample, in the shape of the targets."""
        answers = self._answers(X)
        return (answers if np.ndim(self.target_mean_) else answers[:, 0]) * self.target_scale_ + self.target_mean_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _targets(self, y: np.ndarray) -> np.ndarray:
        given, wanted = math.prod(y.shape[1:]), np.size(self.target_mean_)
        if given != wanted:
            raise ShapeError(
                f"[Regressor] y has as many targets as it was fitted on, {wanted}; got {y.shape}; give those of fit"
            )
        return ((y - self.target_mean_) / self.target_scale_).reshape(len(y), -1).astype(np.float32)
