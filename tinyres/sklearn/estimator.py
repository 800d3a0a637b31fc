"""What both estimators are: a net that is built for the data, trained, asked and traced.

Data is checked and told apart by scikit-learn's own functions; here it is scaled, and handed to a Model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres.engine.state import name_scope
from tinyres.errors import ArgumentError, need_extra
from tinyres.layers.blocks import PRESETS
from tinyres.layers.dense import Dense
from tinyres.measure.graph import Graph
from tinyres.model import Model
from tinyres.nn.operators import Input
from tinyres.nn.symbolic import Symbolic
from tinyres.ops.random import manual_seed, preserving_generator
from tinyres.optim import Optimizer, get
from tinyres.sklearn.samples import counted
from tinyres.training.callbacks import EarlyStopping
from tinyres.training.reading import read_count

with need_extra("sklearn", "estimators are classes of scikit-learn", "sklearn"):
    from sklearn.base import BaseEstimator
    from sklearn.model_selection import train_test_split
    from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data


class Estimator(BaseEstimator):
    """Base of Classifier and Regressor, which say what the net answers and which loss it is trained with."""

    _activation: str | None = None
    _loss = ""

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
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        verbose: Any = 0,
    ) -> None:
        self.blocks = blocks
        self.units = units
        self.block = block
        self.net = net
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.verbose = verbose

    def graph(self, X: Any, y: Any, training: bool = True) -> Graph:
        """The graph of the loss on these samples, as `model.graph` gives it; `.trace()` is the ledger.

        X: (samples, features), y: (samples,), as for `fit`. training: whether layers are in training mode.
        """
        check_is_fitted(self)
        X, y = validate_data(self, X, y, dtype=np.float64, reset=False, multi_output=True)
        return self.model_.graph(self._scaled(X), self._targets(y), training=training)

    def _targets(self, y: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _counted(self, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> tuple[Any, ...]:
        """(X, y, weight) to train on: where all fit into one batch, repeated samples are one that weighs more."""
        size = read_count("sklearn", "batch_size", self.batch_size, 1)
        return counted(X, y, weight, merged=len(X) <= size and not self.early_stopping)

    def _train(self, X: np.ndarray, y: np.ndarray, outputs: int, weight: np.ndarray | None, strata: Any) -> None:
        """Build the net and train it. weight: of each sample; strata: what both parts of a split have alike."""
        self.mean_ = np.average(X, axis=0, weights=weight)
        deviation = np.sqrt(np.average((X - self.mean_) ** 2, axis=0, weights=weight))
        self.scale_ = np.where(deviation > 0, deviation, 1.0)
        random = check_random_state(self.random_state)
        seed = int(random.randint(2**31 - 1))
        training, held_back, callbacks = (X, y, weight), None, []
        if self.early_stopping:
            training, held_back = self._split(training, random, strata)
            stop = EarlyStopping(patience=self.n_iter_no_change, restore_best_weights=True)
            callbacks = [stop]
        x, target, each = training
        with preserving_generator():
            manual_seed(seed)
            self.model_ = self._built(X.shape[1], outputs)
            history = self.model_.fit(
                self._scaled(x),
                target,
                sample_weight=each,
                epochs=self.epochs,
                batch_size=self.batch_size,
                verbose=self.verbose,
                callbacks=callbacks,
                validation_data=None if held_back is None else (self._scaled(held_back[0]), *held_back[1:]),
            )
        self.model_.compile(self.model_.optimizer, self._loss)  # its steps were recorded on a generator that is gone
        self.history_ = history.history
        self.n_iter_ = len(history.epoch)

    def _split(self, data: tuple[Any, ...], random: Any, strata: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """(x, y, weight) to train on, and what is held back: (x, y) or (x, y, weight)."""
        given = [part for part in data if part is not None]
        parts = train_test_split(*given, test_size=self.validation_fraction, random_state=random, stratify=strata)
        training, held_back = parts[::2], parts[1::2]
        return (*training, None)[:3], tuple(held_back)

    def _built(self, features: int, outputs: int) -> Model:
        x = inputs = Input(shape=(features,))
        x = self._hidden(x) if self.net is None else self.net(x)
        model = Model(inputs, Dense(outputs, activation=self._activation, name="answer")(x))
        # An optimizer belongs to one model, and the estimator may be fitted again.
        chosen = get(self.optimizer)
        optimizer = type(chosen).from_config(chosen.config())
        if self.learning_rate is not None:
            optimizer.lr = self.learning_rate
        model.compile(optimizer, self._loss)
        return model

    def _hidden(self, x: Symbolic) -> Symbolic:
        """The blocks behind a first layer that brings samples to their width."""
        block = PRESETS.get(self.block) if isinstance(self.block, str) else self.block
        if not callable(block):
            raise ArgumentError(
                f"[sklearn] a block is one of {', '.join(PRESETS)}, or a function (x, units); got {self.block!r}; "
                "choose one"
            )
        blocks = read_count("sklearn", "blocks", self.blocks, 0)
        depth = (blocks,) if self.block == "skipinit" else ()
        x = Dense(self.units, activation="relu", name="stem")(x)
        for i in range(blocks):
            with name_scope(f"block{i}"):
                x = block(x, self.units, *depth)
        return x

    def _scaled(self, X: np.ndarray) -> np.ndarray:
        return ((X - self.mean_) / self.scale_).astype(np.float32)

    def _answers(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return self.model_.predict(self._scaled(X)).astype(np.float64)
