"""Test accuracy of dense networks by a paper's recipe: as the kit trains them, and one by one in fp32.

    python bench/right.py [--study weight_correlation|mode_connectivity] [--rates 0.1 0.01] [--seeds 5]
                          [--side cohort|alone] [--data cifar10] [--epochs 10] [--store DIR]

ResNet-20 by `params/paper`. A cohort's products are in bf16 (`--precision`), its size is the lab's choice
(`--members`); side alone has cohorts of one. What is in the store is not trained again: an interrupted call goes on,
one without `--side` compares what two calls left, and the paper scale's study finds its dense networks. As right counts
what lies by Welch's interval within what paper A calls similar, half a point on CIFAR-10 (existence.md section 2).
LTKIT_DATA says where the data are. Published numbers are the sheets'; `params/paper` holds out a tenth of the training
images.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ltkit.lab import Lab
from ltkit.params import load
from ltkit.spec import Run
from ltkit.studies import mode_connectivity, mode_connectivity_params, weight_correlation, weight_correlation_params
from ltkit.verdict import decide, tau_sim, welch

PAPER = Path(__file__).resolve().parents[1] / "params" / "paper"
PUBLISHED = {  # section 5 of the sheets, by learning rate
    "weight_correlation": {0.1: "91.7", 0.01: "89.62"},
    "mode_connectivity": {0.1: "90.8, read off a figure"},
}


def dense(params: Any, lr: float, seed: int, precision: str, given: argparse.Namespace) -> Run:
    """The study's dense network of one seed; mode connectivity's at the batch of its unstable setting."""
    if given.study == "weight_correlation":
        place = weight_correlation.Place(params.claim_network, seed, lr, params.decay)
        run = weight_correlation.dense(params, place)
    else:
        batch = params.unstable.split("/")[0]
        run = mode_connectivity.dense(params, params.claim_network, f"{batch}/{lr}", seed)
    recipe = run.recipe.replace(precision=precision, epochs=given.epochs or run.recipe.epochs)
    return run.replace(recipe=recipe, task=run.task.replace(data=given.data or run.task.data))


def main(words: list[str] | None = None) -> None:
    """Prints a row a learning rate and side, and how the sides differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", choices=list(PUBLISHED), default="weight_correlation")
    parser.add_argument("--params", type=Path, help="a file of that study other than the paper scale's")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.1, 0.01])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--side", choices=["cohort", "alone"], help="one of the two; by default both")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16", help="of a cohort's products")
    parser.add_argument("--members", type=int, help="networks a cohort; by default what the lab finds best")
    parser.add_argument("--data", help="other data than the paper's")
    parser.add_argument("--epochs", type=int, help="another number of epochs, with the drops of the rate in proportion")
    parser.add_argument("--store", type=Path, help="of the cohorts; the others' is beside it, with -alone to its name")
    parser.add_argument("--workers", type=int, default=1, help="cohorts side by side; one has all of a CPU's threads")
    given = parser.parse_args(words)
    kind = {"weight_correlation": weight_correlation_params, "mode_connectivity": mode_connectivity_params}[given.study]
    params = load(given.params or PAPER / f"{given.study}.yaml", kind.Params)
    sides = {"cohort": given.precision, "alone": "fp32"}
    if given.side:
        sides = {given.side: sides[given.side]}
    what = f"{params.claim_network} on {given.data or params.data}"
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {what}")
    print("\n| rate | side | device | seeds that finished | test accuracy, % (mean) | sd | min - max | published |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    found: dict[tuple[str, float], pd.Series] = {}
    tallies = []
    together = Lab(given.store, members=given.members, workers=given.workers)
    apart = Path(f"{together.store.path}-alone")  # in fp32 both sides' runs have the same names
    for side, precision in sides.items():
        lab = Lab(apart, members=1, workers=given.workers) if side == "alone" else together
        seeds = range(given.seeds)
        runs = {lr: [({}, dense(params, lr, seed, precision, given)) for seed in seeds] for lr in given.rates}
        tallies.append(f"{side}: {lab.run(run for each in runs.values() for _, run in each)}")
        where = torch.cuda.get_device_name(lab.device) if lab.device.type == "cuda" else lab.device.type
        for lr, each in runs.items():
            found[side, lr] = values = lab.table(each)["accuracy"]
            numbers = f"{values.mean():.2f} | {values.std():.2f} | {values.min():.2f} - {values.max():.2f}"
            published = "" if given.params or given.epochs else PUBLISHED[given.study].get(lr, "")
            count = f"{values.count()} of {len(each)}"
            print(f"| {lr} | {side}, {precision} | {where} | {count} | {numbers} | {published} |", flush=True)
    print("", *tallies, sep="\n")
    near = tau_sim(given.data or params.data)
    for lr in given.rates if len(sides) == 2 else ():
        d = welch(found["cohort", lr], found["alone", lr])
        points = f"{d.mean:+.2f} points ({d.low:.2f} to {d.high:.2f})"
        print(f"Rate {lr}: cohort - alone {points}; within {near}: {decide(d.low, d.high, near, 'equivalence')}")


if __name__ == "__main__":
    main()
