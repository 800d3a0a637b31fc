"""NumPy's functions on Tensors: its ufuncs (`np.exp(t)`, `array + t`) and its other functions (`np.sum(t)`, `np.dot`).

What an op does becomes that op, so that gradients pass. What no op does is an error if a Tensor needs a gradient, which
would end there without a word; else NumPy gets the values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinyres.engine.tensor import Tensor
from tinyres.errors import ArgumentError, DTypeError, GradientError
from tinyres.ops import (
    arithmetic,
    arranging,
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
from tinyres.ops.einsum import einsum
from tinyres.ops.matmul import dot, matmul

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
    np.bitwise_and: integers.bitwise_and,
    np.bitwise_or: integers.bitwise_or,
    np.bitwise_xor: integers.bitwise_xor,
    np.left_shift: integers.bitwise_left_shift,
    np.right_shift: integers.bitwise_right_shift,
    np.ceil: functions.ceil,
    np.cos: functions.cos,
    np.expm1: functions.expm1,
    np.floor: functions.floor,
    np.floor_divide: division.floor_divide,
    np.invert: integers.bitwise_not,
    np.isfinite: functions.isfinite,
    np.isinf: functions.isinf,
    np.isnan: functions.isnan,
    np.log1p: functions.log1p,
    np.remainder: division.mod,
    np.rint: functions.round,
    np.sin: functions.sin,
}


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Tensor:
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


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return np.nonzero(np.asarray(condition))
    return comparison.where(condition, x, y)


def _clip(a: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Tensor:
    return elementwise.clip(a, min if a_min is None else a_min, max if a_max is None else a_max)


def _reshape(a: Any, shape: Any) -> Tensor:
    return movement.reshape(a, shape)


def _pad(array: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Tensor:
    if mode != "constant":
        raise ArgumentError(f'[np.pad] a Tensor is padded with a constant; got mode={mode!r}; use mode="constant"')
    return movement.pad(array, pad_width, constant_values)


def _swapaxes(a: Any, axis1: int, axis2: int) -> Tensor:
    order = list(range(a.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return movement.transpose(a, order)


def _flip(m: Any, axis: Any = None) -> Tensor:
    axes = reduction.normalized_axes("flip", m.shape, axis)
    return m[tuple([slice(None, None, -1 if i in axes else None) for i in range(m.ndim)])]


def _stacked(axis: int) -> Callable[[Sequence[Any]], Tensor]:
    def stacked(tup: Sequence[Any]) -> Tensor:
        wide = [movement.reshape(t, (1, -1)) if axis == 0 and np.ndim(t) == 1 else t for t in tup]
        return movement.concatenate(wide, axis if wide[0].ndim > axis else 0)

    return stacked


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:
    matrix = np.ndim(x) != 1 if axis is None else isinstance(axis, (list, tuple)) and len(axis) == 2
    if matrix and ord not in (None, "fro"):
        raise ArgumentError(
            f"[np.linalg.norm] of a matrix there is the Frobenius norm alone; got ord={ord!r} and shape {np.shape(x)}; "
            "name an axis for norms of rows or columns, or flatten it"
        )
    return moments.norm(x, ord, axis, keepdims)


# By function: what does the same to Tensors, with the parameters that both know.
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.all: integers.all,
    np.amax: reduction.max,
    np.amin: reduction.min,
    np.any: integers.any,
    np.argmax: reduction.argmax,
    np.argmin: sorting.argmin,
    np.argsort: lambda a, axis=-1: sorting.argsort(a, axis),
    np.around: functions.round,
    np.broadcast_to: movement.broadcast_to,
    np.clip: _clip,
    np.concatenate: movement.concatenate,
    np.copy: lambda a: arranging.copy(a),
    np.cumsum: lambda a, axis=None: running.cumsum(a, axis),
    np.dot: dot,
    np.einsum: einsum,
    np.expand_dims: arranging.expand_dims,
    np.flip: _flip,
    np.hstack: _stacked(1),
    np.linalg.norm: _norm,
    np.max: reduction.max,
    np.mean: reduction.mean,
    np.min: reduction.min,
    np.pad: _pad,
    np.prod: running.prod,
    np.ravel: lambda a: arranging.ravel(a),
    np.repeat: arranging.repeat,
    np.reshape: _reshape,
    np.round: functions.round,
    np.sort: lambda a, axis=-1: sorting.sort(a, axis),
    np.split: arranging.split,
    np.squeeze: arranging.squeeze,
    np.stack: movement.stack,
    np.std: lambda a, axis=None, ddof=0, keepdims=False: moments.std(a, axis, keepdims, ddof),
    np.sum: reduction.sum,
    np.swapaxes: _swapaxes,
    np.take: gather.take,
    np.tile: arranging.tile,
    np.transpose: movement.transpose,
    np.var: lambda a, axis=None, ddof=0, keepdims=False: moments.var(a, axis, keepdims, ddof),
    np.vstack: _stacked(0),
    np.where: _where,
}

# What only looks at values or shapes: nothing comes out of it that a gradient could flow through.
_LOOKS = {
    np.allclose,
    np.argwhere,
    np.array2string,
    np.array_equal,
    np.array_equiv,
    np.array_repr,
    np.array_str,
    np.count_nonzero,
    np.empty_like,
    np.full_like,
    np.histogram,
    np.isclose,
    np.ndim,
    np.nonzero,
    np.ones_like,
    np.result_type,
    np.save,
    np.savetxt,
    np.savez,
    np.savez_compressed,
    np.searchsorted,
    np.shape,
    np.size,
    np.zeros_like,
}


def array_function(
    self: Tensor, function: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Run a NumPy function on Tensors as the op of the same meaning, or on their values if no gradient is lost."""
    name = f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}"
    if function in FUNCTIONS:
        given = {key: value for key, value in kwargs.items() if value is not None and value is not np._NoValue}
        own = FUNCTIONS[function]
        renamed = _as_parameters(function, own, args, given)
        if renamed is None:
            raise ArgumentError(
                f"[{name}] on a Tensor it takes {inspect.signature(own)}; got {len(args)} arguments and "
                f"{sorted(given)}; use np.asarray(t) for more if no gradient is needed"
            )
        return own(*renamed[0], **renamed[1])
    if function not in _LOOKS:
        for t in _tensors((args, kwargs)):
            if t.requires_grad:
                raise GradientError(
                    f"[{name}] no tinyres op does this, and the gradient of a Tensor would end here; got one of shape "
                    f"{t.shape}; use t.detach() if no gradient is needed"
                )
    return function(*_values(args), **_values(kwargs))


def _as_parameters(
    function: Callable[..., Any], own: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The arguments for our function; NumPy's first parameter goes by position. None where they do not fit."""
    try:
        if not args and kwargs:
            first = next(iter(inspect.signature(function).parameters))
            args, kwargs = (kwargs[first],), {key: value for key, value in kwargs.items() if key != first}
        inspect.signature(own).bind(*args, **kwargs)
    except (TypeError, ValueError, KeyError):
        return None
    return args, kwargs


def _tensors(structure: Any) -> Iterable[Tensor]:
    if isinstance(structure, Tensor):
        yield structure
    elif isinstance(structure, (list, tuple)):
        for item in structure:
            yield from _tensors(item)
    elif isinstance(structure, dict):
        yield from _tensors(list(structure.values()))


def _values(structure: Any) -> Any:
    """The structure with the values of Tensors in their place."""
    if isinstance(structure, Tensor):
        return structure.numpy()
    if isinstance(structure, (list, tuple)):
        return type(structure)([_values(item) for item in structure])
    if isinstance(structure, dict):
        return {key: _values(item) for key, item in structure.items()}
    return structure
