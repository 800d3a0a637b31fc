"""Nets of images in every picture and measurement of the ledger, with the calls of dense nets."""

from __future__ import annotations

import pathlib
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import tinyres as tr
from tinyres import layers


def pictures(n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 8, 8, 3)).astype(np.float32), np.arange(n) % 10


def compiled(model: tr.Model) -> tr.Model:
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return model


def u_net() -> tr.Model:
    """Every other layer of images, with a way around the middle."""
    inputs = tr.Input((8, 8, 3))
    wide = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(8, 3, 2, "same", activation="relu")(wide)
    x = layers.SeparableConv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(4, 3, 2, "same", activation="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same")(layers.Concatenate()([x, wide]))
    x = layers.UpSampling2D()(layers.AveragePooling2D()(layers.MaxPooling2D()(x)))
    return tr.Model(inputs, layers.Dense(10, activation="softmax")(layers.GlobalMaxPooling2D()(x)))


def net(name: str) -> tr.Model:
    tr.manual_seed(0)
    if name == "u-net":
        return compiled(u_net())
    return compiled(tr.applications.resnet(20, 10, (8, 8, 3), version=int(name), width=4))


NETS = ("1", "2", "u-net")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("level", ["layer", "op"])
def test_the_full_audit_finds_all_in_order(name: str, level: str) -> None:
    trace = net(name).graph(*pictures()).trace(level=level, audit="full")
    assert trace.audit().ok, trace.audit().failures
    assert trace.audit().level == "full" and len(trace.nodes) > 12


@pytest.mark.parametrize("name", NETS)
def test_paths_sum_to_the_gradient(name: str) -> None:
    model = net(name)
    paths = model.graph(*pictures()).trace(paths=True).paths()
    assert sum(share for share in paths.shares if share is not None) == pytest.approx(1, abs=1e-4)
    assert len(paths.shares) == (1 if name == "u-net" else 10)  # a branch per block at most
    assert [over.name for over in paths.over] == (["across0", ""] if name == "u-net" else [])


@pytest.mark.parametrize("name", NETS)
def test_files_and_pictures(name: str, tmp_path: pathlib.Path) -> None:
    trace = net(name).graph(*pictures()).trace(paths=True, arrays=True)
    for suffix in ("npz", "csv", "svg", "html"):
        (trace.export if suffix in ("svg", "html") else trace.save)(tmp_path / f"t.{suffix}")
    again = tr.Trace.load(tmp_path / "t.npz")
    assert str(again) == str(trace)
    assert again.nodes[1].value.shape == (4, 8, 8, 4)
    drawn = ElementTree.parse(tmp_path / "t.svg").getroot()
    words = " ".join("".join(part.itertext()) for part in drawn.iter() if part.tag.endswith("text"))
    assert "block2" in words or name == "u-net"
    page = (tmp_path / "t.html").read_text()
    assert "Lint found nothing" in page and "nan" not in words


@pytest.mark.parametrize("kind", ["gradient", "share", "paths"])
def test_charts(kind: str) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    trace = net("1").graph(*pictures()).trace(paths=True)
    axes = trace.plot(kind, ax=figure.add_subplot())
    drawn = len(axes.patches) + sum(len(line.get_xdata()) for line in axes.lines)
    assert drawn >= 9  # one mark per block or length


@pytest.mark.slow
def test_two_nets_compared(tmp_path: pathlib.Path) -> None:
    model = net("1")
    x, y = pictures(32)
    plain = compiled(model.without_skips()).graph(x, y).trace()
    both = tr.compare(residual=model.graph(x, y).trace(), plain=plain)
    both.export(tmp_path / "both.html")
    both.export(tmp_path / "both.svg")
    assert "only in residual: stage0/block0/add" in str(both)
    assert "stage1/block0" in (tmp_path / "both.html").read_text()
