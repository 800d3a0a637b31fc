"""The page as a whole: the tour, keyboards, small screens, a server that is gone, and the site without any."""

from __future__ import annotations

import contextlib
import functools
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Opened

from tinyres.play.export import export

pytestmark = pytest.mark.slow  # each takes seconds; CI runs them with the engine that it has built
SMALL = "#blocks=4&units=8&batch=16"


def test_the_tour_runs_to_its_end(opened: Opened) -> None:
    """Each stop asks, measures what it tells, and names its source; what is right is what theory or the paper says."""
    opened.patience = 90.0
    opened.go(SMALL)
    opened.page.click("#tour")
    right = [2, 1, 2, 2, 0, 2, 1, 0, 1]
    for stop, answer in enumerate(right):
        opened.until(
            f"document.getElementById('h-ask').textContent.startsWith('{stop + 1} of 9') && tinyres.frame?.step === 0"
        )
        opened.page.click(f"#answers button:nth-child({answer + 1})")
        opened.until("!/^(Measuring .*)?$/.test(document.getElementById('revealed').textContent)")
        revealed = opened.page.text_content("#revealed")
        assert revealed.startswith("Yes. "), (stop, revealed)
        assert "Source: " in opened.page.text_content("#ask") and "NaN" not in revealed
        if stop < 8:
            opened.page.click("text=Next stop")
    assert opened.page.is_disabled("text=Next stop")
    assert "stop=8" in opened.told("location.hash")


def test_all_is_reached_by_keys_alone(opened: Opened) -> None:
    opened.go(SMALL)
    seen: list[str] = []
    for _ in range(80):
        opened.page.keyboard.press("Tab")
        seen.append(opened.told("document.activeElement.id || document.activeElement.textContent.slice(0, 20)"))
        assert opened.told(
            "getComputedStyle(document.activeElement).outlineStyle !== 'none' || "
            "document.activeElement.matches('.tr-cell, body, #views')"
        )
    for wanted in (
        "run",
        "one",
        "restart",
        "rewind",
        "speed",
        "tour",
        "c-blocks",
        "c-block",
        "c-skip",
        "c-seed",
        "python",
        "link",
        "trace",
    ):
        assert wanted in seen, wanted
    opened.page.focus(".tr-ribbon[data-net=residual] .tr-cell[data-block='0']")
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("Enter")
    opened.until("document.querySelector('#f-ledger caption').textContent.startsWith('Block 1')")


def test_whoever_wants_no_motion_starts_it_himself(browser: Any, server: Any) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = Opened(context.new_page(), server.url)
    page.go(SMALL, stopped=False)
    page.page.wait_for_timeout(400)
    assert page.step == 0 and page.page.text_content("#run") == "Run"
    page.page.click("#run")
    page.until("tinyres.frame.step > 2")
    context.close()


@pytest.mark.parametrize("width", [1280, 800, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(browser: Any, server: Any, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = Opened(context.new_page(), server.url)
    page.go()
    assert page.told("document.documentElement.scrollWidth") <= width
    small = (
        "[...document.querySelectorAll('button, select, input')].filter((e) => e.offsetParent && e.offsetWidth > 0 && "
        "!e.closest('.save') && e.getBoundingClientRect().height < 20).map((e) => e.id)"
    )
    assert page.told(small) == []
    context.close()
    assert page.wrong == []


@contextlib.contextmanager
def playing(port: int) -> Iterator[str]:
    """`tinyres play` as a process of its own, killed at the end."""
    command = [sys.executable, "-m", "tinyres", "play", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = re.search(r"http://\S+", process.stdout.readline())
        assert url is not None
        yield url.group()
        process.kill()


def test_a_server_that_is_killed_is_said_and_what_runs_goes_on(browser: Any) -> None:
    context = browser.new_context()
    with playing(0) as url:
        page = Opened(context.new_page(), url)
        page.go(SMALL)
    page.choose("activation", "tanh")
    page.until("document.getElementById('status').textContent.includes('The server does not answer')")
    here = page.step
    page.page.click("#one")
    page.until(f"tinyres.frame.step === {here + 1}")
    with playing(int(url.rpartition(":")[2].strip("/"))):
        page.choose("activation", "silu")
        page.until("tinyres.opened?.activation === 'silu'")
    context.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The exported site on a plain static server."""
    folder = tmp_path_factory.mktemp("site")
    export(str(folder))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *args: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as plain:
        thread = threading.Thread(target=plain.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield folder, f"http://127.0.0.1:{plain.server_address[1]}/"
        plain.shutdown()
        thread.join()


def test_the_exported_site_needs_no_server_of_its_own(browser: Any, site: Any) -> None:
    folder, url = site
    context = browser.new_context()
    page = Opened(context.new_page(), url)
    page.go(stopped=False)
    page.until("tinyres.frame.step > 3")
    page.page.click("#tour")
    page.until(
        "document.getElementById('h-ask').textContent.startsWith('1 of 9') && "
        "tinyres.frame?.nets.residual.look.blocks.length === 24"
    )
    page.choose("activation", "tanh")
    page.until("document.getElementById('status').textContent.includes('not shipped with that net')")
    context.close()
    assert page.wrong == []
    text = "".join(path.read_text() for path in Path(folder).rglob("*") if path.suffix in (".html", ".mjs", ".css"))
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text
