"""Where values or gradients stop being finite, why, and what helps."""

from __future__ import annotations

from typing import NamedTuple

from tinyres.trace.trace import Trace
from tinyres.trace.words import place

_OVERFLOW = "the values before it have grown too large", "normalise them (BatchNorm), or lower the learning rate"


class Broken(NamedTuple):
    """rule: "not-finite", node the first forward; or "gradient-not-finite", node the one nearest to the loss."""

    rule: str
    node: str
    told: str
    remedy: str


def not_finite(trace: Trace) -> Broken | None:
    """What broke first; None if all values and gradients are finite."""
    return _values(trace) or _gradient(trace)


def _values(trace: Trace) -> Broken | None:
    masked = _masked(trace)
    node = next((n for n in trace.nodes if (n.nans or n.infs) and n.name not in masked), None)
    if node is None:
        return None
    spoiled = [name for name, p in node.params.items() if p.nans or p.infs]
    if spoiled:
        cause = f"its {' and '.join(spoiled)} {'is' if len(spoiled) == 1 else 'are'} not finite"
        remedy = "an earlier step spoiled it; start again with a lower learning rate or clip_norm=1.0"
    elif node.op == "constant":
        cause, remedy = "this is a constant of the program", "look at how it is computed"
    elif not node.primitive:
        cause, remedy = "this is data", "look for missing values in it"
    else:
        cause, remedy = (node.facts.breaks, node.facts.helps) if node.facts.breaks else _OVERFLOW
    told = f"values are not finite from {place(node)} on ({node.nans} NaN, {node.infs} Inf): {cause};"
    return Broken("not-finite", node.name, told, f"{remedy}.")


def _masked(trace: Trace) -> set[str]:
    """The nodes whose infinities are all taken in by a softmax that stays finite: what a mask leaves out.

    They are below zero then: one above zero makes NaN of its row.
    """
    readers: dict[str, list[str]] = {}
    for edge in trace.edges:
        readers.setdefault(edge.src, []).append(edge.dst)
    finite = {n.name for n in trace.nodes if n.facts.distributes and not (n.nans or n.infs)}
    masked: set[str] = set()
    for node in reversed(trace.nodes):
        taken = readers.get(node.name, [])
        if node.infs and not node.nans and taken and all(name in finite or name in masked for name in taken):
            masked.add(node.name)
    return masked


def _gradient(trace: Trace) -> Broken | None:
    """The node nearest to the loss whose gradient is not finite though all values are."""
    rule = "gradient-not-finite"
    node = next((n for n in reversed(trace.nodes) if n.grad_nans), None)
    if node is None:
        spoiled = next((p for p in trace.parameters if p.grad_nans), None)
        if spoiled is None:
            return None
        told = f"the gradient of {spoiled.name} is not finite ({spoiled.grad_nans} elements), though every value is."
        return Broken(rule, spoiled.name, told, "")
    consumers = ", ".join(dict.fromkeys(e.dst for e in trace.edges if e.src == node.name))
    through = f" behind {consumers}" if consumers else ""
    told = (
        f"the gradient is not finite from {place(node)} toward the input ({node.grad_nans} elements), though every "
        f"value is: the derivative{through} is infinite there, or the gradient has grown too large;"
    )
    return Broken(rule, node.name, told, "keep the input of a square root, log or division away from 0.")
