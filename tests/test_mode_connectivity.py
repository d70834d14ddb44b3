"""The mode-connectivity study: settings, grid, verdicts on tables with known answers, paths through a store."""

import functools
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ltkit import models, params
from ltkit.errors import UserError
from ltkit.spec import Dense, Init, Repel
from ltkit.studies import mode_connectivity as study
from ltkit.studies import mode_connectivity_claims as claims
from ltkit.studies import mode_connectivity_controls as controls
from ltkit.studies import mode_connectivity_paths as measured
from ltkit.studies.mode_connectivity_evidence import Evidence
from ltkit.studies.mode_connectivity_params import Params, Setting, network, recipe, setting
from ltkit.studies.tables import pick
from ltkit.train.evaluate import evaluate
from ltkit.verdict import MODE_CONNECTIVITY, find

ROOT = Path(__file__).resolve().parents[1]
SMOKE = params.load(ROOT / "params/smoke/mode_connectivity.yaml", Params)
QUICK = params.load(ROOT / "params/quick/mode_connectivity.yaml", Params).replace(  # with the paper's other network
    networks=("lenet_300_100", "conv4*0.25+bn"), claim_network="conv4*0.25+bn", settings=("64/0.03", "32/0.1"), rounds=4
)
CONV, LENET = QUICK.claim_network, "lenet_300_100"
STABLE, UNSTABLE, BETWEEN = QUICK.stable, QUICK.unstable, "32/0.05"
WIDE = QUICK.replace(  # all that a claim may ask for: sparse rounds, settings between stable and unstable
    settings=(STABLE, UNSTABLE, BETWEEN, *(f"{s}/warm" for s in (STABLE, BETWEEN)), f"{BETWEEN}/wd0"),
    rounds=8,
    seeds=(0, 1, 2),
)


# Parameters and settings


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"claim_network": "conv2*0.6+bn"}, "claim_network 'conv2\\*0.6\\+bn' is not among networks \\(did you mean"),
        ({"networks": ["conv3"], "claim_network": "conv3"}, "unknown architecture 'conv3' \\(did you mean 'conv"),
        ({"networks": ["conv2+gn"], "claim_network": "conv2+gn"}, "'\\+gn' is no ending, '\\+bn' is"),
        ({"contrast_settings": []}, "contrast_settings: .* need the settings of the ones beside conv2"),
        ({"contrast_settings": ["1/1", "2/1", "3/1"]}, "contrast_settings"),
        ({"stable": "64/0.03"}, "stable '64/0.03' is not among settings \\(did you mean '64/0.0"),
        ({"unstable": "64/0.02"}, "stable and unstable are one setting, 64/0.02"),
        ({"settings": ["64/0.02", "16/0.1", "64/.02"]}, "settings: '64/0.02' and '64/.02' are one and the same"),
        ({"settings": ["64/0.02", "16/0.1", "64/0.02/wd0"], "weight_decay": 0}, "'64/0.02/wd0' are one and the same"),
        ({"settings": ["64/0.02", "16/0.1", "16/0.1/warm"], "warmup": 0}, "'16/0.1/warm' needs a warmup above 0"),
        ({"settings": ["64/0.02", "16/0.1", "16/0.1/warm"], "warmup": 9}, "warmup \\(9.0 epochs\\) is longer"),
        ({"levels": [1, 3]}, "levels go up to the 2 rounds, not to 3"),
        ({"rewind_epochs": [1]}, "rewind_epochs must begin at epoch 0"),
        ({"rewind_epochs": [0, 2]}, "rewind_epochs: 2 leaves nothing of 16/0.1's 2"),
        ({"attract": 1.0}, "attract: input should be less than or equal to 0"),
        ({"points": 2}, "points"),
        ({"twins": 1}, "twins"),
        ({"measure": "angles"}, "measure"),
        ({"batch_norm": "none"}, "batch_norm"),
    ],
)
def test_parameters_that_make_no_sense_are_one_line(change, says):
    with pytest.raises(UserError, match=says) as caught:
        Params(**{**SMOKE.model_dump(), **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("128/0.01", Setting(128, 0.01)),
        ("32/1e-1/warm", Setting(32, 0.1, warm=True)),
        ("60/0.0012/adam/wd0", Setting(60, 0.0012, adam=True, decay=0.0)),
        ("2048/0.1/steps/warm", Setting(2048, 0.1, warm=True, steps=True)),
        ("16/0.01/wd0.01", Setting(16, 0.01, decay=0.01)),
    ],
)
def test_settings_are_read(text, expected):
    assert setting(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("128", "batch/lr\\[/word...\\] is wanted, like 128/0.01"),
        ("0.01/128", "is wanted"),
        ("128/fast", "is wanted"),
        ("128/0.01/", "no word ''"),
        ("0/0.1", "a batch from 1 on"),
        ("128/0", "a learning rate above 0"),
        ("128/nan", "a learning rate above 0"),
        ("128/0.1/warmup", "no word 'warmup' \\(did you mean 'warm'\\?\\); known: warm, adam, steps, wd0"),
        ("128/0.1/lr", "no word 'lr'"),
        ("128/0.1/warm/warm", "'warm' comes on top of another"),
        ("128/0.1/wd0/wd1", "'wd1' comes on top of another"),
        ("128/0.1/wd", "'wd' is no weight decay"),
        ("128/0.1/wd2", "'wd2' is no weight decay"),
    ],
)
def test_settings_that_are_none_are_one_line(text, says):
    with pytest.raises(UserError, match=says) as caught:
        setting(text)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=says):
        SMOKE.replace(settings=(*SMOKE.settings, text))


def test_recipes_of_settings():
    given = QUICK.replace(epochs=8, warmup=2, settings=(STABLE, UNSTABLE, "128/0.2/steps/warm", "16/0.1/adam/wd0.01"))
    first, warm, adam = (recipe(given, CONV, text) for text in (STABLE, "128/0.2/steps/warm", "16/0.1/adam/wd0.01"))
    assert (first.epochs, first.batch_size, first.lr, first.warmup, first.weight_decay) == (8, 64, 0.03, 0, 0.0001)
    assert (warm.epochs, warm.warmup) == (16, 2)  # twice the batch, half as many steps an epoch
    assert (adam.optimizer, adam.weight_decay, adam.epochs) == ("adam", 0.01, 8)
    assert recipe(given, LENET, "64/0.1").epochs == 8
    assert [network(name).norm for name in ("conv4*0.25+bn", "conv4", "resnet20-plain")] == ["batch", "none", "batch"]


# The grid


def placed(given):
    rows = [{**labels, "run": run} for labels, run in study.grid(given)]
    return pd.DataFrame(rows)


def test_labels_tell_runs_apart_and_pair_them():
    table = placed(WIDE)
    keys = ["network", "setting", "arm", "level", "seed", "twin", "rewind"]
    assert not table.duplicated(keys).any()
    runs = table.set_index(keys)["run"]
    assert {run.order % study.ORDERS for run in runs} <= set(WIDE.seeds)
    for (name, text, arm, level, seed, twin, rewind), run in runs.items():
        first = runs[name, text, arm, level, seed, 0, rewind if arm == "dense_full" else 0]
        assert run.order == first.order + twin * study.ORDERS
        if twin:  # another data order and nothing else, from the epoch on that they part
            begun = run.start if not rewind or arm == "dense_full" else None
            assert run.mask == first.mask
            assert run.recipe == first.recipe
            assert run.task == first.task
            assert begun in (None, first.start)
        if rewind and arm == "dense":
            assert (run.start.run, run.start.epoch, run.start.resume) == (first, rewind, rewind)
        if arm == "dense_full":
            assert (run.start.epoch, run.start.resume, run.recipe.epochs) == (rewind, 0, WIDE.epochs)
        if arm == "reinit":
            other = runs[name, text, "imp" if level else "dense", level, seed, 0, 0]
            assert run.mask == other.mask
            assert run.start == Init(seed=seed, draw=1, scheme=other.start.scheme)
    assert runs[CONV, STABLE, "reinit", 0, 0, 0, 0].mask == Dense()


def test_rounds_nest_and_are_pushed_from_all_earlier_ones():
    table = placed(QUICK)
    for name, text in ((LENET, "64/0.1"), (CONV, STABLE), (CONV, UNSTABLE)):
        own = table[
            (table["network"] == name) & (table["setting"] == text) & (table["twin"] == 0) & (table["seed"] == 3)
        ]
        runs = own[own["rewind"] == 0].set_index(["arm", "level"])["run"]
        whole = runs["dense", 0]
        for arm in set(own["arm"]) & {"imp", "repelled", "repelled_last", "attracted"}:
            chain = [whole, *(runs[arm, level] for level in range(1, 5))]
            for level in range(1, 5):
                run = chain[level]
                assert run.mask.run == chain[level - 1]
                assert run.start == whole.start
                expected = chain[level - 1 : level] if arm == "repelled_last" else chain[:level]
                strength = QUICK.attract if arm == "attracted" else QUICK.repel
                assert run.extra == (None if arm == "imp" else Repel(runs=tuple(expected), strength=strength))
        imp = [whole, *(runs["imp", level] for level in range(1, 5))]
        for level in QUICK.levels:
            tuned = runs["finetuned", level]
            assert (tuned.start.run, tuned.start.epoch, tuned.mask) == (imp[level - 1], None, imp[level].mask)
            assert tuned.recipe.lr == pytest.approx(whole.recipe.lr / 100)
            assert tuned.recipe.epochs == 2
            for arm in set(own["arm"]) & {"repelled_reinit", "attracted_reinit"}:
                assert runs[arm, level].replace(extra=None) == runs["reinit", level]
                assert runs[arm, level].extra.runs == tuple(imp[:level])


def test_arms_stand_where_a_claim_reads_them():
    arms = placed(WIDE).groupby(["network", "setting"])["arm"].agg(set)
    every = {"dense", "imp", "reinit"}
    assert arms[CONV, BETWEEN] == arms[CONV, f"{STABLE}/warm"] == every
    assert arms[CONV, STABLE] == every | {"random", "finetuned", "repelled", "repelled_reinit"}
    assert arms[CONV, UNSTABLE] == every | {"finetuned", "attracted", "attracted_reinit", "dense_full"}
    assert arms[LENET, "64/0.1"] == arms[CONV, STABLE] | {"repelled_last"}
    without = placed(WIDE.replace(repel=0, attract=0))
    assert not without["arm"].str.contains("repelled|attracted").any()
    assert set(without["run"]) < set(placed(WIDE)["run"])  # what is not pushed is the same run in every study


# Tables with a known truth: the paper's, on the wide grid


def role(name, text):
    return "unstable" if text == UNSTABLE else "stable" if text in (STABLE, "64/0.1") else "between"


ACCURACY = {"stable": {"dense": 91, "imp": 92.5, "reinit": 87.5, "repelled": 87.5, "repelled_reinit": 87.5}}
ACCURACY["unstable"] = {"dense": 95, "dense_full": 95, "imp": 90, "reinit": 90, "attracted": 93.3}
ACCURACY["unstable"]["attracted_reinit"] = 88.2
ACCURACY["between"] = {"dense": 92, "imp": 91, "reinit": 88.6}
BARRIER = {"twins_imp": 75, "rounds_reinit": 45, "same_seed": 0, "unrelated": 80, "permuted": 78}
BARRIER |= {"dense_ticket": 3, "finetuned_ticket": 2, "twins_full": 1}


def accuracy(at):
    value = ACCURACY[role(at["network"], at["setting"])].get(at["arm"], 86)
    if at["setting"].endswith("warm") and at["arm"] == "imp":
        value += 2.1 if BETWEEN in at["setting"] else 1.5 + 0.2
    if at["setting"].endswith("wd0"):
        value += {"dense": -0.6, "imp": 0.8}.get(at["arm"], 0)
    return value


def barrier(at):
    kind, stable = at["kind"], role(at["network"], at["setting"]) == "stable"
    if kind == "rounds":
        sparse = at["density"] < 0.0145
        return 0.3 if at["network"] == LENET else 40 if at["level"] == 0 else 20 if sparse else 0.5
    if kind == "twins_dense":
        return 0.5 if stable else 1 if at["rewind"] else 80
    return 0.3 if kind == "twins_imp" and stable else BARRIER[kind]


def distance(at):
    arm, step = at["arm"], at["b"] - at["a"]
    if arm == "repelled_last":
        return 0.95 if step == 1 else 0.35
    if arm in ("repelled", "attracted"):
        return 0.92 if arm == "repelled" else 0.3
    if role(at["network"], at["setting"]) == "unstable":
        return 0.94 if arm == "reinit" else 0.93
    return 0.7 if arm == "reinit" else {0: 0.44, 7: 0.35}.get(at["a"], 0.15)


def weight(at):
    holed = at["arm"] == "imp" and role(at["network"], at["setting"]) == "stable"
    return {"dip": 0.1 if holed else 1.1, "threshold": 0.083 if holed else 0.03}


@functools.cache
def skeleton(given):
    """Labels of all runs and of all paths of a study: the slow part of making its tables."""
    places = measured.by_place(given).items()
    ends = [
        ({"network": n, "setting": s, **e.labels}, (e.a.name, e.b.name))
        for n_s, r in places
        for n, s in [n_s]
        for e in measured.joined(given, r)
    ]
    chains = [(n, s, {key[0] for key in runs}) for (n, s), runs in places]
    return [(labels, run.name) for labels, run in study.grid(given)], ends, chains


def made(given=WIDE, spread=0.004, **change):
    """Tables of the grid, each value from the function above it or from `change`, where that isn't None."""
    draw = np.random.default_rng(0)

    def value(name, rule, at):
        other = change[name](at) if name in change else None
        return (rule(at) if other is None else other) + draw.normal(0, spread)

    rows, paths, apart, modes = [], [], [], []
    grid, every, chains = skeleton(given)
    for at, run in grid:
        got = value("accuracy", accuracy, at)
        rows.append({**at, "accuracy": got, "validation": got, "outcome": "finished", "run": run})
        if at["arm"] in ("imp", "reinit") and not at["twin"]:
            other = change["weight"](at) if "weight" in change else None
            seen = {key: number + draw.normal(0, 1e-4) for key, number in (other or weight(at)).items()}
            modes.append({**at, **seen, "run": run})
    for labels, runs in every:
        for split in ("train", "test"):
            at = {**labels, "batch_norm": "recompute", "endpoint_mask": "own", "split": split}
            exact = at["kind"] == "same_seed" and "barrier" not in change
            got = 0 if exact else abs(value("barrier", barrier, at))
            near = change["apart"](at) if "apart" in change else 0.35
            paths.append({**at, "barrier": got, "excess": got / 2, "apart": near, "runs": runs})
    for name, text, arms in chains:
        for arm in sorted(arms & {"imp", "reinit", "repelled", "repelled_last", "attracted"}):
            for seed, (a, b) in product(given.seeds, combinations(range(given.rounds + 1), 2)):
                at = {"network": name, "setting": text, "arm": arm, "seed": seed, "a": a, "b": b}
                apart.append({**at, "distance": value("distance", distance, at), "null": 0.55, "runs": ("x", "y")})
    return given, *(pd.DataFrame(part) for part in (rows, paths, apart, modes))


@pytest.fixture(scope="module")
def paper():
    return made()


def test_tables_made_after_the_paper_support_it(paper):
    told = {verdict.claim: verdict for verdict in claims.verdicts(*paper)}
    assert list(told) == [claim.id for claim in MODE_CONNECTIVITY]
    assert {claim: v.reason for claim, v in told.items() if v.verdict != "supported"} == {
        "C24": "ImageNet is not among the kit's data sets"
    }
    for claim, effect in {"C1": 0, "C2": 5, "C9": 3.3, "C10": 1.8, "C11": 0.6, "C13": -0.01}.items():
        assert told[claim].effect == pytest.approx(effect, abs=0.05)
    for claim, one in told.items():
        if one.verdict == "supported" and claim not in ("C6", "L2"):  # whose cells are counted
            assert "digits" in one.setting, claim
            assert CONV in one.setting or LENET in one.setting, claim
            assert any(text in one.setting for text in (*WIDE.settings, *WIDE.contrast_settings)), claim
            assert "density" in one.setting or claim in ("C11", "C22", "C14"), claim
            assert one.runs


def where(**only):
    """A change to the rows with these values: `where(arm="imp", to=90)`."""
    to = only.pop("to")

    def change(at):
        given = {**at, "role": role(at["network"], at["setting"])}
        return to if all(given[key] == value for key, value in only.items()) else None

    return change


@pytest.mark.parametrize(
    ("claim", "change"),
    [
        ("C1", {"accuracy": where(arm="reinit", setting=UNSTABLE, to=85)}),
        ("C2", {"accuracy": where(arm="reinit", setting=STABLE, to=91)}),
        ("C3", {"accuracy": where(arm="imp", setting=f"{STABLE}/warm", to=97)}),
        ("C4", {"accuracy": where(arm="dense", setting=UNSTABLE, to=92)}),
        ("C5", {"barrier": where(kind="twins_imp", setting=UNSTABLE, to=20)}),
        ("C6", {"accuracy": where(arm="reinit", setting=UNSTABLE, to=80)}),
        ("C7", {"accuracy": where(arm="repelled", role="stable", to=92.5)}),
        ("C8", {"accuracy": where(arm="repelled_reinit", role="stable", to=80)}),
        ("C9", {"accuracy": where(arm="attracted", to=90)}),
        ("C10", {"accuracy": where(arm="attracted_reinit", to=93)}),
        ("C11", {"distance": where(arm="repelled_last", to=0.9)}),
        ("C12", {"distance": where(arm="imp", role="stable", to=0.5)}),
        ("C13", {"distance": where(arm="imp", role="unstable", to=0.6)}),
        ("C14", {"distance": where(arm="imp", role="stable", to=0.3)}),
        ("C15", {"barrier": where(kind="rounds", level=2, to=9)}),
        ("C16", {"barrier": where(kind="rounds", level=0, to=1)}),
        ("C17", {"barrier": where(kind="rounds", level=7, to=1)}),
        ("C18", {"barrier": where(kind="rounds", network=LENET, level=8 - 1, to=9)}),
        ("C19", {"barrier": where(kind="rounds_reinit", network=LENET, to=2)}),
        ("C20", {"weight": where(arm="reinit", to={"dip": 0.2, "threshold": 0.03})}),
        ("C21", {"weight": where(arm="reinit", to={"dip": 1.1, "threshold": 0.08})}),
        ("C22", {"accuracy": where(arm="dense", setting=f"{BETWEEN}/wd0", to=94)}),
        ("C23", {"accuracy": where(arm="imp", setting=UNSTABLE, to=96)}),
        ("L1", {"barrier": where(kind="twins_dense", rewind=1, to=30)}),
        ("L2", {"accuracy": where(arm="imp", setting=STABLE, to=89)}),
        ("L3", {"barrier": where(kind="twins_full", to=30)}),
        ("L4", {"apart": where(to=0.1)}),
    ],
)
def test_tables_made_against_the_paper_refute_it(claim, change):
    told = claims.TESTS[claim](Evidence(*made(**change)), find(MODE_CONNECTIVITY, claim))
    assert told.verdict == "refuted", told


def test_claims_about_stable_training_need_stable_training():
    for text, of, says in (
        (
            UNSTABLE,
            {"C1", "C9", "C10", "C13", "C23"},
            rf"training isn't unstable: conv4\*0.25\+bn, {UNSTABLE}, density 0.125",
        ),
        (
            STABLE,
            {"C2", "C8", "C12", "C14", "C15", "C16", "C17", "C20", "C21", "C23"},
            "training isn't stable: .* of 7.0",
        ),
    ):
        other = {UNSTABLE: 0.5, STABLE: 7.0}[text]
        tables = made(barrier=where(kind="twins_imp", setting=text, to=other))
        told = {v.claim: v for v in claims.verdicts(*tables)}
        assert {claim for claim, v in told.items() if v.verdict == "untested"} == of | {"C24"}
        assert all(pd.Series([told[claim].reason]).str.contains(says).all() for claim in of)
        assert told["C5"].verdict == "refuted"  # that one is about stability itself


def test_what_a_scale_cannot_show_says_why(paper):
    def told(claim, tables):
        return claims.TESTS[claim](Evidence(*tables), find(MODE_CONNECTIVITY, claim))

    given, table, barriers, distances, weights = paper
    rest = (barriers, distances, weights)
    assert "validation split" in told("C4", (given, table.assign(validation=float("nan")), *rest))
    assert "cosine" in told("C12", (given.replace(measure="cosine"), table, *rest))
    weak = made(distance=where(arm="repelled", to=0.35))
    for claim, name in (("C7", "lenet_300_100, 64/0.1"), ("C8", f"{CONV}, {STABLE}")):
        assert told(claim, weak).startswith(f"λ 35 is too weak: {name}, density 0.25, 0.3")
    narrow = made(QUICK)
    assert "a setting between stable and unstable" in told("C3", narrow)
    assert "a setting between stable and unstable" in told("C22", narrow)
    assert "the paper's last pair is at density .0115, this scale's at 0.125" in told("C14", narrow)
    assert "no round of this scale is as sparse" in told("C17", narrow)
    alone = made(QUICK.replace(networks=(CONV,), contrast_settings=()))
    assert "needs a LeNet" in told("C11", alone)
    assert told("C18", alone) == "no LeNet in this scale's grid"
    lenet = made(QUICK.replace(networks=(LENET,), claim_network=LENET, contrast_settings=()))
    assert all("LeNet-300-100 is" in told(claim, lenet) for claim in ("C5", "C16", "C17"))
    assert told("C23", lenet) == "no Conv-4 in this scale's grid"
    still = made(barrier=where(kind="twins_dense", rewind=0, setting=UNSTABLE, to=0.5))
    assert "stable from the start" in told("L1", still)
    late = given.replace(rewind_epochs=(0, 5)), table, barriers.assign(rewind=5 * barriers["rewind"]), *rest[1:]
    assert told("L1", late) == "needs rewind_epochs of 3% to 20% of the training"
    settled = made(barrier=where(kind="twins_imp", setting=BETWEEN, to=0.5))
    for claim in ("C3", "C22"):
        assert told(claim, settled).endswith(f": tickets at {BETWEEN} are stable as it is")


def test_repelled_rounds_must_be_far_from_every_earlier_one():
    """C7, C8: at density .125 one that is near the dense network is pushed by a λ that is too weak for it."""
    tables = made(distance=where(arm="repelled", network=CONV, a=0, b=3, to=0.6))
    for claim in ("C7", "C8"):
        told = claims.TESTS[claim](Evidence(*tables), find(MODE_CONNECTIVITY, claim))
        assert told.verdict == "supported"
        assert f"too weak: {CONV}, {STABLE}, density 0.125, 0.60" in told.setting
    rows = controls.controls(*tables[:4]).set_index("control")["holds"]
    assert rows[f"{CONV}, {STABLE}, density 0.125: repelled from dense"] == "no"
    assert rows[f"{CONV}, {STABLE}, density 0.125: repelled from round 1"] == "yes"


@pytest.mark.parametrize("spread", [0.2, 0.5, 1.0])
def test_two_yes_or_no_answers_are_those_of_a_cell_not_of_a_seed(spread):
    """L2 where it is true: stable tickets are as good as dense ones, others worse. Few of 40 tables may refute it."""
    given, table, *rest = made(QUICK)
    lost = 10.0 * ((table["setting"] == UNSTABLE) & (table["arm"] == "imp"))
    draw, words = np.random.default_rng(0), []
    for _ in range(40):
        noisy = table.assign(accuracy=90 - lost + draw.normal(0, spread / 2**0.5, len(table)))
        words.append(claims.TESTS["L2"](Evidence(given, noisy, *rest), find(MODE_CONNECTIVITY, "L2")).verdict)
    assert words.count("refuted") <= 2  # 2.5 % of 40 are one


def test_a_cell_of_open_stability_keeps_the_answers_open():
    """C6, L2: instability of 1 to 3 points by seed is neither."""
    tables = made(
        barrier=lambda at: 1.0 + at["seed"] if (at["kind"], at["setting"]) == ("twins_imp", UNSTABLE) else None
    )
    for claim in ("C6", "L2"):
        told = claims.TESTS[claim](Evidence(*tables), find(MODE_CONNECTIVITY, claim))
        assert (told.verdict, told.margin) == ("undecided", 2.0)
        assert told.setting.endswith(": open, the instability")


def test_diverged_runs_are_left_out_and_counted(paper):
    given, table, barriers, distances, weights = paper
    table = table.copy()
    lost = (table["arm"] == "imp") & (table["seed"] == 1) & (table["setting"] == STABLE)
    table.loc[lost, ["accuracy", "validation"]] = float("nan")
    told = {v.claim: v for v in claims.verdicts(given, table, barriers, distances, weights)}
    assert (told["C2"].verdict, told["C2"].n) == ("supported", 2)
    assert "1 of 3 values are NaN" in told["C2"].reason


def test_controls_say_whether_the_bench_works(paper):
    given, table, barriers, distances, _ = paper
    told = controls.controls(given, table, barriers, distances)
    assert set(told["holds"]) == {"yes"}
    assert list(told.columns) == ["control", "expected", "effect", "low", "high", "n", "holds"]
    rules = {
        "a network and itself": "0",
        "of two seeds": "above 10",
        "permuted": "above 10",
        "tickets are stable": "below 2",
        "tickets are unstable": "above 2",
        "repelled from dense": "above 0.8",
        "repelled from round 2": "above 0.8",
        "from one start": "above 10",
    }
    for words, expected in rules.items():
        found = told[told["control"].str.contains(words)]
        assert len(found)
        assert set(found["expected"]) == {expected}
    broken = controls.controls(*made(barrier=lambda at: 5.0, distance=lambda at: 0.2)[:4])
    assert set(broken["holds"]) == {"no", "yes"}
    assert all("unstable" in name for name in broken.loc[broken["holds"] == "yes", "control"])  # 5 is above 2


def test_papers_c_and_d_are_told_on_the_same_tickets():
    keys = {"network": "n", "setting": "s", "seed": 0, "rewind": 0, "pair": "p", "split": "test", "batch_norm": "none"}
    rows = [
        {**keys, "kind": kind, "level": level, "density": 0.5**level, "endpoint_mask": mask, "barrier": height}
        for kind, level, mask, height in [
            *[("rounds", 0, "own", 10), ("rounds", 1, "own", 1), ("rounds", 1, "intersection", 2)],
            *[("dense_ticket", 1, "own", 5), ("dense_ticket", 2, "own", 6), ("finetuned_ticket", 2, "own", 7)],
        ]
    ]
    table = pd.DataFrame(rows)
    table = pd.concat([table, table.assign(seed=1, barrier=table["barrier"] + 2)], ignore_index=True)
    found = controls.disagreement(table.assign(excess=table["barrier"] / 2)).set_index(["level", "endpoint_mask"])
    own, shared = found.loc[(2, "own")], found.loc[(2, "intersection")]
    assert found.loc[(1, "own"), ["density", "dense_ticket", "rounds", "n"]].tolist() == [0.5, 6, 11, 2]
    assert own[["density", "dense_ticket", "finetuned_ticket", "rounds", "rounds_excess"]].tolist() == [
        0.25,
        7,
        8,
        2,
        1,
    ]
    assert shared[["dense_ticket", "finetuned_ticket", "rounds"]].tolist() == [7, 8, 3]
    assert np.isnan(found.loc[(1, "own"), "finetuned_ticket"])


# From runs to tables


@pytest.fixture(scope="module")
def stored(tiny, tmp_path_factory):
    from ltkit.lab import Lab

    given = QUICK.replace(
        data=tiny.data,
        networks=(f"{LENET}*0.03", "conv2*0.03+bn"),
        claim_network="conv2*0.03+bn",
        settings=("32/0.1", "32/100"),  # at 100 everything diverges
        stable="32/0.1",
        unstable="32/100",
        contrast_settings=("32/0.1",),
        epochs=2,
        rounds=2,
        levels=(1, 2),
        points=3,
        calibration=40,
        crop=0,
        seeds=(0, 1),
    )
    lab = Lab(tmp_path_factory.mktemp("store"), device="cpu", progress=False, compile="never")
    table = study.collect(given, lab)
    return given, lab, table, measured.paths(given, lab)


def test_paths_join_the_runs_of_the_table(stored):
    _, _, table, paths = stored
    assert list(paths.columns) == measured.PATH_COLUMNS
    assert not paths.duplicated([*measured.KEYS, "alpha", "split"]).any()
    assert set(paths["alpha"]) == {0, 0.5, 1}
    assert set(paths["split"]) == {"train", "test"}
    good = paths[paths["setting"] == "32/0.1"]
    assert good["error"].notna().all()
    accuracy = table.set_index("run")["accuracy"]
    exact = good[(good["batch_norm"] == "none") & (good["split"] == "test") & (good["endpoint_mask"] == "own")]
    for place, at in ((0, 1.0), (1, 0.0)):
        ends = exact[(exact["alpha"] == at) & (exact["kind"] != "dense_ticket")]
        assert ends["error"].to_numpy() == pytest.approx(
            100 - accuracy[[runs[place] for runs in ends["runs"]]].to_numpy()
        )
    kinds = {"twins_dense", "twins_imp", "rounds", "rounds_reinit", "dense_ticket", "finetuned_ticket"}
    assert set(good["kind"]) == kinds | {"same_seed", "permuted", "unrelated"}
    assert set(paths["kind"]) == set(good["kind"]) | {"twins_full"}
    assert set(good.loc[good["kind"] == "rounds", "endpoint_mask"]) == {"own", "intersection"}
    assert set(good.loc[good["kind"] != "rounds", "endpoint_mask"]) == {"own"}


def test_barriers_of_paths(stored):
    given, lab, table, paths = stored
    found = measured.barriers(paths)
    assert len(found) * given.points == len(paths)
    broken = set(table.loc[table["outcome"] != "finished", "run"])
    lost = found["runs"].map(lambda runs: bool(broken & set(runs)))
    assert set(found.loc[lost, "setting"]) == {"32/100"}
    assert found.loc[lost, "barrier"].isna().all()
    assert found.loc[~lost, "barrier"].notna().all()
    good = found[~lost]
    assert (good.loc[good["kind"] == "same_seed", ["barrier", "excess"]] == 0).all(axis=None)
    twin = good[good["kind"] == "permuted"]
    assert twin["end_a"].to_numpy() == pytest.approx(twin["end_b"].to_numpy(), abs=3)  # one image of 40 at most
    assert good["apart"].notna().tolist() == good["kind"].str.startswith("twins").tolist()
    row = good[(good["kind"] == "twins_imp") & (good["level"] == 2)].iloc[0]
    runs = {run.name: run for _, run in study.grid(given)}
    a, b = (lab.weights(runs[name]) for name in row["runs"])
    start = lab.weights(runs[row["runs"][0]], 0)
    length = [
        float(sum(((x[n] - y[n]) ** 2).sum() for n in a if n.endswith("weight") and "bn" not in n and a[n].dim() > 1))
        ** 0.5
        for x, y in ((a, b), (a, start), (b, start))
    ]
    assert row["apart"] == pytest.approx(2 * length[0] / (length[1] + length[2]), rel=1e-5)


def test_paths_do_not_depend_on_how_many_are_computed_at_a_time(stored):
    from ltkit.lab import Lab

    given, lab, _, paths = stored
    two = Lab(lab.store.path, device="cpu", workers=2, progress=False, compile="never")
    again = measured.paths.__wrapped__(given, two)  # not what is kept
    pd.testing.assert_frame_equal(paths, again, rtol=1e-5)


def test_the_dense_end_of_a_dense_ticket_wears_the_tickets_mask(stored):
    given, lab, _, paths = stored
    name, seed = given.networks[0], 1
    runs = measured.by_place(given)[name, "32/0.1"]
    at = {"network": name, "kind": "dense_ticket", "level": 2, "seed": seed, "split": "test", "alpha": 0.0}
    row = pick(paths, **at).iloc[0]
    whole, mask = lab.weights(runs["dense", 0, seed, 0, 0]), lab.mask(runs["imp", 2, seed, 0, 0])
    _, splits = measured._images(runs["dense", 0, seed, 0, 0].task, None, given.calibration)
    x, y = splits["test"]
    for number in (1, 2, 3):
        layer = f"fc{number}"
        x = x.flatten(1) @ (whole[f"{layer}.weight"] * mask[f"{layer}.weight"]).T + whole[f"{layer}.bias"]
        x = x.relu() if number < 3 else x
    assert row["error"] == pytest.approx(100 * float((x.argmax(1) != y).float().mean()))


def test_batchnorm_interpolated_is_the_average_of_all_that_the_twins_hold(stored):
    given, lab, _, paths = stored
    found = measured.bn_switched(given, lab)
    name = given.networks[1]
    assert set(found["network"]) == {name}
    assert set(found["batch_norm"]) == {"interpolate"}
    twins = paths[paths["kind"].isin(("twins_dense", "twins_imp")) & (paths["network"] == name)]
    keys = ["setting", "kind", "level", "rewind", "seed", "pair", "alpha", "split"]
    assert set(map(tuple, found[keys].to_numpy())) == set(map(tuple, twins[keys].to_numpy()))
    row = pick(found, setting="32/0.1", kind="twins_imp", level=2, seed=0, split="test", alpha=0.5).iloc[0]
    runs = {run.name: run for _, run in study.grid(given)}
    a, b = (lab.weights(runs[one]) for one in row["runs"])
    run = runs[row["runs"][0]]
    dataset, splits = measured._images(run.task, None, given.calibration)
    net = models.build(run.network, dataset.shape, dataset.classes, 1)
    net.load_state_dict({key: ((a[key] + b[key]) / 2).unsqueeze(0) for key in a})
    assert row["error"] == pytest.approx(100 - evaluate(net, *splits["test"], 1)[0].accuracy)
    without = given.replace(networks=given.networks[:1], claim_network=given.networks[0], settings=("32/0.1", "32/100"))
    assert measured.bn_switched(without, lab).empty
    switched = measured.bn_switched(given.replace(batch_norm="interpolate"), lab)  # what `paths` has without that
    both = pd.merge(twins, switched, on=[*measured.KEYS, "alpha", "split"])
    assert len(both) == len(twins) == len(switched)
    assert both["error_x"].to_numpy() == pytest.approx(both["error_y"].to_numpy(), nan_ok=True)


def test_the_training_images_of_a_path_are_balanced_and_mixed(stored):
    given, *_ = stored
    task = study.dense(given, given.networks[0], "32/0.1", 0).task
    _, splits = measured._images(task, None, 40)
    y = splits["train"][1]
    assert torch.bincount(y).tolist() == [10, 10, 10, 10]
    assert y.tolist() != sorted(y.tolist())
    _, everything = measured._images(task, None, 10_000)
    assert len(everything["train"][1]) == 144


def test_distances_and_weights_of_the_rounds(stored):
    given, lab, table, _ = stored
    found = measured.distances(given, lab)
    assert list(found.columns) == [
        *("network", "setting", "arm", "seed", "a", "b", "shared", "distance", "null", "runs")
    ]
    arms = found.groupby(["network", "setting"])["arm"].agg(set)
    assert arms[given.networks[0], "32/0.1"] == {"imp", "reinit", "repelled", "repelled_last"}
    assert arms[given.networks[1], "32/100"] == {"imp", "reinit", "attracted"}
    assert found.groupby(["network", "setting", "arm", "seed"]).size().eq(6).all()  # of init and three rounds
    lost = set(table.loc[table["outcome"] != "finished", "run"])
    assert found["distance"].isna().tolist() == [bool(lost & set(runs)) for runs in found["runs"]]
    assert 0 < found["distance"].isna().mean() < 0.5
    kept = pick(found, network=given.networks[0], arm="imp", a=1, b=2)["shared"]
    assert set(kept) == {154}  # of 64*9 + 9*3 + 3*4 = 615, twice: 615 - 307 = 308, 308 - 154 = 154

    weights = measured.weights(given, lab)
    assert not weights.duplicated(["network", "setting", "arm", "seed", "level"]).any()
    assert set(weights["level"]) == {0, 1, 2}
    assert set(weights["arm"]) == {"imp", "reinit"}
    runs = measured.by_place(given)[given.networks[0], "32/0.1"]
    before, after = lab.mask(runs["imp", 1, 0, 0, 0]), lab.mask(runs["imp", 2, 0, 0, 0])
    state = lab.weights(runs["imp", 1, 0, 0, 0])
    cut = max(float(state[n].abs()[before[n] & ~after[n]].max()) for n in before if (before[n] & ~after[n]).any())
    row = pick(weights, network=given.networks[0], setting="32/0.1", arm="imp", seed=0, level=1).iloc[0]
    assert row["threshold"] == pytest.approx(cut)


def test_histograms_are_of_the_weights_that_each_run_kept(stored):
    given, lab, _, _ = stored
    found = measured.histograms(given, lab)
    at = {"network": given.networks[0], "setting": "32/0.1"}
    rows = pick(found, **at, arm="imp", seed=0, level=1)
    runs = measured.by_place(given)[given.networks[0], "32/0.1"]
    run = runs["imp", 1, 0, 0, 0]
    state, mask = lab.weights(run), lab.mask(run)
    kept = torch.cat([state[name][keep] for name, keep in mask.items()])
    inside = (kept >= rows["left"].iloc[0]) & (kept <= rows["right"].iloc[-1])
    width = rows["right"] - rows["left"]
    assert float((rows["share"] * width).sum()) == pytest.approx(float(inside.double().mean()))
    first = rows.iloc[20]  # the bin around 0
    within = (kept >= first["left"]) & (kept < first["right"])
    assert first["share"] * (first["right"] - first["left"]) == pytest.approx(float(within.double().mean()), abs=1e-6)
    grids = pick(found, **at).groupby(["arm", "seed", "level"])[["left", "right"]].agg(list)
    assert grids["left"].map(tuple).nunique() == 1  # so that rows can be compared and averaged
    sound = measured.weights(given, lab).dropna(subset="dip")
    assert len(found) == measured.BINS * len(sound)


def test_real_tables_have_verdicts_and_controls(stored):
    given, lab, table, paths = stored
    barriers, distances, weights = (
        measured.barriers(paths),
        measured.distances(given, lab),
        measured.weights(given, lab),
    )
    told = claims.verdicts(given, table, barriers, distances, weights)
    assert [v.claim for v in told] == [claim.id for claim in MODE_CONNECTIVITY]
    assert {v.verdict for v in told} <= {"supported", "refuted", "undecided", "untested"}
    itself = controls.controls(given, table, barriers, distances).set_index("control")["holds"]
    assert itself[f"{given.networks[0]}, 32/0.1: a network and itself"] == "yes"
    assert len(controls.disagreement(barriers)) == 3 * 2 * 2 * 2  # settings, splits, tickets, treatments
