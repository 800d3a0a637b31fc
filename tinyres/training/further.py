"""Keras' further options of a model's methods: those that change no result are taken, the others refused in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyres.errors import ArgumentError

# What may be said and changes no result, by method.
_READING = frozenset(("workers", "use_multiprocessing", "max_queue_size"))
_TAKEN: dict[str, frozenset[str]] = {
    "compile": frozenset(("jit_compile", "steps_per_execution", "auto_scale_loss", "pss_evaluation_shards")),
    "fit": _READING,
    "evaluate": _READING | {"verbose"},
    "predict": _READING | {"verbose"},
    "train_on_batch": frozenset(("reset_metrics",)),
    "test_on_batch": frozenset(("reset_metrics",)),
    "save": frozenset(("overwrite", "include_optimizer", "zipped")),
    "save_weights": frozenset(("overwrite",)),
    "load_weights": frozenset(("skip_mismatch", "by_name")),
    "load": frozenset(("safe_mode",)),
}
# What must be as it is here, where it is said.
_ONLY: dict[str, tuple[Any, ...]] = {
    "include_optimizer": (True,),
    "overwrite": (True,),
    "reset_metrics": (True,),
    "skip_mismatch": (False,),
    "by_name": (False,),
    "save_format": (None, "npz"),
}
_REMEDIES = {
    "by_name": "leave it out: names are compared, and all must fit; copy layer by layer with layer.set_weights",
    "class_mode": "leave it out",
    "include_optimizer": "use save_weights, which leaves the optimizer out",
    "loss_weight": "write loss_weights",
    "metric": "write metrics=[...]",
    "nb_epoch": "write epochs",
    "overwrite": "test with os.path.exists first",
    "reset_metrics": "leave it out: each batch is measured alone",
    "sample_weight_mode": "leave it out; a sample_weight may have one number for each step of a sequence",
    "save_format": 'leave it out; name the file "model.npz"',
    "skip_mismatch": "copy layer by layer with layer.set_weights",
    "target_tensors": "leave it out",
}


def read_further(op: str, further: Mapping[str, Any], takes: str) -> None:
    """Raise ArgumentError for an option that is not there. takes: the method's own arguments."""
    for option, value in further.items():
        if option in _ONLY and value in _ONLY[option] or option in _TAKEN[op] - _ONLY.keys():
            continue
        if value is None and option in _REMEDIES:
            continue
        remedy = _REMEDIES.get(option, f"it takes {takes}")
        raise ArgumentError(f"[{op}] tinyres has no option {option}; got {value!r}; {remedy}")
