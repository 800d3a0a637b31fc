"""Whole nets: parameters as published, blocks in the trace, and ResNet-20 step for step as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError


def trained_parameters(model: tr.Model) -> int:
    return sum(w.size for w in model.trainable_weights)


@pytest.mark.parametrize(
    ("depth", "count"), [(20, 272_474), (32, 466_906), (44, 661_338), (56, 855_770), (18, 11_689_512)]
)
def test_residual_nets_have_the_published_parameters(depth: int, count: int) -> None:
    assert trained_parameters(tr.applications.resnet(depth)) == count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "depth", "count"),
    [
        ("resnet", 110, 1_730_714),
        ("resnet", 34, 21_797_672),
        ("resnet", 50, 25_557_032),
        ("resnet", 101, 44_549_160),
        ("resnet", 152, 60_192_808),
        ("vgg", 11, 132_863_336),
        ("vgg", 16, 138_357_544),
        ("vgg", 19, 143_667_240),
    ],
)
def test_large_nets_have_the_published_parameters(net: str, depth: int, count: int) -> None:
    assert trained_parameters(getattr(tr.applications, net)(depth)) == count


@pytest.mark.parametrize("version", [1, 2])
def test_every_block_of_a_residual_net_is_one_in_its_trace(version: int) -> None:
    model = tr.applications.resnet(20, input_shape=(8, 8, 3), width=4, version=version)
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    trace = model.graph(x, np.arange(4)).trace()
    assert trace.audit().ok
    names = [block.name for block in trace.blocks if block.name.startswith("stage")]
    assert names == [f"stage{i}/block{j}" for i in range(3) for j in range(3)]
    assert [edge.kind for edge in trace.fork("stage0/block1").edges].count("skip") == 1


def test_without_its_adds_it_is_a_plain_net() -> None:
    plain = tr.applications.resnet(20, residual=False)
    assert trained_parameters(plain) == 272_474 - (16 * 32 + 32 * 64 + 2 * 32 + 2 * 64)
    assert not any(type(layer).__name__ == "Add" for layer in plain.layers)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: tr.applications.resnet(21),
            "[resnet] the depth is one of 20, 32, 44, 56, 110, 18, 34, 50, 101, 152; got 21; choose one of them",
        ),
        (
            lambda: tr.applications.resnet(20, version=3),
            "[resnet] version is 1, or 2 for pre-activation; got 3; choose one of them",
        ),
        (lambda: tr.applications.vgg(12), "[vgg] the depth is one of 11, 13, 16, 19; got 12; choose one of them"),
    ],
)
def test_message(call: Any, message: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        call()
    assert str(raised.value) == message


class TorchResNet20:
    """ResNet-20 in PyTorch's functions, from the weights of ours, which come in the order of the layers."""

    def __init__(self, torch: Any, weights: dict[str, np.ndarray]) -> None:
        self.torch = torch
        self.weights = {
            name: torch.tensor(w.transpose(3, 2, 0, 1).copy() if w.ndim == 4 else w.copy(), requires_grad=True)
            for name, w in weights.items()
            if "moving" not in name
        }

    def __call__(self, x: Any) -> Any:
        functional, w = self.torch.nn.functional, self.weights

        def convolved(x: Any, name: str, stride: int = 1) -> Any:
            kernel = w[f"{name}/kernel"]
            return functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2)

        def normalised(x: Any, name: str) -> Any:
            gamma, beta = w[f"{name}/gamma"], w[f"{name}/beta"]
            return functional.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5)

        relu = self.torch.relu
        x = relu(normalised(convolved(x, "stem/conv2d"), "stem/batch_normalization"))
        for stage in range(3):
            for block in range(3):
                at, stride = f"stage{stage}/block{block}", 2 if stage and not block else 1
                y = relu(normalised(convolved(x, f"{at}/conv2d", stride), f"{at}/batch_normalization"))
                y = normalised(convolved(y, f"{at}/conv2d_1"), f"{at}/batch_normalization_1")
                if stride > 1:
                    x = normalised(convolved(x, f"{at}/conv2d_2", stride), f"{at}/batch_normalization_2")
                x = relu(y + x)
        return x.mean((2, 3)) @ w["classes/kernel"] + w["classes/bias"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "batch", "rate", "within"), [("float64", 4, 0.01, 1e-9), ("float32", 32, 1e-4, 1e-4)]
)
def test_resnet_20_trains_step_for_step_as_in_pytorch(dtype: str, batch: int, rate: float, within: float) -> None:
    """In float64 at a rate that learns at once; in float32 at one whose steps do not multiply what rounding did."""
    torch = pytest.importorskip("torch")
    model = tr.applications.resnet(20, activation=None, input_shape=(16, 16, 3)).astype(dtype)
    random = np.random.default_rng(0)
    x = random.normal(size=(batch, 16, 16, 3)).astype(dtype)
    y = random.integers(0, 10, batch)
    peer = TorchResNet20(torch, {name: p.numpy() for name, p in model.named_parameters().items()})
    ours = tr.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    theirs = torch.optim.SGD(peer.weights.values(), lr=rate, momentum=0.9)

    @tr.capture
    def step(x: tr.Tensor, y: tr.Tensor) -> tr.Tensor:
        ours.zero_grad()
        loss = tr.losses.softmax_cross_entropy(model(x, training=True), y)
        loss.backward()
        ours.step()
        return loss

    images, labels = torch.tensor(x.transpose(0, 3, 1, 2).copy()), torch.tensor(y)
    for _ in range(20):
        theirs.zero_grad()
        loss = torch.nn.functional.cross_entropy(peer(images), labels)
        loss.backward()
        theirs.step()
        assert float(step(tr.tensor(x, dtype=dtype), y)) == pytest.approx(loss.item(), abs=within)
