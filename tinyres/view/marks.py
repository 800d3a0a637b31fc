"""What SVG pictures are made of: numbers, strokes, words, hatching."""

from __future__ import annotations

from html import escape


def n(x: float) -> str:
    """A number to a tenth of a unit."""
    return f"{x:.1f}".removesuffix(".0")


def stroke(path: str, kind: str, width: float) -> str:
    """A line of this kind, `width` wide."""
    return f'<path class="tr-{kind}" stroke-width="{width:.5g}" d="{path}"/>'


def words(x: float, y: float, text: str, kind: str = "", scale: float = 1.0, shows: str = "") -> str:
    """Text at a place; of the size that its kind has, times scale. shows: what a live page writes there anew."""
    known = (f' class="{kind}"' if kind else "") + (f' data-shows="{quoted(shows)}"' if shows else "")
    size = f' style="font-size:{10 * scale:.3g}px"' if scale != 1.0 else ""
    return f'<text{known} x="{n(x)}" y="{n(y)}"{size}>{escape(text)}</text>'


def hatch(kind: str) -> str:
    """The pattern of negative shares of this kind."""
    return (
        f'<pattern id="tr-hatch-{kind}" width="4" height="4" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><path class="tr-{kind}" d="M1 0V4" stroke-width="2"/></pattern>'
    )


def quoted(text: str) -> str:
    """Text as the value of an attribute."""
    return escape(text, quote=True)
