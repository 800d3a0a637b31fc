"""What the long skips of a U-Net carry: fine detail forwards, and backwards the gradient of the first layers.

Two tasks in which every pixel counts: to tell the noise in digits (Ho et al. 2020), and to tell of each pixel what it
shows (Ronneberger et al. 2015). The nets have no skips but the long ones: without them all passes the bottleneck.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinyres.applications import diffusion, unet
from tinyres.data import SEGMENTATION_CLASSES, load_digits, make_segmentation
from tinyres.engine.state import no_grad
from tinyres.engine.tensor import tensor
from tinyres.layers.noise import Diffuse
from tinyres.model import Model
from tinyres.optim import Adam
from tinyres.study.experiment import Experiment, Field, Finding, Job, Row, error_bars, seeds_note
from tinyres.study.spread import Spread, percent
from tinyres.study.sweep import Examples, Task, held_back, sweep, trainings
from tinyres.training.callback import Callback
from tinyres.training.overlap import MeanIoU
from tinyres.view.numbers import number

LONG, NONE = "long", "none"
NOISE, REGIONS = "noise", "segmentation"
SIZE, BATCH, STEPS_PER_EPOCH = 16, 32, 25
TRAINED_ON, CHOSEN_ON, TRACED = 800, 100, 128  # images
SHARES = (0.0, 0.05, 0.25, 1.0)  # of the steps, at which there is a row
SECONDS_PER_STEP, SECONDS_PER_ROW = 1.6e-2, 0.4  # of width 16 and 3 levels, on one thread


class _Test(NamedTuple):
    """What nets are measured by: inputs and targets, the loss to trace, and the error of what a net says."""

    x: list[np.ndarray]
    y: np.ndarray
    loss: str
    error: Callable[[np.ndarray, np.ndarray], float]


class _Watch(Callback):
    """At some steps of a training, the test error, and the share of |g| that came over the longest skip."""

    def __init__(self, test: _Test, net: Model, steps: Sequence[int]) -> None:
        self._test, self._net, self._steps, self._done = test, net, steps, 0
        self.seen: dict[int, tuple[float, float | None]] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """The untrained net."""
        self._look()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """The net after so many steps, if there is a row for them."""
        self._done += 1
        if self._done in self._steps:
            self._look()

    def _look(self) -> None:
        test, net = self._test, self._net
        with no_grad():
            said = net([tensor(each) for each in test.x] if len(test.x) > 1 else tensor(test.x[0]), training=False)
        few = [each[:TRACED] for each in test.x]
        graph = net.graph(few if len(few) > 1 else few[0], test.y[:TRACED], loss=test.loss)
        across = [block for block in graph.trace(audit=False).blocks if block.across]
        self.seen[self._done] = test.error(said.numpy(), test.y), across[-1].skip if across else None


def plan(
    levels: int = 3,
    width: int = 16,
    steps: int = 400,
    seeds: int = 3,
    rates: tuple[float, ...] = (0.003, 0.01, 0.03),
) -> list[Job]:
    """Test error and the share over the longest skip, by step, of U-Nets with and without long skips.

    levels: of the U, each half the size of the one before, on images of 16 x 16. width: filters of each. steps: of
    Adam, batches of 32. seeds: nets per row. rates: of which each net takes the best on a validation part.
    """
    epochs = max(1, round(steps / STEPS_PER_EPOCH))
    total = epochs * STEPS_PER_EPOCH
    marks = sorted({round(share * total) for share in SHARES})
    tasks = {NOISE: partial(_noise, epochs), REGIONS: partial(_regions, epochs)}

    def run(name: str, skips: str) -> list[dict[str, Any]]:
        task, test = tasks[name]()
        watches: dict[int, _Watch] = {}

        def make() -> Model:
            form: dict[str, Any] = {
                "widths": (width,) * levels, "skips": "concatenate" if skips == LONG else None, "residual": False,
            }  # fmt: skip
            shape = (SIZE, SIZE, 1)
            if name == NOISE:
                return diffusion(shape, **form)
            return unet(shape, len(SEGMENTATION_CLASSES), activation="softmax", **form)

        def watching(model: Model) -> list[Callback]:
            net = model.get_layer("net") if name == NOISE else model
            assert isinstance(net, Model)
            watches[id(model)] = _Watch(test, net, marks)
            return [watches[id(model)]]

        trained = sweep(make, task, rates, seeds, watching)
        seen = [{} if model is None else watches[id(model)].seen for model in trained.models]
        return [_record(name, skips, mark, trained.rate_text, [own.get(mark) for own in seen]) for mark in marks]

    each = trainings(len(rates), seeds) * (SECONDS_PER_STEP * total + SECONDS_PER_ROW * len(marks)) * width / 16
    return [
        Job(f"{name}, {skips if skips == LONG else 'no'} skips", each, partial(run, name, skips))
        for name in tasks
        for skips in (LONG, NONE)
    ]


def _record(
    name: str, skips: str, step: int, rate: str, seen: Sequence[tuple[float, float | None] | None]
) -> dict[str, Any]:
    shares = [None if one is None else one[1] for one in seen]
    return {
        "task": name,
        "skips": skips,
        "step": step,
        "rate_text": rate,
        "error": Spread.of(None if one is None else one[0] for one in seen),
        "share": Spread.of(shares) if skips == LONG else None,
    }


def _noise(epochs: int) -> tuple[Task, _Test]:
    """To tell the noise in the bundled digits: the loss is the mean square of what is missed, 1 for nothing told."""
    (x, _), (x_test, _) = load_digits()
    images, unseen = _enlarged(x), _enlarged(x_test)
    training, validation = held_back(images, images)
    noisy, time, noise = Diffuse(seed=0)(tensor(2 * unseen - 1))
    test = _Test([noisy.numpy(), time.numpy()], noise.numpy(), "mse", _mean_square)
    return _task(training, validation, Examples(unseen, unseen), "squared_output", epochs), test


def _regions(epochs: int) -> tuple[Task, _Test]:
    """To tell the class of each pixel of made images: the loss is its cross-entropy, the error 1 - mean IoU."""
    training = Examples(*make_segmentation(TRAINED_ON, SIZE, seed=0))
    validation = Examples(*make_segmentation(CHOSEN_ON, SIZE, seed=1))
    unseen = Examples(*make_segmentation(256, SIZE, seed=2))
    test = _Test([unseen.x], unseen.y, "sparse_categorical_crossentropy", _missed_overlap)
    return _task(training, validation, unseen, test.loss, epochs), test


def _task(training: Examples, validation: Examples, test: Examples, loss: str, epochs: int) -> Task:
    few = Examples(training.x[:TRAINED_ON], training.y[:TRAINED_ON])
    return Task(few, validation, test, loss, lambda rate: Adam(lr=rate), epochs, BATCH, by_accuracy=False)


def _enlarged(digits: np.ndarray) -> np.ndarray:
    """Images (n, 16, 16, 1) of which each pixel of a digit is 2 x 2."""
    return np.kron(digits.reshape(-1, 8, 8), np.ones((1, 2, 2)))[..., None].astype(np.float32)


def _mean_square(said: np.ndarray, noise: np.ndarray) -> float:
    return float(np.mean((said - noise) ** 2))


def _missed_overlap(said: np.ndarray, labels: np.ndarray) -> float:
    return 1.0 - float(MeanIoU(said.shape[-1])(labels, said.argmax(-1)))


def fields(records: Sequence[Row]) -> list[Field]:
    """The table: one row per task, net and step."""
    return [
        Field("task", "task", 14, str, words=True),
        Field("skips", "skips", 6, str, words=True),
        Field("step", "step", 6, str),
        Field("rate", "rate_text", 8, str),
        Field("test error", "error", 18, lambda spread: spread.text()),
        Field("|g| across", "share", 16, lambda spread: "-" if spread is None else spread.percent),
    ]


def claims(records: Sequence[Row]) -> list[str]:
    """Which net errs less at the end, and where the gradient of the first layers comes from, first and last."""
    said = []
    told = {
        NOISE: "of the noise in digits a net with long skips misses {}, one without {} (1: all of it)",
        REGIONS: "of the overlap of each class (mean IoU) a net with long skips misses {}, one without {}",
    }
    for task, words in told.items():
        first, last = _rows(records, task, LONG)
        (_, without) = _rows(records, task, NONE)
        if last["error"].below(without["error"]):
            both = words.format(last["error"].text(), without["error"].text())
            said.append(f"After {last['step']} steps, {both}.")
        if not (first["share"].comparable and last["share"].comparable):
            continue
        across = f"{task}: {first['share'].percent} of the gradient behind the first encoder block came over the skip"
        if first["share"].below(last["share"]) or last["share"].below(first["share"]):
            said.append(f"{across} before training, {last['share'].percent} after; the rest from below.".capitalize())
        elif last["share"].mean > 0.5:
            said.append(f"{across} before training, and {last['share'].percent} after.".capitalize())
    notes = f"{seeds_note(records[0]['error'])} Error: noise, mean square; segmentation, 1 - mean IoU."
    return [*said, f"{notes} |g| across: share of |g| behind down0 that came over its long skip."]


def _rows(records: Sequence[Row], task: str, skips: str) -> tuple[Row, Row]:
    """The first and the last of one net."""
    own = [r for r in records if (r["task"], r["skips"]) == (task, skips)]
    return own[0], own[-1]


def findings(records: Sequence[Row]) -> list[Finding]:
    """Errors with and without, and the shares."""
    found = []
    shows = {
        NOISE: ("mean square error of noise prediction on digits (1: nothing told) after {} steps", number),
        REGIONS: ("1 - mean IoU of segmentation after {} steps", percent),
    }
    for task, (what, shown) in shows.items():
        for skips, net in ((LONG, "with long skips"), (NONE, "without long skips")):
            row = _rows(records, task, skips)[1]
            found.append(Finding(what.format(row["step"]), f"{net}: no theory", row["error"].text(shown)))
    shows_share = "share of |g| behind the first encoder block that came across, untrained and trained"
    for task in shows:
        first, last = _rows(records, task, LONG)
        theory = f"{task}: most (Drozdzal: the deep part is hardly updated)"
        found.append(Finding(shows_share, theory, f"{first['share'].percent} → {last['share'].percent}"))
    return found


def draw(records: Sequence[Row], ax: Any) -> None:
    """Errors by step, and the share that came across, dashed."""
    for task in (NOISE, REGIONS):
        for skips in (LONG, NONE):
            rows = [r for r in records if (r["task"], r["skips"]) == (task, skips)]
            label = f"{task}, {'long' if skips == LONG else 'no'} skips"
            error_bars(ax, [r["step"] for r in rows], [r["error"] for r in rows], label)
    for task in (NOISE, REGIONS):
        rows = [r for r in records if (r["task"], r["skips"]) == (task, LONG)]
        steps, shares = [r["step"] for r in rows], [r["share"] for r in rows]
        error_bars(ax, steps, shares, f"{task}, |g| across", linestyle="--")
    ax.set(xlabel="steps", ylabel="test error; share of |g|")
    ax.legend(fontsize=7)


unet_skips = Experiment(
    "unet-skips",
    "U-Nets with and without their long skips",
    "Ronneberger et al. 2015 (arXiv:1505.04597); Drozdzal et al. 2016 (arXiv:1608.04117)",
    plan,
    fields,
    claims,
    findings,
    draw,
    quick={"steps": 75, "width": 8, "seeds": 2, "rates": (0.01,)},
)
