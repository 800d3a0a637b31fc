"""Published findings on gradients in residual nets, each reproduced by one function on the digits or synthetic data.

    from tinyres.study import experiments
    print(experiments.init_laws(depths=(8, 16)))

`tinyres experiment NAME` runs them from the command line. Each takes its options by keyword and gives a Result.
"""

from __future__ import annotations

from tinyres.study.experiment import Experiment, Result
from tinyres.study.experiments.activation_order import activation_order
from tinyres.study.experiments.degradation import degradation
from tinyres.study.experiments.degradation_resnet import degradation_resnet
from tinyres.study.experiments.identity import identity
from tinyres.study.experiments.init_laws import init_laws
from tinyres.study.experiments.lesion import lesion
from tinyres.study.experiments.lesion_resnet import lesion_resnet
from tinyres.study.experiments.paths import paths
from tinyres.study.experiments.shattering import shattering
from tinyres.study.experiments.shortcuts import shortcuts
from tinyres.study.experiments.transformer_norm import transformer_norm
from tinyres.study.experiments.unet_skips import unet_skips

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        init_laws,
        degradation,
        paths,
        shattering,
        lesion,
        shortcuts,
        activation_order,
        identity,
        transformer_norm,
        unet_skips,
    )
}

# The same with ResNets of convolutions on images: `--net resnet`.
OF_IMAGES: dict[str, Experiment] = {"degradation": degradation_resnet, "lesion": lesion_resnet}

__all__ = [
    "EXPERIMENTS",
    "OF_IMAGES",
    "Experiment",
    "Result",
    "activation_order",
    "degradation",
    "degradation_resnet",
    "identity",
    "init_laws",
    "lesion",
    "lesion_resnet",
    "paths",
    "shattering",
    "shortcuts",
    "transformer_norm",
    "unet_skips",
]
