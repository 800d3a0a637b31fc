"""Random numbers: one counter-based generator that everything random in the library draws from, and dropout.

A Generator's whole state is (seed, counter) in a buffer, so that a captured step moves it on like any other state,
and a saved one resumes exactly. Philox4x32-10: Salmon, Moraes, Dror, Shaw, Parallel random numbers, SC 2011.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer, from_array
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, Op, apply
from tinyres.engine.primitives import Operand, as_operands
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError
from tinyres.kernels.dtypes import INT64
from tinyres.launch import launch, refuse_while_recording


class _Preserved(threading.local):
    """What a `preserving_generator` block draws from instead of a generator's own state."""

    states: dict[Generator, Buffer] | None = None


_preserved = _Preserved()


class Generator:
    """A stream of random numbers. The same seed gives the same numbers on every backend and machine.

    seed: an int in 0..2**63 - 1. state: the int64 buffer (seed, counter). Raises ArgumentError for another seed.

    >>> import tinyres as tr
    >>> first, second = tr.Generator(7), tr.Generator(7)
    >>> bool(first.numpy().random() == second.numpy().random())
    True
    """

    __slots__ = ("state",)

    def __init__(self, seed: int) -> None:
        self.state = Buffer(2, INT64)
        self.state.array[...] = _checked_seed("Generator", seed), 0

    def manual_seed(self, seed: int) -> None:
        """Start anew with this seed."""
        refuse_while_recording("manual_seed")
        self._current().array[...] = _checked_seed("manual_seed", seed), 0

    def key(self, n: int) -> Buffer:
        """The key of the next n numbers, as the kernels take it; moves past them."""
        key = Buffer(2, INT64)
        launch(kernels.random_key, (key, self._current()), (), (n,))
        return key

    def numpy(self) -> np.random.Generator:
        """A NumPy generator seeded from here, for shuffles and initialisers; a new one each time."""
        refuse_while_recording("Generator.numpy")
        state = self._current().array
        seed, counter = state.tolist()
        state[1] = counter + 4
        return np.random.default_rng((seed, counter))

    def _current(self) -> Buffer:
        """The state to draw from: inside `preserving_generator` a copy, which other threads do not see."""
        states = _preserved.states
        if states is None:
            return self.state
        if self not in states:
            states[self] = from_array(self.state.array, INT64)
        return states[self]

    def __deepcopy__(self, memo: dict[int, object]) -> Generator:
        """A generator that stands where this one stands and goes on alone."""
        clone = memo[id(self)] = Generator(0)
        clone.state.array[...] = self._current().array
        return clone

    def __copy__(self) -> Generator:
        return self.__deepcopy__({})

    def __reduce_ex__(self, protocol: Any) -> Any:
        refuse_while_recording("pickle")
        return _standing_at, tuple(self._current().array.tolist())

    def __repr__(self) -> str:
        seed, counter = self._current().array.tolist()
        return f"Generator(seed={seed}, counter={counter})"


def _standing_at(seed: int, counter: int) -> Generator:
    generator = Generator(seed)
    generator.state.array[1] = counter
    return generator


def _checked_seed(op: str, seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise ArgumentError(f"[{op}] a seed is an int in 0..2**63 - 1; got {seed!r}; choose one, such as 0")
    return int(seed)


_default = Generator(int.from_bytes(os.urandom(8), "little") >> 1)


def default_generator() -> Generator:
    """The generator that is used where none is given."""
    return _default


def manual_seed(seed: int) -> None:
    """Start the default generator anew: initialisers, shuffles and dropout repeat exactly.

    >>> import tinyres as tr
    >>> tr.manual_seed(0)
    >>> first = tr.dropout(tr.tensor([1.0, 1.0, 1.0]), 0.5)
    >>> tr.manual_seed(0)
    >>> (tr.dropout(tr.tensor([1.0, 1.0, 1.0]), 0.5) == first).tolist()
    [True, True, True]
    """
    refuse_while_recording("manual_seed")
    _default.manual_seed(seed)


@contextlib.contextmanager
def preserving_generator() -> Iterator[None]:
    """Draw the numbers that would come next, and leave every generator as it was (this thread only)."""
    outer = _preserved.states
    _preserved.states = {generator: from_array(state.array, INT64) for generator, state in (outer or {}).items()}
    try:
        yield
    finally:
        _preserved.states = outer


def _dropout_shape(x: Tensor, rate: float, key: Buffer) -> Shape:
    return x.shape


def _dropout_forward(out: Buffer, x: Tensor, rate: float, key: Buffer) -> None:
    launch(kernels.dropout, (out,), (x.buffer, key), (out.size,), (rate,))


def _dropout_vjp(g: Tensor, ctx: Context) -> Gradients:
    return (apply(DROPOUT, (g,), *ctx.attrs),)  # linear in x: the gradient is the same mask, drawn again


def _dropped(rate: float, key: Buffer) -> float:
    return rate


DROPOUT = Op("dropout", shape=_dropout_shape, forward=_dropout_forward, vjp=_dropout_vjp, drops=_dropped)


def dropout(x: Operand, rate: float, generator: Generator | None = None) -> Tensor:
    """Zero each element with probability `rate` and divide the others by 1 - rate (Srivastava et al., 2014).

    rate: in 0 <= rate < 1; at 0 it is x itself. generator: the default one if None.
    Raises ArgumentError for another rate.

    >>> import tinyres as tr
    >>> tr.manual_seed(0)
    >>> tr.dropout(tr.tensor([1.0, 1.0, 1.0, 1.0]), 0.5).shape
    (4,)
    """
    if not isinstance(rate, (int, float, np.number)) or not 0 <= rate < 1:
        raise ArgumentError(f"[dropout] the rate is the share to zero, 0 <= rate < 1; got {rate!r}; choose another")
    if not isinstance(x, Tensor):
        (x,) = as_operands(x)
    if rate == 0:
        return x
    return apply(DROPOUT, (x,), float(rate), (generator or _default).key(x.size))
