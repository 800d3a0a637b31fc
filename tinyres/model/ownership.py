"""Which weights an optimizer moves: those of one model, and all that it has."""

from __future__ import annotations

from tinyres.errors import ArgumentError
from tinyres.nn.functional import Functional
from tinyres.optim import Optimizer


def refuse_unknown(model: Functional, op: str, optimizer: Optimizer) -> None:
    """Raise ArgumentError if the model has weights that the optimizer was not bound to, or lacks some that it was."""
    known, own = {id(p) for p in optimizer.params}, model.named_parameters()
    unknown = [name for name, p in own.items() if id(p) not in known]
    if unknown or len(known) > len(own):
        raise ArgumentError(
            f"[{op}] training moves the weights that the model had when it was compiled; got one of which "
            f"{unknown[0] if unknown else 'a layer'} was added, replaced or taken away since; call compile again"
        )


def refuse_foreign(model: Functional, optimizer: Optimizer) -> None:
    """Raise ArgumentError if the optimizer moves weights of another model."""
    own = {id(p) for p in model.parameters()}
    foreign = [p for p in optimizer.params if id(p) not in own]
    if foreign:
        raise ArgumentError(
            f"[compile] an optimizer belongs to one model; got one that moves {len(foreign)} parameter(s) of "
            f"another, such as {foreign[0].name or 'an unnamed one'}; make a new optimizer for each model"
        )
