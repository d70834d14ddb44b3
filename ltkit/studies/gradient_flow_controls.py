"""What must come out one way if the gradient-flow bench works, and its numbers beside the published ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..verdict import estimate
from .expected import CONTROLS, control
from .gradient_flow import UPDATING
from .gradient_flow_evidence import UNTRAINED, Evidence, Tables, by_seed, log10, minus, valued
from .gradient_flow_measures import Rows
from .gradient_flow_params import Params
from .tables import gap, pick

EXACT = {"fp32": 1e-4, "bf16": 0.05}  # relative: what rounding leaves of an identity

# LeNet-5 on MNIST at s = .95 (gradient_flow.md section 5). Steps and distances are read off figures.
ACCURACIES = {"lt": 98.52, "gmp": 98.53, "scratch": 97.04}
GROUPS = {  # disagreement among each other, with the parent, and accuracy of the ensemble
    "lt": (0.0043, 0.0089, 98.58),
    "scratch": (0.0316, 0.0278, 98.00),
    "lt_reinit": (0.0352, 0.0278, 98.43),
    "prune_other": (0.0214, 0.0197, 99.07),
}
NORMS = {  # method and start ("" the study's own): G at the paper's steps 100, 800, 5000, 10000
    ("lt", ""): (0.031, 0.27, 0.24, 0.17),
    ("scratch", ""): (0.047, 0.034, 0.22, 0.18),
    ("scratch", "neuron"): (1.16, 0.73, 0.40, 0.24),
    ("rigl", "neuron"): (2.54, 1.46, 0.46, 0.22),
    ("small_dense", ""): (1.09, 0.55, 0.46, 0.33),
}
STEPS = (100, 800, 5000, 10_000)
BARRIERS = {"lt": 0.0065, "scratch": 1.786}
AWAY: dict[str, float | str] = {
    "lt_end": "5.4 to 7.7",
    "lt_start": 12.1,
    "scratch_start": "15.8 to 17.5",
    "scratch_end": "19 to 32",
}


def controls(params: Params, tables: Tables) -> Rows:
    """What must come out one way if the bench works: columns `CONTROLS`.

    `holds` is yes or no where the interval says so, else open; `reported` where nothing is expected. Logarithms are of
    base 10. All of the claim network.
    """
    e, rows = Evidence(params, tables), []
    rows += control("disagreement of a ticket and itself", e.group("same_seed", "disagreement"), 0, 0)
    dense = e.trace("dense")
    rows += control("dense network: G - norm of the dense gradient", by_seed(_apart(dense)), 0, 0)
    for method in UPDATING:
        kept = e.trace(method, init="neuron").groupby("seed", sort=False)["kept"]
        rows += control(
            f"{method}: most - fewest weights kept", (kept.max() - kept.min()).rename("value").to_frame(), 0, 0
        )
    same = pick(tables.identities, network=e.name)
    same = same.assign(value=same["recomputed"] / same["recorded"]).groupby("seed", sort=False)["value"].mean()
    close = EXACT[params.precision]
    rows += control("growing without dropping: G recomputed / predicted", same.to_frame(), 1 - close, 1 + close)
    for step in dict.fromkeys(e.recorded(paper) for paper in STEPS[:2]):
        he, glorot = (_at_step(e, step, init) for init in ("dense_he", "dense_glorot"))
        rows += control(f"step {step}: log G of He - of Glorot, both masked", minus(he, glorot))
    rows += control("log σ at s = 0: He - Glorot", minus(e.logits(0.0, "dense_he"), e.logits(0.0, "dense_glorot")))
    rows += control("accuracy: ticket - its mask, fresh weights", gap(e.at("lt"), e.at("lt_reinit")), low=0)
    random = e.at("scratch", init="neuron", distribution=params.layouts[0])
    layout = gap(e.at("scratch", init="neuron"), random)
    rows += control(f"accuracy, scaled start: pruned masks - random {params.layouts[0]} ones", layout)
    for step in (params.every * number for number in params.spectra_updates):
        changes = {method: e.spectrum(method, step, "negative") for method in UPDATING}
        rows += control(f"step {step}: new negative eigenvalues, RigL - SET", minus(changes["rigl"], changes["set"]))
    for method in UPDATING:
        lowest = [e.spectrum(method, params.every * number, "lambda_min") for number in params.spectra_updates]
        if lowest:
            every = pd.concat(lowest).groupby("seed", sort=False)["value"].mean().to_frame()
            rows += control(f"{method}: change of the lowest eigenvalue", every)
    return pd.DataFrame(rows, columns=CONTROLS)


def _apart(rows: Rows) -> Rows:
    return rows.assign(value=(rows["gradient_norm"] - rows["dense_norm"]).abs())


def _at_step(e: Evidence, step: int, init: str) -> Rows:
    rows = e.trace("scratch", init=init)
    rows = rows[rows["step"] == step]
    return valued(rows, log10(rows["gradient_norm"]))


def untrained(params: Params, tables: Tables) -> Rows:
    """Arms that end below 75 % of the dense accuracy: what they are compared with gains little by being better.

    Columns network, method, init, distribution, density, accuracy, dense (means over seeds, percent).
    """
    keys = ["network", "method", "init", "distribution", "density"]
    rows = tables.table[tables.table["twin"] == 0]
    means = rows.groupby(keys, sort=False)["accuracy"].mean().reset_index()
    whole = means.loc[means["method"] == "dense", ["network", "accuracy"]].rename(columns={"accuracy": "dense"})
    both = means.merge(whole, on="network")
    return both[both["accuracy"] < UNTRAINED * both["dense"]].reset_index(drop=True)


def published(params: Params, tables: Tables) -> Rows:
    """This scale's numbers beside those that paper D has for LeNet-5 on MNIST at density .05; none for other networks.

    Columns quantity, of, init (of G alone), published, here (mean), low, high, n. G stands at the same share of
    training as the paper's step. Distances were read off a map, which distorts.
    """
    e = Evidence(params, tables)
    columns = ["quantity", "of", "init", "published", "here", "low", "high", "n"]
    if e.name != "lenet_5":
        return pd.DataFrame(columns=columns)
    rows = []
    for quantity, of, init, number, values in _told(e):
        found = estimate(values["value"].dropna())
        told = {"quantity": quantity, "of": of, "init": init, "published": number, "here": found.mean}
        rows.append({**told, "low": found.low, "high": found.high, "n": found.n})
    return pd.DataFrame([row for row in rows if row["n"]], columns=columns)


def _told(e: Evidence) -> Iterator[tuple[str, str, str, float | str, Rows]]:
    for method, number in ACCURACIES.items():
        rows = e.at(method)
        yield "test accuracy (%)", method, "", number, rows.assign(value=rows["accuracy"])
    words = {"disagreement": "disagreement", "with_parent": "disagreement with the pruned"}
    words["ensemble"] = "ensemble's accuracy (%)"
    for group, numbers in GROUPS.items():
        for (column, quantity), number in zip(words.items(), numbers, strict=True):
            yield quantity, group, "", number, e.group(group, column)
    for (method, init), norms in NORMS.items():
        for step, number in zip(STEPS, norms, strict=True):
            rows = e.norm(step, method, init=init or e.own)
            yield f"G at step {step:,}", method, init or e.own, number, rows.assign(value=np.power(10.0, rows["value"]))
    for end, number in BARRIERS.items():
        yield "barrier to the pruned (nats)", end, "", number, e.path(end, "barrier")
    for name, away in AWAY.items():
        yield "L2 distance to the pruned", name, "", away, e.between("prune_end", name)
