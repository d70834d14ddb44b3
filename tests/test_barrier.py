"""Barriers on the hand cases of mode_connectivity.md section 8, and of a quadratic in closed form."""

import numpy as np
import pandas as pd
import pytest

from ltkit.analyze.barrier import barrier, barriers, chord_excess

FIVE = np.linspace(0, 1, 5)


@pytest.mark.parametrize(
    ("errors", "expected", "excess"),
    [([10, 30, 50, 40, 20], 35, 35), ([20, 17.5, 15, 12.5, 10], 5, 0), ([6.5, 53, 6], 46.75, 46.75)],
)
def test_vectors_of_the_sheet(errors, expected, excess):
    assert barrier(errors) == expected
    assert chord_excess(errors, np.linspace(0, 1, len(errors))) == excess


def test_many_paths_at_once():
    errors = [[10, 30, 50, 40, 20], [20, 17.5, 15, 12.5, 10]]
    assert barrier(errors).tolist() == [35, 5]
    assert chord_excess(errors, FIVE).tolist() == [35, 0]


def test_quadratic_in_closed_form():
    """e0 + Δα + kα(1 − α) peaks at 1/2 + Δ/2k, k/4 + Δ²/4k above the mean of its ends, k/4 above its chord."""
    k, rise, alphas = 8.0, 4.0, np.linspace(0, 1, 9)  # the grid has the peak, 3/4, and the middle
    errors = 3 + rise * alphas + k * alphas * (1 - alphas)
    assert barrier(errors) == pytest.approx(k / 4 + rise**2 / (4 * k))
    assert chord_excess(errors, alphas) == pytest.approx(k / 4)


def test_below_its_ends_a_path_has_no_excess_and_half_their_difference_as_barrier():
    errors = [20, 2, 1, 2, 10]
    assert barrier(errors) == 5
    assert chord_excess(errors, FIVE) == 0


def test_the_chord_knows_uneven_alphas():
    assert chord_excess([0, 0, 8], [0, 0.75, 1]) == 0
    assert chord_excess([0, 6, 8], [0, 0.25, 1]) == 4


@pytest.mark.parametrize("alphas", [[0.1, 0.5, 1], [0, 0.5, 0.9], [0, 1, 0.5], [0, 0, 1], [0, 1]])
def test_alphas_must_rise_from_0_to_1_and_fit(alphas):
    with pytest.raises(ValueError, match="alphas"):
        chord_excess([1, 2, 3], alphas)


def table():
    """Two pairs, two splits, rows in no order; alpha 1 is the end `a`."""
    errors = {
        ("r0-r1", "train"): [6.5, 53, 6],
        ("r0-r1", "test"): [10, 30, 20],
        ("r1-r2", "train"): [5, 5, 5],
        ("r1-r2", "test"): [9, float("nan"), 9],
    }
    rows = [
        (pair, alpha, split, error, error / 10, 100)
        for (pair, split), values in errors.items()
        for alpha, error in zip([0, 0.5, 1], values, strict=True)
    ]
    frame = pd.DataFrame(rows, columns=["pair", "alpha", "split", "error", "loss", "count"])
    return frame.iloc[[2, 0, 1, *range(11, 2, -1)]]


def test_table_of_paths():
    found = barriers(table()).set_index(["pair", "split"])
    assert list(found.columns) == ["barrier", "excess", "end_a", "end_b"]
    assert found.loc[("r0-r1", "train")].tolist() == [46.75, 46.75, 6, 6.5]
    assert found.loc[("r0-r1", "test")].tolist() == [15, 15, 20, 10]
    assert found.loc[("r1-r2", "train")].tolist() == [0, 0, 5, 5]
    assert found.loc[("r1-r2", "test")].isna().tolist() == [True, True, False, False]
    assert len(found) == 4


def test_table_by_loss():
    found = barriers(table(), "loss").set_index(["pair", "split"])
    assert found.loc[("r0-r1", "train"), "barrier"] == pytest.approx(4.675)
