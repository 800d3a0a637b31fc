"""The gradient at initialisation: how it changes per block, against the law of each kind of block."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyres.layers import blocks as presets
from tinyres.ops.random import Generator, manual_seed
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field
from tinyres.study.nets import stack
from tinyres.study.training import LOSS
from tinyres.view.numbers import number


@dataclass(frozen=True)
class Law:
    """block: gives the block for a depth. law: in words. grows(L): |g| at the first block over |g| at the last.

    absolute: whether the law has no free factor; else it is scaled to the smallest depth.
    """

    block: Callable[[int], Callable[..., Any]]
    law: str
    grows: Callable[[int], float]
    absolute: bool = True


def _fixed(block: Callable[..., Any], initializer: str | None = None) -> Callable[[int], Callable[..., Any]]:
    if initializer is None:
        return lambda depth: block
    return lambda depth: lambda x, units: block(x, units, kernel_initializer=initializer)


PER_LAYER_OF_BATCHNORM = math.sqrt(math.pi / (math.pi - 1))  # Yang et al. 2019, ReLU

LAWS = {
    "plain, Glorot": Law(_fixed(presets.plain), "2^-(L-1)", lambda n: 2.0 ** (1 - n)),
    "plain, He": Law(_fixed(presets.plain, "he_normal"), "1", lambda n: 1.0),
    "plain + BN": Law(
        _fixed(variants.plain_he2015), "1.466^(L-1)", lambda n: PER_LAYER_OF_BATCHNORM ** (2 * (n - 1))
    ),
    "residual, He": Law(_fixed(presets.preact_plain), "2^((L-1)/2)", lambda n: 2.0 ** ((n - 1) / 2)),
    "tutorial": Law(_fixed(presets.tutorial), "~ L^2", lambda n: float(n) ** 2, absolute=False),
    "he2015": Law(_fixed(presets.he2015), "~ L^1.2", lambda n: float(n) ** 1.2, absolute=False),
    "preact": Law(_fixed(presets.preact), "~ L", float, absolute=False),
    "1/sqrt(L)": Law(
        lambda depth: lambda x, units: presets.skipinit(x, units, depth),
        "sqrt(e)",
        lambda n: (1 + 1 / n) ** ((n - 1) / 2),
    ),
    "ReZero": Law(_fixed(presets.rezero), "1", lambda n: 1.0),
    "skip x 0.5": Law(_fixed(variants.halved_preact), "explodes", lambda n: 1.36**n, absolute=False),
}


def first_over_last(block: Callable[..., Any], depth: int, width: int, batch: int, seed: int) -> float:
    """|∂loss/∂x| at the input of the first block over that of the last, for standard-normal data."""
    manual_seed(seed)
    model = stack(block, depth, width, width // 2, 10)
    rng = Generator(seed).numpy()
    x, y = rng.standard_normal((batch, width // 2)), rng.integers(0, 10, batch)
    blocks = model.graph(x, y, loss=LOSS).trace(audit=False).blocks
    return blocks[0].grad_norm / blocks[-1].grad_norm


def run(
    depths: tuple[int, ...] = (8, 16, 32), width: int = 64, batch: int = 128, seeds: int = 3, seed: int = 0
) -> tuple[Any, ...]:
    """Stem, L blocks, head on standard-normal data, untrained: |g| at block 0 over |g| at the last block.

    depths: L. width: units per Dense. batch: samples. seeds: nets per row, of which the geometric mean is shown.
    """
    records = []
    for net, law in LAWS.items():
        anchor = None
        for depth in depths:
            block = law.block(depth)
            logs = [math.log(first_over_last(block, depth, width, batch, seed + i)) for i in range(seeds)]
            measured = math.exp(float(np.mean(logs)))
            anchor = anchor or (1.0 if law.absolute else measured / law.grows(depth))
            records.append(
                {
                    "net": net,
                    "blocks": depth,
                    "measured": measured,
                    "theory": anchor * law.grows(depth),
                    "law": law.law,
                    "per_block": measured ** (1 / max(depth - 1, 1)),
                }
            )
    return FIELDS, records, _sentences(records, depths), _draw(records)


FIELDS = [
    Field("net", "net", 18, str, words=True),
    Field("blocks", "blocks", 8, str),
    Field("first/last", "measured", 14),
    Field("law says", "theory", 12),
    Field("per block", "per_block", 12, lambda rate: f"x {rate:.3f}"),
    Field("law", "law", 12, str, words=True),
]


def _sentences(records: list[dict[str, Any]], depths: tuple[int, ...]) -> list[str]:
    deep = max(depths)
    at = {r["net"]: number(r["measured"]) for r in records if r["blocks"] == deep}
    return [
        f"At {deep} blocks a plain net with Glorot weights passes {at['plain, Glorot']} of its gradient to the first "
        f"block; with BatchNorm it explodes instead, {at['plain + BN']}-fold.",
        f"A skip alone does not tame it: without BatchNorm {at['residual, He']}-fold. BatchNorm in the branch "
        f"({at['preact']}), a branch scale of 1/sqrt(L) ({at['1/sqrt(L)']}) or one of 0 ({at['ReZero']}) does.",
        "Laws with ~ have a free factor, which is taken from the smallest depth.",
    ]


def _draw(records: list[dict[str, Any]]) -> Callable[[Any], None]:
    def draw(ax: Any) -> None:
        for net in dict.fromkeys(r["net"] for r in records):
            rows = [r for r in records if r["net"] == net]
            depth = [r["blocks"] for r in rows]
            (line,) = ax.plot(depth, [r["measured"] for r in rows], label=net)
            ax.plot(depth, [r["theory"] for r in rows], ":", color=line.get_color(), marker="")
        ax.set(xscale="log", yscale="log", xlabel="blocks", ylabel="|g| first block / last block (dotted: law)")
        ax.set_xticks(sorted({r["blocks"] for r in records}), [str(n) for n in sorted({r["blocks"] for r in records})])
        ax.minorticks_off()
        ax.legend(fontsize=7, ncols=2)

    return draw


init_laws = Experiment(
    "init-laws",
    "Gradient at initialisation: first block over last, by kind of block",
    "He et al. 2015; Yang et al. 2019 (BatchNorm explodes); De & Smith 2020; Bachlechner et al. 2020",
    run,
)
