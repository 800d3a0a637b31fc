"""Nodes that reduce axes behind the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyres import ops
from tinyres.layers.pooling import GlobalAveragePooling2D, GlobalMaxPooling2D
from tinyres.onnx.reading.table import READERS, Reading, reads
from tinyres.onnx.values import Held

_POOLING = {"ReduceMean": GlobalAveragePooling2D, "ReduceMax": GlobalMaxPooling2D}


def _reduction(function: Callable[..., Any]) -> Callable[[Reading], Held]:
    def read(reading: Reading) -> Held:
        x, keepdims = reading.held(), bool(reading.attr("keepdims", 1))
        ndim = len(x.shape)
        given = reading.ints(1, "axes")
        axes = sorted(reading.axis(axis, ndim) for axis in given) if given else list(range(ndim))
        if 0 in axes:
            raise reading.refuse("the batch stays an axis", f"axes {axes}")
        if x.is_last and axes == [2, 3] and reading.kind in _POOLING:
            found = reading.named(_POOLING[reading.kind](keepdims=keepdims))(x.last)
            return Held(last=found) if keepdims else Held(found)
        if x.is_last and (keepdims or set(axes) >= {2, 3}):
            turned = tuple(sorted((0, 3, 1, 2)[axis] for axis in axes))
            found = reading.called(function(x.last, axis=turned, keepdims=keepdims))
            return Held(last=found) if keepdims else Held(found)
        return Held(reading.called(function(x.plain, axis=tuple(axes), keepdims=keepdims)))

    return read


REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceMean": ops.mean,
    "ReduceSum": ops.sum,
    "ReduceMax": ops.max,
    "ReduceMin": ops.min,
    "ReduceProd": ops.prod,
    "ReduceLogSumExp": ops.logsumexp,
    "ReduceL2": ops.norm,
}
READERS.update({kind: _reduction(function) for kind, function in REDUCTIONS.items()})


@reads("ArgMax")
def _argmax(reading: Reading) -> Held:
    x, axis = reading.plain(), reading.attr("axis", 0)
    if reading.axis(axis, len(x.shape)) == 0 or reading.attr("select_last_index", 0):
        raise reading.refuse("it is along an axis behind the batch, the first of equals", f"axis={axis}")
    found = ops.argmax(x, axis=axis)
    found = ops.expand_dims(found, axis) if reading.attr("keepdims", 1) else found
    return Held(reading.called(found))


@reads("CumSum")
def _cumsum(reading: Reading) -> Held:
    axis = int(reading.known(1, "the axis").reshape(-1)[0])
    if reading.attr("exclusive", 0):
        raise reading.refuse("a sum has its own element", "exclusive=1")
    return Held(reading.called(ops.cumsum(reading.plain(), axis=axis, reverse=bool(reading.attr("reverse", 0)))))
