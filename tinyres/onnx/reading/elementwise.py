"""Nodes of each element by itself: activations, arithmetic that broadcasts, comparisons, casts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.errors import need_extra
from tinyres.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU
from tinyres.layers.dropout import Dropout
from tinyres.layers.merge import Add, Maximum, Minimum, Multiply, Subtract
from tinyres.nn.layer import Layer
from tinyres.onnx.reading.table import READERS, Reading, reads
from tinyres.onnx.values import Held, Known, Value

with need_extra("onnx", "models are written and read by the onnx package", "onnx"):
    from onnx import helper


def of_one(reading: Reading, function: Callable[[Any], Any]) -> Held:
    """A function of one value, in the order of axes in which that stands."""
    x = reading.held()
    if x.is_last:
        return Held(last=function(x.last))
    return Held(function(x.plain))


def _layer(make: Callable[[Reading], Layer]) -> Callable[[Reading], Held]:
    def read(reading: Reading) -> Held:
        return of_one(reading, reading.named(make(reading)))

    return read


def _op(function: Callable[..., Any]) -> Callable[[Reading], Held]:
    def read(reading: Reading) -> Held:
        return of_one(reading, lambda x: reading.called(function(x)))

    return read


_LAYERS: dict[str, Callable[[Reading], Layer]] = {
    "Relu": lambda r: ReLU(),
    "Sigmoid": lambda r: Activation("sigmoid"),
    "Tanh": lambda r: Activation("tanh"),
    "Softplus": lambda r: Activation("softplus"),
    "LeakyRelu": lambda r: LeakyReLU(r.attr("alpha", 0.01)),
    "Elu": lambda r: ELU(r.attr("alpha", 1.0)),
    "Dropout": lambda r: Dropout(r.number(1, "ratio", 0.5)),
}
OPS: dict[str, Callable[..., Any]] = {
    "Abs": ops.abs,
    "Ceil": ops.ceil,
    "Cos": ops.cos,
    "Erf": ops.erf,
    "Exp": ops.exp,
    "Floor": ops.floor,
    "Log": ops.log,
    "Neg": ops.neg,
    "Reciprocal": ops.reciprocal,
    "Round": ops.round,
    "Sign": ops.sign,
    "Sin": ops.sin,
    "Sqrt": ops.sqrt,
}
READERS.update({kind: _layer(make) for kind, make in _LAYERS.items()})
READERS.update({kind: _op(function) for kind, function in OPS.items()})


@reads("Gelu")
def _read_gelu(reading: Reading) -> Held:
    tanh = reading.attr("approximate", "none") == "tanh"
    return of_one(reading, lambda x: reading.called(ops.gelu(x, approximate=tanh)))


@reads("HardSigmoid")
def _hard_sigmoid(reading: Reading) -> Held:
    alpha, beta = reading.attr("alpha", 0.2), reading.attr("beta", 0.5)
    return of_one(reading, lambda x: reading.called(ops.clip(x * alpha + beta, 0.0, 1.0)))


@reads("HardSwish")
def _hard_swish(reading: Reading) -> Held:
    return of_one(reading, lambda x: reading.called(x * ops.clip(x / 6.0 + 0.5, 0.0, 1.0)))


@reads("Clip")
def _clip(reading: Reading) -> Held:
    lo, hi = reading.number(1, "min", -math.inf), reading.number(2, "max", math.inf)
    return of_one(reading, lambda x: reading.called(ops.clip(x, float(lo), float(hi))))


@reads("PRelu")
def _prelu(reading: Reading) -> Held:
    """A slope per channel, or one for all."""
    x, slope = reading.held(), reading.known(1, "the slope")
    image = len(x.shape) == 4
    features = x.shape[1] if image else x.shape[-1]
    if slope.size not in (1, features) or features is None:
        raise reading.refuse("slopes are one for all, or one per channel", f"slopes of shape {slope.shape}")
    layer = reading.named(PReLU(shared_axes=(1, 2) if image else None))
    given = x.last if image else x.plain
    found = layer(given)
    weight = layer.weights[0]
    weight.assign(np.broadcast_to(slope.reshape(-1), weight.shape))
    return Held(last=found) if image else Held(found)


@reads("Identity")
def _identity(reading: Reading) -> Value:
    return reading.value()


@reads("Cast")
def _cast(reading: Reading) -> Held:
    dtype = helper.tensor_dtype_to_np_dtype(reading.attr("to"))
    kinds = {"f": "float32", "b": "bool", "i": "int64", "u": "int64"}
    if dtype.kind not in kinds or dtype == np.float16:
        raise reading.refuse("values are cast to numbers", f"a cast to {dtype}")
    return _as(reading, reading.held(), kinds[dtype.kind])


@reads("CastLike")
def _cast_like(reading: Reading) -> Value:
    """What the file holds may be cast to the dtype of data, which is known before there is any."""
    x, like = reading.value(0), reading.value(1)
    dtype = like.array.dtype if isinstance(like, Known) else like.dtype
    if isinstance(x, Known):
        return Known(x.array.astype(dtype), x.open, x.weight, x.name)
    return _as(reading, x, {"f": "float32", "b": "bool"}.get(dtype.kind, "int64"))


def _as(reading: Reading, x: Held, kind: str) -> Held:
    if x.dtype == kind or x.dtype.kind == "f" == np.dtype(kind).kind:
        return x
    return of_one(reading, lambda t: reading.called(ops.astype(t, kind)))


def operands(reading: Reading, count: int) -> tuple[list[Any], bool]:
    """Operands that broadcast, and whether they stand with channels last: where an image does, and all can."""
    values = [reading.value(i) for i in range(count)]
    last = any(isinstance(v, Held) and v.is_last for v in values) and all(map(_can_be_last, values))
    return [reading.operand(i, last) for i in range(count)], last


def _can_be_last(value: Value) -> bool:
    return len(value.shape) == 4 if isinstance(value, Held) else value.array.ndim <= 4


def _two(function: Callable[..., Any], layer: Callable[[], Layer] | None = None) -> Callable[[Reading], Held]:
    """An op of operands that broadcast; of images or rows alike a layer, where there is one."""

    def read(reading: Reading) -> Held:
        given, last = operands(reading, len(reading.inputs))
        shapes = {getattr(x, "trials", None) and x.shape for x in given}
        if layer is not None and len(shapes) == 1 and None not in shapes and len(given) > 1:
            found = reading.named(layer())(given)
        else:
            found = given[0]
            for other in given[1:]:
                found = function(found, other)
            found = found if found is given[0] else reading.called(found)
        return Held(last=found) if last else Held(found)

    return read


_MERGES: dict[str, tuple[Callable[..., Any], Callable[[], Layer] | None]] = {
    "Add": (ops.add, Add),
    "Sum": (ops.add, Add),
    "Sub": (ops.sub, Subtract),
    "Mul": (ops.mul, Multiply),
    "Max": (ops.maximum, Maximum),
    "Min": (ops.minimum, Minimum),
    "Pow": (ops.pow, None),
    "Equal": (ops.equal, None),
    "Greater": (ops.greater, None),
    "GreaterOrEqual": (ops.greater_equal, None),
    "Less": (ops.less, None),
    "LessOrEqual": (ops.less_equal, None),
    "And": (ops.bitwise_and, None),
    "Or": (ops.bitwise_or, None),
}
READERS.update({kind: _two(*both) for kind, both in _MERGES.items()})


@reads("Div")
def _div(reading: Reading) -> Held:
    """Of integers what lies nearest to 0."""
    given, last = operands(reading, 2)
    if any(t.dtype.kind == "f" for t in given):
        found = ops.div(*given)
    else:
        a, b = given
        found = ops.floor_divide(a, b)
        opposite = ops.bitwise_xor(ops.less(a, 0), ops.less(b, 0))
        found = found + ops.astype(ops.bitwise_and(ops.not_equal(found * b, a), opposite), "int64")
    return Held(last=reading.called(found)) if last else Held(reading.called(found))


@reads("Not")
def _not(reading: Reading) -> Held:
    return of_one(reading, lambda x: reading.called(ops.bitwise_not(x)))


@reads("Mod")
def _mod(reading: Reading) -> Held:
    if reading.attr("fmod", 0):
        raise reading.refuse("a remainder has the sign of the divisor", "fmod=1")
    given, last = operands(reading, 2)
    found = reading.called(ops.mod(*given))
    return Held(last=found) if last else Held(found)


@reads("Where")
def _where(reading: Reading) -> Held:
    (condition, a, b), last = operands(reading, 3)
    found = reading.called(ops.where(condition, a, b))
    return Held(last=found) if last else Held(found)
