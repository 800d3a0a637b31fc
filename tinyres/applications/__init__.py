"""Whole nets of the literature: functions that build a Model, new and untrained."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tinyres.applications.resnet import resnet
from tinyres.applications.vgg import vgg
from tinyres.errors import refuse_name

__all__ = ["resnet", "vgg"]


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        remedies = {f"ResNet{depth}": f"use resnet({depth})" for depth in (18, 34, 50, 101, 152)}
        remedies |= {f"VGG{depth}": f"use vgg({depth})" for depth in (16, 19)}
        refuse_name(__name__, name, __all__, remedies)
