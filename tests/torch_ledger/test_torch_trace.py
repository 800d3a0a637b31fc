"""The ledger of PyTorch's modules: the numbers of tinyres' own nets, and no mark left on the module."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from torch_twins import TWINS, given, residual_mlp  # noqa: E402

import tinyres as tr  # noqa: E402
from tinyres.errors import ArgumentError, ShapeError, TraceError  # noqa: E402


@pytest.mark.parametrize("name", TWINS)
def test_a_net_has_the_numbers_of_its_twin(name: str) -> None:
    torch.manual_seed(0)
    mine, theirs = TWINS[name]().traces()
    assert theirs.loss == pytest.approx(mine.loss, rel=1e-6)
    assert theirs.audit().ok
    assert [(len(b.parts), b.fork is None, b.across) for b in theirs.blocks] == [
        (len(b.parts), b.fork is None, b.across) for b in mine.blocks
    ]
    assert any(b.skip is not None for b in mine.parts)
    for a, b in zip(mine.parts, theirs.parts, strict=True):
        assert (b.grad_norm, b.x_norm) == pytest.approx((a.grad_norm, a.x_norm), rel=1e-6)
        assert (b.skip is None, b.strength is None) == (a.skip is None, a.strength is None)
        assert b.strength is None or b.strength == pytest.approx(a.strength, rel=1e-6)
        assert b.skip is None or (b.skip, b.branch) == pytest.approx((a.skip, a.branch), abs=1e-6)
    common = [p for p in mine.parameters if p.name.rpartition("/")[2] in ("gamma", "beta", "bias")]
    names = {"gamma": "weight", "beta": "bias", "bias": "bias"}
    assert len(common) > 1
    for p in common:
        layer, _, leaf = p.name.rpartition("/")
        if not layer.endswith("attention"):
            other = theirs[f"{layer}/{names[leaf]}"]
            assert other.grad_norm == pytest.approx(p.grad_norm, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["residual MLP", "ResNet-20"])
def test_a_net_is_judged_as_its_twin(name: str) -> None:
    mine, theirs = TWINS[name]().traces()
    assert str(theirs.verdict()) == str(mine.verdict())


def test_a_trace_leaves_the_module_as_it_was() -> None:
    twins = residual_mlp()
    module = twins.module
    module.inside.weight.requires_grad_(False)
    module.block1.dense.weight.grad = torch.ones_like(module.block1.dense.weight)
    x = torch.from_numpy(twins.x)
    before = copy.deepcopy(module.state_dict())
    generator = torch.get_rng_state()
    twins.traces()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert [n for n, p in module.named_parameters() if not p.requires_grad] == ["inside.weight"]
    assert [n for n, p in module.named_parameters() if p.grad is not None] == ["block1.dense.weight"]
    assert torch.equal(module.block1.dense.weight.grad, torch.ones_like(module.block1.dense.weight))
    assert not x.requires_grad and x.grad is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_what_is_frozen_is_told_and_measured() -> None:
    twins = residual_mlp()
    twins.module.inside.weight.requires_grad_(False)
    _, trace = twins.traces()
    assert not trace["inside/weight"].trainable and trace["inside/weight"].grad_norm > 0
    assert trace["inside/bias"].trainable


def test_errors_say_what_to_pass() -> None:
    net, x = torch.nn.Linear(2, 3), torch.ones(4, 2)
    with pytest.raises(ArgumentError, match=r"\[torch\] what is traced is a torch.nn.Module; got Tensor"):
        tr.torch.trace(x, x)
    with pytest.raises(ShapeError, match=r"\[torch\] a trace ends in one number; the module returns shape \(4, 3\)"):
        tr.torch.trace(net, x)
    with pytest.raises(ArgumentError, match=r"\[torch\] a trace ends in a loss; loss gives float"):
        tr.torch.trace(net, x, loss=lambda y: y.sum().item())
    with pytest.raises(TraceError, match=r"\[torch\] the loss must come from what has a gradient"):
        tr.torch.trace(net, x, loss=lambda y: y.detach().sum())
    with pytest.raises(ArgumentError, match=r'\[trace\] a level is "layer" or "op"'):
        tr.torch.trace(net, x, loss=torch.sum, level="block")
    with pytest.raises(ArgumentError, match=r"\[trace\] of a module of PyTorch sums are audited; got audit='full'"):
        tr.torch.trace(net, x, loss=torch.sum, audit="full")
    for wrong in ("mse", torch.nn.MSELoss(), net(x).sum()):
        with pytest.raises(ArgumentError, match=rf"\[torch\] loss is a function .* got {type(wrong).__name__}; write"):
            tr.torch.trace(net, x, loss=wrong)
    with pytest.raises(ArgumentError, match=r"\[torch\] a trace ends in a real number; loss gives one of complex64"):
        tr.torch.trace(net, x, loss=lambda y: torch.fft.fft(y).sum())


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_scripted_module_is_refused() -> None:
    scripted = torch.jit.script(torch.nn.Linear(4, 3))
    with pytest.raises(ArgumentError, match=r"\[torch\] a module is seen at work by hooks"):
        tr.torch.trace(torch.nn.Sequential(scripted), torch.ones(2, 4), loss=torch.sum)


def test_a_trace_within_inference_mode_is_that_of_before() -> None:
    net, x = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh()), torch.ones(2, 4)
    expected = tr.torch.trace(net, x, loss=torch.sum)
    with torch.inference_mode():
        found = tr.torch.trace(net, x * 1.0, loss=torch.sum)
        assert torch.is_inference_mode_enabled()
    assert [n.grad_norm for n in found.nodes] == [n.grad_norm for n in expected.nodes]


def test_tinyres_does_not_load_pytorch_and_says_where_it_is_missing() -> None:
    program = """
import sys
import tinyres as tr
assert "torch" not in sys.modules
sys.modules["torch"] = None
try:
    tr.torch
except tr.errors.MissingExtraError as error:
    print(error)
"""
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed == (
        "[torch] a module of PyTorch is traced by PyTorch, which is not installed; got import tinyres.torch; "
        "run: python3 -m pip install 'tinyres[torch]'\n"
    )


@pytest.mark.parametrize("name", TWINS)
def test_the_weights_of_a_net_give_the_outputs_of_its_twin(name: str) -> None:
    twins = TWINS[name]()
    with torch.no_grad():
        expected = twins.module.eval()(given(twins.x)).numpy()
    np.testing.assert_allclose(twins.model.predict(twins.x), expected, rtol=1e-5, atol=1e-5)
