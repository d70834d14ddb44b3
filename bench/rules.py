"""Seconds that pruning a trained network takes, by the rule that picks its neurons.

    python bench/rules.py [--params FILE] [--rules global label_loss] [--rounds 3] [--store DIR]

The greedy-bounds study's networks (by default the quick scale's) of its first seed, to its first budget, one thread.
They are trained where the store lacks them, in a temporary one by default. What is kept of each layer is printed as a
checksum: two versions of the kit that give the same pick alike. To compare them, call both in turns.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from threadpoolctl import threadpool_limits

from ltkit.lab import Lab
from ltkit.params import load
from ltkit.studies.greedy_bounds import dense
from ltkit.studies.greedy_bounds_networks import prune, stop, trained
from ltkit.studies.greedy_bounds_params import Params

QUICK = Path(__file__).resolve().parents[1] / "params" / "quick" / "greedy_bounds.yaml"


def main(words: list[str] | None = None) -> None:
    """Prints a table, a row a network and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=QUICK)
    parser.add_argument("--rules", nargs="+", help="by default all of a network's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", type=Path)
    given = parser.parse_args(words)
    torch.set_num_threads(1)
    params = load(given.params, Params)
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, 1 thread\n")
    print("| network | rule | seconds (median) | min - max | picks |\n|---|---|---|---|---|", flush=True)
    with TemporaryDirectory() as folder, threadpool_limits(1):
        lab = Lab(given.store or folder, device="cpu", workers=1)
        seed, budget = params.seeds[0], params.budgets[0]
        lab.run(dense(params, name, seed) for name in params.every)
        for name in params.every:
            known, network = params.rules_of(name, budget), trained(params, lab, name, seed)
            for rule in [rule for rule in given.rules or known if rule in known]:
                took = []
                for _ in range(given.rounds):
                    begun = time.perf_counter()
                    found = prune(network, rule, stop(budget))
                    took.append(time.perf_counter() - begun)
                picks = zlib.crc32(b"".join(layer.choice.kept.tobytes() for layer in found.layers))
                middle = f"{statistics.median(took):.2f} | {min(took):.2f} - {max(took):.2f}"
                print(f"| {name} | {rule} | {middle} | {picks:08x} |", flush=True)


if __name__ == "__main__":
    main()
