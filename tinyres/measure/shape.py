"""The shape of a tape: what `structure` sees of it, numbers without values."""

from __future__ import annotations

import math

from tinyres.measure.roles import LEAF
from tinyres.measure.tape import Tape
from tinyres.structure.shape import Shape, weights_among


def shape_of(tape: Tape) -> Shape:
    """The tape by numbers of units: a layer is parametric if it reads a weight."""
    pairs = list(tape.edges)
    reads_parameters = [0] * len(tape.units)
    for _, dst in tape.parameter_edges:
        reads_parameters[dst] += 1
    leaves = {i: n.requires_grad for i, n in enumerate(tape.units) if n.op is None}
    weights, is_weight = weights_among(pairs, reads_parameters, leaves, tape.looking_up)
    return Shape(
        edges=pairs,
        weights=weights,
        is_weight=is_weight,
        sizes=[n.buffer.size for n in tape.units],
        multiplicative=[facts.multiplies for facts in tape.facts],
        scopes=tape.scopes,
        asides=frozenset(i for i, role in enumerate(tape.roles) if role not in ("", LEAF)),
        gating=frozenset(i for i, facts in enumerate(tape.facts) if 0 < facts.slope < 1 or facts.distributes),
        positions=[math.prod(n.shape[1:-1]) for n in tape.units],
        squashed=frozenset(tape.squashed),
        names=tape.names,
        labels=tape.kinds,
    )


def input_of(tape: Tape, shape: Shape) -> int:
    """The unit of the input, where the paths of a gradient end; without one, the first that is computed from data."""
    leaves = [i for i, role in enumerate(tape.roles) if role == LEAF]
    computed = (i for i, role in enumerate(tape.roles) if not role and not shape.is_weight[i])
    return next((i for i in leaves if not shape.is_weight[i]), leaves[0] if leaves else next(computed, 0))
