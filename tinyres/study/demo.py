"""The demo: train nets that differ in one thing, and say what happened to the gradient on its way to the input.

Each net trains at its own learning rate, over several seeds, and its errors are measured with settled statistics: what
is left to differ is the net.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tinyres.data import Table, load_digits, read_table
from tinyres.engine.tensor import tensor
from tinyres.errors import ArgumentError, FileError, NonFiniteError
from tinyres.measure.graph import Graph
from tinyres.model import Model
from tinyres.ops.random import manual_seed
from tinyres.optim import OPTIMIZERS, Optimizer
from tinyres.study.nets import DIFFER_IN_ONE, NETS, stack
from tinyres.study.spread import Spread
from tinyres.trace import Trace, compare
from tinyres.training import callbacks

TRACED_EXAMPLES = 128
TEST_FRACTION = 0.2
LEAST_EXAMPLES = 10

# Adam's best learning rate of each net at 16 blocks of width 64 after 5 epochs on the digits, of a sweep in powers of
# √10 on a validation part, 3 seeds: `python3 bench/demo_rates.py` prints it.
LEARNING_RATES = {"plain": 3e-3, "residual": 1e-3, "plain_bn": 1e-2, "tutorial": 3e-2, "preact": 1e-2}
RATES_FOR = "adam"


@dataclass(frozen=True)
class DemoOptions:
    """What a person may choose; see `tinyres demo --help`."""

    blocks: int = 16
    width: int = 64
    epochs: int = 5
    seed: int = 0
    seeds: int = 3
    optimizer: str = "adam"
    lr: float | None = None
    nets: tuple[str, ...] = tuple(NETS)
    data: str | None = None
    label: str | None = None
    regression: bool = False


@dataclass(frozen=True)
class DemoData:
    """Standardised examples in two parts, and what there is to say of them."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    outputs: int
    regression: bool
    said: tuple[str, ...]

    @property
    def head(self) -> str | None:
        """The activation of a net's last layer."""
        return None if self.regression else "softmax"


@dataclass
class NetResult:
    """What became of one net: errors per seed (None: its loss diverged), and the first seed's trace before training.

    An error is a share of 1: of the examples taken for another class, or of the target's variance that is left.
    """

    name: str
    lr: float
    train_errors: list[float | None]
    test_errors: list[float | None]
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


def split_data(options: DemoOptions) -> DemoData:
    """The bundled digits, or the user's table split by the seed; features standardised by the training examples.

    The published laws are for inputs of mean 0 and variance 1; BatchNorm would amplify what raw pixels leave constant.
    """
    if options.data is None:
        (x_train, y_train), (x_test, y_test) = load_digits()
        return _standardised(x_train, y_train, x_test, y_test, 10, False, ("digits: 64 pixels, 10 classes",))
    table = read_table(options.data, options.label, options.regression)
    x, y = table.x, table.y
    if len(x) < LEAST_EXAMPLES:
        raise FileError(
            f"[demo] the data must hold at least {LEAST_EXAMPLES} examples; got {len(x)} in {options.data}; give more"
        )
    if table.classes is not None and len(np.unique(y)) < 2:
        raise FileError(
            f"[demo] there must be at least 2 classes; column {table.label!r} of {options.data} has only "
            f"{table.classes[int(y[0])]!r}; choose another label column (--label)"
        )
    train, test = in_two_parts(len(x), options.seed)
    outputs = 1 if table.classes is None else len(table.classes)
    return _standardised(x[train], y[train], x[test], y[test], outputs, options.regression, described(table))


def in_two_parts(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of so many examples are for training, and which for testing: drawn by the seed."""
    order = np.random.default_rng(seed).permutation(count)
    cut = max(1, int(count * TEST_FRACTION))
    return order[cut:], order[:cut]


def described(table: Table) -> tuple[str, ...]:
    """Which columns were taken for what, in words."""
    names = table.features if len(table.features) <= 6 else (*table.features[:4], "...", table.features[-1])
    if table.classes is None:
        label = f"target: {table.label}"
    else:
        shown = table.classes if len(table.classes) <= 6 else (*table.classes[:4], "...", table.classes[-1])
        label = f"label: {table.label}, {len(table.classes)} classes ({', '.join(shown)})"
    return (f"features: {len(table.features)} ({', '.join(names)})", label, *table.notes)


def _standardised(
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    outputs: int,
    regression: bool,
    said: tuple[str, ...],
) -> DemoData:
    parts = [x_train, x_test]
    mean, std = x_train.mean(axis=0), x_train.std(axis=0)
    parts = [(x - mean) / np.where(std > 0, std, 1) for x in parts]
    if regression:
        mean, std = y_train.mean(axis=0), y_train.std(axis=0)
        if not std.min() > 0:
            raise FileError("[demo] a target must vary; it is the same in all training examples; choose another column")
        y_train, y_test = (y_train - mean) / std, (y_test - mean) / std
    return DemoData(parts[0], y_train, parts[1], y_test, outputs, regression, said)


class Steps(callbacks.Callback):
    """Times every step, and tells the caller that one is done."""

    def __init__(self, on_step: Any) -> None:
        self.seconds: list[float] = []
        self._on_step = on_step

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._last = time.perf_counter()

    def on_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._on_step()
        self._last = time.perf_counter()


def optimizer_for(net: str, options: DemoOptions) -> Optimizer:
    """The optimizer that the options name, at the learning rate of this net unless they name one."""
    optimizer = OPTIMIZERS[options.optimizer]()
    if options.lr is not None:
        optimizer.lr = options.lr
    elif options.optimizer == RATES_FOR:
        optimizer.lr = LEARNING_RATES[net]
    return optimizer


def run_net(name: str, options: DemoOptions, data: DemoData, on_step: Any) -> NetResult:
    """Build, trace, train and measure one net, once per seed."""
    train_errors: list[float | None] = []
    test_errors: list[float | None] = []
    steps = Steps(on_step)
    for seed in range(options.seed, options.seed + options.seeds):
        manual_seed(seed)
        model = stack(NETS[name][0], options.blocks, options.width, data.x_train.shape[1], data.outputs, data.head)
        optimizer = optimizer_for(name, options)
        loss = "mse" if data.regression else "sparse_categorical_crossentropy"
        model.compile(optimizer, loss=loss, metrics=None if data.regression else ["accuracy"])
        if seed == options.seed:
            examples = slice(0, min(TRACED_EXAMPLES, len(data.x_train)))
            trace = model.graph(data.x_train[examples], data.y_train[examples]).trace()
        try:
            model.fit(data.x_train, data.y_train, epochs=options.epochs, verbose=0, callbacks=[steps])
            model.recalibrate_batchnorm(data.x_train)
            train_errors.append(_error(model, data.x_train, data.y_train, data))
            test_errors.append(_error(model, data.x_test, data.y_test, data))
        except NonFiniteError:
            train_errors.append(None)
            test_errors.append(None)
    step_ms = statistics.median(steps.seconds) * 1e3 if steps.seconds else float("nan")
    return NetResult(name, float(optimizer.lr), train_errors, test_errors, step_ms, chosen_rows(trace), trace)


def _error(model: Model, x: np.ndarray, y: np.ndarray, data: DemoData) -> float:
    if not data.regression:
        return 1 - model.evaluate(x, y)[1]
    return float(np.mean((model.predict(x) - y) ** 2) / np.mean((y - data.y_train.mean()) ** 2))


def chosen_rows(trace: Trace) -> list[dict[str, Any]]:
    """First, middle and last block: their gradient, and its shares over skip and branch."""
    blocks = trace.blocks
    picked = sorted({0, len(blocks) // 2, len(blocks) - 1})
    return [
        {"block": blocks[i].name, "grad_norm": blocks[i].grad_norm, "skip": blocks[i].skip, "branch": blocks[i].branch}
        for i in picked
    ]


def mean_error(errors: list[float | None]) -> str:
    """Mean ± standard deviation over the seeds, or how many of them diverged."""
    return Spread.of(errors).percent


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
                f"test error {mean_error(before.test_errors)} -> {mean_error(after.test_errors)}"
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
    for name in ("blocks", "width", "epochs", "seeds"):
        value = getattr(options, name)
        if value < 1:
            raise ArgumentError(f"[demo] --{name} must be at least 1; got {value}; give a larger one")
    if options.lr is not None and not 0 < options.lr < float("inf"):
        raise ArgumentError(f"[demo] --lr must be a positive number; got {options.lr}; give a positive one")
    if options.data is None and (options.label is not None or options.regression):
        raise ArgumentError("[demo] --label and --regression are for data of your own; got no --data; add --data FILE")
