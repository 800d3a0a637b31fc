"""Residual nets as estimators of scikit-learn: in pipelines, searches and cross-validation, with their ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.errors import loading

if TYPE_CHECKING:
    from tinyres.sklearn.classifier import Classifier
    from tinyres.sklearn.regressor import Regressor

__all__ = ["Classifier", "Regressor"]

if not TYPE_CHECKING:  # scikit-learn takes a second to load
    __getattr__, __dir__ = loading(
        __name__, {"Classifier": "tinyres.sklearn.classifier", "Regressor": "tinyres.sklearn.regressor"}
    )
