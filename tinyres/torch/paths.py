"""The path-length spectrum of a module: autograd's own nodes, called one by one with one cotangent per length.

As `measure.paths` does on a tape of tinyres: the derivative of an op is linear in what comes back, so that the parts of
a gradient can be taken through the graph each by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tinyres.errors import TraceError
from tinyres.structure.ways import NONE, START, Steps, Way, after
from tinyres.torch.library import torch
from tinyres.torch.statistics import dot, sums_of
from tinyres.torch.tape import LEAF, Key, Tape
from tinyres.trace.spectrum import Over, Spectrum

Ways = dict[Way, Any]
_InPython = torch.autograd.function.BackwardCFunction


def path_spectrum(loss: Any, tape: Tape) -> Spectrum:
    """The spectrum of the gradient at the input, or without one of floats at the first that is computed.

    The graph stays there to go back through. Raises TraceError for nodes that cannot be called alone.
    """
    unit = _input_of(tape)
    if unit == tape.place[loss.grad_fn]:
        return Spectrum(tape.name(unit), (1.0,), (1.0,), 0.0)
    node, output = _only_key(tape, unit)
    steps = Steps(tape.structure)
    with torch.no_grad():
        ways = _by_way(loss, tape, (node, output), steps)
        parts = _summed(ways, 0)
        over = _summed(ways, 1) if steps.across else {}
        whole = sum(parts.values()) if parts else None
    longest = max(parts, default=0)
    taken = [over.get(place) for place in (*range(len(steps.across)), NONE)] if steps.across else []
    names = (*steps.across, "")
    if whole is None:
        nothing = tuple(Over(name, None, 0.0) for name in names[: len(taken)])
        return Spectrum(tape.name(unit), (None,), (0.0,), 0.0, nothing)
    ordinary = _ordinary(loss, node, output)
    square = dot(ordinary, ordinary)
    rows = [_measured(part, ordinary, square) for part in (*(parts.get(k) for k in range(longest + 1)), *taken)]
    left = sums_of([ordinary - whole]).squares ** 0.5
    return Spectrum(
        at=tape.name(unit),
        shares=tuple(share for share, _ in rows[: longest + 1]),
        norms=tuple(norm for _, norm in rows[: longest + 1]),
        error=left / square**0.5 if square else left,
        over=tuple(Over(name, *row) for name, row in zip(names, rows[longest + 1 :])),
    )


def _measured(part: Any, whole: Any, square: float) -> tuple[float | None, float]:
    norm = 0.0 if part is None else sums_of([part]).squares ** 0.5
    if not square:
        return None, norm
    return 0.0 if part is None else dot(part, whole) / square, norm


def _input_of(tape: Tape) -> int:
    """The unit of the input, where the paths of a gradient end; without one, the first that is computed from data."""
    is_weight = tape.structure.shape.is_weight
    leaves = [i for i, u in enumerate(tape.units) if u.role == LEAF]
    computed = (i for i, u in enumerate(tape.units) if not u.role and not is_weight[i])
    return next((i for i in leaves if not is_weight[i]), leaves[0] if leaves else next(computed, 0))


def _only_key(tape: Tape, unit: int) -> Key:
    """Where the gradient of a unit arrives."""
    keys = {
        (below, output)
        for node in tape.order
        for below, output in node.next_functions
        if below is not None and tape.place[below] == unit != tape.place[node]
    }
    if len(keys) != 1:
        raise TraceError(
            f"[torch] the paths of a gradient end at one value; {tape.name(unit)} gives {len(keys)} that are read; "
            "call trace without paths=True"
        )
    return keys.pop()


def _ordinary(loss: Any, node: Any, output: int) -> Any:
    """The gradient there by autograd's own pass."""
    edge = torch.autograd.graph.GradientEdge(node, output)
    (found,) = torch.autograd.grad(loss, [edge], retain_graph=True)
    return found


def _summed(ways: Ways, which: int) -> dict[int, Any]:
    """The parts by one of the two numbers that tell a way."""
    sums: dict[int, Any] = {}
    for way, part in sorted(ways.items(), key=lambda item: item[0]):
        sums[way[which]] = part if way[which] not in sums else sums[way[which]] + part
    return sums


def _by_way(loss: Any, tape: Tape, target: Key, steps: Steps) -> Ways:
    """What arrives at the target by each way."""
    kept = _leading_to(loss.grad_fn, target)
    arrived: dict[Any, dict[Way, dict[int, Any]]] = {loss.grad_fn: {START: {0: torch.ones_like(loss)}}}
    for node in _in_order(loss.grad_fn, kept, target):
        for way, cotangents in sorted(arrived.pop(node, {}).items(), key=lambda item: item[0]):
            for (below, output), part in zip(node.next_functions, _pulled(tape, node, cotangents)):
                if part is not None and (below in kept or (below, output) == target):
                    step = steps.over(tape.place[below], tape.place[node])
                    found = arrived.setdefault(below, {}).setdefault(after(way, step), {})
                    found[output] = part if output not in found else found[output] + part
    reached = arrived.get(target[0], {})
    return {way: parts[target[1]] for way, parts in reached.items() if target[1] in parts}


def _pulled(tape: Tape, node: Any, cotangents: Mapping[int, Any]) -> list[Any]:
    """What a node sends over each of its edges, in the shapes of what lies there."""
    given = [cotangents.get(i) for i in range(len(node._input_metadata))]
    try:
        found = node.apply(*_whole(node, given)) if isinstance(node, _InPython) else node(*given)
    except Exception as error:
        said = " ".join(str(error).split())[:100]
        raise TraceError(
            f"[torch] paths go back through each node of autograd by itself; {node.name()} of "
            f"{tape.name(tape.place[node])} cannot be called alone ({said}); call trace without paths=True"
        ) from error
    sent = found if isinstance(found, tuple) else (found,)
    fitted = []
    for (below, output), part in zip(node.next_functions, sent):
        shape = None if below is None or part is None else tuple(below._input_metadata[output].shape)
        fitted.append(part if shape is None or part.shape == shape else part.sum_to_size(shape))
    return fitted


def _whole(node: Any, given: list[Any]) -> list[Any]:
    """Zeros for nothing, as autograd hands them to functions that users wrote."""
    like = zip(given, node._input_metadata)
    return [torch.zeros(tuple(m.shape), dtype=m.dtype, device=m.device) if g is None else g for g, m in like]


def _leading_to(root: Any, target: Key) -> set[Any]:
    """The nodes from which the target is reached, itself left out."""
    readers: dict[Any, list[Any]] = {}
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        if node is target[0]:
            continue
        for below, output in node.next_functions:
            if below is None or (below is target[0] and output != target[1]):
                continue
            readers.setdefault(below, []).append(node)
            if below not in seen:
                seen.add(below)
                stack.append(below)
    leading: set[Any] = set()
    stack = [target[0]]
    while stack:
        for node in readers.get(stack.pop(), []):
            if node not in leading:
                leading.add(node)
                stack.append(node)
    return leading


def _in_order(root: Any, kept: set[Any], target: Key) -> list[Any]:
    """These nodes, each behind all that sends to it."""
    waits = Counter(below for node in kept for below, _ in node.next_functions if below in kept)
    ready, order = [root], []
    while ready:
        node = ready.pop()
        order.append(node)
        for below, _ in node.next_functions:
            if below in kept:
                waits[below] -= 1
                if not waits[below]:
                    ready.append(below)
    return order
