"""Elementwise kernels and reductions, from the first level of the cache to memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rows.row import Array, Row, Rows, Run, empty, in_jax, in_torch, normal
from tinyres.kernels.record import RELU
from tinyres.kernels.sharing import ROW

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


def elementwise_rows() -> Rows:
    for n in SIZES:
        for name in UNARY:
            yield f"elementwise {name} {n:,}", partial(unary_row, name, n)
        for name, ufunc in (("add", np.add), ("mul", np.multiply)):
            yield f"elementwise {name} {n:,}", partial(binary_row, name, n, ufunc)
        yield f"elementwise bias+relu {n:,}", partial(bias_relu_row, n)


def _numpy_relu(x: Array, out: Array) -> object:
    return np.maximum(x, 0, out=out)


def _numpy_sigmoid(x: Array, out: Array) -> object:
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    return np.reciprocal(out, out=out)


def _torch_relu(torch: Any, x: Any, out: Any) -> object:
    return torch.clamp(x, min=0, out=out)


UNARY: dict[str, tuple[Callable[..., object], Callable[..., object] | None, str]] = {
    # kernel: in NumPy; in PyTorch where torch.<name>(x, out=) is not it; in JAX
    "relu": (_numpy_relu, _torch_relu, "jax.nn"),
    "exp": (np.exp, None, "jax.numpy"),
    "tanh": (np.tanh, None, "jax.numpy"),
    "sigmoid": (_numpy_sigmoid, None, "jax.nn"),
}


def unary_row(kernel: str, n: int) -> Row:
    numpy, in_place_of_torch, jax_module = UNARY[kernel]
    x, out, out_torch = normal(n), empty(n), empty(n)

    def torch(torch: Any, x: Any, out: Any) -> Run:
        if in_place_of_torch is not None:
            return lambda: in_place_of_torch(torch, x, out=out)
        return lambda: getattr(torch, kernel)(x, out=out)

    def jax(jax: Any) -> Callable[..., Any]:
        return getattr(jax.nn if jax_module == "jax.nn" else jax.numpy, kernel)

    return Row(
        kernel, [empty(n)], [x], (n,),
        peers={
            "numpy": lambda: lambda: numpy(x, out=out),
            "torch": in_torch(torch, x, out_torch),
            "jax": in_jax(jax, x),
        },
        work=8.0 * n,
    )  # fmt: skip


def binary_row(kernel: str, n: int, ufunc: np.ufunc) -> Row:
    a, b, out, out_torch = normal(n), normal(n), empty(n), empty(n)

    def torch(torch: Any, a: Any, b: Any, out: Any) -> Run:
        return lambda: getattr(torch, kernel)(a, b, out=out)

    return Row(
        kernel, [empty(n)], [a, b], (1, n),
        peers={
            "numpy": lambda: lambda: ufunc(a, b, out=out),
            "torch": in_torch(torch, a, b, out_torch),
            "jax": in_jax(lambda jax: getattr(jax.numpy, ufunc.__name__), a, b),
        },
        limit="triad", work=12.0 * n,
    )  # fmt: skip


def bias_relu_row(n: int) -> Row:
    rows, columns = n // 100, 100
    x, bias, out, out_torch = normal(rows, columns), normal(columns), empty(rows, columns), empty(rows, columns)

    def numpy() -> None:
        np.add(x, bias, out=out)
        np.maximum(out, 0, out=out)

    def torch(torch: Any, x: Any, bias: Any, out: Any) -> Run:
        return lambda: torch.add(x, bias, out=out).clamp_(min=0)

    return Row(
        "add", [empty(n)], [x, bias], (rows, columns), flags=ROW << 2 | RELU,
        peers={
            "numpy": lambda: numpy,
            "torch": in_torch(torch, x, bias, out_torch),
            "jax": in_jax(lambda jax: lambda x, bias: jax.nn.relu(x + bias), x, bias),
        },
        work=8.0 * n,
    )  # fmt: skip


def reduction_rows() -> Rows:
    for rows, columns in ((1000, 100), (10_000, 100)):
        for axis in (0, 1):
            for name in ("sum", "max"):
                group = f"reduction {name} over axis {axis} of {rows}x{columns}"
                yield group, partial(reduction_row, name, rows, columns, axis)
    for n in SIZES[:3]:
        yield f"dot x·x {n:,}", partial(dot_row, n, True)
        yield f"dot x·y {n:,}", partial(dot_row, n, False)


def reduction_row(name: str, rows: int, columns: int, axis: int) -> Row:
    x = normal(rows, columns)
    sizes = (1, rows, columns) if axis == 0 else (rows, columns, 1)
    count = columns if axis == 0 else rows
    out, out_torch = empty(count), empty(count)

    def torch(torch: Any, x: Any, out: Any) -> Run:
        return lambda: getattr(torch, "sum" if name == "sum" else "amax")(x, axis, out=out)

    return Row(
        name, [empty(count)], [x], sizes,
        scalars=(1.0,) if name == "sum" else (),
        peers={
            "numpy": lambda: lambda: getattr(np, name)(x, axis=axis, out=out),
            "torch": in_torch(torch, x, out_torch),
            "jax": in_jax(lambda jax: lambda x: getattr(jax.numpy, name)(x, axis=axis), x),
        },
        limit="read", work=4.0 * rows * columns,
    )  # fmt: skip


def dot_row(n: int, squares: bool) -> Row:
    """A dot product in double precision, which the peers sum in single; x·x is what a norm takes."""
    x = normal(n)
    y = x if squares else normal(n)

    def torch(torch: Any, x: Any, y: Any) -> Run:
        return lambda: torch.dot(x, y)

    return Row(
        "sum_squares" if squares else "dot", [np.zeros(1)], [x] if squares else [x, y], (n,),
        peers={
            "numpy": lambda: lambda: np.dot(x, y),
            "torch": in_torch(torch, x, y),
            "jax": in_jax(lambda jax: jax.numpy.dot, x, y),
        },
        limit="read", work=4.0 * n * (1 if squares else 2),
    )  # fmt: skip
