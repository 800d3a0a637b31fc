"""U-Nets of PyTorch: skips across are found by sizes, with channels before pixels; a level without one is named."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

import tinyres as tr  # noqa: E402

nn = torch.nn


def twice(given: int, filters: int) -> Any:
    convs = nn.Conv2d(given, filters, 3, padding=1), nn.Conv2d(filters, filters, 3, padding=1)
    return nn.Sequential(convs[0], nn.SiLU(), convs[1], nn.SiLU())


class UNet(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, missing: int | None) -> None:
        super().__init__()
        self.missing = missing
        widths = [8, 16, 16]
        self.down = nn.ModuleList(twice(a, b) for a, b in zip([1, *widths], widths))
        self.middle = nn.Conv2d(16, 16, 3, padding=1)
        joined = [(0 if i == missing else w) + below for i, (w, below) in enumerate(zip(widths, [16, 16, 16]))]
        self.up = nn.ModuleList(twice(a, b) for a, b in zip(joined, [8, 16, 16]))
        self.smaller, self.larger, self.head = nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 1)

    def forward(self, x: Any) -> Any:
        across = []
        for down in self.down:
            across.append(down(x))
            x = self.smaller(across[-1])
        x = self.middle(x)
        for i in (2, 1, 0):
            x = self.larger(x)
            x = self.up[i](x if i == self.missing else torch.cat([x, across[i]], 1))
        return self.head(x)


@pytest.mark.parametrize("missing", [None, 0, 1])
def test_skips_across_and_a_level_without_one(missing: int | None) -> None:
    torch.manual_seed(0)
    net, x = UNet(missing), torch.randn(2, 1, 16, 16)
    trace = tr.torch.trace(net, x, loss=lambda y: (y - x).square().mean())
    across = [b for b in trace.parts if b.across]
    assert [b.name for b in across] == [f"across{i}" for i in reversed(range(3 if missing is None else 2))]
    assert trace.audit().ok and all(b.skip + b.branch == pytest.approx(1, abs=1e-5) for b in across)
    found = tr.torch.lint(net, x, loss=lambda y: (y - x).square().mean())
    if missing is None:
        assert not found
    else:
        (finding,) = found
        assert finding.problem == f"2 of 3 levels have a skip across, down/{missing}/3 has none"
