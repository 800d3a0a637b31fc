"""What people of Keras and PyTorch ask of an optimizer: its names for what is here, and words for what is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from tinyres.engine.node import set_regime
from tinyres.engine.tensor import Tensor
from tinyres.errors import Absent, ArgumentError
from tinyres.launch import door, refuse_while_recording

if TYPE_CHECKING:
    from tinyres.backends.buffers import Buffer
    from tinyres.optim.parameters import Spared


# What is asked of PyTorch's optimizers and not here, and what to do instead.
REMEDIES = {
    "add_param_group": "make a second optimizer, or use bind(parameters)",
    "defaults": "use config()",
    "load_state_dict": "use model.save and tinyres.load, which keep an optimizer's state",
    "param_groups": "set opt.lr and the other numbers, which hold for all parameters",
    "state_dict": "use variables, or model.save, which keeps an optimizer's state",
}


class OtherNames:
    """The names; an Optimizer has them."""

    if TYPE_CHECKING:
        name: ClassVar[str]
        _params: list[Tensor]
        hyper: Buffer
        _spared: Spared
        _undecayed: frozenset[int] | None

        def bind(self, params: Iterable[Tensor]) -> None: ...
        def step(self) -> None: ...
        def config(self) -> dict[str, Any]: ...
        def state(self, names: Mapping[int, str]) -> dict[str, np.ndarray]: ...

    @property
    def iterations(self) -> int:
        """Keras' name of `steps`."""
        return int(self.steps)  # type: ignore[attr-defined]

    @property
    def variables(self) -> list[np.ndarray]:
        """Copies of all state: the numbers it goes by, then what it keeps for each parameter."""
        names = {id(p): str(i) for i, p in enumerate(self._params)}
        return list(self.state(names).values())

    def build(self, variables: Iterable[Tensor]) -> None:
        """Keras' name of `bind`."""
        self.bind(variables)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Tensor]]) -> None:
        """One step by these gradients: pairs (gradient, parameter); None leaves a parameter where it is.

        The `.grad` of the parameters is as before. Parameters that are not known yet are taken in.

        >>> import tinyres as tr
        >>> w = tr.tensor([1.0], requires_grad=True)
        >>> opt = tr.optim.SGD(lr=0.5)
        >>> opt.apply_gradients([(tr.tensor([2.0]), w)])
        >>> w.item()
        0.0
        """
        if door.recorder is not None:
            door.recorder.refuse("apply_gradients", "gradients cannot be handed over; call loss.backward() and step();")
        pairs = list(grads_and_vars)
        self.bind([parameter for _, parameter in pairs])
        before = [p.grad for p in self._params]
        given = {id(parameter): gradient for gradient, parameter in pairs}
        try:
            for p in self._params:
                p.grad = given.get(id(p))
            self.step()
        finally:
            for p, held in zip(self._params, before):
                p.grad = held

    def exclude_from_weight_decay(self, var_list: Any = None, var_names: Any = None) -> None:
        """Keep parameters out of weight decay: these, and those in whose name one of var_names, a regex, is found.

        >>> import tinyres as tr
        >>> opt = tr.optim.AdamW(lr=0.1)
        >>> opt.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        >>> opt.config()["exclude"]
        ['bias', 'gamma', 'beta']
        """
        refuse_while_recording("exclude_from_weight_decay")
        self._spared.add(self.name, var_list or (), (var_names,) if isinstance(var_names, str) else var_names or ())
        self._undecayed = None
        set_regime(self.hyper, "exclude", len(self._spared))

    def minimize(self, loss: Any, var_list: Any = None, tape: Any = None) -> NoReturn:
        """Not here: a loss knows its own backward pass."""
        raise ArgumentError(
            f"[{self.name}] a loss has its backward pass itself; got .minimize(); write optimizer.zero_grad(), "
            "loss.backward(), optimizer.step()"
        )

    def get_config(self) -> dict[str, Any]:
        """`config`, with Keras' names beside: learning_rate for lr, and name.

        >>> import tinyres as tr
        >>> tr.optim.SGD(lr=0.5).get_config()["learning_rate"]
        0.5
        """
        config = self.config()
        return {"name": self.name, "learning_rate": config.pop("lr"), **config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """An optimizer by what `get_config` gave."""
        return cls(**{key: value for key, value in config.items() if key != "name"})

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if name not in REMEDIES]


for _name, _remedy in REMEDIES.items():
    setattr(OtherNames, _name, Absent(f"[{{owner}}] tinyres has no .{_name}; got this name; {_remedy}"))
