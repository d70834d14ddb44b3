"""Verdicts on hand-made tables: every kind, quantifier and edge."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ltkit.verdict import Claim, decide, estimate, judge, p_above, p_below, untested

GAP = Claim("G", "paper", "A gap.", "difference", margin=0.5, published=4.5)
TIE = Claim("T", "paper", "A tie.", "equivalence", margin=0.5)
ORDER = Claim("O", "paper", "An order.", "ordering")
BOUND = Claim("B", "paper", "A bound.", "bound", unit="loss")
AT = {"scale": "quick", "setting": "LeNet, digits"}

NOISE = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])  # sd .790569; t(.975, 4) = 2.776445: the interval is mean ± .981622
HALF = 0.981622


def one(*values: float, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"seed": range(len(values)), "value": values}).assign(**columns)


def grid(**cells: list[float]) -> pd.DataFrame:
    return pd.concat([one(*values, cell=name) for name, values in cells.items()], ignore_index=True)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.6, 2.0, "supported"),
        (0.4, 2.0, "undecided"),
        (-1.0, 0.4, "refuted"),
        (0.5, 2.0, "undecided"),
        (-2.0, 0.5, "undecided"),
        (np.nan, np.nan, "undecided"),
        (90.4 - 90.1 + 0.2, 2.0, "undecided"),  # .30000000000001 is .3
    ],
)
@pytest.mark.parametrize("kind", ["difference", "ordering", "trend", "existence"])
def test_above_the_margin(low, high, word, kind):
    assert decide(low, high, 0.5, kind) == word
    assert decide(low - 0.5, high - 0.5, None, kind) == word


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (-0.4, 0.4, "supported"),
        (-0.5, 90.4 - 90.1 + 0.2, "supported"),
        (-90.4 + 90.1 - 0.2, 0.5, "supported"),
        (-0.6, 0.4, "undecided"),
        (-0.4, 0.6, "undecided"),
        (-0.6, 0.6, "undecided"),
        (0.6, 2.0, "refuted"),
        (-2.0, -0.6, "refuted"),
        (0.5, 2.0, "undecided"),
        (np.nan, 0.1, "undecided"),
    ],
)
def test_within_the_margin(low, high, word):
    assert decide(low, high, 0.5, "equivalence") == word


def test_a_bound_may_be_met_but_not_passed():
    assert decide(-1, 0.0, None, "bound") == "supported"
    assert decide(-1, 1e-10, None, "bound") == "supported"
    assert decide(-1, 1e-6, None, "bound") == "refuted"
    with pytest.raises(ValueError, match="unknown kind 'bounds'"):
        decide(0, 1, None, "bounds")


def test_a_verdict_carries_all_it_rests_on():
    verdict = judge(GAP, one(*(2 + NOISE), runs=[("a", "b")] * 4 + [["c", "a"]]), **AT)
    assert verdict.verdict == "supported"
    assert (verdict.effect, verdict.low, verdict.high) == pytest.approx((2, 2 - HALF, 2 + HALF), abs=1e-6)
    assert (verdict.claim, verdict.paper, verdict.scale, verdict.setting) == ("G", "paper", "quick", "LeNet, digits")
    assert (verdict.margin, verdict.n, verdict.unit, verdict.published) == (0.5, 5, "accuracy points", 4.5)
    assert verdict.runs == ["a", "b", "c"]
    assert verdict.reason is None


def test_as_json_has_the_form_of_the_report():
    verdict = judge(GAP, one(1.0, 1.0, runs="a"), **AT).as_json()
    assert verdict == {
        **{"claim": "G", "paper": "paper", "scale": "quick", "verdict": "supported", "effect": 1.0, "low": 1.0},
        **{"high": 1.0, "margin": 0.5, "n": 2, "unit": "accuracy points", "setting": "LeNet, digits"},
        **{"published": 4.5, "runs": ["a"], "reason": None},
    }
    empty = json.loads(json.dumps(untested(TIE, "quick", "needs CIFAR").as_json(), allow_nan=False))
    assert (empty["verdict"], empty["reason"], empty["n"]) == ("untested", "needs CIFAR", 0)
    assert empty["effect"] is empty["low"] is empty["high"] is None


@pytest.mark.parametrize(
    ("claim", "middle", "word"),
    [
        (GAP, 0.5 + HALF + 0.01, "supported"),
        (GAP, 0.5 + HALF - 0.01, "undecided"),
        (GAP, 0.5 - HALF + 0.01, "undecided"),
        (GAP, 0.5 - HALF - 0.01, "refuted"),
        (ORDER, HALF + 0.01, "supported"),
        (ORDER, 0.0, "undecided"),
        (ORDER, -HALF - 0.01, "refuted"),
        (TIE, 0.0, "undecided"),  # the interval is wider than the margin
        (TIE, 0.5 + HALF + 0.01, "refuted"),
        (TIE, -0.5 - HALF - 0.01, "refuted"),
    ],
)
@pytest.mark.parametrize("quantifier", ["all", "any", "one"])
def test_one_cell_goes_by_its_interval_whatever_the_quantifier(claim, middle, word, quantifier):
    verdict = judge(claim, one(*(middle + NOISE)), **AT, quantifier=quantifier)
    assert verdict.verdict == word
    assert (verdict.reason is None) == (word != "undecided")


def test_equivalence_is_supported_by_a_narrow_interval():
    assert judge(TIE, one(*(0.1 + NOISE / 10)), **AT).verdict == "supported"
    assert judge(TIE, one(0.5, 0.5, 0.5), **AT, quantifier="any").verdict == "supported"


def test_undecided_says_what_could_be_shown():
    reason = judge(GAP, one(*(0.5 + NOISE)), **AT).reason
    assert reason == "the interval doesn't clear the margin; 5 seeds of this spread can show 1.3 accuracy points"


def test_equal_differences_decide():
    words = [judge(GAP, one(value, value), **AT).verdict for value in (0.4, 0.5, 0.6)]
    assert words == ["refuted", "undecided", "supported"]
    words = [judge(TIE, one(value, value), **AT).verdict for value in (-0.6, -0.5, 0.4, 0.6)]
    assert words == ["refuted", "supported", "supported", "refuted"]


def test_one_seed_decides_nothing():
    verdict = judge(GAP, one(9.0), **AT)
    assert (verdict.verdict, verdict.effect, verdict.n) == ("undecided", 9.0, 1)
    assert np.isnan([verdict.low, verdict.high]).all()
    assert verdict.reason == "1 seed, an interval needs 2"


def test_diverged_runs_are_counted():
    verdict = judge(GAP, one(2.0, 2.1, np.nan, 1.9), **AT)
    assert (verdict.verdict, verdict.n) == ("supported", 3)
    assert verdict.reason == "1 of 4 values are NaN (diverged runs) and left out"
    verdict = judge(GAP, one(np.nan, np.nan, runs="a"), **AT)
    assert (verdict.verdict, verdict.reason) == ("untested", "all 2 values are NaN (diverged runs)")
    assert (verdict.setting, verdict.runs) == ("LeNet, digits", ["a"])
    assert judge(GAP, one(), **AT).verdict == "untested"


def test_an_infinite_value_breaks_a_bound_and_leaves_the_rest_open():
    verdict = judge(BOUND, one(-1.0, np.inf, -2.0), **AT)
    assert (verdict.verdict, verdict.effect, verdict.reason) == ("refuted", np.inf, None)
    assert judge(BOUND, one(-np.inf, -1.0), **AT).verdict == "supported"
    for claim in (GAP, TIE, ORDER):
        verdict = judge(claim, one(2.0, np.inf, 2.1), **AT)
        assert (verdict.verdict, verdict.reason) == ("undecided", "1 of 3 values are infinite")
        assert judge(claim, one(np.inf, np.inf), **AT).verdict == "undecided"
    refuted = judge(GAP, grid(a=[2.0, np.inf], b=[-2.0, -2.1, -2.2]), **AT)
    assert (refuted.verdict, refuted.setting) == ("refuted", "LeNet, digits; b")


@pytest.mark.parametrize(
    ("cells", "quantifier", "word", "decides"),
    [
        ({"a": [2, 2.1, 2.2], "b": [1, 1.1, 1.2]}, "all", "supported", "b"),
        ({"a": [2, 2.1, 2.2], "b": [0, 0.1, 0.2], "c": [-2, -2.1, -2.2]}, "all", "refuted", "c"),
        ({"a": [2, 2.1, 2.2], "b": [-5, 0, 6], "c": [-3, 1, 6]}, "all", "undecided", "b"),
        ({"a": [2, 2.1, 2.2], "b": [1.0]}, "all", "undecided", "b"),
        ({"a": [2, 2.1, 2.2], "b": [np.nan, np.nan]}, "all", "undecided", "b"),
        ({"a": [1.0], "b": [-5, 0, 6]}, "all", "undecided", "b"),
        ({"a": [-2, -2.1, -2.2], "b": [1.0]}, "all", "refuted", "a"),
        ({"a": [1, 1.1, 1.2], "b": [9, 9.1, 9.2], "c": [-2, -2.1, -2.2]}, "any", "supported", "b"),
        ({"a": [-2, -2.1, -2.2], "b": [0, 0.1, 0.2]}, "any", "refuted", "b"),
        ({"a": [-2, -2.1, -2.2], "b": [-5, 0, 6]}, "any", "undecided", "b"),
        ({"a": [-2, -2.1, -2.2], "b": [9.0]}, "any", "undecided", "b"),
    ],
)
def test_a_grid_is_decided_by_one_of_its_cells(cells, quantifier, word, decides):
    verdict = judge(GAP, grid(**cells), **AT, quantifier=quantifier)
    assert (verdict.verdict, verdict.setting) == (word, f"LeNet, digits; {decides}")
    assert verdict.effect == pytest.approx(np.mean(cells[decides]), nan_ok=True)


@pytest.mark.parametrize(("sign", "quantifier", "alone"), [(-1, "all", "refuted"), (1, "any", "supported")])
def test_holm_guards_a_choice_among_cells(sign, quantifier, alone):
    # Alone this cell decides, at a one-sided p between .025 / 2 and .025; as one of two it must not.
    lucky = 0.5 + sign * (1.1 + NOISE)
    assert 0.0125 < (p_above(lucky, 0.5) if sign > 0 else p_below(lucky, 0.5)) < 0.025
    assert judge(GAP, grid(a=list(lucky)), **AT, quantifier=quantifier).verdict == alone
    verdict = judge(GAP, grid(a=list(lucky), b=list(0.5 + NOISE)), **AT, quantifier=quantifier)
    assert verdict.verdict == "undecided"
    assert f"1 {alone} alone, but not after Holm's correction" in str(verdict.reason)


def test_equivalence_is_guarded_on_its_tighter_side():
    # Within ±.5 alone at a one-sided p of about .02 on the upper side; far from the lower one.
    near = list(0.5 - 0.105 + NOISE / 10)
    assert 0.0125 < p_below(near, 0.5) < 0.025
    assert judge(TIE, grid(a=near), **AT, quantifier="any").verdict == "supported"
    assert judge(TIE, grid(a=near, b=list(NOISE)), **AT, quantifier="any").verdict == "undecided"


def test_all_cells_supported_need_no_correction():
    barely = list(1.6 + NOISE)  # one-sided p of .018 in each of 20 cells
    assert judge(GAP, grid(**{f"c{i}": barely for i in range(20)}), **AT).verdict == "supported"
    assert judge(GAP, grid(**{f"c{i}": barely for i in range(20)}), **AT, quantifier="any").verdict == "undecided"


def test_a_grid_of_null_cells_refutes_and_supports_rarely():
    draws = np.random.default_rng(3)
    wrong = {"all": 0, "any": 0}
    for _ in range(300):
        table = grid(**{f"c{i}": list(draws.normal(0.5, 1, size=5)) for i in range(8)})
        for quantifier, word in (("all", "refuted"), ("any", "supported")):
            wrong[quantifier] += judge(GAP, table, **AT, quantifier=quantifier).verdict == word
    # At most 2.5 % (7.5 of 300, sd 2.7); without Holm it would be 18 % (55 of 300).
    assert max(wrong.values()) <= 17


def test_a_bound_fails_by_one_violation():
    assert judge(BOUND, one(-3.0, -0.1, 0.0), **AT).verdict == "supported"
    verdict = judge(BOUND, grid(a=[-3.0, -0.1], b=[-2.0, 0.2]), **AT)
    assert (verdict.verdict, verdict.effect, verdict.low, verdict.high) == ("refuted", 0.2, -2.0, 0.2)
    assert verdict.setting.endswith("; b")
    assert judge(BOUND, one(0.2), **AT).verdict == "refuted"
    assert judge(BOUND, one(-0.2), **AT).verdict == "undecided"


def test_a_bound_forgives_floats():
    assert judge(BOUND, one(-1e6, 1e-4), **AT).verdict == "supported"  # 1e-10 of the values' size
    assert judge(BOUND, one(-1.0, 1e-4), **AT).verdict == "refuted"


def test_a_compound_claim_tests_cells_by_their_own_kind_and_margin():
    table = grid(above=[4.0, 4.1, 4.2], near=[0.1, 0.0, -0.1])
    assert judge(GAP, table, **AT).verdict == "refuted"
    table["kind"] = table["cell"].map({"near": "equivalence"})
    table["margin"] = table["cell"].map({"near": 0.3})
    verdict = judge(GAP, table, **AT)
    assert (verdict.verdict, verdict.margin, verdict.setting) == ("supported", 0.3, "LeNet, digits; near")
    # A cell that names no margin of its own keeps the claim's .5: these differences are above 0 but below it.
    table.loc[table["cell"] == "above", "value"] = [0.3, 0.31, 0.32]
    verdict = judge(GAP, table, **AT)
    assert (verdict.verdict, verdict.margin, verdict.setting) == ("refuted", 0.5, "LeNet, digits; above")


def test_the_margin_shown_is_zero_for_an_ordering():
    assert judge(ORDER, one(1.0, 1.1), **AT).margin == 0


def test_the_interval_is_the_estimates():
    values = 1 + NOISE
    found, verdict = estimate(values), judge(GAP, one(*values), **AT)
    assert (verdict.effect, verdict.low, verdict.high, verdict.n) == (found.mean, found.low, found.high, found.n)


def test_cells_may_be_numbers():
    table = pd.concat([one(2.0, 2.1, cell=0.2), one(3.0, 3.1, cell=0.1)])
    assert judge(GAP, table, **{**AT, "setting": ""}).setting == "0.2"


@pytest.mark.parametrize(
    ("table", "quantifier", "said"),
    [
        (one(1.0).drop(columns="seed"), "all", r"needs the columns \['seed'\]"),
        (pd.concat([one(1.0), one(1.0)]), "all", "several rows for one seed"),
        (grid(a=[1.0], b=[1.0]), "one", "with 2 cells"),
        (one(1.0, 2.0), "most", "unknown quantifier 'most'"),
        (one(1.0, 2.0, kind="bound"), "any", "bound"),
        (one(1.0, 2.0, margin=[0.5, 0.6]), "all", "one kind and one margin"),
        (one(1.0, 2.0, kind="differense"), "all", "unknown kind"),
    ],
)
def test_a_table_that_cannot_be_judged_is_refused(table, quantifier, said):
    with pytest.raises(ValueError, match=said):
        judge(GAP, table, **AT, quantifier=quantifier)
