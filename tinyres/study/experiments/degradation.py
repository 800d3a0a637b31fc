"""Degradation: plain nets get worse with depth even on the training data, residual nets do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tinyres.layers import blocks as presets
from tinyres.model import Model
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field, percent, percent_or_diverged
from tinyres.study.nets import stack
from tinyres.study.training import mean_errors, noisy_digits

# net -> (block, initialiser or None for the preset's own, what is published)
NETS: dict[str, tuple[Callable[..., Any], str | None, str]] = {
    "plain, Glorot": (presets.plain, None, "worse with depth"),
    "plain, He": (presets.plain, "he_normal", "worse with depth"),
    "plain + BN": (variants.plain_he2015, None, "110: over 60%"),
    "residual, no BN": (presets.preact_plain, None, "diverges"),
    "tutorial": (presets.tutorial, None, "-"),
    "he2015": (presets.he2015, None, "20: 8.75, 110: 6.43%"),
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
        row: dict[str, Any] = {"net": net}
        for depth in depths:
            errors = mean_errors(partial(build, net, depth, width), data, epochs, seeds)
            row |= {f"train_{depth}": errors.train, f"test_{depth}": errors.test}
        records.append({**row, "published": published})
    fields = [Field("net", "net", 17, str, words=True)]
    fields += [Field(f"{depth} layers", f"train_{depth}", 10, percent_or_diverged) for depth in depths]
    fields.append(Field(" CIFAR-10, published", "published", 23, lambda text: f" {text}", words=True))
    return fields, records, _sentences(records, depths), _draw(records, depths)


def _sentences(records: list[dict[str, Any]], depths: tuple[int, ...]) -> list[str]:
    rows = {r["net"]: r for r in records}
    shallow, deep = min(depths), max(depths)

    def change(net: str) -> str:
        before, after = (percent_or_diverged(rows[net][f"train_{depth}"]) for depth in (shallow, deep))
        return f"{net} {before} -> {after}"

    return [
        f"Training error from {shallow} to {deep} layers: {change('plain + BN')}, {change('he2015')}, "
        f"{change('preact')}.",
        "The plain nets fail on their own training data, so it is not overfitting; and BatchNorm does not save them, "
        "so it is not vanishing gradients alone.",
    ]


def _draw(records: list[dict[str, Any]], depths: tuple[int, ...]) -> Callable[[Any], None]:
    def draw(ax: Any) -> None:
        for row in records:
            found = [(depth, row[f"train_{depth}"]) for depth in depths if row[f"train_{depth}"] is not None]
            ax.plot([n for n, _ in found], [e for _, e in found], label=row["net"])
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
