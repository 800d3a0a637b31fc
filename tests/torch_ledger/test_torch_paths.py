"""The path-length spectrum of modules: that of their twins in tinyres, through whatever autograd has for nodes."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402
from torch_twins import TWINS, given, residual_mlp  # noqa: E402

import tinyres as tr  # noqa: E402
from tinyres.errors import ArgumentError, TraceError  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_the_paths_of_a_net_are_those_of_its_twin(name: str) -> None:
    torch.manual_seed(0)
    twins = TWINS[name]()
    mine = twins.model.graph(twins.x, twins.y, loss=tr.losses.softmax_cross_entropy).paths()
    theirs = tr.torch.trace(twins.module, given(twins.x), loss=twins.loss, paths=True).paths()
    assert (theirs.at, len(theirs.shares)) == (mine.at, len(mine.shares))
    assert theirs.shares == pytest.approx(mine.shares, abs=1e-6)
    assert theirs.norms == pytest.approx(mine.norms, rel=1e-5, abs=1e-9)
    assert [name for name, _, _ in theirs.over] == [name for name, _, _ in mine.over]
    assert [share for _, share, _ in theirs.over] == pytest.approx([share for _, share, _ in mine.over], abs=1e-6)
    assert sum(s or 0.0 for s in theirs.shares) == pytest.approx(1, abs=1e-5) and theirs.error < 1e-5
    assert all(p.grad is None for p in twins.module.parameters())


class Square(torch.autograd.Function):
    """Written in Python, with two results of which one is not read."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.save_for_backward(x)
        return x * x, x + 1

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor, unread: torch.Tensor) -> torch.Tensor:
        return 2 * g * ctx.saved_tensors[0] + unread


class Block(nn.Module):
    """A skip around a branch that ends in one of these ways."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inside, self.cell = kind, nn.Linear(4, 4), nn.LSTM(4, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.inside(x)
        if self.kind == "a function of Python":
            return x + Square.apply(y)[0]
        if self.kind == "recomputed":
            return x + checkpoint(torch.tanh, y, use_reentrant=False)
        if self.kind == "fused":
            return x + self.cell(y)[0]
        if self.kind == "in place":
            y += x
            y[:, :, :2] *= 0.5
            return y
        if self.kind == "several results":
            a, b = torch.tanh(y).split(2, dim=-1)
            return x + torch.cat([b, a], -1)
        if self.kind == "several results of the input":
            a = x.unbind(-1)
            return x + torch.stack([a[3], a[1], a[0] * 2, a[2]], -1) * torch.tanh(y)
        return x + torch.exp(y.double()).float()


KINDS = ("a function of Python", "recomputed", "fused", "in place", "several results", "other dtypes")


@pytest.mark.parametrize("kind", [*KINDS, "several results of the input"])
def test_they_lead_through_whatever_there_is(kind: str) -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(Block(kind), Block(kind), nn.Linear(4, 1)), torch.randn(3, 5, 4)
    found = tr.torch.trace(net, x, loss=lambda y: (y**2).mean(), paths=True)
    assert found.audit().ok and found.paths().error < 1e-6 and len(found.paths().shares) >= 3
    assert sum(found.paths().shares) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_they_lead_through_what_is_compiled() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(torch.compile(Block("other dtypes"), backend="aot_eager"), Block("fused"), nn.Linear(4, 1))
    found = tr.torch.trace(net, torch.randn(3, 5, 4), loss=lambda y: (y**2).mean(), paths=True)
    assert found.paths().error < 1e-6 and len(found.paths().shares) == 2  # what is compiled is one node


def test_one_block_has_the_shares_of_its_fork() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(Block("several results"), nn.Linear(4, 1))
    found = tr.torch.trace(net, torch.randn(3, 5, 4), loss=lambda y: (y**2).mean(), paths=True)
    assert found.paths().shares == pytest.approx((found.blocks[0].skip, found.blocks[0].branch), abs=1e-6)


def test_of_a_gradient_of_zero_there_are_no_shares() -> None:
    found = tr.torch.trace(Block("fused"), torch.ones(1, 2, 4), loss=lambda y: (y * 0).sum(), paths=True)
    assert set(found.paths().shares) == {None} and found.paths().error == 0


def test_what_is_not_measured_says_what_to_do() -> None:
    twins = residual_mlp(2)
    plain = tr.torch.trace(twins.module, given(twins.x), loss=twins.loss, audit=False)
    with pytest.raises(TraceError, match=r"paths were not measured; call tr.torch.trace\(module, …, paths=True\)"):
        plain.paths()
    with pytest.raises(TraceError, match=r"the audit was not made; call tr.torch.trace\(module, …, audit=True\)"):
        plain.audit()
    with pytest.raises(TraceError, match=r'ops were not measured; call tr.torch.trace\(module, …, level="op"\)'):
        plain.rows("op")
    with pytest.raises(TraceError, match="of a module of PyTorch none are kept"):
        _ = plain.nodes[0].value
    with pytest.raises(ArgumentError, match=r"measured as they pass, and none is kept; got arrays=True; hold them by"):
        tr.torch.trace(twins.module, given(twins.x), loss=twins.loss, arrays=True)


class Two(nn.Module):
    """Reads words, and gives two values."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(3, 4))

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = nn.functional.embedding(ids, self.table)
        return h * 2, h * 3


class Outside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.two = Two()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        a, b = self.two(ids)
        return (a + b).sum()


def test_they_end_at_one_value() -> None:
    ids = torch.zeros(2, 2, dtype=torch.long)
    with pytest.raises(TraceError, match="the paths of a gradient end at one value; two gives 2 that are read"):
        tr.torch.trace(Outside(), ids, paths=True)
    alone = tr.torch.trace(Two(), ids, loss=lambda y: y[0].sum(), paths=True).paths()
    assert alone.shares == (1.0,) and alone.error == 0
    whole = tr.torch.trace(nn.EmbeddingBag(3, 1), torch.zeros(1, 2, dtype=torch.long), paths=True).paths()
    assert whole.shares == whole.norms == (1.0,)
