"""One train step of a residual MLP, the same float32 work in every library; `train_step_table.py` interleaves them.

Rows show GFLOP/s of the matrix products alone and their share of the measured peak: what is missing to 100% is
everything else that a step does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import roofline
from steps import CONTENDERS, OURS, PEERS, SIZES, Size, gemm_flops

from tinyres.backends import native


@pytest.fixture
def as_ours_again() -> Iterator[None]:
    yield
    CONTENDERS[OURS].set_up()


@pytest.mark.parametrize("who", CONTENDERS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_train_step(measure: Any, as_ours_again: None, size: Size, who: str) -> None:
    contender = CONTENDERS[who]
    if not contender.is_available:
        pytest.skip(f"{contender.library} is not installed")
    if contender.threads > 1 and (not native.AVAILABLE or len(os.sched_getaffinity(0)) < contender.threads):
        pytest.skip("too few CPUs")
    contender.set_up()
    measure(
        who, contender.make(size), group=f"train-step {size} (batch/units/blocks)",
        role="ours" if who == OURS else "peer" if who in PEERS else "",
        flops=gemm_flops(size), limit=roofline.fma_peak(),
    )  # fmt: skip
