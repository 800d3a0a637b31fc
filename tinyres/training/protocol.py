"""Trainable: what training asks of a model. The model is a room above this one, so it is known by these names only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from tinyres.engine.tensor import Parameter
from tinyres.errors import ArgumentError
from tinyres.ops.random import Generator
from tinyres.optim import Optimizer
from tinyres.store.opening import PathLike

# The loss, and, of a step that is watched, (layer, place of its squared gradient norm) and all squares; of one whose
# edges are watched also a Look.
Stepped = tuple[Any, ...]


class Ranks(Protocol):
    """Processes that train together, as the loops see them; tinyres.distributed.World is one."""

    rank: int
    size: int

    def begin(self, model: Any, facts: Mapping[str, Any]) -> None:
        """Raise ArgumentError unless all have these facts; then all have what rank 0 has."""
        ...

    def meet(self, model: Any, facts: Mapping[str, Any]) -> None:
        """Raise ArgumentError unless all have these facts, and the same weights."""
        ...

    def step(self, model: Any, captured: bool) -> Callable[..., Stepped]:
        """What runs a step, called as `train_step`."""
        ...

    def any(self, said: bool) -> bool:
        """Whether any of them says so; all ask."""
        ...

    def in_turn(self, rows: list[Any]) -> list[Any]:
        """What all have: the first of each, by rank, then the second of each."""
        ...


def read_ranks(op: str, given: Any) -> Ranks | None:
    """The world that was given. Raises ArgumentError for what is none."""
    if given is not None and not callable(getattr(given, "begin", None)):
        raise ArgumentError(
            f"[{op}] distributed is a world of ranks; got {given!r}; give tr.distributed.world(shards=8)"
        )
    return given


class Trainable(Protocol):
    """A model as the loops see it; tinyres.Model is one."""

    optimizer: Optimizer | None
    loss: Any
    stop_training: bool
    epoch: int
    position: Any
    history: Any
    callback_states: Any
    built: bool
    steps: list[Any]
    outputs: list[Any]

    def __call__(self, x: Any, /, *, training: bool = False) -> Any: ...

    @property
    def ports(self) -> Any: ...

    @property
    def float_dtype(self) -> np.dtype: ...

    @property
    def output_names(self) -> list[str]: ...

    @property
    def final_activations(self) -> list[str | None]: ...

    @property
    def weights(self) -> list[Parameter]: ...

    def parameters(self) -> list[Parameter]: ...

    def named_parameters(self) -> Mapping[str, Parameter]: ...

    def get_weights(self) -> list[np.ndarray]: ...

    def set_weights(self, weights: list[np.ndarray]) -> None: ...

    def save(self, path: PathLike) -> None: ...

    def save_weights(self, path: PathLike) -> None: ...

    def generators(self) -> list[Generator]: ...

    def require_compiled(self, op: str) -> None: ...

    def plan(self, op: str) -> Any: ...

    def loss_of(self, loss: Any) -> Any: ...

    def runner(self, step: str, captured: bool) -> Callable[..., Any]: ...

    def note_outputs(self, count: int) -> None: ...

    def train_step(self, x: Any, y: Any, sample_weight: Any = None, watch: bool | str = False) -> Stepped: ...
