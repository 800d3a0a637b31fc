"""The shape of a tape: what `structure` sees of it, numbers without values."""

from __future__ import annotations

from collections import Counter

from tinyres.measure.roles import LEAF
from tinyres.measure.tape import Tape
from tinyres.structure.shape import Shape


def shape_of(tape: Tape) -> Shape:
    """The tape by numbers of units: a layer is parametric if it reads a weight.

    A weight is a Parameter, what was computed from Parameters alone, or a leaf that requires a gradient and is read
    once: where it is read several times it is more likely the user's x than a shared weight, for which there is
    Parameter.
    """
    pairs = list(tape.edges)
    reads_parameters = [0] * len(tape.units)
    for _, dst in tape.parameter_edges:
        reads_parameters[dst] += 1
    producers: list[list[int]] = [[] for _ in tape.units]
    for src, dst in pairs:
        producers[dst].append(src)
    computed = [False] * len(tape.units)
    for i, node in enumerate(tape.units):
        computed[i] = node.op is not None and i not in tape.looking_up and all(computed[p] for p in producers[i])
    readers = Counter(src for src, _ in pairs)
    is_weight = [
        computed[i] or (n.op is None and n.requires_grad and readers[i] == 1) for i, n in enumerate(tape.units)
    ]
    return Shape(
        edges=pairs,
        weights=[reads_parameters[i] + sum(is_weight[p] for p in producers[i]) for i in range(len(tape.units))],
        is_weight=is_weight,
        sizes=[n.buffer.size for n in tape.units],
        multiplicative=[facts.multiplies for facts in tape.facts],
        scopes=tape.scopes,
        asides=frozenset(i for i, role in enumerate(tape.roles) if role not in ("", LEAF)),
        gating=frozenset(i for i, facts in enumerate(tape.facts) if 0 < facts.slope < 1 or facts.distributes),
        names=tape.names,
        labels=tape.kinds,
    )


def input_of(tape: Tape, shape: Shape) -> int:
    """The unit of the input, where the paths of a gradient end; without one, the first that is computed from data."""
    leaves = [i for i, role in enumerate(tape.roles) if role == LEAF]
    computed = (i for i, role in enumerate(tape.roles) if not role and not shape.is_weight[i])
    return next((i for i in leaves if not shape.is_weight[i]), leaves[0] if leaves else next(computed, 0))
