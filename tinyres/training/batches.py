"""Where batches come from: arrays that were read already, a Loader, or whatever yields them.

A step is called with what a batch holds, (x, y) or (x, y, weight): Tensors, or lists of them for several inputs or
outputs. Each source says how an epoch begins, which batches are left of it, and how to go on from a Position.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tinyres.backends.buffers import Buffer
from tinyres.data.loader import Loader
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.kernels.dtypes import BOOL, FLOAT32, FLOAT64, INT64
from tinyres.ops.random import Generator, default_generator

_CANONICAL = {dtype: dtype for dtype in (FLOAT32, FLOAT64, INT64, BOOL)}  # the engine compares dtypes by identity

_CHECKED_ROWS = 4096
_CHECKED_BYTES = 4 << 20

Batch = tuple[tuple[Any, ...], int]  # what the step is called with, and of how many samples


@dataclass(frozen=True)
class Samples:
    """`count` samples: an array per input of the model, and per output a target and a weight.

    targets: None for predict; a None among them: this output takes none. weights: likewise; None: all count alike.
    """

    inputs: list[np.ndarray]
    targets: Sequence[np.ndarray | None] | None
    count: int
    weights: Sequence[np.ndarray | None] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What tells them from those of another process, by name."""
        return {"the number of samples": self.count, "the checksum of the samples": self.checksum}

    @property
    def checksum(self) -> int:
        """Of all arrays, or of some of their rows."""
        return _checksum([*self.inputs, *(self.targets or ()), *(self.weights or ())])

    def part(self, start: int, stop: int) -> Samples:
        """Samples start to stop, without a copy."""

        def cut(arrays: Sequence[np.ndarray | None] | None) -> list[np.ndarray | None] | None:
            return None if arrays is None else [a if a is None else a[start:stop] for a in arrays]

        return Samples([x[start:stop] for x in self.inputs], cut(self.targets), stop - start, cut(self.weights))

    def batches(self, size: int, order: np.ndarray | None = None, first: int = 0) -> Iterator[Batch]:
        """Batches of `size` samples, the last maybe smaller; in the given order, from batch `first` on."""
        groups = [group for group in (self.inputs, self.targets, self.weights) if group is not None]
        for start in range(first * size, self.count, size):
            stop = min(start + size, self.count)
            chosen = slice(start, stop) if order is None else order[start:stop]
            yield tuple([_one_or_list([_gather(a, chosen, stop - start) for a in g]) for g in groups]), stop - start

    def whole(self) -> tuple[Any, ...]:
        """All samples as one batch."""
        return next(self.batches(self.count))[0]


@dataclass
class Position:
    """Where within an epoch a training stands: what a file needs so that it goes on with the very next batch.

    order: (seed, counter) of the generator that gave the epoch its order. loader: where a Loader stood when the epoch
    began. totals, seen: the running means. data: a checksum of the samples, or of some of many.
    """

    epoch: int
    step: int
    batch_size: int
    samples: int
    order: tuple[int, int] | None
    totals: list[float] | None = None
    seen: int = 0
    loader: dict[str, int] | None = None
    data: int | None = None


class Source(Protocol):
    """What `fit` takes its batches from. steps: of a whole epoch, None if only the end of the data tells."""

    @property
    def steps(self) -> int | None: ...

    @property
    def facts(self) -> dict[str, Any]:
        """What tells the data of one process from that of another, by name."""
        ...

    def resumes(self, position: Position) -> bool:
        """Whether an epoch can go on from there."""
        ...

    def begin(self, epoch: int, resumed: Position | None) -> Position:
        """Begin an epoch, or go on from where a file left it."""
        ...

    def batches(self, position: Position) -> Iterator[Batch]:
        """What is left of the epoch from this position."""
        ...

    def close(self, position: Position) -> Position | None:
        """The epoch is over, or broken off: the position from which the next one starts, where that must be kept."""
        ...


class Arrays:
    """Batches of Samples, in a new order in each epoch if they are shuffled."""

    def __init__(self, samples: Samples, batch_size: int, shuffle: bool, steps: int | None = None) -> None:
        self._samples, self._size, self._shuffle = samples, batch_size, shuffle
        self.inputs = samples.inputs
        self.steps = at_most(steps, math.ceil(samples.count / batch_size))
        self._order: np.ndarray | None = None
        self._data = samples.checksum

    @property
    def facts(self) -> dict[str, Any]:
        return {"the number of samples": self._samples.count, "the checksum of the samples": self._data}

    def resumes(self, position: Position) -> bool:
        same = (position.batch_size, position.samples) == (self._size, self._samples.count)
        same = same and position.data in (None, self._data)
        return same and position.loader is None and (position.order is not None) == self._shuffle

    def begin(self, epoch: int, resumed: Position | None) -> Position:
        generator = default_generator()
        if resumed is not None:
            generator = Generator(0)
            generator.state.array[:] = resumed.order or (0, 0)
        seed, counter = generator.state.array.tolist()
        self._order = generator.numpy().permutation(self._samples.count) if self._shuffle else None
        done = resumed.step if resumed is not None else 0
        began = (seed, counter) if self._shuffle else None
        return Position(epoch, done, self._size, self._samples.count, began, data=self._data)

    def batches(self, position: Position) -> Iterator[Batch]:
        return self._samples.batches(self._size, self._order, position.step)

    def close(self, position: Position) -> Position | None:
        return None


class Loaded:
    """Batches of a Loader, each read as it comes."""

    def __init__(self, loader: Loader, read: Callable[..., Samples], steps: int | None = None) -> None:
        self._loader, self._read = loader, read
        self.steps = at_most(steps, len(loader))
        self._began = loader.epoch
        self._data = _checksum(_arrays_in(next(loader.in_order(_CHECKED_ROWS))))

    @property
    def facts(self) -> dict[str, Any]:
        found = {"the number of samples": self._loader.samples, "the checksum of the samples": self._data}
        return {**found, "where the Loader stands": self._loader.state()}

    def resumes(self, position: Position) -> bool:
        same = (position.batch_size, position.samples) == (self._loader.batch_size, self._loader.samples)
        same = same and position.data in (None, self._data)
        return same and position.loader is not None

    def begin(self, epoch: int, resumed: Position | None) -> Position:
        loader = self._loader
        if resumed is not None and resumed.loader is not None:
            loader.restore(resumed.loader)
            loader.stand(loader.epoch, resumed.step)
        self._began = loader.epoch
        began = {**loader.state(), "batch": 0}
        return Position(epoch, loader.batch, loader.batch_size, loader.samples, None, loader=began, data=self._data)

    def batches(self, position: Position) -> Iterator[Batch]:
        return (read_batch("fit", batch, self._read) for batch in self._loader)

    def close(self, position: Position) -> Position | None:
        loader = self._loader
        if position.step < self.steps:  # a batch that was given and not trained on comes again
            loader.stand(self._began, position.step)
            return None
        loader.stand(self._began + 1, 0)
        return Position(
            position.epoch + 1, 0, loader.batch_size, loader.samples, None, [], loader=loader.state(), data=self._data
        )


class Stream:
    """Batches of anything that yields (x, y) or (x, y, weight). It cannot be taken back to where it stood.

    op: how errors name the call. steps: of an epoch; None: until it ends. What can be iterated over again begins anew
    where it ended.
    """

    def __init__(self, op: str, given: Any, read: Callable[..., Samples], steps: int | None = None) -> None:
        self._op, self._given, self._read, self._limit = op, given, read, steps
        self._anew = not hasattr(given, "__next__")
        self._iterator: Iterator[Any] | None = None
        self._ahead = False  # the first batch was looked at, and is still to come
        self.steps = len(given) if steps is None and self._anew and hasattr(given, "__len__") else steps

    def check(self, epochs: int) -> None:
        """Read the first batch, so that what does not fit is told before anything changes; it is given out later."""
        kind = type(self._given).__name__
        if epochs > 1 and not self._anew and self._limit is None:
            raise ArgumentError(
                f"[{self._op}] a {kind} has no second epoch; got one for {epochs} epochs; say how many steps an epoch "
                "has (steps_per_epoch, validation_steps), or give what can be iterated over again, such as a Loader"
            )
        batches = iter(self._given)
        try:
            first = next(batches)
        except StopIteration:
            raise ArgumentError(
                f"[{self._op}] there must be at least one batch; got a {kind} without; fill it"
            ) from None
        read_batch(self._op, first, self._read)
        self._iterator, self._ahead = itertools.chain([first], batches), True

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    def resumes(self, position: Position) -> bool:
        return False

    def begin(self, epoch: int, resumed: Position | None) -> Position:
        return Position(epoch, 0, 0, 0, None)

    def batches(self, position: Position) -> Iterator[Batch]:
        return self.epoch()

    def epoch(self) -> Iterator[Batch]:
        """The batches of one epoch."""
        if self._limit is None and not self._ahead:
            self._iterator = None
        self._ahead = False
        left, began_anew = self._limit, False
        while left is None or left > 0:
            if self._iterator is None:
                self._iterator, began_anew = iter(self._given), True
            batch = next(self._iterator, None)
            if batch is not None:
                yield read_batch(self._op, batch, self._read)
                left, began_anew = None if left is None else left - 1, False
                continue
            self._iterator = None
            if left is None:
                return
            if not self._anew or began_anew:
                got = (self._limit or 0) - left
                raise ArgumentError(
                    f"[{self._op}] an epoch has {self._limit} steps; got {got} from a "
                    f"{type(self._given).__name__} before it ended; let it yield for ever, or say fewer steps"
                )

    def close(self, position: Position) -> Position | None:
        return None


def _checksum(arrays: Sequence[np.ndarray | None]) -> int:
    """Of all rows, or where they are many of evenly spaced ones: tells whether a training goes on with its data."""
    found = 0
    for array in arrays:
        if array is not None and array.size:
            rows = min(_CHECKED_ROWS, max(16, _CHECKED_BYTES // (array.nbytes // len(array) or 1)), len(array))
            chosen = np.linspace(0, len(array) - 1, rows).astype(np.int64)
            found = zlib.crc32(np.ascontiguousarray(array[chosen]).tobytes(), found)
    return found


def _arrays_in(nest: Any) -> list[np.ndarray]:
    if isinstance(nest, Mapping):
        nest = list(nest.values())
    if isinstance(nest, (list, tuple)):
        return [array for item in nest for array in _arrays_in(item)]
    return [nest] if isinstance(nest, np.ndarray) else []


def arrays_of(inputs: Any) -> list[np.ndarray]:
    """The values of what a step gets as x, a Tensor or a list of them."""
    return [t.numpy() for t in (inputs if isinstance(inputs, list) else [inputs])]


def is_stream(x: Any) -> bool:
    """Whether this yields batches, and is no array or nest of arrays itself."""
    if hasattr(x, "__next__"):
        return True
    arrays = (list, tuple, dict, str, bytes, range, Tensor, Loader)
    return (
        hasattr(x, "__iter__")
        and not isinstance(x, arrays)
        and not any(hasattr(x, name) for name in ("__array__", "__array_interface__", "keys", "columns"))
    )


def read_batch(op: str, batch: Any, read: Callable[..., Samples]) -> Batch:
    """What a Loader or a generator gave, read and as Tensors."""
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        got = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else type(batch).__name__
        raise ArgumentError(f"[{op}] a batch is (x, y) or (x, y, sample_weight); got {got}; yield a tuple of them")
    samples = read(*batch)
    return samples.whole(), samples.count


def at_most(steps: int | None, there: int) -> int:
    """The steps of an epoch: all there are, or as many as were asked for."""
    if steps is not None and steps > there:
        raise ArgumentError(
            f"[fit] steps_per_epoch is at most the number of batches, {there}; got {steps}; leave it out for all"
        )
    return there if steps is None else steps


def _one_or_list(tensors: list[Tensor | None]) -> Any:
    return tensors[0] if len(tensors) == 1 else tensors


def placeholder(array: np.ndarray, count: int) -> Tensor:
    """A Tensor of `count` samples like these, without values."""
    shape, dtype = (count, *array.shape[1:]), _CANONICAL[array.dtype]
    return Tensor(Buffer(math.prod(shape), dtype), shape, dtype)


def _gather(array: np.ndarray | None, chosen: slice | np.ndarray, count: int) -> Tensor | None:
    if array is None:
        return None
    shape = (count, *array.shape[1:])
    dtype = _CANONICAL[array.dtype]
    buffer = Buffer(count * (array.size // len(array)), dtype)
    out = buffer.array.reshape(shape)
    if isinstance(chosen, slice):
        out[...] = array[chosen]
    else:
        np.take(array, chosen, axis=0, out=out, mode="clip")  # any other mode goes through a copy
    return Tensor(buffer, shape, dtype)


def split_off(op: str, samples: Samples, fraction: float) -> tuple[Samples, Samples]:
    """All but the last `fraction` of the samples, and those: the validation split of Keras, before any shuffling."""
    train = int(samples.count * (1 - fraction))
    if not 0 < train < samples.count:
        raise ArgumentError(
            f"[{op}] validation_split={fraction} of {samples.count} sample(s) leaves {train} to train on and "
            f"{samples.count - train} to validate on; choose another fraction, or give validation_data"
        )
    return samples.part(0, train), samples.part(train, samples.count)
