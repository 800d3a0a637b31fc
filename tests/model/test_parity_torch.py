"""The tutorial's residual block and PyTorch's: the same outputs, gradients and statistics for five training steps."""

import numpy as np
import pytest
from small_models import residual_block

import tinyres as tr
from tinyres import layers, losses
from tinyres.model import Model

torch = pytest.importorskip("torch")

BATCH, UNITS, CLASSES, STEPS = 24, 16, 5, 5
MOMENTUM, EPSILON, RATE = 0.99, 1e-3, 0.1


def tinyres_net(dtype):
    inputs = layers.Input(shape=(UNITS,))
    model = Model(inputs, layers.Dense(CLASSES, activation="softmax")(residual_block(inputs, UNITS)))
    return model.astype(dtype)


class TorchNet(torch.nn.Module):
    """The same block; PyTorch counts the momentum of BatchNorm from the other end."""

    def __init__(self):
        super().__init__()
        self.dense = torch.nn.Linear(UNITS, UNITS)
        self.batch_normalization = torch.nn.BatchNorm1d(UNITS, eps=EPSILON, momentum=1 - MOMENTUM)
        self.dense_1 = torch.nn.Linear(UNITS, UNITS)
        self.batch_normalization_1 = torch.nn.BatchNorm1d(UNITS, eps=EPSILON, momentum=1 - MOMENTUM)
        self.dense_2 = torch.nn.Linear(UNITS, CLASSES)

    def forward(self, x):
        y = self.batch_normalization(torch.relu(self.dense(x)))
        y = self.batch_normalization_1(self.dense_1(y))
        return self.dense_2(torch.relu(y + x))

    def counterpart(self, name):
        """The parameter that tinyres calls `name`, in its layout."""
        layer, _, leaf = name.partition("/")
        module = getattr(self, layer)
        return {
            "kernel": lambda: module.weight.T,
            "bias": lambda: module.bias,
            "gamma": lambda: module.weight,
            "beta": lambda: module.bias,
        }[leaf]()

    def gradient(self, name):
        """∂loss/∂(the parameter that tinyres calls `name`)."""
        layer, _, leaf = name.partition("/")
        module = getattr(self, layer)
        gradient = module.weight.grad if leaf in ("kernel", "gamma") else module.bias.grad
        return (gradient.T if leaf == "kernel" else gradient).numpy()


def biased(running_variance, step):
    """Keras' moving variance out of PyTorch's, whose batch variances are n / (n - 1) times as large."""
    start = MOMENTUM**step
    return start + (running_variance - start) * (BATCH - 1) / BATCH


@pytest.mark.slow
@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-4), ("float64", 1e-10)])
def test_residual_block_trains_as_in_pytorch(dtype, tolerance):
    tr.manual_seed(0)
    model = tinyres_net(dtype)
    peer = TorchNet().to(getattr(torch, dtype))
    with torch.no_grad():
        for name, parameter in model.named_parameters().items():
            peer.counterpart(name).copy_(torch.from_numpy(parameter.numpy()))
    loss_of, on_logits = losses.for_model("sparse_categorical_crossentropy", model)
    assert on_logits
    optimizer = tr.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
    peer_optimizer = torch.optim.SGD(peer.parameters(), lr=RATE, momentum=0.9)
    random = np.random.default_rng(0)

    def agree(ours, theirs, what):
        scale = max(np.abs(theirs).max(), 1e-3)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale, err_msg=what)

    for step in range(1, STEPS + 1):
        x = random.standard_normal((BATCH, UNITS)).astype(dtype)
        labels = random.integers(0, CLASSES, BATCH)
        logits = model(x, training=True, logits=True)
        loss = loss_of(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        peer_logits = peer(torch.from_numpy(x))
        peer_loss = torch.nn.functional.cross_entropy(peer_logits, torch.from_numpy(labels))
        peer_optimizer.zero_grad()
        peer_loss.backward()

        agree(logits.numpy(), peer_logits.detach().numpy(), f"logits in step {step}")
        agree(loss.item(), peer_loss.item(), f"loss in step {step}")
        for name, parameter in model.named_parameters().items():
            agree(parameter.grad.numpy(), peer.gradient(name), f"gradient of {name} in step {step}")
        for name in ("batch_normalization", "batch_normalization_1"):
            layer, module = model.get_layer(name), getattr(peer, name)
            agree(layer.moving_mean.numpy(), module.running_mean.numpy(), f"mean of {name} in step {step}")
            variance = biased(module.running_var.numpy(), step)
            agree(layer.moving_variance.numpy(), variance, f"variance of {name} in step {step}")

        optimizer.step()
        peer_optimizer.step()
        for name, parameter in model.named_parameters().items():
            agree(parameter.numpy(), peer.counterpart(name).detach().numpy(), f"{name} after step {step}")

    peer.eval()
    with torch.no_grad():
        for name in ("batch_normalization", "batch_normalization_1"):
            module = getattr(peer, name)
            module.running_var.copy_(torch.from_numpy(biased(module.running_var.numpy(), STEPS)))
        probabilities = torch.softmax(peer(torch.from_numpy(x)), dim=1).numpy()
    agree(model(x).numpy(), probabilities, "inference")
