"""What must come out one way if the greedy-bounds bench works, and the study's finding: when decay is exponential."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..prune import greedy
from ..verdict import GREEDY_BOUNDS, find
from .expected import CONTROLS, control
from .gradient_flow_measures import Rows
from .greedy_bounds_evidence import Evidence, Tables, told
from .greedy_bounds_layers import FRESH, SYNTHETIC, TRAINED
from .greedy_bounds_params import Params
from .tables import pick

FINDING = ["layers", "step", "N/rank", "exponential", "clearly", "polynomial", "none", "fits"]

CORNERS = range(2, 7)  # dimensions of the square and its kin
EDGES = (0.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, math.inf)  # of N/rank
STEPS = {"line": "line search", "one_over_k": "1/k"}
MOSTLY = 0.9  # of the fits


def controls(params: Params, tables: Tables) -> Rows:
    """What must come out one way if the bench works: columns `CONTROLS`.

    `holds` is yes or no where the interval says so, else open; `reported` where nothing is expected.
    """
    rows = [row for entry in _controls(Evidence(params, tables)) for row in control(*entry)]
    return pd.DataFrame(rows, columns=CONTROLS)


def _controls(e: Evidence) -> Iterator[tuple[str, Rows, float, float]]:
    """Name, values, and the ends of what is expected."""
    tables, inf = e.tables, math.inf
    exact = tables.orthonormal
    within = told(exact["width"], (exact["worst"] > 1e-12).astype(float))
    yield "orthonormal neurons: paths off the closed form 1/n - 1/N", within, 0, 0
    yield "orthonormal neurons: paths with a regime", told(exact["width"], (exact["regime"] != "none")), 0, 0
    corners = [corner_errors(d) for d in CORNERS]
    yield (
        "square and its kin: largest rise of the step 1/k",
        told(CORNERS, [np.diff(s).max() for s, _ in corners]),
        0,
        inf,
    )
    yield "square and its kin: error that line search ends with", told(CORNERS, [line[-1] for _, line in corners]), 0, 0
    many = pick(e.many(tables.rates), method="line")
    share = (many["regime"] == "exponential").astype(float)
    yield "more dimensions than neurons: exponential fits of line search", told(many["seed"], share), 0, 0
    independent = tables.holds[tables.holds["b5"].notna()]
    least = independent.groupby("seed", sort=False)["b5"].min()
    yield "affinely independent neurons: least error before all are in", told(least.index, least), 0, inf
    changed = pick(tables.shuffled, rule="label_loss")
    yield "label loss: picks that change with the labels", told(changed["seed"], changed["differ"]), 0, inf
    over = (tables.slim["multiply_adds"] > tables.slim["budget"] + 1e-9).groupby(tables.slim["seed"]).sum()
    yield "networks that cost more than their budget", told(over.index, over), 0, 0
    for name in e.params.every:
        yield from _network(e, name)


def _network(e: Evidence, name: str) -> Iterator[tuple[str, Rows, float, float]]:
    rows = pick(e.tables.slim, network=name, budget=e.params.budgets[0])
    beside = rows.drop_duplicates("seed")
    yield (
        f"{name}: dense tuned as long - dense",
        told(beside["seed"], beside["dense_tuned"] - beside["dense"]),
        -math.inf,
        math.inf,
    )
    for rule in ("local", "random", "norm"):
        own = pick(rows, rule=rule)
        for a, b in (
            ("recalibrated", "before"),
            ("tuned", "dense_tuned"),
            ("tuned", "scratch"),
            ("tuned", "scratch_full"),
        ):
            yield f"{name}, {rule}: {WORDS[a]} - {WORDS[b]}", told(own["seed"], own[a] - own[b]), -math.inf, math.inf


WORDS = {
    "before": "as selected",
    "recalibrated": "BatchNorm recalibrated",
    "tuned": "tuned",
    "dense_tuned": "dense tuned as long",
    "scratch": "from scratch as long",
    "scratch_full": "from scratch, longer",
}


def corner_errors(dimensions: int) -> tuple[greedy.Floats, greedy.Floats]:
    """D of the step 1/k and of line search on the corners ±e_i: the first rises, as on the square in sheet 8."""
    corners = np.concatenate([np.eye(dimensions), -np.eye(dimensions)])
    problem = greedy.from_contributions(corners)
    return greedy.one_over_k(problem, 6).errors, greedy.local_imitation(problem, 6, tol=0.0).errors


def finding(params: Params, tables: Tables) -> Rows:
    """Which law paths follow, by kind of layer, step and neurons a rank: columns `FINDING`, counts of fits.

    The rank of a synthetic layer is its dimension; that of a network's layer its effective rank. `clearly`: of the
    exponential ones those whose R² is ahead by F8's margin.
    """
    rows = _fits(tables)
    rows["N/rank"] = pd.cut(rows["ratio"], list(EDGES), right=False, labels=_labels())
    found = []
    for (layers, step, ratio), own in rows.groupby(["layers", "step", "N/rank"], sort=False, observed=True):
        counts = {law: int((own["regime"] == law).sum()) for law in ("exponential", "polynomial", "none")}
        counts["clearly"] = int(own["clear"].sum())
        found.append({"layers": layers, "step": step, "N/rank": ratio, **counts, "fits": len(own)})
    order = {name: place for place, name in enumerate(_labels())}
    table = pd.DataFrame(found, columns=FINDING)
    table["N/rank"] = table["N/rank"].astype(str)
    return table.sort_values(["step", "layers", "N/rank"], key=lambda c: c.map(order) if c.name == "N/rank" else c)


def _labels() -> list[str]:
    inner = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(EDGES[1:-1])]
    return [f"below {EDGES[1]:g}", *inner, f"from {EDGES[-2]:g}"]


def _fits(tables: Tables) -> Rows:
    """Every fit of line search and of the step 1/k: layers, step, ratio N/rank, regime, whether it is clear."""
    line = STEPS["line"]
    known = tables.regimes.assign(layers=tables.regimes["layer"], step=line, ratio=_ratio(tables.regimes, "rank"))
    rates = tables.rates[tables.rates["method"].isin(STEPS)]
    rates = rates.assign(layers=rates["source"], step=rates["method"].map(STEPS), ratio=_ratio(rates, "dimension"))
    columns = ["layers", "step", "ratio", "regime", "semilog_r2", "loglog_r2"]
    rows = pd.concat([known[columns], rates[columns]], ignore_index=True)
    ahead = rows["semilog_r2"] - rows["loglog_r2"] >= find(GREEDY_BOUNDS, "F8").threshold
    return rows.assign(clear=ahead & (rows["regime"] == "exponential"))


def _ratio(rows: Rows, column: str) -> pd.Series:
    return rows["width"] / rows[column]


def sentences(params: Params, tables: Tables) -> list[str]:
    """The finding in words: from which N/rank on decay is exponential, by which step, and where trained layers lie."""
    rows, said = _fits(tables), []
    line = rows[rows["step"] == STEPS["line"]]
    for kind in ("gaussian", SYNTHETIC):
        own = line[line["layers"] == kind]
        shares = own.assign(hit=own["regime"] == "exponential").groupby("ratio")["hit"].mean().sort_index()
        least = shares[::-1].cummin()[::-1]
        seen = least[least >= MOSTLY]
        where = f"from N/rank {seen.index[0]:g} on" if len(seen) else f"at no N/rank up to {shares.index.max():g}"
        words = f"Synthetic layers, {kind}, line search: {where} {MOSTLY:.0%} of the fits or more are exponential"
        never = shares[shares.cummax() == 0]
        said.append(f"{words}, up to {never.index[-1]:g} none." if len(never) else f"{words}.")
    step = rows[(rows["step"] == STEPS["one_over_k"]) & (rows["layers"] == SYNTHETIC)]
    if len(step):
        said.append(f"Synthetic layers, {SYNTHETIC}, step 1/k: {_share(step)}, whatever N/rank.")
    for source in (FRESH, TRAINED):
        own = line[line["layers"] == source]
        if len(own):
            low, high = own["ratio"].min(), own["ratio"].max()
            said.append(f"Layers of networks, {source}, N/effective rank {low:.1f} to {high:.1f}: {_share(own)}.")
    return said


def _share(rows: Rows) -> str:
    found = (rows["regime"] == "exponential").sum()
    return f"{found} of {len(rows)} fits are exponential, {rows['clear'].sum()} of them by F8's margin"
