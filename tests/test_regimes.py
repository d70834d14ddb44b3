"""The regime map on cells that are clear, and its negative control."""

import numpy as np
import pytest

from ltkit.analyze.regimes import gaussian, orthonormal, orthonormal_control, regime_map, two_layer


@pytest.mark.parametrize("width", [8, 50])
def test_orthonormal_control_is_exact_and_of_no_regime(width):
    """F5, for all four selectors: 1/n − 1/N, which is what random neurons have too."""
    table = orthonormal_control(width)
    assert len(table) == 4
    assert (table["worst"] < 1e-12).all()
    assert table["gain"].tolist() == pytest.approx([1] * 4)
    assert table["regime"].tolist() == ["none"] * 4


def test_the_control_can_fail(monkeypatch):
    monkeypatch.setattr("ltkit.analyze.regimes.orthonormal", lambda width: np.diag(1 + 1e-6 * np.arange(width)))
    assert (orthonormal_control(8)["worst"] > 1e-7).all()


@pytest.mark.parametrize(
    ("width", "rank", "regime"), [(512, 8, "exponential"), (64, 48, "polynomial"), (16, 512, "none")]
)
def test_width_over_rank_decides(width, rank, regime):
    table = regime_map([width], [rank], range(5))
    assert table["regime"].tolist() == [regime] * 5
    assert (table[["semilog", "loglog"]] < 0).all(axis=None)
    if regime == "exponential":
        assert (table["semilog_high"] < -0.5).all()
        assert (table["semilog_r2"] > table["loglog_r2"] + 0.05).all()
    if regime == "polynomial":
        assert (table["loglog_r2"] > table["semilog_r2"]).all()


def test_map_has_a_row_a_cell_and_seed():
    table = regime_map([16, 40], iter([2, 3, 30]), iter([0, 7]), steps=60)
    assert list(zip(table["width"], table["rank"], table["seed"], strict=True)) == [
        (n, r, s) for n in (16, 40) for r in (2, 3, 30) for s in (0, 7)
    ]
    again = regime_map([40], [3], [7], steps=60)
    assert again.iloc[0].equals(table[(table["width"] == 40) & (table["rank"] == 3) & (table["seed"] == 7)].iloc[0])
    fitted = table[table["points"] >= 4]
    assert len(fitted) >= 8
    for law in ("semilog", "loglog"):
        assert (fitted[f"{law}_low"] <= fitted[law]).all()
        assert (fitted[law] <= fitted[f"{law}_high"]).all()
        assert (fitted[f"{law}_r2"] <= 1).all()
        assert (fitted[f"{law}_held_out"] > 0).all()
    assert (table["neurons"] <= table["width"] / 2).all()


def test_map_of_other_layers():
    table = regime_map([200], [5, 40], [0], layer=two_layer)
    assert table["regime"].tolist() == ["exponential", "polynomial"]
    sharp = regime_map([20], [20], [0], layer=lambda n, r, seed: orthonormal(n))
    assert sharp["regime"].tolist() == ["none"]
    assert sharp["gain"].tolist() == pytest.approx([1])


def test_synthetic_layers():
    phi = gaussian(30, 4, 0)
    assert phi.shape == (30, 4)
    assert phi.dtype == np.float64
    assert (phi == gaussian(30, 4, 0)).all()
    assert not np.isclose(phi, gaussian(30, 4, 1)).any()
    out = two_layer(50, 6, 0)
    assert out.shape == (50, 6)
    assert np.linalg.matrix_rank(out) == 6
    assert 0.2 < (out == 0).mean() < 0.8  # ReLU
    assert (np.sign(out).max(axis=1) - np.sign(out).min(axis=1) <= 1).all()  # one outgoing weight, one sign a neuron
