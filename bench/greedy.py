"""Seconds that local imitation takes: the Gram form beside the direct form.

    python bench/greedy.py [--neurons 4096] [--outputs 2048] [--steps 1000] [--rounds 3] [--plain-steps 20]

Three ways to the same selection: the Gram form, its N x N products included; `greedy.direct`, a product of all
contributions with h a step; and the sheet's P1 as one would write it down, which forms φ − h each step. They run in
turns (A B C A B C ...), so that a drift of the machine's speed hits all alike; the table gives medians. The plain form
costs the same every step, so only `--plain-steps` of them are run and its time is scaled up. Contributions are random.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time

import numpy as np

from ltkit.analyze.regimes import gaussian
from ltkit.prune import greedy


def plain(phi: np.ndarray, steps: int) -> list[int]:
    """P1 without any algebra; returns the picks."""
    t = phi.mean(axis=0)
    picks = [int(np.argmin(((phi - t) ** 2).sum(axis=1)))]
    h = phi[picks[0]]
    for _ in range(steps - 1):
        u = phi - h
        length = (u**2).sum(axis=1)
        gammas = np.clip(u @ (t - h) / np.where(length > 0, length, 1), 0, 1)
        after = ((h + gammas[:, None] * u - t) ** 2).sum(axis=1)
        picks.append(int(np.argmin(after)))
        h = h + gammas[picks[-1]] * u[picks[-1]]
    return picks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=4096)
    parser.add_argument("--outputs", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain-steps", type=int, default=20)
    given = parser.parse_args()
    phi = gaussian(given.neurons, given.outputs, 0)
    few = min(given.plain_steps, given.steps)
    found: dict[str, list[float]] = {}
    picks: dict[str, list[int]] = {}

    def timed(label: str, begun: float, scale: float = 1.0) -> None:
        found.setdefault(label, []).append((time.perf_counter() - begun) * scale)

    for _ in range(given.rounds):
        begun = time.perf_counter()
        problem = greedy.from_contributions(phi)
        timed("Gram form: the products", begun)
        steps = time.perf_counter()
        picks["gram"] = greedy.local_imitation(problem, given.steps, tol=0.0).picks.tolist()
        timed("Gram form: the steps", steps)
        timed("Gram form, both", begun)
        begun = time.perf_counter()
        picks["direct"] = greedy.direct(phi, given.steps, tol=0.0).picks.tolist()
        timed("direct form, one product a step", begun)
        begun = time.perf_counter()
        picks["plain"] = plain(phi, few)
        timed(f"direct form as written (from {few} steps)", begun, given.steps / few)

    made = len(picks["gram"])
    threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    print(f"numpy {np.__version__}, Python {platform.python_version()}, {threads} threads, float64")
    print(f"{given.neurons:,} neurons, {given.outputs:,} outputs, {made:,} of {given.steps:,} steps", end="; ")
    same = picks["gram"] == picks["direct"] and picks["gram"][:few] == picks["plain"][:made]
    print("all forms picked the same" if same else "the forms' picks DIFFER")
    base = statistics.median(found["Gram form, both"])
    print("\n| variant | seconds (median) | min - max | times the Gram form |\n|---|---|---|---|")
    for label, values in found.items():
        middle = statistics.median(values)
        print(f"| {label} | {middle:.2f} | {min(values):.2f} - {max(values):.2f} | {middle / base:.2f} |")


if __name__ == "__main__":
    main()
