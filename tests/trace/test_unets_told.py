"""The ledger of U-Nets: a row for each skip across, called after its ends, its share that of the edge into the join."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from u_nets import X, Y, by_hand, no_u

import tinyres as tr
from tinyres.trace import Trace
from tinyres.trace.lint import lint_trace


def traced(levels: int, skips: str | None = "concatenate", residual: bool = True, time: bool = False) -> Trace:
    tr.manual_seed(0)
    model = tr.applications.unet(
        (16, 16, 1), widths=(8, 16, 16, 16)[:levels], skips=skips, residual=residual, time=time
    )
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((4, 16, 16, 1)).astype("float32") for _ in range(2))
    return model.graph([x, np.arange(4, dtype="float32")] if time else x, y).trace()


@pytest.mark.parametrize("time", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("skips", ["concatenate", "add"])
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_rows_and_shares(levels: int, skips: str, residual: bool, time: bool) -> None:
    trace = traced(levels, skips, residual, time)
    across = [b for b in trace.blocks if b.across]
    assert [b.name for b in across] == [f"down{i}→up{i}" for i in reversed(range(levels))]
    down = [f"down{i}" for i in range(levels)]
    up = [name for i in reversed(range(levels)) for name in (f"down{i}→up{i}", f"up{i}")]
    assert [b.name for b in trace.blocks] == [*down, "middle", *up]
    joins = [b.fork.join for b in trace.blocks if b.fork is not None]
    assert len(joins) == len(set(joins))
    for block in across:
        (edge,) = [e for e in block.fork.edges if e.kind == "skip"]
        assert edge.dst == block.join.name and block.skip == edge.share
        assert block.branch == pytest.approx(1 - edge.share, abs=1e-4)
    assert trace.audit().ok and not trace.verdict() and not lint_trace(trace)


def test_without_skips_across_it_has_no_such_rows() -> None:
    trace = traced(3, None)
    assert [b.name for b in trace.blocks] == ["down0", "down1", "down2", "middle", "up2", "up1", "up0"]
    assert not any(b.across for b in trace.blocks) and not trace.verdict()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("join", ["concatenate", "add"])
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_a_u_by_hand_has_its_rows_with_scopes_and_without(levels: int, join: str, residual: bool) -> None:
    for scoped in (False, True):
        trace = by_hand(levels, join, residual, scoped).graph(X, Y).trace()
        across = [b for b in trace.parts if b.across]
        only = ["encoder→decoder"] if scoped and levels == 2 else [f"across{i}" for i in reversed(range(levels - 1))]
        assert [b.name for b in across] == only
        ends = [(b.fork.node, b.join.name) for b in across]
        assert ends == sorted(ends, key=lambda ends: [n.name for n in trace.nodes].index(ends[1]))
        for block in across:
            (edge,) = [e for e in block.fork.edges if e.kind == "skip"]
            assert edge.dst == block.join.name and block.skip == edge.share
        assert trace.audit().ok and not lint_trace(trace)
        names = [n.name for b in trace.parts for n in b.nodes]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("kind", ["bottleneck", "dense net", "stage", "mixer", "squeezed"])
def test_what_leads_over_nothing_smaller_leads_not_across(kind: str) -> None:
    assert not any(b.across for b in no_u(kind).graph(X, Y[:, ::2, ::2] if kind == "stage" else Y).trace().parts)


@pytest.mark.slow
def test_no_factor_per_block_where_the_gradient_comes_across() -> None:
    across, chain = tr.compare(across=traced(4), chain=traced(4, None)).rows()
    assert across["rate"] is None and chain["rate"] is not None
    assert (across["first"], across["last"]) == ("down0", "up0")


def test_files_keep_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    trace = traced(2)
    trace.save(tmp_path / "unet.json")
    loaded = Trace.load(tmp_path / "unet.json")
    assert [(b.name, b.across, b.skip) for b in loaded.blocks] == [(b.name, b.across, b.skip) for b in trace.blocks]


def test_a_lesion_of_skips_cuts_each_once() -> None:
    tr.manual_seed(0)
    model = tr.applications.unet((8, 8, 1), widths=(8, 16), skips="add", residual=False)
    x = np.random.default_rng(0).standard_normal((4, 8, 8, 1)).astype("float32")
    lesions = tr.lesion(model, x, x, what="skip", loss="mse")
    assert sorted(cut.name for cut in lesions) == ["down0→up0", "down1→up1"]
    assert lesions.zeroed == () and "zeros stood" not in str(lesions)


def test_a_lesion_of_one_long_skip_leaves_zeros_in_its_channels() -> None:
    tr.manual_seed(0)
    model = tr.applications.unet((8, 8, 1), widths=(8, 16), residual=True, time=True)
    x = np.random.default_rng(0).standard_normal((4, 8, 8, 1)).astype("float32")
    given = [x, np.arange(4, dtype="float32")]
    before = model.predict(given)
    lesions = tr.lesion(model, given, x, ["down0→up0"], what="skip", loss="mse")
    assert [cut.name for cut in lesions] == ["down0→up0"] and lesions.cuts[0].loss != lesions.loss
    assert "zeros stood in the channels of the skip of down0→up0" in str(lesions)
    join = model.get_layer("up0/join")
    call = join.call
    join.call = lambda inputs: call([inputs[0], inputs[1] * 0.0])  # type: ignore[method-assign]
    model.compile("adam", "mse")
    (lost,) = model.evaluate(given, x, capture=False, verbose=0)
    assert lost == pytest.approx(lesions.cuts[0].loss, rel=1e-6)
    del join.call
    assert np.array_equal(model.predict(given), before)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_the_twin_without_skips_keeps_its_weights_and_says_where_zeros_stand(levels: int) -> None:
    tr.manual_seed(0)
    model = tr.applications.unet((16, 16, 1), widths=(8, 16, 16, 16)[:levels])
    twin = model.without_skips()
    joins = [path for path in model.named_layers() if path.endswith("/join")]
    assert [type(twin.get_layer(path)).__name__ for path in joins] == ["ConcatenateZeros"] * levels
    assert list(twin.named_weights())[0] in model.named_weights()
    x = np.random.default_rng(0).standard_normal((2, 16, 16, 1)).astype("float32")
    trace = twin.graph(x, x, loss="mse").trace(audit="full")
    assert trace.audit().ok and not any(b.across or b.skip for b in trace.blocks)


def test_that_shares_sum_to_1_is_said_only_where_they_do(tmp_path: Path) -> None:
    """Behind the lowest level the middle's own fork and the skip across share a node: neither has all of its |g|."""
    shared = traced(2)
    middle = next(b for b in shared.blocks if b.name == "middle")
    assert abs(middle.skip + middle.branch - 1) > 0.1
    for trace, whole in ((shared, False), (traced(2, residual=False), True)):
        trace.export(tmp_path / "t.html")
        page = (tmp_path / "t.html").read_text()
        assert ("shares of it sum to 1" in str(trace)) == ("they sum to 1" in page) == whole
        assert ("what they miss to 1 came by other ways" in str(trace)) == ("came by other ways" in page) != whole


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("levels", [2, 3, 4])
def test_what_came_across_is_told_of_the_first_level(levels: int, residual: bool) -> None:
    trace = traced(levels, residual=residual)
    (told,) = tr.compare(net=trace).sentences
    across, own = trace["down0→up0"].skip, trace["down0"].skip
    assert told.endswith(f"Of that behind down0 {across:.0%} came over down0→up0, the rest from below.")
    assert (f"; in down0 {own:.0%} of it came over the skip." in told) if residual else "over the skip" not in told


def test_a_u_without_blocks_is_told_by_its_layers() -> None:
    trace = by_hand(3).graph(X, Y).trace()
    (told,) = tr.compare(net=trace).sentences
    assert told.startswith("net: the gradient at conv2d is ") and told.endswith("the rest from below.")
    assert "behind re_lu_1 " in told and f" {trace['across0'].skip:.0%} came over across0" in told


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("join", ["concatenate", "add"])
def test_models_and_traces_find_the_same_skips_across(join: str, residual: bool) -> None:
    model = by_hand(4, join, residual)
    lesions = tr.lesion(model, X, Y, what="skip", loss="mse")
    across = {b.name for b in model.graph(X, Y).trace().parts if b.across}
    assert across == {"across0", "across1", "across2"} <= {cut.name for cut in lesions}
    assert set(lesions.zeroed) == (across if join == "concatenate" else set())
    twin = model.without_skips()
    assert not any(b.across for b in twin.graph(X, Y, loss="mse").trace().parts)
