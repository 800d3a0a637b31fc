"""The ribbon: a net as SVG, from input to loss, with the gradient as ribbons that split at every fork.

The skip is an arc above the chain, the branch runs through the block's box; each is as wide as its share of the
gradient at the block's input. Negative shares are hatched, shares that are not defined are dashed. Nothing but Python
is needed to draw it, and nothing but a browser to see it, in light and in dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from tinyres.store.replacing import replacing
from tinyres.trace.blocks import Block
from tinyres.trace.nodes import TraceNode
from tinyres.trace.trace import Trace
from tinyres.view.cells import Arc, Cell, layout
from tinyres.view.numbers import fitted, number, ratio, strength

# Okabe & Ito, Color Universal Design, 2008: on light, on dark.
SKIP_COLOURS, BRANCH_COLOURS = ("#0072B2", "#56B4E9"), ("#D55E00", "#E69F00")

STYLE = f"""
.tr-ribbon text {{ fill: currentColor; font: 10px system-ui, sans-serif; text-anchor: middle }}
.tr-ribbon .tr-head {{ font-size: 14px; font-weight: 600; text-anchor: start }}
.tr-ribbon .tr-key {{ font-size: 11px; text-anchor: start }}
.tr-ribbon .tr-name {{ font-weight: 600 }}
.tr-ribbon path {{ fill: none }}
.tr-ribbon .tr-chain {{ stroke: #b4b9c1 }}
.tr-ribbon .tr-skip {{ stroke: {SKIP_COLOURS[0]} }}
.tr-ribbon .tr-branch {{ stroke: {BRANCH_COLOURS[0]} }}
.tr-ribbon .tr-skip.tr-negative {{ stroke: url(#tr-hatch-skip) }}
.tr-ribbon .tr-branch.tr-negative {{ stroke: url(#tr-hatch-branch) }}
.tr-ribbon .tr-line {{ stroke: currentColor; stroke-width: .75; opacity: .55 }}
.tr-ribbon .tr-undefined {{ stroke-dasharray: 3 3 }}
.tr-ribbon .tr-box {{ fill: none; stroke: currentColor; stroke-width: 1.1 }}
.tr-ribbon .tr-dot {{ fill: currentColor }}
.tr-ribbon .tr-course, .tr-ribbon circle {{ pointer-events: none }}
.tr-ribbon .tr-course {{ stroke: currentColor; stroke-width: 1; opacity: .5 }}
.tr-ribbon .tr-hit {{ fill: transparent }}
"""
STYLE_ON_DARK = f"""
.tr-ribbon .tr-chain {{ stroke: #525963 }}
.tr-ribbon .tr-skip {{ stroke: {SKIP_COLOURS[1]} }}
.tr-ribbon .tr-branch {{ stroke: {BRANCH_COLOURS[1]} }}
"""
_STYLE_ALONE = f"""
.tr-ribbon {{ color: #1c2127; background: #fff }}
@media (prefers-color-scheme: dark) {{ .tr-ribbon {{ color: #e6e8ea; background: #14171a }} {STYLE_ON_DARK} }}
"""

_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg" '
_WIDTH, _LEAST_WIDTH = 1100.0, 640.0
_MARGIN, _HEAD = 16.0, 92.0
_COURSE = 18.0  # height of the course of |g| below the names
_NARROWEST, _WIDEST = 66.0, 150.0  # of a cell
_BETWEEN = 0.75  # width of a cell between blocks, by that of a block
_UNIT = 13.0  # width of a ribbon with share 1 in the narrowest cell
_MOST = 1.6  # shares beyond this (they come with negative ones) make all ribbons thinner


def export(trace: Trace, path: str) -> None:
    """Write the ribbon as a file of its own."""
    picture = svg(trace, style=STYLE + _STYLE_ALONE, alone=True)
    with replacing(path) as file:
        file.write(f'<?xml version="1.0" encoding="UTF-8"?>\n{picture}\n'.encode())


def inline(trace: Trace) -> str:
    """The ribbon as a part of a page whose text colour it takes, such as a notebook."""
    return svg(trace, style=STYLE)


def svg(trace: Trace, style: str, role: str = "img", alone: bool = False) -> str:
    """The ribbon as one <svg> element; alone: outside of any HTML page.

    Every cell is a group, and carries the number of its row in `trace.rows()` as data-block if it has one.
    """
    cells, arcs = layout(trace)
    page = _Page(cells, arcs)
    title = heading(trace)
    lines = [
        f'<svg {_NAMESPACE if alone else ""}class="tr-ribbon" role="{role}" aria-label="{_quoted(title)}" '
        f'viewBox="0 0 {_n(page.width)} {_n(page.height)}" style="width:100%;max-width:{_n(page.width * 1.25)}px">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(_description(trace))}</desc>",
        f"<style>{style}</style>" if style else "",
        f"<defs>{_hatch('skip')}{_hatch('branch')}</defs>" if _any_negative(cells, arcs) else "",
        *_legend(title, cells, arcs),
        *page.stems(),
        *(group for i in range(len(cells)) for group in page.cell(i)),
        page.course(),
        *(page.long_arc(arc) for arc in arcs if arc.first != arc.last),
        "</svg>",
    ]
    return "\n".join(filter(None, lines))


def heading(trace: Trace) -> str:
    """What the picture is of, in one line."""
    h = trace.header
    count, what = (len(trace.blocks), "block") if trace.blocks else (len(trace.nodes), "node")
    facts = [f"{count} {what}" + ("s" if count != 1 else ""), *([f"batch {h.batch}"] if h.batch is not None else [])]
    return f"Gradient flow: {', '.join(facts)}, loss {number(h.loss)}"


def told_block(block: Block) -> str:
    """A block in words, for tooltips and screen readers."""
    facts = [f"|g| {number(block.grad_norm)}", f"|x| {number(block.x_norm)}"]
    if block.fork is not None:
        facts += [f"skip {ratio(block.skip)}", f"branch {ratio(block.branch)}", f"|F|/|x| {strength(block.strength)}"]
        facts += [block.fork.note] if block.fork.note else []
    return f"{block.name}: {', '.join(facts)}"


def told_node(node: TraceNode) -> str:
    """A node in words."""
    return f"{node.name} ({node.op}): |g| {number(node.grad_norm)}, |y| {number(node.value_norm)}"


def _told(cell: Cell) -> str:
    if cell.folded:
        return f"{cell.folded} more, not drawn: see the table"
    return "; ".join(map(told_node, cell.nodes[:8])) if cell.block is None else told_block(cell.block)


class _Place(NamedTuple):
    """Of a cell: its row, its left and right end, and the height of the chain."""

    row: int
    left: float
    right: float
    y: float


class _Page:
    """Where everything lies."""

    def __init__(self, cells: list[Cell], arcs: list[Arc]) -> None:
        self._cells = cells
        self._arcs: dict[int, list[Arc]] = {}
        for arc in arcs:
            if arc.first == arc.last:
                self._arcs.setdefault(arc.first, []).append(arc)
        weights = [1.0 if c.block is not None or c.folded else _BETWEEN for c in cells]
        room = _WIDTH - 2 * _MARGIN
        rows = _rows(weights, room / _NARROWEST)
        widest = max(sum(weights[i] for i in row) for row in rows)
        cell = min(_WIDEST, room / widest)
        self.width = max(_LEAST_WIDTH, widest * cell + 2 * _MARGIN)
        self._scale = min(1.5, max(1.0, cell / 80))
        largest = max(map(abs, _shares(cells, arcs)), default=1.0)
        self.unit = _UNIT * self._scale * min(1.0, _MOST / largest)
        self._clear = max(0.0, min(largest, _MOST) * _UNIT / 2 - 10)  # what the widest needs above the boxes
        levels = max((a.level for a in arcs), default=-1)
        self._step = min(24.0, 120.0 / max(1, levels)) * self._scale
        above = self._rise(levels) + (20 + self._clear) * self._scale if levels >= 0 else 26 * self._scale
        self._pitch = above + (50 + _COURSE) * self._scale
        self.height = _HEAD + len(rows) * self._pitch + 4
        self._places: list[_Place] = []
        for r, row in enumerate(rows):
            left = _MARGIN
            for i in row:
                right = left + weights[i] * cell
                self._places.append(_Place(r, left, right, _HEAD + r * self._pitch + above))
                left = right

    def stems(self) -> Iterator[str]:
        """The chain between cells: all of the gradient, with an arrowhead toward the input at the start of a row."""
        port, u = self._port, self.unit
        for i, p in enumerate(self._places):
            starts_row = i > 0 and self._places[i - 1].row != p.row
            if i > 0:
                left = p.left if starts_row else p.left - port
                yield _ribbon(f"M{_n(left - 0.5)} {_n(p.y)}H{_n(p.left + port + 0.5)}", "chain", u)
            if i + 1 < len(self._places) and self._places[i + 1].row != p.row:
                yield _ribbon(f"M{_n(p.right - port - 0.5)} {_n(p.y)}H{_n(p.right)}", "chain", u)
            if starts_row:
                tip, half = p.left - 11 * self._scale, u / 2 + 3
                head = f"{_n(p.left)},{_n(p.y - half)} {_n(tip)},{_n(p.y)} {_n(p.left)},{_n(p.y + half)}"
                yield f'<polygon class="tr-dot" opacity=".45" points="{head}"/>'

    def course(self) -> str:
        """|g| from cell to cell on a logarithmic scale that is the same in all rows; a gap where it is 0 or unknown."""
        scale = log_range([c.grad_norm for c in self._cells])
        if scale is None:
            return ""
        low, high = map(math.log10, scale)
        path, dots, row = "", [], None
        for cell, p in zip(self._cells, self._places):
            g = cell.grad_norm
            if g is None or not 0 < g < math.inf:
                row = None
                continue
            x = (p.left + p.right) / 2
            y = p.y + (46 + _COURSE * (high - math.log10(g)) / (high - low)) * self._scale
            path += f"{'L' if row == p.row else 'M'}{_n(x)} {_n(y)}"
            dots.append(f'<circle class="tr-dot" cx="{_n(x)}" cy="{_n(y)}" r="{_n(1.8 * self._scale)}"/>')
            row = p.row
        return f'<path class="tr-course" d="{path}"/>{"".join(dots)}'

    @property
    def _port(self) -> float:
        return 7 * self._scale

    def cell(self, i: int) -> Iterator[str]:
        """One cell with the arcs over it alone."""
        cell, p, s = self._cells[i], self._places[i], self._scale
        words = escape(_told(cell), quote=True)
        row = "" if cell.index is None else f' data-block="{cell.index}" role="img" aria-label="{words}"'
        yield f'<g class="tr-cell"{row}><title>{words}</title>'
        top = p.y - (self._rise(max((a.level for a in self._arcs.get(i, ())), default=0)) + 16 * s)
        yield (
            f'<rect class="tr-hit" x="{_n(p.left)}" y="{_n(top)}" width="{_n(p.right - p.left)}" '
            f'height="{_n(p.y + (48 + _COURSE) * s - top)}" rx="4"/>'
        )
        yield from self._strands(i)
        letters = int((p.right - p.left) / (6.1 * s))
        middle = (p.left + p.right) / 2
        yield _text(middle, p.y + 28 * s, fitted(cell.name, max(5, letters)), "tr-name", s)
        yield _text(middle, p.y + 40 * s, f"|g| {number(cell.grad_norm)}", "", s)
        yield "</g>"

    def _strands(self, i: int) -> Iterator[str]:
        cell, p, s = self._cells[i], self._places[i], self._scale
        x0, x1, middle = p.left + self._port, p.right - self._port, (p.left + p.right) / 2
        half = (p.right - p.left) * 0.2
        arcs = self._arcs.get(i, [])
        share = cell.block.branch if cell.block is not None else None
        kind, width = ("branch", share) if cell.splits else ("chain", 1.0)
        lowered = self._thickness(arcs[0].share) / 2 if arcs and cell.splits else 0.0
        for a, b, end in ((x0, middle - half, x0), (x1, middle + half, x1)):
            bend = (a + b) / 2
            start = p.y + lowered
            curve = f"M{_n(end)} {_n(start)}C{_n(bend)} {_n(start)} {_n(bend)} {_n(p.y)} {_n(b)} {_n(p.y)}"
            yield self._strand(curve, kind, width)
        height = 20 * s
        yield (
            f'<rect class="tr-box" x="{_n(middle - half)}" y="{_n(p.y - height / 2)}" width="{_n(2 * half)}" '
            f'height="{_n(height)}" rx="{_n(4 * s)}"/>'
        )
        if cell.splits:
            yield _text(middle, p.y + 3.5 * s, _share(share), "", s)
        for arc in arcs:
            lift = self._thickness(share) / 2
            curve = self._arc(x0, x1, p.y - lift, p.y - self._rise(arc.level), self._thickness(arc.share))
            yield self._strand(curve, "skip", arc.share)
            yield _text(middle, p.y - self._rise(arc.level) - self._label(arc.share), _share(arc.share), "", s)
        if arcs:
            yield f'<circle class="tr-dot" cx="{_n(x0)}" cy="{_n(p.y)}" r="{_n(2.4 * s)}"/>'
            plus = 2.4 * s
            yield (
                f'<path class="tr-line" style="stroke-width:1.5;opacity:1" d="M{_n(x1 - plus)} {_n(p.y)}h{_n(2 * plus)}'
                f'M{_n(x1)} {_n(p.y - plus)}v{_n(2 * plus)}"/>'
            )

    def long_arc(self, arc: Arc) -> str:
        """An arc over several cells, continued from row to row."""
        first, last = self._places[arc.first], self._places[arc.last]
        x0, x1 = first.left + self._port, last.right - self._port
        rise, strands = self._rise(arc.level), []
        if first.row == last.row:
            strands.append(self._arc(x0, x1, first.y, first.y - rise, self._thickness(arc.share)))
        else:
            lift = 24 * self._scale
            edge = max(p.right for p in self._places)
            up, down = first.y - rise, last.y - rise
            strands.append(
                f"M{_n(x0)} {_n(first.y)}C{_n(x0 + lift)} {_n(first.y)} {_n(x0)} {_n(up)} "
                f"{_n(x0 + lift)} {_n(up)}H{_n(max(edge, x0 + lift))}"
            )
            for row in range(first.row + 1, last.row):
                y = next(p.y for p in self._places if p.row == row) - rise
                strands.append(f"M{_n(_MARGIN)} {_n(y)}H{_n(edge)}")
            strands.append(
                f"M{_n(_MARGIN)} {_n(down)}H{_n(x1 - lift)}C{_n(x1)} {_n(down)} {_n(x1 - lift)} "
                f"{_n(last.y)} {_n(x1)} {_n(last.y)}"
            )
        middle = (x0 + x1) / 2 if first.row == last.row else (x0 + max(p.right for p in self._places)) / 2
        words = f"skip from {arc.fork} to {arc.landing}: share {ratio(arc.share)}"
        label = _text(middle, first.y - rise - self._label(arc.share), _share(arc.share), "", self._scale)
        return f"<g><title>{escape(words)}</title>{self._strand(''.join(strands), 'skip', arc.share)}{label}</g>"

    def _arc(self, x0: float, x1: float, foot: float, top: float, thickness: float) -> str:
        lift = min(max(24 * self._scale, thickness), (x1 - x0) / 2)
        a, b = x0 + lift, x1 - lift
        return (
            f"M{_n(x0)} {_n(foot)}C{_n(x0 + lift * 0.6)} {_n(foot)} {_n(x0 + lift * 0.2)} {_n(top)} {_n(a)} {_n(top)}"
            f"H{_n(b)}C{_n(x1 - lift * 0.2)} {_n(top)} {_n(x1 - lift * 0.6)} {_n(foot)} {_n(x1)} {_n(foot)}"
        )

    def _rise(self, level: int) -> float:
        return (34 + self._clear) * self._scale + level * self._step

    def _label(self, share: float | None) -> float:
        return self._thickness(share) / 2 + 3 * self._scale

    def _thickness(self, share: float | None) -> float:
        return 0.0 if share is None else abs(share) * self.unit

    def _strand(self, path: str, kind: str, share: float | None) -> str:
        """A ribbon as wide as its share over a hairline that keeps the thinnest visible."""
        if share is None or share != share:
            return f'<path class="tr-line tr-undefined" d="{path}"/>'
        hairline = f'<path class="tr-line" d="{path}"/>' if abs(share) * self.unit < 1.0 else ""
        return hairline + _ribbon(path, kind + (" tr-negative" if share < 0 else ""), self._thickness(share))


def _rows(weights: list[float], most: float) -> list[list[int]]:
    """Cells by row, rows of about equal length, none above `most`."""
    count = max(1, -int(-sum(weights) // (most - 1)))
    length, filled = sum(weights) / count, 0.0
    rows: list[list[int]] = [[] for _ in range(count)]
    for i, weight in enumerate(weights):
        rows[min(count - 1, int((filled + weight / 2) / length))].append(i)
        filled += weight
    return [row for row in rows if row]


def _legend(title: str, cells: list[Cell], arcs: list[Arc]) -> Iterator[str]:
    x, y = _MARGIN, 42.0
    yield f'<text class="tr-head" x="{_n(x)}" y="20">{escape(title)}</text>'
    entries = [("skip", "over the skip")] * bool(arcs) + [("branch", "through the branch")] * bool(arcs)
    entries += [("skip tr-negative", "negative share")] * _any_negative(cells, arcs)
    entries += [("chain", "not split")]
    for kind, words in entries:
        yield _ribbon(f"M{_n(x)} {y}h22", kind, 9.0)
        yield f'<text class="tr-key" x="{_n(x + 28)}" y="{y + 4}">{words}</text>'
        x += 46 + 6.0 * len(words)
    lines = ["Gradients flow from right to left, from the loss to the input."]
    scale = log_range([c.grad_norm for c in cells])
    if arcs:
        lines[0] += " Width: share of the gradient at a block's input."
    if scale is not None:
        lines.append(f"Dots: |g| on a logarithmic scale from {number(scale[0])} to {number(scale[1])}.")
    for i, line in enumerate(lines):
        yield f'<text class="tr-key" x="{_n(_MARGIN)}" y="{_n(y + 22 + 15 * i)}">{line}</text>'


def _shares(cells: list[Cell], arcs: list[Arc]) -> list[float]:
    """The shares of all ribbons that have one."""
    shares = [a.share for a in arcs] + [c.block.branch for c in cells if c.block is not None and c.splits]
    return [s for s in shares if s is not None and math.isfinite(s)]


def _any_negative(cells: list[Cell], arcs: list[Arc]) -> bool:
    return any(s < 0 for s in _shares(cells, arcs))


def log_range(norms: Sequence[float | None]) -> tuple[float, float] | None:
    """Ends of a logarithmic scale for these norms, at least a factor of 10 apart, so that equal ones look equal."""
    positive = [n for n in norms if n is not None and 0 < n < math.inf]
    if not positive:
        return None
    low, high = min(positive), max(positive)
    widen = max(1.0, math.sqrt(10 * low / high))
    return low / widen, high * widen


def _description(trace: Trace) -> str:
    if not trace.blocks:
        return "A chain of nodes from input to loss."
    first, last = trace.blocks[0], trace.blocks[-1]
    words = f"From input to loss; |g| is {number(first.grad_norm)} at {first.name}"
    words += f" and {number(last.grad_norm)} at {last.name}." if last is not first else "."
    shares = [b.skip for b in trace.blocks if b.skip is not None]
    if shares:
        words += f" The skip carries {ratio(min(shares))} to {ratio(max(shares))} of the gradient at a block's input."
    return words


def _hatch(kind: str) -> str:
    return (
        f'<pattern id="tr-hatch-{kind}" width="4" height="4" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><path class="tr-{kind}" d="M1 0V4" stroke-width="2"/></pattern>'
    )


def _ribbon(path: str, kind: str, width: float) -> str:
    return f'<path class="tr-{kind}" stroke-width="{width:.4g}" d="{path}"/>'


def _text(x: float, y: float, words: str, kind: str, scale: float) -> str:
    known = f' class="{kind}"' if kind else ""
    size = f' style="font-size:{10 * scale:.3g}px"' if scale != 1.0 else ""
    return f'<text{known} x="{_n(x)}" y="{_n(y)}"{size}>{escape(words)}</text>'


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f}".replace("-", "−")


def _n(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


def _quoted(words: str) -> str:
    return escape(words, quote=True)
