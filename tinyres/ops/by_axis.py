"""`by_axis`: words for the arguments by which other libraries name an axis, in the functions that take one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from tinyres.errors import ArgumentError, refuse_arguments

Function = TypeVar("Function", bound=Callable[..., Any])

_OTHERS = {"dim": "axis", "dims": "axis", "axes": "axis", "keepdim": "keepdims", "keep_dims": "keepdims"}


def by_axis(function: Function) -> Function:
    """Let the function say what it takes where it is called with PyTorch's `dim`, `keepdim` or anything else unknown.

    The result of PyTorch's `t.max(dim)` is another one, so the names are not taken for `axis`.
    """

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except TypeError:
            for name, value in options.items():
                if name in _OTHERS and name not in function.__annotations__:
                    raise ArgumentError(
                        f"[{function.__name__}] axes go by NumPy's names; got {name}={value!r}; "
                        f"write {_OTHERS[name]}={value!r}"
                    ) from None
            refuse_arguments(function.__name__, function, args, options)
            raise

    return run  # type: ignore[return-value]
