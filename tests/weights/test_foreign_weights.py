"""Weights of PyTorch and of Keras: turned as their layers have them, told what matched, and never half taken over."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

from torch import nn  # noqa: E402

import tinyres as tr  # noqa: E402
from tinyres import layers  # noqa: E402
from tinyres.errors import ArgumentError, FileError, MissingExtraError  # noqa: E402

RNG = np.random.default_rng(0)
IMAGES, STEPS, ROWS = (2, 8, 8, 4), (2, 5, 4), (2, 4)


def first(x: Any) -> Any:
    """Channels last to channels first."""
    return x.movedim(-1, 1)


def last(x: Any) -> Any:
    return x.movedim(1, -1)


def of_images(module: nn.Module) -> Callable[[Any], Any]:
    return lambda x: last(module(first(x)))


class Separable(nn.Module):
    """Depthwise, then pointwise."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(4, 8, 3, groups=4, bias=False)
        self.pointwise = nn.Conv2d(8, 5, 1)

    def forward(self, x: Any) -> Any:
        return self.pointwise(self.depthwise(x))


def attention(module: nn.Module) -> Callable[[Any], Any]:
    return lambda x: module(x, x, x, need_weights=False)[0]


class Itself(layers.Layer):
    """Attention of a sequence to itself, by the names of the layer in it."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self.inner = layers.MultiHeadAttention(2, 2)

    def call(self, x: Any) -> Any:
        return self.inner(x, x)


KINDS: dict[str, tuple[Callable[[], Any], Callable[[], nn.Module], tuple[int, ...], Callable[..., Any]]] = {
    "Dense": (lambda: layers.Dense(3), lambda: nn.Linear(4, 3), ROWS, lambda m: m),
    "Dense without bias": (
        lambda: layers.Dense(3, use_bias=False), lambda: nn.Linear(4, 3, bias=False), ROWS, lambda m: m
    ),
    "Conv2D": (lambda: layers.Conv2D(5, (3, 2), strides=2), lambda: nn.Conv2d(4, 5, (3, 2), 2), IMAGES, of_images),
    "Conv2D of groups": (
        lambda: layers.Conv2D(6, 3, groups=2), lambda: nn.Conv2d(4, 6, 3, groups=2), IMAGES, of_images
    ),
    "Conv1D": (lambda: layers.Conv1D(5, 3), lambda: nn.Conv1d(4, 5, 3), STEPS, of_images),
    "Conv2DTranspose": (
        lambda: layers.Conv2DTranspose(5, 2, strides=2), lambda: nn.ConvTranspose2d(4, 5, 2, 2), IMAGES, of_images
    ),
    "DepthwiseConv2D": (
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), lambda: nn.Conv2d(4, 8, 3, groups=4), IMAGES, of_images
    ),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(5, 3, depth_multiplier=2), Separable, IMAGES, of_images),
    "BatchNorm": (lambda: layers.BatchNorm(epsilon=1e-5), lambda: nn.BatchNorm2d(4), IMAGES, of_images),
    "LayerNormalization": (
        lambda: layers.LayerNormalization(epsilon=1e-5), lambda: nn.LayerNorm(4), STEPS, lambda m: m
    ),
    "RMSNormalization": (
        lambda: layers.RMSNormalization(epsilon=1e-6), lambda: nn.RMSNorm(4, eps=1e-6), STEPS, lambda m: m
    ),
    "GroupNormalization": (
        lambda: layers.GroupNormalization(2, epsilon=1e-5), lambda: nn.GroupNorm(2, 4), IMAGES, of_images
    ),
    "PReLU": (lambda: layers.PReLU(), lambda: nn.PReLU(4), ROWS, lambda m: m),
    "MultiHeadAttention": (Itself, lambda: nn.MultiheadAttention(4, 2, batch_first=True), STEPS, attention),
}  # fmt: skip


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand_like(value) + 0.1)
    return module.eval()


def built(layer: Any, shape: tuple[int, ...]) -> tr.Sequential:
    return tr.Sequential([tr.Input(shape=shape[1:]), layer])


def floats(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in module.state_dict().items() if value.is_floating_point()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_pytorch_comes_over_and_goes_back(kind: str, tmp_path: Path) -> None:
    make, other, shape, adapted = KINDS[kind]
    module = randomised(other())
    safetensors.save_file(module.state_dict(), tmp_path / "there.safetensors")
    model = built(make(), shape)
    loaded = model.load_weights(tmp_path / "there.safetensors", names=lambda path: "")
    assert loaded and len(loaded.matched) == len(model.weights) and not loaded.unused
    x = RNG.normal(size=shape).astype(np.float32)
    with torch.no_grad():
        expected = adapted(module)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-5)
    model.save_weights(tmp_path / "back.safetensors", names=lambda path: "")
    back = safetensors.load_file(tmp_path / "back.safetensors")
    assert {name: value.numpy().tobytes() for name, value in back.items()} == {
        name: value.numpy().tobytes() for name, value in floats(module).items()
    }


def test_an_embedding_comes_over(tmp_path: Path) -> None:
    module = randomised(nn.Embedding(7, 3))
    safetensors.save_file(module.state_dict(), tmp_path / "e.safetensors")
    model = tr.Sequential([tr.Input(shape=(4,), dtype="int64"), layers.Embedding(7, 3, name="table")])
    model.load_weights(tmp_path / "e.safetensors", names={"table": ""})
    ids = np.array([[1, 6, 0, 2]])
    np.testing.assert_array_equal(model.predict(ids), module(torch.from_numpy(ids)).detach().numpy())


def test_attention_over_keys_of_another_width_has_weights_of_their_own(tmp_path: Path) -> None:
    module = randomised(nn.MultiheadAttention(4, 2, kdim=3, vdim=3, batch_first=True))
    safetensors.save_file(module.state_dict(), tmp_path / "a.safetensors")
    queries, keys = tr.Input(shape=(5, 4)), tr.Input(shape=(6, 3))
    model = tr.Model([queries, keys], layers.MultiHeadAttention(2, 2, name="a")(queries, keys))
    model.load_weights(tmp_path / "a.safetensors", names={"a": ""})
    q, k = (RNG.normal(size=s).astype(np.float32) for s in ((2, 5, 4), (2, 6, 3)))
    with torch.no_grad():
        expected = module(torch.from_numpy(q), torch.from_numpy(k), torch.from_numpy(k))[0].numpy()
    np.testing.assert_allclose(model.predict([q, k]), expected, rtol=1e-5, atol=1e-5)


def net(units: int = 3) -> tr.Model:
    inputs = tr.Input(shape=(4,))
    with tr.name_scope("block0"):
        x = layers.Dense(units, name="dense")(inputs)
    return tr.Model(inputs, layers.Dense(2, name="head")(x))


def test_weights_go_by_the_paths_of_layers_with_dots(tmp_path: Path) -> None:
    net().save_weights(tmp_path / "w.safetensors")
    assert sorted(safetensors.load_file(tmp_path / "w.safetensors")) == [
        "block0.dense.bias", "block0.dense.weight", "head.bias", "head.weight"
    ]  # fmt: skip


def test_what_does_not_fit_is_told_and_nothing_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    there = {
        "block0.dense.weight": torch.ones(3, 4), "head.weight": torch.ones(2, 5), "head.bias": torch.ones(2),
        "other": torch.ones(1),
    }  # fmt: skip
    safetensors.save_file(there, path)
    model = net()
    before = model.get_weights()
    with pytest.raises(FileError) as caught:
        model.load_weights(path)
    assert str(caught.value) == (
        f"[load_weights] the file must be of the same architecture; of {path}, 2 weights matched; 1 are not in the "
        "file: block0/dense/bias; 1 have another shape: head/kernel must be (2, 3) there and is (2, 5); 1 of the file "
        "are not used: other; build the model as the other was, say by names= what its layers are called there, or "
        "take over what fits: strict=False"
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    loaded = model.load_weights(path, strict=False)
    assert not loaded and loaded.matched == ("block0/dense/kernel", "head/bias")
    assert loaded.missing == ("block0/dense/bias",) and loaded.unused == ("other",)
    assert loaded.reshaped == (("head/kernel", (2, 3), (2, 5)),)
    assert np.array_equal(model.get_layer("dense").kernel, np.ones((4, 3)))


def test_a_file_of_which_nothing_matches_is_refused(tmp_path: Path) -> None:
    safetensors.save_file({"other": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(FileError, match="0 weights matched; 4 are not in the file"):
        net().load_weights(tmp_path / "w.safetensors", strict=False)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_other_floats_are_read_as_those_of_the_model(kind: str, tmp_path: Path) -> None:
    there = {name: (torch.rand(*value.shape)).to(getattr(torch, kind)) for name, value in _state().items()}
    safetensors.save_file(there, tmp_path / "w.safetensors")
    model = net()
    model.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(model.get_layer("head").bias, there["head.bias"].float().numpy())


def _state() -> dict[str, Any]:
    return {
        "block0.dense.weight": torch.ones(3, 4), "block0.dense.bias": torch.ones(3),
        "head.weight": torch.ones(2, 3), "head.bias": torch.ones(2),
    }  # fmt: skip


def _header(entries: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


HOSTILE = {
    "empty": b"",
    "a length beyond memory": _header({}, length=1 << 62),
    "a shape beyond memory": _header(
        {"head.bias": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 8]}}, b"8" * 8
    ),
    "offsets beyond the end": _header(
        {"head.bias": {"dtype": "F32", "shape": [2], "data_offsets": [0, 800]}}, b"8" * 8
    ),
    "a negative shape": _header({"head.bias": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, b"8" * 8),
    "no JSON": struct.pack("<Q", 4) + b"####",
    "an unknown dtype": _header({"head.bias": {"dtype": "X9", "shape": [2], "data_offsets": [0, 8]}}, b"8" * 8),
    "not floats": _header({"head.bias": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}, b"8" * 8),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("suffix", [".safetensors", ".weights.h5", ".keras"])
def test_strange_bytes_end_in_an_error_and_change_nothing(what: str, suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    path = tmp_path / f"w{suffix}"
    path.write_bytes(HOSTILE[what])
    model = net()
    before = model.get_weights()
    with pytest.raises(FileError, match=r"\[load_weights\]"):
        model.load_weights(path)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_files_of_keras_that_lead_elsewhere_or_claim_too_much_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "w.weights.h5"
    model = tr.Sequential([tr.Input(shape=(4,)), layers.Dense(3)])
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/1"] = np.ones(3, np.float32)
        file["layers/dense/vars"]["0"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(FileError, match="layers/dense/vars/0 is a link"):
        model.load_weights(path)
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(50):  # 2^50 paths
            group["b"] = inner = group.create_group("a")
            group = inner
    with pytest.raises(FileError, match="a second way leads to a/a/a/.*/b"):
        model.load_weights(path)
    with h5py.File(path, "w") as file:
        file.create_group("layers/" * 100)
    with pytest.raises(FileError, match="its groups are more than 64 deep"):
        model.load_weights(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/dense/vars/0", (1 << 30, 1 << 30), np.float32, chunks=(1, 1))
    with pytest.raises(FileError, match=r"must be \(4, 3\) there and is \(1073741824, 1073741824\)"):
        model.load_weights(path)
    with h5py.File(path, "w") as file:
        raw = [(str(tmp_path / "raw"), 0, 48)]
        file.create_dataset("layers/dense/vars/0", (4, 3), np.float32, external=raw)
    with pytest.raises(FileError, match="stands in another file"):
        model.load_weights(path)
    packed = tmp_path / "w.keras"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(1 << 27))
    with pytest.raises(FileError, match="would unpack to 134217728"):
        model.load_weights(packed)


def test_names_and_missing_libraries_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    with pytest.raises(ArgumentError, match=r"\[load_weights\] names are for safetensors files"):
        model.load_weights(tmp_path / "w.keras", names={})
    with pytest.raises(ArgumentError, match=r"\[load_weights\] a model has weights once it is built"):
        tr.Sequential([layers.Dense(1)]).load_weights(tmp_path / "w.safetensors")
    with pytest.raises(FileError, match="ends in .npz or .safetensors or .h5 or .keras; .* in PyTorch, safetensors"):
        model.load_weights(tmp_path / "w.pt")
    with pytest.raises(FileError, match="build the model, then call its load_weights"):
        tr.load(tmp_path / "w.safetensors")
    for wrong, said in ((["head"], "names is a dict or a function"), (lambda path: None, "a name is a string")):
        with pytest.raises(ArgumentError, match=said):
            model.save_weights(tmp_path / "w.safetensors", names=wrong)
    with pytest.raises(ArgumentError, match="got 'same.weight' for head/kernel and another"):
        model.save_weights(tmp_path / "w.safetensors", names=lambda path: "same")
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tinyres\[weights\]'"):
        model.save_weights(tmp_path / "w.safetensors")
    assert not os.listdir(tmp_path)
