"""Losses: means over the batch, by Keras' names and as functions of (prediction, target). They never broadcast.

Keras' names speak of probabilities. Where a model ends in the softmax or sigmoid that a loss undoes with a logarithm,
`for_model` gives the loss of the logits instead: exact where a probability rounds to 0, and one op in the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tinyres import ops
from tinyres.engine.state import Scope, entered, state
from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.layers.dense import Dense
from tinyres.nn.functional import Functional
from tinyres.ops import binary_cross_entropy, binary_cross_entropy_with_logits, mse, softmax_cross_entropy

__all__ = [
    "Loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "categorical_cross_entropy",
    "categorical_cross_entropy_with_logits",
    "mse",
    "softmax_cross_entropy",
    "sparse_categorical_cross_entropy",
]

LossFunction = Callable[[Any, Any], Tensor]

PROBABILITY_EPSILON = 1e-7  # as Keras: the logarithm of 0 stays finite


def sparse_categorical_cross_entropy(probabilities: Tensor, labels: Any) -> Tensor:
    """The mean over the batch of -log probabilities[label], kept within 1e-7 of 0 and 1 and made to sum to 1.

    probabilities: (batch, classes), as after a softmax. labels: integers (batch,).

    >>> import tinyres as tr
    >>> tr.losses.sparse_categorical_cross_entropy(tr.tensor([[0.25, 0.75]]), [1])
    Tensor(0.2877, shape=(), dtype=float32)
    """
    return softmax_cross_entropy(ops.log(_inside(probabilities)), labels)


def categorical_cross_entropy(probabilities: Tensor, target: Any) -> Tensor:
    """The mean over the batch of -Σ target · log probabilities.

    probabilities, target: (batch, classes), as after a softmax and one-hot. Raises ShapeError where they differ.

    >>> import tinyres as tr
    >>> tr.losses.categorical_cross_entropy(tr.tensor([[0.25, 0.75]]), [[0.0, 1.0]])
    Tensor(0.2877, shape=(), dtype=float32)
    """
    target = _paired("categorical_cross_entropy", probabilities, target)
    total = ops.sum(probabilities, axis=-1, keepdims=True)
    return _mean_of_rows(target, ops.log(_inside(ops.div(probabilities, total))))


def categorical_cross_entropy_with_logits(logits: Tensor, target: Any) -> Tensor:
    """The same from logits, before any softmax.

    logits, target: (batch, classes). Raises ShapeError where they differ.

    >>> import tinyres as tr
    >>> tr.losses.categorical_cross_entropy_with_logits(tr.tensor([[0.0, 0.0]]), [[0.0, 1.0]])
    Tensor(0.6931, shape=(), dtype=float32)
    """
    target = _paired("categorical_cross_entropy_with_logits", logits, target)
    return _mean_of_rows(target, ops.log_softmax(logits))


class Loss:
    """A function of (prediction, target) as a model trains on it: one node named "loss" in a trace.

    name: the op that the trace shows. on_logits: for an activation, the function that takes what the activation would
    be applied to. integer_targets: True for labels, False for values (integers are cast), None for whatever is given.
    Calling it raises ArgumentError or ShapeError unless the function gives one number, as a Tensor.
    """

    def __init__(
        self,
        name: str,
        function: LossFunction,
        on_logits: Mapping[str, LossFunction] | None = None,
        integer_targets: bool | None = None,
    ) -> None:
        self.name = name
        self.function = function
        self.on_logits = dict(on_logits or {})
        self.integer_targets = integer_targets

    def __call__(self, prediction: Any, target: Any) -> Tensor:
        if self.integer_targets is False and isinstance(target, Tensor) and target.dtype not in FLOATS:
            target = ops.astype(target, prediction.dtype)
        with entered(Scope("loss", "", self.name, state.scope)):
            value = self.function(prediction, target)
        if not isinstance(value, Tensor):
            got = type(value).__name__
            raise ArgumentError(f"[{self.name}] a loss must return a Tensor; got {got}; compute it with ops")
        if value.size != 1:
            raise ShapeError(f"[{self.name}] a loss must be one number; got shape {value.shape}; end it with .mean()")
        return value

    def __repr__(self) -> str:
        return f"<Loss {self.name}>"


_SPARSE = Loss(
    "sparse_categorical_crossentropy",
    sparse_categorical_cross_entropy,
    {"softmax": softmax_cross_entropy},
    integer_targets=True,
)
_CATEGORICAL = Loss(
    "categorical_crossentropy",
    categorical_cross_entropy,
    {"softmax": categorical_cross_entropy_with_logits},
    integer_targets=False,
)
_BINARY = Loss(
    "binary_crossentropy", binary_cross_entropy, {"sigmoid": binary_cross_entropy_with_logits}, integer_targets=False
)
_MSE = Loss("mse", mse, integer_targets=False)

LOSSES = {
    "sparse_categorical_crossentropy": _SPARSE,
    "categorical_crossentropy": _CATEGORICAL,
    "binary_crossentropy": _BINARY,
    "mse": _MSE,
    "mean_squared_error": _MSE,
}

_TAKES_LOGITS: dict[LossFunction, str] = {
    softmax_cross_entropy: "softmax",
    categorical_cross_entropy_with_logits: "softmax",
    binary_cross_entropy_with_logits: "sigmoid",
}


def get(loss: str | Loss | LossFunction) -> Loss:
    """The Loss of this name, or around this function. Raises ArgumentError for an unknown name, with the known ones."""
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]
    if callable(loss) and not isinstance(loss, type):
        labels = True if loss is softmax_cross_entropy else None
        return Loss(getattr(loss, "__name__", "loss"), loss, integer_targets=labels)
    known = ", ".join(LOSSES)
    raise ArgumentError(f"[loss] known names are {known}; got {loss!r}; use one, or a function of (prediction, target)")


def for_model(loss: str | Loss | LossFunction, model: Functional) -> tuple[Loss, bool]:
    """(the Loss to call, whether it takes the model's logits instead of its output).

    Raises ArgumentError where the two do not fit: a loss of probabilities after a linear layer, or a loss of logits
    after a softmax or sigmoid.
    """
    found, activation = get(loss), model.final_activation
    if _TAKES_LOGITS.get(found.function, "") == activation:
        raise ArgumentError(
            f"[{found.name}] takes logits, and the model ends in a {activation}; got its output; "
            f"leave the {activation} out, or use a loss by name, such as {_named_for(found.function)!r}"
        )
    if activation in found.on_logits:
        return Loss(found.name, found.on_logits[activation], {}, found.integer_targets), True
    if found.on_logits and model.steps and _ends_linear(model.steps[-1].layer):
        needed = " or ".join(found.on_logits)
        raise ArgumentError(
            f"[{found.name}] takes probabilities, and the model ends in {model.steps[-1].path}, which is linear; "
            f'give that layer activation="{needed}"'
        )
    return found, False


def _ends_linear(layer: Any) -> bool:
    if isinstance(layer, Functional) and layer.steps:
        return _ends_linear(layer.steps[-1].layer)
    return isinstance(layer, Dense) and layer.activation in (None, "linear")


def _named_for(function: LossFunction) -> str:
    return next(name for name, loss in LOSSES.items() if function in loss.on_logits.values())


def _inside(probabilities: Tensor) -> Tensor:
    return ops.clip(probabilities, PROBABILITY_EPSILON, 1.0 - PROBABILITY_EPSILON)


def _paired(op: str, prediction: Tensor, target: Any) -> Any:
    shape = target.shape if isinstance(target, Tensor) else ops.sub(target, 0.0).shape
    if shape != prediction.shape or len(shape) < 2:
        hint = "one-hot targets have the shape of the prediction"
        if shape == prediction.shape[:1]:
            hint = 'for integer labels use the loss "sparse_categorical_crossentropy"'
        raise ShapeError(f"[{op}] prediction {prediction.shape} and target {shape} differ; {hint}")
    if 0 in shape:
        raise ShapeError(f"[{op}] the batch is empty, it has no mean; got shape {shape}; give at least one example")
    return target


def _mean_of_rows(target: Any, log_probabilities: Tensor) -> Tensor:
    return ops.neg(ops.mean(ops.sum(ops.mul(target, log_probabilities), axis=-1)))
