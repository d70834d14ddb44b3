"""Images a second: the loop one would write oneself, and ltkit with one network and with cohorts.

    python bench/trainer.py [--rounds 5] [--seconds 6] [--only lenet|resnet20] [--members 1 8 32]

All variants are set up first, then timed in turns (A B C A B C ...), so that a drift of the machine's speed hits all
alike; the table gives medians. "2 x cohort of 8" is two cohorts in two threads that compute with one thread
each, as the lab trains on a CPU. Training steps only: no evaluation, no compile time (listed apart). The plain loop has
one network in fp32, a DataLoader over PIL images with torchvision's transforms, and torch.nn.utils.prune masks; its
row is the faster of a loader in the process and of one with two workers. Images are random: only their shape matters.
"""

from __future__ import annotations

import argparse
import gc
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from ltkit import models
from ltkit.models.layers import NATIVE_BF16
from ltkit.prune.distribution import random_mask
from ltkit.prune.masks import apply
from ltkit.seeds import generator
from ltkit.spec import Init, Network, Recipe, Run, Task
from ltkit.train import Cohort, Job
from ltkit.train.device import can_compile, pick, wait

BATCH, IMAGES, DENSITY = 128, 12_800, 0.2
SETTINGS: dict[str, dict[str, Any]] = {
    "lenet": {"arch": "lenet_300_100", "shape": (28, 28, 1), "task": {}, "compiled": (8, 16)},
    "resnet20": {"arch": "resnet20", "shape": (32, 32, 3), "task": {"crop": 4, "flip": True}, "compiled": (1,)},
}
Step = Callable[[], int]  # trains a little, returns how many images went through


class Plain(torch.utils.data.Dataset):
    """uint8 arrays as PIL images through transforms, as torchvision's own data sets do."""

    def __init__(self, x: np.ndarray, y: np.ndarray, transform: Callable[[Any], torch.Tensor]) -> None:
        self.x, self.y, self.transform = x, y, transform

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.x[index].squeeze())), int(self.y[index])


def ordinary(setting: dict[str, Any]) -> nn.Module:
    """The network as one would write it, with torch.nn.utils.prune masks at the benchmark's density."""
    from torch.nn.utils import prune

    if setting["arch"] == "lenet_300_100":
        layers = [nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)]
        net: nn.Module = nn.Sequential(*layers)
    else:
        net = ResNet20()
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            prune.random_unstructured(module, "weight", amount=1 - DENSITY)
    return net


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.down: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.down(x))


class ResNet20(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        stages = [[Block(a, b, s), Block(b, b, 1), Block(b, b, 1)] for a, b, s in widths]
        self.blocks = nn.Sequential(*[block for stage in stages for block in stage])
        self.head = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def plain(setting: dict[str, Any], device: torch.device, workers: int, net: nn.Module | None = None) -> Step:
    """(a) the loop without ltkit; `net` is the setting's `ordinary` one by default."""
    from torchvision import transforms

    height, width, channels = setting["shape"]
    x = np.random.default_rng(0).integers(0, 256, (IMAGES, height, width, channels), dtype=np.uint8)
    y = np.random.default_rng(1).integers(0, 10, IMAGES)
    steps: list[Any] = [transforms.ToTensor(), transforms.Normalize([0.5] * channels, [0.25] * channels)]
    if setting["task"]:
        steps = [transforms.RandomCrop(height, padding=4), transforms.RandomHorizontalFlip(), *steps]
    loader = torch.utils.data.DataLoader(
        Plain(x, y, transforms.Compose(steps)),
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    net = (net or ordinary(setting)).to(device).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)

    def batches() -> Iterator[Any]:
        while True:
            yield from loader

    source = batches()

    def step() -> int:
        images, labels = next(source)
        loss = nn.functional.cross_entropy(net(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return len(labels)

    return step


def cohort(
    setting: dict[str, Any],
    device: torch.device,
    folder: Path,
    members: int,
    precision: str,
    compile: bool,
    graph: bool | None = None,
) -> Step:
    """(b), (c): ltkit's own cohort, data and augmentation included."""
    height, width, channels = setting["shape"]
    file = folder / f"{setting['arch']}.npz"
    if not file.exists():
        draw = np.random.default_rng(0)
        x = draw.integers(0, 256, (IMAGES, height, width, channels), dtype=np.uint8)
        y = np.arange(IMAGES) % 10
        np.savez(file, x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
    network = Network(arch=setting["arch"])
    shape = (channels, height, width)
    recipe = Recipe(lr=0.1, weight_decay=1e-4, epochs=1000, batch_size=BATCH, precision=precision)
    task = Task(data=f"npz:{file}", validation=0, **setting["task"])
    jobs = []
    for r in range(members):
        run = Run(task=task, network=network, recipe=recipe, start=Init(seed=r), order=r)
        weights = models.init(network, shape, 10, Init(seed=r))
        sizes = {name: tuple(weights[name].shape) for name in models.prunable(network, shape, 10, "all")}
        kept = {name: round(DENSITY * weights[name].numel()) for name in sizes}
        mask = random_mask(sizes, kept, generator("bench", r))
        jobs.append(Job(run, apply(weights, mask), mask))
    group = Cohort(jobs, device, compile=compile, graph=graph)
    at = 0

    def step() -> int:
        nonlocal at
        if at % group.time.per_epoch == 0:
            group.begin_epoch(at // group.time.per_epoch)
        group.step(at)
        at += 1
        return members * BATCH

    return step


def beside(make: Callable[[], Step], workers: int) -> Step:
    """Several cohorts at once, each in a thread that computes with one thread."""
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    cohorts = [make() for _ in range(workers)]

    def several(one: Step) -> int:
        return sum(one() for _ in range(8))  # so that they needn't wait for each other after every step

    return lambda: sum(pool.map(several, cohorts))


def measure(steps: dict[str, Step], rounds: int, seconds: float, device: torch.device) -> dict[str, list[float]]:
    """Images a second of each variant, `rounds` times in turns."""
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            step()
            wait(device)
            begun, images = time.perf_counter(), 0
            while time.perf_counter() - begun < seconds:
                images += step()
            wait(device)
            found[name].append(images / (time.perf_counter() - begun))
    return found


def main() -> None:
    """Prints a table a network."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--seconds", type=float, default=6.0)
    words.add_argument("--only", choices=list(SETTINGS))
    words.add_argument("--device", default="auto")
    words.add_argument("--members", type=int, nargs="+", default=[1, 8, 32], help="sizes of cohorts")
    given = words.parse_args()
    device = pick(given.device)
    compiled = can_compile(device.type)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {where}, batch {BATCH}, density {DENSITY}")
    for name in [given.only] if given.only else list(SETTINGS):
        with TemporaryDirectory() as folder:
            table(name, SETTINGS[name], device, Path(folder), compiled, given)


def table(
    name: str, setting: dict[str, Any], device: torch.device, folder: Path, compiled: bool, given: argparse.Namespace
) -> None:
    """Sets up all variants of one network, times them, prints the table."""
    steps: dict[str, Step] = {}
    extra: dict[str, str] = {}

    def add(label: str, make: Callable[[], Step]) -> None:
        gc.collect()
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        steps[label] = make()
        for _ in range(3):
            steps[label]()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        extra[label] = f"{time.perf_counter() - begun:.0f} s | {grown:.0f} MB"

    for workers in (0, 2):
        add(f"plain loop, {workers} loader workers", lambda workers=workers: plain(setting, device, workers))
    precisions = ("fp32", "bf16") if NATIVE_BF16 or device.type != "cpu" else ("fp32",)
    variants = [(members, precision, False) for members in given.members for precision in precisions]
    if compiled:
        variants += [(members, precisions[-1], True) for members in setting["compiled"]]
    for members, precision, use in variants:
        label = f"cohort of {members}, {precision}{', compiled' if use else ''}"
        make = partial(cohort, setting, device, folder, members, precision, use)
        add(f"ltkit, {label}", make)
        if device.type == "cpu" and members < 32 and torch.get_num_threads() > 1:
            add(f"ltkit, {torch.get_num_threads()} x {label}", partial(beside, make, torch.get_num_threads()))
    found = measure(steps, given.rounds, given.seconds, device)
    middle = {label: statistics.median(values) for label, values in found.items()}
    base = max(rate for label, rate in middle.items() if label.startswith("plain"))
    print(f"\n{name}\n\n| variant | images/s (median) | min - max | ratio | set-up | peak memory grew by |")
    print("|---|---|---|---|---|---|")
    for label, rate in middle.items():
        low, high = min(found[label]), max(found[label])
        print(f"| {label} | {rate:,.0f} | {low:,.0f} - {high:,.0f} | {rate / base:.1f} | {extra[label]} |")


if __name__ == "__main__":
    main()
