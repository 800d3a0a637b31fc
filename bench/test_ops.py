"""Every op at the size that tests/op_cases.py gives it: one eager call, native beside reference."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tinyres as tr
from tinyres.backends import native

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from op_cases import CASES, Case


def groups() -> dict[str, Case]:
    """The cases with a bench size, by op and shapes; those of the same op and shapes are numbered."""
    found: dict[str, Case] = {}
    seen: Counter[str] = Counter()
    for case in CASES:
        if case.bench:
            shapes = " and ".join("x".join(map(str, shape)) for shape in case.bench)
            name = f"op {case.op} of {shapes}"
            seen[name] += 1
            found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = case
    return found


GROUPS = groups()


@pytest.fixture
def chosen_backend() -> Iterator[None]:
    before = tr.backend()
    yield
    tr.set_backend(before)


@pytest.mark.parametrize("who", ["native", "reference"])
@pytest.mark.parametrize("group", GROUPS)
def test_op(measure: Any, chosen_backend: None, group: str, who: str) -> None:
    if who == "native" and not native.AVAILABLE:
        pytest.skip("the C core was not built")
    tr.set_backend(who)
    case = GROUPS[group]
    inputs = [tr.tensor(array) for array in case.inputs(case.bench, "float32")]
    measure(who, lambda: case.run(*inputs), group=group, role="ours" if who == "native" else "peer")
