"""What a page may ask to be recorded: one JSON object, held to the bounds of a net before any memory is taken."""

from __future__ import annotations

import json
from typing import Any

from tinyres.errors import ArgumentError
from tinyres.play.nets import BOUNDS, Net, problem_of, shown

MOST_BYTES = 2_000  # of a description as JSON
_NUMBERS_AT_MOST = 64  # characters of a number: longer ones are not read

FEATURES_AND_CLASSES = {"digits": (64, 10), "spirals": (2, 3), "rings": (2, 3), "xor": (2, 2)}


def read(body: bytes) -> Net:
    """The net that a JSON object describes, which names every value of BOUNDS.

    Raises ArgumentError for anything but a description within its bounds.
    """
    value = parsed(body, MOST_BYTES, tuple(BOUNDS))
    problem = problem_of(value)
    if problem is not None:
        raise ArgumentError(f"[play] {problem}")
    return Net(**value)


def parsed(body: bytes, most: int, names: tuple[str, ...]) -> dict[str, Any]:
    """What stands in one JSON object of at most so many bytes that has these names. Raises ArgumentError."""
    if len(body) > most:
        raise ArgumentError(f"[play] a description has at most {most} bytes; got {len(body)}; leave out the rest")
    try:
        value = json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refused, parse_int=_int, parse_float=_float
        )
    except (ValueError, RecursionError):
        raise ArgumentError("[play] a description is one JSON object; got something else; send one") from None
    if not isinstance(value, dict):
        raise ArgumentError(f"[play] a description is one JSON object; got {type(value).__name__}; send one")
    missing, unknown = [name for name in names if name not in value], [name for name in value if name not in names]
    if missing or unknown:
        came = f"it without {missing[0]}" if missing else f"{shown(unknown[0])} as well"
        raise ArgumentError(f"[play] a description names {', '.join(names)}; got {came}; name each of them once")
    return value


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
