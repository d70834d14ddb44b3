"""ltkit.verdict.stats against scipy, published tables and numbers worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from ltkit.verdict import Estimate, detectable, estimate, holm, p_above, p_below, paired, t_interval, welch
from ltkit.verdict.stats import difference


@pytest.fixture
def draws() -> np.random.Generator:
    return np.random.default_rng(7)


def test_t_interval_by_hand():
    # mean 2, sd 1, t(.975, 2) = 4.302653, and 4.302653 / sqrt(3) = 2.484138
    assert t_interval([1, 2, 3]) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)


def test_t_interval_equals_scipys(draws):
    values = draws.normal(size=6)
    for level in (0.9, 0.95, 0.99):
        reference = stats.ttest_1samp(values, 0).confidence_interval(level)
        assert t_interval(values, level) == pytest.approx((reference.low, reference.high))


def test_t_interval_takes_a_series_with_any_index():
    assert t_interval(pd.Series([1.0, 2.0, 3.0], index=[7, 7, 9])) == t_interval(np.array([1.0, 2.0, 3.0]))


def test_t_interval_covers_at_three_seeds(draws):
    covered = [low <= 0 <= high for low, high in map(t_interval, draws.normal(size=(4000, 3)))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.012)  # a percentile bootstrap covers 75 % here


def test_t_interval_is_an_error_bar_for_seaborn():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    figure, axes = plt.subplots()
    sns.pointplot(data=pd.DataFrame({"x": ["a"] * 3, "y": [1.0, 2.0, 3.0]}), x="x", y="y", errorbar=t_interval, ax=axes)
    heights = np.concatenate([line.get_ydata() for line in axes.lines])
    plt.close(figure)
    assert heights.max() == pytest.approx(4.484138, abs=1e-6)


@pytest.mark.parametrize("values", [[], [91.2]])
def test_too_few_values_have_no_interval(values):
    assert np.isnan(t_interval(values)).all()
    assert estimate(values).n == len(values)
    assert p_above(values) == p_below(values) == 1.0


def test_equal_values_are_a_point():
    # 0.1 + 0.1 + 0.1 is not 0.3 in floats: the mean must not move, the interval must not open.
    assert estimate([0.1, 0.1, 0.1]) == Estimate(0.1, 0.1, 0.1, 3)
    assert (p_above([0.1] * 3, 0), p_above([0.1] * 3, 0.1), p_above([0.1] * 3, 0.2)) == (0, 1, 1)
    assert (p_below([0.1] * 3, 0), p_below([0.1] * 3, 0.1), p_below([0.1] * 3, 0.2)) == (1, 1, 0)


def test_a_nan_is_not_swallowed():
    found = estimate([1.0, np.nan, 3.0])
    assert np.isnan([found.mean, found.low, found.high]).all()
    assert found.n == 3


def test_one_sided_p_values_equal_scipys(draws):
    values = draws.normal(0.4, size=5)
    for margin in (-0.5, 0, 0.5):
        assert p_above(values, margin) == pytest.approx(stats.ttest_1samp(values, margin, alternative="greater").pvalue)
        assert p_below(values, margin) == pytest.approx(stats.ttest_1samp(values, margin, alternative="less").pvalue)


def test_p_value_and_interval_are_one_test(draws):
    for values in draws.normal(1, size=(200, 4)):
        assert (p_above(values, 0.3) < 0.025) == (t_interval(values)[0] > 0.3)


def test_welch_equals_scipys(draws):
    a, b = draws.normal(1, 1, size=5), draws.normal(0, 3, size=8)
    reference = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    found = welch(a, b)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high))
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert found.n == 5


def test_welch_without_spread_or_seeds():
    assert welch([2.0, 2.0], [1.0, 1.0, 1.0]) == Estimate(1.0, 1.0, 1.0, 2)
    assert np.isfinite(welch([2.0, 2.0], [1.0, 1.5]).low)
    assert np.isnan(welch([2.0], [1.0, 1.5]).low)
    assert welch([], [1.0]).n == 0


def test_holm_by_hand():
    # sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, made monotone: .02 .03 .06 .06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.6]).tolist() == [1, 1]
    assert holm([0.02]).tolist() == [0.02]
    assert holm([]).tolist() == []


@pytest.mark.parametrize("p", [[-0.1], [1.2], [np.nan]])
def test_holm_refuses_what_is_no_p_value(p):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm(p)


@pytest.mark.parametrize(("effect", "n"), [(0.8, 15), (0.5, 34), (0.2, 199)])
def test_detectable_meets_cohens_sample_sizes(effect, n):
    # Well-known numbers of pairs for 80 % power at two-sided 5 %: one pair fewer is not enough.
    assert detectable(1, n) <= effect < detectable(1, n - 1)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_detectable_equals_an_integral(n):
    # T = (Z + nc) / S with S² = chi²/df: average the power over S, here by its quantiles.
    spread = np.sqrt(stats.chi2.ppf((np.arange(20000) + 0.5) / 20000, n - 1) / (n - 1))
    critical = stats.t.ppf(0.975, n - 1)

    def missing(effect: float) -> float:
        shift = effect * np.sqrt(n)
        found = stats.norm.sf(critical * spread - shift) + stats.norm.cdf(-critical * spread - shift)
        return float(found.mean()) - 0.8

    assert detectable(2.5, n) == pytest.approx(2.5 * optimize.brentq(missing, 0.01, 40), rel=1e-4)


def test_detectable_at_the_edges():
    assert detectable(0, 5) == 0
    assert np.isnan(detectable(1, 1))
    assert np.isnan(detectable(float("nan"), 5))


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "arm": ["lt"] * 3 + ["rr"] * 3,
            "seed": [0, 1, 2, 2, 1, 0],
            "accuracy": [90.0, 91.0, 93.0, 88.0, 90.0, 89.5],
            "run": ["a", "b", "c", "f", "e", "d"],
        }
    )


def test_paired_joins_by_seed(table):
    found = paired(table, "lt", "rr")
    assert found["seed"].tolist() == [0, 1, 2]
    assert found["value"].tolist() == [0.5, 1.0, 5.0]
    assert found["runs"].tolist() == [("a", "d"), ("b", "e"), ("c", "f")]
    assert paired(table, "rr", "lt")["value"].tolist() == [-5.0, -1.0, -0.5]


def test_paired_joins_on_several_columns(table):
    grid = pd.concat([table.assign(lr=0.1), table.assign(lr=0.2, accuracy=table["accuracy"] + table["seed"])])
    found = paired(grid.drop(columns="run"), "lt", "rr", on=["lr", "seed"])
    assert found.columns.tolist() == ["lr", "seed", "value"]
    assert found["value"].tolist() == [0.5, 1.0, 5.0] * 2


def test_paired_drops_nothing(table):
    with pytest.raises(ValueError, match=r"unmatched seeds \[1\]"):
        paired(table.drop(index=1), "lt", "rr")
    with pytest.raises(ValueError, match=r"unmatched seeds \[0\]"):
        paired(table.drop(index=5), "lt", "rr")
    with pytest.raises(ValueError, match=r"several rows for \[0\]"):
        paired(pd.concat([table, table.head(1)]), "lt", "rr")
    with pytest.raises(ValueError, match="no rows with arm 'sdt'"):
        paired(table, "lt", "sdt")
    table.loc[0, "accuracy"] = np.nan
    assert paired(table, "lt", "rr")["value"].isna().tolist() == [True, False, False]


def test_pairing_beats_welch_where_seeds_share_luck(draws):
    luck, gain = draws.normal(0, 3, size=8), draws.normal(1, 0.1, size=8)
    together = estimate(difference(pd.Series(luck + gain), pd.Series(luck)))
    apart = welch(luck + gain, luck)
    assert together.mean == pytest.approx(apart.mean)
    assert together.high - together.low < 0.1 * (apart.high - apart.low)


def test_verdicts_import_without_torch():
    code = (
        "import sys, ltkit.verdict; sys.exit(', '.join({'torch', 'ltkit.spec', 'matplotlib'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
