"""Keras' losses: classes, and functions of (y_true, y_pred) that give one value per sample.

`tinyres.losses` has functions in the other order, (prediction, target), that give the mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyres.engine.tensor import Tensor
from tinyres.errors import closed
from tinyres.layers.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    Loss,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from tinyres.layers.losses import get as _get

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "binary_crossentropy",
    "categorical_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "dice",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mae",
    "mape",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "mse",
    "msle",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]


class _PerSample:
    """A loss class as a function; `compile` takes it for the class."""

    def __init__(self, name: str, cls: type[Loss], y_true: str = "[[0.0, 1.0]]", gives: str = "(1,)") -> None:
        """y_true: of its example. gives: the shape of what comes out."""
        self.__name__ = name
        self.__doc__ = f"""What {cls.__name__} is the mean of, one value per sample; y_true, y_pred: of one shape.

        options: those of the class, which are judged there.

        >>> import tinyres as tf
        >>> tf.keras.losses.{name}({y_true}, [[0.25, 0.75]]).shape
        {gives}
        """
        self._cls = cls
        self.objective = cls().objective

    def __call__(self, y_true: Any, y_pred: Any, **options: Any) -> Tensor:
        return self._cls(reduction=None, **options)(y_true, y_pred)

    def __repr__(self) -> str:
        return f"<loss {self.__name__}(y_true, y_pred)>"


binary_crossentropy = _PerSample("binary_crossentropy", BinaryCrossentropy)
categorical_crossentropy = _PerSample("categorical_crossentropy", CategoricalCrossentropy)
categorical_hinge = _PerSample("categorical_hinge", CategoricalHinge)
cosine_similarity = _PerSample("cosine_similarity", CosineSimilarity)
dice = _PerSample("dice", Dice, gives="()")
hinge = _PerSample("hinge", Hinge)
huber = _PerSample("huber", Huber)
kl_divergence = _PerSample("kl_divergence", KLDivergence)
log_cosh = _PerSample("log_cosh", LogCosh)
mean_absolute_error = _PerSample("mean_absolute_error", MeanAbsoluteError)
mean_absolute_percentage_error = _PerSample("mean_absolute_percentage_error", MeanAbsolutePercentageError)
mean_squared_error = _PerSample("mean_squared_error", MeanSquaredError)
mean_squared_logarithmic_error = _PerSample("mean_squared_logarithmic_error", MeanSquaredLogarithmicError)
poisson = _PerSample("poisson", Poisson)
sparse_categorical_crossentropy = _PerSample("sparse_categorical_crossentropy", SparseCategoricalCrossentropy, "[1]")
squared_hinge = _PerSample("squared_hinge", SquaredHinge)
mae = mean_absolute_error
mape = mean_absolute_percentage_error
mse = mean_squared_error
msle = mean_squared_logarithmic_error


def get(identifier: Any) -> Any:
    """The loss of this name, in any of Keras' spellings, as a function of (y_true, y_pred); an object as it is.

    Raises ArgumentError for an unknown one.

    >>> import tinyres as tf
    >>> tf.keras.losses.get("mse")([[0.0]], [[2.0]])
    Tensor([4.], shape=(1,), dtype=float32)
    """
    if identifier is None or isinstance(identifier, Loss):
        return identifier
    name = _get(identifier).name  # an error where there is none
    if isinstance(identifier, str):
        per_sample = [each for each in globals().values() if isinstance(each, _PerSample)]
        identifier = globals().get(identifier) or next(each for each in per_sample if each.objective.name == name)
    return identifier() if isinstance(identifier, type) else identifier


if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)
