"""Each sentence of an experiment is said where made-up numbers bear it out, and not where they do not."""

from __future__ import annotations

from typing import Any

import pytest
from made_up_rows import SEEDS, around, factor, trained

from tinyres.study import experiments
from tinyres.study.experiments.degradation import NETS as DEPTH_NETS
from tinyres.study.experiments.degradation import PLAIN as PLAIN_NETS
from tinyres.study.experiments.identity import NETS as IDENTITY_NETS
from tinyres.study.experiments.identity import PLAIN as PLAIN_OF_IDENTITY
from tinyres.study.experiments.init_laws import LAWS
from tinyres.study.experiments.lesion import PLAIN as PLAIN_OF_LESION
from tinyres.study.experiments.paths import NORMS, SIGNED, TRAINED, UNTRAINED
from tinyres.study.experiments.shattering import NETS as SHATTERING_NETS
from tinyres.study.experiments.shattering import fit
from tinyres.study.spread import Spread, groups
from tinyres.study.variants import ACTIVATION_ORDERS, SHORTCUTS


def said(experiment: Any, rows: list[dict[str, Any]]) -> str:
    return " ".join(experiment.claims(rows))


def test_less_is_less_beyond_the_spread_only() -> None:
    assert around(0.1).below(around(0.2)) and not around(0.2).below(around(0.1))
    assert not around(0.1, 0.06).below(around(0.2, 0.06))  # the bands touch
    assert not around(0.1).below(around(0.11))
    assert around(0.9).below(around(None)) and not around(None).below(around(0.9))
    assert not around(0.1).below(Spread((0.9, None, 0.9)))  # who knows
    assert not Spread((0.1,)).below(Spread((0.9,)))  # one seed has no spread
    assert factor(1.0).below(factor(2.0)) and not factor(1.0, 1.5).below(factor(2.0, 1.5))


def test_groups_part_where_all_members_do() -> None:
    spreads = {"a": around(0.10), "b": around(0.105), "c": around(0.3, 0.08), "d": around(0.36), "e": around(None)}
    assert groups(spreads) == [["a", "b"], ["c", "d"], ["e"]]
    assert groups({"a": around(0.1), "b": around(0.3, 0.3), "c": around(0.5)}) == [["a", "b", "c"]]


GOOD = {"identity": 0.01, "exclusive gate": 0.05, "no skip": 0.4, "dropout 0.5": None}


def shortcut_rows(blocks: int = 9, **errors: float | None) -> list[dict[str, Any]]:
    train = {**dict.fromkeys(SHORTCUTS, 0.15), **GOOD, **errors}
    return [
        {"block": name, "blocks": blocks, "published": SHORTCUTS[name][1], **trained(error)}
        for name, error in train.items()
    ]


def test_shortcuts_name_the_groups_that_there_are() -> None:
    text = said(experiments.shortcuts, shortcut_rows())
    assert "identity < exclusive gate < 0.5 skip, full branch" in text and "< no skip < dropout 0.5" in text
    for sentence in ("As published, the identity and an exclusive", "better than none", "Dropout on the skip trains"):
        assert sentence in text
    assert "trains at 9 blocks: what comes back over the skips alone is 0.002 of the gradient there, 6e-17" in text
    text = said(experiments.shortcuts, shortcut_rows(**dict.fromkeys(SHORTCUTS, 0.5)))
    for sentence in ("groups that lie apart", "As published", "better than none", "trains worse", "which fails in"):
        assert sentence not in text
    text = said(experiments.shortcuts, shortcut_rows(54, **{"1x1 projection": 0.39, "exclusive gate": 0.145}))
    for sentence in ("As published", "better than none", "which fails in"):
        assert sentence not in text


def order_rows(**errors: float | None) -> list[dict[str, Any]]:
    found = {**dict.fromkeys(ACTIVATION_ORDERS, 0.2), "BN after Add": 0.9, **errors}
    return [
        {"block": name, "blocks": 54, "published": 0.06, **trained(0.05, error, sd=0.01)}
        for name, error in found.items()
    ]


def test_activation_order_compares_test_errors() -> None:
    text = said(experiments.activation_order, order_rows(**{"full pre-activation": 0.1}))
    assert "BatchNorm after the Add, where it stands on the skip, does worst: 90.0% ± 1.0 in test." in text
    assert "Full pre-activation has a lower test error than the original order, 10.0% ± 1.0 against 20.0% ± 1.0" in text
    text = said(experiments.activation_order, order_rows(**{"BN after Add": 0.2}))
    assert "does worst" not in text
    assert "Full pre-activation and the original order are not apart by more than the spread" in text
    text = said(experiments.activation_order, order_rows(**{"full pre-activation": 0.5}))
    assert "Full pre-activation" not in text
    diverged = [{**row, "test": around(None)} for row in order_rows()]
    assert "Full pre-activation" not in said(experiments.activation_order, diverged)


def depth_rows(ratio: float = 1e4, **deep: float | None) -> list[dict[str, Any]]:
    """Nets of 6 and 66 layers: all learn when shallow; residual ones when deep too, unless told otherwise."""
    at_66 = {**dict.fromkeys(DEPTH_NETS, 0.001), **dict.fromkeys(PLAIN_NETS, 0.85)}
    at_66 |= {"residual, no BN": None, **deep}
    return [
        {"net": net, "layers": layers, "gradient": factor(ratio), **trained(error, sd=0.001)}
        for net in DEPTH_NETS
        for layers, error in ((6, 0.0), (66, at_66[net]))
    ]


def test_degradation_says_who_degrades_and_who_does_not() -> None:
    text = said(experiments.degradation, depth_rows())
    assert "plain, Glorot 0.0% ± 0.1 -> 85.0% ± 0.1, plain, He" in text
    assert "residual, no BN 0.0% ± 0.1 -> 3/3 diverged" in text
    assert "Do not degrade, 0.1% in the mean at most, at any of these depths: tutorial, he2015, preact, 1/s" in text
    assert "so it is not overfitting" in text
    assert "the gradient does not vanish: before training it is 10000 times as large" in text
    text = said(experiments.degradation, depth_rows(he2015=0.05, preact=0.3))
    assert "at any of these depths: tutorial, 1/sqrt(L), ReZero." in text
    assert "preact 0.0% ± 0.1 -> 30.0% ± 0.1" in text and "he2015 0.0%" not in text
    text = said(experiments.degradation, depth_rows(0.01, **dict.fromkeys(DEPTH_NETS, 0.0)))
    for sentence in ("Training error from", "not overfitting", "does not vanish"):
        assert sentence not in text
    assert "does not vanish" not in said(experiments.degradation, depth_rows(0.01))


def test_degradation_names_no_source_for_what_nobody_published() -> None:
    assert all("published" not in row for row in depth_rows())
    assert said(experiments.degradation, depth_rows()).endswith("a plain net of 110 layers with BatchNorm over 60%.")


def law_rows(**at_32: float) -> list[dict[str, Any]]:
    deep = {
        "plain, Glorot": 2.0**-31, "plain, He": 1.0, "plain + BN": 1e5, "residual, He": 5e4, "tutorial": 16 * 16.0,
        "he2015": 64.0, "preact": 40.0, "1/sqrt(L)": 1.9, "ReZero": 1.0, "skip x 0.5": 2e4, **at_32,
    }  # fmt: skip
    rows = []
    for net, law in LAWS.items():
        for blocks, ratio in ((8, {"tutorial": 16.0, "he2015": 16.0}.get(net, 1.0)), (32, deep[net])):
            theory = None if law.grows is None else law.grows(blocks)
            row = {"net": net, "blocks": blocks, "measured": factor(ratio, 1.01), "theory": theory, "law": law.law}
            rows.append({**row, "free": law.free, "per_block": factor(1.0), "open": 0.7, "with_open": 1.93})
    return rows


def test_laws_fits_and_the_offset_are_told_apart() -> None:
    text = said(experiments.init_laws, law_rows())
    assert "passes 4.66e-10 of its gradient to the first block" in text and "explodes instead, 1.00e+05-fold" in text
    assert "A skip alone does not tame it: without BatchNorm 50000-fold. What does: BatchNorm in the branch (40" in text
    assert "is 18% above its law, which has half of a branch's inputs pass its first ReLU; behind the stem's" in text
    assert "ReLU 70% do, and with that it says 1.93." in text
    assert "a fit over these depths, and no more than that: L^2.00 ± 0.00 (tutorial), L^1.00 ± 0.00 (he2015)." in text
    text = said(experiments.init_laws, law_rows(**{"1/sqrt(L)": 1.6, "plain, Glorot": 0.5, "plain + BN": 3.0}))
    for sentence in ("above its law", "plain net with Glorot", "explodes"):
        assert sentence not in text
    assert "is 86% above its law." in said(experiments.init_laws, law_rows(**{"1/sqrt(L)": 3.0}))
    assert "does not tame it" not in said(experiments.init_laws, law_rows(**{"residual, He": 5.0}))


def spectrum_row(net: str, weights: str, quantity: str, mean: float, low: int, high: int) -> dict[str, Any]:
    row = {"net": net, "weights": weights, "quantity": quantity, "blocks": 54, "mean": around(mean, 0.2)}
    row |= {"low": low, "high": high, "range": f"{low}..{high}", "theory": None, "apart": None, "shares": [1.0]}
    return row if weights == UNTRAINED else {**row, "rate": "0.03", "error": around(0.07)}


def path_rows(signed: float, trained_signed: float, norms: float) -> list[dict[str, Any]]:
    return [
        spectrum_row("he2015", UNTRAINED, SIGNED, signed, 4, 16),
        spectrum_row("he2015", TRAINED, SIGNED, trained_signed, 0, 4),
        spectrum_row("he2015", TRAINED, NORMS, norms, 4, 14),
    ]


def test_paths_never_mix_the_two_quantities() -> None:
    text = said(experiments.paths, path_rows(9.0, 1.5, 8.0))
    assert "95% of it lies on paths through 4..14 of 54 branches, which are 0.03% of all paths (published" in text
    assert "mean at 9.00 ± 0.20 branches, untrained (he2015), and at 1.50 ± 0.20 trained; the number of paths" in text
    assert "The two are not one" in text and "he2015 7.0% ± 1.0 (rate 0.03)" in text
    text = said(experiments.paths, path_rows(27.0, 27.0, 27.0))
    for sentence in ("Veit's quantity", "The signed share of the gradient", "The two are not one"):
        assert sentence not in text


def shattering_rows(curves: dict[str, Any]) -> list[dict[str, Any]]:
    depths = (1, 2, 4, 8)
    rows = []
    for net in SHATTERING_NETS:
        seeds = [[curves[net](n) * scale for n in depths] for scale in (0.99, 1.0, 1.01)]
        at = {f"at_{n}": Spread.of(curve[i] for curve in seeds) for i, n in enumerate(depths)}
        rows.append({"net": net, "depths": list(depths), **at, "theorem": "", **fit(depths, seeds)})
    return rows


def test_shattering_names_the_law_that_fits() -> None:
    curves = {
        "plain + BN": lambda n: 0.5**n, "residual": lambda n: n**-0.5, "residual + BN": lambda n: n**-0.7,
        "he2015": lambda n: n**-2.0, "preact": lambda n: n**-1.5, "1/sqrt(L)": lambda n: 0.5,
    }  # fmt: skip
    text = said(experiments.shattering, shattering_rows(curves))
    assert "every layer multiplies the correlation by 0.50 ± 0.00: the theorem's 1/2." in text
    assert "like a power of the depth, L^-0.70 ± 0.00; the theorem has L^-0.5, where BatchNorm divides" in text
    assert "fall faster, and still like a power: he2015 L^-2.00 ± 0.00, preact L^-1.50 ± 0.00." in text
    assert "With branches of 1/sqrt(L) it stays: 0.50 ± 0.01 at 8 blocks." in text
    assert "falls slower than the theorem's (3/4)^L, 0.35 ± 0.00 at 8 blocks instead of 0.10" in text
    swapped = dict(zip(curves, reversed(curves.values())))
    text = said(experiments.shattering, shattering_rows(swapped))
    for sentence in ("every layer", "the theorem's 1/2", "fall faster", "it stays"):
        assert sentence not in text
    exact = said(experiments.shattering, shattering_rows({**curves, "residual + BN": lambda n: n**-0.5}))
    assert "L^-0.50 ± 0.00; the theorem has L^-0.5." in exact


def test_a_fit_leaves_noise_out() -> None:
    noisy = [[0.5, 0.25, 0.06, -0.01], [0.5, 0.25, 0.07, 0.02], [0.5, 0.25, 0.05, 0.01]]
    assert fit((1, 2, 4, 8), noisy)["fell"] is None


def image_rows(plain: tuple[float | None, float | None], residual: tuple[float, float]) -> list[dict[str, Any]]:
    errors = {"plain": plain, "residual": residual}
    return [
        {"net": net, "layers": layers, **trained(error)}
        for net in errors
        for layers, error in zip((20, 56), errors[net])
    ]


def test_degradation_on_images_is_told_where_the_spread_allows_it() -> None:
    text = said(experiments.degradation_resnet, image_rows((0.2, 0.4), (0.19, 0.2)))
    for sentence in (
        "At 20 layers both err alike in test: 20.0% ± 1.0 plain, 19.0% ± 1.0 residual.",
        "At 56 layers the skips save 20 points of test error: 40.0% ± 1.0 plain, 20.0% ± 1.0 residual.",
        "from 20 to 56 layers: plain 20.0% ± 1.0 -> 40.0% ± 1.0, residual 19.0% ± 1.0 -> 20.0% ± 1.0.",
        "So the deep plain net does not overfit",
    ):
        assert sentence in text
    text = said(experiments.degradation_resnet, image_rows((0.2, 0.21), (0.2, 0.2)))
    assert "save" not in text and "overfit" not in text
    text = said(experiments.degradation_resnet, image_rows((0.2, None), (0.2, 0.2)))
    assert "At 56" not in text and "overfit" not in text and "3/3 diverged" in text


def lesion_rows(plain: float, residual: float, step: float = 0.02) -> list[dict[str, Any]]:
    errors = {net: [0.2 + residual + step * i for i in range(4)] for net in ("preact", "he2015")}
    errors[PLAIN_OF_LESION] = [0.2 + plain]
    return [
        {
            "net": net,
            "blocks": 12,
            "deleted": k,
            "rate_text": "0.01",
            "error": around(e),
            "damage": around(e - 0.2),
            "moving": around(0.2),
        }
        for net, after in errors.items()
        for k, e in enumerate([0.2, *after])
    ]


def test_lesions() -> None:
    text = said(experiments.lesion, lesion_rows(0.69, 0.01))
    assert "hardly more in test: preact 20.0% ± 1.0 -> 21.0% ± 1.0" in text
    assert "A plain net falls to guessing, which errs in 90.0%: 20.0% ± 1.0 -> 89.0% ± 1.0." in text
    assert "grows with every further deletion, step by step: preact, he2015 (published: smoothly)." in text
    text = said(experiments.lesion, lesion_rows(0.3, 0.1))
    assert "a residual net loses less than a plain one: preact 20.0% ± 1.0 -> 30.0% ± 1.0, he2015" in text
    text = said(experiments.lesion, lesion_rows(0.21, 0.2))
    for sentence in ("loses less", "hardly more", "guessing", "step by step"):
        assert sentence not in text
    guessing = [{**row, "error": around(0.9)} for row in lesion_rows(0.0, 0.0)]
    assert "guessing" not in said(experiments.lesion, guessing) and "hardly" not in said(experiments.lesion, guessing)
    assert said(experiments.lesion, []) == "Every training diverged."
    assert "A plain net loses more" in said(experiments.lesion, lesion_rows(0.3, 0.01))
    assert "step by step" not in said(experiments.lesion, lesion_rows(0.3, 0.01, step=-0.01))


def identity_rows(**after: float) -> list[dict[str, Any]]:
    losses = {**dict.fromkeys(IDENTITY_NETS, 0.3), "plain, He": 0.99, "plain + BN": 0.9, "ReZero": 0.0, **after}
    rows = []
    for net, loss in losses.items():
        spread = around(loss, min(0.01, loss))
        strength = None if net in PLAIN_OF_IDENTITY else around(0.4)
        weaker = around(0.2) if net == "1/sqrt(L)" else strength
        row = {"net": net, "before": around(loss and 5.0, 0.0), **trained(loss), "test": spread, "test_moving": None}
        rows.append({**row, "strength_before": strength, "strength_after": weaker})
    return rows


def test_the_identity() -> None:
    text = said(experiments.identity, identity_rows())
    assert "Every net with skips comes nearer to the identity than the plain ones" in text
    assert "|F|/|x| in the mean over the blocks: 1/sqrt(L) 0.40 ± 0.01 -> 0.20 ± 0.01." in text
    assert "Not so in he2015, preact, preact, F = 0, ReZero:" in text
    assert "is the identity before any training: ReZero." in text
    assert "1/sqrt(L)" not in said(experiments.identity, [row for row in identity_rows() if row["net"] != "1/sqrt(L)"])
    diverged = [{**row, "strength_after": row["strength_after"] and around(None)} for row in identity_rows()]
    assert "Not so in" not in said(experiments.identity, diverged)
    text = said(experiments.identity, identity_rows(he2015=2.0))
    assert "Every net with skips" not in text and "< he2015." in text


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_single_seed_compares_nothing(seeds: int) -> None:
    rows = [
        {key: Spread(value.values[:seeds]) if isinstance(value, Spread) else value for key, value in row.items()}
        for row in shortcut_rows()
    ]
    text = said(experiments.shortcuts, rows)
    assert ("no spread is known and nothing is compared" in text) is (seeds == 1)
    assert ("As published" in text) is (seeds == SEEDS)


def u_net_rows(
    noise: tuple[float, float], overlap: tuple[float, float], shares: tuple[float, float]
) -> list[dict[str, Any]]:
    return [
        {
            "task": task,
            "skips": skips,
            "step": step,
            "rate_text": "0.01",
            "error": around(error if step else 1.0),
            "share": around(shares[step > 0]) if skips == "long" else None,
        }
        for task, errors in (("noise", noise), ("segmentation", overlap))
        for skips, error in zip(("long", "none"), errors)
        for step in (0, 400)
    ]


def test_what_long_skips_carry_is_told_where_the_spread_allows_it() -> None:
    text = said(experiments.unet_skips, u_net_rows((0.1, 0.9), (0.5, 0.8), (0.2, 0.9)))
    for sentence in (
        "After 400 steps, of the noise in digits a net with long skips misses 0.100 ± 0.010, one without 0.900 ± 0.010",
        "misses 0.500 ± 0.010, one without 0.800 ± 0.010.",
        "Noise: 20.0% ± 1.0 of the gradient behind the first encoder block came over the skip before training, 90.0% ±",
        "Segmentation: 20.0%",
    ):
        assert sentence in text
    text = said(experiments.unet_skips, u_net_rows((0.1, 0.11), (0.8, 0.5), (0.2, 0.2)))
    assert "misses" not in text and "came over the skip" not in text
    text = said(experiments.unet_skips, u_net_rows((0.1, 0.9), (0.5, 0.8), (0.8, 0.81)))
    assert "before training, and 81.0% ± 1.0 after." in text
