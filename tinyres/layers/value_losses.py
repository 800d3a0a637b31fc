"""Losses without options, each the mean of a function of y_true and y_pred, as Keras' classes."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from tinyres.layers.loss_classes import Loss
from tinyres.layers.objective import Chance, LossFunction, Objective
from tinyres.ops import losses as values


def _of_mean(targets: np.ndarray, outputs: int) -> float:
    """Each output the mean of its targets: their variance."""
    return float(np.var(targets, axis=0, dtype=np.float64).mean())


def _of_median(targets: np.ndarray, outputs: int) -> float:
    """Each output the median of its targets."""
    return float(np.abs(targets - np.median(targets, axis=0)).mean())


def _of_values(
    cls: str,
    name: str,
    function: LossFunction,
    says: str,
    shown: tuple[str, str],
    targets: str = "values",
    chance: Chance | None = None,
) -> type[Loss]:
    """A loss class without options. shown: (y_true, y_pred) of its example, and what that gives."""
    made = Objective(name, function, targets=targets, chance=chance)
    documented = f"""The mean of {says}.

    reduction, name: see Loss. Called as in Keras: (y_true, y_pred, sample_weight=None), y_true and y_pred of one shape.
    Raises ArgumentError for an unknown reduction.

    >>> import tinyres as tr
    >>> tr.losses.{cls}()({shown[0]})
    Tensor({shown[1]}, shape=(), dtype=float32)
    """
    members: dict[str, Any] = {"__doc__": documented, "__module__": __name__, "_made": lambda self: made}
    return types.new_class(cls, (Loss,), exec_body=lambda body: body.update(members))


MeanSquaredError = _of_values(
    "MeanSquaredError",
    "mse",
    values.squared_error,
    "(y_pred - y_true)²",
    ("[1.0, 2.0], [1.0, 4.0]", "2."),
    chance=_of_mean,
)
MeanAbsoluteError = _of_values(
    "MeanAbsoluteError",
    "mae",
    values.absolute_error,
    "|y_pred - y_true|",
    ("[1.0, 2.0], [1.0, 4.0]", "1."),
    chance=_of_median,
)
MeanAbsolutePercentageError = _of_values(
    "MeanAbsolutePercentageError",
    "mape",
    values.absolute_percentage_error,
    "100·|y_pred - y_true| / |y_true|",
    ("[1.0, 2.0], [1.0, 4.0]", "50."),
)
MeanSquaredLogarithmicError = _of_values(
    "MeanSquaredLogarithmicError",
    "msle",
    values.squared_logarithmic_error,
    "the squared differences of log(1 + y)",
    ("[0.0, 3.0], [1.0, 3.0]", "0.2402"),
)
SquaredOutput = _of_values(
    "SquaredOutput",
    "squared_output",
    values.squared_output,
    "y_pred², whatever y_true is",
    ("[0.0, 0.0], [1.0, 3.0]", "5."),
)
LogCosh = _of_values(
    "LogCosh", "log_cosh", values.log_cosh_error, "log(cosh(y_pred - y_true))", ("[0.0, 3.0], [1.0, 3.0]", "0.2169")
)
Hinge = _of_values(
    "Hinge",
    "hinge",
    values.hinge_error,
    "max(0, 1 - y_true·y_pred), for targets -1 and 1, or 0 and 1",
    ("[1.0, -1.0], [0.5, -2.0]", "0.25"),
)
SquaredHinge = _of_values(
    "SquaredHinge",
    "squared_hinge",
    values.squared_hinge_error,
    "the squares of the hinge",
    ("[1.0, -1.0], [0.5, -2.0]", "0.125"),
)
CategoricalHinge = _of_values(
    "CategoricalHinge",
    "categorical_hinge",
    values.categorical_hinge_error,
    "max(0, 1 + the largest wrong output - the right one), for one-hot targets",
    ("[[0.0, 1.0]], [[0.2, 0.8]]", "0.4"),
)
KLDivergence = _of_values(
    "KLDivergence",
    "kl_divergence",
    values.divergence,
    "Σ y_true·log(y_true / y_pred)",
    ("[[0.5, 0.5]], [[0.25, 0.75]]", "0.1438"),
    "probabilities",
)
Poisson = _of_values(
    "Poisson", "poisson", values.poisson_error, "y_pred - y_true·log(y_pred)", ("[2.0, 3.0], [1.0, 3.0]", "0.3521")
)
CosineSimilarity = _of_values(
    "CosineSimilarity",
    "cosine_similarity",
    values.negative_cosine,
    "minus the cosine between y_true and y_pred",
    ("[[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [3.0, 4.0]]", "-0.9"),
)
