"""Veit et al. 2016: delete blocks of trained nets; the residual one hardly notices, the plain one is ruined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinyres.layers import blocks as presets
from tinyres.ops.random import manual_seed
from tinyres.study import lesion as lesions
from tinyres.study import variants
from tinyres.study.experiment import Experiment, Field, percent
from tinyres.study.nets import stack
from tinyres.study.training import noisy_digits, trained

# net -> (block, what is published for one deletion)
NETS: dict[str, tuple[Callable[..., Any], str]] = {
    "preact": (presets.preact, "hardly any change"),
    "he2015": (presets.he2015, "hardly any change"),
    "plain + BN": (variants.plain_he2015, "chance (90%)"),
}


def run(
    blocks: int = 12, width: int = 32, epochs: int = 20, noise: float = 1.0, repeats: int = 8, seed: int = 0
) -> tuple[Any, ...]:
    """Test error after deleting 1, 2, 3, ... blocks at random.

    blocks: of two Dense; a plain net gets a third of them, so that it can be trained at all. epochs, noise: as in
    `degradation`. repeats: random choices per count. seed: of weights and choices.
    """
    data = noisy_digits(noise)
    records = []
    for net, (block, published) in NETS.items():
        depth = blocks if net != "plain + BN" else max(3, blocks // 3)
        manual_seed(seed)
        model = stack(block, depth, width, 64, 10)
        trained(model, data, epochs)
        single = lesions.lesion(model, data.x_test, data.y_test)
        counts = [count for count in (1, 2, 3, 4, 6, 8, 10) if count < depth]
        several = lesions.lesion(model, data.x_test, data.y_test, random=counts[1:], repeats=repeats, seed=seed)
        assert single.error is not None
        records.append(_row(net, depth, 0, single.error, single.error, ""))
        records.append(_row(net, depth, 1, single.error, single.error + single.median_damage, published))
        for count in counts[1:]:
            mean = several.mean_error(count)
            assert mean is not None
            records.append(_row(net, depth, count, single.error, mean, "smooth growth" if net != "plain + BN" else ""))
    return FIELDS, records, _sentences(records), _draw(records)


def _row(net: str, depth: int, deleted: int, intact: float, error: float, published: str) -> dict[str, Any]:
    return {
        "net": net, "blocks": depth, "deleted": deleted, "error": error, "damage": error - intact,
        "published": published,
    }  # fmt: skip


FIELDS = [
    Field("net", "net", 14, str, words=True),
    Field("blocks", "blocks", 8, str),
    Field("deleted", "deleted", 9, str),
    Field("test error", "error", 11, percent),
    Field("damage", "damage", 14, lambda d: f"{100 * d:+.1f} points"),
    Field("  published", "published", 22, lambda text: f"  {text}", words=True),
]


def _sentences(records: list[dict[str, Any]]) -> list[str]:
    one = {r["net"]: r for r in records if r["deleted"] == 1}
    parts = [f"{net} {percent(r['error'] - r['damage'])} -> {percent(r['error'])}" for net, r in one.items()]
    return [
        f"Median test error after deleting one block: {', '.join(parts)}.",
        "One deletion: the median over all blocks; several: the mean over random choices. BatchNorm keeps the moving "
        "statistics of the whole net.",
    ]


def _draw(records: list[dict[str, Any]]) -> Callable[[Any], None]:
    def draw(ax: Any) -> None:
        for net in NETS:
            rows = [r for r in records if r["net"] == net]
            ax.plot([r["deleted"] for r in rows], [r["error"] for r in rows], label=net)
        ax.axhline(0.9, color="0.6", linestyle=":", label="chance")
        ax.set(xlabel="blocks deleted", ylabel="test error", ylim=(0, 1))
        ax.yaxis.set_major_formatter(lambda value, _: percent(value))
        ax.legend(fontsize=8)

    return draw


lesion = Experiment(
    "lesion", "Deleting blocks of trained nets", "Veit et al. 2016 (arXiv:1605.06431), figures 3 and 5", run
)
