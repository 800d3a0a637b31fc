"""What is said where the WebAssembly module, or what builds it, is not there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, MissingExtraError
from tinyres.play import build
from tinyres.play import wasm as place


def test_an_install_without_the_module_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "WASM", tmp_path / "tr.wasm")
    with pytest.raises(MissingExtraError, match=r"\[wasm\] .*without tr\.wasm; .* python3 -m tinyres\.play\.build"):
        tr.wasm()
    (tmp_path / "tr.wasm").write_bytes(b"")
    assert tr.wasm() == tmp_path / "tr.wasm"


def test_without_a_compiler_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYRES_WASM_CC", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"tinyres\[page\]"):
        build.compiler()


def test_without_sources_it_says_where_to_run_it(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="the sources of the core are needed"):
        build.build(tmp_path / "tr.wasm", tmp_path)


def test_a_compiler_that_fails_leaves_the_old_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYRES_WASM_CC", "false")
    target = tmp_path / "tr.wasm"
    target.write_bytes(b"old")
    with pytest.raises(ArgumentError, match="the compiler must take the sources"):
        build.build(target)
    assert target.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
