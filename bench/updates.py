"""What a mask update costs in a training step, beside the plain step.

    python bench/updates.py [--rounds 5] [--members 8] [--steps 10] [--network lenet_5 --network lenet_300_100]

Random images of MNIST's shape, batch 128, density 0.1 (ERK), SGD with momentum, one thread, as the lab trains. The
plain step is that of a static mask. The others update every member's mask in every step, which no study does (RigL's
authors: every 100 steps), in place of the optimizer's step or after it. All are timed in turns.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ltkit.lab import material
from ltkit.prune import tickets
from ltkit.spec import Init, Network, Recipe, Run, Task
from ltkit.train import Cohort

METHODS = ("rigl", "set", "rigl_inverted")


def images(path: Path) -> str:
    """A data set of random images, and its name."""
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 256, (4096, 28, 28), dtype=np.uint8), np.arange(4096) % 10
    np.savez(path, x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
    return f"npz:{path}"


def cohort(base: Run, members: int) -> Cohort:
    """`members` networks with this mask, on the CPU, at the beginning of an epoch."""
    jobs = [material.job(base.replace(start=Init(seed=r)), None, None) for r in range(members)]
    made = Cohort(jobs, torch.device("cpu"))
    made.begin_epoch(0)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--network", action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, 1 thread\n")
    print("| network | members | variant | ms a step (median) | min - max | of a plain step | the update alone |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = images(Path(folder) / "random.npz")
        for arch in given.network or ["lenet_5", "lenet_300_100"]:
            recipe = Recipe(steps=100_000, lr=0.01, batch_size=128)
            dense = Run(task=Task(data=data), network=Network(arch=arch), recipe=recipe)
            every = {"plain": tickets.random(dense, density=0.1, distribution="erk")}
            for method in METHODS:
                grown = {"density": 0.1, "every": 1, "end": 1.0}
                every[method] = tickets.grown(dense, method, **grown)
                every[f"{method}, after the step"] = tickets.grown(dense, method, replaces_step=False, **grown)
            cohorts = {name: cohort(base, given.members) for name, base in every.items()}
            found: dict[str, list[float]] = {name: [] for name in cohorts}
            for turn in range(given.rounds + 1):  # the first warms up
                for name, made in cohorts.items():
                    begun = time.perf_counter()
                    for step in range(1, given.steps + 1):
                        made.step(step)
                    if turn:
                        found[name].append((time.perf_counter() - begun) / given.steps)
                    made.begin_epoch(turn + 1)
            base = statistics.median(found["plain"])
            for name, values in found.items():
                middle = statistics.median(values)
                ms = [f"{1e3 * value:.1f}" for value in (middle, min(values), max(values))]
                more = "" if name == "plain" else f"{middle / base - 1:.2f}"
                told = (arch, given.members, name, ms[0], f"{ms[1]} - {ms[2]}", f"{middle / base:.2f}", more)
                print("| " + " | ".join(map(str, told)) + " |")


if __name__ == "__main__":
    main()
