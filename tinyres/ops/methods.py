"""What a Tensor can do besides holding values: one table of operators and methods, attached when `tinyres` is imported.

Operators on NumPy arrays and numbers work from both sides (see numpy_functions). Comparisons are elementwise, but for
None, which no Tensor equals; hashing is by identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyres.engine.tensor import Tensor
from tinyres.ops import (
    arithmetic,
    arranging,
    casting,
    comparison,
    division,
    elementwise,
    functions,
    gather,
    integers,
    moments,
    movement,
    power,
    reduction,
    running,
    sorting,
)
from tinyres.ops.matmul import dot, matmul
from tinyres.ops.numpy_functions import array_function, array_ufunc
from tinyres.ops.softmax import log_softmax, softmax


def _reflected(op: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    def reflected(self: Tensor, other: Any) -> Tensor:
        return op(other, self)

    return reflected


def _reshape(self: Tensor, *shape: Any) -> Tensor:
    """The same elements under another shape, `t.reshape(2, -1)` or `t.reshape((2, -1))`; see `tr.reshape`."""
    return movement.reshape(self, shape[0] if len(shape) == 1 else shape)


def _transpose(self: Tensor, *axes: Any) -> Tensor:
    """The axes in another order, `t.transpose(1, 0)` or `t.transpose((1, 0))`; see `tr.transpose`."""
    if not axes:
        return movement.transpose(self)
    return movement.transpose(self, axes[0] if len(axes) == 1 else axes)


def _itself(self: Tensor) -> Tensor:
    return self


def _equal(self: Tensor, other: Any) -> Any:
    return False if other is None else comparison.equal(self, other)


def _not_equal(self: Tensor, other: Any) -> Any:
    return True if other is None else comparison.not_equal(self, other)


OPERATORS: dict[str, Callable[..., Any]] = {
    "__add__": arithmetic.add,
    "__sub__": arithmetic.sub,
    "__mul__": arithmetic.mul,
    "__truediv__": arithmetic.div,
    "__pow__": power.pow,
    "__matmul__": matmul,
    "__radd__": _reflected(arithmetic.add),
    "__rsub__": _reflected(arithmetic.sub),
    "__rmul__": _reflected(arithmetic.mul),
    "__rtruediv__": _reflected(arithmetic.div),
    "__rpow__": _reflected(power.pow),
    "__rmatmul__": _reflected(matmul),
    "__neg__": arithmetic.neg,
    "__pos__": _itself,
    "__abs__": elementwise.abs,
    "__gt__": comparison.greater,
    "__ge__": comparison.greater_equal,
    "__lt__": comparison.less,
    "__le__": comparison.less_equal,
    "__eq__": _equal,
    "__ne__": _not_equal,
    "__mod__": division.mod,
    "__rmod__": _reflected(division.mod),
    "__divmod__": lambda a, b: (division.floor_divide(a, b), division.mod(a, b)),
    "__rdivmod__": lambda a, b: (division.floor_divide(b, a), division.mod(b, a)),
    "__round__": lambda t, digits=None: functions.round(t, digits or 0),
    "__floordiv__": division.floor_divide,
    "__rfloordiv__": _reflected(division.floor_divide),
    "__and__": integers.bitwise_and,
    "__rand__": _reflected(integers.bitwise_and),
    "__or__": integers.bitwise_or,
    "__ror__": _reflected(integers.bitwise_or),
    "__xor__": integers.bitwise_xor,
    "__rxor__": _reflected(integers.bitwise_xor),
    "__lshift__": integers.bitwise_left_shift,
    "__rlshift__": _reflected(integers.bitwise_left_shift),
    "__rshift__": integers.bitwise_right_shift,
    "__rrshift__": _reflected(integers.bitwise_right_shift),
    "__invert__": integers.bitwise_not,
    "__getitem__": gather.index,
}

METHODS: dict[str, Callable[..., Any]] = {
    "abs": elementwise.abs,
    "all": integers.all,
    "any": integers.any,
    "argmax": reduction.argmax,
    "argmin": sorting.argmin,
    "argsort": sorting.argsort,
    "astype": casting.astype,
    "broadcast_to": movement.broadcast_to,
    "ceil": functions.ceil,
    "clip": elementwise.clip,
    "copy": arranging.copy,
    "cos": functions.cos,
    "cumsum": running.cumsum,
    "dot": dot,
    "exp": elementwise.exp,
    "flatten": movement.flatten,
    "floor": functions.floor,
    "log": elementwise.log,
    "log_softmax": log_softmax,
    "logsumexp": reduction.logsumexp,
    "matmul": matmul,
    "max": reduction.max,
    "mean": reduction.mean,
    "min": reduction.min,
    "norm": moments.norm,
    "permute": _transpose,
    "prod": running.prod,
    "ravel": arranging.ravel,
    "relu": elementwise.relu,
    "repeat": arranging.repeat,
    "reshape": _reshape,
    "round": functions.round,
    "sigmoid": elementwise.sigmoid,
    "sign": elementwise.sign,
    "sin": functions.sin,
    "softmax": softmax,
    "sort": sorting.sort,
    "split": arranging.split,
    "sqrt": elementwise.sqrt,
    "square": elementwise.square,
    "squeeze": arranging.squeeze,
    "std": moments.std,
    "sum": reduction.sum,
    "take": gather.take,
    "tanh": elementwise.tanh,
    "tile": arranging.tile,
    "transpose": _transpose,
    "var": moments.var,
}


def _turned(self: Tensor) -> Tensor:
    """The axes turned around, as in NumPy."""
    return movement.transpose(self)


def attach() -> None:
    """Put the tables on Tensor."""
    numpys = {"__array_ufunc__": array_ufunc, "__array_function__": array_function}
    attributes = {**OPERATORS, **METHODS, **numpys, "T": property(_turned)}
    for name, attribute in attributes.items():
        setattr(Tensor, name, attribute)
