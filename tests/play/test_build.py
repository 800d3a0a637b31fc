"""What is said where the WebAssembly module, or what builds it, is not there; and which kernels the page's has."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import tinyres as tr
from tinyres.errors import ArgumentError, MissingExtraError
from tinyres.layers.blocks import PRESETS
from tinyres.play import build
from tinyres.play import wasm as place
from tinyres.play.export import shipped_nets
from tinyres.play.nets import ACTIVATIONS, Net
from tinyres.play.record import Recorded


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


def test_the_module_of_the_page_has_the_chosen_kernels_and_no_others() -> None:
    kernels = (build.CSRC / "kernels.def").read_text(encoding="utf-8")
    lines = build._chosen(kernels, {"matmul", "adam"}).splitlines()
    named = [line.partition("(")[2].partition(",")[0] for line in lines if line.startswith("TR_KERNEL(")]
    assert named == ["matmul", "adam"] and sum(line.startswith("     ") for line in lines) == 1


@pytest.mark.slow
def test_the_kernels_of_the_page_are_those_of_all_its_nets() -> None:
    """They are found by small nets; those of every size, and every block with every activation, run no others."""
    known = build.kernels_of_the_page()
    nets = [Net(block, blocks=1, units=4, activation=activation) for block in PRESETS for activation in ACTIVATIONS]
    nets += [Net("he2015", blocks=128, units=64), Net("preact", blocks=2, units=128, batch=128), *shipped_nets()]
    for net in nets:
        assert set(Recorded(net).file().header["kernels"]) <= known, net
