"""What charts show, as numbers: one value per block (or, without blocks, per node), None where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tinyres.trace.flow import Flow, flow_of
from tinyres.trace.spectrum import Spectrum
from tinyres.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Curves:
    """A net by depth.

    unit: "block" or "node". names, grad_norms, value_norms, skips, branches, strengths: one each, in graph order; a
    norm that a logarithmic axis cannot show (0, not finite) is None. fit: a rate or, where that fits better, a power of
    the depth, by least squares to log |g|; fit_words say which. theory: the published rate as a line through the last
    block, where there is one; theory_words say for what.
    """

    unit: str
    names: list[str]
    grad_norms: list[float | None]
    value_norms: list[float | None]
    skips: list[float | None]
    branches: list[float | None]
    strengths: list[float | None]
    fit: list[float] | None
    fit_words: str
    theory: list[float] | None
    theory_words: str


def curves_of(trace: Trace) -> Curves:
    """The curves of a trace."""
    blocks = trace.parts
    norms = positive([b.grad_norm for b in blocks] if blocks else [n.grad_norm for n in trace.nodes])
    count = len(norms)
    flow = flow_of("", trace)
    fitted = flow.fitted if blocks and len(flow.names) == len(blocks) else None
    theory = flow.theory if count > 1 else None
    last = norms[-1] if norms else None
    line = None
    if theory is not None and last is not None:
        line = [last * theory.rate ** (count - 1 - i) for i in range(count)]
    return Curves(
        unit="block" if blocks else "node",
        names=[b.name for b in blocks] if blocks else [n.name for n in trace.nodes],
        grad_norms=norms,
        value_norms=positive([b.x_norm for b in blocks] if blocks else [n.value_norm for n in trace.nodes]),
        skips=[_finite(b.skip) for b in blocks],
        branches=[_finite(b.branch) for b in blocks],
        strengths=[_finite(b.strength) for b in blocks],
        fit=None if fitted is None else list(fitted),
        fit_words=_fit_words(flow),
        theory=line,
        theory_words="" if theory is None else str(theory).replace(": x ", ": × "),
    )


def binomial_of(spectrum: Spectrum) -> list[float]:
    """The share of all paths that have k branches, for each length k: each block is passed or skipped."""
    most = len(spectrum.shares) - 1
    return [math.exp(_log_choose(most, k) - most * math.log(2)) for k in range(most + 1)]


def log_limits(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Ends of a logarithmic axis: whole powers of ten, at least two apart, so that equal values look equal."""
    shown = [math.log10(v) for v in values if v is not None and v > 0]
    if not shown:
        return None
    low, high = math.floor(min(shown)), math.ceil(max(shown))
    if high - low < 2:
        middle = (min(shown) + max(shown)) / 2
        low, high = (low - 1, high) if middle - low < high - middle else (low, high + 1)
        if high - low < 2:
            low -= 1
    return 10.0 ** max(low, -307), 10.0 ** min(high, 307)


def share_limits(values: Sequence[float | None]) -> tuple[float, float]:
    """Ends of an axis of shares: always 0 and 1, and whatever lies beyond."""
    shown = [v for v in values if v is not None]
    return min([0.0, *(1.05 * v for v in shown)]), max([1.0, *(1.05 * v for v in shown)])


def _fit_words(flow: Flow) -> str:
    fit = flow.course
    if fit is None:
        return ""
    if fit.power is None:
        return f"fit: × {fit.rate:.2f} ({fit.low:.2f} to {fit.high:.2f}) per {flow.unit} toward the input"
    return f"fit: like depth to the power −{fit.power:.1f} ± {fit.power_error:.1f}"


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def positive(values: Sequence[float]) -> list[float | None]:
    """What a logarithmic axis can show; None for what it cannot."""
    return [v if 0 < v < math.inf else None for v in values]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
