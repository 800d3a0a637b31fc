"""Classifier: a residual net that tells classes apart, as an estimator of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, need_extra
from tinyres.nn.symbolic import Symbolic
from tinyres.optim import Optimizer
from tinyres.sklearn.estimator import Estimator
from tinyres.sklearn.samples import weight_of

with need_extra("sklearn", "estimators are classes of scikit-learn", "sklearn"):
    from sklearn.base import ClassifierMixin
    from sklearn.utils.class_weight import compute_sample_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import validate_data


class Classifier(ClassifierMixin, Estimator):
    """A net of `blocks` residual blocks, `units` wide, that classifies rows of numbers; features are scaled first.

    block: a preset of layers.blocks by name, or a function (x, units). net: a function from the Input to the tensor
    before the last Dense, instead of blocks. optimizer: a name or a tr.optim one. learning_rate: None for the
    optimizer's own. class_weight: {class: weight} or "balanced". early_stopping: hold back validation_fraction of the
    samples, and stop when their loss has not improved for n_iter_no_change epochs; the best weights stay.
    random_state: of weights, order and what is held back. verbose: as for `Model.fit`.

    After `fit`: classes_, model_ (the Model), history_ (loss per epoch), n_iter_ (epochs run), mean_ and scale_ (of
    the features). sample_weight: samples count by it, with a mean of 1; those of weight 0 are left out. Where all
    samples fit into one batch, one that weighs 3 is three of them, bit for bit; in smaller batches three fall apart.
    `graph(X, y).trace()` is the ledger.
    Raises ArgumentError for options that do not fit, and what scikit-learn raises for data.

    >>> from tinyres.sklearn import Classifier
    >>> (x, y), (x_test, y_test) = tr.data.load_digits()
    >>> net = Classifier(blocks=2, epochs=5, random_state=0).fit(x, y)
    >>> net.score(x_test, y_test) > 0.9
    True
    """

    _activation = "softmax"
    _loss = "sparse_categorical_crossentropy"

    def __init__(
        self,
        blocks: int = 4,
        units: int = 32,
        block: str | Callable[..., Any] = "preact",
        net: Callable[[Symbolic], Symbolic] | None = None,
        optimizer: str | Optimizer = "adam",
        learning_rate: float | None = None,
        epochs: int = 60,
        batch_size: int = 32,
        class_weight: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        verbose: Any = 0,
    ) -> None:
        super().__init__(
            blocks=blocks,
            units=units,
            block=block,
            net=net,
            optimizer=optimizer,
            learning_rate=learning_rate,
            epochs=epochs,
            batch_size=batch_size,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Classifier:
        """Train a new net. X: (samples, features), an array or DataFrame; y: (samples,), classes of any kind."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        weight = weight_of(sample_weight, X)
        weighing = self.classes_ if weight is None else np.unique(y[weight > 0])
        if len(weighing) == 1:
            raise ArgumentError(
                f"[Classifier] it tells at least 2 classes apart; got 1 class, {weighing.tolist()[0]!r}"
                f"{'' if len(self.classes_) == 1 else ', that weighs more than 0'}; give samples of two"
            )
        if self.class_weight is not None:
            by_class = compute_sample_weight(self.class_weight, y)
            weight = by_class if weight is None else weight * by_class
        X, labels, weight = self._counted(X, self._targets(y), weight)
        self._train(X, labels, len(self.classes_), weight, labels)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (samples, classes), in the order of classes_."""
        answers = self._answers(X)
        return answers / answers.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each sample."""
        answers = self._answers(X)
        return self.classes_[answers.argmax(axis=1)]

    def _targets(self, y: np.ndarray) -> np.ndarray:
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ArgumentError(
                f"[Classifier] the classes are {self.classes_.tolist()}; got {unknown.tolist()[0]!r}; drop it"
            )
        return np.searchsorted(self.classes_, y).astype(np.int64)
