"""What an epoch of tuning slim networks takes: one by one, and as a cohort.

    python bench/tuning.py [--rounds 5] [--members 8] [--batch 64]

Networks of the quick greedy-bounds study with half of their channels gone, on random images of digits' shape (8x8x1),
in fp32, one thread, in turns. Both ways end with the same weights but for rounding: tests/test_tune.py.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from ltkit import models
from ltkit.models.plain import torch_module
from ltkit.prune.channels import groups
from ltkit.prune.slim import remove
from ltkit.prune.tune import tune, tune_together
from ltkit.spec import Init, Network

NETWORKS = [("lenet_300_100", 1.0), ("vgg11", 0.125), ("resnet8", 0.5), ("mobilenet_v2", 0.25)]
SHAPE, CLASSES, IMAGES = (1, 8, 8), 10, 1293


def slim(network: Network) -> fx.GraphModule:
    """The network with the first half of each group's channels."""
    module = torch_module(network, SHAPE, CLASSES, models.init(network, SHAPE, CLASSES, Init()))
    for group in groups(module):
        remove(module, group, np.arange(max(1, group.channels // 2)), torch.zeros(1, *SHAPE))
    return module


def alone(nets: Sequence[fx.GraphModule], options: dict[str, Any]) -> None:
    for seed, net in enumerate(nets):
        tune(net, seed=seed, lr=0.02, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, 1 thread\n")
    print(f"| network | alone, ms a network and epoch | {given.members} together | ratio |\n|---|---|---|---|")
    images, labels = torch.randn(IMAGES, *SHAPE), torch.arange(IMAGES) % CLASSES
    options = {"images": images, "labels": labels, "epochs": 1, "batch_size": given.batch, "weight_decay": 5e-4}
    for arch, width in NETWORKS:
        network = Network(arch=arch, width=width)
        module, seeds, lrs = slim(network), range(given.members), [0.02] * given.members
        taken: dict[str, list[float]] = {"alone": [], "together": []}
        for turn in range(given.rounds + 1):
            for way, times in taken.items():
                nets = [copy.deepcopy(module) for _ in seeds]
                begun = time.perf_counter()
                if way == "alone":
                    alone(nets, options)
                else:
                    tune_together(nets, network, classes=CLASSES, lrs=lrs, seeds=seeds, **options)
                if turn:  # the first warms up
                    times.append(1000 * (time.perf_counter() - begun) / given.members)
        one, many = (statistics.median(times) for times in taken.values())
        print(f"| {arch} x{width:g} | {one:.1f} | {many:.1f} | {many / one:.2f} |", flush=True)


if __name__ == "__main__":
    main()
