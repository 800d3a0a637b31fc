"""Nets of PyTorch as people write them: in place, compiled, fused, checkpointed; and bugs that are planted in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch_nets import IMAGES, ConvNet, classified, torchvision  # noqa: E402

import tinyres as tr  # noqa: E402
from tinyres.errors import TraceError  # noqa: E402

BUGS = {
    "missing": ("missing-skip", "blocks/2/bn2"),
    "doubled": ("double-skip", "blocks/2/add_1"),
    "detached": ("detached-skip", "blocks/2/add"),
    "through NumPy": ("detached-skip", "blocks/2/add"),
    "without gradient": ("detached-skip", "blocks/2/add"),
    "ReLU on the skip": ("skip-path", "blocks/2/relu_1"),
    "scaled": ("skip-path", "blocks/2/mul"),
    "normalised": ("skip-path", "blocks/2/layer_norm"),
    "dropped": ("skip-path", "blocks/2/dropout"),
    "reversed": ("skip-path", "blocks/2/Reverses"),
    "dead": ("dead-branch", "blocks/2/conv1"),
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_named(bug: str) -> None:
    found = tr.torch.lint(ConvNet(bug), IMAGES, loss=classified)
    assert BUGS[bug] in {(finding.rule, finding.node) for finding in found}
    assert all(finding.node.startswith("blocks/2/") for finding in found)
    assert all(finding.source is None or finding.source[0].endswith("torch_nets.py") for finding in found)


def test_nothing_is_said_of_the_right_net() -> None:
    assert not tr.torch.lint(ConvNet(), IMAGES, loss=classified)


def test_what_nothing_reads_is_told() -> None:
    net = ConvNet()
    net.spare = nn.Linear(3, 3)
    (finding,) = tr.torch.lint(net, IMAGES, loss=classified)
    assert (finding.rule, finding.node) == ("no-gradient", "spare")


def test_checkpoints_change_no_number() -> None:
    net = ConvNet()
    plain = tr.torch.trace(net, IMAGES, loss=classified)
    net.checkpoints = False
    again = tr.torch.trace(net, IMAGES, loss=classified)
    assert again.loss == plain.loss and again.audit().ok
    for a, b in zip(plain.blocks, again.blocks, strict=True):
        assert (b.name, b.grad_norm, b.x_norm, b.skip) == pytest.approx((a.name, a.grad_norm, a.x_norm, a.skip))


def test_checkpoints_that_run_a_backward_pass_of_their_own_are_refused() -> None:
    with pytest.raises(TraceError, match=r"\[torch\] a region under checkpoint .* use_reentrant=False"):
        tr.torch.trace(ConvNet(checkpoints=True), IMAGES, loss=classified)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("in_place", [False, True])
def test_what_is_compiled_is_one_node_and_the_trace_says_so(in_place: bool) -> None:
    net = ConvNet()
    before = tr.torch.trace(net, IMAGES, loss=classified)
    if in_place:
        net.blocks[1].compile(backend="aot_eager")
    else:
        net.blocks[1] = torch.compile(net.blocks[1], backend="aot_eager")
    trace = tr.torch.trace(net, IMAGES, loss=classified)
    name = "CompiledFunction" if in_place else "blocks/1"
    assert trace.header.notes == (f"{name} is compiled: it is one node, what happens inside it is not seen.",)
    assert f"{name} is compiled: it is one node" in str(trace)
    assert trace.audit().ok and [b.name for b in trace.blocks] == ["blocks/0", "blocks/2", "blocks/3", "blocks/4"]
    assert trace["blocks/0"].grad_norm == pytest.approx(before["blocks/0"].grad_norm, rel=1e-4)
    assert trace["blocks/2"].grad_norm == pytest.approx(before["blocks/2"].grad_norm, rel=1e-4)


class Recurrent(nn.Module):
    """A fused LSTM of which two outputs are read."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(7, 4), nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        steps, (_, cell) = self.lstm(self.embed(tokens))
        return self.head(steps[:, -1] + cell[0])


def test_a_fused_lstm_is_one_node_and_the_trace_says_so() -> None:
    trace = tr.torch.trace(Recurrent(), torch.arange(40).reshape(8, 5) % 7, loss=lambda y: y.square().mean())
    assert trace.header.notes == ("lstm is a fused LSTM: it is one node, what happens inside it is not seen.",)
    assert trace["lstm"].op == "LSTM" and set(trace["lstm"].params) == {
        "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"
    }  # fmt: skip
    assert trace.audit().ok and trace["embed"].grad_norm > 0


class Sees(nn.Module):
    """Whose backward pass a user's own hook changes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(self.linear(x))
        y.register_hook(lambda g: 2 * g)
        return (y + y.square()).sum()


def test_the_audit_names_where_a_hook_changes_the_gradient() -> None:
    audit = tr.torch.trace(Sees(), torch.ones(2, 4)).audit()
    assert not audit.ok and {failure.node for failure in audit.failures} == {"tanh"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "blocks"), [("resnet50", 16), ("vgg16", 0), ("mobilenet_v2", 10)])
def test_nets_of_torchvision_trace(name: str, blocks: int) -> None:
    net = getattr(torchvision().models, name)(weights=None)
    trace = tr.torch.trace(net, torch.randn(2, 3, 32, 32), loss=classified)
    assert trace.audit().ok
    residual = [b for b in trace.blocks if b.skip is not None]
    assert len(residual) == blocks
    assert all(b.skip + b.branch == pytest.approx(1, abs=1e-5) for b in residual)
    assert len(trace.parameters) == len(list(net.parameters()))


PEAK = """
import resource, sys, torch
from torch_nets import classified, torchvision
torch.set_num_threads(1)
torch.manual_seed(0)
net, x = torchvision().models.resnet50(weights=None), torch.randn(8, 3, 96, 96)
if sys.argv[1] == "trace":
    import tinyres as tr
    tr.torch.trace(net, x, loss=classified)
else:
    classified(net(x)).backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_trace_takes_little_more_memory_than_the_step_that_it_watches(tmp_path: Path) -> None:
    paths = os.pathsep.join((str(Path(__file__).parent), str(Path(tr.__file__).parent.parent)))
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", PEAK, what], capture_output=True, text=True, check=True, cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": paths},
            ).stdout
        )
        for what in ("step", "trace")
    ]  # fmt: skip
    assert peaks[1] < 1.15 * peaks[0], f"peak of a step {peaks[0]} kB, of its trace {peaks[1]} kB"


def test_a_trace_is_saved_shown_and_compared_as_any(tmp_path: Path) -> None:
    trace = tr.torch.trace(ConvNet(), IMAGES, loss=classified)
    for name in ("trace.json", "trace.npz"):
        trace.save(tmp_path / name)
        again = tr.Trace.load(tmp_path / name)
        assert str(again) == str(trace) and again.table("parameter") == trace.table("parameter")
        assert again["stem"].channels_first and again["stem"].channels == 8
        assert [n.params.keys() for n in again.nodes] == [n.params.keys() for n in trace.nodes]
    trace.export(tmp_path / "report.html")
    assert "blocks/2" in (tmp_path / "report.html").read_text()
    told = str(tr.compare(right=trace, missing=tr.torch.trace(ConvNet("missing"), IMAGES, loss=classified)))
    assert "only in right: blocks/2/add" in told


def test_notes_are_kept_by_files_and_shown_in_reports(tmp_path: Path) -> None:
    tokens = torch.arange(40).reshape(8, 5) % 7
    trace = tr.torch.trace(Recurrent(), tokens, loss=lambda y: y.square().mean())
    trace.save(tmp_path / "trace.json")
    assert tr.Trace.load(tmp_path / "trace.json").header.notes == trace.header.notes
    trace.export(tmp_path / "report.html")
    assert "lstm is a fused LSTM" in (tmp_path / "report.html").read_text()


class InPlace(nn.Module):
    """Functions in place on what Linear gives of three axes, which is a view."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(4, 16), nn.Linear(16, 4)
        self.in_place = in_place

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.output(nn.functional.relu(self.hidden(x), inplace=self.in_place))
        if self.in_place:
            y += x
            return y
        return y + x


def test_in_place_on_views_changes_no_number() -> None:
    x = torch.randn(3, 5, 4)
    nets = [nn.Sequential(InPlace(in_place), InPlace(in_place)) for in_place in (False, True)]
    nets[1].load_state_dict(nets[0].state_dict())
    a, b = (tr.torch.trace(net, x, loss=lambda y: y.square().mean()) for net in nets)
    assert [n.name for n in a.nodes] == [n.name for n in b.nodes] and b.audit().ok
    for one, other in zip(a.nodes, b.nodes, strict=True):
        assert (other.value_norm, other.grad_norm) == pytest.approx((one.value_norm, one.grad_norm), rel=1e-6)
        assert one.facts == other.facts
    for one, other in zip(a.blocks, b.blocks, strict=True):
        assert (other.skip, other.branch) == pytest.approx((one.skip, one.branch), abs=1e-6)


def test_by_ops_each_function_call_is_a_node() -> None:
    trace = tr.torch.trace(ConvNet(), IMAGES, loss=classified, level="op")
    assert trace.level == "op" and {"conv2d", "batch_norm", "relu", "add"} <= {n.op for n in trace.nodes}
    assert trace.audit().ok and len([b for b in trace.blocks if b.skip is not None]) == 5


class Named(nn.Module):
    """Called by names, as models of texts are."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, *, x: torch.Tensor, times: float = 1.0) -> dict[str, torch.Tensor]:
        return {"loss": (x + times * self.linear(x)).square().mean()}


def test_inputs_go_by_name_too() -> None:
    x = torch.randn(8, 4)
    trace = tr.torch.trace(Named(), x=x, times=2.0, loss=lambda given: given["loss"])
    assert trace.header.batch == 8 and trace.blocks[0].skip is not None and trace["input"].grad_norm > 0
    assert not tr.torch.lint(Named(), x=x, loss=lambda given: given["loss"])


def test_attention_that_is_masked_by_minus_infinity_is_not_broken() -> None:
    class Causal(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = torch.nn.Linear(8, 24)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            q, k, v = self.qkv(x).split(8, dim=2)
            left = torch.tril(torch.ones(5, 5)) == 0
            return x + (q @ k.transpose(1, 2)).masked_fill(left, float("-inf")).softmax(-1) @ v

    torch.manual_seed(0)
    net, x = Causal(), torch.randn(3, 5, 8)
    assert list(tr.torch.trace(net, x, loss=lambda y: (y**2).mean()).verdict()) == []
    assert len(tr.torch.lint(net, x, loss=lambda y: (y**2).mean())) == 0
