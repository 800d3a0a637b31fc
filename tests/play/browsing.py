"""A browser on the page, for tests that need one: Playwright with a Chromium of the machine, else they are skipped."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tinyres.play.server import Server
from tinyres.play.wasm import COMMAND, WASM


def chromium() -> str:
    """The path of Chromium; skips the test, in words, where there is none, or no Playwright, or no tr.wasm."""
    pytest.importorskip("playwright", reason="there is no Playwright to drive a browser with: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no Chromium to open the page in: apt-get install chromium")
    if not WASM.is_file():
        pytest.skip(f"tr.wasm was not built; run: {COMMAND}")
    return path


@contextmanager
def serving(port: int = 0) -> Iterator[Server]:
    """A server in a thread."""
    with Server(port) as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


class Opened:
    """The page in a browser. `wrong` holds what its console and its requests complained of."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.wrong: list[str] = []
        page.on("console", lambda m: self.wrong.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: self.wrong.append(str(e)))
        page.set_default_navigation_timeout(120_000)  # milliseconds; on a crowded machine
        self.patience = 15.0  # seconds

    def go(self, hash_: str = "", stopped: bool = True) -> None:
        """Open at this state and wait for the first frame; stopped: at the first step."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}{hash_ or '#'}{'&at=0' if stopped else ''}")
        self.until("tinyres.frames > 0")

    def until(self, condition: str) -> None:
        """Wait for a condition in JavaScript, asked again and again: the page forbids what Playwright does."""
        end = time.monotonic() + self.patience
        while not self.told(f"!!({condition})"):
            assert time.monotonic() < end, f"{condition}; the page says: {self.page.text_content('#status')}"
            self.page.wait_for_timeout(15)

    def told(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self.page.evaluate(expression)

    def pause(self) -> None:
        """Stop the training, and wait for its last frame."""
        if self.page.text_content("#run") == "Pause":
            self.page.click("#run")
        self.page.wait_for_timeout(150)

    def to(self, step: int) -> None:
        """Train up to this step exactly."""
        self.pause()
        here = self.step
        self.told(f"for (let i = {here}; i < {step}; i++) document.getElementById('one').click()")
        self.until(f"tinyres.frame.step === {step}")

    @property
    def step(self) -> int:
        """The step that is shown."""
        return int(self.told("tinyres.frame.step"))

    def losses(self) -> tuple[float, float]:
        """Both losses of the frame that is shown."""
        return self.told("[tinyres.frame.nets.residual.loss, tinyres.frame.nets.plain.loss]")

    def choose(self, name: str, value: str) -> None:
        """Set a control by its name, as a user does."""
        field = self.page.locator(f"#c-{name}")
        kind = field.evaluate("e => e.tagName + e.type")
        if kind.startswith("SELECT"):
            field.select_option(value)
        elif kind == "INPUTrange":
            field.evaluate(
                "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')); }",
                value,
            )
        else:
            field.fill(value)
            field.press("Enter")
