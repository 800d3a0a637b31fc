"""Where the WebAssembly module of the core is, if it was built."""

from __future__ import annotations

from pathlib import Path

from tinyres.errors import MissingExtraError

COMMAND = "python3 -m tinyres.play.build"
WASM = Path(__file__).resolve().parent / "static" / "tr.wasm"
PAGE_WASM = WASM.with_name("page.wasm")  # the same with the kernels that nets of the page run


def wasm() -> Path:
    """The file `tr.wasm`: the core's kernels for a browser or node, which `play/static/engine.mjs` runs programs by.

    Raises MissingExtraError, with the command that builds it, where this install has none.

    >>> import tinyres as tr
    >>> try:
    ...     found = tr.wasm().name
    ... except tr.errors.MissingExtraError as error:
    ...     found = "python3 -m tinyres.play.build" in str(error)
    >>> found in ("tr.wasm", True)
    True
    """
    if not WASM.is_file():
        raise MissingExtraError(
            f"[wasm] the page runs the core as WebAssembly; this install was made without tr.wasm; in a checkout of "
            f"tinyres run: python3 -m pip install 'tinyres[page]' && {COMMAND}"
        )
    return WASM
