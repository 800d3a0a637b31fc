"""Spectrum: the gradient at one node by path length, as plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from tinyres.structure.names import shortened
from tinyres.trace.html import preformatted


class Over(NamedTuple):
    """What of a gradient passed one skip across, of several the one nearest to the node; name: "" for none of them.

    share: signed, as of a Spectrum. norm: its length.
    """

    name: str
    share: float | None
    norm: float


@dataclass(frozen=True, slots=True, repr=False)
class Spectrum:
    """The gradient at one node by path length.

    at: the node. shares[k]: the signed share ⟨g_k, g⟩ / ⟨g, g⟩ of what passed exactly k branches; None where the whole
    gradient g is exactly 0. norms[k]: |g_k|. error: |Σ g_k − g| / |g| against the g of an ordinary backward pass.
    over: of a net with skips across, as a U-Net, which of them it passed, the last row for none; empty of any other.
    What lies below such a skip is no branch: those that are counted are the branches of residual blocks.
    """

    at: str
    shares: tuple[float | None, ...]
    norms: tuple[float, ...]
    error: float
    over: tuple[Over, ...] = ()

    @property
    def mean(self) -> float | None:
        """The mean number of branches, weighted by share."""
        weighted = [k * s for k, s in enumerate(self.shares) if s is not None]
        return math.fsum(weighted) if weighted else None

    def rows(self) -> list[dict[str, float | None]]:
        """One flat dict per length."""
        return [{"length": k, "share": s, "norm": n} for k, (s, n) in enumerate(zip(self.shares, self.norms))]

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return preformatted(str(self))

    def __str__(self) -> str:
        lines = [f"paths to {self.at}: share of the gradient that passed k branches"]
        lines += [f"{k:>4} {_told(share)}" for k, share in enumerate(self.shares)]
        if self.over:
            lines.append("and by the skip across that it passed")
            wide = min(60, max(len(name) for name, _, _ in self.over))
            lines += [
                f"  {shortened([name or 'none'], wide)[0]:<{wide}} {_told(share)}" for name, share, _ in self.over
            ]
        return "\n".join(lines)


def _told(share: float | None) -> str:
    return "-" if share is None else format(round(share, 4) + 0.0, "8.4f")  # + 0.0: no -0.0
