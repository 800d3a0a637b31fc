"""He et al. 2015, section 3.1: it is easier to push a residual to 0 than to fit the identity by nonlinear layers."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

from tinyres.engine.state import name_scope
from tinyres.errors import NonFiniteError
from tinyres.layers import blocks as presets
from tinyres.model import Model
from tinyres.nn.operators import Input
from tinyres.ops.random import Generator, manual_seed
from tinyres.optim import Adam
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field
from tinyres.trace import Trace
from tinyres.view.numbers import number, strength

# net -> (block for a depth, what follows from theory)
NETS: dict[str, tuple[Callable[[int], Callable[..., Any]], str]] = {
    "plain, He": (lambda depth: partial(presets.plain, kernel_initializer="he_normal"), "hard to reach"),
    "plain + BN": (lambda depth: variants.plain_he2015, "hard to reach"),
    "preact": (lambda depth: presets.preact, "F goes to 0"),
    "1/sqrt(L)": (lambda depth: partial(presets.skipinit, depth=depth), "F goes to 0"),
    "preact, F = 0": (lambda depth: variants.zero_preact, "exact at start"),
    "ReZero": (lambda depth: presets.rezero, "exact at start"),
}


def build(block: Callable[..., Any], blocks: int, width: int) -> Model:
    """Blocks only, from `width` inputs to as many outputs."""
    inputs = x = Input(shape=(width,))
    for i in range(blocks):
        with name_scope(f"block{i}"):
            x = block(x, width)
    return Model(inputs, x)


def run(
    blocks: int = 16, width: int = 32, samples: int = 1024, epochs: int = 30, lr: float = 0.001, seed: int = 0
) -> tuple[Any, ...]:
    """Learn y = x on standard-normal data: the loss of the best constant answer is 1.

    blocks: of two Dense. width: features. samples: in training; as many others measure. epochs: of Adam, batches of 32.
    """
    rng = Generator(seed).numpy()
    x, x_test = rng.standard_normal((2, samples, width))
    records = []
    for net, (block, theory) in NETS.items():
        manual_seed(seed)
        model = build(block(blocks), blocks, width)
        model.compile(Adam(lr=lr), loss="mse")
        before = model.graph(x[:128], x[:128] + rng.standard_normal((128, width))).trace(audit=False)
        start = model.graph(x_test, x_test).trace(audit=False).loss  # moving statistics say nothing before training
        row: dict[str, Any] = {"net": net, "before": start, "strength_before": _strength(before)}
        first, last = before.blocks[0].grad_norm, before.blocks[-1].grad_norm
        row["first_over_last"] = first / last if last else None
        try:
            model.fit(x, x, epochs=epochs, verbose=0)
            after = model.graph(x[:128], x[:128]).trace(audit=False)
            row |= {"after": model.evaluate(x_test, x_test)[0], "strength_after": _strength(after)}
        except NonFiniteError:
            row |= {"after": None, "strength_after": None}
        records.append({**row, "theory": theory})
    return FIELDS, records, _sentences(records), _draw(records)


FIELDS = [
    Field("net", "net", 16, str, words=True),
    Field("loss before", "before", 12),
    Field("after", "after", 9, lambda x: "diverged" if x is None else number(x)),
    Field("|F|/|x|", "strength_before", 9, strength),
    Field("after", "strength_after", 7, strength),
    Field("|g| f/l", "first_over_last", 9),
    Field(" theory", "theory", 16, lambda text: f" {text}", words=True),
]


def _strength(trace: Trace) -> float | None:
    """The mean |F| / |x| over all blocks."""
    found = [b.strength for b in trace.blocks if b.strength is not None]
    return statistics.fmean(found) if found else None


def _sentences(records: list[dict[str, Any]]) -> list[str]:
    after = {r["net"]: r["after"] for r in records}
    scaled = next(r for r in records if r["net"] == "1/sqrt(L)")
    return [
        f"Asked to be the identity, plain nets end at {number(after['plain, He'])} and {number(after['plain + BN'])}, "
        f"where 1 is the best constant answer. With skips and scaled branches F is pushed from |F|/|x| "
        f"{strength(scaled['strength_before'])} to {strength(scaled['strength_after'])} and the loss from "
        f"{number(scaled['before'])} to {number(scaled['after'])}; a branch that starts at 0 is exact before training.",
        "|F|/|x|: branch strength, mean over the blocks, before and after; |g| f/l: gradient at the first block over "
        "the last one, before, for a target that is off by noise.",
    ]


def _draw(records: list[dict[str, Any]]) -> Callable[[Any], None]:
    def draw(ax: Any) -> None:
        for shift, key in ((-0.2, "before"), (0.2, "after")):
            places = [i + shift for i in range(len(records))]
            bar = ax.bar(places, [r[key] or float("nan") for r in records], 0.38, label=key)
            ax.bar_label(bar, ["" if r[key] == 0 else FIELDS[2].text(r[key]) for r in records], fontsize=7)
            for place, row in zip(places, records):
                if row[key] == 0:
                    ax.annotate("0", (place, 0.02), xycoords=("data", "axes fraction"), fontsize=7, ha="center")
        ax.axhline(1.0, color="0.6", linestyle=":", label="best constant answer")
        ax.set(yscale="log", ylabel="loss of y = x", xlim=(-0.6, len(records) - 0.4))
        ax.set_xticks(range(len(records)), [r["net"] for r in records], fontsize=8)
        ax.legend(fontsize=8)

    return draw


identity = Experiment(
    "identity", "Learning the identity: the branch is pushed to 0", "He et al. 2015, section 3.1; ReZero 2020", run
)
