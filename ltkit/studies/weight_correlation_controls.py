"""What must come out one way if the weight-correlation bench works, and papers A and E on the same runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..verdict import decide, estimate, tau_sim
from .existence_params import network
from .expected import CONTROLS, control
from .tables import gap
from .weight_correlation_claims import RESTORED
from .weight_correlation_evidence import UNTRAINED, Evidence, Rows, at_claim_level, effects, told
from .weight_correlation_params import P, Params

DISPUTES = ["question", "where", "claim", "predicts", "effect", "low", "high", "n", "overlap", "holds"]

Side = tuple[str, str, float]  # a claim; where it expects the effect: above, below or within (plus or minus); an edge
Question = tuple[str, str, Rows, float, tuple[Side, ...]]  # question, where, values, change of overlap, both sides
UP = ("above", 0.0)
MOVED = 0.05  # an intervention that moves the overlap by less is no test of whether leads follow it


def controls(params: Params, table: Rows, overlaps: Rows, residuals: Rows) -> Rows:
    """What must come out one way if the bench works: columns `CONTROLS`.

    Overlaps by chance are in null standard deviations, accuracies in points. `holds` is yes or no where the interval
    says so, else open; `reported` where nothing is expected.
    """
    e, rows = Evidence(params, table, overlaps), []
    for lr in (e.small, e.large):
        same, fresh = (e.overlap(pair, lr) for pair in ("same", "fresh_final"))
        rows += control(f"lr {lr:g}: overlap of a network with itself", told(same, same["overlap"]), 1, 1)
        chance = told(fresh, (fresh["overlap"] - P) / fresh["sd"])
        rows += control(f"lr {lr:g}: overlap of fresh with trained weights - {P:g}", chance, -3, 3, " sd")
    for level in params.method_levels:
        where: dict[str, Any] = {"arm": "rr", "masking": "one_shot", "level": level}
        alone = e.overlap("masked_dense", e.large, **where)
        density = params.density(level)
        if density > P and not alone.empty:
            shared = told(alone, alone["overlap"] - P / density)
            rows += control(
                f"{e.where(level)}: untrained, under a mask cut from θ_T, with θ_T - p/density", shared, -0.02, 0.02
            )
            trained = e.overlap("tuned_dense", e.large, **where)
            rows += control(f"{e.where(level)}: the same, trained", told(trained, trained["overlap"] - P / density))
    for lr in (e.small, e.large):
        ticket = e.at("lt", lr, masking="one_shot")
        least = 0.0 if lr == e.small else -np.inf
        for arm, words in (("shuffled", "mask rearranged"), ("permuted", "kept weights rearranged")):
            rows += control(f"lr {lr:g}: ticket - {words}", gap(ticket, e.at(arm, lr, masking="one_shot")), least)
    for density, mine in residuals[residuals["network"] == e.name].groupby("density", sort=False):
        by_round = mine.pivot_table(index="seed", columns="round", values="residual", dropna=False)
        fall = pd.DataFrame({"value": by_round.iloc[:, 0] - by_round.iloc[:, -1]})
        rows += control(f"density {density:.3g}: ADMM's residual, first - last", fall, 0)
    return pd.DataFrame(rows, columns=CONTROLS)


def untrained(params: Params, table: Rows) -> Rows:
    """Cells of fresh or rearranged weights that end below 75 % of the dense accuracy: a lead over them says little.

    Columns network, lr, decay, arm, masking, scope, density, accuracy, dense (means over seeds, percent).
    """
    keys = ["network", "lr", "decay", "arm", "masking", "scope", "density"]
    plain = table[table["recipe"] == "plain"]
    whole = plain[plain["arm"] == "dense"].groupby(keys[:3])["accuracy"].mean().rename("dense")
    arms = plain[plain["arm"].isin(("rr", "shuffled", "permuted"))]
    means = arms.groupby(keys)["accuracy"].mean().reset_index().merge(whole.reset_index(), on=keys[:3])
    return means[means["accuracy"] < UNTRAINED * means["dense"]].reset_index(drop=True)


def against_existence(params: Params, table: Rows, overlaps: Rows) -> Rows:
    """Papers A and E on the same runs where they disagree, or explain one fact differently: a row a claim.

    Columns: question; where; claim; predicts, of the effect; effect, low, high, n (accuracy points, paired by seed);
    overlap (mean change of R_.2 by an intervention, else NaN); holds (yes, no or open). For E a lead follows the
    overlap (E10), for A the learning rate at which the ticket is trained (A1a, A2): at one rate it stays. That reading
    of A is ltkit's, with A's margin; interventions that move the overlap by less than .05 are left out.
    """
    e, rows = Evidence(params, table, overlaps), []
    for question, where, values, moved, sides in (*_questions(e), *_changes(e)):
        found = estimate(values["value"].dropna())
        interval = {"effect": found.mean, "low": found.low, "high": found.high, "n": found.n, "overlap": moved}
        for claim, kind, edge in sides if found.n else ():
            ends = (-found.high, -found.low) if kind == "below" else (found.low, found.high)
            word = decide(*ends, edge, "equivalence" if kind == "within" else "difference")
            holds = {"supported": "yes", "refuted": "no"}.get(word, "open")
            where_and_who = {"question": question, "where": where, "claim": claim, "predicts": f"{kind} {edge:g}"}
            rows.append({**where_and_who, **interval, "holds": holds})
    return pd.DataFrame(rows, columns=DISPUTES)


def _questions(e: Evidence) -> Iterator[Question]:
    """What both papers say of plain runs, under masks cut by layer (E's) and over all layers (A's).

    By layer at the claim level; over all layers at the level closest to it, and at the sparsest.
    """
    spec, tau = network(e.name), tau_sim(e.params.data)
    skips = spec.arch.startswith("resnet") and spec.residual  # A's claims depend on residual connections
    wide = sorted(e.params.global_levels, key=lambda level: abs(e.params.density(level) - e.params.density(e.level)))
    wide = list(dict.fromkeys((*wide[:1], *sorted(wide)[-1:])))
    for scope, level in [("layer", e.level)] + [("global", level) for level in wide]:
        where = f"{scope} masks, {e.where(level)}"
        small, large = (e.at("lt", lr, level, scope=scope) for lr in (e.small, e.large))
        prefers: Side = ("A8", "below" if skips else "above", 0.0)
        yield f"ticket at lr {e.large:g} - at {e.small:g}", where, gap(large, small), math.nan, (prefers, ("E11", *UP))
        gain = gap(large, e.at("lt", e.large, level, "one_shot", scope=scope))
        none: Side = ("A6b", "within", tau) if skips else ("A7", "below", 0.0)
        yield f"iterative - one-shot masks at lr {e.large:g}", where, gain, math.nan, (none, ("E7", *UP))
        tie = (("A1a", "within", tau), ("E2a", "within", tau))
        yield f"ticket - fresh weights at lr {e.large:g}", where, e.lead(e.large, level, scope=scope), math.nan, tie
        lead, doubt = e.lead(e.small, level, scope=scope), e.doubt(e.at("rr", e.small, level, scope=scope), e.small)
        clear = (("A2", "above", tau), ("E1a", *UP))
        yield f"ticket - fresh weights at lr {e.small:g}", where + doubt, lead, math.nan, clear
        rates = (e.small, e.large)
        (a, dense), (b, ticket) = (
            max(((lr, e.at(arm, lr, level, scope=scope)) for lr in rates), key=_reached) for arm in ("dense", "lt")
        )
        best = f"best dense (lr {a:g}) - best ticket (lr {b:g})"
        yield best, where, gap(dense, ticket), math.nan, (("A4", "above", tau),)
        if e.near(RESTORED, [level]) is not None:
            win = gap(small, e.at("dense", e.small))
            yield f"ticket - dense, both at lr {e.small:g}", where, win, math.nan, (("E1b", *UP),)


def _reached(side: tuple[float, Rows]) -> float:
    """What a learning rate is chosen by: validation accuracy, or test accuracy where nothing is held out."""
    validation, test = side[1]["validation"].mean(), side[1]["accuracy"].mean()
    return float(validation if validation == validation else test)


def _changes(e: Evidence) -> Iterator[Question]:
    """Each intervention's change of the lead against plain training at the same rate, and its change of overlap."""
    rows = effects(e.params, e.table, e.overlaps)
    rows = at_claim_level(e.params, rows[rows["network"] == e.name])
    usual = rows[(rows["recipe"] == "plain") & (rows["lr"] == rows["mask_lr"]) & (rows["decay"] == e.params.decay)]
    changed = rows[((rows["recipe"] != "plain") | (rows["lr"] != rows["mask_lr"])) & (rows["recipe"] != "matched")]
    for (recipe, lr, mask_lr), mine in changed.groupby(["recipe", "lr", "mask_lr"], sort=False):
        both = mine.merge(usual[usual["lr"] == lr], on="seed", suffixes=("", "_usual"))
        values = pd.DataFrame({"seed": both["seed"], "value": both["advantage"] - both["advantage_usual"]})
        moved = float((both["overlap"] - both["overlap_usual"]).mean())
        where = f"lr {lr:g}, " + (f"mask from lr {mask_lr:g}" if recipe == "plain" else recipe)
        follows: Side = ("E10", "above" if moved > 0 else "below", 0.0)
        stays: Side = ("A1a, A2", "within", tau_sim(e.params.data))
        sides = (stays, follows) if abs(moved) >= MOVED else ()
        yield "change of the ticket's lead", where, values, moved, sides
