"""Which neurons are picked in the greedy-bounds study, by what labels they are, what a pick costs, how it looks."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..analyze.greedy_costs import costs as cost_of
from ..analyze.greedy_costs import shortlist_ranks
from ..lab import Lab
from ..lab.measured import measured
from ..prune import greedy
from ..prune.channels import Group, groups, patches
from ..prune.greedy_stops import Budget
from ..seeds import generator
from .greedy_bounds import runs
from .greedy_bounds_layers import TRAINED, reached, walks
from .greedy_bounds_networks import Rows, Trained, cells, prune, trained
from .greedy_bounds_params import Params
from .greedy_bounds_workers import alone, side_by_side

SHORTLIST = ["network", "layer", "width", "seed", "step", "rank", "run"]
COSTS = ["network", "layer", "width", "seed", "form", "seconds", "passes", "run"]
SHUFFLED = ["network", "rule", "seed", "picks", "differ", "run"]
PICKS = ["network", "layer", "method", "seed", "iteration", "neuron"]
MATCHES = ["network", "layer", "method", "neurons", "sample", "target", "output"]

SHOWN = ("line", "one_over_k", "random", "norm")  # methods in the explorer
SIZES = (1, 2, 5, 10, 20, 50)  # neurons in the explorer
SAMPLES = 60
WIDE = 40  # neurons that a layer has at least where a shortlist of ten is to say something


@measured(runs)
def shortlist(params: Params, lab: Lab) -> Rows:
    """Where first-order scores rank the neuron that an exact global search picks: columns `SHORTLIST`, a row a pick.

    Of layers with at least 40 neurons of `networks` and `contrasts`: among fewer, ten are found by chance.
    """
    work = [functools.partial(_ranks, params, lab, *cell) for cell in cells(params, lab, params.every, params.seeds)]
    rows = [table for tables in side_by_side(work, lab) for table in tables]
    return pd.concat(rows, ignore_index=True)[SHORTLIST] if rows else pd.DataFrame(columns=SHORTLIST)


def _ranks(params: Params, lab: Lab, name: str, seed: int) -> list[Rows]:
    given, rows = trained(params, lab, name, seed), []
    for group in groups(given.module):
        if group.channels >= WIDE:
            found = shortlist_ranks(given.module, group, given.calibration[0], params.picks)
            rows.append(found[["step", "rank"]].assign(**_labels(given, group)))
    return rows


@measured(runs)
def costs(params: Params, lab: Lab) -> Rows:
    """Seconds of one core and forward passes a pick by form: columns `COSTS`; of the widest layer of each network."""
    known = [trained(params, lab, *cell) for cell in cells(params, lab, params.networks, params.seeds)]
    rows = alone(lambda: [_costs(given) for given in known])
    return pd.concat(rows, ignore_index=True)[COSTS] if rows else pd.DataFrame(columns=COSTS)


def _costs(given: Trained) -> Rows:
    group = max(groups(given.module), key=lambda group: group.channels)
    found = cost_of(given.module, group, given.calibration[0], given.params.picks)
    return found[["form", "seconds", "passes"]].assign(**_labels(given, group))


@measured(runs)
def shuffled(params: Params, lab: Lab) -> Rows:
    """Picks that differ once the labels are shuffled: columns `SHUFFLED`, a row a rule and seed of the first network.

    The last layer that can be pruned keeps as large a share of its neurons as the smallest budget is. F's rules take no
    labels: they are run again. The predecessor's picks must change.
    """
    first = cells(params, lab, params.networks[:1], params.seeds)
    work = [functools.partial(_shuffled, params, lab, *cell) for cell in first]
    rows = [row for found in side_by_side(work, lab) for row in found]
    return pd.DataFrame(rows, columns=SHUFFLED)


def _shuffled(params: Params, lab: Lab, name: str, seed: int) -> list[dict[str, Any]]:
    given = trained(params, lab, name, seed)
    rows, (images, labels) = [], given.calibration
    last, stop = [groups(given.module)[-1].producer], Budget(min(params.budgets), "neurons")
    order = torch.randperm(len(labels), generator=generator("shuffled labels", seed)).to(labels.device)
    for rule in ("local", "global", "label_loss"):
        both = []
        for told in (labels, labels[order]):
            (layer,) = prune(replace(given, calibration=(images, told)), rule, stop, layers=last).layers
            both.append(layer.selection.picks.tolist() if layer.selection else [])
        apart = sum(a != b for a, b in zip(*both, strict=False)) + abs(len(both[0]) - len(both[1]))
        cell = {"network": name, "rule": rule, "seed": seed, "run": given.run.name}
        rows.append({**cell, "picks": len(both[0]), "differ": apart})
    return rows


def _labels(given: Trained, group: Group) -> dict[str, Any]:
    layer = {"network": given.name, "layer": group.producer, "width": group.channels}
    return {**layer, "seed": given.seed, "run": given.run.name}


@measured(runs)
def picks(params: Params, lab: Lab) -> Rows:
    """The neuron of every iteration in the trained layers of the first seed: columns `PICKS`."""
    rows = []
    for walk in walks(params, lab):
        if walk.layer.source == TRAINED and walk.layer.seed == params.seeds[0]:
            for method in SHOWN:
                told = {"network": walk.layer.network, "layer": walk.layer.layer, "method": method}
                neurons = walk.paths[method].picks
                rows.append(
                    pd.DataFrame({"iteration": np.arange(1, len(neurons) + 1), "neuron": neurons}).assign(**told)
                )
    found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=PICKS)
    return found.assign(seed=params.seeds[0])[PICKS]


@measured(runs)
def matches(params: Params, lab: Lab) -> Rows:
    """What the next layer receives from the whole layer and from some of its neurons: columns `MATCHES`.

    One unit of the consumer, the one that varies most, without its bias, on samples of the calibration images; trained
    layers of the first seed.
    """
    rows = []
    known = {
        (walk.layer.network, walk.layer.layer): walk.paths
        for walk in walks(params, lab)
        if walk.layer.source == TRAINED and walk.layer.seed == params.seeds[0]
    }
    for cell in cells(params, lab, params.every, params.seeds[:1]):
        given = trained(params, lab, *cell)
        for group in groups(given.module):
            paths = known.get((given.name, group.producer))
            if paths is None:
                continue
            x, w = patches(given.module, group, given.calibration[0][: params.layer_images], params.layer_rows)
            unit = int(np.einsum("pjq,ojq->po", x, w).std(axis=0).argmax())
            phi = group.channels * np.einsum("pjq,jq->jp", x[:SAMPLES], w[unit])
            rows += [_match(given, group, method, n, paths[method], phi) for method in SHOWN for n in SIZES]
    return pd.concat(rows, ignore_index=True)[MATCHES] if rows else pd.DataFrame(columns=MATCHES)


def _match(given: Trained, group: Group, method: str, neurons: int, path: greedy.Selection, phi: Any) -> Rows:
    found = reached(path, neurons)
    if found is None:
        return pd.DataFrame(columns=MATCHES)
    told = {"network": given.name, "layer": group.producer, "method": method, "neurons": neurons}
    both = {"sample": np.arange(phi.shape[1]), "target": phi.mean(axis=0), "output": found.weights @ phi}
    return pd.DataFrame(both).assign(**told)
