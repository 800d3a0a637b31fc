"""load: a trainable Model out of an ONNX graph, each node as `reading` has it."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any

from tinyres.backends.memory import check_fits
from tinyres.errors import FileError, OutOfMemoryError, TinyresError, need_extra
from tinyres.model import Model
from tinyres.nn.operators import Input
from tinyres.nn.tree import weights_of
from tinyres.onnx.checking import Checked, read
from tinyres.onnx.names import Place, places_of, plain_name
from tinyres.onnx.reading import READERS
from tinyres.onnx.reading.folding import folded
from tinyres.onnx.reading.table import OPEN, Reading
from tinyres.onnx.values import Held, Known, Value
from tinyres.ops.random import preserving_generator
from tinyres.store.opening import PathLike
from tinyres.training.reading import read_count

with need_extra("onnx", "models are written and read by the onnx package", "onnx"):
    from onnx import TensorProto

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)
_INTEGERS = (TensorProto.INT64, TensorProto.INT32)


def load(path: PathLike, size: int | None = None) -> Model:
    """The net in an ONNX file as a Model that can be trained and traced, whatever library exported it.

    Inputs keep the shape that they have in the file, such as (channels, height, width) of an image; the batch may be of
    any size. size: of every other axis that the file leaves open, such as the length of a text; None to leave it open,
    where the net allows that. Inside, images have their channels last. Products with weights of the file become Dense,
    Conv2D, BatchNormalization and so on, named after the node's path ("/layer1/conv1/Conv" is layer1/conv1); other
    arrays of the file are Parameters of the op that reads them; what several nodes read, each has for itself. What
    follows from arrays of the file alone is computed. Exporters fold BatchNormalization into the convolution unless
    told not to (PyTorch: `optimize=False`, or training mode where `dynamo=False`).
    Raises FileError for a file that is missing, damaged or does not follow the standard, for ops that are not read (all
    in one error), and for what is not read of an op.

    >>> import tinyres as tr, tempfile, pathlib
    >>> inputs = tr.Input(shape=(4,), name="x")
    >>> model = tr.Model(inputs, tr.layers.Dense(3, name="answer")(inputs))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tr.onnx.export(model, pathlib.Path(folder) / "net.onnx")
    ...     again = tr.onnx.load(pathlib.Path(folder) / "net.onnx")
    >>> [layer.name for layer in again.layers], again.predict(np.zeros((2, 4))).shape
    (['x', 'answer'], (2, 3))
    """
    checked = read(path)
    _refuse_unread(checked)
    try:
        with preserving_generator():
            return _Builder(checked, None if size is None else read_count("onnx.load", "size", size, 1)).model()
    except (FileError, OutOfMemoryError):
        raise
    except TinyresError as error:
        raise FileError(
            f"[onnx.load] the sizes in a file must fit one another; those in {str(path)!r} do not: {error}"
        ) from error
    except (ValueError, IndexError, TypeError, KeyError, ArithmeticError, MemoryError) as error:
        said = " ".join(str(error).split())[:200]
        raise FileError(
            f"[onnx.load] a node must have what its op asks for; {str(path)!r} has one that has not "
            f"({type(error).__name__}: {said}); export it again"
        ) from error


def _refuse_unread(checked: Checked) -> None:
    """Raise FileError that names every op that is not read."""
    counts = Counter(_called(node) for node in checked.graph.node if node.domain not in ("", "ai.onnx"))
    counts += Counter(node.op_type for node in checked.graph.node if node.op_type not in _FOLDED | set(READERS))
    if counts:
        listed = ", ".join(f"{kind} ({count})" for kind, count in sorted(counts.items()))
        raise FileError(
            f"[onnx.load] nets of known ops are read; the file has {listed}; known are {', '.join(sorted(READERS))}; "
            "export the net without them"
        )


_FOLDED = {"ConstantOfShape", "Range", "Trilu"}  # of what follows from sizes only


def _called(node: Any) -> str:
    return f"{node.domain}.{node.op_type}"


class _Builder:
    """Walks a graph and builds the model."""

    def __init__(self, checked: Checked, size: int | None) -> None:
        self._size = size
        self.graph = checked.graph
        self.opset = checked.opset
        self.values: dict[str, Value] = {
            name: Known(array, weight=not _is_constant(name), name=name) for name, array in checked.arrays.items()
        }
        self._held = sum(array.size for array in checked.arrays.values())
        self._again = -self._held  # elements that nodes read beyond each array once: layers have weights of their own
        self.batch: int | None = None
        self.double = False
        self._readings = Counter(name for node in self.graph.node for name in node.input)
        self._readings.update(output.name for output in self.graph.output)
        self._reader_of = {name: node for node in self.graph.node for name in node.input}
        self._added: dict[str, str] = {}  # of an Add that a Dense has done already: the product

    def model(self) -> Model:
        inputs = [self._input(each) for each in self.graph.input if each.name not in self.values]
        for node, place in zip(self.graph.node, places_of(self.graph.node)):
            self._read(node, place)
        outputs = []
        for each in self.graph.output:
            found = self.values[each.name]
            if isinstance(found, Known):
                raise FileError(f"[onnx.load] an output comes from the data; {each.name!r} is a constant; leave it out")
            outputs.append(found.plain)
        model = Model(inputs[0] if len(inputs) == 1 else inputs, outputs[0] if len(outputs) == 1 else outputs)
        return model.astype("float64") if self.double else model  # type: ignore[return-value]

    def _input(self, described: Any) -> Any:
        kind, name = described.type.tensor_type, described.name
        if kind.elem_type not in (*_FLOATS, *_INTEGERS) or not kind.HasField("shape") or not kind.shape.dim:
            raise FileError(
                f"[onnx.load] inputs are floats or integers of 32 or 64 bits, with a batch axis; {name!r} is none; "
                "export it so"
            )
        batch, *sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
        sizes = [self._size if n is None else n for n in sizes]
        self.batch = batch or self.batch
        self.double |= kind.elem_type == TensorProto.DOUBLE
        dtype = "float32" if kind.elem_type in _FLOATS else "int64"
        if math.prod(n for n in sizes if n is not None) > 1 << 28:
            raise FileError(
                f"[onnx.load] a sample has up to 2^28 numbers; {name!r} has shape {sizes}; export it smaller"
            )
        symbolic = Input(shape=sizes, dtype=dtype, name=plain_name(name) or None)
        self.values[name] = Held(symbolic)
        return symbolic

    def _read(self, node: Any, place: Place) -> None:
        inputs = [self.values[name] if name else None for name in node.input]
        reading = Reading(node, inputs, place, self.opset, self.batch)
        if node.output[0] in self._added:
            self.values[node.output[0]] = self.values[self._added[node.output[0]]]
            return
        reading.bias = self._bias_behind(node)
        with reading.scope(), self._weights_for(reading):
            found: Any = folded(reading)
            if found is None and node.op_type not in READERS:
                raise reading.refuse("its inputs must follow from the file and its sizes", "some from the data", OPEN)
            found = READERS[node.op_type](reading) if found is None else found
        results = found if isinstance(found, list) else [found]
        self.values.update(zip(node.output, results))

    def _weights_for(self, reading: Reading) -> AbstractContextManager[None]:
        """Within, a layer has the weights that its node reads, which others may read too, and little more."""
        read = sum(known.array.size for known in (*reading.inputs, reading.bias) if isinstance(known, Known))
        self._again += read
        check_fits("onnx.load", 4 * self._again, "what its nodes read several times", "export a smaller net")
        return weights_of(2 * (self._held + read), "onnx.load", "export it again")

    def _bias_behind(self, node: Any) -> Known | None:
        """What the Add behind a product with a matrix of the file adds, if it is a bias and nothing else reads it."""
        if node.op_type != "MatMul":
            return None
        product = node.output[0]
        matrix, reader = self.values.get(node.input[-1]), self._reader_of.get(product)
        if not isinstance(matrix, Known) or matrix.array.ndim != 2:
            return None
        if self._readings[product] != 1 or reader is None or reader.op_type != "Add":
            return None
        bias = self.values.get(next((name for name in reader.input if name != product), ""))
        if not isinstance(bias, Known) or bias.array.shape != matrix.array.shape[1:]:
            return None
        self._added[reader.output[0]] = product
        return bias


def _is_constant(name: str) -> bool:
    """Whether an array goes by the name that the exporter here gives to what is written in a program."""
    return name.rpartition("/")[2].startswith("constant")
