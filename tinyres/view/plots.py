"""Charts through matplotlib, which is imported when the first one is drawn: of a trace, a comparison, a training.

Every function draws into the Axes that it gets, or into a new figure of pyplot, and gives the Axes. Norms stand on
logarithmic axes, where 0 and what is not finite is a gap; shares stand on linear axes that show 0 and 1.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyres.errors import MissingExtraError
from tinyres.store.replacing import replacing
from tinyres.structure.kinds import BRANCH, SKIP
from tinyres.structure.names import fitted, shortened
from tinyres.trace.compare import Comparison
from tinyres.trace.trace import Trace
from tinyres.view.curves import binomial_of, curves_of, log_limits, positive, share_limits
from tinyres.view.palette import LOOKS
from tinyres.view.told import heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SKIP, _BRANCH, _TEXT, _SOFT = LOOKS[SKIP].light, LOOKS[BRANCH].light, "#333940", "#8a919b"
_NETS = ["#333940", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]  # Okabe & Ito
_MOST_TICKS = 12


def gradient(trace: Trace, ax: Axes | None = None) -> Axes:
    """|g| by depth, with the fitted rate and, where there is one, the theory."""
    c = curves_of(trace)
    ax = _axes(ax)
    depth = range(len(c.names))
    ax.plot(depth, _gaps(c.grad_norms), color=_TEXT, marker="o", markersize=3.5, label="measured")
    if c.fit is not None:
        ax.plot(depth, c.fit, color=_SOFT, linestyle="--", label=c.fit_words)
    if c.theory is not None:
        ax.plot(depth, c.theory, color=_BRANCH, linestyle=":", label=c.theory_words)
    _logarithmic(ax, [*c.grad_norms, *(c.fit or []), *(c.theory or [])])
    _depth(ax, c.names, c.unit)
    ax.set_ylabel("|g|, L2 norm over the batch")
    ax.set_title(f"|g| at the {'input of each block' if c.unit == 'block' else 'output of each node'}")
    ax.legend(frameon=False)
    return ax


def share(trace: Trace, ax: Axes | None = None) -> Axes:
    """What came over skip and branch of the gradient at each block's input, stacked; negative shares hatched."""
    c = curves_of(trace)
    ax = _axes(ax)
    feet = [0.0 if s is None else max(0.0, s) for s in c.skips]
    for label, shares, colour in ((SKIP, c.skips, _SKIP), (BRANCH, c.branches, _BRANCH)):
        heights = [math.nan if s is None else s for s in shares]
        bottoms = [foot if label == BRANCH and h > 0 else 0.0 for h, foot in zip(heights, feet)]
        bars = ax.bar(range(len(heights)), heights, bottom=bottoms, color=colour, width=0.85, label=label)
        _hatch_negative(bars, colour)
    tops = [max(s or 0.0, 0.0) + max(b or 0.0, 0.0) for s, b in zip(c.skips, c.branches)]
    ax.set_ylim(*share_limits([*tops, *c.skips, *c.branches]))
    ax.axhline(0, color=_TEXT, linewidth=0.8)
    _depth(ax, [b.name for b in trace.parts], "block")
    ax.set_ylabel("share of the gradient at the block's input")
    ax.set_title("What came over skip and branch")
    if any(s is not None for s in (*c.skips, *c.branches)):
        key = _key({"branch": _BRANCH, "skip": _SKIP}, [*c.skips, *c.branches])
        ax.legend(*zip(*key), frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    else:
        ax.text(0.5, 0.5, "no block has a skip with a gradient", transform=ax.transAxes, ha="center")
    return ax


def paths(trace: Trace, ax: Axes | None = None) -> Axes:
    """The gradient by the number of branches it passed, beside how many paths there are of each length."""
    spectrum = trace.paths()
    ax = _axes(ax)
    from matplotlib.ticker import MaxNLocator

    lengths = range(len(spectrum.shares))
    heights = [math.nan if s is None else s for s in spectrum.shares]
    bars = ax.bar(lengths, heights, color=_SKIP, width=0.85)
    _hatch_negative(bars, _SKIP)
    (line,) = ax.plot(lengths, binomial_of(spectrum), color=_BRANCH, linestyle="--")
    ax.axhline(0, color=_TEXT, linewidth=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("branches passed")
    ax.set_ylabel("share")
    ax.set_title(f"The gradient at {fitted(spectrum.at, 40)} by path length")
    key = [*_key({"share of the gradient": _SKIP}, spectrum.shares), (line, "share of all paths (binomial)")]
    ax.legend(*zip(*key), frameon=False)
    return ax


def comparison(compared: Comparison, ax: Axes | None = None) -> Axes:
    """|g| by depth, one line per net."""
    ax = _axes(ax)
    shown: list[float | None] = []
    longest: Sequence[str] = ()
    for i, flow in enumerate(compared.flows):
        norms = positive(flow.grad_norms)
        rate = "" if flow.rate is None else f": × {flow.rate:.2f} per {flow.unit}"
        ax.plot(
            range(len(norms)), _gaps(norms), color=_NETS[i % len(_NETS)], marker="os^Dv"[i % 5], markersize=3.5,
            label=f"{flow.name}{rate}",
        )  # fmt: skip
        shown += norms
        longest = max(longest, flow.names, key=len)
    _logarithmic(ax, shown)
    _depth(ax, longest, compared.flows[0].unit)
    ax.set_ylabel("|g|, L2 norm over the batch")
    ax.set_title("|g| by depth; rates are toward the input")
    ax.legend(frameon=False)
    return ax


def heat_map(steps: np.ndarray, names: Sequence[str], norms: np.ndarray, ax: Axes | None = None) -> Axes:
    """|g| by layer and step of a training, colours logarithmic. norms: (steps, names); 0 and NaN are hatched."""
    ax = _axes(ax)
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    shown = np.ma.masked_where(~(np.isfinite(norms) & (norms > 0)), norms).T
    limits = log_limits(shown.compressed().tolist()) or (0.1, 10.0)
    edges = _edges(np.asarray(steps, np.float64))
    rows = np.arange(len(names) + 1) - 0.5
    if shown.mask is not np.ma.nomask and shown.mask.any():
        blank = Rectangle((0, 0), 1, 1, transform=ax.transAxes, facecolor="white", edgecolor=_SOFT, zorder=0)
        blank.set_hatch("////")
        ax.add_patch(blank)
        ax.legend([blank], ["0, not finite or not measured"], frameon=False, loc="lower right", bbox_to_anchor=(1, 1))
    image = ax.pcolormesh(edges, rows, shown, norm=LogNorm(*limits), cmap="plasma", zorder=1)
    ax.figure.colorbar(image, ax=ax, label="|g|, L2 norm over the batch")
    ax.invert_yaxis()
    at = _spread(len(names), 2 * _MOST_TICKS)
    short = shortened(names, 32)
    ax.set_yticks(at, [short[i] for i in at])
    ax.set_xlabel("step")
    ax.set_ylabel("layer, from input to loss")
    ax.set_title("|g| while training", loc="left")
    return ax


def export(trace: Trace, path: str) -> None:
    """Write every chart of the trace as one picture, .png or .pdf."""
    require_matplotlib()
    from matplotlib.figure import Figure

    kinds: list[Callable[[Trace, Any], Any]] = [gradient]
    if any(b.skip is not None for b in trace.parts):
        kinds.append(share)
    if trace.has_paths and len(trace.paths().shares) > 1:
        kinds.append(paths)
    figure = Figure(figsize=(8, 3.8 * len(kinds)), layout="constrained")
    figure.suptitle(heading(trace), fontweight="bold")
    for draw, ax in zip(kinds, np.atleast_1d(figure.subplots(len(kinds)))):
        draw(trace, ax)
    _save(figure, path)


def export_comparison(compared: Comparison, path: str) -> None:
    """Write |g| by depth of every net as one picture, .png or .pdf."""
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    comparison(compared, figure.add_subplot())
    _save(figure, path)


def _save(figure: Any, path: str) -> None:
    with replacing(path) as file:
        figure.savefig(file, format=os.path.splitext(path)[1][1:].lower(), dpi=150)


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    require_matplotlib()
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(8, 4), layout="constrained")[1]


def require_matplotlib() -> None:
    """Raise MissingExtraError, which says what to install, unless charts can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "[plot] charts are drawn by matplotlib; it is not installed; run: python3 -m pip install 'tinyres[plot]'"
        ) from error


def _hatch_negative(bars: Any, colour: str) -> None:
    for bar in bars:
        if bar.get_height() < 0:
            bar.set(facecolor="none", edgecolor=colour, hatch="////")


def _key(colours: dict[str, str], shares: Sequence[float | None]) -> list[tuple[Any, str]]:
    """Swatches in full colour whatever the first bar looks like, and a hatched one where a share is negative."""
    from matplotlib.patches import Patch

    key = [(Patch(color=colour), words) for words, colour in colours.items()]
    if any(s is not None and s < 0 for s in shares):
        key.append((Patch(facecolor="none", edgecolor=_TEXT, hatch="////"), "negative"))
    return key


def _gaps(values: Sequence[float | None]) -> list[float]:
    return [math.nan if v is None else v for v in values]


def _logarithmic(ax: Axes, values: Sequence[float | None]) -> None:
    ax.set_yscale("log")
    limits = log_limits(values)
    if limits is not None:
        ax.set_ylim(*limits)
    else:
        ax.text(0.5, 0.5, "|g| is 0 or not finite everywhere", transform=ax.transAxes, ha="center")
    ax.grid(axis="y", alpha=0.3)


def _depth(ax: Axes, names: Sequence[str], unit: str) -> None:
    at = _spread(len(names), _MOST_TICKS)
    names = shortened(names, 18)
    crowded = sum(len(names[i]) for i in at) > 60
    ax.set_xticks(at, [names[i] for i in at], rotation=30 if crowded else 0, ha="right" if crowded else "center")
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_xlabel(f"{unit}, from input to loss")


def _spread(count: int, most: int) -> list[int]:
    """Evenly spaced indices from 0, at most `most`."""
    return list(range(0, count, max(1, -(-count // most))))


def _edges(centres: np.ndarray) -> np.ndarray:
    """Where one cell ends and the next begins."""
    if len(centres) < 2:
        return np.array([centres[0] - 0.5, centres[0] + 0.5]) if len(centres) else np.array([0.0])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]])
