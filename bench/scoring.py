"""Seconds to score a ResNet-32 of double width at initialization: the code one would write oneself, and ltkit.

    python bench/scoring.py [--rounds 5] [--synflow-rounds 100] [--members 4] [--device auto]

SNIP on 10 images of each of ten classes (fp32), SynFlow in 100 rounds (fp64), 32x32x3, both down to density 0.02. All
variants start from the same weights, and are timed in turns (A B C A B C ...), so that a drift of the machine's speed
hits all alike; the table gives medians of seconds a network. The plain code has one torch.nn network, gates or masks
on its weights, a backward pass a round and a threshold over all scores together. Images are noise.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn
from trainer import Block

from ltkit import models
from ltkit.prune.scores import score_masks
from ltkit.spec import Init, Network
from ltkit.train.device import pick, wait

NETWORK, SHAPE, CLASSES, PER_CLASS, DENSITY = Network(arch="resnet32", width=2.0), (3, 32, 32), 10, 10, 0.02
Masks = list[torch.Tensor]  # one a layer, in module order


class ResNet32(nn.Module):
    """Widths 32, 64, 128, five blocks a stage."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU())
        widths = [(32, 32, 1), (32, 64, 2), (64, 128, 2)]
        stages = [[Block(a, b, stride), *(Block(b, b, 1) for _ in range(4))] for a, b, stride in widths]
        self.blocks = nn.Sequential(*[block for stage in stages for block in stage])
        self.head = nn.Linear(128, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Gated(nn.Module):
    """A layer whose weights are multiplied by a gate of ones."""

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.layer, self.gate = layer, nn.Parameter(torch.ones_like(layer.weight))
        layer.weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.layer.weight * self.gate
        if isinstance(self.layer, nn.Linear):
            return F.linear(x, weight, self.layer.bias)
        return F.conv2d(x, weight, self.layer.bias, self.layer.stride, self.layer.padding)


def layers(net: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """Everything prunable."""
    return [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def above_threshold(scores: list[torch.Tensor], kept: int) -> Masks:
    """The `kept` largest of all scores together (ties at the threshold fall)."""
    flat = torch.cat([score.flatten() for score in scores])
    threshold = flat.kthvalue(flat.numel() - kept).values
    return [score > threshold for score in scores]


def plain_snip(net: nn.Module, x: torch.Tensor, y: torch.Tensor, kept: int) -> Masks:
    """Gates on all weights, one backward pass, the largest |gradients of gates|."""
    net = copy.deepcopy(net).train()
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d | nn.Linear):
                setattr(parent, name, Gated(child))
    F.cross_entropy(net(x), y).backward()
    return above_threshold([module.gate.grad.abs() for module in net.modules() if isinstance(module, Gated)], kept)


def plain_synflow(net: nn.Module, kept: int, rounds: int) -> Masks:
    """|weights| in float64, masked anew in each round, scored by |weight * gradient| of the summed output."""
    net = copy.deepcopy(net).double().eval()
    weights = [layer.weight for layer in layers(net)]
    original = [weight.detach().abs() for weight in weights]
    total = sum(weight.numel() for weight in original)
    masks: Masks = [torch.ones_like(weight, dtype=torch.bool) for weight in original]
    ones = torch.ones(1, *SHAPE, dtype=torch.float64, device=original[0].device)
    for k in range(1, rounds + 1):
        for weight, value, mask in zip(weights, original, masks, strict=True):
            weight.data = value * mask
        net.zero_grad()
        net(ones).sum().backward()
        left = round(total * (kept / total) ** (k / rounds))
        masks = above_threshold([(weight.detach() * weight.grad).abs() for weight in weights], left)
    return masks


def variants(members: int, rounds: int, device: torch.device) -> dict[str, dict[str, tuple[int, Callable[[], Masks]]]]:
    """For each method the ways to do it: how many networks a call scores, and the call, which gives the first mask."""
    names = models.prunable(NETWORK, SHAPE, CLASSES, "all")
    fresh = [models.init(NETWORK, SHAPE, CLASSES, Init(seed=seed)) for seed in range(members)]
    kept = round(DENSITY * sum(fresh[0][name].numel() for name in names))
    x = torch.randn(members, CLASSES * PER_CLASS, *SHAPE, generator=torch.Generator().manual_seed(0)).to(device)
    y = torch.arange(CLASSES).repeat_interleave(PER_CLASS).expand(members, -1).to(device)
    ordinary = ResNet32().to(device)
    with torch.no_grad():
        for layer, name in zip(layers(ordinary), names, strict=True):
            layer.weight.copy_(fresh[0][name])
            if layer.bias is not None:
                layer.bias.zero_()

    def ours(method: str, count: int) -> Callable[[], Masks]:
        net = models.build(NETWORK, SHAPE, CLASSES, count).to(device)
        state = {name: torch.stack([init[name] for init in fresh[:count]]).to(device) for name in fresh[0]}
        options = {"shape": SHAPE, "rounds": rounds if method == "synflow" else 1}
        return lambda: list(
            score_masks(net, state, names, [kept] * count, method, x[:count], y[:count], **options)[0].values()
        )

    plain = {
        "snip": lambda: plain_snip(ordinary, x[0], y[0], kept),
        "synflow": lambda: plain_synflow(ordinary, kept, rounds),
    }
    return {
        method: {
            "plain code": (1, plain[method]),
            **{f"ltkit, cohort of {count}": (count, ours(method, count)) for count in sorted({1, members})},
        }
        for method in plain
    }


def measure(
    calls: dict[str, tuple[int, Callable[[], Masks]]], rounds: int, device: torch.device
) -> tuple[dict[str, list[float]], dict[str, Masks]]:
    """Seconds a network of each variant, `rounds` times in turns, and the masks that they made."""
    seconds: dict[str, list[float]] = {label: [] for label in calls}
    made: dict[str, Masks] = {}
    for _ in range(rounds):
        for label, (count, call) in calls.items():
            wait(device)
            begun = time.perf_counter()
            made[label] = call()
            wait(device)
            seconds[label].append((time.perf_counter() - begun) / count)
    return seconds, made


def main() -> None:
    """Prints a table a method."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--synflow-rounds", type=int, default=100)
    words.add_argument("--members", type=int, default=4)
    words.add_argument("--device", default="auto")
    given = words.parse_args()
    device = pick(given.device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {where}, density {DENSITY}")
    titles = {
        "snip": f"SNIP, {PER_CLASS} images of each of {CLASSES} classes",
        "synflow": f"SynFlow, {given.synflow_rounds} rounds",
    }
    for method, calls in variants(given.members, given.synflow_rounds, device).items():
        seconds, made = measure(calls, given.rounds, device)
        middle = {label: statistics.median(times) for label, times in seconds.items()}
        print(f"\n{titles[method]}\n\n| variant | seconds a network (median) | min - max | ratio | mask as plain |")
        print("|---|---|---|---|---|")
        for label, value in middle.items():
            both = sum(int((a.cpu() & b.cpu()).sum()) for a, b in zip(made[label], made["plain code"], strict=True))
            same = 100 * both / sum(int(mask.sum()) for mask in made[label])
            low, high = min(seconds[label]), max(seconds[label])
            ratio = middle["plain code"] / value
            print(f"| {label} | {value:.2f} | {low:.2f} - {high:.2f} | {ratio:.2f} | {same:.2f} % |")


if __name__ == "__main__":
    main()
