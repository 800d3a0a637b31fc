"""A net of the page as a program: it draws its weights, trains, predicts, and looks at its own gradient.

`train` runs the very same programs here; with TINYRES_ISA=generic it gives the losses of the page to the last bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinyres import kernels
from tinyres.backends.buffers import Buffer, Window
from tinyres.capture import capture
from tinyres.capture.export import exported
from tinyres.engine.backward import grad
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import Parameter, Tensor, tensor
from tinyres.kernels.dtypes import FLOAT32, FLOAT64
from tinyres.launch import launch
from tinyres.layers import losses
from tinyres.measure.graph import Graph
from tinyres.measure.layout import layout_of
from tinyres.ops.random import Generator
from tinyres.optim import SGD, Adam
from tinyres.optim.numbers import LR
from tinyres.play.drawing import draw
from tinyres.play.nets import Net
from tinyres.store.program_file import ProgramFile

__all__ = ["Net", "Recorded", "record", "train"]


class Recorded:
    """A described net and its captured steps.

    initialise(): draws the weights. step(x, y): trains on one batch and gives {"loss", "accuracy", "look"}.
    predict(predict_x): {"logits"}, at moving statistics. slope(predict_x): {"dy"}, of the first class' logit by the
    input.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self.model = net.build()
        self.generator = Generator(0)
        weights = self.model.parameters()
        self.optimizer = Adam(weights, lr=0.001) if net.optimizer == "adam" else SGD(weights, lr=0.01, momentum=0.9)
        self.initialise = capture(self._initialise)
        self.step = capture(self._step)
        self.predict = capture(self._predict)
        self.slope = capture(self._slope)

    @property
    def settings(self) -> dict[str, Tensor | Buffer]:
        """What is set and not learned: "lr", and of each block "block3/skip" λ and "block3/branch" α."""
        rate = Window(self.optimizer.hyper, LR * FLOAT64.itemsize, 1, FLOAT64)
        return {"lr": rate, **{name: _number(weight) for name, weight in self.strengths.items()}}

    @property
    def weights(self) -> dict[str, Parameter]:
        """What is learned, by name."""
        return {name: p for name, p in self.model.named_parameters().items() if p.requires_grad}

    @property
    def strengths(self) -> dict[str, Parameter]:
        """The factors of skips and branches, by name."""
        named = self.model.named_parameters().items()
        return {name.removesuffix("/scale"): p for name, p in named if name.endswith(("/skip/scale", "/branch/scale"))}

    def file(self) -> ProgramFile:
        """All of it, with the weights left out that `initialise` draws."""
        net = self.net
        x, y = np.zeros((net.batch, net.features), np.float32), np.zeros(net.batch, np.int64)
        step = self.step.record(x, y)
        programs = {
            "initialise": self.initialise.record(),
            "step": step,
            "predict": self.predict.record(x),
            "slope": self.slope.record(tensor(x, requires_grad=True)),
        }
        state: dict[str, Any] = {"generator": _numbers(self.generator.state)}
        state.update(self.weights)
        pages = [name for name in step.output_names if name.startswith("look/")]
        look, about = layout_of(step.result["look"], pages), dataclasses.asdict(net)
        return exported(programs, state, self.settings, first="initialise", about=about, look=look)

    def _initialise(self) -> None:
        draw(self.model.parameters(), self.generator)

    def _step(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        logits = self.model(x, training=True)
        loss = losses.softmax_cross_entropy(logits, y)
        look = Graph(loss).watch()
        self.optimizer.zero_grad()
        loss.backward()
        accuracy = Buffer(1, FLOAT32)
        launch(kernels.accuracy, (accuracy,), (logits.buffer, y.buffer), logits.shape)
        # What lasts is written behind the last value check: up to here a page can look without a step.
        launch(kernels.check_labels, (), (y.buffer,), (y.size, self.net.classes, 0))
        self.optimizer.step()
        return {"loss": loss, "accuracy": Tensor(accuracy, (), FLOAT32), "look": look}

    def _predict(self, predict_x: Tensor) -> dict[str, Any]:
        with no_grad():
            return {"logits": self.model(predict_x, training=False)}

    def _slope(self, predict_x: Tensor) -> dict[str, Any]:
        return {"dy": grad(self.model(predict_x, training=False)[:, 0].sum(), [predict_x])[0]}


def record(net: Net) -> bytes:
    """The file of this net, for `play/static/engine.mjs`.

    >>> record(Net(blocks=2, units=8))[1:4]
    b'TRP'
    """
    return Recorded(net).file().to_bytes()


def train(
    net: Net,
    x: Any,
    y: Any,
    steps: int,
    seed: int = 0,
    lr: float | None = None,
    strengths: Mapping[str, float] | None = None,
    recorded: Recorded | None = None,
) -> list[float]:
    """Train as the page does, and give the loss of each step.

    x: (samples, features). y: class numbers. Step s takes the rows (s · batch + r) mod samples. strengths: of skips and
    branches, such as {"block3/skip": 0.5}; 1 where none is given. recorded: what is trained, fresh; else a new one.

    >>> import tinyres as tr
    >>> (x, y), _ = tr.data.load_digits()
    >>> losses = train(Net(blocks=2, units=16), x, y, steps=20)
    >>> losses[-1] < losses[0]
    True
    """
    recorded = recorded or Recorded(net)
    x, y = np.asarray(x, np.float32), np.asarray(y, np.int64)
    recorded.generator.manual_seed(seed)
    if lr is not None:
        recorded.optimizer.lr = lr
    for name, strength in (strengths or {}).items():
        recorded.strengths[name].assign([strength])
    recorded.initialise()
    batches = (np.arange(s * net.batch, (s + 1) * net.batch) % len(x) for s in range(steps))
    return [float(recorded.step(x[rows], y[rows])["loss"]) for rows in batches]


def _number(weight: Parameter) -> Tensor:
    """The one number of a weight as a Tensor of no axes."""
    return Tensor(weight.buffer, (), weight.dtype)


def _numbers(buffer: Buffer) -> Tensor:
    return Tensor(buffer, (buffer.size,), buffer.dtype)
