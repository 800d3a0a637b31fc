"""One step of `fit` over ranks: its shards, the sum over those of all ranks, and the same update everywhere."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.backends.buffers import Buffer
from tinyres.capture import capture
from tinyres.distributed.shards import Batch, Shards, Told
from tinyres.distributed.synced import KnownToAll
from tinyres.distributed.trees import bounds
from tinyres.engine.tensor import tensor
from tinyres.errors import ArgumentError, NonFiniteError
from tinyres.kernels.host import hosted
from tinyres.launch import launch
from tinyres.training.protocol import Stepped
from tinyres.training.watching import LayerNorms

if TYPE_CHECKING:
    from tinyres.distributed.world import World

_LOOKED_AT = 40  # the steps by which it is judged whether ranks pay


class ShardedStep:
    """What runs a step of `fit` on the ranks of a world; called as `Model.train_step`, with the whole batch.

    update: what runs once a batch, with the exchange in it; gradients: what runs for each shard. Captured, each has a
    `program`.
    """

    def __init__(self, world: World, model: Any, captured: bool) -> None:
        self._world, self._model, self._captured = world, model, captured
        self._seconds: list[tuple[float, float]] = []
        self._make()

    def _make(self) -> None:
        self._shards = Shards(self._model, self._captured, self._world.exchange)
        self._sums: list[np.ndarray] = []
        exchange, shards = self._world.exchange, self._shards

        def sum_over_shards(total: np.ndarray, size: int, *, flags: int) -> None:
            exchange.sum(self._sums, total)
            shards.give_back(self._sums)

        self._sum = hosted(sum_over_shards, "f", "", "size")
        self.gradients = shards.gradients
        self.update = capture(self._update) if self._captured else self._update

    def __call__(self, x: Any, y: Any, sample_weight: Any = None, watch: bool = False) -> Stepped:
        """Raises NonFiniteError, on every rank, if the loss or a gradient of any shard is not finite."""
        world = self._world
        if [id(p) for p in self._shards.optimizer.params if p.requires_grad] != list(map(id, self._shards.params)):
            self._make()  # another part of the model is trained now
        samples = len(x[0] if isinstance(x, list) else x)
        if self._shards.synced and samples < world.shards:
            raise ArgumentError(
                f"[fit] BatchNormalization(sync=True) needs a sample of each batch on every rank; got {samples} on "
                f"{world.size} ranks; leave that batch out, as by a Loader's drop_last"
            )
        began = time.perf_counter()
        limits = bounds(samples, world.shards)
        shares = self._model.plan("train_step").loss.shares_of(y, limits)
        failure = None
        try:
            batch = Batch(x, y, sample_weight, limits, shares, watch)
            self._sums, own, reached = self._shards.sums(batch, world.exchange.nodes)
        except NonFiniteError as error:
            if self._shards.synced and not isinstance(error, KnownToAll):
                raise  # the others are in the middle of their shards, and do not ask
            failure = str(error)
        computed = time.perf_counter() - began
        failure = world.first_said(failure)
        if failure is not None:
            raise NonFiniteError(failure)
        shards = self._shards
        told = Told(world.exchange.rows(own), len(shards.meters.sums), len(shards.generators))
        self.update(reached.params)
        shards.meters.sums += told.sums
        for state, drawn in zip(shards.generators, told.drawn):
            state[1] += drawn
        self._note(computed, time.perf_counter() - began)
        squares = [tensor(part, dtype="float64") for part in told.squares.reshape(-1, LayerNorms.SQUARES)]
        return tensor(told.loss, dtype=shards.bucket.dtype), reached.layers, squares

    def _note(self, computed: float, whole: float) -> None:
        """Warn, once and on rank 0, if one rank would be as fast: its step is all shards, one after the other."""
        world = self._world
        if len(self._seconds) >= _LOOKED_AT:
            return
        self._seconds.append((computed * world.size, whole))
        if len(self._seconds) == _LOOKED_AT:
            alone, here = np.median(self._seconds[_LOOKED_AT // 2 :], axis=0) * 1e3
            if here >= alone and world.size > 1 and world.rank == 0:
                warnings.warn(
                    f"[distributed] {world.size} ranks do not pay here: a step takes {here:.2f} ms, of which each rank "
                    f"computes {alone / world.size:.2f}; train on one rank, or with larger batches or a larger net",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _update(self, reached: tuple[int, ...]) -> None:
        """The sum over all shards of all ranks, and the step that it says."""
        shards = self._shards
        bucket, optimizer = shards.bucket, shards.optimizer
        total = Buffer(bucket.size, bucket.dtype)
        launch(self._sum, (total,), (), (bucket.size,))
        optimizer.zero_grad()
        for i in reached:
            shards.params[i].grad = bucket.tensor(total, i)
        optimizer.step()
        optimizer.zero_grad()
        for i, weight in enumerate(shards.statistics, len(shards.params)):
            bucket.add_to(weight.buffer, total, i)
