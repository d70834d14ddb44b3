"""Milliseconds a network and training step on a GPU, data and augmentation included.

    python bench/gpu.py [--only resnet20|vgg16] [--members 8 16 32 64] [--compiled 32] [--plain-workers 8] [--rounds 5]
                        [--profile 32]

CIFAR shapes, batch 128, crop and flip. One after the other, since large cohorts don't fit the memory together; one
network as a graph is timed once more at the end, so that a drift shows. Then what an evaluation takes, which is no
graph: it says whether one would be worth it. The plain loop's convolutions are in TF32, torch's own default, the kit's
fp32 is fp32. The floor is the time that twelve passes over the activations in bf16 take at the rate of a copy on this
device. `--device cpu` tries it out, on small numbers.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import trainer
from torch import nn

from ltkit import models
from ltkit.models.layers import Conv
from ltkit.spec import Network
from ltkit.train.device import can_compile, out_of_memory, pick, wait
from ltkit.train.evaluate import evaluate
from ltkit.train.graph import WARM

PASSES = 12  # over the activations: what forward, backward and BatchNorm read and write at least
TASK = {"crop": 4, "flip": True}
SETTINGS: dict[str, dict[str, Any]] = {
    arch: {"arch": arch, "shape": (32, 32, 3), "task": TASK} for arch in ("resnet20", "vgg16")
}
Step = Callable[[], int]


def copied(device: torch.device, megabytes: int) -> float:
    """Bytes a second that a copy within the device's memory reads and writes."""
    a = torch.zeros(megabytes * 2**20, dtype=torch.uint8, device=device)
    b = torch.empty_like(a)

    def copy() -> int:
        b.copy_(a)
        return 1

    return 2 * a.numel() / (statistics.median(timed(copy, device, 5, 10)) / 1000)


def activations(arch: str) -> int:
    """Numbers that the convolutions of one network give for one image."""
    net, found = models.build(Network(arch=arch), (3, 32, 32), 10, 1), []
    for layer in net.modules():
        if isinstance(layer, Conv):
            layer.register_forward_hook(lambda _, __, out: found.append(out.numel()))
    with torch.no_grad():
        net.eval()(torch.zeros(1, 1, 3, 32, 32))
    return sum(found)


def timed(step: Step, device: torch.device, rounds: int, steps: int) -> list[float]:
    """Milliseconds a step, of each round."""
    found = []
    for _ in range(rounds):
        wait(device)
        begun = time.perf_counter()
        for _ in range(steps):
            step()
        wait(device)
        found.append(1000 * (time.perf_counter() - begun) / steps)
    return found


def plain(setting: dict[str, Any], device: torch.device, workers: int) -> Step:
    """The plain loop: a DataLoader, one network, eager, fp32; ResNet-20 with masks, VGG-16 without."""
    if setting["arch"] == "resnet20":
        return trainer.plain(setting, device, workers)
    from torchvision.models import vgg16_bn

    net = vgg16_bn(num_classes=10)
    net.avgpool, net.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 10)
    return trainer.plain(setting, device, workers, net)


def main(words: list[str] | None = None) -> None:
    """Prints a table a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(SETTINGS))
    parser.add_argument("--members", type=int, nargs="*", default=[8, 16, 32, 64], help="sizes of cohorts")
    parser.add_argument("--compiled", type=int, nargs="*", default=[32], help="sizes of cohorts that are compiled too")
    parser.add_argument("--profile", type=int, default=32, help="size of the cohort whose kernels are listed; 0: none")
    parser.add_argument("--plain-workers", type=int, default=8, help="of the plain loop's DataLoader")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30, help="steps a round")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--tests", type=int, default=10_000, help="images of an evaluation")
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args(words)
    device = pick(given.device)
    trainer.BATCH, trainer.IMAGES = given.batch, given.images
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    rate = copied(device, 1024 if device.type == "cuda" else 64)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {where}, batch {given.batch}; a copy moves")
    print(f"{rate / 1e9:,.0f} GB/s, read and written")
    for arch in [given.only] if given.only else list(SETTINGS):
        with TemporaryDirectory() as folder:
            table(SETTINGS[arch], device, Path(folder), rate, given)


def table(setting: dict[str, Any], device: torch.device, folder: Path, rate: float, given: argparse.Namespace) -> None:
    """One network: times all variants, prints a row as soon as it is there."""
    floor = 1000 * PASSES * 2 * activations(setting["arch"]) * given.batch / rate
    print(f"\n{setting['arch']}: floor {floor:.3f} ms a network and step\n")
    print(
        "| variant | ms a network and step (median) | min - max | plain loop / this | floor / this | set-up | memory |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    base = 0.0

    def row(label: str, members: int, make: Callable[[], Step]) -> None:
        nonlocal base
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        begun = time.perf_counter()
        try:
            step = make()
            for _ in range(WARM + 2):
                step()
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            print(f"| {label} | too little memory | | | | | |", flush=True)
            return
        set_up = time.perf_counter() - begun
        ms = [each / members for each in timed(step, device, given.rounds, given.steps)]
        middle = statistics.median(ms)
        base = base or middle
        memory = f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB" if device.type == "cuda" else ""
        numbers = f"{middle:.3f} | {min(ms):.3f} - {max(ms):.3f} | {base / middle:.1f} | {floor / middle:.2f}"
        print(f"| {label} | {numbers} | {set_up:.0f} s | {memory} |", flush=True)

    def ltkit(members: int, precision: str, compile: bool, graph: bool, search: bool = False) -> None:
        label = f"cohort of {members}, {precision}{', compiled' * compile}{', graph' * graph}{', searched' * search}"
        torch.backends.cudnn.benchmark = search  # cuDNN times its kernels and takes the fastest
        row(label, members, lambda: trainer.cohort(setting, device, folder, members, precision, compile, graph))
        torch.backends.cudnn.benchmark = False

    graph, known = device.type == "cuda", can_compile(device.type)
    torch.backends.cudnn.allow_tf32 = True  # torch's own default, which ltkit turns off: fp32 is fp32 in the other rows
    row(f"plain loop, {given.plain_workers} loader workers", 1, lambda: plain(setting, device, given.plain_workers))
    torch.backends.cudnn.allow_tf32 = False
    for precision, graphed in [("fp32", False), ("bf16", False), *([("bf16", True)] if graph else [])]:
        ltkit(1, precision, False, graphed)
    for members in given.members:
        ltkit(members, "bf16", False, graph)
    for members in given.compiled if known else ():
        ltkit(members, "bf16", True, graph)
        ltkit(members, "bf16", False, graph, search=True)
    ltkit(1, "bf16", False, graph)
    for members in (1, *given.members):
        ms = statistics.median(timed(evaluation(setting["arch"], members, device, given.tests), device, 3, 1)) / members
        print(f"Evaluation of {given.tests:,} images, cohort of {members}, bf16, no graph: {ms:.2f} ms a network")
    if given.profile:
        step = trainer.cohort(setting, device, folder, given.profile, "bf16", False, graph)
        print(f"\nKernels of a cohort of {given.profile}, bf16:\n{profiled(step, device, given.steps)}", flush=True)


def profiled(step: Step, device: torch.device, steps: int) -> str:
    """The operations or kernels that a step spends most time in."""
    for _ in range(WARM + 2):
        step()
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as seen:
        for _ in range(steps):
            step()
        wait(device)
    by = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return seen.key_averages().table(sort_by=by, row_limit=15, max_name_column_width=80)


def evaluation(arch: str, members: int, device: torch.device, images: int) -> Step:
    """What follows an epoch, as `ltkit.train.evaluate` does it: eagerly, the same number of images at a time."""
    net = models.build(Network(arch=arch), (3, 32, 32), 10, members).to(device)
    x, y = torch.randn(images, 3, 32, 32, device=device), torch.zeros(images, dtype=torch.int64, device=device)

    def step() -> int:
        evaluate(net, x, y, members, "bf16")
        return images

    step()
    return step


if __name__ == "__main__":
    main()
