"""What a straight path between networks costs, against evaluating as many networks that are given.

    python bench/paths.py [--rounds 5] [--pairs 8] [--points 30] [--network conv4] [--width 0.25] [--device auto]

A small conv net with BatchNorm on digits (8x8x1), 30 points for each of 8 pairs, scored on the 500 test images. The
plain evaluation has all networks stacked as one cohort before the clock starts; ltkit's path mixes and masks the
weights, stacks them, and, where BatchNorm's statistics are re-estimated, first runs 256 training images through each.
The last variant is the loop one would write: load a mixture into one torch network and evaluate it, point by point.
All are timed in turns, in one thread each as the lab does it.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch

from ltkit import data, models
from ltkit.analyze.path import Pair, interpolate, path
from ltkit.spec import Init, Network, Task
from ltkit.train.device import pick
from ltkit.train.evaluate import evaluate


def variants(network: Network, pairs: int, points: int, device: torch.device) -> dict[str, Callable[[], list[float]]]:
    """Each variant as a function that gives all errors in percent."""
    dataset = data.load(Task(data="digits", validation=0.1), None)
    mean, std = dataset.mean, dataset.std
    x, calibration = (data.normalise(t.unsqueeze(0), mean, std)[0] for t in (dataset.test_x, dataset.train_x[:256]))
    x, y = x.to(device), dataset.test_y.to(device)
    at = (network, dataset.shape, dataset.classes)
    fresh = [models.init(*at, Init(seed=seed)) for seed in range(pairs + 1)]
    ends = [Pair(str(number), fresh[number], fresh[number + 1]) for number in range(pairs)]
    alphas = [index / (points - 1) for index in range(points)]
    states = [state for pair in ends for state in interpolate(pair.a, pair.b, alphas)]
    whole = models.build(*at, len(states)).to(device)
    whole.load_state_dict({name: torch.stack([state[name] for state in states]) for name in states[0]})
    one = models.build(*at, 1).to(device)

    def plain() -> list[float]:
        return [100 - score.accuracy for score in evaluate(whole, x, y, len(states))]

    def along(batch_norm: str) -> list[float]:
        splits = {"test": (x, y)}
        rows = path(*at, ends, alphas, splits, batch_norm=batch_norm, calibration=calibration, device=device)
        return rows["error"].tolist()

    def loop() -> list[float]:
        found = []
        for pair in ends:
            for alpha in alphas:
                mixed = {name: (alpha * pair.a[name] + (1 - alpha) * pair.b[name]).unsqueeze(0) for name in pair.a}
                one.load_state_dict(mixed)
                found.append(100 - evaluate(one, x, y, 1)[0].accuracy)
        return found

    return {
        "plain evaluation, one cohort": plain,
        "path, BatchNorm interpolated": lambda: along("interpolate"),
        "path, BatchNorm re-estimated": lambda: along("recompute"),
        "a loop over single networks": loop,
    }


def main() -> None:
    """Prints the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--pairs", type=int, default=8)
    words.add_argument("--points", type=int, default=30)
    words.add_argument("--network", default="conv4")
    words.add_argument("--width", type=float, default=0.25)
    words.add_argument("--device", default="auto")
    given = words.parse_args()
    device = pick(given.device)
    torch.set_num_threads(1)
    network = Network(arch=given.network, width=given.width, norm="batch")
    where = torch.cuda.get_device_name() if device.type == "cuda" else "1 CPU thread"
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {where}")
    print(f"{given.network}*{given.width:g} with BatchNorm, {given.pairs} pairs of {given.points} points\n")
    calls = variants(network, given.pairs, given.points, device)
    seconds: dict[str, list[float]] = {label: [] for label in calls}
    errors = {label: call() for label, call in calls.items()}  # warm
    for _ in range(given.rounds):
        for label, call in calls.items():
            begun = time.perf_counter()
            call()
            seconds[label].append(time.perf_counter() - begun)
    first = next(iter(calls))
    print("| variant | seconds (median) | min - max | of plain | errors as plain |\n|---|---|---|---|---|")
    for label, times in seconds.items():
        ratio = statistics.median(times) / statistics.median(seconds[first])
        same = "yes" if max(abs(a - b) for a, b in zip(errors[label], errors[first], strict=True)) < 0.5 else "no"
        low, high = min(times), max(times)
        print(f"| {label} | {statistics.median(times):.2f} | {low:.2f} - {high:.2f} | {ratio:.2f} | {same} |")


if __name__ == "__main__":
    main()
