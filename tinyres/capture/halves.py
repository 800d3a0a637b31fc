"""Products in two halves: what makes two workers worth their while where weights are large.

By columns, a worker has its columns of every weight: short runs of each row, and processors, which fetch ahead along a
row, bring the other worker's runs along, which take them from it and have to be fetched back. By rows each has one half
of the weight's memory, in one piece: in the forward product x W it sums its half of k (`HALF_OF_K`), the columns of x
and the rows of W; in the backward product g Wᵀ it makes those columns; and of the gradient xᵀ g and its update it makes
those rows. Weights then never go from one worker to the other.

The two sums are added, and bias and ReLU done, by a call of their own behind the next wait. It gives the very bits of
the whole product, for that is summed in halves too, on any number of workers (csrc/gemm_steps.inc.h).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tinyres.backends import native
from tinyres.backends.buffers import Buffer, Window
from tinyres.capture.program import NO_SLOT
from tinyres.capture.workers import PlacedCall, can_be_cut
from tinyres.kernels.dtypes import FLOAT32
from tinyres.kernels.record import GEMM_DEPTH, GEMM_HALVES_FROM, HALF_OF_K, RELU, Kernel


def in_halves(calls: Sequence[PlacedCall]) -> list[PlacedCall]:
    """The calls for two workers, with each large product as two calls; their buffers take turns and live with them."""
    sizes = [placed.outs[0].size for placed in calls if _can_be_halved(placed)]
    if not sizes:
        return list(calls)
    sums = [Buffer(2 * max(sizes), FLOAT32) for _ in range(2)]  # while one is read, the next product writes the other
    halved: list[PlacedCall] = []
    for placed in calls:
        join = placed.call.kernel.halves
        if join is not None and _can_be_halved(placed):
            sums.reverse()
            halved += _halved(placed, join, sums[0])
        else:
            halved.append(placed)
    return halved


def _can_be_halved(placed: PlacedCall) -> bool:
    call = placed.call
    mask = call.kernel.input(call.kernel.epilogues.mask)
    if call.kernel.halves is None or call.flags & ~RELU or placed.ins[mask].size:
        return False
    m, n, k = call.args
    return m > 1 and GEMM_HALVES_FROM <= k <= GEMM_DEPTH and can_be_cut(k) and can_be_cut(n)


def _halved(placed: PlacedCall, join: Kernel, sums: Buffer) -> tuple[PlacedCall, PlacedCall]:
    call, (a, b, bias, absent) = placed.call, placed.ins
    m, n, _ = call.args
    halves = replace(call, outs=(NO_SLOT,), ins=(*call.ins[:2], NO_SLOT, NO_SLOT), flags=HALF_OF_K)
    joining = replace(call, kernel=join, ins=(NO_SLOT, NO_SLOT, call.ins[2]), args=(m, n), flags=call.flags & RELU)
    cost = native.cost(join.pack(join.native_id, 0, 0, *[0] * len(join.operands), m, n))
    first, second = (Window(sums, half * m * n * FLOAT32.itemsize, m * n, FLOAT32) for half in range(2))
    return (
        replace(placed, call=halves, outs=[sums], ins=[a, b, absent, absent]),
        replace(placed, call=joining, ins=[first, second, bias], cost=cost),
    )
