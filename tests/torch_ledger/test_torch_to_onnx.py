"""From end to end: a ResNet-18 of torchvision that lacks one skip is named, imported, mended, trained and exported."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")
onnxruntime = pytest.importorskip("onnxruntime")

from torch_nets import torchvision  # noqa: E402

import tinyres as tr  # noqa: E402
from tinyres.trace.lint import Findings  # noqa: E402

LAYERS = {"conv2d": ("conv", "downsample.0"), "batch_normalization": ("bn", "downsample.1")}


def called(path: str) -> str:
    """What torchvision calls a layer of `tr.applications.resnet`."""
    if path == "classes":
        return "fc"
    scope, _, layer = path.rpartition("/")
    kind, _, number = layer.rpartition("_") if layer[-1].isdigit() and layer != "conv2d" else (layer, "", "0")
    name, projection = LAYERS[kind]
    if scope == "stem":
        return f"{name}1"
    stage, block = re.findall(r"\d+", scope)
    return f"layer{int(stage) + 1}.{block}." + (projection if number == "2" else f"{name}{int(number) + 1}")


def images(x: np.ndarray) -> np.ndarray:
    """Digits of 8 x 8 as images of 32 x 32 in three colours, channels last."""
    return np.repeat(np.kron(x.reshape(-1, 8, 8, 1), np.ones((1, 4, 4, 1), np.float32)), 3, axis=3)


def without_one_skip(block: torch.nn.Module) -> None:
    """Make a block of torchvision forget to add its input."""

    class Forgetful(type(block)):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv2(y)))

    block.__class__ = Forgetful


def broken(stage: int, block: int) -> tuple[torch.nn.Module, Findings]:
    """torchvision's ResNet-18 without one skip, and what lint says of it."""
    (x, y), _ = tr.data.load_digits()
    torch.manual_seed(0)
    net = torchvision().models.resnet18(num_classes=10)
    without_one_skip(getattr(net, f"layer{stage}")[block])
    batch, labels = torch.from_numpy(images(x[:32])).permute(0, 3, 1, 2), torch.from_numpy(y[:32])
    return net, tr.torch.lint(net, batch, loss=lambda logits: torch.nn.functional.cross_entropy(logits, labels))


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "block"), [(1, 0), (1, 1), (2, 1), (3, 1), (4, 1)])
def test_the_one_skip_that_is_missing_is_named(stage: int, block: int) -> None:
    _, (finding,) = broken(stage, block)
    assert (finding.rule, finding.node) == ("missing-skip", f"layer{stage}/{block}/bn2")
    assert f"7 of 8 blocks of this build have a skip, layer{stage}/{block} has none" in finding.problem


@pytest.mark.slow
def test_a_net_without_one_skip_is_mended_trained_and_exported(tmp_path: Path) -> None:
    (x, y), (x_test, y_test) = tr.data.load_digits()
    net, found = broken(3, 1)
    assert [finding.rule for finding in found] == ["missing-skip"]

    safetensors.save_file(net.state_dict(), tmp_path / "net.safetensors")
    model = tr.applications.resnet(18, classes=10, input_shape=(32, 32, 3), activation="softmax")  # with all its skips
    assert model.load_weights(tmp_path / "net.safetensors", names=called)
    model.compile(tr.optim.Adam(lr=0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images(x), y, batch_size=32, epochs=1, verbose=0)
    assert model.evaluate(images(x_test), y_test, verbose=0)[1] > 0.8

    tr.onnx.export(model, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    (answers,) = session.run(None, {given.name: images(x_test[:64])})
    np.testing.assert_allclose(answers, model.predict(images(x_test[:64])), rtol=1e-5, atol=1e-5)


def test_the_mended_net_is_that_of_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torchvision().models.resnet18(num_classes=10).eval()
    safetensors.save_file(net.state_dict(), tmp_path / "net.safetensors")
    model = tr.applications.resnet(18, classes=10, input_shape=(32, 32, 3), activation=None)
    model.load_weights(tmp_path / "net.safetensors", names=called)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    given = torch.from_numpy(x).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected, exact = net(given).numpy(), net.double()(given.double()).numpy()
    # In float32 both are as far from the exact outputs, 7e-7 of the largest; in float64 they are within 1e-12 of each.
    np.testing.assert_allclose(model.predict(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(model.astype("float64").predict(x.astype(np.float64)), exact, rtol=1e-10)
