"""One net of a ribbon: where its cells lie in rows, and the strands of the gradient through them.

The way into a cell is as wide as |g| there by the gauge. Where the gradient splits, the strands lie side by side with
widths by their shares: the branch runs through the block's box, skips are arcs above it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from tinyres.structure.kinds import BRANCH, SKIP
from tinyres.structure.names import shortened
from tinyres.view.cells import Arc, Cell
from tinyres.view.gauge import Gauge
from tinyres.view.marks import n, quoted, stroke, words
from tinyres.view.numbers import number, ratio
from tinyres.view.palette import css_class, look
from tinyres.view.told import told_cell

WIDTH, LEAST_WIDTH, MARGIN = 1100.0, 640.0, 16.0
_NARROWEST, _WIDEST = 58.0, 150.0  # of a cell
_BETWEEN = 0.75  # width of a cell between blocks, by that of a block
_LETTER = 7.0  # width of one of a bold name
_DASHED = 2.0  # width of kinds that are dashed, whatever their share
_MOST = 1.6  # shares beyond this (they come with negative ones) are all drawn thinner


class Rows(NamedTuple):
    """How nets are broken into rows: so many each, with cells of this width."""

    number: int
    cell: float

    @property
    def scale(self) -> float:
        """The size of text and boxes in cells of this width."""
        return min(1.5, max(1.0, self.cell / 80))


def rows_of(nets: Sequence[Sequence[Cell]], unbroken: bool = False) -> Rows:
    """As few rows as the longest net takes, and as wide cells as all of them have room for; unbroken: one row."""
    room = WIDTH - 2 * MARGIN
    weights = [list(map(weight_of, cells)) for cells in nets]
    if unbroken:
        return Rows(1, min(_WIDEST, max(_NARROWEST, room / max(map(sum, weights)))))
    count = max(max(1, -int(-sum(w) // (room / _NARROWEST - 1))) if sum(w) > room / _NARROWEST else 1 for w in weights)
    widest = max(sum(w[i] for i in row) for w in weights for row in _broken(w, count))
    return Rows(count, min(_WIDEST, room / widest))


def weight_of(cell: Cell) -> float:
    """Its width by that of a block."""
    return 1.0 if cell.block is not None or cell.folded else _BETWEEN


def _broken(weights: Sequence[float], count: int) -> list[list[int]]:
    """Cells by row, rows of about equal length."""
    length, filled = sum(weights) / count, 0.0
    rows: list[list[int]] = [[] for _ in range(count)]
    for i, weight in enumerate(weights):
        rows[min(count - 1, int((filled + weight / 2) / length))].append(i)
        filled += weight
    return [row for row in rows if row]


class Place(NamedTuple):
    """Of a cell: its row, its left and right end, and the height of the chain."""

    row: int
    left: float
    right: float
    y: float


class Strands:
    """Where everything of one net lies, from `top` down to `bottom`."""

    def __init__(
        self, cells: list[Cell], arcs: list[Arc], gauge: Gauge, rows: Rows, top: float, live: bool = False
    ) -> None:
        self._cells, self._gauge, self._scale, self._live = cells, gauge, rows.scale, live
        self._alone: dict[int, list[Arc]] = {}
        self._long = [arc for arc in arcs if arc.first != arc.last and arc.over is None]
        for arc in arcs:
            if arc.first == arc.last and arc.over is None:
                self._alone.setdefault(arc.first, []).append(arc)
        self._shrunk = min(1.0, _MOST / max(map(abs, shares_of(cells, arcs)), default=1.0))
        self._box = max(20 * rows.scale, gauge.widest + 4)
        thickest = max((_MOST * gauge.widest if live else self._arc_width(a) for a in arcs), default=0.0)
        levels = max((a.level for a in arcs), default=-1)
        label = 14 * rows.scale
        self._lowest = self._box / 2 + thickest / 2 + 8 * rows.scale
        self._step = min(max(24.0, thickest + label + 4), 180.0 / max(1, levels))
        self._thickest, self._below = thickest, self._box / 2 + 34 * rows.scale
        self._places = self._placed(rows, top, self._above(levels))
        self.right = max((p.right for p in self._places), default=MARGIN)
        self.bottom = max((p.y for p in self._places), default=top) + self._below
        widths = [(p.right - p.left) / weight_of(c) for p, c in zip(self._places, cells)]
        self._names = self._short_names(min(widths, default=rows.cell))
        room = min((p.right - p.left) / (5.9 * rows.scale) for p in self._places) if cells else 0.0
        self._prefix = "|g| " if all(len(number(c.grad_norm)) + 4 <= room for c in cells) else ""

    def _above(self, levels: int) -> float:
        """The room above the middle of a cell for arcs up to this level."""
        rise = self._rise(levels) + self._thickest / 2 + 14 * self._scale
        return rise if levels >= 0 else self._box / 2 + 8

    def _placed(self, rows: Rows, top: float, above: float) -> list[Place]:
        """The cells one beside the other, in rows."""
        places = []
        weights = list(map(weight_of, self._cells))
        for r, row in enumerate(_broken(weights, rows.number)):
            left, y = MARGIN, top + r * (above + self._below) + above
            for i in row:
                right = left + weights[i] * rows.cell
                places.append(Place(r, left, right, y))
                left = right
        return places

    def _short_names(self, cell: float) -> list[str]:
        """The names of blocks, and those of runs, which are narrower."""
        names = [""] * len(self._cells)
        for width in sorted({weight_of(c) for c in self._cells}):
            at = [i for i, c in enumerate(self._cells) if weight_of(c) == width]
            letters = max(5, int(cell * width / (_LETTER * self._scale)))
            for i, name in zip(at, shortened([self._cells[i].name for i in at], letters)):
                names[i] = name
        return names

    def drawn(self) -> Iterator[str]:
        """All of it, what lies on top last."""
        for i, cell in enumerate(self._cells):
            if cell.splits:
                yield from self._entering(i)
            yield from self._cell(i)
        for arc in self._long:
            yield self._long_arc(arc)
        for i in range(len(self._cells)):
            yield from self._joints(i)

    def _entering(self, i: int) -> Iterator[str]:
        """The chain from the cell before, with an arrowhead where a row begins that goes on above."""
        cell, p = self._cells[i], self._places[i]
        end = p.left + self._port + 0.5 if cell.splits else self._sides(i)[0]
        if i == 0:
            start = p.left + self._port
        elif self._places[i - 1].row != p.row:
            start = p.left
            half = max(self._gauge.width(cell.entering) or 0.0, 3.0) / 2 + 3
            head = f"{n(start)},{n(p.y - half)} {n(start - 11 * self._scale)},{n(p.y)} {n(start)},{n(p.y + half)}"
            yield f'<polygon class="tr-dot" opacity=".45" points="{head}"/>'
        else:
            start = p.left - self._port - 0.5 if self._cells[i - 1].splits else self._sides(i - 1)[1]
        if end > start + 1:
            yield self._chain(f"M{n(start)} {n(p.y)}H{n(end)}", cell.entering, "entering")

    def _leaving(self, i: int) -> Iterator[str]:
        """The chain to the end of a row."""
        cell, p = self._cells[i], self._places[i]
        last = i + 1 == len(self._cells)
        if not last and self._places[i + 1].row == p.row:
            return
        start = p.right - self._port - 0.5 if cell.splits else self._sides(i)[1]
        end = p.right - self._port if last else p.right
        if end > start + 1:
            norm = cell.grad_norm if last else self._cells[i + 1].entering
            yield self._chain(f"M{n(start)} {n(p.y)}H{n(end)}", norm, "own" if last else "leaving")

    def _sides(self, i: int) -> tuple[float, float]:
        """Left and right of a cell's box."""
        p = self._places[i]
        return p.left + 0.3 * (p.right - p.left), p.left + 0.7 * (p.right - p.left)

    @property
    def _port(self) -> float:
        return 7 * self._scale

    def _cell(self, i: int) -> Iterator[str]:
        """One cell with the arcs over it alone."""
        cell, p, s = self._cells[i], self._places[i], self._scale
        told = quoted(told_cell(cell))
        row = "" if cell.index is None else f' data-block="{cell.index}" role="img" aria-label="{told}"'
        at = f' data-y="{n(p.y)}" data-name="{quoted(cell.name)}"' if self._live else ""
        yield f'<g class="tr-cell"{row}{at}><title>{told}</title>'
        alone = self._alone.get(i, [])
        top = p.y - self._box / 2 - 4
        if alone:
            top = p.y - max(self._rise(a.level) + self._arc_width(a) / 2 for a in alone) - 14 * s
        bottom = p.y + self._box / 2 + 30 * s
        yield (
            f'<rect class="tr-hit" x="{n(p.left)}" y="{n(top)}" width="{n(p.right - p.left)}" '
            f'height="{n(bottom - top)}" rx="4"/>'
        )
        if not cell.splits:
            yield from self._entering(i)
        yield from self._through(i)
        yield from self._leaving(i)
        middle, name_y = (p.left + p.right) / 2, p.y + self._box / 2 + 13 * s
        yield words(middle, name_y, self._names[i], "tr-name", s)
        if not cell.folded:
            norm = f"{self._prefix}{number(cell.grad_norm)}"
            yield words(middle, name_y + 12 * s, norm, scale=s, shows=self._shown("norm"))
        yield "</g>"

    def _through(self, i: int) -> Iterator[str]:
        """What runs through and over a cell: at a fork the strands lie side by side, the branch below."""
        cell, p, s = self._cells[i], self._places[i], self._scale
        x0, x1, middle = p.left + self._port, p.right - self._port, (p.left + p.right) / 2
        left, right = self._sides(i)
        arcs = self._alone.get(i, [])
        share = cell.block.branch if cell.block is not None else None
        foot = p.y + self._foot(i, None)
        for a, b in ((x0, left), (x1, right)) if cell.splits else ():
            bend = (a + b) / 2
            curve, opened = _bent(a, b, bend, foot, p.y), _bent(a, b, bend, OPEN, p.y)
            yield self._part(curve, BRANCH, share, cell.grad_norm, opened)
        yield (
            f'<rect class="tr-box{" tr-fold" if cell.folded else ""}" x="{n(left)}" y="{n(p.y - self._box / 2)}" '
            f'width="{n(right - left)}" height="{n(self._box)}" rx="{n(4 * s)}"/>'
        )
        for arc in arcs:
            rise = self._rise(arc.level)
            width = self._gauge.widest if self._live else self._arc_width(arc)
            curve, opened = (
                self._arch(x0, x1, foot, p.y - rise, width) for foot in (p.y + self._foot(i, arc), OPEN)
            )
            yield self._part(curve, arc.kind, arc.share, arc.grad_norm, opened)
            above = p.y - rise - width / 2 - 3 * s
            yield words(middle, above, share_text(arc.share), scale=s, shows=self._shown(arc.kind))
        if cell.splits:
            yield words(middle, p.y + 3.5 * s, share_text(share), scale=s, shows=self._shown(BRANCH))

    def _joints(self, i: int) -> Iterator[str]:
        """A dot where the gradient splits, a plus where the values are added."""
        p, size = self._places[i], 2.4 * self._scale
        x0, x1 = p.left + self._port, p.right - self._port
        if any(arc.first == i for arc in (*self._alone.get(i, ()), *self._long)):
            yield f'<circle class="tr-dot" cx="{n(x0)}" cy="{n(p.y)}" r="{n(size)}"/>'
        if any(arc.last == i and arc.kind == SKIP for arc in (*self._alone.get(i, ()), *self._long)):
            yield (
                f'<path class="tr-line" style="stroke-width:1.5;opacity:1" d="M{n(x1 - size)} {n(p.y)}h{n(2 * size)}'
                f'M{n(x1)} {n(p.y - size)}v{n(2 * size)}"/>'
            )

    def _foot(self, i: int, above: Arc | None) -> float:
        """How far below the middle a strand begins that shares a fork with others; above None: the branch."""
        cell = self._cells[i]
        fork = None if cell.block is None or cell.block.fork is None else cell.block.fork.node
        starting = [*self._alone.get(i, []), *(a for a in self._long if a.first == i)]
        arcs = sorted((a for a in starting if a.fork == fork), key=lambda a: a.level)
        if not cell.splits or not arcs or (above is not None and above not in arcs):
            return 0.0
        share = cell.block.branch if cell.block is not None else None
        strands = [self._width(share, cell.grad_norm), *map(self._arc_width, arcs)]
        at = 0 if above is None else 1 + arcs.index(above)
        return sum(strands) / 2 - sum(strands[:at]) - strands[at] / 2

    def _long_arc(self, arc: Arc) -> str:
        """An arc over several cells, continued from row to row."""
        first, last = self._places[arc.first], self._places[arc.last]
        x0, (x1, end) = first.left + self._port, self._landing(arc.last)
        rise, width, foot = self._rise(arc.level), self._arc_width(arc), first.y + self._foot(arc.first, arc)
        edge, ends = max(p.right for p in self._places), x1
        top = first.y - rise
        if first.row == last.row:
            top = min(p.y for p in self._places[arc.first : arc.last + 1]) - rise
            path = self._arch(x0, x1, foot, top, width, end)
        else:
            lift, ends = 24 * self._scale, edge
            up, down = top, last.y - rise
            path = f"M{n(x0)} {n(foot)}C{n(x0 + lift)} {n(foot)} {n(x0)} {n(up)} {n(x0 + lift)} {n(up)}"
            path += f"H{n(max(edge, x0 + lift))}"
            for row in range(first.row + 1, last.row):
                y = next(p.y for p in self._places if p.row == row) - rise
                path += f"M{n(MARGIN)} {n(y)}H{n(edge)}"
            path += f"M{n(MARGIN)} {n(down)}H{n(x1 - lift)}C{n(x1)} {n(down)} {n(x1 - lift)} {n(last.y)} "
            path += f"{n(x1)} {n(last.y)}"
        told = f"{arc.kind} from {arc.fork} to {arc.landing}: share {ratio(arc.share)}"
        label = words((x0 + ends) / 2, top - width / 2 - 3 * self._scale, share_text(arc.share), "", self._scale)
        return f"<g><title>{escape(told)}</title>{self._part(path, arc.kind, arc.share, arc.grad_norm)}{label}</g>"

    def _landing(self, last: int) -> tuple[float, float]:
        """Where an arc over several cells ends."""
        return self._places[last].right - self._port, self._places[last].y

    def _arch(self, x0: float, x1: float, foot: float, top: float, width: float, end: float | None = None) -> str:
        end = foot if end is None else end
        lift = min(max(24 * self._scale, width), 0.36 * (x1 - x0))
        a, b = x0 + lift, x1 - lift
        return (
            f"M{n(x0)} {n(foot)}C{n(x0 + lift * 0.6)} {n(foot)} {n(x0 + lift * 0.2)} {n(top)} {n(a)} {n(top)}"
            f"H{n(b)}C{n(x1 - lift * 0.2)} {n(top)} {n(x1 - lift * 0.6)} {n(end)} {n(x1)} {n(end)}"
        )

    def _rise(self, level: int) -> float:
        return self._lowest + level * self._step

    def _arc_width(self, arc: Arc) -> float:
        return _DASHED if look(arc.kind).dashed else self._width(arc.share, arc.grad_norm)

    def _width(self, share: float | None, norm: float | None) -> float:
        whole = self._gauge.width(norm)
        return 0.0 if share is None or whole is None or share != share else abs(share) * whole * self._shrunk

    def _part(self, path: str, kind: str, share: float | None, norm: float | None, opened: str = "") -> str:
        """A strand as wide as its share of |g|, over a hairline that keeps the thinnest visible.

        opened: the path with its foot left open, for a page that moves it.
        """
        if self._live:
            return f'<path class="tr-line" d="{path}" data-d="{opened}"/>' + (
                f'<path class="tr-{css_class(kind)}" d="{path}" data-d="{opened}" data-strand="{quoted(kind)}"/>'
            )
        if share is None or share != share or self._gauge.width(norm) is None:
            return f'<path class="tr-line tr-undefined" d="{path}"/>'
        width = _DASHED if look(kind).dashed else self._width(share, norm)
        hairline = f'<path class="tr-line" d="{path}"/>' if width < 1.0 else ""
        return hairline + stroke(path, css_class(kind) + (" tr-negative" if share < 0 else ""), width)

    def _chain(self, path: str, norm: float | None, where: str = "") -> str:
        """All of the gradient."""
        if self._live:
            return f'<path class="tr-line" d="{path}"/><path class="tr-chain" d="{path}" data-chain="{where}"/>'
        width = self._gauge.width(norm)
        return f'<path class="tr-line tr-undefined" d="{path}"/>' if width is None else stroke(path, "chain", width)

    def _shown(self, what: str) -> str:
        """What a page writes here anew."""
        return what if self._live else ""


class _Open(float):
    """A height that a page fills in."""

    def __format__(self, form: str) -> str:
        return "{f}"


OPEN = _Open()


def _bent(a: float, b: float, bend: float, foot: float, y: float) -> str:
    """From a foot to the chain."""
    return f"M{n(a)} {n(foot)}C{n(bend)} {n(foot)} {n(bend)} {n(y)} {n(b)} {n(y)}"


def shares_of(cells: Sequence[Cell], arcs: Sequence[Arc]) -> list[float]:
    """The shares of all strands that have one."""
    shares = [a.share for a in arcs] + [a.over.branch for a in arcs if a.over is not None]
    shares += [c.block.branch for c in cells if c.block is not None and c.splits]
    return [s for s in shares if s is not None and math.isfinite(s)]


def kinds_of(cells: Sequence[Cell], arcs: Sequence[Arc]) -> list[str]:
    """The kinds of strands that a gradient splits into, skips first."""
    kinds = dict.fromkeys([*([SKIP] if any(a.kind == SKIP for a in arcs) else []), *(a.kind for a in arcs)])
    if any(c.splits for c in cells) or any(a.over is not None for a in arcs):
        kinds[BRANCH] = None
    return list(kinds)


def share_text(share: float | None) -> str:
    """A share as pictures tell it."""
    if share is None:
        return "-"
    told = f"{share:.2f}"
    return "0.00" if told == "-0.00" else told.replace("-", "−")
