"""Verdicts, slopes, controls and the two papers side by side, on tables whose truth is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ltkit import params
from ltkit.studies import weight_correlation
from ltkit.studies import weight_correlation_claims as claims
from ltkit.studies import weight_correlation_controls as controls
from ltkit.studies import weight_correlation_evidence as evidence
from ltkit.studies.weight_correlation_overlaps import COLUMNS
from ltkit.studies.weight_correlation_params import Params
from ltkit.verdict import WEIGHT_CORRELATION, find

ROOT = Path(__file__).resolve().parents[1]
QUICK = params.load(ROOT / "params/quick/weight_correlation.yaml", Params)
SEEDS = range(5)
LABELS = [labels for labels, _ in weight_correlation.grid(QUICK.replace(seeds=(0,)))]

# What the paper says, as numbers: the accuracy of dense networks, how much initial and trained weights overlap above
# chance at each learning rate or under an intervention, what each kind of mask adds.
DENSE = {0.01: 95.0, 0.03: 96.5, 0.1: 98.0}
EXCESS = {0.01: 0.4, 0.03: 0.2, 0.1: 0.0}
MOVED = {"warm": 0.3, "long": -0.1, "matched": 0.2, "pull": 0.4, "push": 0.05}
MASK = {"none": 0.0, "one_shot": -0.2, "iterative": 0.0, "admm": 0.2}
METHOD = {"pft": 0.3, "rewind": -0.5, "lr_rewind": -0.2, "lt_long": -1.0, "dense": 0.0, "dense_more": 0.2}


def excess(at):
    """R_p − p of a dense network and its start."""
    return MOVED.get(at["recipe"], EXCESS[at["mask_lr"]])


def accuracy(at):
    """A lead that follows the overlap, 0.75 points per 0.1."""
    ticket = DENSE[at["lr"]] + MASK[at["masking"]] + (0.3 if at["lr"] == 0.01 else -1.5)
    lead = 7.5 * excess(at)
    if at["arm"] in METHOD:
        return DENSE[at["lr"]] + MASK[at["masking"]] + METHOD[at["arm"]]
    return ticket - {"lt": 0, "rr": lead, "shuffled": lead + 1, "permuted": lead + 2}[at["arm"]]


def pairs(at):
    """Pairs of a run with their overlaps at p."""
    if at["arm"] == "dense":
        return {"init_final": lambda p: p + excess(at), "fresh_final": lambda p: p, "same": lambda p: 1.0}
    found = {}
    if at["arm"] in ("lt", "pft"):
        found |= {"start_final": lambda p: p + excess(at)}
    if at["arm"] == "pft":
        found |= {"fresh_start_final": lambda p: p, "tuned_init": lambda p: p, "tuned_dense": lambda p: 0.6}
    if at["arm"] == "rr":
        found |= {"masked_dense": lambda p: p / at["density"], "tuned_dense": lambda p: 0.45}
    return found


def made(change=lambda at: 0.0, move=lambda at: 0.0):
    """Table and overlaps of the quick grid after the paper, plus `change` in accuracy and `move` in overlap."""
    draw, rows, measured = np.random.default_rng(0), [], []
    for number, labels in enumerate(LABELS):
        for seed in SEEDS:
            at = {**labels, "seed": seed}
            value, run = accuracy(at) + change(at), f"{at['arm']}-{number:03d}{seed}"
            told = {"accuracy": value + draw.normal(0, 0.02), "validation": value, "train_loss": 0.1}
            rows.append({**at, **told, "outcome": "finished", "run": run})
            for pair, overlap in pairs(at).items():
                for p in QUICK.ps if pair.endswith("_final") and at["arm"] == "dense" else (0.2,):
                    here = {**at, "pair": pair, "p": p, "layer": "all", "sd": 0.002, "runs": (run,)}
                    noise = 0.0 if pair == "same" else draw.normal(0, 0.0005)
                    measured.append({**here, "overlap": overlap(p) + move(here) + noise})
    return pd.DataFrame(rows), pd.DataFrame(measured)[COLUMNS]


def residuals(first=0.5, last=0.1):
    """ADMM's residual at both densities, falling from `first` to `last`."""
    rows = [
        {"network": "lenet_300_100", "lr": 0.1, "density": d, "seed": s, "round": r, "residual": v + 0.01 * s}
        for d in (0.49, 0.2401)
        for s in SEEDS
        for r, v in enumerate((first, (first + last) / 2, last))
    ]
    return pd.DataFrame(rows)


def words(*tables, given=QUICK):
    return {verdict.claim: verdict for verdict in claims.verdicts(given, *tables)}


@pytest.fixture(scope="module")
def told():
    return words(*made())


def test_a_table_made_after_the_paper_supports_every_claim(told):
    assert list(told) == [claim.id for claim in WEIGHT_CORRELATION]
    assert {claim: v.verdict for claim, v in told.items() if v.verdict != "supported"} == {}
    assert all(v.n == 5 and v.runs for v in told.values())


@pytest.mark.parametrize(
    ("claim", "effect"),
    [
        ("E1a", 3.0),  # 7.5 * .4
        ("E1b", 0.3),
        ("E2a", 0.0),
        ("E2b", 1.5),
        ("E3", 3.0),
        ("E4a", 0.4),
        ("E4b", 0.0),
        ("E5a", 200.0),  # .4 / .002
        ("E5b", 0.0),
        ("E6a", 1.8),
        ("E6c", 0.3),
        ("E7", 0.2),
        ("E9", 0.8),
        ("E10", 0.75),
        ("E11", 1.2),
    ],
)
def test_the_effects_are_those_put_in(told, claim, effect):
    verdict = told[claim]
    assert verdict.effect == pytest.approx(effect, abs=0.06 if abs(effect) < 100 else 3)
    assert verdict.low <= verdict.effect <= verdict.high


def test_the_densities_that_were_tested_are_told(told):
    assert "iterative masks at densities 0.49, 0.343, weight" in told["E5a"].setting
    assert "iterative masks at densities 0.49, 0.343, ADMM masks at densities 0.49, 0.24" in told["E6b"].setting
    rounds = QUICK.replace(
        rate=0.15, levels=(7, 10), method_levels=(10,), claim_level=10, global_levels=()
    )  # of the paper scale: .321 and .197
    e = claims.Evidence(rounds, *(t.assign(level=t["level"].replace({2: 7, 4: 10})) for t in made()))
    assert claims._dense_enough(e, "admm") == [7, 10]
    assert claims._dense_enough(e, "iterative") == [7]


def arm(*arms, lr=None, masking=None, more=lambda at: True):
    """Is it one of these arms, at this learning rate and kind of mask?"""
    return lambda at: at["arm"] in arms and lr in (None, at["lr"]) and masking in (None, at["masking"]) and more(at)


def pair(*names, lr=None):
    return lambda at: at["pair"] in names and lr in (None, at["lr"])


@pytest.mark.parametrize(
    ("claim", "which", "by"),
    [
        ("E1a", arm("rr", lr=0.01), 5.0),
        ("E1b", arm("lt", lr=0.01), -2.0),
        ("E2a", arm("rr", lr=0.1), -3.0),
        ("E2a", arm("rr", lr=0.1), 3.0),
        ("E2b", arm("lt", lr=0.1, more=lambda at: at["level"] == 6), 3.0),
        ("E3", arm("dense", lr=0.1), -2.0),  # 1 point better isn't 1.5
        ("E4a", pair("init_final", lr=0.1), 0.5),
        ("E4b", pair("init_final", lr=0.1), 0.02),
        ("E5a", pair("fresh_start_final", lr=0.01), 0.4),
        ("E5b", pair("start_final", lr=0.1), 0.02),
        ("E6a", arm("pft", lr=0.1, masking="one_shot"), -3.0),
        ("E6b", arm("pft", lr=0.1, masking="admm", more=lambda at: at["level"] == 4), -2.0),
        ("E6c", arm("pft", lr=0.01), -1.5),
        ("E7", arm("lt", lr=0.1, masking="iterative"), 1.0),  # better than ADMM's
        ("E7", arm("pft", lr=0.1, masking="one_shot"), 1.0),  # better than iterative ones
        ("E8", pair("tuned_init"), 0.02),  # remembers
        ("E8", pair("tuned_dense"), -0.2),  # forgets
        ("E9", arm("rewind", lr=0.1, masking="admm"), 2.0),
        ("E9", arm("rewind", lr=0.1, masking="admm"), -2.0),
        ("E10", lambda at: at["arm"] == "lt" and at["masking"] == "one_shot", lambda at: -15 * excess(at)),
        ("E11", arm("lt", lr=0.1, more=lambda at: at["level"] == 1), -2.0),
    ],
)
def test_one_fact_against_a_claim_refutes_it(claim, which, by):
    def shift(at):
        return (by(at) if callable(by) else by) if which(at) else 0.0

    is_overlap = claim in ("E4a", "E4b", "E5a", "E5b", "E8")
    tables = made(move=shift) if is_overlap else made(change=shift)
    one = claims.TESTS[claim](evidence.Evidence(QUICK, *tables), find(WEIGHT_CORRELATION, claim))
    assert one.verdict == "refuted"


def test_learning_rates_alone_are_no_cause():
    """Overlap and lead differ between learning rates, but no intervention moves the lead: E10 sees through it."""

    def by_rate(at):
        usual = 7.5 * EXCESS[at["lr"]]
        return 7.5 * excess(at) - usual if at["arm"] == "rr" else 0.0  # the lead is that of the learning rate

    table, overlaps = made(change=by_rate)
    raw = evidence.regression(evidence.at_claim_level(QUICK, evidence.effects(QUICK, table, overlaps)))
    raw = raw.set_index("model").loc["raw"]
    assert raw["low"] > 0.1
    assert words(table, overlaps)["E10"].effect == pytest.approx(0, abs=0.02)
    assert words(table, overlaps)["E10"].verdict != "supported"


def test_margins_are_wider_on_cifar100():
    def worse(at):
        return -1.0 if at["arm"] == "pft" and at["masking"] != "admm" else 0.0

    assert words(*made(change=worse))["E6c"].verdict == "refuted"
    assert words(*made(change=worse), given=QUICK.replace(data="cifar100"))["E6c"].verdict == "supported"


def test_what_a_grid_cannot_test_says_why():
    dense = QUICK.replace(rate=0.05, levels=(2, 3), method_levels=(2, 3), claim_level=3, global_levels=())
    rows = [labels for labels, _ in weight_correlation.grid(dense.replace(seeds=(0,)))]
    table = pd.DataFrame([{**r, "seed": s, "accuracy": 90.0, "run": f"r{s}"} for r in rows for s in SEEDS])
    found = words(table, pd.DataFrame(columns=COLUMNS), given=dense)
    reasons = {claim: v.reason for claim, v in found.items() if v.verdict == "untested"}
    assert reasons["E1b"] == "no iterative mask near density 0.38"
    assert reasons["E2b"] == "no iterative mask at density 0.5"
    assert reasons["E8"] == "no ADMM mask near density 0.5"
    assert reasons["E5a"] == reasons["E5b"] == "no level with fine-tuned networks near the densities 0.7, 0.5, 0.3"
    assert reasons["E4a"] == "no run of this scale tests it"
    table, overlaps = made()
    usual = table[(table["recipe"] == "plain") & (table["lr"] == table["mask_lr"])]
    assert words(usual, overlaps)["E10"].reason == "no intervention moves the overlap at a fixed learning rate"


def test_diverged_runs_are_left_out_and_counted():
    table, overlaps = made()
    table.loc[(table["arm"] == "dense") & (table["seed"] == 0) & (table["lr"] == 0.1), "accuracy"] = np.nan
    overlaps.loc[(overlaps["seed"] == 0) & (overlaps["lr"] == 0.1), "overlap"] = np.nan
    found = words(table, overlaps)
    assert (found["E3"].n, found["E4a"].n) == (4, 4)
    assert "NaN" in found["E3"].reason


# Slopes


def effects(rows):
    names = ["seed", "lr", "decay", "overlap", "advantage"]
    filled = pd.DataFrame(rows, columns=names).assign(network="net", runs=[(f"r{i}",) for i in range(len(rows))])
    return filled.assign(mask_lr=filled["lr"], recipe="plain", masking="one_shot", scope="layer", density=0.2)


def test_a_slope_is_that_of_least_squares_in_each_seed():
    found = evidence.slopes(
        effects([(0, 0.1, 0, 0.2, 1), (0, 0.1, 0, 0.4, 2), (0, 0.1, 0, 0.6, 3), (1, 0.1, 0, 0.2, 5)])
    )
    assert found["seed"].tolist() == [0]  # one point has no slope
    assert found["value"].tolist() == pytest.approx([0.5])  # 1 point per .2 of overlap
    assert found["runs"].tolist() == [("r0", "r1", "r2")]


def test_what_decay_alone_makes_is_gone_once_it_is_held_fixed():
    rows = []
    for seed in range(3):
        for decay, overlap, lead in ((0.0, 0.8, 8.0), (0.01, 0.2, 2.0)):
            rows += [(seed, 0.1, decay, overlap + move, lead + 0.1 * seed) for move in (-0.1, 0.0, 0.1)]
    found = evidence.regression(effects(rows)).set_index("model")
    assert list(found.index) == ["raw", "decay fixed", "lr and decay fixed"]
    assert found.loc["raw", "slope"] == pytest.approx(0.1 * 6 * 0.9 / (6 * 0.09 + 4 * 0.01))  # Σxy / Σx²
    assert found.loc["decay fixed", ["slope", "low", "high"]].tolist() == pytest.approx([0, 0, 0], abs=1e-9)
    assert found["n"].tolist() == [3, 3, 3]
    assert found.loc["raw", "r2"] == pytest.approx((6 * 0.3 * 3) ** 2 / ((6 * 0.09 + 4 * 0.01) * 6 * 9))


def test_a_slope_without_spread_is_no_number():
    found = evidence.regression(effects([(s, 0.1, d, 0.2 + d, 1.0) for s in (0, 1) for d in (0.0, 0.1)]))
    inside = found.set_index("model").loc["decay fixed"]
    assert np.isnan(inside["slope"])
    assert inside["n"] == 0
    assert evidence.regression(effects([])).empty


# Controls


def test_controls_hold_on_a_sound_table_and_fail_on_broken_ones():
    table, overlaps = made()
    told = controls.controls(QUICK, table, overlaps, residuals()).set_index("control")
    assert set(told["holds"]) == {"yes", "reported"}
    assert told.loc["lr 0.1: overlap of a network with itself", "effect"] == 1
    assert told.loc["lr 0.01: ticket - mask rearranged", "effect"] == pytest.approx(4, abs=0.05)
    assert told.loc["density 0.24: ADMM's residual, first - last", "effect"] == pytest.approx(0.4)

    def broken(at):
        return {"same": -0.1, "fresh_final": 0.1, "masked_dense": 0.1}.get(at["pair"], 0.0)

    table, overlaps = made(change=lambda at: 9.0 if at["arm"] in ("shuffled", "permuted") else 0.0, move=broken)
    told = controls.controls(QUICK, table, overlaps, residuals(0.1, 0.5))
    assert set(told["holds"]) == {"no", "reported"}


def test_baselines_that_did_not_train_are_named():
    def short(at):
        return -60.0 if at["arm"] == "rr" and at["lr"] == 0.01 and at["level"] == 7 else 0.0

    table, overlaps = made(change=short)
    poor = controls.untrained(QUICK, table)
    assert set(zip(poor["arm"], poor["lr"], poor["density"].round(3), strict=True)) == {("rr", 0.01, 0.082)}
    assert "(fresh weights reach 32 %)" in evidence.Evidence(QUICK, table, overlaps).lead(0.01, 7)["cell"].iloc[0]
    assert controls.untrained(QUICK, made()[0]).empty


def test_both_papers_on_the_same_runs():
    sides = controls.against_existence(QUICK, *made())
    assert list(sides) == controls.DISPUTES
    layer = sides[sides["where"].str.startswith("layer")].set_index("claim")
    assert layer["holds"].to_dict() == {
        **{"A8": "yes", "E11": "yes", "A7": "no", "E7": "yes", "A1a": "yes", "E2a": "yes"},
        **{"A2": "yes", "E1a": "yes", "A4": "yes"},
    }
    assert set(sides["where"].str.extract(r"^(\w+ masks, density .*)")[0].dropna()) == {
        *("layer masks, density 0.24", "global masks, density 0.168", "global masks, density 0.0282"),
    }
    causes = sides[sides["question"].str.startswith("change")]
    assert set(causes["where"]) == {
        *("lr 0.1, warm", "lr 0.1, pull", "lr 0.1, long", "lr 0.01, push"),
        *("lr 0.1, mask from lr 0.01", "lr 0.01, mask from lr 0.1"),
    }
    assert set(causes.loc[causes["claim"] == "E10", "holds"]) == {"yes"}
    assert set(causes.loc[causes["claim"] == "A1a, A2", "holds"]) == {"no"}
    row = causes[(causes["where"] == "lr 0.1, pull") & (causes["claim"] == "E10")].iloc[0]
    assert (row["overlap"], row["effect"]) == (pytest.approx(0.4, abs=0.005), pytest.approx(3, abs=0.05))


def test_paper_a_holds_where_the_learning_rate_makes_the_lead():
    def by_rate(at):
        return 7.5 * (excess(at) - EXCESS[at["lr"]]) if at["arm"] == "rr" else 0.0

    sides = controls.against_existence(QUICK, *made(change=by_rate))
    causes = sides[sides["question"].str.startswith("change")]
    assert set(causes.loc[causes["claim"] == "A1a, A2", "holds"]) == {"yes"}
    assert "yes" not in set(causes.loc[causes["claim"] == "E10", "holds"])


def test_an_intervention_that_moves_nothing_tests_nothing():
    def still(at):
        return EXCESS[0.1] - MOVED["warm"] if at["recipe"] == "warm" and at["pair"] == "init_final" else 0.0

    sides = controls.against_existence(QUICK, *made(move=still))
    assert not sides["where"].str.contains("warm").any()
