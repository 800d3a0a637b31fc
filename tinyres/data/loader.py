"""Loader: batches of arrays that need not fit into memory, shuffled by a seed, and resumable.

The order of an epoch follows from the seed and the number of the epoch alone, so three integers say where a Loader
stands, and a file of a model keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tinyres.errors import ArgumentError, ShapeError, refuse_masked


class Loader:
    """Batches of x, (x, y) or (x, y, sample_weight) as NumPy arrays; each `for` runs over one epoch.

    x, y, sample_weight: an array, np.memmap included, or a list or dict of arrays, all of (samples, ...); only the rows
    of a batch are read. batch_size: samples a batch. shuffle: a new order in each epoch. seed: what the orders follow
    from. drop_last: leave out a last batch that is not full. `len` is the number of batches in an epoch.

    A Loader that was left within an epoch goes on there. `fit` puts where it stands into the model's file, and a
    training that is resumed with a Loader of the same data is the same bit for bit. `evaluate` and `predict` go over
    all samples in their order, and do not move it. Raises ArgumentError or ShapeError for arguments that do not fit.

    >>> import numpy as np
    >>> import tinyres as tr
    >>> loader = tr.data.Loader(np.arange(5), batch_size=2, shuffle=False)
    >>> [batch.tolist() for batch in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.batch_size = _integer("batch_size", batch_size, 1)
        self.seed = _integer("seed", seed, 0)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        if x is None or (y is None and sample_weight is not None):
            raise ArgumentError(
                "[Loader] samples are x, (x, y) or (x, y, sample_weight); got them without x or y; add it"
            )
        parts = [x] if y is None else [x, y] if sample_weight is None else [x, y, sample_weight]
        for array in [array for part in parts for array in _leaves(part)]:
            refuse_masked("Loader", array)
        self._parts = [_mapped(_array, part) for part in parts]
        counts = [len(array) for part in self._parts for array in _leaves(part)]
        if len(set(counts)) != 1 or not counts[0]:
            raise ShapeError(
                f"[Loader] all arrays must have the same number of samples, at least one; got {counts}; cut them to "
                "one length"
            )
        self.samples = counts[0]
        if not len(self):
            raise ArgumentError(
                f"[Loader] drop_last leaves out the only batch; got {self.samples} sample(s) in batches of "
                f"{self.batch_size}; choose a smaller batch_size"
            )
        self.epoch = self.batch = 0

    def __len__(self) -> int:
        whole, rest = divmod(self.samples, self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[Any]:
        """The batches of the present epoch from where the Loader stands; then the next epoch is the present one."""
        order = self._order()
        for batch in range(self.batch, len(self)):
            self.stand(self.epoch if batch + 1 < len(self) else self.epoch + 1, (batch + 1) % len(self))
            yield self._batch(batch * self.batch_size, order)

    def in_order(self, batch_size: int | None = None) -> Iterator[Any]:
        """All samples once as they are stored, none dropped; where the Loader stands does not change."""
        size = self.batch_size if batch_size is None else batch_size
        for start in range(0, self.samples, size):
            yield self._batch(start, None, size)

    def stand(self, epoch: int, batch: int) -> None:
        """Go to this batch of this epoch, both counted from 0."""
        self.epoch, self.batch = epoch, batch

    def state(self) -> dict[str, int]:
        """Where the Loader stands: seed, epoch and batch, for `restore`."""
        return {"seed": self.seed, "epoch": self.epoch, "batch": self.batch}

    def restore(self, state: Mapping[str, int]) -> None:
        """Go to where a Loader of the same data stood.

        Raises ArgumentError if this is not what `state` gave, or lies beyond the last batch.
        """
        if not isinstance(state, Mapping) or set(state) != {"seed", "epoch", "batch"}:
            raise ArgumentError(f"[Loader] a state is what loader.state() gave; got {state!r}; give that")
        seed, epoch, batch = (_integer(key, state[key], 0) for key in ("seed", "epoch", "batch"))
        if batch >= len(self):
            raise ArgumentError(
                f"[Loader] the state must be of a Loader of the same data and batch_size; got batch {batch} of "
                f"{len(self)}; make it as it was"
            )
        self.seed = seed
        self.stand(epoch, batch)

    def __repr__(self) -> str:
        return f"<Loader of {self.samples} samples, {len(self)} batches of {self.batch_size}, at epoch {self.epoch}>"

    def _order(self) -> np.ndarray | None:
        return np.random.default_rng([self.seed, self.epoch]).permutation(self.samples) if self.shuffle else None

    def _batch(self, start: int, order: np.ndarray | None, size: int | None = None) -> Any:
        stop = min(start + (size or self.batch_size), self.samples)
        rows = slice(start, stop) if order is None else order[start:stop]
        made = [_mapped(lambda array: np.array(array[rows]), part) for part in self._parts]
        return made[0] if len(made) == 1 else tuple(made)


def _integer(what: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"[Loader] {what} is an integer >= {least}; got {value!r}; choose another")
    return int(value)


def _mapped(change: Callable[[Any], np.ndarray], part: Any) -> Any:
    """The same nest of other arrays."""
    if isinstance(part, Mapping):
        return {name: change(array) for name, array in part.items()}
    if isinstance(part, (list, tuple)) and part and all(hasattr(array, "shape") and array.shape for array in part):
        return [change(array) for array in part]
    return change(part)


def _leaves(part: Any) -> list[np.ndarray]:
    return list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else [part]


def _array(value: Any) -> np.ndarray:
    """The value as an array with an axis for the samples, a memory-mapped one as it is."""
    try:
        array = np.asanyarray(value)
    except (ValueError, TypeError):
        raise ShapeError(
            f"[Loader] samples must be arrays; got a ragged or unreadable {type(value).__name__}; make all rows the "
            "same length"
        ) from None
    if not array.ndim:
        raise ShapeError(f"[Loader] an array needs an axis for the samples; got {type(value).__name__}; give a list")
    return array
