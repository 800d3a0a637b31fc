"""World: the ranks of one program that train together, and how many shards they cut each batch into."""

from __future__ import annotations

import itertools
import weakref
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer, from_array
from tinyres.distributed.buckets import Bucket
from tinyres.distributed.exchange import Exchange
from tinyres.distributed.ranks import agree
from tinyres.distributed.starting import facts_of, refuse_own_step, take_from_first
from tinyres.distributed.stepping import ShardedStep
from tinyres.distributed.synced import is_synced
from tinyres.distributed.trees import Node, bounds, sum_of
from tinyres.engine.tensor import FLOATS, Tensor, tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.kernels.dtypes import FLOAT64
from tinyres.kernels.host import hosted
from tinyres.launch import launch
from tinyres.training.reading import read_count


class World:
    """Ranks that train together; `tinyres.distributed.world` makes it.

    rank, size: which of how many. shards: into how many parts each batch is cut, whatever the number of ranks.
    mine: the shards that this rank computes, neighbours. Its methods raise ArgumentError for fewer samples than shards.

    >>> import tinyres as tr
    >>> world = tr.distributed.world(shards=4)
    >>> world.rank, world.size, world.mine
    (0, 1, range(0, 4))
    """

    def __init__(self, comm: Any, shards: int) -> None:
        self.comm = comm
        self.rank: int = comm.rank
        self.size: int = comm.size
        self.shards = shards
        self.exchange = Exchange(comm, shards)
        self.mine = range(*self.exchange.limits[self.rank : self.rank + 2])
        self._steps: weakref.WeakKeyDictionary[Any, tuple[Any, bool, ShardedStep]] = weakref.WeakKeyDictionary()
        self._mean = hosted(_averaging(self.exchange), "f", "fd", "shards size")

    @property
    def bytes_sent(self) -> int:
        """What this rank has sent so far."""
        return self.exchange.sent

    def rows(self, samples: int) -> list[slice]:
        """The rows of a batch of so many samples that each shard of this rank takes.

        Raises ArgumentError for fewer samples than shards.

        >>> import tinyres as tr
        >>> tr.distributed.world(shards=4).rows(10)
        [slice(0, 3, None), slice(3, 6, None), slice(6, 8, None), slice(8, 10, None)]
        """
        samples = read_count("distributed", "samples", samples, 0)
        if samples < self.shards:
            raise ArgumentError(
                f"[distributed] each shard takes at least one sample of a batch; got {samples} for {self.shards} "
                "shards; leave that batch out, or make the world with fewer shards"
            )
        limits = bounds(samples, self.shards)
        return [slice(limits[shard], limits[shard + 1]) for shard in self.mine]

    def mean(self, gradients: Sequence[Any], weights: Sequence[float] | None = None) -> list[Tensor]:
        """The mean over all shards of all ranks, the same bits on each and for any number of ranks.

        gradients: for each shard of this rank a list of Tensors or arrays, of the same shapes in all; of a rank with
        one shard, that list alone. weights: of each shard of this rank, such as its number of samples; None: all count
        alike. In a captured step it is a call of the program. Every rank must call it as often as the others. Raises
        ArgumentError unless it gets what each shard has, ShapeError where the ranks' sizes differ.

        >>> import tinyres as tr
        >>> world = tr.distributed.world(shards=2)
        >>> world.mean([[tr.tensor([1.0, 2.0])], [tr.tensor([3.0, 6.0])]])
        [Tensor([2., 4.], shape=(2,), dtype=float32)]
        """
        parts = self._of_shards(gradients)
        bucket = Bucket([t.shape for t in parts[0]], parts[0][0].dtype)
        for part in parts[1:]:
            if [t.shape for t in part] != bucket.shapes:
                raise ShapeError(
                    f"[distributed] all shards have gradients of the same shapes; got {[t.shape for t in part]} beside "
                    f"{bucket.shapes}; give them in one order"
                )
        rows = Buffer(len(parts) * bucket.size, bucket.dtype)
        launch(kernels.fill, (rows,), (), (rows.size,), (0.0,))  # what lies between two Tensors is sent along
        for number, part in enumerate(parts):
            for i, t in enumerate(part):
                bucket.put(rows, i, t.buffer, number * bucket.size)
        factors = from_array(np.array(self._weights(weights), np.float64), FLOAT64)
        means = Buffer(bucket.size, bucket.dtype)
        launch(self._mean, (means,), (rows, factors), (len(parts), bucket.size))
        return [bucket.tensor(means, i) for i in range(len(bucket.shapes))]

    def any(self, said: bool) -> bool:
        """Whether any rank says so; all ask."""
        if self.size == 1:
            return bool(said)
        told = np.empty(self.size, np.int8)
        self.comm.Allgather(np.array([said], np.int8), told)
        return bool(told.any())

    def first_said(self, text: str | None) -> str | None:
        """What the first rank says that says something; all ask."""
        return next(t for t in self.comm.allgather(text) if t is not None) if self.any(text is not None) else None

    def in_turn(self, rows: list[Any]) -> list[Any]:
        """What all ranks have: the first of each, by rank, then the second of each."""
        everyone = self.comm.allgather(rows)
        return [row for turn in itertools.zip_longest(*everyone) for row in turn if row is not None]

    def meet(self, model: Any, facts: Mapping[str, Any]) -> None:
        """Raise ArgumentError unless all ranks have the same weights, and share this data."""
        checksum = 0
        for weight in model.weights:
            checksum = zlib.crc32(weight.buffer.array.tobytes(), checksum)
        facts = {"the number of weights": sum(w.size for w in model.weights), **facts}
        agree(self.comm, {**facts, "the checksum of the weights": checksum}, "give each rank the same model and data")

    def begin(self, model: Any, facts: Mapping[str, Any]) -> None:
        """Raise ArgumentError unless all ranks train such a model on such data; then all have rank 0's weights."""
        refuse_own_step(model)
        if is_synced(model) and self.shards != self.size:
            raise ArgumentError(
                f"[fit] BatchNormalization(sync=True) meets the other shards within a step, so a rank takes one; got "
                f"{self.shards} shards on {self.size} ranks; make the world with shards={self.size}"
            )
        agree(self.comm, {**facts_of(model), **facts}, "give each rank the same script and data")
        if self.size > 1:
            take_from_first(self.comm, model)

    def step(self, model: Any, captured: bool) -> ShardedStep:
        """What runs a step of `fit` over the ranks."""
        plan = model.plan("fit")
        made = self._steps.get(model)
        if made is None or made[0] is not plan or made[1] != captured:
            made = self._steps[model] = plan, captured, ShardedStep(self, model, captured and not model.run_eagerly)
        return made[2]

    def _of_shards(self, gradients: Sequence[Any]) -> list[list[Tensor]]:
        listed = list(gradients) if isinstance(gradients, Iterable) else []
        if len(self.mine) == 1 and listed and not isinstance(listed[0], (list, tuple)):
            listed = [listed]
        if len(listed) != len(self.mine) or not all(isinstance(part, (list, tuple)) and part for part in listed):
            raise ArgumentError(
                f"[distributed] mean takes a list of gradients for each of this rank's {len(self.mine)} shards; got "
                f"{len(listed)} of {type(listed[0]).__name__ if listed else 'nothing'}; loop over world.rows(samples)"
            )
        if any(t is None for part in listed for t in part):
            raise ArgumentError(
                "[distributed] mean takes gradients that are there; got None, of a parameter that nothing reached; "
                "leave it out, on every rank"
            )
        parts = [[t if isinstance(t, Tensor) else tensor(t) for t in part] for part in listed]
        dtypes = {t.dtype for part in parts for t in part}
        if len(dtypes) > 1 or not dtypes <= set(FLOATS):
            raise ArgumentError(
                f"[distributed] gradients are of one float type; got {', '.join(sorted(map(str, dtypes)))}; cast them"
            )
        return parts

    def _weights(self, weights: Sequence[float] | None) -> list[float]:
        try:
            found = [1.0] * len(self.mine) if weights is None else [float(weight) for weight in weights]
        except (TypeError, ValueError):  # of what is no number, or no list
            found = []
        if len(found) != len(self.mine) or not all(0 <= weight < np.inf for weight in found):
            raise ArgumentError(
                f"[distributed] weights are a number >= 0 for each of this rank's {len(self.mine)} shards; got "
                f"{weights!r}; give the samples of each"
            )
        return found

    def __repr__(self) -> str:
        return f"<World: rank {self.rank} of {self.size}, {self.shards} shards>"


def _averaging(exchange: Exchange) -> Callable[..., None]:
    def mean_over_shards(
        means: np.ndarray, rows: np.ndarray, factors: np.ndarray, shards: int, size: int, *, flags: int
    ) -> None:
        told = exchange.rows(np.column_stack([factors, np.full(shards, float(size))]))
        if not (told[:, 1] == size).all():
            raise ShapeError(
                f"[distributed] all ranks give gradients of one size; got {sorted(set(map(int, told[:, 1])))} numbers; "
                "run the same program on each"
            )
        total = told[:, 0].sum()
        if not total > 0:
            raise ArgumentError("[distributed] some shard must have a weight above 0; got none; give samples")
        parts = rows.reshape(shards, size)
        first = exchange.nodes[0][0]

        def weighted(node: Node, kept: bool) -> np.ndarray | None:
            if node[1] - node[0] > 1:
                return None
            row = node[0] - first
            return np.multiply(parts[row], rows.dtype.type(factors[row] / total))

        exchange.sum([sum_of(node, weighted) for node in exchange.nodes], means)

    return mean_over_shards
