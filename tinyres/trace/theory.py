"""Published laws of |g| per block at initialisation, each with the conditions under which it holds, read off the trace.

A law is said only of blocks of one build whose weights are as a named initialiser drew them, for batches of 32 and
more, in training mode where that matters, and where the measured rate does not contradict it. Else the rate stands
alone. Sources: He et al. 2015 (a Dense multiplies |g|² by fan_in · Var(W), a ReLU lets half of it through), Yang et al.
2019 (BatchNorm before ReLU), De & Smith 2020 (skips without normalisation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tinyres.structure.fans import fans
from tinyres.structure.kinds import SKIP
from tinyres.trace.blocks import Block, rows_of
from tinyres.trace.course import Walk
from tinyres.trace.facts import Facts
from tinyres.trace.nodes import TraceNode, TraceParameter
from tinyres.trace.streams import reads_normalised
from tinyres.trace.trace import Trace

LEAST_BATCH = 32
PER_BATCHNORM_AND_RELU = math.pi / (math.pi - 1)  # of |g|²


def _glorot(shape: Sequence[int]) -> float:
    return 2 / sum(fans(shape))


def _he(shape: Sequence[int]) -> float:
    return 2 / fans(shape)[0]


def _lecun(shape: Sequence[int]) -> float:
    return 1 / fans(shape)[0]


def _orthogonal(shape: Sequence[int]) -> float:
    return 1 / max(math.prod(shape[:-1]), shape[-1])


# By initialiser: what it is called, and the Var(W) that it gives a kernel of this shape.
_VARIANCES: dict[str, tuple[str, Callable[[Sequence[int]], float]]] = {
    "glorot_uniform": ("Glorot", _glorot),
    "glorot_normal": ("Glorot", _glorot),
    "he_uniform": ("He", _he),
    "he_normal": ("He", _he),
    "lecun_uniform": ("LeCun", _lecun),
    "lecun_normal": ("LeCun", _lecun),
    "orthogonal": ("orthogonal", _orthogonal),
}
_AT_BORDERS = 0.99  # a coverage below this is named
_AGREES = 0.2  # of the law's log rate: a measured one further off, and with the law outside its interval, is another


class Theory(NamedTuple):
    """A published factor of |g| per block toward the input, and the kind of net that it holds for."""

    net: str
    rate: float

    def __str__(self) -> str:
        return f"theory for {self.net}: x {self.rate:.2f}"

    def agrees(self, rate: float, low: float, high: float) -> bool:
        """Whether a measured rate with its interval can be of this law."""
        return low <= self.rate <= high or abs(math.log(rate / self.rate)) < _AGREES * abs(math.log(self.rate))


def theory_of(trace: Trace, blocks: Sequence[Block] | None = None) -> Theory | None:
    """The law that the blocks of a trace (or these of them) are known to follow, if there is one."""
    blocks = trace.blocks if blocks is None else blocks
    if not blocks or (trace.header.batch or 0) < LEAST_BATCH:
        return None
    laws = {_law(block, bool(trace.header.training)) for block in blocks}
    return laws.pop() if len(laws) == 1 else None


def theory_of_layers(trace: Trace, names: Sequence[str]) -> Theory | None:
    """The law per layer of a net without blocks, of these layers, if each follows it."""
    if (trace.header.batch or 0) < LEAST_BATCH or any(len(f.edges) > 1 for f in trace.forks):
        return None
    wanted, parts = set(names), []
    for node in trace.nodes:
        if node.params:
            parts.append([node])
        elif parts:
            parts[-1].append(node)
    laws = {_chain(part, bool(trace.header.training), alone=True) for part in parts if part[0].name in wanted}
    return laws.pop() if len(laws) == 1 else None


def is_polynomial(trace: Trace, blocks: Sequence[Block]) -> bool | None:
    """Whether |g| can only grow like a power of the depth: True, False, or None where the build does not tell.

    blocks: those of one stage. It can only do so where each adds, to its input as it is, a branch that normalises: |x|²
    then grows by the same amount per block and the branch's gradient shrinks with it. Without a skip, or without
    normalisation in a branch that is not scaled, each block multiplies.
    """
    if not blocks:
        return None
    if all(map(reads_normalised, blocks)):
        return True
    skips = [_identity_skip(block) for block in rows_of(blocks)]
    normalised = ["batch" in _normalised(block) for block in rows_of(blocks)]
    enough = trace.header.batch is None or trace.header.batch >= LEAST_BATCH
    if all(skips) and all(normalised) and trace.header.training is not False:
        return True if enough else None
    if not any(block.fork is not None for block in blocks):
        return False
    return None


def normalises_branches(trace: Trace) -> bool:
    """Whether every block with a skip, projected or not, normalises in its branch; and there are such."""
    forked = [block for block in trace.parts if block.skip is not None]
    return bool(forked) and all("batch" in _normalised(block) for block in forked)


def walk_of(trace: Trace, blocks: Sequence[Block]) -> Walk:
    """How the steps of log |g| of these blocks scatter, measured over 60 seeds of each build in five sizes.

    BatchNorm holds |g| to its course, and the first of its blocks reads what no block has rectified. Over skips that
    nothing normalises, the same few examples carry the gradient through all blocks.
    """
    if blocks and trace.header.training is not False and all("batch" in _normalised(b) for b in rows_of(blocks)):
        return Walk(strays=0.8, first_apart=True)
    return Walk(strays=1.5) if any(b.fork is not None for b in blocks) else Walk()


def drawn_gain(parameter: TraceParameter) -> tuple[str, float] | None:
    """(name, fan_in · Var(W)) of a weight that is as its initialiser drew it; None if that is not known.

    Only taps that meet a pixel count: 3 x 3 taps over W x W pixels with padding "same" make |g| (3W - 2)/(3W) of it.
    """
    if parameter.fans is None or parameter.drawn not in _VARIANCES or not parameter.size:
        return None
    name, variance = _VARIANCES[parameter.drawn]
    return name, parameter.fans[0] * parameter.coverage * variance(parameter.shape)


def _identity_skip(block: Block) -> bool:
    """Whether the block's input goes into its Add as it is."""
    return (
        block.fork is not None
        and block.join is not None
        and block.join.facts.adds
        and any(e.kind == SKIP and e.dst == block.join.name and e.count == 1 for e in block.fork.edges)
    )


def _normalised(block: Block) -> set[str]:
    """Over what the branch of a block normalises."""
    return {n.facts.normalises for n in block.nodes if n is not block.join} - {""}


def _law(block: Block, training: bool) -> Theory | None:
    """The law of one block: of a chain, or of an identity skip around a chain with nothing behind the Add."""
    branch = [n for n in block.nodes if n is not block.join]
    if block.fork is None:
        return _chain(branch, training, alone=True)
    if block.parts or not _identity_skip(block) or block.join is not block.output or len(block.fork.edges) != 2:
        return None
    law = _chain(branch, training, alone=False)
    if law is None or branch[-1].facts.rectifies or branch[-1].facts.leaks:
        return None
    # Skip and branch are uncorrelated, so their |g|² add up; not where a cut ends the branch: what it adds is never
    # below 0, so all examples grow alike (measured: x 1.22 where this sum is 1.12).
    return Theory(f"{law.net}, skips and no BatchNorm", math.sqrt(1 + law.rate**2))


def _chain(nodes: Sequence[TraceNode], training: bool, alone: bool) -> Theory | None:
    """The law of layers in a row, each of which must be one of those that have a factor of |g|²."""
    names: set[str] = set()
    factor, normalised, rectified = 1.0, 0, 0
    dropped: set[float] = set()
    leaking: set[float] = set()
    bordered = False
    for i, node in enumerate(nodes):
        facts = node.facts
        weights = [p for p in node.params.values() if p.fans is not None]
        if facts.normalises:
            behind = nodes[i + 1].facts if i + 1 < len(nodes) else None
            if facts.normalises != "batch" or not training or behind is None or not _is_bare_relu(behind):
                return None
            normalised += 1
        elif facts.drops:
            if not training:
                continue
            dropped.add(facts.drops)
            factor /= 1 - facts.drops
        elif weights and facts.piecewise_linear and (len(weights) == 1 or facts.in_row) and not _biased(node):
            gains = [drawn_gain(p) for p in weights]
            known = [gain for gain in gains if gain is not None]
            if len(known) < len(gains):
                return None
            names.update(name for name, _ in known)
            factor *= math.prod(gain for _, gain in known) * _let_through(facts)
            bordered |= any(p.coverage < _AT_BORDERS for p in weights)
            rectified += facts.rectifies
            leaking.add(facts.leaks)
        elif _is_bare_relu(facts) or (facts.leaks and facts.piecewise_linear):
            factor *= _let_through(facts)
            rectified += facts.rectifies
            leaking.add(facts.leaks)
        elif facts.scales and len(node.params) == 1:
            (scale,) = node.params.values()
            if not scale.drawn:
                return None
            factor *= scale.value_norm**2 / max(1, scale.size)
        else:
            return None
    if normalised:
        # BatchNorm takes the size of the weights out, so it must stand before every ReLU and be all there is.
        if not alone or normalised != rectified or dropped:
            return None
        return Theory("BatchNorm before ReLU", PER_BATCHNORM_AND_RELU ** (normalised / 2))
    if len(names) != 1:
        return None
    cuts = (["ReLU"] if rectified else []) + [f"leaky ReLU {leak:g}" for leak in sorted(leaking - {0.0})]
    words = [names.pop(), *cuts, *(f"Dropout {rate:g}" for rate in sorted(dropped))]
    net = " and ".join(words) if len(words) < 3 else f"{words[0]}, {' and '.join(words[1:])}"
    net += ", without taps that meet no pixel" if bordered else ""
    return Theory(net if cuts else f"{net} without an activation", math.sqrt(factor))


def _let_through(facts: Facts) -> float:
    """The part of |g|² that cuts at 0 pass, of values that are as often above as below."""
    return (1 + facts.leaks**2) / 2 if facts.leaks else 0.5**facts.rectifies


def _is_bare_relu(facts: Facts) -> bool:
    return facts.piecewise_linear and facts.rectifies == 1 and not facts.leaks


def _biased(node: TraceNode) -> bool:
    """Whether a bias that is not 0 moves the cut of a ReLU."""
    return any(p.fans is None and p.value_norm != 0 for p in node.params.values())
