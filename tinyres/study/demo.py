"""The demo: train nets that differ in one thing, and say what happened to the gradient on its way to the input."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tinyres.data import load_digits, load_table
from tinyres.engine.tensor import tensor
from tinyres.errors import ArgumentError, FileError
from tinyres.measure.graph import Graph
from tinyres.ops.random import manual_seed
from tinyres.study.nets import DIFFER_IN_ONE, NETS, stack
from tinyres.trace import Trace, compare
from tinyres.training import callbacks

TRACED_EXAMPLES = 128
TEST_FRACTION = 0.2


@dataclass(frozen=True)
class DemoOptions:
    """What a person may choose; see `tinyres demo --help`."""

    blocks: int = 16
    width: int = 64
    epochs: int = 5
    seed: int = 0
    optimizer: str = "adam"
    lr: float | None = None
    nets: tuple[str, ...] = tuple(NETS)
    data: str | None = None


@dataclass
class NetResult:
    """What became of one net."""

    name: str
    train_error: float
    test_error: float
    step_ms: float
    rows: list[dict[str, Any]]
    trace: Trace = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a JSON file."""
        return {key: value for key, value in asdict(self).items() if key != "trace"}


def scalar_equation() -> dict[str, float]:
    """∂L/∂x of L = (wx + x)² at w = 0.1, x = 3, split at the fork where x feeds the skip and the branch.

    >>> parts = scalar_equation()
    >>> [round(parts[k], 2) for k in ("gradient", "skip", "branch")]
    [7.26, 6.6, 0.66]
    """
    x = tensor(3.0, requires_grad=True, name="x")
    w = tensor(0.1, name="w")
    loss = (w * x + x) ** 2
    trace = Graph(loss).trace(arrays=True)
    gradient = float(trace["x"].grad)
    shares = {edge.dst: edge.share or 0.0 for edge in trace.fork("x").edges}
    branch = shares["mul"]
    skip = shares["add"]
    return {
        "gradient": gradient,
        "skip": gradient * skip,
        "branch": gradient * branch,
        "skip_share": skip,
        "branch_share": branch,
    }


Split = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def split_data(options: DemoOptions) -> Split:
    """The bundled digits, or the user's table split by the seed; features standardised by the training examples.

    The published laws are for inputs of mean 0 and variance 1; BatchNorm would amplify what raw pixels leave constant.
    """
    if options.data is None:
        (x_train, y_train), (x_test, y_test) = load_digits()
    else:
        x, y = load_table(options.data)
        if len(x) < 10:
            raise FileError(
                f"[demo] the data must hold at least 10 examples; got {len(x)} in {options.data}; give more"
            )
        order = np.random.default_rng(options.seed).permutation(len(x))
        cut = max(1, int(len(x) * TEST_FRACTION))
        (x_test, y_test), (x_train, y_train) = (x[order[:cut]], y[order[:cut]]), (x[order[cut:]], y[order[cut:]])
    mean, std = x_train.mean(axis=0), x_train.std(axis=0)
    scale = np.where(std > 0, std, 1)
    return ((x_train - mean) / scale, y_train), ((x_test - mean) / scale, y_test)


class _Steps(callbacks.Callback):
    """Times every step, and tells the caller that one is done."""

    def __init__(self, on_step: Any) -> None:
        self.seconds: list[float] = []
        self._on_step = on_step

    def on_epoch_begin(self, epoch: int, logs: dict[str, float]) -> None:
        self._last = time.perf_counter()

    def on_batch_end(self, step: int, logs: dict[str, float]) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._on_step()
        self._last = time.perf_counter()


def run_net(name: str, options: DemoOptions, data: Any, on_step: Any) -> NetResult:
    """Build, trace, train and measure one net."""
    (x_train, y_train), (x_test, y_test) = data
    manual_seed(options.seed)
    classes = int(max(y_train.max(), y_test.max())) + 1
    model = stack(NETS[name][0], options.blocks, options.width, x_train.shape[1], classes)
    model.compile(optimizer=options.optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    if options.lr is not None and model.optimizer is not None:
        model.optimizer.lr = options.lr
    examples = slice(0, min(TRACED_EXAMPLES, len(x_train)))
    trace = model.graph(x_train[examples], y_train[examples]).trace()
    steps = _Steps(on_step)
    model.fit(x_train, y_train, epochs=options.epochs, verbose=0, callbacks=[steps])
    train = 1 - model.evaluate(x_train, y_train)[1]
    test = 1 - model.evaluate(x_test, y_test)[1]
    step_ms = statistics.median(steps.seconds) * 1e3 if steps.seconds else float("nan")
    return NetResult(name, train, test, step_ms, chosen_rows(trace), trace)


def chosen_rows(trace: Trace) -> list[dict[str, Any]]:
    """First, middle and last block: their gradient, and its shares over skip and branch."""
    blocks = trace.blocks
    picked = sorted({0, len(blocks) // 2, len(blocks) - 1})
    return [
        {"block": blocks[i].name, "grad_norm": blocks[i].grad_norm, "skip": blocks[i].skip, "branch": blocks[i].branch}
        for i in picked
    ]


def sentences(results: dict[str, NetResult]) -> list[str]:
    """What happened to the gradient in each net, then what one change did between two nets that differ in it only."""
    comparison = compare(**{name: result.trace for name, result in results.items()})
    ratios = {row["name"]: row["first_over_last"] for row in comparison.rows()}
    said = list(comparison.sentences)
    for first, second, thing in DIFFER_IN_ONE:
        if first in results and second in results:
            before, after = results[first], results[second]
            said.append(
                f"{thing} alone ({first} -> {second}): "
                f"|g| first/last {_ratio(ratios[first])} -> {_ratio(ratios[second])}, "
                f"test error {before.test_error:.1%} -> {after.test_error:.1%}"
            )
    return said


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def check(options: DemoOptions) -> None:
    """Refuse options that cannot be run, before anything is."""
    unknown = [name for name in options.nets if name not in NETS]
    if unknown or not options.nets:
        raise ArgumentError(
            f"[demo] nets are chosen from {', '.join(NETS)}; got {', '.join(unknown) or 'none'}; correct --nets"
        )
    for name in ("blocks", "width", "epochs"):
        value = getattr(options, name)
        if value < 1:
            raise ArgumentError(f"[demo] --{name} must be at least 1; got {value}; give a larger one")
    if options.lr is not None and not 0 < options.lr < float("inf"):
        raise ArgumentError(f"[demo] --lr must be a positive number; got {options.lr}; give a positive one")
