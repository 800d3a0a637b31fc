"""Degradation: plain nets get worse with depth even on the training data, residual nets do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tinyres.model import Model
from tinyres.nn import blocks as presets
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field, percent, percent_or_diverged
from tinyres.study.nets import stack
from tinyres.study.training import mean_errors, noisy_digits

# net -> (block, initialiser or None for the preset's own, what is published)
NETS: dict[str, tuple[Callable[..., Any], str | None, str]] = {
    "plain, Glorot": (presets.plain, None, "worse with depth"),
    "plain, He": (presets.plain, "he_normal", "worse with depth"),
    "plain + BN": (variants.plain_he2015, None, "plain-110: over 60%"),
    "residual, no BN": (presets.preact_plain, None, "diverges"),
    "tutorial": (presets.tutorial, None, "-"),
    "he2015": (presets.he2015, None, "20: 8.75%, 110: 6.43%"),
    "preact": (presets.preact, None, "110: 6.37%"),
    "1/sqrt(L)": (presets.skipinit, None, "trains at any depth"),
    "ReZero": (presets.rezero, None, "trains at any depth"),
}


def build(net: str, layers: int, width: int) -> Model:
    """A net of so many Dense layers: stem, blocks of two, head."""
    block, initializer, _ = NETS[net]
    depth = max(1, (layers - 2) // 2)
    options: dict[str, Any] = {} if initializer is None else {"kernel_initializer": initializer}
    if block is presets.skipinit:
        options["depth"] = depth
    return stack(block, depth, width, 64, 10, **options)


def run(
    depths: tuple[int, ...] = (6, 18, 34, 66), width: int = 32, epochs: int = 12, noise: float = 1.0, seeds: int = 2
) -> tuple[Any, ...]:
    """Training error on the noisy digits, by kind of block and number of Dense layers.

    depths: Dense layers. width: units. epochs: of SGD 0.02 with momentum 0.9 and batches of 50. noise: its standard
    deviation. seeds: nets per entry, of which the mean is shown.
    """
    data = noisy_digits(noise)
    records = []
    for net, (_, _, published) in NETS.items():
        for depth in depths:
            errors = mean_errors(partial(build, net, depth, width), data, epochs, seeds)
            records.append(
                {"net": net, "layers": depth, "train": errors.train, "test": errors.test, "published": published}
            )
    return FIELDS, records, _sentences(records), _draw(records)


FIELDS = [
    Field("net", "net", 18, str, words=True),
    Field("layers", "layers", 8, str),
    Field("train error", "train", 13, percent_or_diverged),
    Field("test error", "test", 13, percent_or_diverged),
    Field("  published (CIFAR-10 test)", "published", 28, lambda text: f"  {text}", words=True),
]


def _sentences(records: list[dict[str, Any]]) -> list[str]:
    train = {(r["net"], r["layers"]): r["train"] for r in records}
    shallow, deep = (pick(r["layers"] for r in records) for pick in (min, max))

    def change(net: str) -> str:
        return f"{percent_or_diverged(train[net, shallow])} -> {percent_or_diverged(train[net, deep])}"

    return [
        f"Training error from {shallow} to {deep} layers: plain + BN {change('plain + BN')}, "
        f"he2015 {change('he2015')}, preact {change('preact')}.",
        "The plain nets fail on their own training data, so it is not overfitting; and BatchNorm does not save them, "
        "so it is not vanishing gradients alone.",
    ]


def _draw(records: list[dict[str, Any]]) -> Callable[[Any], None]:
    def draw(ax: Any) -> None:
        for i, net in enumerate(NETS):
            rows = [r for r in records if r["net"] == net and r["train"] is not None]
            ax.plot([r["layers"] for r in rows], [r["train"] for r in rows], "o-", color=f"C{i}", label=net)
        ax.set(xlabel="Dense layers", ylabel="training error", ylim=(-0.02, 1.0))
        ax.yaxis.set_major_formatter(lambda value, _: percent(value))
        ax.legend(fontsize=7)

    return draw


degradation = Experiment(
    "degradation",
    "Training error by depth: plain nets degrade, residual nets do not",
    "He et al. 2015, figures 1 and 6, table 6; He et al. 2016, table 2",
    run,
)
