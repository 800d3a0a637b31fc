"""How a kernel's record says that workers can share it, against what the C kernel does: the same bits, cut or whole."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from kernel_cases import Array, Case, cases

from tinyres.backends import native
from tinyres.capture.workers import Share, can_be_cut
from tinyres.kernels.record import BY_COLUMNS, BY_ROWS, HALF_OF_K, KERNELS, SHARE_UNIT, TOGETHER
from tinyres.kernels.sharing import ROW, UNDIVIDED, Broadcast, Cut

pytestmark = pytest.mark.skipif(not native.AVAILABLE, reason="workers belong to the native core")
SHARED = sorted(name for name, kernel in KERNELS.items() if kernel.sharing is not UNDIVIDED)
WAYS = {"columns": BY_COLUMNS, "rows": BY_ROWS}


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = native.threads()
    native.set_threads(3)
    yield
    native.set_threads(before)


def pack(case: Case, operands: list[Array | None], share: int) -> bytes:
    kernel = KERNELS[case.kernel]
    addresses = [0 if array is None else array.ctypes.data for array in operands]
    return kernel.pack(kernel.native_id, case.flags, share, *addresses, *case.args, *case.scalars)


A, B, PRODUCT = (np.ones((256, 256), np.float32) for _ in range(3))


def large_product() -> bytes:
    """Work for all: a list with it wakes the workers."""
    addresses = [array.ctypes.data for array in (PRODUCT, A, B)]
    return KERNELS["matmul"].pack(KERNELS["matmul"].native_id, 0, TOGETHER, *addresses, 0, 0, 256, 256, 256)


def outputs(case: Case, share: int) -> list[bytes]:
    operands = [None if array is None else array.copy() for array in (*case.outs, *case.ins)]
    assert native.run(large_product() + pack(case, operands, share), 2) == -1
    return [array.tobytes() for array in operands[: len(case.outs)] if array is not None]


def cut_of(case: Case, way: str) -> Cut | None:
    """How the case can be cut, by its smallest number where any will do."""
    sharing = KERNELS[case.kernel].sharing
    rule = sharing.by_columns if way == "columns" else sharing.by_rows
    cut = rule(KERNELS[case.kernel], case.args, case.flags)
    if cut is None or 0 in KERNELS[case.kernel].sizes_of_work(case.args):
        return None
    if cut.flat:
        fitting = [count for count in range(2 * SHARE_UNIT, cut.count + 1, SHARE_UNIT) if cut.count % count == 0]
        return Cut(fitting[0], cut.reads) if fitting else None
    return cut if can_be_cut(cut.count) else None


def wide_cases(name: str) -> Iterator[Case]:
    """The kernel's cases, and for what broadcasts a row over columns that can be cut."""
    yield from cases(name)
    if isinstance(KERNELS[name].sharing, Broadcast):
        rng = np.random.default_rng(0)
        letters = KERNELS[name].ins
        types = {"f": np.float32, "b": np.bool_, "l": np.int64}
        sizes = [5 * 48] * (len(letters) - 1) + [48]
        ins = [rng.integers(1, 9, size).astype(types[letter]) for size, letter in zip(sizes, letters)]
        out = np.zeros(5 * 48, types[KERNELS[name].outs.lower()])
        yield Case(name, [out], [*ins], (5, 48), (), ROW << 2 * (len(letters) - 1))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SHARED)
def test_a_cut_call_gives_the_bits_of_a_whole_one(name: str, way: str) -> None:
    found = [(case, cut) for case in wide_cases(name) if (cut := cut_of(case, way)) and not case.flags & HALF_OF_K]
    for case, cut in islice(reversed(found), 12):
        share = Share(WAYS[way], cut.count, waits=True).bits
        assert outputs(case, share) == outputs(case, Share(TOGETHER, waits=True).bits), f"{case.args} {case.flags:#x}"
    if way == "columns":
        assert found, f"{name} says that it can be shared by columns, and none of its cases is wide enough to show it"
