"""JSON as all files of this library hold it: strict, with one form for the numbers that JSON has not.

A NaN is {"$": "nan"}, an infinity {"$": "inf"} or {"$": "-inf"}. Reading takes nothing else for them: neither the
literals that Python's json lets pass, nor numbers too large for a float.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

KEY = "$"
_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def encoded(value: Any, indent: int | None = None) -> bytes:
    """The value as UTF-8. Raises TypeError or ValueError for what has no form in JSON.

    >>> encoded([1, math.inf, "a"])
    b'[1,{"$":"inf"},"a"]'
    """
    separators = (",", ":") if indent is None else None
    return json.dumps(_plain(value), allow_nan=False, separators=separators, indent=indent).encode()


def decoded(data: bytes) -> Any:
    """What `encoded` wrote. Raises ValueError or RecursionError for anything else.

    >>> decoded(b'{"a": {"$": "-inf"}}')
    {'a': -inf}
    """
    return json.loads(data.decode(), object_hook=_number, parse_constant=_refused, parse_float=_finite)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else {KEY: str(float(value))}
    if isinstance(value, dict):
        if set(value) == {KEY} and value[KEY] in _NUMBERS:
            raise ValueError(f"{value} would be read as a number")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _number(found: dict[str, Any]) -> Any:
    if len(found) == 1 and isinstance(found.get(KEY), str) and found[KEY] in _NUMBERS:
        return _NUMBERS[found[KEY]]
    return found


def _refused(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise ValueError(f"{literal} is too large for a float")
    return value
