"""What a layer is. The layers themselves are in `tinyres.layers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tinyres.errors import refuse_name

# Names of PyTorch's and TensorFlow's `nn`, and what to write here.
_INSTEAD = {
    "BCELoss": 'use compile(loss="binary_crossentropy"), or tinyres.losses.binary_crossentropy',
    "BCEWithLogitsLoss": "use tinyres.losses.binary_crossentropy(prediction, target, from_logits=True)",
    "BatchNorm1d": "use tinyres.layers.BatchNorm",
    "CrossEntropyLoss": "use tinyres.losses.softmax_cross_entropy(logits, labels)",
    "Dropout": "use tinyres.layers.Dropout",
    "Flatten": "use tinyres.layers.Flatten",
    "L1Loss": "use tinyres.losses.mae",
    "Linear": "use tinyres.layers.Dense(units); it learns the number of inputs from the data",
    "MSELoss": "use tinyres.losses.mse",
    "Module": "subclass tinyres.layers.Layer with build and call, or tinyres.Model",
    "ModuleList": "a plain list of layers is found",
    "Parameter": "use tinyres.Parameter, or layer.add_weight",
    "ReLU": "use tinyres.layers.ReLU",
    "Sequential": "use tinyres.Sequential([...])",
    "Sigmoid": 'use tinyres.layers.Activation("sigmoid")',
    "Softmax": "use tinyres.layers.Softmax",
    "Tanh": 'use tinyres.layers.Activation("tanh")',
    "functional": "ops are functions of tinyres: tinyres.relu(x)",
    "init": "give kernel_initializer; see tinyres.initializers",
    "relu": "use tinyres.relu",
    "sigmoid": "use tinyres.sigmoid",
    "softmax": "use tinyres.softmax",
}

__all__: list[str] = []

if not TYPE_CHECKING:

    def __getattr__(name: str) -> NoReturn:
        refuse_name(__name__, name, ["layers in tinyres.layers"], _INSTEAD)
