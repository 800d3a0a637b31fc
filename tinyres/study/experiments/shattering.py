"""Balduzzi et al. 2017: in deep plain nets the gradient along a line of inputs turns to white noise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinyres.engine.state import name_scope
from tinyres.layers import blocks as presets
from tinyres.layers.dense import Dense
from tinyres.model import Model
from tinyres.nn.initializers import RandomNormal
from tinyres.nn.operators import Input
from tinyres.ops.random import manual_seed
from tinyres.study import shattering as meter
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field

# net -> (block for a depth, what is published: how correlations fall with L)
NETS: dict[str, tuple[Callable[[int], Callable[..., Any]], str]] = {
    "plain + BN": (lambda depth: variants.plain_he2015, "2^-layers"),
    "he2015": (lambda depth: presets.he2015, "1/sqrt(L)"),
    "preact": (lambda depth: presets.preact, "1/sqrt(L)"),
    "1/sqrt(L)": (lambda depth: partial(presets.skipinit, depth=depth), "stays"),
}


def build(block: Callable[..., Any], blocks: int, width: int) -> Model:
    """A net of one input feature; the stem has random biases, so that its kinks lie all along the line."""
    inputs = Input(shape=(1,))
    x = Dense(width, kernel_initializer="he_normal", bias_initializer=RandomNormal(stddev=1.0), name="stem")(inputs)
    for i in range(blocks):
        with name_scope(f"block{i}"):
            x = block(x, width)
    return Model(inputs, Dense(1, name="head")(x))


def run(
    blocks: int = 25, width: int = 64, points: int = 256, readouts: int = 4, seeds: int = 2, seed: int = 0
) -> tuple[Any, ...]:
    """The lag-1 autocorrelation of dy/dx along a 1-d input, untrained, BatchNorm frozen at the statistics of the line.

    blocks: L, of two Dense. width: units. points: along the line. readouts: random outputs per block, averaged.
    """
    curves = {}
    for net, (block, _) in NETS.items():
        runs = []
        for i in range(seeds):
            manual_seed(seed + i)
            model = build(block(blocks), blocks, width)
            runs.append([r.lag1 for r in meter.shattering(model, points=points, readouts=readouts, seed=seed + i)])
        curves[net] = np.mean(runs, axis=0).tolist()
    shown = sorted({min(n, blocks) for n in (1, 5, 12, 25, blocks)})
    records = [
        {"net": net, **{f"layers_{2 * n}": curve[n - 1] for n in shown}, "theory": NETS[net][1], "curve": curve}
        for net, curve in curves.items()
    ]
    fields = [Field("net", "net", 14, str, words=True)]
    fields += [Field(f"{2 * n} layers", f"layers_{2 * n}", 11, lambda r: f"{r:.2f}") for n in shown]
    fields.append(Field("  theory", "theory", 13, lambda text: f"  {text}", words=True))
    last = {net: curve[-1] for net, curve in curves.items()}
    sentences = [
        f"After {2 * blocks} layers neighbouring inputs have gradients that are correlated by "
        f"{last['plain + BN']:.2f} in the plain net and by {last['preact']:.2f} with pre-activation: what is lost is "
        "not the size of the gradient but its order.",
        "White noise is 0; the theory is for the correlation of two inputs, of which lag 1 is the closest pair.",
    ]
    return fields, records, sentences, _draw(curves)


def _draw(curves: dict[str, list[float]]) -> Callable[[Any], None]:
    def draw(ax: Any) -> None:
        for net, curve in curves.items():
            ax.plot([2 * (i + 1) for i in range(len(curve))], curve, label=net, markersize=4)
        ax.axhline(0.0, color="0.6", linestyle=":", label="white noise")
        ax.set(xlabel="Dense layers", ylabel="lag-1 autocorrelation of dy/dx", ylim=(-0.15, 1.05))
        ax.legend(fontsize=8)

    return draw


shattering = Experiment(
    "shattering",
    "Correlation of dy/dx at neighbouring inputs, by depth",
    "Balduzzi et al. 2017 (arXiv:1702.08591)",
    run,
)
