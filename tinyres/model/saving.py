"""What of a model goes into a file, and back: everything that the next training step depends on.

The header holds the layers, what was trained and with what, the generators, and the place within an epoch; the arrays
are the weights and the optimizer's state. Loading checks all of it against the rebuilt model before it changes any.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tinyres.engine.tensor import FLOATS, Parameter
from tinyres.errors import ArgumentError, FileError
from tinyres.layers import losses
from tinyres.model import foreign
from tinyres.model.architecture import encode_layer, every_layer
from tinyres.model.rebuilding import Reader
from tinyres.nn.layer import LAYERS
from tinyres.nn.tree import weights_of
from tinyres.ops.random import preserving_generator
from tinyres.optim import OPTIMIZER_CLASSES, OPTIMIZERS, schedules
from tinyres.optim.numbers import CLIP_NORM
from tinyres.store import archive
from tinyres.store.definitions import path_of
from tinyres.store.opening import PathLike
from tinyres.training.batches import Position
from tinyres.training.callback import states_of
from tinyres.training.metrics import decode, encode

if TYPE_CHECKING:
    from tinyres.model.model import Model

MODEL = archive.Format("tinyres model", 2, "a model file", "model.save")
WEIGHTS = "weights/"
SUFFIXES = (".npz",)
OPTIMIZER = "optimizer/"
CALLBACKS = "callbacks/"


def save(model: Model, path: PathLike) -> None:
    """See Model.save."""
    archive.checked_suffix("save", path, MODEL, SUFFIXES)
    if not model.built:
        raise ArgumentError(f"[save] a model has weights once it is built; {model!r} is not; call it on data first")
    weights = model.named_weights()
    arrays = {WEIGHTS + name: w.numpy() for name, w in weights.items()}
    header: dict[str, Any] = {
        "model": encode_layer(model),
        "trainable": [layer.trainable for layer in every_layer(model)],
        "frozen": [name for name, w in model.named_parameters().items() if not w.trainable],
        "epoch": model.epoch,
        "generators": [generator.state.array.tolist() for generator in model.generators()],
    }
    optimizer = model.optimizer
    if optimizer is not None:
        called = path_of(type(optimizer).__module__, type(optimizer).__qualname__)
        header["optimizer"] = {"class": called, "config": _written(optimizer.config())}
        header["loss"] = losses.encode(model.loss)
        header["metrics"] = _named(model.metrics)
        header["weighted_metrics"] = _named(model.weighted_metrics)
        header["callbacks"] = _split(states_of(model), arrays)
        header["loss_weights"] = _numbers(model.loss_weights)
        names = {id(w): name for name, w in weights.items()}
        header["moved"] = [names[id(p)] for p in optimizer.params]
        arrays.update({OPTIMIZER + key: value for key, value in optimizer.state(names).items()})
        if model.position is not None:
            header["position"] = asdict(model.position)
            if model.position.totals is None:  # else it was loaded, and not gone on from yet
                totals, seen = model.plan("save").training.state()
                header["position"].update(totals=totals, seen=seen)
    archive.write(path, MODEL, header, arrays)


def load(path: PathLike, custom_objects: Mapping[str, Any] | None = None) -> Model:
    """The model that `model.save(path)` wrote, compiled as it was, with the library's generator as it was.

    Training goes on bit for bit: `model.fit(..., initial_epoch=model.epoch)`. A loss or metric of your own is not in
    the file: call `model.compile(model.optimizer, loss=...)` again, which keeps the optimizer's state. Own layers must
    be defined when the file is read; the file calls them by module and name. custom_objects: for classes and ops that
    go by another name now, what the file calls them (`{"nets.Gate": Gate}`).
    Raises FileError if the file is missing, damaged, or no model.

    >>> import tinyres as tr, tempfile, pathlib
    >>> model = tr.Sequential([tr.Input(shape=(2,)), tr.layers.Dense(1)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.npz"
    ...     model.save(path)
    ...     tr.load(path).count_params()
    3
    """
    header, arrays = _read("load", path)
    if header.get("weights_only"):
        raise FileError(
            f"[load] a model file has the layers as well; {path} has weights only; build the model, then "
            "model.load_weights(path)"
        )
    try:
        elements = sum(array.size for name, array in arrays.items() if name.startswith(WEIGHTS))
        with preserving_generator(), weights_of(elements):  # weights are initialised, then overwritten
            layer = Reader(custom_objects, elements).layer(header["model"])
            if not isinstance(layer, LAYERS["tinyres.Model"]):
                raise FileError(f"[load] {path} holds a {type(layer).__name__}, not a model; give a file of model.save")
            model = cast("Model", layer)
            writes = _fitting_weights("load", path, model, arrays)
            _restore(model, header, arrays, custom_objects)
            drawn = model.generators()
            states = np.array(_checked(header["generators"], list[list[int]]), np.int64).reshape(len(drawn), 2)
    except FileError:
        raise
    except Exception as error:  # a header that is JSON, but says what no save has written
        raise FileError(
            f"[load] {path} cannot be read as a model ({type(error).__name__}: {error}); it was written by another "
            "program, or its layers have changed since; give a file that this version wrote"
        ) from error
    for parameter, array in writes:
        parameter.assign(array)
    for generator, state in zip(drawn, states):
        generator.state.array[...] = state
    return model


def save_weights(model: Model, path: PathLike, names: foreign.Names = None) -> None:
    """See Model.save_weights."""
    suffix = archive.checked_suffix("save_weights", path, MODEL, (*SUFFIXES, *foreign.TORCH_SUFFIXES))
    _check_built("save_weights", model)
    if suffix in foreign.TORCH_SUFFIXES:
        return foreign.save("save_weights", model, path, names)
    archive.write(
        path, MODEL, {"weights_only": True}, {WEIGHTS + name: w.numpy() for name, w in model.named_weights().items()}
    )


def load_weights(model: Model, path: PathLike, names: foreign.Names = None, strict: bool = True) -> foreign.Loaded:
    """See Model.load_weights."""
    others = *foreign.TORCH_SUFFIXES, *foreign.KERAS_SUFFIXES
    suffix = archive.checked_suffix("load_weights", path, MODEL, (*SUFFIXES, *others), foreign.REWRITTEN)
    if suffix in others:
        _check_built("load_weights", model)
        return foreign.load("load_weights", model, path, suffix, names, strict)
    _, arrays = _read("load_weights", path)
    _check_built("load_weights", model)
    fitting = _fitting_weights("load_weights", path, model, arrays)
    for parameter, array in fitting:
        parameter.assign(array)
    return foreign.Loaded(tuple(model.named_weights()))


def _check_built(op: str, model: Model) -> None:
    if not model.built:
        raise ArgumentError(f"[{op}] a model has weights once it is built; {model!r} is not; call it on data first")


def _read(op: str, path: PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    archive.checked_suffix(op, path, MODEL, SUFFIXES, foreign.WEIGHTS_ALONE)
    return archive.read(op, path, MODEL)


def _restore(
    model: Model, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray], given: Mapping[str, Any] | None
) -> None:
    """Everything but the weights and generators."""
    for layer, trainable in zip(every_layer(model), _checked(header["trainable"], list[bool]), strict=True):
        layer.trainable = trainable
    weights = model.named_weights()
    for name, parameter in model.named_parameters().items():
        parameter.trainable = name not in _checked(header["frozen"], list[str])
    model.epoch = _checked(header["epoch"], int)
    if "optimizer" in header:
        record = header["optimizer"]
        by_name = "name" in record  # in files of version 1
        cls = OPTIMIZERS[record["name"]] if by_name else OPTIMIZER_CLASSES.find(record["class"], given)
        optimizer = cls(**record["config"])
        optimizer.bind([weights[name] for name in header["moved"]])
        state = {key[len(OPTIMIZER) :]: value for key, value in arrays.items() if key.startswith(OPTIMIZER)}
        optimizer.restore(state, {id(w): name for name, w in weights.items()})
        if not (optimizer.hyper.array >= 0).all() or not np.isfinite(optimizer.hyper.array[:CLIP_NORM]).all():
            raise ValueError(f"the optimizer's numbers are {optimizer.hyper.array.tolist()}")
        if header["loss"] is not None:
            measured, by_weight = (_metrics(header.get(key)) for key in ("metrics", "weighted_metrics"))
            model.compile(optimizer, losses.decode(header["loss"]), measured, header.get("loss_weights"), by_weight)
        model.optimizer = optimizer
        model.callback_states = _joined(header.get("callbacks", []), arrays)
        if "position" in header:
            model.position = _position(header["position"])


def _position(record: Mapping[str, Any]) -> Position:
    position = Position(**record)
    for count in (position.epoch, position.step, position.batch_size, position.samples, position.seen):
        _checked(count, int)
    if position.order is not None:
        seed, counter = _checked(list(position.order), list[int])
        position.order = seed, counter
    for total in position.totals or ():
        _checked(total if isinstance(total, list) else [total], list[float])  # one number in files of version 1
    for count in (position.loader or {}).values():
        _checked(count, int)
    return position


def _checked(value: Any, kind: Any) -> Any:
    """The value, if it is of this type; an int is a count."""
    items = typing.get_args(kind)
    if items and isinstance(value, list):
        return [_checked(item, items[0]) for item in value]
    if type(value) is not kind or kind is int and not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r} stands where the header has {kind}")
    return value


def _written(config: dict[str, Any]) -> dict[str, Any]:
    """An optimizer's arguments as JSON; it reads a schedule as it is written here."""
    return {
        key: schedules.encode(value) if isinstance(value, schedules.LearningRateSchedule) else value
        for key, value in config.items()
    }


def _named(metrics: Any) -> Any:
    """The metrics without the user's own functions, of which a file keeps nothing."""
    if isinstance(metrics, Mapping):
        return {name: _named(each) for name, each in metrics.items()}
    if isinstance(metrics, (list, tuple)):
        found = [(each, _named(each)) for each in metrics]
        return [named for each, named in found if each is None or named is not None]
    return encode(metrics)


def _metrics(record: Any) -> Any:
    """What `_named` gave, as `compile` takes it."""
    if isinstance(record, list):
        return [_metrics(each) for each in record]
    if isinstance(record, dict) and "class" not in record:
        return {name: _metrics(each) for name, each in record.items()}
    return None if record is None else decode(record)


def _split(states: list[dict[str, Any]], arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The states of callbacks as JSON; lists of arrays go among the arrays of the file."""
    told = []
    for i, record in enumerate(states):
        state = dict(record["state"])
        for key, value in state.items():
            if isinstance(value, list) and any(isinstance(item, np.ndarray) for item in value):
                arrays.update({f"{CALLBACKS}{i}/{key}/{j}": item for j, item in enumerate(value)})
                state[key] = {"arrays": len(value)}
        told.append({"class": record["class"], "state": state})
    return told


def _joined(told: Any, arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """What `_split` gave, together again."""
    states = []
    for i, record in enumerate(told):
        state = dict(record["state"])
        for key, value in state.items():
            if isinstance(value, dict):
                state[key] = [arrays[f"{CALLBACKS}{i}/{key}/{j}"] for j in range(value["arrays"])]
        states.append({"class": record["class"], "state": state})
    return states


def _numbers(weights: Any) -> Any:
    if isinstance(weights, Mapping):
        return {name: _numbers(weight) for name, weight in weights.items()}
    if isinstance(weights, (list, tuple)):
        return [_numbers(weight) for weight in weights]
    return weights if weights is None else float(weights)


def _fitting_weights(
    op: str, path: PathLike, model: Model, arrays: Mapping[str, np.ndarray]
) -> list[tuple[Parameter, np.ndarray]]:
    """Each weight with its array, if all of them fit."""
    found = {key[len(WEIGHTS) :]: value for key, value in arrays.items() if key.startswith(WEIGHTS)}
    own = model.named_weights()
    for name, parameter in own.items():
        if name not in found:
            other = next((key for key in found if key not in own), None)
            instead = f"it has {other} {found[other].shape} instead" if other else f"it has {len(found)} weights"
            raise FileError(
                f"[{op}] the file must be of the same architecture; this model has {name} {parameter.shape}, which is "
                f"not in {path}: {instead}; build the model as it was when it was saved"
            )
        array = found[name]
        if array.shape != parameter.shape or array.dtype not in FLOATS:
            raise FileError(
                f"[{op}] the file must be of the same architecture; {name} has shape {parameter.shape} here, and "
                f"{array.shape} {array.dtype} in {path}; build the model as it was when it was saved"
            )
    extra = next((key for key in found if key not in own), None)
    if extra is not None:
        raise FileError(
            f"[{op}] the file must be of the same architecture; {path} has {extra} {found[extra].shape}, which this "
            "model has not; build the model as it was when it was saved"
        )
    return [(parameter, found[name]) for name, parameter in own.items()]
