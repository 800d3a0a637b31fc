"""What a page may ask to be recorded: one JSON object, each value of it held to bounds before any memory is taken."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tinyres.errors import ArgumentError
from tinyres.layers.blocks import PRESETS
from tinyres.play.nets import ACTIVATIONS, INITIALIZERS, OPTIMIZERS, Net

MOST_BYTES = 2_000  # of a description as JSON
MOST_WEIGHTS = 2_000_000
_NUMBERS_AT_MOST = 64  # characters of a number: longer ones are not read


class Choice(NamedTuple):
    """One of these words, or also none."""

    words: tuple[str, ...]
    none: bool = False

    def fits(self, value: Any) -> bool:
        return (type(value) is str and value in self.words) or (self.none and value is None)

    def __str__(self) -> str:
        return f"one of {', '.join(self.words)}{', or null' if self.none else ''}"


class Whole(NamedTuple):
    """A whole number from low to high."""

    low: int
    high: int

    def fits(self, value: Any) -> bool:
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


FEATURES_AND_CLASSES = {"digits": (64, 10), "spirals": (2, 3), "rings": (2, 3), "xor": (2, 2)}
BOUNDS: dict[str, Choice | Whole] = {
    "block": Choice(tuple(PRESETS)),
    "blocks": Whole(1, 128),
    "units": Whole(2, 128),
    "features": Whole(1, 256),
    "classes": Whole(2, 32),
    "batch": Whole(2, 128),
    "optimizer": Choice(OPTIMIZERS),
    "initializer": Choice(INITIALIZERS, none=True),
    "activation": Choice(ACTIVATIONS),
}


def read(body: bytes) -> Net:
    """The net that a JSON object describes, which names every value of BOUNDS.

    Raises ArgumentError for anything but a description within its bounds.
    """
    if len(body) > MOST_BYTES:
        raise ArgumentError(f"[play] a description has at most {MOST_BYTES} bytes; got {len(body)}; leave out the rest")
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refused, parse_int=_int, parse_float=_float
        )
    except (ValueError, RecursionError):
        raise ArgumentError("[play] a description is one JSON object; got something else; send one") from None
    if not isinstance(value, dict):
        raise ArgumentError(f"[play] a description is one JSON object; got {type(value).__name__}; send one")
    missing, unknown = [name for name in BOUNDS if name not in value], [name for name in value if name not in BOUNDS]
    if missing or unknown:
        came = f"it without {missing[0]}" if missing else f"{_shown(unknown[0])} as well"
        raise ArgumentError(f"[play] a description names {', '.join(BOUNDS)}; got {came}; name each of them once")
    for name, bound in BOUNDS.items():
        if not bound.fits(value[name]):
            raise ArgumentError(f"[play] {name} must be {bound}; got {_shown(value[name])}; choose another")
    weights = weights_of(**{name: value[name] for name in ("blocks", "units", "features", "classes")})
    if weights > MOST_WEIGHTS:
        raise ArgumentError(
            f"[play] a net has at most {MOST_WEIGHTS:,} weights; got {value['blocks']} blocks of {value['units']} "
            f"units, {weights:,} weights; make it shallower or narrower"
        )
    return Net(**value)


def weights_of(blocks: int, units: int, features: int, classes: int) -> int:
    """How many weights a net has at most, BatchNorm's among them."""
    return units * (features + 1) + classes * (units + 1) + blocks * 2 * units * (units + 5)


def key(net: Net) -> str:
    """The text by which a page asks for this net."""
    return json.dumps({name: getattr(net, name) for name in BOUNDS}, separators=(",", ":"))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _refused(literal: str) -> Any:
    raise ValueError(literal)


def _int(digits: str) -> int:
    if len(digits) > _NUMBERS_AT_MOST:
        raise ValueError("too many digits")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > _NUMBERS_AT_MOST:
        raise ValueError("too many digits")
    return float(digits)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
