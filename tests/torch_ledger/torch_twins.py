"""The same nets in tinyres and in PyTorch, with the same weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

import tinyres as tr
from tinyres import layers


class Twins(NamedTuple):
    """A Model and a module of the same net and weights, layers by the same names, and one batch."""

    model: tr.Model
    module: nn.Module
    x: np.ndarray
    y: np.ndarray

    def traces(self, **options: Any) -> tuple[tr.Trace, tr.Trace]:
        """What tinyres measures on its own net, and on that of PyTorch."""
        mine = self.model.graph(self.x, self.y, loss=tr.losses.softmax_cross_entropy).trace()
        return mine, tr.torch.trace(self.module, given(self.x), loss=self.loss, **options)

    @property
    def loss(self) -> Callable[[torch.Tensor], torch.Tensor]:
        labels = torch.from_numpy(self.y)
        return lambda logits: functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))


def given(x: np.ndarray) -> torch.Tensor:
    """A batch as PyTorch takes it: images with their channels first."""
    return torch.from_numpy(x if x.ndim < 4 else np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def take_weights(model: tr.Model, module: nn.Module) -> None:
    """Give a module of the same names the weights of a Model, by a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        model.save_weights(path)
        found = load_file(path)
    wanted = {name for name in module.state_dict() if not name.endswith("num_batches_tracked")}
    assert set(found) == wanted, set(found) ^ wanted
    module.load_state_dict(found)


class Group(nn.Module):
    """A module that holds others by these names."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class ResidualMLP(nn.Module):
    """He 2015, of dense layers."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.dense, self.dense_1 = nn.Linear(units, units), nn.Linear(units, units)
        self.batch_normalization = nn.BatchNorm1d(units, eps=1e-3)
        self.batch_normalization_1 = nn.BatchNorm1d(units, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.batch_normalization(self.dense(x))
        return torch.relu(self.batch_normalization_1(self.dense_1(torch.relu(y))) + x)


class MLP(nn.Module):
    """Blocks between two Linear."""

    def __init__(self, blocks: int, units: int) -> None:
        super().__init__()
        self.inside, self.head = nn.Linear(64, units), nn.Linear(units, 10)
        self.names = [f"block{i}" for i in range(blocks)]
        for name in self.names:
            self.add_module(name, ResidualMLP(units))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.inside(x)
        for name in self.names:
            h = getattr(self, name)(h)
        return self.head(h)


def residual_mlp(blocks: int = 4, units: int = 16) -> Twins:
    (x, y), _ = tr.data.load_digits()
    inputs = tr.Input(shape=(64,))
    h = layers.Dense(units, name="inside")(inputs)
    for i in range(blocks):
        with tr.name_scope(f"block{i}"):
            h = layers.blocks.he2015(h, units)
    model = tr.Model(inputs, layers.Dense(10, name="head")(h))
    module = MLP(blocks, units)
    take_weights(model, module)
    return Twins(model, module, x[:64], y[:64])


class Basic(nn.Module):
    """The block of ResNet-20, all in place."""

    def __init__(self, inputs: int, filters: int, strides: int) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, filters, 3, strides, 1, bias=False)
        self.batch_normalization = nn.BatchNorm2d(filters)
        self.conv2d_1 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.batch_normalization_1 = nn.BatchNorm2d(filters)
        self.projects = strides > 1
        if self.projects:
            self.conv2d_2 = nn.Conv2d(inputs, filters, 1, strides, bias=False)
            self.batch_normalization_2 = nn.BatchNorm2d(filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.batch_normalization(self.conv2d(x)), inplace=True)
        y = self.batch_normalization_1(self.conv2d_1(y))
        y += self.batch_normalization_2(self.conv2d_2(x)) if self.projects else x
        return functional.relu_(y)


class ResNet20(nn.Module):
    """He et al. 2015 for small images."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = Group(
            conv2d=nn.Conv2d(3, width, 3, 1, 1, bias=False), batch_normalization=nn.BatchNorm2d(width)
        )  # fmt: skip
        for i in range(3):
            own = {
                f"block{j}": Basic(width * 2 ** (i - (i > 0 and j == 0)), width * 2**i, 2 if i and not j else 1)
                for j in range(3)
            }
            self.add_module(f"stage{i}", Group(**own))
        self.classes = nn.Linear(4 * width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.stem.batch_normalization(self.stem.conv2d(x)))
        for i in range(3):
            for block in getattr(self, f"stage{i}").children():
                h = block(h)
        return self.classes(h.mean((2, 3)))


def resnet20(width: int = 4) -> Twins:
    rng = np.random.default_rng(0)
    model = tr.applications.resnet(20, input_shape=(8, 8, 3), width=width, activation=None)
    module = ResNet20(width)
    take_weights(model, module)
    return Twins(model, module, rng.normal(size=(32, 8, 8, 3)).astype(np.float32), np.arange(32) % 10)


class TransformerBlock(nn.Module):
    """Pre-norm, causal."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp_hidden, self.mlp_output = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.attention_norm(x)
        later = torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1)
        x = x + self.attention(h, h, h, attn_mask=later, need_weights=False)[0]
        return x + self.mlp_output(functional.gelu(self.mlp_hidden(self.mlp_norm(x))))


class CharTransformer(nn.Module):
    """The demo's, of which the table is read both ways."""

    def __init__(self, vocabulary: int, context: int, blocks: int, heads: int, width: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        for i in range(blocks):
            self.add_module(f"block{i}", TransformerBlock(width, heads))
        self.count, self.final_norm = blocks, nn.LayerNorm(width)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        h = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        for i in range(self.count):
            h = getattr(self, f"block{i}")(h)
        return self.final_norm(h) @ self.tokens.weight.T


def transformer(vocabulary: int = 11, context: int = 8, blocks: int = 3, heads: int = 2, width: int = 16) -> Twins:
    rng = np.random.default_rng(0)
    model = tr.applications.gpt(vocabulary, context, blocks, heads, width, activation=None)
    module = CharTransformer(vocabulary, context, blocks, heads, width)
    take_weights(model, module)
    ids = rng.integers(0, vocabulary, size=(16, context + 1))
    return Twins(model, module, ids[:, :-1], ids[:, 1:])


class UNet(nn.Module):
    """Two levels, joined by cat."""

    def __init__(self) -> None:
        super().__init__()
        self.down0, self.down1 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.middle = nn.Conv2d(8, 8, 3, padding=1)
        self.up1, self.up0 = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(12, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = functional.relu(self.down0(x))
        b = functional.relu(self.down1(functional.max_pool2d(a, 2)))
        h = functional.relu(self.middle(functional.max_pool2d(b, 2)))
        h = functional.relu(self.up1(torch.cat([functional.interpolate(h, scale_factor=2.0), b], dim=1)))
        h = functional.relu(self.up0(torch.cat([functional.interpolate(h, scale_factor=2.0), a], dim=1)))
        return self.head(h.mean((2, 3)))


def unet() -> Twins:
    (x, y), _ = tr.data.load_digits()

    def conv(filters: int, name: str) -> layers.Layer:
        return layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)

    inputs = tr.Input(shape=(8, 8, 1))
    a = conv(4, "down0")(inputs)
    b = conv(8, "down1")(layers.MaxPooling2D()(a))
    h = conv(8, "middle")(layers.MaxPooling2D()(b))
    h = conv(8, "up1")(layers.Concatenate()([layers.UpSampling2D()(h), b]))
    h = conv(4, "up0")(layers.Concatenate()([layers.UpSampling2D()(h), a]))
    model = tr.Model(inputs, layers.Dense(10, name="head")(layers.GlobalAveragePooling2D()(h)))
    module = UNet()
    take_weights(model, module)
    return Twins(model, module, np.ascontiguousarray(x[:32].reshape(-1, 8, 8, 1)), y[:32])


TWINS: dict[str, Callable[[], Twins]] = {
    "residual MLP": residual_mlp,
    "ResNet-20": resnet20,
    "char-Transformer": transformer,
    "U-Net": unet,
}
