"""What a page shows at a moment: the net, its data, and all that was chosen and changed up to a step."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.play.description import FEATURES_AND_CLASSES, parsed
from tinyres.play.nets import BOUNDS, Choice, Net, Whole, problem_of, shown
from tinyres.play.replay import Event

MOST_BYTES = 40_000  # of a state as JSON
MOST_EVENTS = 1_000
MOST_BLOCK_STEPS = 100_000  # blocks times steps: what is trained anew for a report, in seconds
_NAMES = re.compile(r"(lr|skip|branch|skip:\d{1,3}|branch:\d{1,3})")
_LARGEST = 1e6  # of a learning rate, a λ or an α
_OTHERS = ("data", "seed", "lr", "skip", "branch", "events", "step")


@dataclass(frozen=True)
class State:
    """A net at a step of its training; the rest is as `replayed` takes it."""

    net: Net
    data: str
    seed: int
    lr: float
    skip: float
    branch: float
    events: tuple[Event, ...]
    step: int


def read_state(body: bytes) -> State:
    """The state that a JSON object describes: the values of a net, and data, seed, lr, skip, branch, events, step.

    Raises ArgumentError for anything else, and for more training than a page waits for.
    """
    value = parsed(body, MOST_BYTES, (*BOUNDS, *_OTHERS))
    net = {name: value[name] for name in BOUNDS}
    problem = problem_of(net) or _problem_of({name: value[name] for name in _OTHERS}, net)
    if problem is not None:
        raise ArgumentError(f"[play] {problem}")
    others = {name: value[name] for name in _OTHERS if name != "events"}
    return State(Net(**net), **others, events=tuple((at, name, factor) for at, name, factor in value["events"]))


def _problem_of(value: dict[str, Any], net: dict[str, Any]) -> str | None:
    """What is wrong with the rest of a state; None where nothing is."""
    for name, bound in (
        ("data", Choice(tuple(FEATURES_AND_CLASSES))),
        ("seed", Whole(0, 2**31 - 1)),
        ("step", Whole(0, MOST_BLOCK_STEPS // net["blocks"])),
    ):
        if not bound.fits(value[name]):
            return f"{name} must be {bound}; got {shown(value[name])}; choose another"
    if FEATURES_AND_CLASSES[value["data"]] != (net["features"], net["classes"]):
        return f"a net has the features and classes of its data; got others for {value['data']}; take those"
    for name in ("lr", "skip", "branch"):
        if not _is_factor(value[name]):
            return f"{name} must be a number up to {_LARGEST:g}; got {shown(value[name])}; choose another"
    events = value["events"]
    if not isinstance(events, list) or len(events) > MOST_EVENTS or not all(map(_is_event, events)):
        return f"events are up to {MOST_EVENTS} of [step, name, value]; got {shown(events)}; leave out the others"
    return None


def _is_event(event: Any) -> bool:
    return (
        isinstance(event, list)
        and len(event) == 3
        and Whole(0, MOST_BLOCK_STEPS).fits(event[0])
        and type(event[1]) is str
        and _NAMES.fullmatch(event[1]) is not None
        and _is_factor(event[2])
    )


def _is_factor(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= _LARGEST
