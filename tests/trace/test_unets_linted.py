"""U-Nets by lint: right ones are silent, and of one with a mistake at a level just that is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from u_nets import X, Y, by_hand

import tinyres as tr

FORMS = [(join, residual) for join in ("concatenate", "add") for residual in (False, True)]


@pytest.mark.parametrize("scoped", [False, True, "levels"])
@pytest.mark.parametrize(("join", "residual"), FORMS)
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_right_ones_by_hand_are_silent(levels: int, join: str, residual: bool, scoped: bool | str) -> None:
    assert not by_hand(levels, join, residual, scoped, strided=scoped is True).graph(X, Y).lint()


@pytest.mark.parametrize(
    "options",
    [
        {"widths": (8, 16), "time": True}, {"widths": (8, 16, 16), "blocks": 2},
        {"widths": (8, 16, 16, 16), "classes": 3},
        {"widths": (8, 16, 16), "attention": (1, 2), "heads": 2}, {"widths": (8, 8, 8), "skips": None},
        {"widths": (8, 8, 8), "skips": "add", "residual": False, "time": True},
    ],
)  # fmt: skip
def test_right_ones_of_the_library_are_silent(options: dict[str, Any]) -> None:
    tr.manual_seed(0)
    model = tr.applications.unet((16, 16, 1), **options)
    given = [X, np.arange(4, dtype="f4")] if options.get("time") else X
    given = [X, np.arange(4) % 3] if options.get("classes") else given
    assert not model.graph(given, Y, loss="mse").lint()


PLANTED = {
    "missing": ("missing-skip", "has none"),
    "scaled": ("skip-path", "a scale lies on the skip"),
    "detached": ("detached-skip", "cut off from it, so no gradient flows over this skip"),
    "doubled": ("double-skip", "2 times"),
    "crossed": ("crossed-skip", "each level gets what belongs to another"),
}


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize(("join", "residual"), FORMS)
@pytest.mark.parametrize("plant", PLANTED)
def test_a_mistake_at_a_level_is_named(plant: str, join: str, residual: bool, at: int) -> None:
    rule, words = PLANTED[plant]
    (finding,) = by_hand(4, join, residual, plant=plant, at=at).graph(X, Y).lint()
    assert finding.rule == rule and words in finding.problem, finding


@pytest.mark.parametrize("at", [0, 1])
def test_a_level_without_a_skip_is_called_after_its_scope(at: int) -> None:
    model = by_hand(4, scoped="levels", plant="missing", at=at)
    (finding,) = model.graph(X, Y).lint()
    assert finding.problem == f"2 of 3 levels have a skip across, down{at} has none"
    assert finding.node.startswith(f"up{at}/") and finding.source is not None


def test_where_most_levels_have_none_it_is_meant() -> None:
    x = tr.Input(shape=(16, 16, 1))
    fine = h = tr.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    for filters in (8, 8, 8):
        h = tr.layers.Conv2D(filters, 3, 2, padding="same", activation="relu")(h)
    for _ in range(3):
        h = tr.layers.Conv2D(8, 3, padding="same", activation="relu")(tr.layers.UpSampling2D()(h))
    model = tr.Model(x, tr.layers.Conv2D(1, 3, padding="same")(tr.layers.Concatenate()([h, fine])))
    assert not model.graph(X, Y, loss="mse").lint()
