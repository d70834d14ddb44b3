"""The five conditions on hand-made tables: the published numbers, every outcome, every option."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from ltkit.errors import UserError
from ltkit.verdict import EXISTENCE, conditions, find, judge_prize, network_prize, tau_sim
from ltkit.verdict.arms import all_of, opposite
from ltkit.verdict.prize import has, prize

SPREAD = (-0.1, 0.0, 0.1)  # three seeds, whose shared luck cancels in paired differences up to TWIST
TWIST = {"dense": (0.0, 0.0, 0.0), "lt": (0.02, -0.01, -0.01), "rr": (-0.01, 0.02, -0.01), "sdt": (0.0, -0.02, 0.02)}

# One density, η .01 and .1: a jackpot with ample room in every condition.
JACKPOT = {
    "dense": {0.01: 90.0, 0.1: 92.0},
    "lt": {0.01: 90.5, 0.1: 92.2},
    "rr": {0.01: 88.0, 0.1: 89.0},
    "sdt": {0.01: 87.0, 0.1: 88.0},
}


def runs(arms: dict[str, dict[float, float]], density: float = 0.086, seeds: int = 3) -> pd.DataFrame:
    rows = [
        {"arm": arm, "lr": lr, "density": 1.0 if arm == "dense" else density, "seed": seed}
        | {"accuracy": mean + (SPREAD[seed] + TWIST[arm][seed] if seeds > 1 else 0)}
        for arm, found in arms.items()
        for lr, mean in found.items()
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def changed(**arms: dict[float, float]) -> dict[str, dict[float, float]]:
    return {name: {**JACKPOT[name], **arms.get(name, {})} for name in JACKPOT}


def states(table: pd.DataFrame, **options: object) -> str:
    """The five states and the prize of the only density, as "tfu.. prize"."""
    (row,) = conditions(table, **options).to_dict("records")
    return "".join(row[f"c{number}"][0] for number in range(1, 6)) + " " + row["prize"]


def test_published_numbers_hold_no_prize():
    # Ma et al. 2021, ResNet-20 on CIFAR-10 at s = .914: small dense unknown, fresh weights known at .005 only.
    grid = (0.005, 0.01, 0.1)
    arms = {
        "dense": dict(zip(grid, (89.6, 90.3, 92.4), strict=True)),
        "lt": dict(zip(grid, (87.4, 89.4, 87.3), strict=True)),
        "rr": {0.005: 82.9},
    }
    (row,) = conditions(runs(arms, seeds=1), decide="mean").to_dict("records")
    assert [row[f"c{number}"] for number in range(1, 6)] == ["true", "undecided", "undecided", "false", "false"]
    assert row["prize"] == "none"
    assert (row["gap_4"], row["gap_5"]) == pytest.approx((0.9, 3.0))
    assert (row["lr_4"], row["lr_lt"], row["lr_dense"], row["lr_rr"]) == (0.01, 0.01, 0.1, 0.005)
    assert row["reason"] == "no sdt runs; rr lacks lr 0.01, 0.1"


def test_a_gap_of_exactly_tau_is_similar_and_not_clear():
    assert 90.4 - 90.1 > 0.3  # in floats
    arms = {"dense": {0.1: 90.4}, "lt": {0.1: 90.1}, "rr": {0.1: 89.8}, "sdt": {0.1: 89.8}}
    assert states(runs(arms, seeds=1), decide="mean", tau_sim=0.3, tau_gap=0.3) == "tfftt none"
    assert states(runs(arms, seeds=1), decide="mean", tau_sim=0.3, tau_gap=0.29) == "ttttt jackpot"


def test_each_published_gap_of_condition_4():
    for lr, dense, lt, gap in ((0.005, 89.6, 87.4, 2.2), (0.01, 90.3, 89.4, 0.9), (0.1, 92.4, 87.3, 5.1)):
        (row,) = conditions(runs({"dense": {lr: dense}, "lt": {lr: lt}}, seeds=1), decide="mean").to_dict("records")
        assert (row["c4"], row["gap_4"]) == ("false", pytest.approx(gap))


def test_jackpot_with_its_numbers():
    (row,) = conditions(runs(JACKPOT)).to_dict("records")
    assert (row["prize"], row["n"], row["reason"]) == ("jackpot", 3, "")
    assert [row[f"gap_{number}"] for number in (2, 3, 4, 5)] == pytest.approx([4.2, 3.2, -0.5, -0.2])
    assert (row["lr_lt"], row["lr_rr"], row["lr_dense"], row["lr_sdt"], row["lr_4"]) == (0.1, 0.1, 0.1, 0.1, 0.01)
    for number in (2, 3, 4, 5):
        assert row[f"gap_{number}_low"] < row[f"gap_{number}"] < row[f"gap_{number}_high"]
    # dense − LT at .1 is −.2 + (−.02, .01, .01): sd .017321, t(.975, 2) = 4.302653, half width .043027
    assert (row["gap_5_low"], row["gap_5_high"]) == pytest.approx((-0.2 - 0.043027, -0.2 + 0.043027), abs=1e-6)


@pytest.mark.parametrize("decide", ["interval", "mean"])
@pytest.mark.parametrize(
    ("arms", "found"),
    [
        (JACKPOT, "ttttt jackpot"),
        (changed(lt={0.1: 90.0}), "ttttf secondary"),  # matches dense at .01 only
        (changed(sdt={0.1: 92.1}), "tfttt none"),
        (changed(rr={0.01: 92.1}), "ttftt none"),  # whatever η fresh weights use
        (changed(lt={0.01: 89.0, 0.1: 91.0}), "tttff none"),
        (changed(lt={0.01: 80.0, 0.1: 80.0}), "tffff none"),
        (changed(dense={0.1: 93.0}, lt={0.01: 92.2, 0.1: 92.0}), "ttttf secondary"),
    ],
)
def test_every_clear_outcome(arms, found, decide):
    assert states(runs(arms), decide=decide) == found
    assert states(runs(arms), decide=decide, select="test") == found


@pytest.mark.parametrize(
    ("arms", "found", "by_mean"),
    [
        (changed(sdt={0.1: 91.7}), "tuttt undecided", "tfttt none"),  # M_LT − M_SDT = .5, the interval straddles it
        (changed(rr={0.1: 91.7}), "ttutt undecided", "ttftt none"),
        (changed(lt={0.1: 91.5}), "ttttu undecided", "ttttt jackpot"),  # M_dense − M_LT = .5 is similar
        (changed(lt={0.01: 89.5, 0.1: 91.0}), "tttuf undecided", "ttttf secondary"),
    ],
)
def test_at_a_threshold_the_interval_is_undecided_and_the_mean_is_not(arms, found, by_mean):
    assert states(runs(arms)) == found
    assert states(runs(arms), decide="mean") == by_mean


@pytest.mark.parametrize(
    ("gone", "found"),
    [
        ("dense", "tttuu undecided"),
        ("lt", "tuuuu undecided"),
        ("rr", "ttutt undecided"),
        ("sdt", "tuttt undecided"),
    ],
)
def test_a_missing_arm_is_undecided_never_true(gone, found):
    assert states(runs({arm: lrs for arm, lrs in JACKPOT.items() if arm != gone})) == found
    reason = conditions(runs({arm: lrs for arm, lrs in JACKPOT.items() if arm != gone}))["reason"].item()
    assert reason == f"no {gone} runs"


def test_a_missing_arm_does_not_hide_what_fails():
    arms = changed(lt={0.01: 88.6, 0.1: 91.0})
    del arms["sdt"]
    assert states(runs(arms)) == "tutff none"


def test_one_seed_has_a_mean_but_no_interval():
    assert states(runs(JACKPOT, seeds=1)) == "tuuuu undecided"
    assert states(runs(JACKPOT, seeds=1), decide="mean") == "ttttt jackpot"
    assert conditions(runs(JACKPOT, seeds=1))["reason"].item() == "an interval needs 2 seeds"


@pytest.mark.parametrize(
    ("density", "first"), [(0.8**4, "f"), (0.5904, "f"), (0.4096, "f"), (0.4, "f"), (0.399, "t"), (0.8**5, "t")]
)
def test_condition_1_is_strict_and_safe_from_floats(density, first):
    assert states(runs(JACKPOT, density)).startswith(first)


def test_condition_1_options():
    assert 1 - 0.41 > 0.59  # in floats
    assert states(runs(JACKPOT, 0.41), sparsity_min=0.59).startswith("f")
    assert states(runs(JACKPOT, 0.4096), sparsity_min=0.59).startswith("t")
    assert states(runs(JACKPOT), enough_epochs=False) == "ftttt none"


def test_taus():
    arms = changed(lt={0.01: 89.2, 0.1: 91.2})  # .8 below dense at both η, 2.2 above fresh weights
    assert states(runs(arms), tau_sim=0.5) == "tttff none"
    assert states(runs(arms), tau_sim=1.0) == "ttttt jackpot"
    assert states(runs(arms), tau_sim=1.0, tau_gap=2.5) == "ttftt none"


def test_tau_sim_by_data_set():
    assert [tau_sim(data) for data in ("cifar10", "cifar100", "tiny_imagenet", "imagenet")] == [0.5, 1.0, 1.0, 1.5]
    assert [tau_sim(data) for data in ("digits", "mnist", "fashion_mnist", "npz:/my/images.npz")] == [0.5] * 4
    with pytest.raises(UserError, match=r"'cifar_10' .did you mean 'cifar10'"):
        tau_sim("cifar_10")


def test_condition_3_best_against_best_or_at_one_lr():
    # Fresh weights only shine at .1, where the ticket doesn't: LT − RR is 2.5 at .01, −2.5 at .1, .2 between the bests.
    arms = changed(lt={0.01: 90.5, 0.1: 87.8}, rr={0.01: 88.0, 0.1: 90.3})
    assert states(runs(arms))[2] == "f"
    (row,) = conditions(runs(arms), condition_3="same_lr").to_dict("records")
    assert (row["c3"], row["lr_rr"], row["gap_3"]) == ("true", 0.01, pytest.approx(2.5))


def test_linking_conditions_3_and_4():
    # The ticket beats fresh weights at .1 but matches dense at .01, where it does not beat them.
    arms = changed(dense={0.01: 90.0, 0.1: 93.0}, lt={0.01: 90.0, 0.1: 92.0}, rr={0.01: 90.0, 0.1: 90.5})
    assert states(runs(arms)) == "ttttf secondary"
    for condition_3 in ("max", "same_lr"):
        assert states(runs(arms), condition_3=condition_3, link_3_4=True) == "tttff none"
        assert states(runs(arms), condition_3=condition_3, link_3_4=True, decide="mean") == "tttff none"
    # Where one η does both, the link changes nothing.
    assert states(runs(JACKPOT), link_3_4=True) == "ttttt jackpot"


def test_linked_at_an_lr_by_the_reading_of_condition_3():
    # At .01 LT − RR(.01) is 2.5 but LT(.01) − M_RR is .2: only the same-η reading links ④ there.
    arms = changed(dense={0.1: 93.0}, lt={0.01: 90.5, 0.1: 92.0}, rr={0.01: 88.0, 0.1: 90.3})
    (best,) = conditions(runs(arms), link_3_4=True).to_dict("records")
    (same,) = conditions(runs(arms), link_3_4=True, condition_3="same_lr").to_dict("records")
    assert (best["c4"], same["c4"], same["lr_4"]) == ("false", "true", 0.01)


def test_linked_needs_fresh_weights():
    arms = {arm: lrs for arm, lrs in JACKPOT.items() if arm != "rr"}
    assert states(runs(arms), link_3_4=True) == "ttuut undecided"


def test_linked_on_an_incomplete_grid():
    table = runs(JACKPOT)
    # Without rr at .1 its best isn't known, so that no η is known to fulfil ③.
    assert states(table[~((table["arm"] == "rr") & (table["lr"] == 0.1))], link_3_4=True) == "ttuut undecided"
    # ④ fails at each η that was tried, but rr was tried at one more, where the ticket might have done both.
    poor = changed(lt={0.01: 89.0, 0.1: 91.0}, rr={0.01: 88.0, 0.1: 89.0, 0.2: 85.0})
    assert states(runs(poor)) == "tttff none"
    assert states(runs(poor), link_3_4=True)[3] == "u"
    # With both at one η, ③ can't be false while an η lacks fresh weights.
    even = runs(changed(rr={0.01: 90.5}))
    even = even[~((even["arm"] == "rr") & (even["lr"] == 0.1))]
    assert states(even, condition_3="same_lr")[2] == "u"


def test_linked_options_are_as_sure_as_their_weaker_half():
    # ④ is plain at both η; ③ holds at .1 with a one-sided p between .0125 and .025, and not at .01.
    noise = np.array([-0.2, 0.0, 0.2])
    found = {("dense", 0.01): 90.0, ("dense", 0.1): 90.0, ("lt", 0.01): 94.0, ("lt", 0.1): 94.0}
    found |= {("rr", 0.01): 94.0 + noise, ("rr", 0.1): 94.0 - 0.5 - 0.6 + noise}
    table = pd.DataFrame(
        {"arm": arm, "lr": lr, "density": 1.0 if arm == "dense" else 0.1, "seed": seed, "accuracy": accuracy}
        for (arm, lr), values in found.items()
        for seed, accuracy in enumerate(np.broadcast_to(values, 3))
    )
    options = {"condition_3": "same_lr", "link_3_4": True}
    assert conditions(table, **options, select="test")["c4"].item() == "undecided"
    # Validation finds the η that has room for both, though ④ alone has more room at .01.
    table["validation"] = table["accuracy"] + ((table["arm"] == "lt") & (table["lr"] == 0.01))
    table["validation"] += (table["arm"] == "rr") & (table["lr"] == 0.01)
    (row,) = conditions(table, **options).to_dict("records")
    assert (row["c4"], row["lr_4"]) == ("true", 0.1)


def with_validation(table: pd.DataFrame, shift: dict[tuple[str, float], float]) -> pd.DataFrame:
    extra = [shift.get((arm, lr), 0.0) for arm, lr in zip(table["arm"], table["lr"], strict=True)]
    return table.assign(validation=table["accuracy"] + np.array(extra))


def test_the_learning_rate_is_chosen_on_validation():
    table = with_validation(runs(JACKPOT), {("lt", 0.01): 5.0})
    (row,) = conditions(table).to_dict("records")
    assert (row["lr_lt"], row["c5"], row["gap_5"]) == (0.01, "false", pytest.approx(1.5))
    (row,) = conditions(table, select="test").to_dict("records")
    assert (row["lr_lt"], row["c5"], row["gap_5"]) == (0.1, "true", pytest.approx(-0.2))


def test_an_empty_validation_column_is_none():
    assert states(runs(JACKPOT).assign(validation=np.nan)) == "ttttt jackpot"


def test_condition_4_is_read_at_the_lr_that_validation_chose():
    # ④ holds at .01 by the test accuracy; validation prefers .1, where it fails.
    arms = changed(lt={0.01: 90.2, 0.1: 90.0})
    table = with_validation(runs(arms), {("lt", 0.1): 9.0})
    (row,) = conditions(table).to_dict("records")
    assert (row["c4"], row["lr_4"], row["gap_4"]) == ("undecided", 0.1, pytest.approx(2.0))
    assert conditions(table, decide="mean")["c4"].item() == "false"
    assert conditions(table, select="test")["c4"].item() == "true"


def test_choosing_an_lr_on_test_accuracy_costs_holm():
    # One-sided p of condition 4 at .1 lies between .0125 and .025: enough for one η, not for the better one of two.
    noise = np.array([-0.2, 0.0, 0.2])
    gaps = {0.01: 3.0 + noise, 0.1: 0.5 - 0.6 + noise}
    table = pd.DataFrame(
        {"arm": arm, "lr": lr, "density": 1.0 if arm == "dense" else 0.1, "seed": seed}
        | {"accuracy": 90 + (gap if arm == "dense" else 0)}
        for arm in ("dense", "lt")
        for lr, found in gaps.items()
        for seed, gap in enumerate(found)
    )
    assert conditions(table, select="test")["c4"].item() == "undecided"
    assert conditions(table[table["lr"] == 0.1], select="test")["c4"].item() == "true"
    assert conditions(table.assign(validation=table["accuracy"]))["c4"].item() == "true"


def test_an_lr_that_one_arm_lacks_takes_decisions_back():
    table = runs(JACKPOT)
    # rr might have been better there, so ③ can't be true; it can still be false.
    assert states(table[~((table["arm"] == "rr") & (table["lr"] == 0.1))]) == "ttutt undecided"
    low = runs(changed(rr={0.01: 92.1}))
    assert states(low[~((low["arm"] == "rr") & (low["lr"] == 0.1))]) == "ttftt none"
    # A well-trained dense network might be better there, so ⑤ can't be true.
    assert states(table[~((table["arm"] == "dense") & (table["lr"] == 0.1))]) == "ttttu undecided"
    # The ticket might be better there, so ③, ④ and ⑤ can't be false.
    poor = runs(changed(lt={0.01: 89.0, 0.1: 91.0}))
    assert states(poor[~((poor["arm"] == "lt") & (poor["lr"] == 0.1))]) == "ttuuu undecided"
    assert "lt lacks lr 0.1" in conditions(poor[~((poor["arm"] == "lt") & (poor["lr"] == 0.1))])["reason"].item()


def test_diverged_runs():
    table = runs(JACKPOT)
    bad = (table["arm"] == "rr") & (table["lr"] == 0.1)
    all_gone = table.assign(accuracy=table["accuracy"].mask(bad))
    assert states(all_gone) == "ttttt jackpot"  # tried, and useless
    (row,) = conditions(all_gone).to_dict("records")
    assert (row["lr_rr"], row["reason"]) == (0.01, "3 of 3 rr runs diverged at lr 0.1")
    one_gone = table.assign(accuracy=table["accuracy"].mask(bad & (table["seed"] == 1)))
    assert states(one_gone) == "ttutt undecided"  # what it would have reached isn't known
    everything = table.assign(accuracy=table["accuracy"].mask(table["arm"] == "lt"))
    assert states(everything) == "tuuuu undecided"


def test_a_row_a_density_each_with_its_own_arms():
    poor = runs(changed(lt={0.01: 80.0, 0.1: 80.0}), 0.05).query("arm != 'dense'")
    table = pd.concat([runs(JACKPOT, 0.8**11), poor, runs(JACKPOT, 0.64).query("arm != 'dense'")], ignore_index=True)
    found = conditions(table)
    assert found["density"].tolist() == pytest.approx([0.64, 0.8**11, 0.05])
    assert found["prize"].tolist() == ["none", "jackpot", "none"]
    assert network_prize(found) == "jackpot"


def test_densities_that_differ_by_float_noise_are_one():
    table = runs(JACKPOT, 0.3)
    table.loc[table["arm"] == "rr", "density"] = 0.1 + 0.2
    assert states(table) == "ttttt jackpot"


def test_nothing_but_dense_is_an_empty_table():
    found = conditions(runs({"dense": JACKPOT["dense"]}))
    assert found.empty
    assert "prize" in found.columns
    assert network_prize(found) == "undecided"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop(columns="lr"), r"need the columns \['lr'\]"),
        (lambda table: table.replace({"arm": {"rr": "reinit"}}), r"unknown arms \['reinit'\]"),
        (lambda table: table.assign(density=0.1), "dense rows have density 1"),
        (lambda table: table.assign(density=table["density"] * 100), "a fraction kept"),
        (lambda table: pd.concat([table, table.head(1)]), "several rows for one run"),
        (lambda table: table.assign(accuracy=table["accuracy"] / 100), "in percent"),
        (lambda table: table.drop(index=table.index[-1]), r"lt at lr 0.1 against sdt at lr 0.1: unmatched seeds \[2\]"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        conditions(change(runs(JACKPOT)))


@pytest.mark.parametrize("option", [{"decide": "means"}, {"select": "val"}, {"condition_3": "max_lr"}])
def test_a_misspelt_option_is_refused(option):
    with pytest.raises(UserError, match="is one of"):
        conditions(runs(JACKPOT), **option)


@pytest.mark.parametrize("found", list(itertools.product(("true", "false", "undecided"), repeat=5)))
def test_prize_of_all_243_combinations(found):
    # The slow reference: fill every undecided in with both answers and see what all fillings agree on.
    def plain(states: tuple[str, ...]) -> str:
        if "false" in states[:4]:
            return "none"
        return "jackpot" if states[4] == "true" else "secondary"

    fillings = itertools.product(*(("true", "false") if state == "undecided" else (state,) for state in found))
    words = {plain(filling) for filling in fillings}
    assert prize(found) == (words.pop() if len(words) == 1 else "undecided")
    for wanted in ("jackpot", "secondary"):
        assert has(found, wanted) != "true" or prize(found) == wanted


def test_three_valued_logic():
    assert [opposite(state) for state in ("true", "false", "undecided")] == ["false", "true", "undecided"]
    assert all_of(["true", "undecided"]) == "undecided"
    assert all_of(["undecided", "false"]) == "false"
    assert all_of(["true", "true"]) == "true"


@pytest.mark.parametrize(
    ("prizes", "word"),
    [
        (["none", "jackpot", "undecided"], "jackpot"),
        (["none", "secondary", "undecided"], "secondary"),
        (["none", "undecided"], "undecided"),
        (["none", "none"], "none"),
    ],
)
def test_network_prize(prizes, word):
    assert network_prize(pd.DataFrame({"prize": prizes, "c1": "true"})) == word


def test_a_network_that_was_never_pruned_enough_is_undecided():
    assert network_prize(conditions(runs(JACKPOT, 0.8))) == "undecided"


SECONDARY = changed(lt={0.1: 90.0})
NONE = changed(lt={0.01: 89.0, 0.1: 91.0})
OPEN = {arm: lrs for arm, lrs in JACKPOT.items() if arm != "sdt"}


@pytest.mark.parametrize(
    ("arms", "wanted", "word", "condition", "effect"),
    [
        (JACKPOT, "jackpot", "supported", 5, -0.2),
        (SECONDARY, "secondary", "supported", 4, -0.5),
        (JACKPOT, "secondary", "refuted", 5, -0.2),
        (SECONDARY, "jackpot", "refuted", 5, 1.5),
        (NONE, "secondary", "refuted", 4, 1.0),
        (OPEN, "jackpot", "undecided", 2, np.nan),
    ],
)
def test_prize_as_a_verdict(arms, wanted, word, condition, effect):
    found, claim = conditions(runs(arms)), find(EXISTENCE, "A10a")
    verdict = judge_prize(claim, found, wanted=wanted, scale="quick", setting="digits", runs=["a"])
    assert (verdict.verdict, verdict.setting) == (word, f"digits; density 0.086; condition {condition}")
    assert verdict.effect == pytest.approx(effect, nan_ok=True)
    assert (verdict.claim, verdict.runs, verdict.n) == ("A10a", ["a"], 3)
    assert verdict.reason == ("condition 2 is undecided (no sdt runs)" if word == "undecided" else None)
    absent = judge_prize(claim, found, wanted=wanted, absent=True, scale="quick", setting="digits")
    assert absent.verdict == {"supported": "refuted", "refuted": "supported", "undecided": "undecided"}[word]


def test_prize_verdict_looks_for_the_density_that_comes_closest():
    table = pd.concat([runs(changed(lt={0.01: 80.0, 0.1: 80.0}), 0.1), runs(SECONDARY, 0.05).query("arm != 'dense'")])
    verdict = judge_prize(
        find(EXISTENCE, "A16"), conditions(table), wanted="jackpot", absent=True, scale="quick", setting=""
    )
    assert (verdict.verdict, verdict.setting) == ("supported", "density 0.05; condition 5")


def test_absence_over_a_grid_needs_a_sparse_ticket_in_every_cell():
    cells = [conditions(runs(NONE)).assign(cell="a"), conditions(runs(NONE, 0.8)).assign(cell="b")]
    claim = find(EXISTENCE, "A16")
    options = {"wanted": "jackpot", "absent": True, "scale": "quick", "setting": ""}
    assert judge_prize(claim, cells[0], **options).verdict == "supported"
    both = judge_prize(claim, pd.concat(cells), **options)
    assert both.verdict == "undecided"
    assert "b has no non-trivial sparsity" in str(both.reason)
    assert judge_prize(claim, cells[1], **options).verdict == "untested"
    with pytest.raises(ValueError, match="jackpot or secondary"):
        judge_prize(claim, cells[0], **{**options, "wanted": "first"})
