"""What the units of a tape are, from what is known of the functions that they call."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tinyres.torch.calls import Call, Recorder, is_leaf
from tinyres.torch.vocabulary import function
from tinyres.trace.facts import Facts, Fans

Way = frozenset[Any]

_TRANSPOSES = frozenset({"t", "T", "mT", "transpose", "permute"})
_ATTENTION = "multi_head_attention_forward"


class Read(NamedTuple):
    """What a call read: the tensor of a leaf, or what another call made."""

    leaf: Any = None
    call: Call | None = None


def reads_of(call: Call, recorder: Recorder) -> Iterator[Read]:
    """All that a call read, once for each time."""
    for node in call.nodes:
        for below, _ in node.next_functions:
            if below is None:
                continue
            if is_leaf(below):
                yield Read(leaf=below.variable)
            elif recorder.of[below] is not call:
                yield Read(call=recorder.of[below])
    for tensor in call.constants:
        yield Read(leaf=tensor)


class Ways:
    """By which ways data comes into calls, seen from outside of the unit that they lie in.

    part: the unit of each call. weights: ids of the tensors that are Parameters.
    """

    def __init__(self, part: Mapping[Call, int], recorder: Recorder, weights: Collection[int]) -> None:
        self.reads: dict[Call | None, list[Read]] = {call: list(reads_of(call, recorder)) for call in part}
        self._part = part
        self._weights = weights
        self._is_data: dict[Call, bool] = {}
        self._of: dict[Call, Way] = {}
        for call in sorted(part, key=lambda c: c.index):
            ways = self.into(call)
            self._is_data[call] = any(ways) or call.name.startswith("embedding")
            self._of[call] = frozenset().union(*ways)

    def into(self, call: Call) -> list[Way]:
        """Per thing that a call read where it comes from; empty for weights and what was made of them alone."""
        return [self._way(call, read) for read in self.reads[call]]

    def _way(self, reader: Call, read: Read) -> Way:
        if read.call is None:
            return frozenset() if id(read.leaf) in self._weights else frozenset([id(read.leaf)])
        if self._part.get(read.call) == self._part[reader]:
            return self._of[read.call]
        return frozenset([read.call]) if self._is_data.get(read.call, True) else frozenset()

    def multiplied(self, call: Call) -> bool:
        """Whether a call multiplies two ways with one another that have not met before."""
        if not function(call.name).multiplies:
            return False
        ways = self.into(call)
        return any(a - b and b - a for i, a in enumerate(ways) for b in ways[:i])

    def scaled(self, call: Call) -> bool:
        """Whether a call multiplies data with a weight or a number, element by element."""
        known = function(call.name)
        return known.multiplies and not known.weighs and sum(map(bool, self.into(call))) == 1


def facts_of(parts: Sequence[Sequence[Call]], ways: Ways) -> list[Facts]:
    """Per unit, given as its calls, what these make it."""
    return [_facts(calls, ways) if calls else Facts() for calls in parts]


def _facts(calls: Sequence[Call], ways: Ways) -> Facts:
    known = [function(call.name) for call in calls]
    last = known[-1]
    weighing = [call for call, f in zip(calls, known) if f.weighs]
    return Facts(
        adds=all(f.adds or f.view for f in known) and any(f.adds for f in known),
        multiplies=any(map(ways.multiplied, calls)),
        scales=any(map(ways.scaled, calls)) and all(
            f.adds or f.view or bool(f.normalises) or f.weighs or ways.scaled(call) for call, f in zip(calls, known)
        ),
        rectifies=sum(f.rectifies and f.leaks is None for f in known),
        rectified=last.rectifies and last.leaks is None,
        leaks=next((f.leaks(c.args, c.options) for c, f in zip(calls, known) if f.leaks is not None), 0.0),
        normalises=next((f.normalises for f in known if f.normalises), ""),
        piecewise_linear=all(f.adds or f.view or f.rectifies or f.weighs for f in known)
        and not any(map(ways.multiplied, weighing)),
        slope=last.slope,
        drops=max([f.drops(c.args, c.options) for c, f in zip(calls, known) if f.drops is not None], default=0.0),
        distributes=next((_shared_out(c) for c, f in zip(calls, known) if f.distributes), 0),
        breaks=last.breaks,
        helps=last.helps,
    )  # fmt: skip


def _shared_out(call: Call) -> int:
    """Over how many units a call shares out 1."""
    if not call.shape:
        return 1
    dim = call.options.get("dim", call.args[1] if len(call.args) > 1 else -1)
    return int(call.shape[dim if isinstance(dim, int) and -len(call.shape) <= dim < len(call.shape) else -1])


def fans_of(calls: Sequence[Call], ways: Ways, weights: Collection[int]) -> dict[int, Fans]:
    """(fan_in, fan_out) by id of every Parameter that calls multiply data with, if all that do so agree."""
    found: dict[int, set[Fans]] = {}
    for call in calls:
        if not function(call.name).weighs and call.name != _ATTENTION:
            continue
        for read in ways.reads[call]:
            turned = read.call is not None and read.call.name in _TRANSPOSES
            leaf = next((r.leaf for r in ways.reads.get(read.call, ())), None) if turned else read.leaf
            if leaf is not None and id(leaf) in weights and leaf.dim() > 1:
                found.setdefault(id(leaf), set()).add(_fans(call.name, tuple(leaf.shape), turned))
    return {weight: known for weight, (known, *others) in found.items() if not others}


def _fans(name: str, shape: tuple[int, ...], turned: bool) -> Fans:
    """PyTorch's kernels are (outputs, inputs, taps), those of transposed convolutions (inputs, outputs, taps)."""
    taps = math.prod(shape[2:])
    outputs_first = turned or name == "linear" or name == _ATTENTION or name in ("conv1d", "conv2d", "conv3d")
    a, b = shape[0] * taps, shape[1] * taps
    return (b, a) if outputs_first else (a, b)
