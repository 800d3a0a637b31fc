"""Every example in a docstring of the package runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import tinyres as tr

FOUND = [module.name for module in pkgutil.walk_packages(tr.__path__, "tinyres.")]
EXTRAS = {"tinyres.distributed": "mpi4py", "tinyres.training.loggers": "tensorboardX"}  # what examples there need
MODULES = ["tinyres", *(name for name in FOUND if name != "tinyres._core")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for room, library in EXTRAS.items():
        if name.startswith(room):
            pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    before = tr.backend()
    try:
        module = importlib.import_module(name)
    except tr.errors.MissingExtraError as error:
        pytest.skip(str(error))
    try:
        result = doctest.testmod(module, extraglobs={"np": np, "tr": tr}, optionflags=doctest.ELLIPSIS)
    finally:
        tr.set_backend(before)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples of {name} failed; see above"


def test_what_the_package_exports_has_examples() -> None:
    """Public functions and classes are documented with an example that the test above runs."""
    exported = [getattr(tr, name) for name in dir(tr) if not name.startswith("_")]
    own = [thing for thing in exported if callable(thing) and getattr(thing, "__module__", "").startswith("tinyres")]
    missing = [f"{t.__module__}.{t.__name__}" for t in own if ">>>" not in (t.__doc__ or "")]
    assert not missing, f"no example: {', '.join(missing)}"
