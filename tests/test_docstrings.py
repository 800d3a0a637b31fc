"""Every public name tells what goes in and comes out, what is raised, and shows an example, which is run.

What is public is read off the modules, as `tinyres guide reference` reads it; no name is listed here.
"""

from __future__ import annotations

import ast
import doctest
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_doctests import run_examples

import tinyres as tr
from tinyres.guide.reference import public

ROOMS = {room: {n: t for n, t in names.items() if callable(t)} for room, names in public(tr).items()}
# How a docstring says of what shape an array is: by its sizes, by what goes over it, or that any will do.
SHAPE = re.compile(
    r"\([\w.…·/ ]+,[\w.…·/, -]*\)|shape|elementwise|\baxis|\baxes|scalar|number|per (sample|row)|broadcast"
)
ARRAY = re.compile(r"Tensor|Operand|ndarray|NDArray|ArrayLike|np\.array")
OF_ARRAYS = {"x", "y", "y_true", "y_pred", "prediction", "target", "targets", "labels", "logits"}
RAISES = re.compile(r"Raises \w+|\w+Error\b")


def lacks(thing: Any) -> Iterator[str]:
    """What the docstring of a public name does not tell."""
    doc = own_docstring(thing)
    if not doc:
        yield "a docstring"
        return
    if ">>>" not in doc:
        yield "an example"
    told = doc.partition(">>>")[0]
    if raises(constructor(thing)) and not RAISES.search(told):
        yield "what it raises"
    if takes_arrays(thing) and not SHAPE.search(told):
        yield "shapes"


def own_docstring(thing: Any) -> str:
    """Not that of its class or base."""
    inherited = not (inspect.isroutine(thing) or "__doc__" in getattr(thing, "__dict__", {}))
    return "" if inherited else inspect.cleandoc(thing.__doc__ or "")


def constructor(thing: Any) -> Any:
    """The function that runs when it is called."""
    return thing.__init__ if inspect.isclass(thing) else inspect.unwrap(thing)


@functools.cache
def body(function: Callable[..., Any]) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # of C, or no function
        return None


def raises(function: Any) -> bool:
    """Whether its own lines raise, or those of a function of its module that it calls by name."""
    tree = body(function)
    if tree is None:
        return False
    if raises_itself(tree):
        return True
    names = getattr(function, "__globals__", {})
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    helpers = [names[name] for name in called if name.startswith("_") and inspect.isfunction(names.get(name))]
    return any(raises_itself(found) for found in map(body, helpers) if found is not None)


def raises_itself(tree: ast.AST) -> bool:
    found = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    return any("NotImplementedError" not in ast.unparse(error) for error in found)


def takes_arrays(thing: Any) -> bool:
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return False
    named = set() if inspect.isclass(thing) else OF_ARRAYS
    return any(ARRAY.search(str(p.annotation)) or p.name in named for p in parameters)


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_documented(room: str) -> None:
    missing = {name: found for name, thing in ROOMS[room].items() if (found := list(lacks(thing)))}
    assert not missing, "\n".join(f"{room}.{name} lacks {', '.join(found)}" for name, found in missing.items())


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_method_is_documented(room: str) -> None:
    """Methods and properties of public classes; one that a subclass defines anew may rest on what its base says."""
    classes = [thing for thing in ROOMS[room].values() if inspect.isclass(thing)]
    silent = [f"{cls.__name__}.{name}" for cls in classes for name in vars(cls) if is_silent(cls, name)]
    assert not silent, f"{room}: no docstring: {', '.join(silent)}"


def is_silent(cls: type, name: str) -> bool:
    member = vars(cls)[name]
    member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    said = (getattr(getattr(base, name, None), "__doc__", None) for base in cls.__mro__)
    return not name.startswith("_") and inspect.isfunction(member) and not any(said)


def test_every_example_of_a_public_name_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the doctests of a module do not come to, as an object that stands there for a function, is run here."""
    monkeypatch.chdir(tmp_path)
    others = [
        doctest.DocTestParser().get_doctest(own_docstring(thing), {"np": np, "tr": tr}, f"{room}.{name}", None, None)
        for room, names in ROOMS.items()
        for name, thing in names.items()
        if not is_found(thing)
    ]
    assert len(others) > 10
    assert run_examples(others).failed == 0


def is_found(thing: Any) -> bool:
    """Whether the doctests of its module run its example."""
    home = sys.modules.get(getattr(thing, "__module__", ""))
    routine = inspect.isclass(thing) or inspect.isfunction(thing)
    return routine and home is not None and vars(home).get(thing.__name__) is thing


@pytest.mark.parametrize("room", ROOMS)
def test_a_name_that_is_not_there_is_refused_in_words(room: str) -> None:
    module = functools.reduce(getattr, room.split(".")[1:], tr)
    with pytest.raises(tr.errors.UnknownNameError, match="tinyres has no .*Nonsense; got this name"):
        _ = module.Nonsense


def bare(x: tr.Tensor) -> tr.Tensor:
    """Twice as much."""
    if x.ndim:
        raise tr.errors.ShapeError("[bare] one number")
    return x + x


def helped(x: tr.Tensor) -> tr.Tensor:
    """Twice as much, elementwise.

    >>> helped(1)
    2
    """
    return _refused(x)


def _refused(x: tr.Tensor) -> tr.Tensor:
    raise tr.errors.ShapeError("[bare] one number")


class Inherits(tr.layers.Layer):
    def __init__(self, units: int) -> None:
        raise tr.errors.ArgumentError("[inherits] nothing goes")

    def call(self, x: tr.Tensor) -> tr.Tensor:
        return x

    def untold(self) -> None: ...


def test_what_a_docstring_lacks_is_found() -> None:
    assert list(lacks(bare)) == ["an example", "what it raises", "shapes"]
    assert list(lacks(helped)) == ["what it raises"]
    assert list(lacks(Inherits)) == ["a docstring"]
    assert is_silent(Inherits, "untold") and not is_silent(Inherits, "call")
    assert not list(lacks(tr.matmul)) and not list(lacks(tr.layers.Dense))
    assert 400 < sum(map(len, ROOMS.values())) < 900
    assert "tinyres.torch" in ROOMS or "torch" in public(tr)["tinyres"]  # the latter where PyTorch is not installed
