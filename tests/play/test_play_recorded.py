"""What a record holds, and that a training can be come back to in Python, change by change."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tinyres.play import data, export
from tinyres.play.description import key, read
from tinyres.play.nets import Net
from tinyres.play.recording import recorded
from tinyres.play.replay import replayed

SMALL = Net(block="he2015", blocks=3, units=8, features=2, classes=2, batch=16)


def head_of(record: bytes) -> Any:
    return json.loads(record[4 : 4 + int.from_bytes(record[:4], "little")])


@pytest.fixture(scope="module")
def xor() -> data.Data:
    return data.load("xor")


@pytest.mark.slow
def test_a_record_is_drawn_and_told_by_the_library() -> None:
    head = head_of(recorded(replace(SMALL, blocks=12, units=16)))
    assert head["ribbon"].count('data-strand="skip"') == 12 == head["ribbon"].count('data-shows="branch"')
    assert "stroke-width=" not in head["ribbon"].partition("</defs>")[2]
    residual, plain = head["told"]["residual"], head["told"]["plain"]
    assert sum(residual["paths"]["shares"]) == pytest.approx(1.0, abs=1e-5)
    assert sum(residual["paths"]["binomial"]) == pytest.approx(1.0)
    assert len(residual["fit"]) == 12 and plain["paths"] is None
    assert residual["sentences"] and not any("lint" in s for s in plain["sentences"])


def test_a_net_without_skips_is_a_record_too() -> None:
    head = head_of(recorded(replace(SMALL, block="plain")))
    assert 'data-strand="skip"' not in head["ribbon"]


@pytest.mark.slow
def test_a_training_goes_through_its_changes(xor: data.Data) -> None:
    plain = replayed(SMALL, xor.x, xor.y, 6)
    assert replayed(SMALL, xor.x, xor.y, 6) == plain
    changed = replayed(SMALL, xor.x, xor.y, 6, events=[(3, "skip:1", 0.5)])
    assert changed[:3] == plain[:3] and changed[3] != plain[3]
    slower = replayed(SMALL, xor.x, xor.y, 6, events=[(3, "lr", 0.0001)])
    assert slower[:4] == plain[:4] and slower[4] != plain[4]
    back = replayed(SMALL, xor.x, xor.y, 3, events=[(0, "branch", 0.5), (0, "branch", 1.0)])
    assert back == plain[:3]


def test_skips_of_0_are_the_net_without_skips(xor: data.Data) -> None:
    cut = replayed(SMALL, xor.x, xor.y, 5, skip=0.0)
    assert cut == replayed(replace(SMALL, skips=False), xor.x, xor.y, 5)
    assert cut != replayed(SMALL, xor.x, xor.y, 5)


@pytest.mark.parametrize("name", data.NAMES)
def test_a_file_of_data_holds_what_was_loaded(name: str) -> None:
    known = data.load(name)
    file = data.packed(known)
    trained, tested, features, classes, steps = np.frombuffer(file, "<u4", 5)
    rows = int(trained + tested)
    assert (trained, rows, classes) == (known.trained, len(known.x), known.classes)
    x = np.frombuffer(file, np.uint8 if steps else "<f4", rows * features, 20).reshape(rows, features)
    assert (np.frombuffer(file, np.uint8, offset=20 + x.nbytes) == known.y).all()
    assert ((x.astype(np.float32) / np.float32(steps) if steps else x) == known.x).all()
    assert bool(steps) == (name == "digits")
    assert set(known.y.tolist()) == set(range(known.classes)) and np.isfinite(x).all()
    assert (data.load(name).x == known.x).all()


def test_rows_go_around() -> None:
    assert data.rows(1, 4, 6).tolist() == [4, 5, 0, 1]


def test_every_net_that_a_site_is_shipped_with_is_one_that_a_page_may_ask_for() -> None:
    nets = list(export.shipped_nets())
    assert len(nets) == len(data.NAMES) + 9 and len(set(nets)) == 9  # the others stand in for one another
    for net in nets:
        assert read(key(net).encode()) == net
