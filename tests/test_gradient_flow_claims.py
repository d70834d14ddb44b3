"""The gradient-flow study's verdicts and controls, on tables with known answers."""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ltkit import params
from ltkit.studies import gradient_flow
from ltkit.studies import gradient_flow_claims as claims
from ltkit.studies import gradient_flow_controls as controls
from ltkit.studies import gradient_flow_measures as measured
from ltkit.studies import gradient_flow_solutions as solutions
from ltkit.studies.gradient_flow import INITS, Params
from ltkit.studies.gradient_flow_evidence import Evidence, Tables
from ltkit.verdict import GRADIENT_FLOW, Verdict

ROOT = Path(__file__).resolve().parents[1]
QUICK = params.load(ROOT / "params/quick/gradient_flow.yaml", Params)
STEPS, EVERY = 400, 8  # of a training, and between its records
IDS = [f"D{number}" for number in range(1, 28)]


@functools.cache
def labelled(traced):
    """The labels of quick's runs with their names."""
    found = gradient_flow.traced(QUICK) if traced else gradient_flow.grid(QUICK)
    return [{**labels, "run": run.name} for labels, run in found]


def accuracy(at, against):
    method, init, layout, normed = at["method"], at["init"], at["distribution"], at["network"].endswith("+bn")
    values = {"dense": 97, "small_dense": 90, "rigl_long": 94 if against == "D25" else 97, "scratch": 90, "set": 93}
    values |= {"lt_reinit": 90, "rigl_lt": 97 if against == "D26" else 95, "lt": 90 if against == "D20" else 95}
    value = values.get(method, 95)
    if method == "scratch" and init == "neuron":
        value = 91 if layout != "pruned" else 88 if against == "D21" else 92
    if method == "scratch" and normed:
        value = 94
    if layout == "erk":
        value = {("D22", "rigl"): 90, ("D23", "set"): 97}.get((against, method), value)
    if layout == "uniform" and method == "rigl":
        value = 98 if against == "D24" else 95
    return value


def norm(at, share, against):
    method, init = at["method"], at["init"]
    if at["network"].endswith("+bn"):
        return 2.0 if (against, method) == ("D8", "rigl") else 1.0
    if method == "scratch" and init != "neuron":
        return 0.9 if against == "D4" else 0.02 if share < 0.1 else 0.5
    if method == "lt":
        left = 0.6 if against == "D6" else 0.03
        return 0.9 if against == "D5" else 0.02 if share < left else 0.4
    return {"rigl": 0.8 if against == "D7" else 2.0, "small_dense": 0.9}.get(method, 1.0)


def rise(method, share, against):
    if method == "rigl":
        return 0.2 + share if against == "D11" else 0.5 - 0.4 * share
    return {("set", "D9"): 0.45, ("rigl_inverted", "D10"): 0.3}.get((method, against), {"set": 0.05}.get(method, 0.001))


def traces(against, draw):
    rows = []
    for at in labelled(True):
        told = {key: at[key] for key in measured.TRACES if key in at}
        moving = at["method"] in gradient_flow.UPDATING
        for step in range(0, STEPS + 1, EVERY):
            share = step / STEPS
            values = {"gradient_norm": norm(at, share, against) * (1 + draw.normal(0, 0.002)), "gain": np.nan}
            rows.append({**told, "step": step, "share": share, "moment": "step", **values})
        for step in range(10, 300, 10) if moving else ():
            share = step / STEPS
            change = {"before": 0.0, "after": rise(at["method"], share, against) + draw.normal(0, 0.002)}
            for moment, add in change.items():
                values = {"gradient_norm": 1 + add, "gain": 0.5 if moment == "before" else np.nan}
                rows.append({**told, "step": step, "share": share, "moment": moment, **values})
    found = pd.DataFrame(rows).assign(loss=1.0, kept=100)
    return found.assign(dense_norm=found["gradient_norm"])[measured.TRACES]


def signals(against, draw):
    rows = []
    for seed in QUICK.seeds:
        for kind in ("uniform", "uneven"):
            for s in QUICK.sparsities:
                for init in INITS:
                    sd = 10 ** (-5 * s) if init.startswith("dense") and against != "D1" else 1.0
                    sd = 0.001 if (init, against) == ("layer", "D2") else sd
                    if init == "neuron" and s > 0.8:
                        sd = 0.5 if against == "D3" else 3.0
                    rows.append((QUICK.claim_network, init, kind, s, seed, sd * (1 + draw.normal(0, 0.01))))
    return pd.DataFrame(rows, columns=measured.SIGNALS)


def spectra(against, draw):
    rows = []
    after = {"set": 12, "rigl": 5 if against == "D12" else 20, "rigl_inverted": 12}
    for method, count in after.items():
        for seed in QUICK.seeds:
            for moment, negative in (("before", 10 + seed), ("after", count + seed + draw.integers(0, 2))):
                values = {"lambda_min": -1.0, "lambda_max": 1.0, "negative": negative, "mass": float(negative)}
                at = {"network": QUICK.claim_network, "method": method, "init": "neuron", "density": 0.05}
                for number in (1, 2):
                    told = {**at, "seed": seed, "step": 10, "moment": moment, "number": number, "value": 0.0}
                    rows.append({**told, **values})
    return pd.DataFrame(rows)[measured.SPECTRA]


def interpolations(against, draw):
    humps = {"lt": 0.5 if against == "D15" else 0.01, "scratch": 0.05 if against == "D16" else 2.0, "prune_other": 1.0}
    falls = {"lt_start": 1.5 if against == "D17" else 3.0, "scratch_start": 2.0}
    rows = []
    for seed in QUICK.seeds:
        for end, size in (*humps.items(), *falls.items()):
            for alpha in QUICK.alphas:
                inside = min(max(alpha, 0.0), 1.0)
                hump = size * 4 * inside * (1 - inside) if end in humps else 2.3 * (1 - inside) ** size
                loss = 0.05 + hump * (1 + draw.normal(0, 0.002))
                rows.append((QUICK.claim_network, end, QUICK.density, seed, alpha, loss, 1.0, "train", ("a", "b")))
    return pd.DataFrame(rows, columns=solutions.INTERPOLATIONS)


def distances(against, draw):
    away = {"lt_end": 13 if against == "D13" else 5, "lt_start": 12, "scratch_start": 16, "scratch_end": 25}
    among = {"lt_end": 30 if against == "D14" else 2, "scratch_end": 20}
    rows = []
    for seed in QUICK.seeds:
        pairs = [("prune_end", f"{name}_{n}" if "end" in name else name, away[name]) for name in away for n in (1, 2)]
        pairs += [(f"{name}_1", f"{name}_2", value) for name, value in among.items()]
        for a, b, value in dict.fromkeys(pairs):
            rows.append((QUICK.claim_network, QUICK.density, seed, a, b, value + draw.normal(0, 0.05)))
    return pd.DataFrame(rows, columns=solutions.DISTANCES)


def agreements(against, draw):
    parent = {"lt": 0.05 if against == "D18" else 0.01, "scratch": 0.03, "lt_reinit": 0.03, "prune_other": 0.02}
    gains = {"lt": 2.0 if against == "D19" else 0.1, "scratch": 1.0, "lt_reinit": 1.0, "prune_other": 0.8}
    rows = []
    for seed in QUICK.seeds:
        for group in (*parent, "same_seed"):
            apart = parent.get(group, 0.0) * (1 + draw.normal(0, 0.01))
            gain = gains.get(group, 0.0) + draw.normal(0, 0.01)
            at = (QUICK.claim_network, group, QUICK.density, seed)
            rows.append((*at, apart, apart, 0.1, 90.0, 90 + gain, gain))
    return pd.DataFrame(rows, columns=solutions.AGREEMENTS)


def table(against, draw):
    rows = [{**at, "accuracy": accuracy(at, against) + draw.normal(0, 0.02)} for at in labelled(False)]
    return pd.DataFrame(rows).assign(validation=np.nan, train_loss=0.1, outcome="finished")


def identities(against, draw):
    rows = [(QUICK.claim_network, seed, 10, 1.0 + 1e-6 * seed, 1.0) for seed in QUICK.seeds]
    return pd.DataFrame(rows, columns=measured.IDENTITIES)


MAKERS = {  # of the tables, with the claims that are read from each
    table: (20, 21, 22, 23, 24, 25, 26),
    traces: range(4, 12),
    signals: (1, 2, 3),
    spectra: (12,),
    interpolations: (15, 16, 17),
    distances: (13, 14),
    agreements: (18, 19),
    identities: (),
}


def verdict(given, tables, name):
    claim = next(claim for claim in GRADIENT_FLOW if claim.id == name)
    return claims.TESTS[name](Evidence(given, tables), claim)


@pytest.fixture(scope="module")
def paper():
    """Tables after the paper."""
    return Tables(**{make.__name__: make(None, np.random.default_rng(0)) for make in MAKERS})


def test_a_world_after_the_paper_supports_it(paper):
    found = claims.verdicts(QUICK, paper)
    assert [v.claim for v in found] == [claim.id for claim in GRADIENT_FLOW] == IDS
    assert {v.claim: (v.verdict, v.reason) for v in found if v.verdict != "supported"}.keys() == {"D27"}
    assert found[-1].verdict == "untested"
    by_id = {v.claim: v for v in found}
    names = set(paper.table["run"])
    for name in set(IDS) - {"D1", "D2", "D3", "D15", "D16", "D17", "D27"}:  # no run, or runs of made-up names
        assert by_id[name].runs, name
        assert set(by_id[name].runs) <= names
    assert by_id["D4"].n == 5
    assert by_id["D6"].effect == pytest.approx((0.1 - 0.04) * 11_719)
    assert "the paper's 100" in by_id["D5"].setting
    assert by_id["D16"].effect == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("name", IDS[:-1])
def test_a_world_against_a_claim_refutes_it(paper, name):
    make = next(make for make, numbers in MAKERS.items() if int(name[1:]) in numbers)
    told = verdict(QUICK, replace(paper, **{make.__name__: make(name, np.random.default_rng(0))}), name)
    assert isinstance(told, Verdict), told
    assert told.verdict == "refuted"


def test_steps_are_read_at_the_same_share_of_training(paper):
    e = Evidence(QUICK, paper)
    assert [e.recorded(step) for step in (1, 100, 400, 800, 1000, 11_719)] == [8, 8, 16, 24, 32, 400]
    assert verdict(QUICK, paper, "D7").setting.partition("; ")[2].startswith("step ")


def test_the_first_updates_are_those_of_the_papers_first_thousand_steps(paper):
    e = Evidence(QUICK, paper)
    shares = np.array([10, 20, 30]) / STEPS  # the update at step 40 is beyond 1000 / 11719
    assert e.early("rigl")["value"].mean() == pytest.approx((0.5 - 0.4 * shares).mean(), abs=0.005)


def test_a_plateau_that_nobody_leaves_tests_nothing(paper):
    low = paper.traces.assign(gradient_norm=0.01)
    told = verdict(QUICK, replace(paper, traces=low), "D6")
    assert told == "neither the ticket nor scratch training ever has G above 0.2"
    stuck = paper.traces.copy()
    stuck.loc[stuck["method"] == "scratch", "gradient_norm"] = 0.01
    told = verdict(QUICK, replace(paper, traces=stuck), "D6")
    assert (told.verdict, told.effect) == ("supported", pytest.approx((1 - 0.04) * 11_719))
    assert "never left: scratch in 5, tickets in 0 of 5 seeds" in told.setting


def test_what_begins_without_a_plateau_is_said_to(paper):
    high = paper.traces.copy()
    high.loc[(high["method"] == "lt") & (high["share"] == 0), "gradient_norm"] = 0.3
    told = verdict(QUICK, replace(paper, traces=high), "D6")
    assert (told.verdict, told.effect) == ("supported", pytest.approx(0.1 * 11_719))
    assert "above it from the first step: scratch in 0, tickets in 5 seeds" in told.setting


def test_the_rise_and_its_prediction_are_of_the_same_updates(paper):
    """D9: both are of the paper's first 1000 steps, so gains of later updates change nothing."""
    told = verdict(QUICK, paper, "D9").setting
    late = paper.traces.assign(gain=paper.traces["gain"].where(paper.traces["share"] < 0.2, 1e6))
    assert verdict(QUICK, replace(paper, traces=late), "D9").setting == told
    assert "RigL's rise +0." in told


def test_draws_without_any_signal_are_counted(paper):
    silent = paper.signals.copy()
    here = (silent["sparsity"] == 0.98) & (silent["init"] == "dense_glorot") & (silent["seed"] == 0)
    silent.loc[here & (silent["mask"] == "uneven"), "sd"] = 0.0
    told = verdict(QUICK, replace(paper, signals=silent), "D1").setting
    assert "no signal at all in 1 of 10 at s = 0.98, taken as 1e-12" in told
    assert "no signal" not in verdict(QUICK, paper, "D1").setting


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        ({"contrasts": ()}, "D8", "BatchNorm"),
        ({"sparsities": (0.0, 0.5)}, "D1", "sparsities 0 and .98"),
        ({"sparsities": (0.0, 0.98)}, "D2", "sparsities from 0.21"),
        ({"sparsities": (0.0, 0.5)}, "D3", "sparsities from 0.84"),
        ({"spectra_updates": ()}, "D12", "no spectrum"),
        ({"spectra_exact": 1}, "D12", "2 eigenvalues are estimated"),
        ({"twins": 1}, "D14", "twins"),
        ({"twins": 1}, "D18", "twins"),
        ({"twins": 1}, "D19", "twins"),
        ({"layouts": ("erk",)}, "D24", "erk and uniform"),
        ({"longer": 0}, "D25", "longer is 0"),
    ],
)
def test_what_a_grid_lacks_is_the_reason(paper, change, name, says):
    given = QUICK.replace(**change)
    grid = {tuple(labels.values()) for labels, _ in gradient_flow.grid(given)}
    keys = gradient_flow.LABELS
    kept = paper.table[[tuple(row) in grid for row in paper.table[keys].itertuples(index=False)]]
    near = paper.distances
    near = near[~(near["a"] + near["b"]).str.contains("_2")] if given.twins == 1 else near
    told = replace(
        paper,
        table=kept,
        distances=near,
        agreements=paper.agreements[paper.agreements["group"] == "same_seed"] if given.twins == 1 else paper.agreements,
        signals=paper.signals[paper.signals["sparsity"].isin(given.sparsities)],
    )
    assert says in verdict(given, told, name)


def test_the_inverted_rise_is_a_share_of_one_that_is_there(paper):
    flat = paper.traces.assign(gradient_norm=1.0)
    assert "RigL's rise isn't clearly above 0" in verdict(QUICK, replace(paper, traces=flat), "D10")


def test_diverged_runs_are_left_out_and_said_to_be(paper):
    lost = paper.table["seed"] == 4
    holes = paper.table.assign(accuracy=paper.table["accuracy"].mask(lost))
    told = verdict(QUICK, replace(paper, table=holes), "D20")
    assert (told.verdict, told.n) == ("supported", 4)
    assert "NaN" in told.reason
    gone = paper.traces.assign(gradient_norm=paper.traces["gradient_norm"].mask(paper.traces["seed"] == 4))
    broken = replace(paper, traces=gone)
    for name in ("D4", "D5", "D6", "D7", "D8", "D9", "D10", "D11"):
        assert verdict(QUICK, broken, name).n == 4, name
    assert len(claims.verdicts(QUICK, broken)) == len(IDS)


def test_untrained_scratch_is_said_to_be(paper):
    low = paper.table.copy()
    low.loc[low["method"] == "scratch", "accuracy"] = 12.0
    poor = replace(paper, table=low)
    assert "scratch training only reaches 12 %" in verdict(QUICK, poor, "D16").setting
    rows = controls.untrained(QUICK, poor)
    assert set(rows["method"]) == {"scratch"}
    assert list(rows)[-2:] == ["accuracy", "dense"]
    assert controls.untrained(QUICK, paper).empty


def test_controls_hold_on_a_sound_bench_and_fail_on_a_broken_one(paper):
    told = controls.controls(QUICK, paper).set_index("control")
    assert list(told.reset_index()) == controls.CONTROLS
    expected = told[told["expected"] != "nothing"]
    assert (expected["holds"] == "yes").all()
    assert (told.loc[told["expected"] == "nothing", "holds"] == "reported").all()
    assert len(expected) == 7
    apart = paper.agreements.copy()
    apart.loc[apart["group"] == "same_seed", "disagreement"] = 0.01
    moved = paper.traces.copy()
    moved.loc[(moved["method"] == "set") & (moved["step"] > 100), "kept"] = 101
    moved.loc[moved["method"] == "dense", "dense_norm"] += 0.1
    broken = replace(paper, agreements=apart, traces=moved, identities=paper.identities.assign(recomputed=1.1))
    told = controls.controls(QUICK, broken).set_index("control")["holds"]
    failed = {name for name, word in told.items() if word == "no"}
    assert failed == {
        "disagreement of a ticket and itself",
        "dense network: G - norm of the dense gradient",
        "set: most - fewest weights kept",
        "growing without dropping: G recomputed / predicted",
    }


def test_published_numbers_stand_beside_those_of_the_same_quantity(paper):
    told = controls.published(QUICK, paper).set_index(["quantity", "of"])
    assert told.loc[("test accuracy (%)", "lt"), ["published", "n"]].tolist() == [98.52, 5]
    assert told.loc[("test accuracy (%)", "lt"), "here"] == pytest.approx(95, abs=0.1)
    assert told.loc[("G at step 100", "rigl"), ["init", "here"]].tolist() == ["neuron", pytest.approx(2, abs=0.02)]
    assert told.loc[("disagreement with the pruned", "lt"), "here"] == pytest.approx(0.01, abs=0.001)
    assert told.loc[("L2 distance to the pruned", "lt_start"), "here"] == pytest.approx(12, abs=0.1)
    given = QUICK.replace(networks=("lenet_5*0.5",), claim_network="lenet_5*0.5")
    assert controls.published(given, paper).empty
