"""`composed`: what makes a function of several ops one layer where it is called on a symbolic tensor.

An op is recorded by its record. A function that puts ops together may need sizes that a symbolic tensor does not know
(its batch), so it is recorded whole, under its own name, and runs when the model does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

# The functions that a symbolic tensor records whole, by name.
COMPOSED: dict[str, Callable[..., Any]] = {}


def composed(function: Function) -> Function:
    """Let a symbolic tensor among the arguments, or in a list of them, record the call."""
    name = function.__name__

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        for value in _each((*args, *kwargs.values())):
            if hasattr(value, "__tinyres_compose__"):
                return value.__tinyres_compose__(name, args, kwargs)
        return function(*args, **kwargs)

    COMPOSED[name] = run
    return run  # type: ignore[return-value]


def _each(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from value
        else:
            yield value
