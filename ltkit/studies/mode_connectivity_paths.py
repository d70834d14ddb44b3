"""What the mode-connectivity study measures on stored weights: paths, barriers, distances, histograms.

Nothing here trains: the runs are those of `mode_connectivity.collect`. What a diverged run would have given is NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from .. import data, models
from ..analyze import barrier, distance
from ..analyze import weights as modes
from ..analyze.path import Pair, Split, path
from ..analyze.permute import permuted
from ..data.balance import pick, share
from ..lab import Lab
from ..lab.material import frame
from ..lab.measured import measured
from ..prune.masks import Mask, by_score, counts
from ..seeds import generator
from ..spec import Magnitude, Run, Task
from .mode_connectivity import Labelled, every_run, grid
from .mode_connectivity_params import Params

Key = tuple[str, int, int, int, int]  # arm, level, seed, twin, rewind
Runs = dict[Key, Run]

KEYS = ["network", "setting", "kind", "level", "density", "rewind", "seed", "pair", "batch_norm", "endpoint_mask"]
BINS = 41  # of a histogram
PATH_COLUMNS = [*KEYS, "alpha", "split", "error", "loss", "apart", "runs"]


@dataclass(frozen=True)
class Ends:
    """A path of the study: from `b` at α = 0 to `a` at α = 1."""

    labels: dict[str, Any]  # kind, level, density, rewind, seed, pair
    a: Run
    b: Run
    start: Run | None = None  # of twins: the run whose start they share


@dataclass(frozen=True)
class Loaded:
    """A stored run."""

    weights: dict[str, Tensor]
    mask: Mask


def by_place(params: Params) -> dict[tuple[str, str], Runs]:
    """The runs of each network and setting by arm, level, seed, twin and rewind."""
    places: dict[tuple[str, str], Runs] = {}
    for labels, run in grid(params):
        key = tuple(labels[name] for name in ("arm", "level", "seed", "twin", "rewind"))
        places.setdefault((labels["network"], labels["setting"]), {})[key] = run
    return places


def joined(params: Params, runs: Runs) -> Iterator[Ends]:
    """All paths of one network and setting.

    Kinds: twins_dense (by rewind) and twins_full (the same, trained for all epochs from there), twins_imp (by level),
    rounds and rounds_reinit (level r: from round r, at α = 0, to r + 1), dense_ticket (from the dense network under the
    ticket's mask to the ticket), finetuned_ticket, same_seed, unrelated (dense, this seed and the next one), permuted.
    """

    def at(kind: str, pair: str, seed: int, level: int = 0, rewind: int = 0) -> dict[str, Any]:
        labels = {"kind": kind, "level": level, "density": params.density(level), "rewind": rewind}
        return {**labels, "seed": seed, "pair": pair}

    for place, seed in enumerate(params.seeds):
        whole = runs["dense", 0, seed, 0, 0]
        for kind, twins in _twins(params, runs, seed):
            for (one, a), (two, b) in combinations(twins.items(), 2):
                labels = at(kind[0], f"{one}-{two}", seed, *kind[1:])
                yield Ends(labels, a, b, runs["imp", kind[1], seed, 0, 0] if kind[1] else whole)
        for level in range(params.rounds + 1):
            ticket, after = (runs.get((_chain("imp", k), k, seed, 0, 0)) for k in (level, level + 1))
            if ticket and after:
                yield Ends(at("rounds", f"{level}-{level + 1}", seed, level), after, ticket)
            fresh, later = (runs.get(("reinit", k, seed, 0, 0)) for k in (level, level + 1))
            if fresh and later:
                yield Ends(at("rounds_reinit", f"{level}-{level + 1}", seed, level), later, fresh)
            if ticket and level:
                yield Ends(at("dense_ticket", f"0-{level}", seed, level), ticket, whole)
            if ticket and (tuned := runs.get(("finetuned", level, seed, 0, 0))):
                yield Ends(at("finetuned_ticket", "0-0", seed, level), ticket, tuned)
        yield Ends(at("same_seed", "0-0", seed), whole, whole)
        yield Ends(at("permuted", "0-0", seed), whole, whole)
        other = params.seeds[(place + 1) % len(params.seeds)]
        if other != seed:
            yield Ends(at("unrelated", f"{seed}-{other}", seed), whole, runs["dense", 0, other, 0, 0])


def _twins(params: Params, runs: Runs, seed: int) -> Iterator[tuple[tuple[str, int, int], dict[int, Run]]]:
    """(kind, level, rewind) with the runs by twin, two or more of them."""
    sets: dict[tuple[str, int, int], tuple[Key, ...]] = {}
    numbers = range(params.twins)
    for k in params.rewind_epochs:
        # After k shared epochs the dense run itself is the first twin.
        sets["twins_dense", 0, k] = tuple(("dense", 0, seed, n, k if n else 0) for n in numbers)
        sets["twins_full", 0, k] = tuple(("dense_full", 0, seed, n, k) for n in numbers)
    for level in params.levels:
        sets["twins_imp", level, 0] = tuple(("imp", level, seed, n, 0) for n in numbers)
    for kind, keys in sets.items():
        found = {key[3]: runs[key] for key in keys if key in runs}
        if len(found) > 1:
            yield kind, found


def _chain(arm: str, level: int) -> str:
    """The arm that a chain of rounds has at a level: reinit has its own dense network, all others share one."""
    return "dense" if level == 0 and arm != "reinit" else arm


@measured(every_run)
def paths(params: Params, lab: Lab) -> pd.DataFrame:
    """Errors along all paths: a row a path, treatment of the ends' masks, α and split.

    Columns: those of `KEYS`, alpha, split (train: `calibration` of the training images, not augmented; test), error
    (percent), loss (nats), apart (L2 distance of twins over the mean distance each has travelled from its initial
    weights; NaN for other kinds), runs (the names of both ends, a first). `rounds` come under `endpoint_mask` and under
    another treatment, so that both ends have their own masks in one and a shared one in the other.
    """
    return _all(params, lab, joined, _ways(params))


@measured(every_run)
def bn_switched(params: Params, lab: Lab) -> pd.DataFrame:
    """The paths between twins of networks with BatchNorm under the other treatment of its statistics (section 7.3).

    Where `paths` has them recomputed they are interpolated, and the other way round: side by side both show what this
    switch does. No rows without BatchNorm.
    """
    other = "interpolate" if params.batch_norm == "recompute" else "recompute"

    def chosen(params: Params, runs: Runs) -> Iterator[Ends]:
        for ends in joined(params, runs):
            if ends.labels["kind"] in ("twins_dense", "twins_imp") and ends.a.network.norm == "batch":
                yield ends

    return _all(params.replace(batch_norm=other), lab, chosen, (params.endpoint_mask,))


def _all(
    params: Params, lab: Lab, choose: Callable[[Params, Runs], Iterable[Ends]], ways: Iterable[str]
) -> pd.DataFrame:
    work = [
        functools.partial(_evaluated, params, lab, name, text, ends, way)
        for (name, text), runs in by_place(params).items()
        if (ends := list(choose(params, runs)))
        for way in ways
    ]
    if lab.workers == 1:
        found = [one() for one in work]
    else:  # a thread a worker, as the lab trains: faster than sharing every small operation out
        with ThreadPoolExecutor(lab.workers, "paths", torch.set_num_threads, (1,)) as pool:
            found = list(pool.map(lambda one: one(), work))
    return pd.concat(found, ignore_index=True)[PATH_COLUMNS] if found else pd.DataFrame(columns=PATH_COLUMNS)


def _ways(params: Params) -> tuple[str, ...]:
    return (params.endpoint_mask, "own" if params.endpoint_mask != "own" else "intersection")


def _evaluated(params: Params, lab: Lab, name: str, text: str, every: list[Ends], endpoint_mask: str) -> pd.DataFrame:
    """The paths of one network and setting under one treatment of the masks; only `rounds` need more than the first."""
    chosen = [ends for ends in every if endpoint_mask == params.endpoint_mask or ends.labels["kind"] == "rounds"]
    network, task = every[0].a.network, every[0].a.task
    dataset, splits = _images(task, lab.root, params.calibration)
    at = (network, dataset.shape, dataset.classes)
    load = functools.cache(lambda run: _load(lab, run))
    names = models.prunable(*at, "all")
    pairs, facts, lost = [], {}, []
    for number, ends in enumerate(chosen):
        labels = {"network": name, "setting": text, **ends.labels, "endpoint_mask": endpoint_mask}
        labels |= {"batch_norm": _batch_norm(params, ends.a), "runs": (ends.a.name, ends.b.name), "apart": float("nan")}
        facts[str(number)] = labels
        a, b = load(ends.a), load(ends.b)
        if a is None or b is None:
            lost.append(str(number))
            continue
        weights, mask = b.weights, b.mask
        if ends.labels["kind"] == "permuted":
            seed = ends.labels["seed"]
            weights, mask = (permuted(*at, part, generator("permuted", seed)) for part in (weights, mask))
        if ends.labels["kind"] == "dense_ticket":
            mask = a.mask
        if ends.start is not None:
            labels["apart"] = _apart(a.weights, b.weights, lab.weights(ends.start, 0), names)
        pairs.append(Pair(str(number), a.weights, weights, a.mask, mask))
    alphas = [index / (params.points - 1) for index in range(params.points)]
    rows = path(
        *at,
        pairs,
        alphas,
        splits,
        batch_norm=_batch_norm(params, every[0].a),
        endpoint_mask=endpoint_mask,
        calibration=splits["train"][0],
        device=lab.device,
        precision=params.precision,
    ).drop(columns="count")
    nan = float("nan")
    none = [(number, alpha, split, nan, nan) for number in lost for alpha in alphas for split in splits]
    parts = (rows, pd.DataFrame(none, columns=["pair", "alpha", "split", "error", "loss"]))
    rows = pd.concat([part for part in parts if len(part)])
    return rows.rename(columns={"pair": "number"}).join(pd.DataFrame.from_dict(facts, orient="index"), on="number")


def _batch_norm(params: Params, run: Run) -> str:
    return params.batch_norm if run.network.norm == "batch" else "none"


def _load(lab: Lab, run: Run) -> Loaded | None:
    """A run's weights and mask; None for one that diverged or was never trained."""
    if (lab.store.done(run.name) or {}).get("outcome") != "finished":
        return None
    return Loaded(lab.weights(run), lab.mask(run))


@functools.lru_cache(maxsize=4)
def _images(task: Task, root: str | None, count: int) -> tuple[data.Dataset, dict[str, Split]]:
    """`count` training images, the same share of each class in a fixed random order, and all test images."""
    dataset = data.load(task, root)
    size = len(dataset.train_y)
    stream = generator("calibration")
    chosen = pick(dataset.train_y, share(dataset.train_y, dataset.classes, min(1.0, count / size)), stream)
    rows = torch.where(chosen)[0]
    rows = rows[torch.randperm(len(rows), generator=stream)]  # BatchNorm's statistics are taken batch by batch
    parts = {"train": (dataset.train_x[rows], dataset.train_y[rows]), "test": (dataset.test_x, dataset.test_y)}
    return dataset, {
        split: (data.normalise(x.unsqueeze(0), dataset.mean, dataset.std)[0], y) for split, (x, y) in parts.items()
    }


def _apart(a: Mapping[str, Tensor], b: Mapping[str, Tensor], start: Mapping[str, Tensor], names: list[str]) -> float:
    one, two, origin = (torch.cat([state[name].flatten() for name in names]) for state in (a, b, start))
    return 2 * distance.euclidean(one, two) / (distance.euclidean(one, origin) + distance.euclidean(two, origin))


def barriers(paths: pd.DataFrame) -> pd.DataFrame:
    """Barrier and chord excess of every path and split: the columns of `paths` without alpha, error and loss.

    And barrier, excess, end_a (at α = 1), end_b (at α = 0), in percentage points of error.
    """
    number = paths.groupby(KEYS, sort=False).ngroup()
    found = barrier.barriers(paths.assign(pair=number)).rename(columns={"pair": "number"})
    labels = paths[[*KEYS, "apart", "runs"]].assign(number=number).drop_duplicates("number").set_index("number")
    told = found.join(labels, on="number")
    return told[[*KEYS, "split", "barrier", "excess", "end_a", "end_b", "apart", "runs"]]


@measured(every_run)
def distances(params: Params, lab: Lab) -> pd.DataFrame:
    """How far apart the rounds of each chain are: a row a pair of rounds, "init" being the initial weights.

    Columns: network, setting, arm (imp, reinit, repelled, repelled_last, attracted), seed, a, b ("init", 0, 1, ...),
    shared (weights that both keep), distance (by `measure`), null (`ltkit.analyze.distance.matrix`), runs.
    """
    found = []
    for (name, text), runs in by_place(params).items():
        for arm in ("imp", "reinit", "repelled", "repelled_last", "attracted"):
            for seed in params.seeds:
                keys = [(_chain(arm, level), level, seed, 0, 0) for level in range(params.rounds + 1)]
                if all(key in runs for key in keys):
                    rows = _matrix(params, lab, [runs[key] for key in keys])
                    found.append(rows.assign(network=name, setting=text, arm=arm, seed=seed))
    columns = ["network", "setting", "arm", "seed", "a", "b", "shared", "distance", "null", "runs"]
    return pd.concat(found, ignore_index=True)[columns]


def _matrix(params: Params, lab: Lab, chain: list[Run]) -> pd.DataFrame:
    loaded = {level: one for level, run in enumerate(chain) if (one := _load(lab, run)) is not None}
    dataset = data.load(chain[0].task, lab.root)
    names = models.prunable(chain[0].network, dataset.shape, dataset.classes, "all")
    states = {level: one.weights for level, one in loaded.items()}
    masks = {level: one.mask for level, one in loaded.items()}
    rows = distance.matrix(states, masks, names, lab.weights(chain[0], 0), params.measure)
    keys = list(combinations(["init", *range(len(chain))], 2))
    rows = rows.set_index(["a", "b"]).reindex(pd.MultiIndex.from_tuples(keys, names=["a", "b"])).reset_index()
    named: dict[Any, str] = {"init": chain[0].name, **{level: run.name for level, run in enumerate(chain)}}
    return rows.assign(runs=[tuple(dict.fromkeys(named[key] for key in pair)) for pair in keys])


@measured(every_run)
def weights(params: Params, lab: Lab) -> pd.DataFrame:
    """What the trained weights of each round look like: a row a run of imp and reinit, the dense networks at level 0.

    Columns: network, setting, arm, seed, level, density, dip, bimodal (`ltkit.analyze.weights`, over all layers, under
    the mask that the run was trained with), threshold (the magnitude at which the next round would cut it), run.
    """
    rows = []
    for labels, run in _series(params):
        told = {"dip": float("nan"), "bimodal": False, "threshold": float("nan")}
        if (loaded := _load(lab, run)) is not None:
            names = models.prunable(run.network, *frame(run, lab.root), "all")
            values = modes.alive(loaded.weights, loaded.mask, names)
            dip = modes.dip(values)
            told = {"dip": dip, "bimodal": dip < modes.HALF, "threshold": _threshold(params, run, loaded, names)}
        rows.append({**labels, **told, "run": run.name})
    return pd.DataFrame(rows)


@measured(every_run)
def histograms(params: Params, lab: Lab) -> pd.DataFrame:
    """The histograms of the weights that `weights` looks at (P8): a row a bin.

    Columns: network, setting, arm, seed, level, density, left, right, share (of the run's kept weights per unit of w).
    The bins of a network and setting are one grid, up to the largest 99 % quantile of |w| among its runs.
    """
    found: dict[tuple[Any, ...], list[tuple[dict[str, Any], Tensor]]] = {}
    for labels, run in _series(params):
        if (loaded := _load(lab, run)) is not None:
            names = models.prunable(run.network, *frame(run, lab.root), "all")
            values = modes.alive(loaded.weights, loaded.mask, names)
            found.setdefault((labels["network"], labels["setting"]), []).append((labels, values))
    tables = []
    for every in found.values():
        limit = max(modes.reach(values) for _, values in every)
        tables += [modes.histogram(v, BINS, limit).rename(columns={"density": "share"}).assign(**at) for at, v in every]
    columns = ["network", "setting", "arm", "seed", "level", "density", "left", "right", "share"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _series(params: Params) -> Iterator[Labelled]:
    for labels, run in grid(params):
        arm = "imp" if labels["arm"] == "dense" else labels["arm"]
        if arm in ("imp", "reinit") and not labels["twin"]:
            columns = ("network", "setting", "seed", "level", "density")
            yield {**{column: labels[column] for column in columns}, "arm": arm}, run


def _threshold(params: Params, run: Run, loaded: Loaded, names: Iterable[str]) -> float:
    """The cut-off of a round of pruning that would come next, whether or not it does (reinit has IMP's masks)."""
    sizes = {name: loaded.weights[name].abs() for name in names}
    alive = {name: loaded.mask.get(name, torch.ones_like(size, dtype=torch.bool)) for name, size in sizes.items()}
    total, left = sum(size.numel() for size in sizes.values()), sum(counts(alive).values())
    kept = Magnitude(run=run, rate=params.rate).kept(total, left)
    return modes.threshold(loaded.weights, alive, by_score(sizes, kept, alive))
