"""Spectrum: the gradient at one node by path length, as plain data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tinyres.trace.html import preformatted


@dataclass(frozen=True, slots=True, repr=False)
class Spectrum:
    """The gradient at one node by path length.

    at: the node. shares[k]: the signed share ⟨g_k, g⟩ / ⟨g, g⟩ of what passed exactly k branches; None where the whole
    gradient g is exactly 0. norms[k]: |g_k|. error: |Σ g_k − g| / |g| against the g of an ordinary backward pass.
    """

    at: str
    shares: tuple[float | None, ...]
    norms: tuple[float, ...]
    error: float

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
        shares = ("-" if s is None else format(round(s, 4) + 0.0, "8.4f") for s in self.shares)  # + 0.0: no -0.0
        lines += [f"{k:>4} {share}" for k, share in enumerate(shares)]
        return "\n".join(lines)
