"""Residual nets as estimators of scikit-learn: in pipelines, searches and cross-validation, with their ledger."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinyres.errors import refuse_name

if TYPE_CHECKING:
    from tinyres.sklearn.classifier import Classifier
    from tinyres.sklearn.regressor import Regressor

__all__ = ["Classifier", "Regressor"]

_MODULES = {"Classifier": "tinyres.sklearn.classifier", "Regressor": "tinyres.sklearn.regressor"}


def __getattr__(name: str) -> Any:
    """The estimators, each loaded when it is first asked for: scikit-learn takes a second."""
    if name not in _MODULES:
        refuse_name(__name__, name, __all__)
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
