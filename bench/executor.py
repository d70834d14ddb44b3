"""What a Dask cluster costs: a study of 200 small runs in this process, and on clusters of one and of two workers.

    python bench/executor.py

Every way trains the same runs into a new store, with one thread a worker; clusters are started, and every worker has
trained something, before the clock runs. Rounds are interleaved; the medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from ltkit.lab import Lab
from ltkit.lab.clusters import local
from ltkit.prune import tickets
from ltkit.spec import Init, Network, Recipe, Run, Task


def study(seeds: range, epochs: int) -> list[Run]:
    """Five runs a seed: a dense network, three rounds of IMP, and the re-initialized last ticket."""
    runs = []
    recipe = Recipe(epochs=epochs, lr=0.1, batch_size=64)
    for seed in seeds:
        dense = Run(task=Task(), network=Network(width=0.3), recipe=recipe, start=Init(seed=seed), order=seed)
        chain = tickets.imp(dense, rounds=3, rate=0.5)
        runs += [dense, *chain, tickets.reinit(chain[-1])]
    return runs


def seconds(runs: list[Run], executor: str) -> float:
    """Wall time of training all runs into a new store."""
    with tempfile.TemporaryDirectory() as store:
        lab = Lab(Path(store), device="cpu", workers=1, progress=False, compile="never", executor=executor)
        begun = time.perf_counter()
        tally = lab.run(runs)
        assert tally.trained == len(runs)
        return time.perf_counter() - begun


def main() -> None:
    """Prints a line a way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    runs = study(range(asked.seeds), asked.epochs)
    begun = time.perf_counter()
    with local(1) as one:
        started = time.perf_counter() - begun
        with local(2) as two:
            ways = {"this process": "here", "one worker": one.scheduler_address, "two workers": two.scheduler_address}
            for way in ways.values():
                seconds(study(range(1000, 1016), 1), way)
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(asked.rounds):
                for name, way in ways.items():
                    taken[name].append(seconds(runs, way))
    middle = {name: statistics.median(found) for name, found in taken.items()}
    print(f"{len(runs)} runs of {asked.epochs} epochs; a cluster of one worker starts in {started:.1f} s")
    for name, found in taken.items():
        print(f"{name:<14}{middle[name]:7.2f} s   {' '.join(f'{one:.2f}' for one in found)}")
    print(f"one worker takes {100 * (middle['one worker'] / middle['this process'] - 1):+.1f} % (aim: at most 10 %)")
    print(f"two workers are {middle['one worker'] / middle['two workers']:.2f} times as fast as one (aim: 1.6)")


if __name__ == "__main__":
    main()
