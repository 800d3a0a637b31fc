"""A Comparison as text: one row per net, then its sentences."""

from __future__ import annotations

import textwrap

from tinyres.structure.names import fitted, listed
from tinyres.trace.compare import Comparison
from tinyres.trace.html import preformatted
from tinyres.view import ribbon
from tinyres.view.numbers import number
from tinyres.view.printable import shown, width_of_prose
from tinyres.view.table import Column, lines_of


def text(comparison: Comparison) -> str:
    """What `print(tr.compare(...))` shows."""
    told = [_wrapped(sentence) for sentence in comparison.sentences]
    alone = [
        _wrapped(f"only in {name}: {listed(nodes, most=2)}") for name, nodes in comparison.unmatched.items() if nodes
    ]
    return shown("\n".join([table(comparison), *told, *alone]))


def table(comparison: Comparison) -> str:
    """The rates, one row per net."""
    flows = comparison.flows
    first, last = (fitted(name, 9) for name in comparison.ends)
    width = min(max(len(f.name) for f in flows), 16)
    columns = [
        Column("", width + 1, lambda f: f.name, words=True),
        Column("loss", 9, lambda f: number(f.loss)),
        Column(f"|g| {first}", 14, lambda f: _exponential(f.grad_norms[0] if f.names else None)),
        Column(f"|g| {last}", 14, lambda f: _exponential(f.grad_norms[-1] if f.names else None)),
        Column("first/last", 12, lambda f: number(f.first_over_last)),
        Column(f"per {flows[0].unit}", 11, lambda f: "-" if f.rate is None else f"x {f.rate:.2f}"),
    ]
    return "\n".join(lines_of(flows, columns))


def notebook(comparison: Comparison) -> str:
    """HTML that shows the nets above each other on one scale, and the text."""
    return f"<div>{ribbon.inline(comparison)}{preformatted(text(comparison))}</div>"


def _exponential(x: float | None) -> str:
    return "-" if x is None else f"{x:.2e}"


def _wrapped(sentence: str) -> str:
    return textwrap.fill(
        sentence, width_of_prose(), subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )
