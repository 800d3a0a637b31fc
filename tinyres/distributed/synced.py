"""What meets the other shards in the middle of a step: the statistics of a BatchNormalization(sync=True).

Each rank has one shard then: a second one would have to wait, half done, for the first. A loss that is not finite must
be known to all before anyone goes on to a sum that the others do not come to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinyres.backends.buffers import Buffer
from tinyres.distributed.exchange import Exchange
from tinyres.engine.layout import Shape
from tinyres.engine.op import Context, Gradients, apply
from tinyres.engine.tensor import Tensor
from tinyres.errors import NonFiniteError
from tinyres.kernels.host import hosted
from tinyres.kernels.record import Kernel
from tinyres.launch import launch
from tinyres.ops.custom import CustomOp


class KnownToAll(NonFiniteError):
    """Raised on every rank at the same call."""


def layers_of(layer: Any) -> Iterator[Any]:
    """A layer and all within."""
    yield layer
    for inner in layer.layers:
        yield from layers_of(inner)


def is_synced(model: Any) -> bool:
    """Whether a layer of the model takes statistics over all shards."""
    return any(getattr(layer, "sync", False) for layer in layers_of(model))


def _shape(x: Tensor, kernel: Kernel) -> Shape:
    return x.shape


def _forward(out: Buffer, x: Tensor, kernel: Kernel) -> None:
    launch(kernel, (out,), (x.buffer,), (x.size,))


def _vjp(g: Tensor, ctx: Context) -> Gradients:
    return (apply(ACROSS, (g,), *ctx.attrs),)  # every rank's sum has every rank's part in it


ACROSS = CustomOp("sum_across_shards", shape=_shape, forward=_forward, vjp=_vjp)


class Across:
    """Sums over the shards of all ranks, each of which has one."""

    def __init__(self, exchange: Exchange) -> None:
        def sum_across_shards(out: np.ndarray, x: np.ndarray, n: int, *, flags: int) -> None:
            out[...] = exchange.rows(x[None]).sum(axis=0, dtype=np.float64)

        def finite_everywhere(out: np.ndarray, loss: np.ndarray, *, flags: int) -> None:
            out[...] = loss
            if not np.isfinite(exchange.rows(loss[None])).all():
                raise KnownToAll(
                    "[check_finite] the loss must be finite on every rank; it is not; all state is as before this "
                    "step; lower the learning rate or look at its inputs"
                )

        self._sum = hosted(sum_across_shards, "f", "f", "n")
        self._check = hosted(finite_everywhere, "f", "f")

    def sum(self, x: Tensor) -> Tensor:
        """The sum of x over all shards."""
        return apply(ACROSS, (x,), self._sum)

    def check(self, loss: Tensor) -> None:
        """Raise KnownToAll, on every rank, if the loss of any is not finite."""
        launch(self._check, (Buffer(1, loss.dtype),), (loss.buffer,))
