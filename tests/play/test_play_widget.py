"""The views in a notebook: what they show is a trace of the moment, in a real notebook and in a real browser."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, MissingExtraError
from tinyres.play.bundle import bundled, imported, source
from tinyres.store import text


def small_model() -> tuple[tr.Model, np.ndarray, np.ndarray]:
    tr.manual_seed(0)
    inputs = h = tr.Input(shape=(6,))
    for i in range(3):
        with tr.name_scope(f"block{i}"):
            h = tr.layers.blocks.residual(h, 6)
    model = tr.Model(inputs, tr.layers.Dense(3, activation="softmax")(h), name="small")
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    return model, rng.normal(size=(40, 6)).astype(np.float32), rng.integers(0, 3, 40)


def test_without_anywidget_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinyres.play import notebook

    notebook._view_class.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    model, x, y = small_model()
    with pytest.raises(MissingExtraError, match=r"\[widget\] .*python3 -m pip install 'tinyres\[widget\]'"):
        tr.play.widget(model, x, y)
    notebook._view_class.cache_clear()


def test_a_view_follows_a_training() -> None:
    pytest.importorskip("anywidget")
    model, x, y = small_model()
    view = tr.play.widget(model, x[:16], y[:16])
    trace = model.graph(x[:16], y[:16]).trace(audit=False)
    frame = text.decoded(view._frame.encode())
    assert frame["step"] == 0 and frame["losses"] == [[0, trace.loss, None]]
    assert frame["blocks"] == json.loads(json.dumps(trace.rows("block")))
    assert [row["share"] for row in frame["edges"]] == [row["share"] for row in trace.rows("edge")]
    plain, *_ = small_model()
    losses = plain.fit(x, y, 8, 2, verbose=0, shuffle=False).history["loss"]
    watched = model.fit(x, y, 8, 2, verbose=0, shuffle=False, callbacks=[view.follow(every=4)])
    assert watched.history["loss"] == losses  # nothing of the training is changed
    assert view.steps == [0, 4, 8]
    view.look()
    assert view.steps == [0, 4, 8, 9]
    last = text.decoded(view._frame.encode())
    assert [step for step, *_ in last["losses"]] == view.steps
    assert last["losses"][-1][1] == model.graph(x[:16], y[:16]).trace(audit=False).loss
    model.fit(x, y, 8, 1, verbose=0, callbacks=[view.follow(every=5)])
    assert view.steps == [0, 5]


def test_what_is_no_net_of_blocks_is_refused_in_words() -> None:
    pytest.importorskip("anywidget")
    model, x, y = small_model()
    with pytest.raises(ArgumentError, match=r"\[widget\] what is shown is a tr\.Model; got list"):
        tr.play.widget([], x, y)
    for every in (0, -1, True, 2.0):
        with pytest.raises(ArgumentError, match=r"\[follow\] every counts steps"):
            tr.play.widget(model, x[:8], y[:8]).follow(every)
    u_net = tr.applications.unet(input_shape=(8, 8, 1), widths=(4, 8))
    images = np.zeros((2, 8, 8, 1), np.float32)
    with pytest.raises(ArgumentError, match=r"\[widget\] .* a U; look at its trace\.ribbon\(\)"):
        tr.play.widget(u_net, images, images, loss="mse")


def test_modules_become_one_script() -> None:
    names = imported("live.mjs")
    assert names[-1] == "live.mjs" and names.index("view/strands.mjs") < names.index("ribbons.mjs")
    script = bundled("live.mjs")
    assert "\nimport " not in script and "\nexport " not in script
    for name in names:
        assert script.count(f'modules["{name}"] = ') == 1


def test_a_notebook_runs_it(tmp_path: Path) -> None:
    """Run as `jupyter nbconvert --execute` does, with the state of the widget in the file."""
    for name in ("anywidget", "nbformat", "ipykernel"):
        pytest.importorskip(name)
    preprocessors, nbformat = pytest.importorskip("nbconvert.preprocessors"), sys.modules["nbformat"]
    cells = [
        "import numpy as np\nimport tinyres as tr",
        "i = h = tr.Input(shape=(6,))\nfor _ in range(2): h = tr.layers.blocks.preact(h, 6)\n"
        "model = tr.Model(i, tr.layers.Dense(1)(h)); model.compile(loss='mse')\n"
        "x, y = np.ones((8, 6), np.float32), np.ones((8, 1), np.float32)\nview = tr.play.widget(model, x, y)\nview",
        "_ = model.fit(x, y, verbose=0, epochs=3, callbacks=[view.follow(every=1)])\nview.steps",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    preprocessors.ExecutePreprocessor(timeout=120, kernel_name="python3").preprocess(
        notebook, {"metadata": {"path": str(tmp_path)}}
    )
    shown = notebook.cells[1].outputs[-1]["data"]
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert notebook.cells[2].outputs[-1]["data"]["text/plain"] == "[0, 1, 2, 3]"
    states = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    frames = [state["state"]["_frame"] for state in states if "_frame" in state["state"]]
    assert [json.loads(frame)["step"] for frame in frames] == [3]


HOST = """
const given = JSON.parse(document.getElementById("given").textContent), heard = {};
window.model = { get: (name) => given[name], on: (name, act) => { heard[name] = act; }, off: () => {} };
window.told = (frame) => { given._frame = frame; heard["change:_frame"](); };
const cell = await import(`data:text/javascript,${encodeURIComponent(given.cell)}`);
cell.default.render({ model, el: document.body });
"""


@pytest.mark.slow
def test_a_browser_shows_what_the_trace_says(browser: Any) -> None:
    pytest.importorskip("anywidget")
    model, x, y = small_model()
    view = tr.play.widget(model, x[:16], y[:16])
    given = json.dumps({"_page": view._page, "_frame": view._frame, "cell": source("cell.mjs")}).replace("<", "\\u003c")
    page = browser.new_page(viewport={"width": 900, "height": 700})
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_content(
        f'<script type="application/json" id="given">{given}</script><script type="module">{HOST}</script>'
    )
    inner = page.frame_locator("iframe")
    inner.locator("#live", has_text="Step 0.").wait_for()
    model.fit(x, y, 8, 2, verbose=0, callbacks=[view.follow(every=5)])
    page.evaluate("(frame) => told(frame)", view._frame)
    inner.locator("#live", has_text="Step 10.").wait_for()
    blocks = model.graph(x[:16], y[:16]).trace(audit=False).blocks
    for block in blocks:
        cell = inner.locator(f".tr-cell[data-name='{block.name}']")
        assert float(cell.locator("[data-shows=norm]").text_content()) == pytest.approx(block.grad_norm, rel=5e-3)
    inner.locator(".tr-cell[data-block='1']").click()
    assert "Block 1, small" in inner.locator("#f-ledger caption").text_content()
    assert page.evaluate("document.querySelector('iframe').offsetHeight") > 700
    page.close()
    assert wrong == []
