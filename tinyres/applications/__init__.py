"""Whole nets of the literature: functions that build a Model, new and untrained."""

from tinyres.applications.resnet import resnet
from tinyres.applications.vgg import vgg

__all__ = ["resnet", "vgg"]
