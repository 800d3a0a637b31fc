"""What a Tensor can do besides holding values: one table of operators and methods, attached when `tinyres` is imported.

Operators on NumPy arrays and numbers work from both sides: NumPy hands its ufuncs to `__array_ufunc__`, so that
`np.float64(2) * t`, `array + t` and `np.exp(t)` give Tensors. Comparisons are elementwise; hashing is by identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, DTypeError
from tinyres.ops import arithmetic, casting, comparison, elementwise, indexing, movement, power, reduction
from tinyres.ops.matmul import matmul
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


OPERATORS: dict[str, Callable[..., Tensor]] = {
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
    "__abs__": elementwise.abs,
    "__gt__": comparison.greater,
    "__ge__": comparison.greater_equal,
    "__lt__": comparison.less,
    "__le__": comparison.less_equal,
    "__eq__": comparison.equal,
    "__ne__": comparison.not_equal,
    "__getitem__": indexing.index,
}

METHODS: dict[str, Callable[..., Tensor]] = {
    "abs": elementwise.abs,
    "argmax": reduction.argmax,
    "astype": casting.astype,
    "broadcast_to": movement.broadcast_to,
    "clip": elementwise.clip,
    "exp": elementwise.exp,
    "flatten": movement.flatten,
    "log": elementwise.log,
    "log_softmax": log_softmax,
    "logsumexp": reduction.logsumexp,
    "matmul": matmul,
    "max": reduction.max,
    "mean": reduction.mean,
    "min": reduction.min,
    "permute": _transpose,
    "relu": elementwise.relu,
    "reshape": _reshape,
    "sigmoid": elementwise.sigmoid,
    "sign": elementwise.sign,
    "softmax": softmax,
    "sqrt": elementwise.sqrt,
    "square": elementwise.square,
    "sum": reduction.sum,
    "tanh": elementwise.tanh,
    "transpose": _transpose,
    "var": reduction.var,
}

UFUNCS: dict[np.ufunc, Callable[..., Tensor]] = {
    np.absolute: elementwise.abs,
    np.add: arithmetic.add,
    np.divide: arithmetic.div,
    np.equal: comparison.equal,
    np.exp: elementwise.exp,
    np.float_power: power.pow,
    np.greater: comparison.greater,
    np.greater_equal: comparison.greater_equal,
    np.less: comparison.less,
    np.less_equal: comparison.less_equal,
    np.log: elementwise.log,
    np.matmul: matmul,
    np.maximum: comparison.maximum,
    np.minimum: comparison.minimum,
    np.multiply: arithmetic.mul,
    np.negative: arithmetic.neg,
    np.not_equal: comparison.not_equal,
    np.power: power.pow,
    np.reciprocal: elementwise.reciprocal,
    np.sign: elementwise.sign,
    np.sqrt: elementwise.sqrt,
    np.square: elementwise.square,
    np.subtract: arithmetic.sub,
    np.tanh: elementwise.tanh,
}


def _array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Tensor:
    """Run a NumPy ufunc on a Tensor as the op of the same meaning."""
    name = f"np.{ufunc.__name__}"
    if options.get("out") is not None:
        raise DTypeError(
            f"[{name}] a Tensor's value cannot be written into a NumPy array, its graph would end there; got out=; "
            "write a = a + t instead of a += t, or use np.asarray(t)"
        )
    if method != "__call__" or options:
        raise ArgumentError(
            f"[{name}] a ufunc on a Tensor takes no options and no methods; got {method}, {options}; use np.asarray(t)"
        )
    if ufunc not in UFUNCS:
        raise DTypeError(f"[{name}] no tinyres op does this; got a Tensor; use np.asarray(t) if no gradient is needed")
    return UFUNCS[ufunc](*inputs)


def _turned(self: Tensor) -> Tensor:
    """The axes turned around, as in NumPy."""
    return movement.transpose(self)


def attach() -> None:
    """Put the tables on Tensor."""
    attributes = {**OPERATORS, **METHODS, "__array_ufunc__": _array_ufunc, "T": property(_turned)}
    for name, attribute in attributes.items():
        setattr(Tensor, name, attribute)
