"""Whole nets of the literature: functions that build a Model, new and untrained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyres.applications.diffusion import diffusion, sample
from tinyres.applications.resnet import resnet
from tinyres.applications.transformer import gpt, transformer_encoder
from tinyres.applications.unet import unet
from tinyres.applications.vgg import vgg
from tinyres.errors import closed

__all__ = ["diffusion", "gpt", "resnet", "sample", "transformer_encoder", "unet", "vgg"]

_INSTEAD = {f"ResNet{depth}": f"use resnet({depth})" for depth in (18, 34, 50, 101, 152)}
_INSTEAD |= {f"VGG{depth}": f"use vgg({depth})" for depth in (16, 19)}

if not TYPE_CHECKING:
    __getattr__, __dir__ = closed(__name__, __all__, _INSTEAD)
