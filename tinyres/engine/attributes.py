"""What attributes an op takes: the parameters of its shape rule behind the Tensors, with their annotations.

    def _sum_shape(x: Tensor, axis: int | tuple[int, ...] | None, keepdims: bool) -> Shape: ...

So the rule that judges sizes declares the types too, and a file's attributes can be judged before any of the op's own
code sees them. Sizes are the shape rule's; it runs before any kernel.
"""

from __future__ import annotations

import types
import typing
from inspect import Parameter, signature
from typing import Annotated, Any, NamedTuple

from tinyres.engine.op import Op
from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError


class OneOf(NamedTuple):
    """The values that an attribute may have: `Annotated[int, OneOf((0, 1))]`."""

    values: tuple[Any, ...]


class Behind(NamedTuple):
    """The attributes behind any number of Tensors: `*inputs: Annotated[Any, Behind((int,))]`."""

    kinds: tuple[Any, ...]


def judge(op: Op, attrs: Any, what: str) -> None:
    """Raise ArgumentError unless these are attributes as the op's shape rule declares them.

    what: what is done with them: "save" or "load".
    """
    kinds = _kinds(op)
    if isinstance(attrs, tuple) and len(attrs) == len(kinds) and all(fits(a, k) for a, k in zip(attrs, kinds)):
        return
    wanted = ", ".join(getattr(kind, "__name__", str(kind)) for kind in kinds) or "none"
    raise ArgumentError(
        f"[{what}] the attributes of an op are those that its shape rule declares; {op.path} takes {wanted}, got "
        f"{_shown(attrs)}; annotate the rule's parameters, or give a file that model.save wrote"
    )


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated type; an int is no bool and no float.

    >>> fits((1, 2), tuple[int, ...]), fits(True, int), fits(None, int | None)
    (True, False, True)
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        allowed = [mark.values for mark in arguments[1:] if isinstance(mark, OneOf)]
        return fits(value, arguments[0]) and all(value in values for values in allowed)
    if origin in (types.UnionType, typing.Union):
        return any(fits(value, option) for option in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return all(fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(fits(item, part) for item, part in zip(value, arguments))
    return (
        type(value) is kind if kind in (int, bool, float, str) else isinstance(kind, type) and isinstance(value, kind)
    )


def _kinds(op: Op) -> list[Any]:
    """The annotated types of the op's attributes, in order; a parameter without annotation is taken for a Tensor."""
    hints = typing.get_type_hints(op.shape, include_extras=True)
    kinds: list[Any] = []
    for parameter in signature(op.shape).parameters.values():
        hint = hints.get(parameter.name, Tensor)
        if parameter.kind is Parameter.VAR_POSITIONAL:
            marks = [mark for mark in typing.get_args(hint)[1:] if isinstance(mark, Behind)]
            kinds += [kind for mark in marks for kind in mark.kinds]
        elif hint is not Tensor:
            kinds.append(hint)
    return kinds


def _shown(attrs: Any) -> str:
    text = repr(attrs)
    return text if len(text) <= 80 else text[:77] + "..."
