"""Layers that add noise: to make a net robust, and to teach one to take it away again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyres import ops
from tinyres.engine.tensor import Tensor, tensor
from tinyres.errors import ArgumentError, ShapeError
from tinyres.layers.drawing import Drawing, checked_rate
from tinyres.nn.layer import SingleInput

SCHEDULES = ("linear", "cosine")
PREDICTIONS = ("noise", "velocity")
MOST_STEPS = 1 << 20  # of a schedule, which is made whole; a file may ask for any number


class GaussianNoise(Drawing, SingleInput):
    """In training x plus normal noise; else x.

    stddev: of the noise, at least 0. seed: for a generator of its own; default: the library's, `tr.manual_seed`.
    Raises ArgumentError for another stddev.

    >>> import tinyres as tr
    >>> tr.layers.GaussianNoise(0.1)(tr.tensor([1.0, 2.0]))
    Tensor([1., 2.], shape=(2,), dtype=float32)
    """

    def __init__(self, stddev: float, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(seed, name)
        if isinstance(stddev, bool) or not isinstance(stddev, (int, float)) or not 0.0 <= stddev < math.inf:
            raise ArgumentError(f"[GaussianNoise] stddev is a number from 0 on; got {stddev!r}; choose one")
        self.stddev = float(stddev)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """x, in training with noise."""
        if not training or self.stddev == 0.0:
            return x
        return x + ops.randn(x.shape, generator=self._source, dtype=x.dtype) * self.stddev


class GaussianDropout(Drawing, SingleInput):
    """In training x times normal noise of mean 1, whose variance is that of Dropout, rate / (1 - rate); else x.

    rate: from 0 on, below 1. seed: for a generator of its own; default: the library's, `tr.manual_seed`.
    Raises ArgumentError for another rate. Srivastava et al., Dropout, JMLR 2014, section 10.

    >>> import tinyres as tr
    >>> tr.layers.GaussianDropout(0.5)(tr.tensor([1.0, 2.0]))
    Tensor([1., 2.], shape=(2,), dtype=float32)
    """

    def __init__(self, rate: float, seed: int | None = None, name: str | None = None) -> None:
        super().__init__(seed, name)
        self.rate = checked_rate("GaussianDropout", rate)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """x, in training with noise."""
        if not training or self.rate == 0.0:
            return x
        stddev = math.sqrt(self.rate / (1.0 - self.rate))
        return x * (ops.randn(x.shape, generator=self._source, dtype=x.dtype) * stddev + 1.0)


def signal_shares(schedule: str, steps: int) -> np.ndarray:
    """How much of an image's variance is left at times 0 … steps - 1: ᾱ of Ho et al. 2020, float64.

    schedule: "linear", β from 1e-4 to 0.02 at 1,000 steps, scaled for others; "cosine" (Nichol and Dhariwal 2021).
    """
    if schedule == "linear":
        beta = np.minimum(np.linspace(0.1 / steps, 20.0 / steps, steps), 0.999)
    else:
        at = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
        beta = np.minimum(1 - at[1:] / at[:-1], 0.999)
    return np.cumprod(1 - beta)


class Diffuse(Drawing):
    """Mix each image with normal noise, as much as a time says that is drawn for it: what a diffusion net learns from.

    Called on images (n, height, width, channels), or on [images, labels]; gives [noisy images, times (n,), target] and
    the labels. A time t in 0 … steps - 1 leaves ᾱ_t of the variance: √ᾱ · image + √(1 - ᾱ) · noise. The target is the
    noise, or the velocity √ᾱ · noise - √(1 - ᾱ) · image (Salimans and Ho 2022). In training a label becomes `classes`,
    which stands for none, with probability `drop` (Ho and Salimans 2021). It draws in training and in inference.
    schedule: "linear" or "cosine". prediction: "noise" or "velocity". seed: for a generator of its own.
    Raises ArgumentError for options out of range.

    >>> import tinyres as tr
    >>> noisy, time, target = tr.layers.Diffuse(steps=100)(tr.zeros((2, 8, 8, 1)))
    >>> noisy.shape, time.shape, target.shape
    ((2, 8, 8, 1), (2,), (2, 8, 8, 1))
    """

    def __init__(
        self,
        steps: int = 1000,
        schedule: str = "cosine",
        prediction: str = "noise",
        classes: int | None = None,
        drop: float = 0.1,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(seed, name)
        if isinstance(steps, bool) or not isinstance(steps, int) or not 2 <= steps <= MOST_STEPS:
            raise ArgumentError(f"[Diffuse] steps are a count from 2 to {MOST_STEPS}; got {steps!r}; give 1000")
        for what, given, known in (("schedule", schedule, SCHEDULES), ("prediction", prediction, PREDICTIONS)):
            if given not in known:
                raise ArgumentError(
                    f"[Diffuse] {what} is one of {', '.join(map(repr, known))}; got {given!r}; choose one of them"
                )
        if not 0.0 <= drop <= 1.0:
            raise ArgumentError(f"[Diffuse] drop is a probability; got {drop!r}; give 0.1")
        self.steps, self.schedule, self.prediction = steps, schedule, prediction
        self.classes, self.drop = classes, float(drop)

    def build(self, input_shape: Any) -> None:
        """Check that there are images."""
        shape = input_shape[0] if isinstance(input_shape, list) else input_shape
        if not isinstance(shape, tuple) or len(shape) < 2:
            raise ShapeError(
                f"[Diffuse] {self.path} takes images (n, height, width, channels); got shape {shape}; add the missing "
                "axes"
            )

    def call(self, inputs: Any, training: bool = False) -> list[Tensor]:
        """Noisy images, times, targets, and the labels where there are any."""
        x, *labels = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        source = self._source
        count = x.shape[0]
        time = ops.floor(ops.rand(count, generator=source, dtype=x.dtype) * float(self.steps))
        kept = tensor(signal_shares(self.schedule, self.steps), dtype=x.dtype)[time.astype("int64")]
        signal, noise = (ops.sqrt(share).reshape(-1, *[1] * (x.ndim - 1)) for share in (kept, 1.0 - kept))
        drawn = ops.randn(x.shape, generator=source, dtype=x.dtype)
        target = drawn if self.prediction == "noise" else signal * drawn - noise * x
        made = [signal * x + noise * drawn, time, target]
        if not labels:
            return made
        (label,) = labels
        if training and self.drop and self.classes is not None:
            label = ops.where(ops.rand(count, generator=source) < self.drop, self.classes, label)
        return [*made, label]
