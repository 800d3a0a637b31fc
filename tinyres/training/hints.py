"""Hints of `fit`: targets of one class only, and a loss of one's own whose operands broadcast."""

from __future__ import annotations

import numpy as np

from tinyres.engine.tensor import FLOATS, Tensor
from tinyres.layers.objective import like_prediction
from tinyres.nn.hints import hint, said
from tinyres.training.plan import Goal


def hint_at_one_class(op: str, goal: Goal, target: np.ndarray | None, outputs: int | None) -> None:
    """Where all labels are one number: of a softmax over several outputs, or 0 or 1 of one sigmoid.

    target: of shape (samples, ...). outputs: the size of the prediction's last axis.
    """
    if said("one class") or target is None or goal.loss is None or len(target) < 2:
        return
    binary = goal.loss.targets == "probabilities" and outputs == 1
    if not binary and not (goal.loss.targets == "labels" and outputs != 1):
        return
    only = target.flat[0]
    if not np.all(target == only) or (binary and only not in (0, 1)):
        return
    hint(
        "one class",
        f"[{op}] labels tell classes apart; got {len(target)} samples and {only:g} as the label of all, so that an "
        "answer which ignores x fits best; give samples of the other classes too",
    )


def hint_at_broadcasting(op: str, goal: Goal, prediction: Tensor, target: object) -> None:
    """Where a loss of one's own is given a prediction and numbers of unequal shapes that fit by broadcasting alone."""
    if goal.loss is None or goal.loss.targets != "any" or not isinstance(target, Tensor) or target.dtype not in FLOATS:
        return
    shapes = prediction.shape, like_prediction(prediction, target).shape
    if shapes[0] == shapes[1] or not _broadcast(*shapes):
        return
    hint(
        "broadcasting loss",
        f"[{op}] a loss holds each output against one target; got a prediction of shape {shapes[0]} and targets of "
        f"shape {shapes[1]}, which broadcast where {goal.loss.name} subtracts them; give both one shape",
    )


def _broadcast(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(first, second)
    except ValueError:
        return False
    return True
