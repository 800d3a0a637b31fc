"""The shards of one rank: the gradients of each on its own, summed as far as the tree lets one rank sum.

A shard begins from the state that the batch began from: moving statistics, and generators that it draws from by its own
number. What it leaves goes into one flat row: the gradients of its share of the loss, and by how much it moved the
statistics. What it measured goes beside the row, in a few numbers that every rank gets from every shard.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer, Window
from tinyres.capture import capture
from tinyres.capture.finite import FiniteGradients
from tinyres.distributed.buckets import Bucket
from tinyres.distributed.exchange import Exchange
from tinyres.distributed.synced import Across, is_synced
from tinyres.distributed.trees import Node, sum_of
from tinyres.engine.backward import backward
from tinyres.engine.state import state
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import CaptureError, NonFiniteError, ValueCheckFailed
from tinyres.launch import door, launch
from tinyres.training.plan import Meters
from tinyres.training.watching import LayerNorms

_SEEDS_APART = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: the seeds of shards are far from those a user takes


@dataclass(frozen=True)
class Batch:
    """A batch and how it is cut: where shards begin and the number of samples, and what each shard counts of the loss.

    watch: whether the gradient at each layer is measured.
    """

    x: Any
    y: Any
    weight: Any
    limits: Sequence[int]
    shares: np.ndarray
    watch: bool

    def has(self, shard: int) -> bool:
        """Whether the shard has samples."""
        return self.limits[shard] < self.limits[shard + 1]

    def part(self, shard: int | None, dtype: np.dtype) -> tuple[Any, ...]:
        """What a shard's step is called with; None: with the first sample, that it may tell what it gives."""
        start, stop = (0, 1) if shard is None else (self.limits[shard], self.limits[shard + 1])
        cut = [_cut(nest, start, stop) for nest in (self.x, self.y, self.weight)]
        shares = [tensor(share, dtype=dtype) for share in self.shares[shard or 0]]
        return *cut, shares, tensor(self.limits[-1] / (stop - start), dtype=dtype), self.watch


@dataclass(frozen=True)
class Reached:
    """What a shard's step gives gradients of; of one that is watched, the layers and how many squares they have."""

    params: tuple[int, ...]
    layers: tuple[tuple[str, int], ...]
    squares: int


class Told:
    """What each shard has measured, a row of numbers for each: loss, sums of the meters, numbers drawn, squares."""

    def __init__(self, rows: np.ndarray, meters: int, generators: int) -> None:
        self.loss = rows[:, 0].sum()
        measured, drawn, squares = np.split(rows[:, 1:], [meters, meters + generators], axis=1)
        self.sums = measured.sum(axis=0)
        self.drawn = drawn.max(axis=0).astype(np.int64)
        self.squares = squares.sum(axis=0)


class Shards:
    """What a rank needs to run shards of a compiled model."""

    def __init__(self, model: Any, captured: bool, exchange: Exchange) -> None:
        self._across = Across(exchange) if is_synced(model) else None
        self.synced = self._across is not None
        plan = model.plan("train_step")
        self._model = model
        self.optimizer = plan.optimizer
        self.meters: Meters = plan.training
        self.params = [p for p in plan.optimizer.params if p.requires_grad]
        trained = {id(p) for p in model.parameters()}
        kept = [w for w in model.weights if id(w) not in trained]
        self.statistics = [w for w in kept if w.dtype is model.float_dtype]
        self.generators = [generator.state.array for generator in model.generators()]
        self._states = [*[w.buffer.array for w in kept], *self.generators]
        self.bucket = Bucket([t.shape for t in (*self.params, *self.statistics)], model.float_dtype)
        self._row = Buffer(self.bucket.size, self.bucket.dtype)
        self._row.array.fill(0)
        self._moved = [self.bucket.array(self._row.array, len(self.params) + i) for i in range(len(self.statistics))]
        self._free: list[np.ndarray] = []
        self.gradients = capture(self._shard) if captured else self._shard
        self._told: list[np.ndarray | None] = []
        self._reached: Reached | None = None

    def sums(self, batch: Batch, nodes: Sequence[Node]) -> tuple[list[np.ndarray], np.ndarray, Reached]:
        """(the sum of each node of the tree, what each shard told, what was reached); state stays as it was.

        Raises NonFiniteError if the loss or a gradient of a shard is not finite.
        """
        before, sums = [kept.copy() for kept in self._states], self.meters.sums
        self._told, self._reached = [], None

        def row(node: Node, kept: bool) -> np.ndarray | None:
            return self._row_of(node[0], batch, before, kept) if node[1] - node[0] == 1 else None

        try:
            found = [sum_of(node, row, kept=node is not nodes[-1]) for node in nodes]
            if self._reached is None:
                self._run(None, batch, before)
        finally:
            self._restore(before)
            self.meters.sums = sums
        assert self._reached is not None
        width = 1 + len(sums) + len(self.generators) + self._reached.squares
        return found, np.array([np.zeros(width) if told is None else told for told in self._told]), self._reached

    def give_back(self, rows: Sequence[np.ndarray]) -> None:
        """Memory that is not needed any more."""
        self._free += [row for row in rows if row is not self._row.array]

    def _row_of(self, shard: int, batch: Batch, before: Sequence[np.ndarray], kept: bool) -> np.ndarray:
        """What a shard gives; kept: in memory of its own, else where the next one's goes."""
        row = self._row.array
        if batch.has(shard):
            self._told.append(self._run(shard, batch, before))
            share = row.dtype.type(batch.shares[shard, -1])
            for i, weight in enumerate(self.statistics):
                np.subtract(weight.buffer.array, before[i], out=self._moved[i])
                self._moved[i] *= share
        else:
            self._told.append(None)
            row.fill(0)
        if not kept:
            return row
        own = self._free.pop() if self._free else np.empty_like(row)
        own[...] = row
        return own

    def _run(self, shard: int | None, batch: Batch, before: Sequence[np.ndarray]) -> np.ndarray:
        """Run one shard from the state before the batch, and what it told."""
        self._restore(before)
        for generator in self.generators:
            generator[0] = (int(generator[0]) + (shard or 0) * _SEEDS_APART) % 2**63
        began = [generator[1] for generator in self.generators]
        self.meters.sums = np.zeros_like(self.meters.sums)
        given = batch.part(shard, self.bucket.dtype)
        state.across = None if self._across is None else self._across.sum
        try:
            loss, params, layers, squares = self.gradients(*given)
        except ValueCheckFailed:  # in Python; a captured step has said which node it was
            self._restore(before)
            with contextlib.suppress(CaptureError):
                capture(self._shard)(*given)
            raise NonFiniteError(
                "[check_finite] the loss must be finite; it is not; all state is as before this step; lower the rate"
            ) from None
        finally:
            state.across = None
        self._reached = Reached(params, layers, sum(t.size for t in squares))
        drawn = [generator[1] - start for generator, start in zip(self.generators, began)]
        return np.concatenate([[loss.item()], self.meters.sums, drawn, *[t.numpy() for t in squares]])

    def _shard(
        self, x: Any, y: Any, weight: Any, shares: Sequence[Tensor], whole: Tensor, watch: bool
    ) -> tuple[Tensor, tuple[int, ...], tuple[tuple[str, int], ...], list[Tensor]]:
        """The gradients of a shard's share of the loss go to the row: launches only, so that it can be captured."""
        model = self._model
        measured = model.plan("train_step").loss.measured(model, x, y, True, weight, shares)
        loss = measured.total
        if self._across is None:
            launch(kernels.check_finite, (), (loss.buffer,), (1,))
        else:
            self._across.check(loss)
        self.meters.add(measured.times(whole), y, weight)
        self.optimizer.zero_grad()
        observer = LayerNorms([loss, *measured.losses]) if watch else None
        backward(loss, on_node=FiniteGradients(observer))
        recorder, reached = door.recorder, []
        for i, p in enumerate(self.params):
            gradient = p.node.grad if recorder is None else recorder.grad_of(p.node)
            if gradient is not None:
                self.bucket.put(self._row, i, gradient.buffer)
                reached.append(i)
        self.optimizer.zero_grad()
        if observer is None:
            return loss, tuple(reached), (), []
        return loss, tuple(reached), tuple(zip(observer.names, observer.places)), observer.squares

    def _restore(self, before: Sequence[np.ndarray]) -> None:
        for kept, values in zip(self._states, before):
            kept[...] = values


def _cut(nest: Any, start: int, stop: int) -> Any:
    """Samples start to stop, without a copy."""
    if isinstance(nest, list):
        return [_cut(t, start, stop) for t in nest]
    if nest is None:
        return None
    each = nest.size // len(nest)
    window = Window(nest.buffer, start * each * nest.dtype.itemsize, (stop - start) * each, nest.dtype)
    return Tensor(window, (stop - start, *nest.shape[1:]), nest.dtype)
