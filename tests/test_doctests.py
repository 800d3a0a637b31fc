"""Every example in a docstring of the package runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path
from typing import Any, NoReturn
from unittest import SkipTest

import numpy as np
import pytest

import tinyres as tr

FOUND = [module.name for module in pkgutil.walk_packages(tr.__path__, "tinyres.")]
EXTRAS = {"tinyres.distributed": "mpi4py"}  # what every example there needs
MODULES = ["tinyres", *(name for name in FOUND if name != "tinyres._core")]


class Runner(doctest.DocTestRunner):
    """Leaves out what is left of an example that needs a library which is not installed."""

    def report_unexpected_exception(self, out: Any, test: Any, example: Any, exc_info: Any) -> None:
        if issubclass(exc_info[0], tr.errors.MissingExtraError):
            raise SkipTest(str(exc_info[1]))
        super().report_unexpected_exception(out, test, example, exc_info)


def run_examples(found: list[doctest.DocTest]) -> doctest.TestResults:
    runner = Runner(optionflags=doctest.ELLIPSIS)
    for test in found:
        try:
            runner.run(test)
        except SkipTest:
            continue
    return doctest.TestResults(runner.failures, runner.tries)


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
        result = run_examples(doctest.DocTestFinder().find(module, extraglobs={"np": np, "tr": tr}))
    finally:
        tr.set_backend(before)
    assert result.failed == 0, f"{result.failed} of {result.attempted} examples of {name} failed; see above"


def test_an_example_that_fails_is_told_and_one_without_its_library_is_left_out() -> None:
    def ran(text: str) -> doctest.TestResults:
        return run_examples([doctest.DocTestParser().get_doctest(text, {"missing": missing}, "made up", None, None)])

    def missing() -> NoReturn:
        raise tr.errors.MissingExtraError("[shop] it takes wood")

    assert ran(">>> 1 + 1\n2\n").failed == 0
    assert ran(">>> 1 + 1\n3\n").failed == 1
    assert ran(">>> 1 / 0\n").failed == 1
    assert ran(">>> missing()\n>>> 1 + 1\n3\n").failed == 0
