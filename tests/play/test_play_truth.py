"""What the page says is true when it is shown: refused nets, gradients of 0 and NaN, tables, strange addresses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import Opened

from tinyres.errors import ArgumentError, FileError
from tinyres.play.nets import Net
from tinyres.play.recording import recorded
from tinyres.play.table import read
from tinyres.play.wasm import WASM
from tinyres.store import text

SMALL = "#blocks=4&units=8&batch=16"


def module(name: str) -> str:
    return f'await import("{(WASM.parent / name).as_posix()}")'


NET = """
const blocks = (...norms) => norms.map((grad_norm) => ({ grad_norm }));
const look = (first, last, kind) => ({ nodes: [], edges: [{ kind }], blocks: blocks(first, last) });
const net = (first, last, kind = "skip") => ({ loss: 1, look: look(first, last, kind) });
const frame = (residual, plain) => ({ step: 3, nets: { residual, plain } });
"""


def test_a_gradient_of_nothing_is_not_as_steady_as_one_that_arrives(node: Any) -> None:
    body = f"""const {{ OPENING, times }} = {module("question.mjs")}; {NET}
    const right = (...pair) => OPENING.right(frame(...pair));
    const seen = [right(net(1, 1), net(0, 1)), right(net(NaN, 1), net(1, 1)), right(net(0, 0), net(0, 0))];
    return [...seen, times(NaN), times(1 / 33)];"""
    assert node(body) == [0, 1, 2, "no countable multiple (one is 0 or not finite) of", "1/33 of"]


def test_blocks_without_skips_are_not_told_as_with_skips(node: Any) -> None:
    body = f"""const {{ liveSentence }} = {module("question.mjs")}; {NET}
    return ["skip", "chain"].map((kind) => liveSentence(frame(net(2, 1, kind), net(2, 1, kind))));"""
    with_skips, chain = node(body)
    assert with_skips.startswith("Step 3. With skips block 0 receives 2 ×")
    assert chain == (
        "Step 3. These blocks have no skips, so both nets are the same: block 0 receives 2 × what block 1 receives. "
        "The loss is 1.000."
    )


@pytest.mark.parametrize(
    "part", ["at=-5", "at=2.5", "stop=1.5", "stop=-1", "seed=1.5", "seed=-1", "seed=1e30", "lr=-1", "events=3~lr~-1"]
)
def test_an_address_that_cannot_be_is_read_as_if_it_said_nothing(node: Any, part: str) -> None:
    body = f"const {{ fromAddress, DEFAULTS }} = {module('state.mjs')}; return [fromAddress(given), DEFAULTS];"
    seen, usual = node(body, f"#{part}")
    assert seen == usual


TABLES = {
    "names": "width;height;kind\n" + "\n".join(f"{i * 0.37:.3f};{i * i % 7};{'ab'[i % 2]}" for i in range(23)),
    "numbers": "\n".join(f"{i / 3:.7f},{-i * 1e7},{1e-3 * (i % 5)},{10 - i % 11}" for i in range(64)),
    "still": "\ufeff" + "\n\n".join(f"1\t{i % 3}\t{'x9'[i % 2]}" for i in range(17)) + "\r\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_the_same_here_and_in_the_page(node: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(TABLES[name], encoding="utf-8")
    body = f"""const {{ fromText }} = {module("own.mjs")}, d = fromText(given);
    return [bits(d.x), [...d.y], d.trained, d.classes];"""
    data = read(str(tmp_path / "mine.csv"))
    here = [data.x.tobytes().hex(), data.y.tolist(), data.trained, data.classes]
    assert node(body, TABLES[name].removeprefix("\ufeff")) == here


@pytest.mark.parametrize("row", ["nan,1,a", "1e300,1,a", "1,2,", "1,2,3,a", ",1,a"])
@pytest.mark.parametrize("first", [True, False])
def test_a_row_that_is_none_is_named_and_not_dropped(node: Any, row: str, first: bool) -> None:
    good = [f"{i},{i % 3},{'ab'[i % 2]}" for i in range(12)]
    body = f"""const {{ fromText }} = {module("own.mjs")};
    try {{ return fromText(given).x.length; }} catch (error) {{ return error.message; }}"""
    told = node(body, "\n".join([row, *good] if first else [*good, row]))
    assert "numbers and a class; got" in str(told) or (first and row == "1,2,3,a" and "row 2" in str(told)), told


def test_a_table_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="a table is a file that can be read"):
        read(str(tmp_path / "none.csv"))
    (tmp_path / "bad.csv").write_text("1,2,a\n1,1e39,b\n")
    with pytest.raises(ArgumentError, match="row 2 must have 2 numbers and a class"):
        read(str(tmp_path / "bad.csv"))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ArgumentError, match="got none"):
        read(str(tmp_path / "empty.csv"))


@pytest.mark.parametrize(
    ("features", "classes", "words"), [(2, 3, "the first 16 rows of spirals"), (3, 2, "16 random rows")]
)
def test_a_record_says_which_rows_it_was_told_at(features: int, classes: int, words: str) -> None:
    """It goes by the shape alone: rings have that of spirals, a table of one's own any."""
    made = recorded(Net(blocks=1, units=4, features=features, classes=classes, batch=16))
    head = text.decoded(made[4 : 4 + int.from_bytes(made[:4], "little")])
    assert head["told"]["residual"]["rows"] == words


@pytest.mark.slow
def test_a_net_that_is_refused_leaves_the_page_with_the_one_it_shows(opened: Opened) -> None:
    opened.go(SMALL)
    opened.to(3)
    opened.choose("units", "4.9")
    opened.until("tinyres.opened?.units === 128 && tinyres.frame")
    opened.choose("blocks", "4.9")
    opened.until("document.getElementById('status').textContent.includes('at most 2,000,000 weights')")
    assert opened.told("[tinyres.state.blocks, tinyres.opened.blocks]") == [4, 4]
    assert opened.page.text_content("label[for=c-blocks] output") == "4"
    opened.page.click("#python")
    assert "blocks=4, units=128" in opened.page.text_content("#script")
    opened.wrong.clear()  # the answer 422 is written to the console


@pytest.mark.slow
@pytest.mark.parametrize("address", ["#blocks=0", "#data=own", "#activation=nope"])
def test_a_first_net_that_is_refused_is_not_said_to_load_for_ever(opened: Opened, address: str) -> None:
    opened.page.goto("about:blank")
    opened.page.goto(opened.url + address)
    opened.until("document.getElementById('live').textContent.startsWith('No net is open yet')")
    opened.choose("blocks", "1.1")
    opened.choose("data", "xor")
    if address.startswith("#act"):
        opened.choose("activation", "tanh")
    opened.until("tinyres.frame?.nets.residual.look.blocks.length === 3")
    opened.wrong.clear()  # the answer 422 is written to the console


@pytest.mark.slow
def test_a_far_step_is_trained_up_to_in_sight_and_a_stop_that_is_none_is_no_tour(opened: Opened) -> None:
    opened.page.goto("about:blank")
    opened.page.goto(f"{opened.url}{SMALL}&at=1000000000&stop=99")
    opened.until("tinyres.frames > 2 && tinyres.frame.step > 0")
    opened.page.click("#one")
    opened.page.wait_for_timeout(300)
    here = opened.step
    opened.page.wait_for_timeout(300)
    assert opened.step == here < 1_000_000_000


@pytest.mark.slow
def test_the_script_of_a_table_of_ones_own_gives_the_same_bits(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(TABLES["names"])
    opened.go(SMALL)
    opened.choose("data", "own")
    opened.until("!document.querySelector('#c-own').closest('.control').hidden")
    opened.page.set_input_files("#c-own", str(tmp_path / "mine.csv"))
    opened.until("tinyres.opened?.features === 2 && tinyres.frame")
    opened.to(5)
    opened.page.click("#python")
    (tmp_path / "script.py").write_text(opened.page.text_content("#script"))
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "5" and [np.float32(v) for v in last[1:]] == [np.float32(v) for v in opened.losses()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "words"),
    [
        (SMALL, "passes the ReLU behind the Add, which multiplies |g| by 0."),
        (f"{SMALL}&activation=tanh", "passes the activation behind the Add, which multiplies |g| by"),
        (f"{SMALL}&block=preact", ""),
    ],
)
def test_the_ledger_names_what_stands_behind_the_add_if_anything(opened: Opened, address: str, words: str) -> None:
    opened.go(address)
    opened.to(2)
    told = opened.page.text_content("#v-ledger p.soft")
    assert words in told if words else told == ""


@pytest.mark.slow
def test_a_net_of_ones_own_ends_the_tour_whose_question_is_about_another(opened: Opened) -> None:
    opened.page.goto("about:blank")
    opened.page.goto(f"{opened.url}#stop=7")
    opened.until("document.getElementById('h-ask').textContent.startsWith('8 of 9') && tinyres.frame")
    opened.choose("blocks", "1.1")
    opened.until("tinyres.frame?.nets.residual.look.blocks.length === 3")
    assert opened.page.text_content("#h-ask") == "Your guess first" and opened.page.is_hidden("#stops")
    assert "stop" not in opened.told("location.hash")


@pytest.mark.slow
def test_a_seed_that_is_none_does_not_stay_in_its_field(opened: Opened) -> None:
    opened.go(f"{SMALL}&seed=3")
    for wrong in ("-5", "3000000000", ""):
        opened.choose("seed", wrong)
        assert opened.page.input_value("#c-seed") == "3" and opened.told("tinyres.state.seed") == 3


@pytest.mark.slow
def test_that_a_net_is_waited_for_is_said(opened: Opened) -> None:
    """Deep ones take seconds to record, in which the page seemed to have missed the change."""
    opened.page.goto("about:blank")
    opened.page.goto(f"{opened.url}#block=preact&blocks=64&units=16&batch=16")
    opened.until("document.getElementById('status').textContent === 'Waiting for the record of 64 blocks of 16 …'")
    assert opened.page.text_content("#live") == "The engine is loaded; the net is still to come."
    opened.until("tinyres.frames > 0")
    assert opened.page.text_content("#status").startswith("Opened 64 blocks of 16 in ")


@pytest.mark.slow
def test_what_could_not_be_copied_is_not_said_to_be(opened: Opened) -> None:
    opened.go(SMALL)
    told: dict[str, list[str]] = {"link": [], "python": []}
    for refuses in ("", "void (navigator.clipboard.writeText = () => Promise.reject(new Error('no')))"):
        opened.told(refuses or "0")
        for button, words in told.items():
            opened.told("void (document.getElementById('status').textContent = '')")
            opened.page.click(f"#{button}")
            opened.until("document.getElementById('status').textContent")
            words.append(opened.page.text_content("#status"))
    copied, bar = told["link"]
    assert copied.endswith("is copied.") and bar.endswith("it could not be copied.")
    copied, below = told["python"]
    assert copied.startswith("Copied: a script") and below.startswith("Below stands a script")
