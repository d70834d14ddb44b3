"""What convolutions on maps of a few pixels take as products, and what that is of a cohort's step.

    python bench/small_maps.py [--rounds 5] [--batch 64]

Forward and backward in fp32, one thread, channels_last, in turns. The second table is of convolutions with stride 2
whose gradient goes another way (`ltkit.models.halving`). The third trains cohorts on digits' shape (8x8x1): with both,
and with grouped convolutions everywhere but on maps of one pixel.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ltkit.lab import material
from ltkit.models import layers
from ltkit.models.halving import halve, quicker_gradient
from ltkit.models.small_maps import better_as_product, better_within, convolve
from ltkit.spec import Init, Network, Recipe, Run, Task
from ltkit.train import Cohort

# members, channels in, channels out, side of the map, kernel, stride
LAYERS = [
    (8, 16, 32, 2, 3, 1),
    (8, 32, 32, 2, 3, 1),
    (8, 64, 64, 2, 3, 1),
    (1, 32, 32, 2, 3, 1),
    (1, 512, 512, 2, 3, 1),
]
LAYERS += [(8, 6, 16, 4, 5, 1), (1, 6, 16, 4, 5, 1), (8, 16, 32, 4, 1, 2), (8, 64, 128, 2, 1, 1), (1, 64, 128, 4, 1, 1)]
LAYERS += [(16, 16, 32, 4, 3, 2)]
STRIDED = [(16, 8, 16, 8), (10, 5, 9, 8), (16, 8, 16, 16)]  # members, channels in, channels out, side of the map
NETWORKS = [("mobilenet_v1", 0.25), ("vgg11", 0.125), ("resnet8", 0.5), ("lenet_5", 1.0), ("mobilenet_v2", 0.25)]
MEMBERS = (8, 16)
Step = Callable[[], object]


def timed(steps: dict[Any, Step], rounds: int, times: int) -> dict[Any, float]:
    """Milliseconds of each, the median over rounds in turns; the first warms up."""
    found: dict[Any, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            begun = time.perf_counter()
            for _ in range(times):
                step()
            if turn:
                found[name].append((time.perf_counter() - begun) / times)
    return {name: 1000 * statistics.median(values) for name, values in found.items()}


def layer(members: int, inputs: int, outputs: int, side: int, kernel: int, stride: int, batch: int) -> dict[str, Step]:
    """One layer both ways."""
    padding, after = kernel // 2, -(-side // stride)
    x, slope = (torch.randn(batch, members * c, s, s) for c, s in ((inputs, side), (outputs, after)))
    x, slope = (t.contiguous(memory_format=torch.channels_last) for t in (x, slope))
    weight = torch.randn(members, outputs, inputs, kernel, kernel).requires_grad_()
    x.requires_grad_()
    assert better_as_product(x, kernel, stride, padding)

    def both(function: Callable[[], Tensor]) -> Step:
        return lambda: torch.autograd.grad(function(), (x, weight), slope)

    plain = both(lambda: F.conv2d(x, weight.flatten(0, 1), None, stride, padding, groups=members))
    return {"convolution": plain, "product": both(lambda: convolve(x, weight, None, stride, padding))}


def strided(members: int, inputs: int, outputs: int, side: int, batch: int) -> dict[str, Step]:
    """One 3x3 layer with stride 2 both ways."""
    x = torch.randn(batch, members * inputs, side, side).contiguous(memory_format=torch.channels_last).requires_grad_()
    slope = torch.randn(batch, members * outputs, side // 2, side // 2).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(members * outputs, inputs, 3, 3).requires_grad_()
    assert quicker_gradient(x, inputs, members, 3, 2, 1)
    ways = {"convolution": lambda: F.conv2d(x, weight, None, 2, 1, groups=members)}
    ways["halve"] = lambda: halve(x, weight, None, members)
    return {name: (lambda way=way: torch.autograd.grad(way(), (x, weight), slope)) for name, way in ways.items()}


def cohort(network: Network, members: int, batch: int, data: str, products: bool) -> Step:
    """A cohort's training step."""
    recipe = Recipe(steps=100_000, lr=0.01, batch_size=batch, weight_decay=5e-4)
    base = Run(task=Task(data=data), network=network, recipe=recipe)
    made = Cohort(
        [material.job(base.replace(start=Init(seed=r)), None, None) for r in range(members)], torch.device("cpu")
    )
    at = 0

    def step() -> None:
        nonlocal at
        layers.better_as_product = better_as_product if products else one_pixel  # type: ignore[assignment]
        layers.better_within = better_within if products else lambda *words: False  # type: ignore[assignment]
        layers.quicker_gradient = quicker_gradient if products else lambda *words: False  # type: ignore[assignment]
        if at % made.time.per_epoch == 0:
            made.begin_epoch(at // made.time.per_epoch)
        made.step(at)
        at += 1

    return step


def one_pixel(x: Tensor, kernel: int, stride: int, padding: int) -> bool:
    return tuple(x.shape[2:]) == (1, 1) and kernel == 2 * padding + 1 > 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, 1 thread\n")
    print("| members | layer | convolution, ms | product, ms | product / convolution |\n|---|---|---|---|---|")
    for members, inputs, outputs, side, kernel, stride in LAYERS:
        steps = layer(members, inputs, outputs, side, kernel, stride, given.batch)
        ms = timed(steps, given.rounds, 10)
        name = f"{inputs} to {outputs}, {kernel}x{kernel}, {side}x{side}" + (f", stride {stride}" if stride > 1 else "")
        told = (members, name, *(f"{value:.2f}" for value in (*ms.values(), ms["product"] / ms["convolution"])))
        print("| " + " | ".join(map(str, told)) + " |", flush=True)
    print("\n| members | 3x3, stride 2 | convolution, ms | halve, ms | halve / convolution |\n|---|---|---|---|---|")
    for members, inputs, outputs, side in STRIDED:
        ms = timed(strided(members, inputs, outputs, side, given.batch), given.rounds, 10)
        told = (members, f"{inputs} to {outputs}, {side}x{side}", *(f"{value:.2f}" for value in ms.values()))
        print(f"| {' | '.join(map(str, told))} | {ms['halve'] / ms['convolution']:.2f} |", flush=True)
    print("\n| network | members | convolutions, ms a network and step | products | ratio |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        draw, y = np.random.default_rng(0), np.arange(1280) % 10
        x = draw.integers(0, 256, (1280, 8, 8), dtype=np.uint8)
        np.savez(Path(folder) / "random.npz", x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
        for arch, width in NETWORKS:
            network, data = Network(arch=arch, width=width), f"npz:{folder}/random.npz"
            made = {(m, p): cohort(network, m, given.batch, data, p) for m in MEMBERS for p in (False, True)}
            ms = {key: value / key[0] for key, value in timed(made, given.rounds, 4).items()}
            for members in MEMBERS:
                plain, product = ms[members, False], ms[members, True]
                told = (f"{arch} x{width:g}", members, f"{plain:.2f}", f"{product:.2f}", f"{product / plain:.2f}")
                print("| " + " | ".join(map(str, told)) + " |", flush=True)


if __name__ == "__main__":
    main()
