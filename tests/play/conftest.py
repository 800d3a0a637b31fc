"""The core in node, for the tests that need it: built by `python3 -m tinyres.play.build`, else they are skipped."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Opened, chromium, serving

from tinyres.backends import native
from tinyres.play.server import Server
from tinyres.play.wasm import COMMAND, WASM

STATIC = WASM.parent
SCRIPT = """
import fs from "node:fs";
import {{ Engine, ProgramError }} from "{static}/engine.mjs";
const given = JSON.parse(fs.readFileSync(0));
const engine = await Engine.load(fs.readFileSync("{wasm}"));
const bits = (array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("hex");
const told = await (async () => {{ {body} }})();
console.log(JSON.stringify(told));
"""


@pytest.fixture
def generic() -> Iterator[None]:
    """The kernels that WebAssembly has the bits of."""
    before = native.isa()
    native.select_isa("generic")
    yield
    native.select_isa(before)


@pytest.fixture(scope="session")
def node() -> Callable[[str, Any], Any]:
    """Runs the body of an async function in node: it sees `engine`, `bits`, ProgramError, and `given`, as JSON."""
    if shutil.which("node") is None:
        pytest.skip("there is no node to run WebAssembly in; install nodejs")
    if not WASM.is_file():
        pytest.skip(f"tr.wasm was not built; run: {COMMAND}")

    def run(body: str, given: Any = None) -> Any:
        script = SCRIPT.format(static=Path(STATIC).as_posix(), wasm=WASM.as_posix(), body=body)
        command = ["node", "--input-type=module", "--eval", script]
        done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium for all tests of the page."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path)
        yield found
        found.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server that these tests share."""
    with serving() as made:
        yield made


@pytest.fixture
def opened(browser: Any, server: Server) -> Iterator[Opened]:
    """The page, not yet gone to; at the end nothing may have complained."""
    allowed = ["clipboard-read", "clipboard-write"]
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=allowed)
    page = Opened(context.new_page(), server.url)
    yield page
    context.close()
    assert page.wrong == []
