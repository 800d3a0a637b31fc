"""Nets as both exporters of PyTorch write them, TorchScript and Dynamo: the same outputs, blocks that a trace knows."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import FileError

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from exported_nets import Images  # noqa: E402
from torch import nn  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # exporters warn of themselves


class Dense(nn.Module):
    """Residual blocks with a LayerNorm that all share."""

    def __init__(self):
        super().__init__()
        self.stem, self.blocks = nn.Linear(8, 16), nn.ModuleList([nn.Linear(16, 16) for _ in range(2)])
        self.norm, self.answer = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        for block in self.blocks:
            x = x + torch.tanh(block(self.norm(x)))
        return self.answer(x)


class Tokens(nn.Module):
    """PyTorch's own Transformer."""

    def __init__(self):
        super().__init__()
        self.table, self.places = nn.Embedding(11, 16), nn.Parameter(torch.randn(6, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder, self.answer = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(16, 5)

    def forward(self, ids):
        return self.answer(self.encoder(self.table(ids) + self.places).mean(1))


class Characters(nn.Module):
    """Causal attention by hand, or by PyTorch's own function."""

    def __init__(self, own=False):
        super().__init__()
        self.own, self.table, self.places = own, nn.Embedding(11, 16), nn.Embedding(6, 16)
        self.qkv, self.project, self.norm1, self.norm2 = (
            nn.Linear(16, 48),
            nn.Linear(16, 16),
            nn.LayerNorm(16),
            nn.LayerNorm(16),
        )
        self.dense, self.answer = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16)), nn.Linear(16, 11)
        self.register_buffer("mask", torch.tril(torch.ones(6, 6)).view(1, 1, 6, 6))

    def forward(self, ids):
        batch, length = ids.shape
        x = self.table(ids) + self.places(torch.arange(length))
        heads = self.qkv(self.norm1(x)).split(16, dim=2)
        q, k, v = [t.view(batch, length, 2, 8).transpose(1, 2) for t in heads]
        if self.own:
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.transpose(-2, -1)) * 8**-0.5
            scores = scores.masked_fill(self.mask[:, :, :length, :length] == 0, float("-inf"))
            y = scores.softmax(-1) @ v
        x = x + self.project(y.transpose(1, 2).contiguous().view(batch, length, 16))
        return self.answer(x + self.dense(self.norm2(x)))


NETS = {
    "dense": (Dense, lambda n: torch.randn(n, 8)),
    "images": (Images, lambda n: torch.randn(n, 3, 12, 12)),
    "tokens": (Tokens, lambda n: torch.randint(0, 11, (n, 6))),
    "characters": (Characters, lambda n: torch.randint(0, 11, (n, 6))),
    "characters, fused": (lambda: Characters(own=True), lambda n: torch.randint(0, 11, (n, 6))),
}


def exported(net, x, path, by):
    """by: "TorchScript", or "Dynamo" with "plain" where nothing is fused."""
    if by == "TorchScript":
        kept = {"training": torch.onnx.TrainingMode.TRAINING, "do_constant_folding": False}
        torch.onnx.export(net, (x,), str(path), dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}}, **kept)
        return
    pytest.importorskip("onnxscript")
    with contextlib.redirect_stdout(io.StringIO()):  # it tells its progress
        torch.onnx.export(
            net,
            (x,),
            str(path),
            dynamo=True,
            optimize="plain" not in by,
            input_names=["x"],
            dynamic_shapes=({0: torch.export.Dim("n", min=2)},),
            verbose=False,
        )


@pytest.mark.parametrize("by", ["TorchScript", "Dynamo", "Dynamo, plain"])
@pytest.mark.parametrize("name", NETS)
def test_a_net_gives_what_it_gave_in_pytorch(name, by, tmp_path):
    make, data = NETS[name]
    torch.manual_seed(0)
    net = make()
    net(data(16))  # statistics of BatchNorm that are not those of a new net
    exported(net, data(4), tmp_path / "net.onnx", by)
    model, x = tr.onnx.load(tmp_path / "net.onnx"), data(7)
    with torch.no_grad():
        expected = net.eval()(x).numpy()
    np.testing.assert_allclose(model.predict(x.numpy()), expected, atol=1e-5)
    labels = np.arange(expected.size // expected.shape[-1]).reshape(expected.shape[:-1]) % 5
    trace = model.graph(x.numpy(), labels, tr.losses.softmax_cross_entropy).trace()
    assert trace.audit().ok
    joins = [fork for fork in trace.forks if {"skip", "branch"} <= {edge.kind for edge in fork.edges}]
    assert len(joins) >= 2
    kinds = {type(layer).__name__ for layer in model.named_layers().values()}
    assert ("BatchNormalization" in kinds) == (name == "images" and by != "Dynamo"), "an optimised graph has them fused"


@pytest.mark.parametrize("by", ["TorchScript", "Dynamo"])
def test_all_that_is_not_read_is_named_in_one_error(by, tmp_path):
    class Unread(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(4, 4, batch_first=True)

        def forward(self, x):
            return torch.linalg.det(self.lstm(x)[0]) + torch.nonzero(x).sum()

    exported(Unread().eval(), torch.randn(2, 4, 4), tmp_path / "net.onnx", by)
    with pytest.raises(FileError, match=r"the file has Det \(1\), LSTM \(1\), NonZero \(1\); known are Abs, "):
        tr.onnx.load(tmp_path / "net.onnx")
