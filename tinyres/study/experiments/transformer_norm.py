"""Where the normalisation of a Transformer stands decides how its gradient begins: pre, post, DeepNorm and ReZero.

Untrained, as Xiong et al. 2020 analyse them: kernels of variance 1/fan_in, a feed-forward net as wide as the stream,
and attention that takes all tokens alike. Over one token it passes on what that holds, so that their bounds are met
exactly. DeepNorm and ReZero are as their papers draw them. One sequence at a time: what the examples of a batch have in
common adds up in it, and is another thing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinyres.engine.state import name_scope
from tinyres.layers.dense import Dense
from tinyres.layers.group_norm import LayerNormalization
from tinyres.layers.transformer import TRANSFORMERS
from tinyres.model import Model
from tinyres.nn.operators import Input
from tinyres.ops.random import Generator, manual_seed
from tinyres.study.experiment import Experiment, Field, Finding, Job, Row, seeds_note
from tinyres.study.spread import Factor, Spread
from tinyres.trace import Trace
from tinyres.view.numbers import number, strength

CLASSES = 10
SECONDS_PER_BLOCK = 1.2e-2
NORMS = ("pre", "post", "deepnorm", "rezero")
SEQUENCES = 4  # per seed
_ALIKE = {"kernel_initializer": "zeros", "value_initializer": "lecun_normal", "output_initializer": "lecun_normal"}


def plan(
    depths: tuple[int, ...] = (6, 12, 24), width: int = 64, tokens: int = 1, seeds: int = 5, seed: int = 0
) -> list[Job]:
    """L blocks on white tokens, untrained: |g| and |dW| at the first block over the last, and |dW| at the last.

    depths: L. width: of the stream, in 4 heads. tokens: of a sequence. seeds: per row, each the geometric mean over 4
    sequences and nets.
    """

    def run(norm: str) -> list[dict[str, Any]]:
        records = []
        for i, depth in enumerate(depths):
            first = seed + i * seeds * SEQUENCES
            places = [range(first + s * SEQUENCES, first + (s + 1) * SEQUENCES) for s in range(seeds)]
            traces = [[_trace(norm, depth, width, tokens, place) for place in own] for own in places]
            opened = norm != "rezero"  # behind a scale of 0 no kernel gets a gradient
            records.append(
                {
                    "norm": norm,
                    "blocks": depth,
                    "ratio": _over(traces, lambda t: t.blocks[0].grad_norm / t.blocks[-1].output.grad_norm),
                    "kernels": _over(traces, lambda t: _kernel(t, 0) / _kernel(t, -1)) if opened else None,
                    "last": _over(traces, lambda t: _kernel(t, -1)) if opened else None,
                    "grown": _over(traces, lambda t: t.blocks[-1].output.value_norm ** 2 / t.blocks[-1].output.size),
                }
            )
        return records

    return [Job(norm, SECONDS_PER_BLOCK * sum(depths) * seeds * SEQUENCES, partial(run, norm)) for norm in NORMS]


def _over(traces: Sequence[Sequence[Trace]], measured: Callable[[Trace], float]) -> Factor:
    """Per seed the geometric mean."""
    return Factor(tuple([math.exp(statistics.fmean(math.log(measured(t)) for t in own)) for own in traces]))


def _trace(norm: str, depth: int, width: int, tokens: int, seed: int) -> Trace:
    manual_seed(seed)
    inputs = x = Input(shape=(tokens, width))
    options: dict[str, Any] = {"deepnorm": {"depth": depth}, "rezero": {}}.get(norm, _ALIKE)
    for i in range(depth):
        with name_scope(f"block{i}"):
            x = TRANSFORMERS[norm](x, 4, hidden=width, activation="relu", use_bias=False, **options)
    if norm == "pre":
        x = LayerNormalization(epsilon=1e-5, name="final_norm")(x)
    head = Dense(CLASSES, "softmax", kernel_initializer="lecun_normal", name="head")
    model = Model(inputs, head(x))
    rng = Generator(seed).numpy()
    x_data, y_data = rng.standard_normal((1, tokens, width)), rng.integers(0, CLASSES, (1, tokens))
    return model.graph(x_data, y_data, loss="sparse_categorical_crossentropy").trace(audit=False)


def _kernel(trace: Trace, block: int) -> float:
    """|dW| of what ends the feed-forward of a block."""
    return float(trace[f"{trace.blocks[block].name}/mlp_output/kernel"].grad_norm)


def _text(factor: Factor | None) -> str:
    return "-" if factor is None else factor.text()


def fields(records: Sequence[Row]) -> list[Field]:
    """The table: one row per norm and depth."""
    return [
        Field("norm", "norm", 10, str, words=True),
        Field("L", "blocks", 3, str),
        Field("|g| first/last", "ratio", 17, _text),
        Field("|dW| first/last", "kernels", 17, _text),
        Field("last |dW|", "last", 17, _text),
        Field("|x|^2/d", "grown", 9, lambda f: number(f.mean)),
    ]


def claims(records: Sequence[Row]) -> list[str]:
    """How the last gradient changes with depth, where gradients grow toward, and what stays."""
    by = {norm: [r for r in records if r["norm"] == norm] for norm in NORMS}
    deep = {norm: rows[-1] for norm, rows in by.items()}
    depth = deep["pre"]["blocks"]
    one = Factor((1.0,) * len(deep["pre"]["ratio"].values))
    said = []
    if deep["post"]["kernels"].below(one) and one.below(deep["pre"]["kernels"]):
        said.append(
            f"Behind the sum (post) gradients grow toward the last blocks: at L = {depth} the first feed-forward gets "
            f"{number(deep['post']['kernels'].mean)} of the last one's. Before the branch (pre) they fall: it gets "
            f"{number(deep['pre']['kernels'].mean)} times the last one's."
        )
    powers = {norm: _power(by[norm]) for norm in ("pre", "post")}
    pre, post = powers["pre"], powers["post"]
    if pre is not None and post is not None and pre.below(post):
        said.append(
            f"With depth the last |dW| goes like L^{pre.text(strength)} (pre; theory: -1/2) and "
            f"L^{post.text(strength)} (post; theory: 0), by a fit over these depths."
        )
    low, high = 1 + depth / 2, 1 + 3 * depth / 2
    if 0.9 * low < deep["pre"]["grown"].mean < 1.1 * high:
        said.append(
            f"|x|^2/d of pre ends at {number(deep['pre']['grown'].mean)}; theory: 1 + L/2 = {low:g} to 1 + 3L/2 = "
            f"{high:g}, for a feed-forward adds a half and attention at most 1, over one token just that."
        )
    stays = [f"{norm} ({number(deep[norm]['ratio'].mean)})" for norm in ("deepnorm", "rezero") if _stays(deep[norm])]
    if stays:
        said.append(f"In {' and '.join(stays)} |g| at the first block is that at the last, within 5%.")
    return [*said, f"{seeds_note(deep['pre']['ratio'])} ×/÷: a factor."]


def _stays(row: Row) -> bool:
    return bool(abs(math.log(row["ratio"].mean)) < 0.05)


def _power(rows: Sequence[Row]) -> Spread | None:
    """The slope of the last log|dW| over log(1 + 3L/2), one per seed."""
    if len(rows) < 2:
        return None
    depths, seeds = np.log([1 + 1.5 * r["blocks"] for r in rows]), zip(*[r["last"].values for r in rows])
    return Spread.of(float(np.polyfit(depths, np.log(seed), 1)[0]) for seed in seeds)


def findings(records: Sequence[Row]) -> list[Finding]:
    """How the last gradient goes with depth, how much the stream grows, and what stays, at the deepest nets."""
    deep = max(r["blocks"] for r in records)
    at = {r["norm"]: r for r in records if r["blocks"] == deep}
    powers = {norm: _power([r for r in records if r["norm"] == norm]) for norm in ("pre", "post")}
    last = f"last |dW| of Transformers of up to {deep} blocks, untrained, by depth"
    return [
        *(
            Finding(last, f"{norm}-norm: L^{theory}", f"L^{power.text(strength)}")
            for (norm, power), theory in zip(powers.items(), ("-1/2", "0"))
            if power is not None
        ),
        Finding(f"|x|²/d behind {deep} blocks", f"pre-norm: 1 + 3L/2 = {1 + 1.5 * deep:g}", at["pre"]["grown"].text()),
        Finding(f"|g| of the first block over the last of {deep}", "DeepNorm: 1", at["deepnorm"]["ratio"].text()),
    ]


def draw(records: Sequence[Row], ax: Any) -> None:
    """|g| first over last by depth."""
    for norm in NORMS:
        rows = [r for r in records if r["norm"] == norm]
        ax.plot([r["blocks"] for r in rows], [r["ratio"].mean for r in rows], label=norm, linewidth=1, markersize=4)
    depths = sorted({r["blocks"] for r in records})
    ax.plot(depths, [math.sqrt(1 + 1.5 * n) for n in depths], ":", color="#777777", marker="", label="√(1 + 3L/2)")
    ax.set(xscale="log", yscale="log", xlabel="blocks", ylabel="|g| first block / last block")
    ax.set_xticks(depths, [str(n) for n in depths])
    ax.minorticks_off()
    ax.legend(fontsize=7, ncols=2)


transformer_norm = Experiment(
    "transformer-norm",
    "Transformers at initialisation: the gradient by where the normalisation stands",
    "Xiong et al. 2020 (pre and post); Wang et al. 2022 (DeepNorm); Bachlechner et al. 2020 (ReZero)",
    plan,
    fields,
    claims,
    findings,
    draw,
    quick={"depths": (6, 12), "seeds": 3},
)
