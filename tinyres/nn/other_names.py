"""What people of other libraries ask of a layer: Keras' names for what is here, and words for what is not.

Names of data, such as `layer.output`, are in `layer`, for they ask what it was called on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from tinyres.errors import Absent, ArgumentError

if TYPE_CHECKING:
    from tinyres.engine.tensor import Parameter


# What is asked for and not here, and what to do instead.
REMEDIES = {
    "children": "use layer.layers",
    "cpu": "leave it out: it runs on the CPU",
    "cuda": "leave it out: it runs on the CPU",
    "double": 'use model.astype("float64")',
    "evaluate_generator": "use evaluate, which takes generators",
    "fit_generator": "use fit, which takes generators",
    "forward": "call it: model(x); a layer of one's own defines call",
    "half": "float32 and float64 are there",
    "load_state_dict": "use set_weights, or load_weights",
    "modules": "use layer.layers",
    "predict_classes": "use model.predict(x).argmax(axis=-1)",
    "predict_generator": "use predict, which takes generators",
    "predict_proba": "use predict",
    "register_buffer": "use add_weight(trainable=False)",
    "register_parameter": "use add_weight",
    "state_dict": "use get_weights, or save_weights",
    "to": 'leave it out: it runs on the CPU; model.astype("float64") changes the dtype',
    "zero_grad": "use optimizer.zero_grad()",
}


class OtherNames:
    """The methods; a Layer has them."""

    if TYPE_CHECKING:
        weights: list[Parameter]
        trainable_weights: list[Parameter]
        non_trainable_weights: list[Parameter]

    @property
    def variables(self) -> list[Parameter]:
        """Keras' other name of `weights`."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Parameter]:
        """Keras' other name of `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Parameter]:
        """Keras' other name of `non_trainable_weights`."""
        return self.non_trainable_weights

    def train(self, mode: bool = True) -> NoReturn:
        """Not here: a call says whether it trains."""
        raise ArgumentError(
            f"[{type(self).__name__}] a call says whether it trains; got .train({mode}); write model(x, training=True)"
        )

    def eval(self) -> NoReturn:
        """Not here: a call is inference unless it says otherwise."""
        raise ArgumentError(
            f"[{type(self).__name__}] a call is inference unless told otherwise; got .eval(); write model(x)"
        )

    def add_loss(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: only weights add to the loss by themselves."""
        raise ArgumentError(
            f"[{type(self).__name__}] what adds to the loss is a regularizer of a weight; got .add_loss(); give "
            "kernel_regularizer, or add the term in a captured step of your own"
        )

    def add_metric(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Not here: metrics are told to `compile`."""
        raise ArgumentError(
            f"[{type(self).__name__}] metrics are of outputs; got .add_metric(); give the value as an output of the "
            "model, and compile(metrics=[...])"
        )

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if name not in REMEDIES]


for _name, _remedy in REMEDIES.items():
    setattr(OtherNames, _name, Absent(f"[{{owner}}] tinyres has no .{_name}; got this name; {_remedy}"))
