"""PyTorch's methods of a Tensor that are not here: what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyres.errors import Absent, ArgumentError

REMEDIES = {
    "add": "write a + b",
    "amax": "use t.max(axis)",
    "amin": "use t.min(axis)",
    "bool": 'use t.astype("bool")',
    "chunk": "use slices",
    "clamp": "use t.clip(low, high)",
    "clone": "use t.copy()",
    "contiguous": "leave it out: every Tensor is",
    "cpu": "leave it out: it runs on the CPU",
    "cuda": "leave it out: it runs on the CPU",
    "diag": "use an index: t[range(n), range(n)]",
    "dim": "use t.ndim",
    "div": "write a / b",
    "double": 'use t.astype("float64")',
    "eq": "write a == b",
    "expand": "use tinyres.broadcast_to(t, shape)",
    "flip": "use t[::-1]",
    "float": 'use t.astype("float32")',
    "gather": "use an index array: t[rows, columns]",
    "ge": "write a >= b",
    "gt": "write a > b",
    "half": "float32 and float64 are there",
    "int": 'use t.astype("int64")',
    "isnan": "use np.isnan(t)",
    "le": "write a <= b",
    "long": 'use t.astype("int64")',
    "lt": "write a < b",
    "masked_fill": "use tinyres.where(mask, value, t)",
    "mm": "write a @ b",
    "mul": "write a * b",
    "neg": "write -t",
    "nonzero": "use np.nonzero(t.numpy())",
    "numel": "use t.size",
    "outer": "write a[:, None] * b",
    "pow": "write a ** b",
    "requires_grad_": "set t.requires_grad = True, or make it with requires_grad=True",
    "roll": "use slices and tinyres.concatenate",
    "sub": "write a - b",
    "t": "use t.T",
    "to": 'leave it out: it runs on the CPU; t.astype("float64") changes the dtype',
    "topk": "use t.argsort()",
    "tril": "use tinyres.where(np.tril(np.ones(t.shape)) > 0, t, 0.0)",
    "triu": "use tinyres.where(np.triu(np.ones(t.shape)) > 0, t, 0.0)",
    "type": "use t.astype",
    "unique": "use np.unique(t.numpy())",
    "unsqueeze": "use t[:, None], or t.reshape",
    "view": "use t.reshape",
    "where": "use tinyres.where(condition, a, b)",
}


class OtherNames:
    """Says what to write for a method that a Tensor does not have."""

    __slots__ = ()

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if name not in REMEDIES]


def refuse_backward(gradient: Any, others: Mapping[str, Any]) -> None:
    """Raise ArgumentError for what PyTorch's `backward` takes and a Tensor's does not, or takes elsewhere."""
    for name, value in others.items():
        raise ArgumentError(
            f"[backward] it takes gradient and retain_graph; got {name}={value!r}; a gradient of some inputs, or one "
            "to differentiate again, is tinyres.grad(loss, inputs, create_graph=True)"
        )
    if isinstance(gradient, bool):
        raise ArgumentError(
            f"[backward] the first argument is the gradient of this Tensor; got {gradient}; "
            f"write backward(retain_graph={gradient})"
        )


for _name, _remedy in REMEDIES.items():
    setattr(OtherNames, _name, Absent(f"[tensor] a Tensor has no .{_name}; got this name; {_remedy}"))
