"""Decoder: a model of tokens, run piece by piece: what layers have seen of earlier tokens is kept for later ones.

A layer that works on each token alone is run on the new ones; one that tells where tokens stand is told where the new
ones begin; attention that looks back goes on from the keys and values that it has kept. Where a model has any other
layer, nothing can be kept, and all tokens are run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from tinyres.engine.state import Scope, entered, no_grad
from tinyres.engine.tensor import Tensor, tensor
from tinyres.nn.functional import Functional, Step
from tinyres.nn.layer import Layer
from tinyres.nn.symbolic import Symbolic, substituted


class LooksBack(Protocol):
    """What a layer of attention has for a Decoder."""

    def looks_back(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a token sees itself and earlier ones alone, in a call on these arguments."""
        ...

    def continued(self, x: Tensor, past: Any) -> tuple[Tensor, Any]:
        """(what these tokens see of the earlier ones and of themselves, what to keep of all)."""
        ...


class Decoder:
    """Runs a model of one input and one output, (batch, tokens) to (batch, tokens, scores), in inference.

    logits: leave out the last activation. keep: keep what can be. places: how many tokens it takes at most, None if any
    number. keeps: whether earlier tokens need not be run again, seen: how many are kept. fixed: how many tokens it
    takes at least, where it can be asked no other number.
    """

    def __init__(self, model: Functional, logits: bool, keep: bool) -> None:
        self._model = model
        self._steps = [step for step in model.steps if not (logits and step in model.ends)]
        last = model.ends[0] if logits else None
        self._last = model._output_slots[0] if last is None else last.slots[0]
        limits = [step.layer.sequence_length for step in _all_steps(model) if hasattr(step.layer, "sequence_length")]
        fixed = model.inputs[0].shape[1]
        self.places: int | None = min([*limits, *([] if fixed is None else [fixed])], default=None)
        self.keeps = keep and all(map(_keeps, self._steps))
        self.fixed = None if all(map(_keeps, self._steps)) else fixed
        self.forget()

    def forget(self) -> None:
        """Begin a new text."""
        self.seen = 0
        self._past: dict[Step, Any] = {}

    def scores(self, ids: np.ndarray) -> np.ndarray:
        """Those of the last token of each text, float64. ids: (batch, new tokens), or all tokens if none is kept."""
        symbol = self._model.inputs[0]
        with no_grad(), entered(None):
            values: dict[int, Tensor] = {0: tensor(ids, dtype=symbol.dtype)}
            for step in self._steps:
                values[step.slot] = self._run(step, values)
        if self.keeps:
            self.seen += ids.shape[1]
        return values[self._last].numpy()[:, -1].astype(np.float64)

    def _run(self, step: Step, values: dict[int, Tensor]) -> Any:
        slot_of = self._model._slot_of
        args, kwargs = (substituted(part, lambda s: values[slot_of[s]]) for part in (step.call.args, step.call.kwargs))
        layer: Any = step.layer
        with entered(Scope(step.path, step.block, step.kind, None, step.source)):
            if self.keeps and hasattr(layer, "looks_back"):
                seen, self._past[step] = layer.continued(args[0], self._past.get(step))
                return seen
            if self.keeps and layer.places:
                kwargs = {**kwargs, "start_index": self.seen + kwargs.get("start_index", 0)}
            return layer.run(args, kwargs, False)


def _keeps(step: Step) -> bool:
    layer: Any = step.layer
    if not layer.call.__module__.startswith("tinyres.") or not isinstance(step.call.outputs, Symbolic):
        return False
    if hasattr(layer, "looks_back"):
        return bool(layer.looks_back(step.call.args, step.call.kwargs))
    return bool(layer.by_token or layer.places)


def _all_steps(layer: Layer) -> Iterator[Step]:
    """The steps of a model and of the models within it."""
    for step in layer.steps if isinstance(layer, Functional) else ():
        yield step
        yield from _all_steps(step.layer)
