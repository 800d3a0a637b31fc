"""Weights drawn by kernels: from one seed the same ones here and in a browser, so that no weights are sent.

The distributions are those of `tr.initializers`. Normal numbers beyond two standard deviations are drawn again, twice
at most; of what is then left, one in 10,000, the end of the range is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from tinyres import kernels
from tinyres.backends.buffers import Window
from tinyres.engine.node import ParameterLeaf
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Parameter, Tensor, constant, node_of
from tinyres.kernels.sharing import FULL, SCALAR
from tinyres.launch import launch
from tinyres.nn.drawn import Scaled
from tinyres.nn.initializer import INITIALIZERS
from tinyres.ops import clip, rand, randn, where
from tinyres.ops.random import Generator
from tinyres.structure.fans import fans

_AT_ONCE = 1 << 18  # numbers that are drawn in one go: a megabyte
_DRAWS = 3
_TRUNCATED_DEVIATION = 0.87962566103423978  # of a standard normal that is cut off at ±2


def draw(weights: Iterable[Parameter], generator: Generator) -> None:
    """Fill all weights whose initialiser draws, in this order; kernels only, so a captured step can do it."""
    with no_grad():
        for normal in (False, True):
            drawn = [w for w in weights if _is_drawn(w, normal)]
            for some in _parts(drawn):
                count = sum(w.size for w in some)
                _deal(_truncated_normal(count, generator) if normal else _uniform(count, generator), some, normal)


def _is_drawn(weight: Parameter, normal: bool) -> bool:
    leaf = node_of(weight)
    name = leaf.initializer if isinstance(leaf, ParameterLeaf) else ""
    return name.endswith("_normal" if normal else "_uniform")


def _parts(weights: Sequence[Parameter]) -> Iterator[list[Parameter]]:
    """Runs of weights that are drawn in one go."""
    part: list[Parameter] = []
    for weight in weights:
        if part and sum(w.size for w in (*part, weight)) > _AT_ONCE:
            yield part
            part = []
        part.append(weight)
    if part:
        yield part


def _uniform(count: int, generator: Generator) -> Tensor:
    """Between -1 and 1."""
    return rand(count, generator=generator) * 2.0 - 1.0


def _truncated_normal(count: int, generator: Generator) -> Tensor:
    values = randn(count, generator=generator)
    for _ in range(_DRAWS - 1):
        values = where(values.abs() <= 2.0, values, randn(count, generator=generator))
    return clip(values, -2.0, 2.0)


def _deal(numbers: Tensor, weights: Sequence[Parameter], normal: bool) -> None:
    """Give each weight its part of the numbers, times its deviation or limit."""
    first = 0
    for weight in weights:
        reach = 1 / _TRUNCATED_DEVIATION if normal else math.sqrt(3.0)
        width = constant(_deviation(weight) * reach, weight.dtype)
        part = Window(numbers.buffer, first * weight.dtype.itemsize, weight.size, weight.dtype)
        launch(kernels.mul, (weight.buffer,), (part, width.buffer), (1, weight.size), (), FULL | SCALAR << 2)
        first += weight.size


def _deviation(weight: Parameter) -> float:
    leaf = node_of(weight)
    assert isinstance(leaf, ParameterLeaf)
    drawing = INITIALIZERS[leaf.initializer]
    assert issubclass(drawing, Scaled)
    fan_in, fan_out = fans(weight.shape)
    return math.sqrt(drawing.scale / ((fan_in + fan_out) / 2 if drawing.average_fans else fan_in))
