"""The ribbon: nets as SVG, from input to loss, with the gradient as ribbons that split at every fork.

Their width tells log |g|, every decade as much as any other: one that vanishes tapers off toward the input. Where it
splits, the skip is an arc above the chain and the branch runs through the block's box, each with its share of the
width. A U-Net is drawn as a U: down with its encoder, up with its decoder, its skips across. Negative shares are
hatched, shares that are not defined are dashed. Several nets stand below each other on one
scale. Nothing but Python is needed to draw it, and nothing but a browser to see it, in light and in dark.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from tinyres.store.replacing import replacing
from tinyres.structure.kinds import SKIP
from tinyres.structure.names import listed
from tinyres.trace.compare import Comparison
from tinyres.trace.trace import Trace
from tinyres.view.cells import Arc, Cell, layout
from tinyres.view.gauge import Gauge, gauge_of
from tinyres.view.marks import hatch, n, quoted, stroke
from tinyres.view.numbers import number
from tinyres.view.palette import CHAIN, STYLE, STYLE_ALONE, css_class, look
from tinyres.view.strands import LEAST_WIDTH, MARGIN, Strands, kinds_of, rows_of, shares_of
from tinyres.view.told import description, heading, size_of
from tinyres.view.u_shape import UShaped

_SENTENCE_LETTERS = 6.0  # width of one
_LINE = 15.0
LIVE_DECADES = 9


class _Net(NamedTuple):
    trace: Trace
    cells: list[Cell]
    arcs: list[Arc]
    name: str
    sentence: str


def export(shown: Trace | Comparison, path: str) -> None:
    """Write the ribbon as a file of its own."""
    picture = svg(shown, style=STYLE + STYLE_ALONE, alone=True)
    with replacing(path) as file:
        file.write(f'<?xml version="1.0" encoding="UTF-8"?>\n{picture}\n'.encode())


def inline(shown: Trace | Comparison) -> str:
    """The ribbon as a part of a page whose text colour it takes, such as a notebook."""
    return svg(shown, style=STYLE)


def svg(shown: Trace | Comparison, style: str, role: str = "img", alone: bool = False, headed: bool = True) -> str:
    """The ribbon as one <svg> element; alone: outside of any HTML page; headed: with its title.

    Every cell is a group, and carries the number of its row in `trace.rows()` as data-block if it has one; every net of
    a Comparison is a group that carries its name as data-net.
    """
    nets = list(_nets(shown))
    cells = [cell for net in nets for cell in net.cells]
    arcs = [arc for net in nets for arc in net.arcs]
    gauge = gauge_of(norm for cell in cells for norm in (cell.grad_norm, cell.entering))
    title = title_of(shown)
    y = 20.0 if headed else 0.0
    key = list(_key(cells, arcs, gauge, y + 22))
    y += 22 + 2 * _LINE + gauge.widest + 8
    rows = rows_of([net.cells for net in nets], unbroken=any(arc.over is not None for arc in arcs))
    drawn, width = [], LEAST_WIDTH
    for net in nets:
        lines = textwrap.wrap(net.sentence, 165) if net.name else []
        told = list(_told(net, lines, y))
        y += _LINE * (1.5 + len(lines)) if net.name else 0.0
        u_shaped = any(arc.over is not None for arc in net.arcs)
        strands = (UShaped if u_shaped else Strands)(net.cells, net.arcs, gauge, rows, y)
        parts = "\n".join([*told, *strands.drawn()])
        drawn.append(f'<g class="tr-one" data-net="{quoted(net.name)}">\n{parts}\n</g>' if net.name else parts)
        y = strands.bottom + 4
        longest = max((len(line) for line in lines), default=0) * _SENTENCE_LETTERS
        width = max(width, strands.right + MARGIN, longest + 2 * MARGIN)
    negative = any(s < 0 for s in shares_of(cells, arcs))
    described = " ".join(f"{net.name}: {description(net.trace)}".removeprefix(": ") for net in nets)
    lines = [
        f'<svg {_NAMESPACE if alone else ""}class="tr-ribbon" role="{role}" aria-label="{quoted(title)}" '
        f'viewBox="0 0 {n(width)} {n(y)}" style="width:100%;max-width:{n(width * 1.25)}px">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(described)}</desc>",
        f"<style>{style}</style>" if style else "",
        f"<defs>{''.join(hatch(css_class(k)) for k in kinds_of(cells, arcs))}</defs>" if negative else "",
        f'<text class="tr-head" x="{n(MARGIN)}" y="20">{escape(title)}</text>' if headed else "",
        *key,
        *drawn,
        "</svg>",
    ]
    return "\n".join(filter(None, lines))


_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg" '


def live(trace: Trace) -> str:
    """The ribbon of one net as a page moves it with every frame: strands without widths, which strands.mjs gives them.

    Its scale has always as many decades, so that nothing else moves.
    """
    cells, arcs = layout(trace)
    gauge = Gauge(gauge_of(c.grad_norm for c in cells).top or 1.0, LIVE_DECADES)
    rows = rows_of([cells])
    strands = Strands(cells, arcs, gauge, rows, 4.0, live=True)
    width, height = max(LEAST_WIDTH, strands.right + MARGIN), strands.bottom + 4
    kinds = kinds_of(cells, arcs)
    lines = [
        f'<svg class="tr-ribbon" role="group" viewBox="0 0 {n(width)} {n(height)}">',
        f'<defs>{"".join(hatch(css_class(k)) for k in kinds)}</defs>',
        *strands.drawn(),
        "</svg>",
    ]
    return "\n".join(lines)


def title_of(shown: Trace | Comparison) -> str:
    """What the picture is of, in one line."""
    if isinstance(shown, Trace):
        return heading(shown)
    return f"Gradient flow on one scale: {listed(list(shown.traces), most=6)}"


def _nets(shown: Trace | Comparison) -> Iterator[_Net]:
    if isinstance(shown, Trace):
        yield _Net(shown, *layout(shown), "", "")
        return
    for (name, trace), sentence in zip(shown.traces.items(), shown.sentences):
        yield _Net(trace, *layout(trace), name, sentence.removeprefix(f"{name}: "))


def _told(net: _Net, lines: Sequence[str], y: float) -> Iterator[str]:
    """The name of a net and what is said of it."""
    if not net.name:
        return
    facts = f"{size_of(net.trace)}, loss {number(net.trace.loss)}"
    yield (
        f'<text class="tr-net" x="{n(MARGIN)}" y="{n(y + 12)}">{escape(net.name)}'
        f'<tspan style="font-weight:400;font-size:11px" dx="8">{escape(facts)}</tspan></text>'
    )
    for i, line in enumerate(lines):
        yield _words(MARGIN, y + 12 + _LINE * (i + 1), line)


def _key(cells: list[Cell], arcs: list[Arc], gauge: Gauge, y: float) -> Iterator[str]:
    """What colours and widths mean, in three lines."""
    x = MARGIN
    kinds = kinds_of(cells, arcs)
    dashed = {css_class(kind) for kind in kinds if look(kind).dashed}
    entries = [(css_class(kind), look(kind).words) for kind in kinds]
    if any(s < 0 for s in shares_of(cells, arcs)):
        hatched = css_class(SKIP if SKIP in kinds else kinds[0])
        entries.append((f"{hatched} tr-negative", "negative share"))
    for kind, told in [*entries, ("chain", CHAIN.words)]:
        yield stroke(f"M{n(x)} {n(y)}h22", kind, 2.0 if kind in dashed else 9.0)
        yield _words(x + 28, y + 4, told)
        x += 46 + 6.0 * len(told)
    yield _words(MARGIN, y + 4 + _LINE, "Gradients flow from right to left, from the loss to the input.")
    if gauge.top is not None:
        yield from _wedge(MARGIN, y + 2 * _LINE + gauge.widest / 2 - 4, gauge)
        told = "Below each name: |g|. Width: its logarithm" + ("; where it splits, by the shares." if kinds else ".")
        yield _words(MARGIN + 180, y + 2 * _LINE + gauge.widest / 2, told)


def _wedge(x: float, y: float, gauge: Gauge) -> Iterator[str]:
    """The scale: from the thinnest to the widest, with the |g| that they stand for."""
    a, b = x + 54, x + 126
    low, high = (gauge.width(norm) or 0.0 for norm in (gauge.bottom, gauge.top))
    points = f"{n(a)},{n(y - low / 2)} {n(b)},{n(y - high / 2)} {n(b)},{n(y + high / 2)} {n(a)},{n(y + low / 2)}"
    yield _words(x, y + 4, number(gauge.bottom))
    yield f'<polygon class="tr-wedge" points="{points}"/>'
    yield _words(b + 6, y + 4, number(gauge.top))


def _words(x: float, y: float, text: str) -> str:
    return f'<text class="tr-key" x="{n(x)}" y="{n(y)}">{escape(text)}</text>'
