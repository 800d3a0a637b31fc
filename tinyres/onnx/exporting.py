"""export: a model as an ONNX file of opset 18, each op as `writing` has it, checked by onnx itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyres.errors import ArgumentError, need_extra
from tinyres.model import Model
from tinyres.onnx.recording import Recorded, Recording, record
from tinyres.onnx.writer import Writer, tensors_of, value_info
from tinyres.onnx.writing import REFUSED, WRITERS
from tinyres.store.opening import PathLike, checked_path
from tinyres.store.replacing import replacing
from tinyres.training.reading import read_count

with need_extra("onnx", "models are written and read by the onnx package", "onnx"):
    import onnx
    from onnx import helper

OPSET = 18
IR_VERSION = 8  # of files with opset 18


def export(model: Model, path: PathLike, size: int | None = None) -> None:
    """Write the model, in inference, as an ONNX file that any runtime of opset 18 runs.

    Inputs and outputs go by the names of their layers; the batch, and any size of an Input that is None, may be of any
    size. Nodes are named after the layer that they belong to, weights after the parameter. Images are (n, height,
    width, channels) there too. Dropout and noise are not in it, BatchNormalization has its moving statistics.
    path: with the suffix .onnx. size: of every axis of an Input that is None, such as the length of a text: then the
    file takes this one only. Raises ArgumentError for a model that is not a graph of layers, and for ops that have no
    form in ONNX, with their layers; FileError where the file cannot be written.

    >>> import tinyres as tr, tempfile, pathlib
    >>> model = tr.Sequential([tr.Input(shape=(4,)), tr.layers.Dense(3, activation="softmax")])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tr.onnx.export(model, pathlib.Path(folder) / "net.onnx")
    ...     sorted(path.name for path in pathlib.Path(folder).iterdir())
    ['net.onnx']
    """
    name = checked_path("onnx.export", path)
    if not name.endswith(".onnx"):
        raise ArgumentError(f'[onnx.export] an ONNX file is called .onnx; got {name!r}; write "net.onnx"')
    content = proto_of(model, size).SerializeToString()
    with replacing(name) as file:
        file.write(content)


def proto_of(model: Model, size: int | None = None) -> Any:
    """The model as an onnx.ModelProto, checked."""
    recording = record(model, None if size is None else read_count("onnx.export", "size", size, 1))
    parameters = {id(weight.buffer): name for name, weight in model.named_weights().items()}
    return written(recording, parameters, [port.name for port in model.ports or ()], model.output_names)


def written(recording: Recording, parameters: Mapping[int, str], inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    """What was recorded as an onnx.ModelProto, checked. parameters: names of weights by their buffers."""
    _refuse_unwritten(recording)
    writer = Writer(parameters)
    given = [_input(writer, node, name) for node, name in zip(recording.inputs, inputs)]
    for node in recording.ops:
        writer.begin(node)
        name = WRITERS[node.op](writer, node, node.inputs, *_attrs(node))
        if name is not None:
            writer.put(node, name)
    results = _outputs(writer, recording, outputs)
    graph = helper.make_graph(writer.used(), "tinyres", given, results, tensors_of(writer.used_initializers()))
    proto = helper.make_model(
        graph, producer_name="tinyres", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto


_SIZED = {"reshape", "flatten", "squeeze", "expand_dims", "broadcast_to", "index"}
_SIZED |= {"conv2d", "conv2d_without_bias", "conv2d_to_input", "max_pool2d", "sum_pool2d", "spread2d"}


def _attrs(node: Recorded) -> tuple[Any, ...]:
    """What an op was told. Where that may hold sizes of a batch, its function looks at both batches itself."""
    return () if node.op in _SIZED else node.attrs


def _refuse_unwritten(recording: Recording) -> None:
    """Raise ArgumentError for all ops without a form in ONNX at once."""
    found: dict[str, str] = {}
    for node in recording.ops:
        if node.op not in WRITERS:
            why = REFUSED.get(node.op, "no form of it is known")
            found.setdefault(node.op, f"{node.op} ({node.first.label()}): {why}")
    if found:
        raise ArgumentError(
            f"[onnx.export] each op must have a form in ONNX; got {'; '.join(found.values())}; leave these layers out, "
            "or write them in other ops"
        )


def _input(writer: Writer, node: Recorded, name: str) -> Any:
    writer.input(node, name)
    return value_info(name, node.first.dtype, _sizes(node, name))


def _sizes(node: Recorded, name: str) -> list[Any]:
    pairs = list(zip(*node.shapes))
    return [a if a == b else f"{name}_{axis}" if axis else "batch" for axis, (a, b) in enumerate(pairs)]


def _outputs(writer: Writer, recording: Recording, names: Sequence[str]) -> list[Any]:
    described = []
    for node, wanted in zip(recording.outputs, names):
        name = writer.output(node, wanted)
        described.append(value_info(name, node.first.dtype, _sizes(node, name)))
    return described
