"""The files of the page: its own, the drawing code that it shares with the report, the data, and the engine.

Everything that the page loads comes from here, whether `tinyres play` serves it or `--export` has written it somewhere.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from tinyres.layers.blocks import PRESETS
from tinyres.play import data
from tinyres.play.bundle import imported
from tinyres.play.description import FEATURES_AND_CLASSES
from tinyres.play.nets import ACTIVATIONS, INITIALIZERS, OPTIMIZERS
from tinyres.play.wasm import PAGE_WASM, WASM
from tinyres.view import palette

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; worker-src 'self'; base-uri 'none'; form-action 'none'"
)
_TYPES = {
    "html": "text/html; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "wasm": "application/wasm",
    "bin": "application/octet-stream",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_ELSEWHERE = (PAGE_WASM.name, "live.mjs", "cell.mjs")  # served as tr.wasm; of notebooks
_SHARED = (
    "charts.mjs",
    "choosing.mjs",
    "strands.mjs",
    "report.css",
    "vendor/uPlot.min.css",
    "vendor/uPlot.iife.min.js",
)


class File(NamedTuple):
    """What stands under a path of the site."""

    type: str
    content: bytes


class Site:
    """The files by path, each read when it is asked for. shipped: the files of nets that are recorded already."""

    def __init__(self, shipped: dict[str, str] | None = None) -> None:
        self._makers = dict(_makers())
        told = {"server": shipped is None, "nets": shipped or {}}
        self._makers["/index.html"] = _page
        self._makers["/shipped.json"] = lambda: json.dumps(told).encode()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def get(self, path: str) -> File | None:
        """The file under this path, "/" being the page itself; None where there is none."""
        path = "/index.html" if path == "/" else path
        maker = self._makers.get(path)
        return None if maker is None else File(_TYPES[path.rpartition(".")[2]], maker())


def _makers() -> Iterator[tuple[str, Callable[[], bytes]]]:
    own = files("tinyres.play").joinpath("static")
    for entry in sorted(own.iterdir(), key=lambda e: e.name):
        if entry.name.rpartition(".")[2] in _TYPES and entry.name not in _ELSEWHERE:
            yield f"/{entry.name}", entry.read_bytes
    if PAGE_WASM.is_file():
        yield f"/{WASM.name}", PAGE_WASM.read_bytes
    for name in _SHARED:
        yield f"/view/{name}", files("tinyres.view").joinpath(name).read_bytes
    yield "/view/uPlot-licence.txt", files("tinyres.view").joinpath("vendor/LICENSE-uPlot").read_bytes
    yield "/view/ribbon.css", lambda: ribbon_style().encode()
    yield "/about.json", _about
    for name in data.NAMES:
        yield f"/data/{name}.bin", cache(lambda name=name: data.packed(data.load(name)))


def _page() -> bytes:
    """The page, with all modules that it will import named in its head: none waits until another has come."""
    links = "".join(f'<link rel="modulepreload" href="{name}">\n' for name in imported("app.mjs"))
    static = files("tinyres.play").joinpath("static/index.html").read_text(encoding="utf-8")
    return static.replace("</head>", f"{links}</head>").encode()


def _about() -> bytes:
    """What the controls need to know: what each block preset is, as its docstring begins, and the shapes of data."""
    told = {name: (inspect.getdoc(make) or "").partition("\n\n")[0] for name, make in PRESETS.items()}
    named = {"initializers": ("preset", *INITIALIZERS), "activations": ACTIVATIONS, "optimizers": OPTIMIZERS}
    shapes = {name: dict(zip(("features", "classes"), shape)) for name, shape in FEATURES_AND_CLASSES.items()}
    words = {name: dict.fromkeys(words, "") for name, words in named.items()}
    return json.dumps({"presets": told, "data": shapes, **words}).encode()


def ribbon_style() -> str:
    """The ribbon's style sheet, on light and on dark."""
    light, dark = (f":root {{ --chain: {colour} }}" for colour in (palette.CHAIN.light, palette.CHAIN.dark))
    on_dark = f"@media (prefers-color-scheme: dark) {{{palette.STYLE_ON_DARK}{dark}}}"
    return f"{palette.STYLE}{light}{on_dark}"
