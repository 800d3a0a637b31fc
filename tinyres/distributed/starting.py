"""How ranks begin a training: the same model of the same shapes, and then the same numbers, those of rank 0."""

from __future__ import annotations

import zlib
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.store.definitions import PACKAGE


def refuse_own_step(model: Any) -> None:
    """Raise ArgumentError for a train_step of the user's own, which says nothing of shards."""
    if type(model).train_step.__module__.partition(".")[0] != PACKAGE:
        raise ArgumentError(
            f"[fit] distributed runs the library's train_step, shard by shard; got a {type(model).__name__} with one "
            "of its own; write the loop with world.rows and world.mean"
        )


def facts_of(model: Any) -> dict[str, Any]:
    """What the models of all ranks must have in common."""
    weights = {name: (w.shape, str(w.dtype), w.trainable) for name, w in model.named_weights().items()}
    optimizer = model.plan("fit").optimizer
    return {
        "the number of weights": sum(w.size for w in model.weights),
        "the names and shapes of weights": zlib.crc32(repr(weights).encode()),
        "the optimizer": type(optimizer).__name__,
        "the epoch it has reached": model.epoch,
    }


def take_from_first(comm: Any, model: Any) -> None:
    """All ranks get rank 0's weights, optimizer state and generators."""
    for weight in model.weights:
        comm.Bcast(weight.buffer.array)
        weight.buffer.version += 1
    optimizer = model.plan("fit").optimizer
    names = {id(w): name for name, w in model.named_weights().items()}
    state = optimizer.state(names)
    for array in state.values():
        comm.Bcast(array)
    optimizer.restore(state, names)
    for generator in model.generators():
        comm.Bcast(generator.state.array)
