"""The page in a real browser: every control changes what it should, and what is shown is right to the digit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Opened

pytestmark = pytest.mark.slow  # each takes seconds; CI runs them with the engine that it has built
SMALL = "#blocks=4&units=8&batch=16"


def look(opened: Opened, net: str = "residual") -> Any:
    return opened.told(f"tinyres.frame.nets.{net}.look")


def test_it_opens_training_and_says_what_it_sees(opened: Opened) -> None:
    opened.page.goto(opened.url)
    opened.until("tinyres.frame && tinyres.frame.step > 3")
    told = opened.page.text_content("#live")
    assert re.match(r"Step \d+\. With skips block 0 receives .* what block 15 receives; without them, .*", told)
    assert opened.page.locator("#answers button").count() == 3
    opened.page.click("#answers button:nth-child(1)")
    opened.until("document.getElementById('revealed').textContent.includes('At step')")


def test_run_pause_step_restart_and_rewind(opened: Opened) -> None:
    opened.go(SMALL)
    opened.to(12)
    seen = opened.losses()
    opened.page.click("#one")
    opened.until("tinyres.frame.step === 13")
    assert opened.losses() != seen
    opened.told(
        "(() => { const r = document.getElementById('rewind'); r.value = 12; r.dispatchEvent(new Event('input')); })()"
    )
    opened.until("tinyres.frame.step === 12")
    assert opened.losses() == seen
    opened.page.click("#restart")
    opened.until("tinyres.frame.step === 0")
    opened.to(12)
    assert opened.losses() == seen


RECORDED = {
    "block": "preact", "initializer": "he_uniform", "activation": "tanh", "optimizer": "sgd", "batch": "32",
    "data": "spirals",
}  # fmt: skip


@pytest.mark.parametrize("name", [*RECORDED, "blocks", "units"])
def test_controls_of_what_is_recorded(opened: Opened, name: str) -> None:
    opened.go(SMALL)
    opened.to(2)
    before = opened.losses()
    if name in RECORDED:
        opened.choose(name, RECORDED[name])
    else:
        opened.page.focus(f"#c-{name}")
        opened.page.keyboard.press("ArrowRight")
    key = {"data": "features"}.get(name, name)
    wanted = {"data": "2", "blocks": "5", "units": "9"}.get(name, json.dumps(RECORDED.get(name)).strip('"'))
    opened.until(f"String(tinyres.opened?.{key}) === '{wanted}' && tinyres.frame?.step === 0")
    opened.to(2)
    assert opened.losses() != before
    if name == "blocks":
        assert opened.page.locator(".tr-ribbon[data-net=residual] .tr-cell[data-block]").count() == 5
    if name == "data":
        assert opened.page.is_visible("#f-plane")


@pytest.mark.parametrize("name, value", [("lr", "-1"), ("skip", "0.5"), ("branch", "0.5")])
def test_controls_that_act_at_once(opened: Opened, name: str, value: str) -> None:
    opened.go(SMALL)
    opened.to(3)
    weights = look(opened)["blocks"][0]
    opened.choose(name, value)
    opened.until(f"tinyres.frame.events.some(([step, name]) => step === 3 && name === '{name}')")
    if name != "lr":
        assert look(opened)["blocks"][0] != weights
    opened.to(6)
    changed = opened.losses()
    opened.page.click("#restart")
    opened.until("tinyres.frame.step === 0 && tinyres.frame.events.length === 0")
    opened.to(6)
    assert opened.losses() != changed


def test_another_seed_draws_other_weights_in_both_nets(opened: Opened) -> None:
    opened.go(SMALL)
    before = look(opened)["blocks"]
    opened.choose("seed", "7")
    opened.until("tinyres.frame.step === 0 && tinyres.state.seed === 7")
    opened.page.wait_for_timeout(200)
    assert look(opened)["blocks"] != before
    weights = [
        [p["value_norm"] for p in look(opened, net)["parameters"] if not p["name"].endswith("/skip/scale")]
        for net in ("residual", "plain")
    ]
    assert len(weights[0]) > 8 and weights[0] == weights[1]


def test_the_plain_twin_has_no_skip(opened: Opened) -> None:
    opened.go(SMALL)
    opened.to(3)
    assert [b["skip"] for b in look(opened, "plain")["blocks"]] == [0.0] * 4
    assert all(abs(b["skip"]) > 0 for b in look(opened)["blocks"])


def test_the_digits_of_the_ledger_add_up_as_they_are_shown(opened: Opened) -> None:
    opened.go(SMALL)
    for step in (0, 5, 20):
        opened.to(step)
        for block in range(4):
            opened.page.click(f".tr-ribbon[data-net=residual] .tr-cell[data-block='{block}']")
            total, skip, branch = (
                Decimal(opened.page.get_attribute("#sum", f"data-{n}")) for n in ("total", "skip", "branch")
            )
            assert total == skip + branch
            shown = re.search(
                r":  ([-\d.]+) = ([-\d.]+) over the skip \+ ([-\d.]+) through", opened.page.text_content("#sum")
            )
            assert [Decimal(d) for d in shown.groups()] == [total, skip, branch]
            known = look(opened)["blocks"][block]
            unit = float(Decimal(1).scaleb(total.as_tuple().exponent))
            assert abs(float(skip) - known["skip"] * known["grad_norm"]) <= 1.5 * unit
            assert abs(float(branch) - known["branch"] * known["grad_norm"]) <= 2.5 * unit


def test_a_block_is_taken_out_and_a_skip_is_cut(opened: Opened) -> None:
    opened.go(SMALL)
    opened.to(3)
    opened.page.click(".tr-ribbon[data-net=residual] .tr-cell[data-block='2']")
    opened.page.click("text=Lesion the block")
    opened.until("Math.abs(tinyres.frame.nets.residual.look.blocks[2].branch) === 0")
    opened.page.click("text=Put the branch back")
    opened.until("Math.abs(tinyres.frame.nets.residual.look.blocks[2].branch) > 0")
    opened.page.click("text=Cut the skip")
    opened.until("Math.abs(tinyres.frame.nets.residual.look.blocks[2].skip) === 0")
    assert abs(look(opened)["blocks"][1]["skip"]) > 0


ADDRESSES = [
    "#blocks=3&units=6&batch=16",
    "#block=preact&blocks=2&units=5&batch=16&seed=3",
    "#block=tutorial&blocks=2&units=8&batch=16&optimizer=sgd&lr=0.05",
    "#block=skipinit&blocks=3&units=8&batch=16",
    "#block=residual&blocks=2&units=8&batch=16&data=xor&activation=tanh",
    "#block=rezero&blocks=4&units=8&batch=16&lr=0.03",
    "#block=preact_plain&blocks=3&units=7&batch=32&optimizer=sgd&lr=0.003",
    "#block=plain&blocks=2&units=8&batch=16&seed=2147483647",
    "#block=plain_batchnorm&blocks=2&units=9&batch=16",
    "#block=he2015&blocks=1&units=2&batch=128&data=rings",
    "#block=he2015&blocks=9&units=16&batch=64&data=spirals&optimizer=sgd&lr=0.1",
    "#block=tutorial&blocks=3&units=12&batch=16&initializer=lecun_normal",
    "#block=preact&blocks=2&units=8&batch=16&initializer=he_uniform&activation=gelu",
    "#block=residual&blocks=3&units=8&batch=16&initializer=glorot_normal&activation=silu",
    "#block=residual&blocks=2&units=8&batch=16&activation=elu&skip=0.5&branch=0.25",
    "#block=skipinit&blocks=2&units=33&batch=16&activation=softplus",
    "#block=rezero&blocks=2&units=8&batch=16&activation=leaky_relu&data=rings",
    "#block=tutorial&blocks=2&units=8&batch=16&activation=sigmoid&skip=1.2",
    "#blocks=2&units=128&batch=16&events=1~skip:0~0_2~branch:1~0.5_3~lr~0.02",
    "#blocks=24&units=6&batch=16&branch=0&lr=0.0001",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_and_its_script_give_the_same_bits(opened: Opened, address: str, tmp_path: Path) -> None:
    """There and back again, and in Python: with a change on the way."""
    opened.go(address)
    opened.to(4)
    opened.choose("lr", "-2.5")
    opened.choose("skip", "0.8")
    opened.until("tinyres.frame.events.filter(([at]) => at === 4).length === 2")
    opened.to(9)
    seen = opened.losses()
    opened.page.click("#python")
    script = opened.page.text_content("#script")
    address_now = opened.told("location.hash")
    opened.go(address_now, stopped=False)
    opened.until("tinyres.frame.step === 9")
    assert opened.losses() == seen
    opened.told("document.getElementById('link').click()")
    assert opened.told("location.hash") == address_now
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run([sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "9" and [np.float32(v) for v in last[1:]] == [np.float32(v) for v in seen]


def test_a_nan_is_a_result(opened: Opened) -> None:
    opened.go("#block=preact_plain&blocks=6&units=8&batch=16&optimizer=sgd&lr=3")
    opened.to(40)
    assert not all(np.isfinite(v) if v is not None else False for v in opened.losses())
    assert "not a number" in opened.page.text_content("#live")
    opened.page.click("#restart")
    opened.until("tinyres.frame.step === 0 && Number.isFinite(tinyres.frame.nets.residual.loss)")


def test_a_table_of_ones_own_stays_in_the_page(opened: Opened, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [f"{a:.4f},{b:.4f},{c:.4f},{'yes' if a + b > 0 else 'no'}" for a, b, c in rng.normal(size=(80, 3))]
    (tmp_path / "mine.csv").write_text("a,b,c,label\n" + "\n".join(rows))
    opened.go(SMALL)
    sent: list[bytes] = []
    opened.page.on("request", lambda r: sent.append((r.post_data or "").encode()))
    opened.choose("data", "own")
    opened.page.set_input_files("#c-own", str(tmp_path / "mine.csv"))
    opened.until("tinyres.opened?.features === 3 && tinyres.opened?.classes === 2 && tinyres.frame")
    opened.to(3)
    assert all(np.isfinite(opened.losses()))
    assert not any(rows[0][:6].encode() in body for body in sent)
    (tmp_path / "bad.csv").write_text("1,2,a\n" * 5 + "1,x,b\n" * 5)
    opened.page.set_input_files("#c-own", str(tmp_path / "bad.csv"))
    opened.until("document.getElementById('status').textContent.includes('row 6 must have 2 numbers')")


def test_a_saved_trace_is_shown(opened: Opened, tmp_path: Path) -> None:
    import tinyres as tr

    x = tr.tensor([1.0, 2.0], requires_grad=True, name="x")
    tr.Graph(tr.sum(tr.tanh(x) + x)).trace().save(tmp_path / "trace.json")
    opened.go(SMALL)
    opened.page.set_input_files("#trace", str(tmp_path / "trace.json"))
    opened.page.wait_for_selector("#dropped table")
    assert "tanh" in opened.page.text_content("#dropped")
    (tmp_path / "none.json").write_text("{}")
    opened.page.set_input_files("#trace", str(tmp_path / "none.json"))
    opened.until("document.getElementById('status').textContent.includes('is no trace')")


@pytest.mark.parametrize("view", ["ribbon", "norms", "heat"])
def test_a_view_is_saved_as_a_picture(opened: Opened, view: str, tmp_path: Path) -> None:
    opened.go(SMALL)
    opened.to(2)
    for kind, magic in (("SVG", b"<svg xmlns"), ("PNG", b"\x89PNG")):
        with opened.page.expect_download() as waiting:
            opened.page.click(f"#f-{view} .save >> text={kind}")
        waiting.value.save_as(tmp_path / "picture")
        assert (tmp_path / "picture").read_bytes().startswith(magic)


def test_the_library_is_asked_at_any_step(opened: Opened, tmp_path: Path) -> None:
    """Its sentences are of the step that is shown, and the report is one file with both nets."""
    opened.go(SMALL)
    opened.to(7)
    at_the_start = opened.page.text_content("#told")
    opened.page.click("#now")
    opened.until("document.getElementById('told').textContent.includes('at step 7')")
    assert opened.page.text_content("#told") != at_the_start
    with opened.page.expect_download() as waiting:
        opened.page.click("#report")
    waiting.value.save_as(tmp_path / "report.html")
    report = (tmp_path / "report.html").read_text()
    assert "with skips" in report and not re.search(r'(src|href)="(?!#)', report)
    losses = [f"{loss:.3g}" for loss in opened.losses()]
    opened.to(8)
    next_losses = [f"{loss:.3g}" for loss in opened.losses()]
    assert all(loss in report for loss in next_losses) and next_losses != losses


def test_a_skip_is_turned_by_dragging_its_block(opened: Opened) -> None:
    """A hundred pixels are 1; the same is then in the ledger, the address and the gradient. A click is no drag."""
    opened.go(SMALL)
    opened.to(3)
    cell = opened.page.locator(".tr-ribbon[data-net=residual] .tr-cell[data-block='1']")
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    opened.page.mouse.move(x, y)
    opened.page.mouse.down()
    opened.page.mouse.move(x, y + 20)
    opened.page.mouse.move(x + 5, y + 60)
    opened.page.mouse.up()
    opened.until("tinyres.frame.events.some(([at, name, value]) => at === 3 && name === 'skip:1' && value === 0.4)")
    assert opened.page.text_content("#f-ledger caption").startswith("Block 1")
    opened.until("document.querySelector('#f-ledger output').textContent === '0.4'")
    opened.page.wait_for_timeout(50)
    opened.page.locator(".tr-ribbon[data-net=residual] .tr-cell[data-block='2']").click()
    opened.until("document.querySelector('#f-ledger caption').textContent.startsWith('Block 2')")
    assert opened.told("tinyres.frame.events.length") == 1


def test_a_view_away_from_the_screen_is_drawn_when_nothing_runs_and_when_it_comes(opened: Opened) -> None:
    """Only what is seen is drawn while it runs; a page that stands still, or is printed, shows all of it."""
    drawn = "tinyres.views.norms.drawing.plot.data[1].filter((v) => v > 0).length"
    opened.page.set_viewport_size({"width": 1280, "height": 300})
    opened.go(SMALL)
    assert opened.told(drawn) == 4
    opened.page.click("#run")
    opened.until("tinyres.frame.step > 5")
    shown = "tinyres.views.norms.drawing.plot.data[1][0] === tinyres.frame.nets.residual.look.blocks[0].grad_norm"
    assert not opened.told(shown)
    opened.told("document.getElementById('f-norms').scrollIntoView()")
    opened.until(shown)
