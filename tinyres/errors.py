"""Every error tinyres raises on purpose, in one wording.

A message reads `[op] the rule in words; what came, with shapes; what to do`. Each class is a TinyresError and also
the builtin that a Python user would catch for that kind of mistake.
"""

from __future__ import annotations


class TinyresError(Exception):
    """Base of all errors raised by tinyres."""


class ShapeError(TinyresError, ValueError):
    """Shapes, axes or sizes that do not fit."""


class DTypeError(TinyresError, TypeError):
    """A dtype or Python type that the operation does not take."""


class ArgumentError(TinyresError, ValueError):
    """A value that is out of range, of the wrong form, or unknown."""


class GradientError(TinyresError, RuntimeError):
    """A backward pass that cannot run or gave a wrong gradient."""


class NonFiniteError(GradientError):
    """A loss that is NaN or infinite; no state was changed by the step that gave it."""


class CaptureError(TinyresError, RuntimeError):
    """Something that cannot be recorded into a captured step."""


class BackendError(TinyresError, RuntimeError):
    """A backend or instruction set that is not there."""


class TraceError(TinyresError, RuntimeError):
    """A graph or trace that cannot answer."""


class FileError(TinyresError, ValueError):
    """A file that is missing, damaged, or not what it should be."""


class ValueCheckFailed(TinyresError, ValueError):
    """A value check kernel stopped a list of calls; the op that launched it words the error for the user."""


class MissingExtraError(TinyresError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""
