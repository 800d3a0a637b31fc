"""Ops of each element by itself. Images that stand with channels first stay so."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinyres.kernels.record import OPERATIONS, RELATION_SHIFT, RELATIONS, TANH_FORM
from tinyres.onnx.recording import Recorded
from tinyres.onnx.writer import TO_FIRST, TYPES, Writer, is_image
from tinyres.onnx.writing.table import Write, named, writes, written

Inputs = list[Recorded]


def _of_one(formula: Callable[..., str]) -> Write:
    """A formula of one value, (writer, node, name, *attrs) -> name, in the order in which that stands."""

    def write(writer: Writer, node: Recorded, inputs: Inputs, *attrs: object) -> None:
        (x,) = inputs
        first = writer.is_first(x)
        written(writer, node, formula(writer, node, writer.first(x) if first else writer.plain(x), *attrs), first)

    return write


def _one_node(kind: str) -> Write:
    return _of_one(lambda writer, node, x, *attrs: writer.emit(kind, x))


def operands(writer: Writer, inputs: Inputs) -> tuple[list[str], bool]:
    """Operands that broadcast, and whether they stand with channels first: where an image does, and all can."""
    if any(map(writer.is_first, inputs)) and all(map(_can_be_first, inputs)):
        return [_as_first(writer, x) for x in inputs], True
    return [writer.plain(x) for x in inputs], False


def _can_be_first(x: Recorded) -> bool:
    return is_image(x.first) or x.array is not None


def _as_first(writer: Writer, x: Recorded) -> str:
    if is_image(x.first):
        return writer.first(x)
    values = x.array
    assert values is not None
    if values.ndim == 0:
        return writer.plain(x)
    image = values.reshape((1,) * (4 - values.ndim) + values.shape).transpose(TO_FIRST)
    return writer.weight(x, image[0])


def _of_several(formula: Callable[..., str]) -> Write:
    """A formula of operands that broadcast, (writer, node, *names, *attrs) -> name."""

    def write(writer: Writer, node: Recorded, inputs: Inputs, *attrs: object) -> None:
        names, first = operands(writer, inputs)
        written(writer, node, formula(writer, node, *names, *attrs), first)

    return write


def _of_two(kind: str) -> Write:
    return _of_several(lambda writer, node, a, b: writer.emit(kind, a, b))


named(
    {
        "abs": "Abs",
        "ceil": "Ceil",
        "cos": "Cos",
        "erf": "Erf",
        "exp": "Exp",
        "floor": "Floor",
        "log": "Log",
        "neg": "Neg",
        "reciprocal": "Reciprocal",
        "relu": "Relu",
        "round": "Round",
        "sigmoid": "Sigmoid",
        "sign": "Sign",
        "sin": "Sin",
        "softplus": "Softplus",
        "sqrt": "Sqrt",
        "tanh": "Tanh",
    },
    _one_node,
)
named(
    {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "maximum": "Max", "minimum": "Min"}, _of_two
)


def _square(writer: Writer, node: Recorded, x: str) -> str:
    return writer.emit("Mul", x, x)


def _silu(writer: Writer, node: Recorded, x: str) -> str:
    return writer.emit("Mul", x, writer.emit("Sigmoid", x))


def _log1p(writer: Writer, node: Recorded, x: str) -> str:
    return writer.emit("Log", writer.emit("Add", x, writer.like(node, 1.0)))


def _expm1(writer: Writer, node: Recorded, x: str) -> str:
    return writer.emit("Sub", writer.emit("Exp", x), writer.like(node, 1.0))


def _elu(writer: Writer, node: Recorded, x: str, alpha: float) -> str:
    return writer.emit("Elu", x, alpha=alpha)


def _leaky_relu(writer: Writer, node: Recorded, x: str, negative_slope: float) -> str:
    return writer.emit("LeakyRelu", x, alpha=negative_slope)


def _clip(writer: Writer, node: Recorded, x: str, lo: float, hi: float) -> str:
    bounds = [writer.like(node, bound) if math.isfinite(bound) else "" for bound in (lo, hi)]
    return writer.emit("Clip", x, *bounds)


def _gelu(writer: Writer, node: Recorded, x: str, flags: int) -> str:
    """x Φ(x), by the error function or by GPT-2's tanh: opset 18 has no Gelu."""
    half = writer.emit("Mul", x, writer.like(node, 0.5))
    if flags & TANH_FORM:
        cube = writer.emit("Mul", writer.emit("Mul", writer.emit("Mul", x, x), x), writer.like(node, 0.044715))
        inner = writer.emit("Mul", writer.emit("Add", x, cube), writer.like(node, math.sqrt(2 / math.pi)))
        gate = writer.emit("Tanh", inner)
    else:
        gate = writer.emit("Erf", writer.emit("Mul", x, writer.like(node, 1 / math.sqrt(2))))
    return writer.emit("Mul", half, writer.emit("Add", gate, writer.like(node, 1.0)))


_OF_ONE: dict[str, Callable[..., str]] = {
    "square": _square,
    "silu": _silu,
    "log1p": _log1p,
    "expm1": _expm1,
    "elu": _elu,
    "leaky_relu": _leaky_relu,
    "clip": _clip,
    "gelu": _gelu,
}
named(_OF_ONE, _of_one)


def _floor_divide(writer: Writer, node: Recorded, a: str, b: str) -> str:
    return writer.emit("Floor", writer.emit("Div", a, b))


def _mod(writer: Writer, node: Recorded, a: str, b: str) -> str:
    """With the sign of b, as in Python."""
    return writer.emit("Sub", a, writer.emit("Mul", _floor_divide(writer, node, a, b), b))


def _where(writer: Writer, node: Recorded, a: str, b: str, condition: str) -> str:
    return writer.emit("Where", condition, a, b)


_COMPARISONS = {">": "Greater", ">=": "GreaterOrEqual", "<": "Less", "<=": "LessOrEqual", "==": "Equal"}


def _compare(writer: Writer, node: Recorded, a: str, b: str, relation: int) -> str:
    sign = RELATIONS[relation >> RELATION_SHIFT]
    return writer.emit("Not", writer.emit("Equal", a, b)) if sign == "!=" else writer.emit(_COMPARISONS[sign], a, b)


_INTEGERS = {"add": "Add", "sub": "Sub", "mul": "Mul", "mod": "Mod", "maximum": "Max", "minimum": "Min", "pow": "Pow"}
_BITS = {"and": "And", "or": "Or", "xor": "Xor"}


def _integers(writer: Writer, node: Recorded, a: str, b: str, operation: int) -> str:
    name = OPERATIONS[operation >> RELATION_SHIFT]
    if name == "floor_divide":  # Div cuts off towards 0
        exact = writer.emit("Sub", a, writer.emit("Mod", a, b))
        return writer.emit("Div", exact, b)
    return writer.emit(f"Bitwise{_BITS[name]}" if name in _BITS else _INTEGERS[name], a, b)


def _logic(writer: Writer, node: Recorded, a: str, b: str, operation: int) -> str:
    return writer.emit(_BITS[OPERATIONS[operation >> RELATION_SHIFT]], a, b)


_OF_SEVERAL: dict[str, Callable[..., str]] = {
    "floor_divide": _floor_divide,
    "mod": _mod,
    "where": _where,
    "compare": _compare,
    "compare_integers": _compare,
    "integers": _integers,
    "logic": _logic,
}
named(_OF_SEVERAL, _of_several)


def _cast(writer: Writer, node: Recorded, x: str, source: np.dtype) -> str:
    return writer.emit("Cast", x, to=TYPES[node.first.dtype.name])


for _target in TYPES:
    writes(f"cast_{_target}")(_of_one(_cast))
