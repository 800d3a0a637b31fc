"""The pool of free memory: small blocks come back, large ones go back to the system, and the whole has a bound."""

from __future__ import annotations

import pytest

from tinyres.backends import buffers
from tinyres.backends.buffers import KEPT_BYTES, LARGEST_KEPT, Buffer
from tinyres.kernels.dtypes import FLOAT32


def _kept() -> int:
    return sum(len(bin_) * bin_.nbytes for bin_ in buffers._bins_by_class.values())


@pytest.fixture(autouse=True)
def _own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "_bins_by_class", {})
    monkeypatch.setattr(buffers, "_bins", {})


def test_a_block_comes_back() -> None:
    address = Buffer(1000, FLOAT32).address
    assert Buffer(1000, FLOAT32).address == address


def test_a_buffer_whose_making_was_interrupted_goes_quietly() -> None:
    """Ctrl-C between its birth and its memory printed an AttributeError that nobody could catch."""
    Buffer.__new__(Buffer).__del__()


def test_large_blocks_are_not_kept() -> None:
    for megabytes in (64, 80, 112, 431):
        del_me = Buffer((megabytes << 20) // 4, FLOAT32)
        del del_me
    assert _kept() == 0


def test_all_sizes_together_have_a_bound_and_the_size_in_use_is_kept() -> None:
    for kilobytes in (5, 40, 300, 900, 2500, 7000, 20000, 32000):
        held = [Buffer((kilobytes << 10) // 4, FLOAT32) for _ in range(min(4000, (300 << 10) // kilobytes))]
        held.clear()
        assert _kept() <= KEPT_BYTES
        assert len(buffers._bins[kilobytes << 10]) * (kilobytes << 10) >= KEPT_BYTES // 16
    assert LARGEST_KEPT <= KEPT_BYTES // 4
