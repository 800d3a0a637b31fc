"""The colours and words of every kind of edge, on light and on dark, and the ribbon's style sheet made of them."""

from __future__ import annotations

from typing import NamedTuple

from tinyres.structure.kinds import BRANCH, CONDITION, GATE, PARALLEL, SKIP


class Look(NamedTuple):
    """Of a kind of edge: its words in the key, its colour on light and on dark, whether it is a thin dashed line."""

    words: str
    light: str
    dark: str
    dashed: bool = False


# Okabe & Ito, Color Universal Design, 2008.
LOOKS: dict[str, Look] = {
    SKIP: Look("over the skip", "#0072B2", "#56B4E9"),
    BRANCH: Look("through the branch", "#D55E00", "#E69F00"),
    GATE: Look("into a gate", "#9C4F80", "#CC79A7"),
    PARALLEL: Look("on a parallel way", "#007A5A", "#3CC39B"),
    CONDITION: Look("from a condition", "#6B5B00", "#F0E442", dashed=True),
}
_OTHER = Look("on another way", "#5A626C", "#A3ABB5", dashed=True)
CHAIN = Look("not split", "#9AA1AB", "#646C77")


def look(kind: str) -> Look:
    """What edges of this kind look like; a kind that is not in the table has a look too."""
    return LOOKS.get(kind, _OTHER)


def css_class(kind: str) -> str:
    """The class of lines of this kind, without its prefix."""
    return kind if kind in LOOKS or kind == "chain" else "other"


def _strokes(dark: bool) -> str:
    looks = {**LOOKS, "chain": CHAIN, "other": _OTHER}
    return "\n".join(f".tr-ribbon .tr-{kind} {{ stroke: {a.dark if dark else a.light} }}" for kind, a in looks.items())


def _dashed() -> str:
    kinds = [*(kind for kind in LOOKS if LOOKS[kind].dashed), "other"]
    return "\n".join(f".tr-ribbon .tr-{kind} {{ stroke-dasharray: 6 4 }}" for kind in kinds)


def _hatched() -> str:
    kinds = (*LOOKS, "other")
    return "\n".join(f".tr-ribbon .tr-{kind}.tr-negative {{ stroke: url(#tr-hatch-{kind}) }}" for kind in kinds)


STYLE = f"""
.tr-ribbon text {{ fill: currentColor; font: 10px system-ui, sans-serif; text-anchor: middle }}
.tr-ribbon .tr-head {{ font-size: 14px; font-weight: 600; text-anchor: start }}
.tr-ribbon .tr-key {{ font-size: 11px; text-anchor: start }}
.tr-ribbon .tr-net {{ font-size: 13px; font-weight: 600; text-anchor: start }}
.tr-ribbon .tr-name {{ font-weight: 600 }}
.tr-ribbon path {{ fill: none }}
{_strokes(dark=False)}
{_hatched()}
{_dashed()}
.tr-ribbon .tr-line {{ stroke: currentColor; stroke-width: .75; opacity: .55 }}
.tr-ribbon .tr-undefined {{ stroke-dasharray: 3 3 }}
.tr-ribbon .tr-box {{ fill: none; stroke: currentColor; stroke-width: 1.1 }}
.tr-ribbon .tr-fold {{ stroke-dasharray: 4 3 }}
.tr-ribbon .tr-dot {{ fill: currentColor }}
.tr-ribbon .tr-wedge {{ fill: {CHAIN.light} }}
.tr-ribbon circle {{ pointer-events: none }}
.tr-ribbon .tr-hit {{ fill: transparent }}
"""
STYLE_ON_DARK = f"""
{_strokes(dark=True)}
.tr-ribbon .tr-wedge {{ fill: {CHAIN.dark} }}
"""
STYLE_ALONE = f"""
.tr-ribbon {{ color: #1c2127; background: #fff }}
@media (prefers-color-scheme: dark) {{ .tr-ribbon {{ color: #e6e8ea; background: #14171a }} {STYLE_ON_DARK} }}
"""
