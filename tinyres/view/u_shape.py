"""A U-Net in a ribbon: its cells go down where a skip leaves across, and up again where it joins.

At the fork the skip goes straight across, above what goes on below; both are as wide as their shares.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from tinyres.structure.kinds import BRANCH
from tinyres.view.cells import Arc, Cell
from tinyres.view.gauge import Gauge
from tinyres.view.marks import n, words
from tinyres.view.numbers import ratio
from tinyres.view.strands import MARGIN, Place, Rows, Strands, share_text, weight_of

_SLOPE, _FLAT = 0.5, 0.3  # the way between two levels, and between two Us, by the width of a block


class _Border(NamedTuple):
    """Between two cells: the height of the chain there, where it has come up to it, and where it goes down again."""

    y: float
    up: float
    down: float


class UShaped(Strands):
    """Strands whose cells lie as deep as skips across lead over them."""

    def __init__(self, cells: list[Cell], arcs: list[Arc], gauge: Gauge, rows: Rows, top: float) -> None:
        self._across = [arc for arc in arcs if arc.over is not None]
        self._depth = [sum(a.first <= i <= a.last for a in self._across) for i in range(len(cells))]
        self._borders: list[_Border] = []
        super().__init__(cells, arcs, gauge, rows, top)

    def _placed(self, rows: Rows, top: float, above: float) -> list[Place]:
        """One beside the other with a slope between levels, beneath what arches over several."""
        pitch = self._above(max((a.level for alone in self._alone.values() for a in alone), default=-1)) + self._below
        weights = list(map(weight_of, self._cells))
        levels = [sum(a.first < i <= a.last for a in self._across) for i in range(len(weights) + 1)]
        ups = [depth - level for depth, level in zip([0, *self._depth], levels)]
        downs = [depth - level for depth, level in zip([*self._depth, 0], levels)]
        ups[0] = downs[-1] = 0
        flats = [_FLAT * (up > 0 < down) for up, down in zip(ups, downs)]
        whole = sum(weights)
        cell = rows.cell * max(0.7, whole / (whole + sum(flats) + _SLOPE * sum(ups + downs)))
        places, x = [], MARGIN
        for i, level in enumerate(levels):
            up = x + _SLOPE * cell * ups[i]
            down = up + flats[i] * cell
            self._borders.append(_Border(top + above + level * pitch, up, down))
            x = down + _SLOPE * cell * downs[i]
            if i < len(weights):
                places.append(Place(0, x, x + weights[i] * cell, top + above + self._depth[i] * pitch))
                x += weights[i] * cell
        return places

    def drawn(self) -> Iterator[str]:
        """All of it, with the skips across."""
        yield from super().drawn()
        for arc in self._across:
            yield self._over(arc)

    def _entering(self, i: int) -> Iterator[str]:
        """From the cell before up to the border and down to this one."""
        border, norm = self._borders[i], self._cells[i].entering
        up, down = (j >= 0 and self._places[j].y > border.y for j in (i - 1, i))
        if not up and not down:
            yield from super()._entering(i)
            return
        if up:
            yield self._rising(i)
        start = border.up if up or not i else self._end(i - 1)
        end = border.down if down else self._start(i)
        if end > start + 1:
            yield self._chain(f"M{n(start)} {n(border.y)}H{n(end)}", norm)
        if down:
            yield from self._falling(i)

    def _leaving(self, i: int) -> Iterator[str]:
        """Up to the border behind the last cell."""
        if i + 1 == len(self._cells) and self._places[i].y > self._borders[i + 1].y:
            yield self._rising(i + 1)
        else:
            yield from super()._leaving(i)

    def _rising(self, i: int) -> str:
        """What comes from below, which joins the skip at the border in front of cell i."""
        border, norm = self._borders[i], self._cells[i - 1].grad_norm
        width = self._gauge.width(norm) or 0.0
        over = max((self._arc_width(a) for a in self._across if a.last == i - 1), default=0.0)
        end = border.y + (over + width) / 2 - width / 2
        return self._chain(_bend(self._end(i - 1), self._places[i - 1].y, border.up, end), norm)

    def _falling(self, i: int) -> Iterator[str]:
        """What goes on below where a skip leaves across in front of cell i."""
        border, place = self._borders[i], self._places[i]
        arc = next(a for a in self._across if a.first == i)
        share = None if arc.over is None else arc.over.branch
        width = self._width(share, arc.grad_norm)
        start = border.y + (self._arc_width(arc) + width) / 2 - width / 2
        yield self._part(_bend(border.down, start, self._start(i), place.y), BRANCH, share, arc.grad_norm)
        x = (border.down + self._start(i) + width) / 2 + 13 * self._scale
        y = border.y + 0.4 * (place.y - border.y)
        yield words(x, y, share_text(share), scale=self._scale)

    def _over(self, arc: Arc) -> str:
        """A skip across, from border to border."""
        first, last = self._borders[arc.first], self._borders[arc.last + 1]
        below = self._width(None if arc.over is None else arc.over.branch, arc.grad_norm)
        joining = self._gauge.width(self._cells[arc.last].grad_norm) or 0.0
        start, end = first.y - below / 2, last.y - joining / 2
        bend = min(40 * self._scale, (last.up - first.down) / 3)
        path = f"M{n(first.down)} {n(start)}H{n(last.up - bend)}"
        path += f"C{n(last.up - bend / 2)} {n(start)} {n(last.up - bend / 2)} {n(end)} {n(last.up)} {n(end)}"
        told = f"{arc.kind} from {arc.fork} to {arc.landing}: share {ratio(arc.share)}"
        middle, width, size = (first.down + last.up) / 2, self._arc_width(arc), 2.4 * self._scale
        label = words(middle, start - width / 2 - 3 * self._scale, share_text(arc.share), scale=self._scale)
        dot = f'<circle class="tr-dot" cx="{n(first.down)}" cy="{n(first.y)}" r="{n(size)}"/>'
        plus = (
            f'<path class="tr-line" style="stroke-width:1.5;opacity:1" d="M{n(last.up - size)} {n(last.y)}'
            f'h{n(2 * size)}M{n(last.up)} {n(last.y - size)}v{n(2 * size)}"/>'
        )
        strand = self._part(path, arc.kind, arc.share, arc.grad_norm)
        return f"<g><title>{escape(told)}</title>{strand}{label}{dot}{plus}</g>"

    def _landing(self, last: int) -> tuple[float, float]:
        border = self._borders[last + 1]
        return super()._landing(last) if border.y == self._places[last].y else (border.up, border.y)

    def _start(self, i: int) -> float:
        """Where the chain has come to a cell."""
        return self._places[i].left + self._port + 0.5 if self._cells[i].splits else self._sides(i)[0]

    def _end(self, i: int) -> float:
        """Where the chain goes on from a cell."""
        return self._places[i].right - self._port - 0.5 if self._cells[i].splits else self._sides(i)[1]


def _bend(x0: float, y0: float, x1: float, y1: float) -> str:
    """From one height to another, level at both ends."""
    reach = 0.75 * (x1 - x0)
    return f"M{n(x0)} {n(y0)}C{n(x0 + reach)} {n(y0)} {n(x1 - reach)} {n(y1)} {n(x1)} {n(y1)}"
