"""U-Nets: their forms, what a trace sees of the skips across, and PyTorch's losses from the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"skips": "add"},
        {"skips": None, "residual": False},
        {"blocks": 2, "outputs": 3},
        {"widths": (8, 12, 16), "attention": (1, 2), "heads": 2},
        {"widths": (6,)},
    ],
)
def test_a_u_net_gives_images_of_the_size_it_takes(options: dict[str, Any]) -> None:
    model = tr.applications.unet((8, 12, 1), **{"widths": (8, 16), **options})
    y = model(RNG.random((2, 8, 12, 1)))
    assert y.shape == (2, 8, 12, options.get("outputs", 1))
    joins = [layer.name for layer in model.layers if layer.name.endswith("join")]
    assert len(joins) == (0 if options.get("skips", "") is None else len(options.get("widths", (8, 16))))


def test_time_and_classes_reach_every_block_and_a_file_keeps_them(tmp_path: Path) -> None:
    model = tr.applications.unet((8, 8, 1), widths=(8, 16), time=True, classes=3)
    x = [RNG.random((2, 8, 8, 1)), np.array([3.0, 700.0]), np.array([0, 3])]
    first = model.predict(x)
    assert not np.allclose(first, model.predict([x[0], x[1] + 50, x[2]]))
    assert not np.allclose(first, model.predict([x[0], x[1], np.array([1, 2])]))
    model.save(tmp_path / "unet.npz")
    assert np.array_equal(tr.load(tmp_path / "unet.npz").predict(x), first)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"input_shape": (28, 30, 1), "widths": (4, 8, 8)}, "multiples of 4; got 28 x 30"),
        ({"input_shape": (None, None, 1)}, r"an image is \(height, width, channels\); got"),
        ({"skips": "concat"}, "skips are one of 'concatenate', 'add', None; got 'concat'"),
        ({"widths": ()}, "widths are counts of filters"),
        ({"attention": (2,)}, "attention names levels from 0 to 1; got 2"),
    ],
)
def test_forms_that_do_not_fit(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=rf"\[unet\] .*{words}"):
        tr.applications.unet(**arguments)


@pytest.mark.slow
@pytest.mark.parametrize("skips", ["concatenate", "add"])
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_skips_across_are_skips_of_the_trace(levels: int, skips: str) -> None:
    """At 4 levels the lowest has one pixel: a group of one number was 0, and nothing passed the middle."""
    tr.manual_seed(0)
    model = tr.applications.unet((8, 8, 1), widths=(8, 16, 16, 16)[:levels], skips=skips)
    x = RNG.normal(size=(4, 8, 8, 1))
    trace = model.graph(x, x, loss="mse").trace(audit="full")
    assert trace.audit().ok
    for level in range(levels):
        join = next(edge for edge in trace.edges if edge.dst == f"up{level}/join" and edge.kind == "skip")
        assert join.src.startswith(f"down{level}/") and 0 < join.grad_norm
    assert not list(model.graph(x, x, loss="mse").lint())


@pytest.mark.slow
def test_twenty_steps_give_the_losses_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    tr.manual_seed(1)
    model = tr.applications.unet((8, 8, 1), widths=(8, 16), time=True, groups=4)
    weights = {name: p.numpy() for name, p in model.named_parameters().items()}
    mirror = {name: torch.tensor(w, requires_grad=True) for name, w in weights.items()}
    x, t, y = RNG.normal(size=(16, 8, 8, 1)), np.arange(16) * 50.0, RNG.normal(size=(16, 8, 8, 1))

    def conv(name: str, images: Any, stride: int = 1) -> Any:
        kernel = mirror[f"{name}/kernel"].permute(3, 2, 0, 1)
        return functional.conv2d(images, kernel, mirror[f"{name}/bias"], stride, kernel.shape[-1] // 2)

    def dense(name: str, values: Any) -> Any:
        return values @ mirror[f"{name}/kernel"] + mirror[f"{name}/bias"]

    def normalised(name: str, images: Any) -> Any:
        gamma, beta = mirror[f"{name}/gamma"], mirror[f"{name}/beta"]
        return functional.silu(functional.group_norm(images, 4, gamma, beta, 1e-5))

    def block(scope: str, images: Any, told: Any) -> Any:
        a, b = f"{scope}/conv2d", f"{scope}/conv2d_1"
        z = conv(a, normalised(f"{scope}/group_normalization", images)) + dense(f"{scope}/dense", told)[..., None, None]
        z = conv(b, normalised(f"{scope}/group_normalization_1", z))
        return z + (conv(f"{scope}/conv2d_2", images) if f"{scope}/conv2d_2/kernel" in mirror else images)

    def forward() -> Any:
        rates = 10000 ** (-np.arange(4) / 4)
        waves = torch.tensor(np.concatenate([np.sin(t[:, None] * rates), np.cos(t[:, None] * rates)], 1)).float()
        told = functional.silu(dense("condition_dense", functional.silu(dense("time_hidden", waves))))
        z = conv("stem", torch.tensor(x).float().permute(0, 3, 1, 2))
        z = fine = block("down0", z, told)
        z = coarse = block("down1", conv("down1/halve", z, 2), told)
        z = block("middle", z, told)
        z = block("up1", torch.cat([z, coarse], 1), told)
        z = block("up0", torch.cat([functional.interpolate(z, scale_factor=2), fine], 1), told)
        return conv("head", normalised("group_normalization", z)).permute(0, 2, 3, 1)

    optimizer = torch.optim.Adam(mirror.values(), lr=1e-3, eps=1e-7)
    expected = []
    for _ in range(20):
        loss = ((forward() - torch.tensor(y).float()) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    model.compile(tr.optim.Adam(lr=1e-3, epsilon=1e-7), "mse")
    found = [model.train_on_batch([x, t], y) for _ in range(20)]
    assert np.allclose(found, expected, rtol=1e-4), (found, expected)
