"""Every error tinyres raises on purpose, in one wording.

A message reads `[op] the rule in words; what came, with shapes; what to do`. Each class is a TinyresError and also
the builtin that a Python user would catch for that kind of mistake.
"""

from __future__ import annotations

import contextlib
import dis
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np


class TinyresError(Exception):
    """Base of all errors raised by tinyres.

    >>> import tinyres as tr
    >>> try:
    ...     tr.zeros((2, 3)) + tr.zeros((4,))
    ... except tr.errors.TinyresError as error:
    ...     type(error).__name__
    'ShapeError'
    """


class ShapeError(TinyresError, ValueError):
    """Shapes, axes or sizes that do not fit.

    >>> import tinyres as tr
    >>> tr.zeros((2, 3)) @ tr.zeros((4, 5))
    Traceback (most recent call last):
        ...
    tinyres.errors.ShapeError: [matmul] the last dimension of the left input must equal the first of the right: ...
    """


class DTypeError(TinyresError, TypeError):
    """A dtype or Python type that the operation does not take.

    >>> import tinyres as tr
    >>> tr.zeros(2) + tr.zeros(2, dtype="float64")
    Traceback (most recent call last):
        ...
    tinyres.errors.DTypeError: [add] the dtypes must be the same; got float32 and float64; use .astype() on one of them
    """


class ArgumentError(TinyresError, ValueError):
    """A value that is out of range, of the wrong form, or unknown.

    >>> import tinyres as tr
    >>> tr.layers.Dropout(1.5)
    Traceback (most recent call last):
        ...
    tinyres.errors.ArgumentError: [Dropout] the rate is the share to drop, 0 <= rate < 1; got 1.5; choose one
    """


class UnknownNameError(TinyresError, AttributeError):
    """A name that a module or an object of tinyres does not have.

    >>> import tinyres as tr
    >>> tr.sklearn.Regresor
    Traceback (most recent call last):
        ...
    tinyres.errors.UnknownNameError: [sklearn] tinyres has no sklearn.Regresor; got this name; it has ...
    """


class UnknownImportError(TinyresError, ModuleNotFoundError):
    """A name that a module of tinyres does not have, in an `import` or a `from … import`.

    >>> import tinyres as tr
    >>> from tinyres.sklearn import Regresor
    Traceback (most recent call last):
        ...
    tinyres.errors.UnknownImportError: [sklearn] tinyres has no sklearn.Regresor; got this name; it has ...
    """


class GradientError(TinyresError, RuntimeError):
    """A backward pass that cannot run or gave a wrong gradient.

    >>> import tinyres as tr
    >>> tr.tensor([1.0]).sum().backward()
    Traceback (most recent call last):
        ...
    tinyres.errors.GradientError: [backward] nothing that led to this Tensor of shape () requires a gradient ...
    """


class NonFiniteError(GradientError):
    """A loss or gradient that is NaN or infinite; no state was changed by the step that gave it.

    found: how many such values, if that is known.

    >>> import tinyres as tr
    >>> w = tr.Parameter([0.0], "w")
    >>> opt = tr.optim.SGD([w], lr=0.1)
    >>> def step():
    ...     loss = tr.log(w).sum()
    ...     loss.backward(); opt.step()
    ...     return loss
    >>> tr.capture(step, check_finite=True)()
    Traceback (most recent call last):
        ...
    tinyres.errors.NonFiniteError: [check_finite] the loss must be finite; log is the first to give 0 NaN and 1 ...
    """

    found = "values that are not finite"


class CaptureError(TinyresError, RuntimeError):
    """Something that cannot be recorded into a captured step.

    >>> import tinyres as tr
    >>> tr.capture(lambda x: float(x.sum()))(np.ones(3))
    Traceback (most recent call last):
        ...
    tinyres.errors.CaptureError: [item] a value cannot be read while a step is being captured: nothing has run ...
    """


class BackendError(TinyresError, RuntimeError):
    """A backend or instruction set that is not there.

    >>> import tinyres as tr
    >>> tr.set_backend("cuda")
    Traceback (most recent call last):
        ...
    tinyres.errors.BackendError: [set_backend] the backend is "native" or "reference"; got 'cuda'; choose one of them
    """


class TraceError(TinyresError, RuntimeError):
    """A graph or trace that cannot answer.

    >>> import tinyres as tr
    >>> w = tr.tensor(3.0, requires_grad=True)
    >>> tr.Graph(w * w).trace().paths()
    Traceback (most recent call last):
        ...
    tinyres.errors.TraceError: [trace] paths were not measured; call graph.trace(paths=True)
    """


class OutOfMemoryError(TinyresError, MemoryError):
    """What would take more memory than is free; nothing of it was taken.

    >>> import tinyres as tr
    >>> tr.zeros((10**7, 10**7))
    Traceback (most recent call last):
        ...
    tinyres.errors.OutOfMemoryError: [memory] it must fit into memory; one tensor takes 400,000.0 GB, ...
    """


class FileError(TinyresError, ValueError):
    """A file that is missing, damaged, or not what it should be.

    >>> import tinyres as tr
    >>> tr.load("nothere.npz")
    Traceback (most recent call last):
        ...
    tinyres.errors.FileError: [load] a model file is needed; 'nothere.npz' is not there; check the path
    """


class ValueCheckFailed(TinyresError, ValueError):
    """A value check kernel stopped a list of calls; the op that launched it words the error for the user.

    >>> import tinyres as tr
    >>> issubclass(tr.errors.ValueCheckFailed, ValueError)
    True
    """


class MissingExtraError(TinyresError, ImportError):
    """An optional package is not installed; the message names the extra that brings it.

    >>> import tinyres as tr
    >>> issubclass(tr.errors.MissingExtraError, ImportError)
    True
    """


@contextlib.contextmanager
def need_extra(op: str, rule: str, extra: str) -> Iterator[None]:
    """What is imported inside is a library that an extra brings: where it is missing, the error says what to install.

    rule: what the library is for.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"[{op}] {rule}; got {error}; run: python3 -m pip install 'tinyres[{extra}]'"
        ) from error


__all__ = [name for name, value in list(globals().items()) if isinstance(value, type) and issubclass(value, Exception)]


def refuse_masked(op: str, value: Any) -> None:
    """Raise DTypeError for an array some of whose values are masked, or a list of such: a Tensor has no mask."""
    for array in value if isinstance(value, (list, tuple)) else (value,):
        # Asked by the attribute: naming the class would import numpy.ma with tinyres.
        mask = getattr(array, "mask", False) if isinstance(array, np.ndarray) else False
        if np.any(mask):
            raise DTypeError(
                f"[{op}] a Tensor has no mask; got a masked array of shape {array.shape}, "
                f"{np.sum(np.broadcast_to(mask, array.shape))} values masked; fill them (a.filled(0)), or give its "
                "values and tr.where with the mask"
            )


def refuse_name(module: str, name: str, known: Sequence[str], remedies: Mapping[str, str] | None = None) -> NoReturn:
    """Raise UnknownNameError for what a module of tinyres does not have; remedies: what to do instead, by name.

    Called by the module's `__getattr__`. Where the name is imported, Python would drop the words of an AttributeError,
    so there it is an UnknownImportError.
    """
    import difflib  # only mistakes need it

    called = module.removeprefix("tinyres.")
    if name.startswith("_"):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    remedy = (remedies or {}).get(name)
    near = difflib.get_close_matches(name, known, n=3)
    listed = f"it has {', '.join(n for n in known if n[0] != '_')}"
    advice = remedy or listed + (f"; the nearest are {', '.join(near)}" if near else "")
    asking = sys._getframe(2)
    imported = dis.opname[asking.f_code.co_code[asking.f_lasti]] == "IMPORT_FROM"
    error = UnknownImportError if imported else UnknownNameError
    full = name if called == "tinyres" else f"{called}.{name}"
    raise error(f"[{called}] tinyres has no {full}; got this name; {advice}")


def closed(
    module: str, names: Sequence[str], remedies: Mapping[str, str] | None = None
) -> tuple[Callable[[str], NoReturn], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a module that shows these names only; see `refuse_name`."""

    def find(name: str) -> NoReturn:
        refuse_name(module, name, names, remedies)

    return find, lambda: sorted(names)


def loading(module: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a module whose names load when they are first asked for; other names are refused.

    places: of each name the module that it stands in.
    """

    def find(name: str) -> Any:
        if name not in places:
            refuse_name(module, name, list(places))
        return getattr(importlib.import_module(places[name]), name)

    return find, lambda: sorted(places)


if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__)


class WordedImports:
    """The last finder of `sys.meta_path`: modules that tinyres does not have are refused in the words of its names."""

    def find_spec(self, full: str, path: object = None, target: object = None) -> None:
        """Raise UnknownImportError where the parent module refuses the name; None for all that is not of tinyres."""
        parent, _, name = full.rpartition(".")
        if parent.partition(".")[0] != "tinyres" or parent not in sys.modules:
            return
        try:
            getattr(sys.modules[parent], name)
        except UnknownNameError as error:
            raise UnknownImportError(str(error)) from None
        except AttributeError:
            return


class Absent:
    """A name that objects of a class do not have, or not yet: whoever asks for it reads the words for it.

    words: of the error, {owner} in them is the class, {name} the name. What is set under the name goes before it. Not
    by a `__getattr__`: CPython specialises no attribute of a class that has one.
    """

    def __init__(self, words: str) -> None:
        self.words = words

    def __set_name__(self, owner: type, name: str) -> None:
        self.words = self.words.replace("{name}", name)

    def __get__(self, asked: object, owner: type) -> NoReturn:
        raise UnknownNameError(self.words.replace("{owner}", owner.__name__))


def refuse_arguments(owner: str, function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Raise ArgumentError where the function cannot be called so, with what it takes."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **options)
    except TypeError as error:
        shown = [str(p) for name, p in signature.parameters.items() if name not in ("self", "unknown")]
        takes = ", ".join(shown).replace("'", "")
        got = str(error).removeprefix("got ")
        raise ArgumentError(f"[{owner}] it takes ({takes}); got {got}; write it so") from None


def named_arguments(cls: type) -> list[str]:
    """What the constructor takes by name; none where there is no constructor of its own."""
    parameters = inspect.signature(cls).parameters.values()
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


class Worded(type):
    """Makes classes whose constructors refuse in words what they do not take."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        refuse_arguments(cls.__name__, cls, args, options)
        return super().__call__(*args, **options)

    @property
    def __signature__(cls) -> inspect.Signature:
        """The constructor's arguments, for `help`."""
        own = inspect.signature(cls.__init__)  # type: ignore[misc]
        return own.replace(parameters=list(own.parameters.values())[1:])
