"""Windows over images: convolutions, pooling, upsampling. All of ONNX's have channels first."""

from __future__ import annotations

from tinyres.errors import ArgumentError
from tinyres.kernels.record import RELU
from tinyres.onnx.recording import Recorded
from tinyres.onnx.writer import Writer
from tinyres.onnx.writing.table import writes
from tinyres.ops.geometry import Geometry

Inputs = list[Recorded]
_OF_KERNEL = (3, 2, 0, 1)  # from (rows, columns, channels / groups, outputs)


def _geometry_of(node: Recorded) -> Geometry:
    """Where the windows lie; how large the image is may differ from batch to batch."""
    first, second = (Geometry(*n.attrs[0]) for n in node)
    same = first._replace(h=0, w=0) == second._replace(h=0, w=0)
    return first if same else Geometry(*node.attrs[0])


def _kernel(writer: Writer, kernel: Recorded) -> str:
    values = kernel.array
    if values is None:
        return writer.emit("Transpose", writer.plain(kernel), perm=_OF_KERNEL)
    return writer.weight(kernel, values.transpose(_OF_KERNEL))


def _windows(g: Geometry) -> dict[str, list[int]]:
    return {"kernel_shape": [g.kh, g.kw], "strides": [g.sh, g.sw], "pads": [g.top, g.left, g.bottom, g.right]}


@writes("conv2d", "conv2d_without_bias")
def _conv2d(writer: Writer, node: Recorded, inputs: Inputs) -> None:
    g, flags = _geometry_of(node), node.first.attrs[1]
    x, kernel, *bias = inputs
    operands = [writer.first(x), _kernel(writer, kernel), *[writer.plain(each) for each in bias]]
    name = writer.emit("Conv", *operands, dilations=[g.dh, g.dw], group=g.groups, **_windows(g))
    writer.put_first(node, writer.emit("Relu", name) if flags & RELU else name)


@writes("conv2d_to_input")
def _conv2d_to_input(writer: Writer, node: Recorded, inputs: Inputs) -> None:
    """The transpose of a convolution: pixels that no window meets come as output_padding."""
    g = _geometry_of(node)
    y, kernel = inputs
    sizes = ((g.oh - 1) * g.sh + g.dh * (g.kh - 1) + 1, (g.ow - 1) * g.sw + g.dw * (g.kw - 1) + 1)
    below, right = sizes[0] - g.top - g.h, sizes[1] - g.left - g.w
    name = writer.emit(
        "ConvTranspose",
        writer.first(y),
        _kernel(writer, kernel),
        kernel_shape=[g.kh, g.kw],
        strides=[g.sh, g.sw],
        dilations=[g.dh, g.dw],
        group=g.groups,
        pads=[g.top, g.left, max(below, 0), max(right, 0)],
        output_padding=[max(-below, 0), max(-right, 0)],
    )
    writer.put_first(node, name)


@writes("max_pool2d")
def _max_pool2d(writer: Writer, node: Recorded, inputs: Inputs) -> None:
    writer.put_first(node, writer.emit("MaxPool", writer.first(inputs[0]), **_windows(_geometry_of(node))))


@writes("sum_pool2d")
def _sum_pool2d(writer: Writer, node: Recorded, inputs: Inputs) -> None:
    """Means are over the pixels within the image, sums over the window."""
    g, mean = _geometry_of(node), node.first.attrs[1]
    name = writer.emit("AveragePool", writer.first(inputs[0]), count_include_pad=int(not mean), **_windows(g))
    writer.put_first(node, name if mean else writer.emit("Mul", name, writer.like(node, g.kh * g.kw)))


@writes("spread2d")
def _spread2d(writer: Writer, node: Recorded, inputs: Inputs) -> None:
    """Where windows lie side by side: nearest upsampling."""
    g, mean = _geometry_of(node), node.first.attrs[1]
    if mean or (g.h, g.w) != (g.oh * g.kh, g.ow * g.kw) or (g.sh, g.sw) != (g.kh, g.kw):
        raise ArgumentError(
            f"[onnx.export] a sum over windows is turned around only where they lie side by side, as in upsample2d; "
            f"{node.first.label()} has {g}; use layers.UpSampling2D"
        )
    scales = writer.constant([1.0, 1.0, g.kh, g.kw], "float32")
    options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    writer.put_first(node, writer.emit("Resize", writer.first(inputs[0]), "", scales, **options))
