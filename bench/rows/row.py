"""Row: what a group of the kernel table times, and how its operands are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import peers as libraries
import roofline

Run = Callable[[], object]
Array = np.ndarray

RNG = np.random.default_rng(0)


@dataclass
class Row:
    """One group of the table: a kernel call, and the same in other libraries.

    peers: name -> a function that gets the operands ready and returns what is timed; outputs are preallocated
    wherever the library can take them. work: FLOPs or bytes of one call. limit: "fma", or the stream whose traffic is
    most like the kernel's.
    """

    kernel: str
    outs: list[Array | None]
    ins: list[Array | None]
    args: tuple[int, ...]
    scalars: tuple[float, ...] = ()
    flags: int = 0
    peers: dict[str, Callable[[], Run]] = field(default_factory=dict)
    limit: str = "copy"
    work: float = 0

    @property
    def most_per_second(self) -> float:
        """The roofline of this row, in the unit of its work."""
        return roofline.fma_peak() if self.limit == "fma" else roofline.bandwidth(self.limit, round(self.work))


Rows = Iterator[tuple[str, Callable[[], Row]]]  # the group's name, the kind of operation first, and what makes its row


def normal(*shape: int) -> Array:
    array = roofline.aligned(shape)
    RNG.standard_normal(shape, np.float32, out=array)
    return array


def labels(rows: int, classes: int) -> Array:
    return RNG.integers(0, classes, rows)


def empty(*shape: int) -> Array:
    return roofline.aligned(shape)


def in_jax(function: Callable[[Any], Callable[..., Any]], *arrays: Array) -> Callable[[], Run]:
    """A jitted function of arrays; `function` gets the module jax, so that nothing imports it before it is used."""

    def ready() -> Run:
        jax = libraries.load("jax")
        compiled = jax.jit(function(jax))
        operands = [jax.numpy.asarray(array) for array in arrays]
        return lambda: jax.block_until_ready(compiled(*operands))

    return ready


def in_torch(function: Callable[..., Run], *arrays: Array) -> Callable[[], Run]:
    """function(torch, *tensors) returns what is timed."""

    def ready() -> Run:
        torch = libraries.load("torch")
        return function(torch, *map(torch.from_numpy, arrays))

    return ready
