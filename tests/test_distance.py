"""Distances on the hand cases of mode_connectivity.md section 8; all pairs against one pair at a time."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from ltkit.analyze.distance import angle, cosine, euclidean, matrix, mds, null_angle, square
from ltkit.errors import UserError
from ltkit.seeds import generator


def vector(*values):
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [((1, 0), (1, 1), 0.5), ((1, 0), (-1, 0), 2), ((1, 0), (0, 3), 1), ((1, 2, 2), (2, 2, 1), 0.302956)],
)
def test_angles_of_the_sheet(a, b, expected):
    assert angle(vector(*a), vector(*b)) == pytest.approx(expected, abs=1e-6)


def test_shared_weights_only():
    """The sheet's last case: 5 and 9 are not shared, cosine 8/9."""
    one, two = {"w": vector(1, 2, 5, 2)}, {"w": vector(2, 2, 9, 1)}
    masks = {1: {"w": vector(1, 1, 0, 1).bool()}, 2: {}}
    found = matrix({1: one, 2: two}, masks, ["w"], init=two, measure="angle").set_index(["a", "b"])
    assert found.loc[(1, 2), "distance"] == pytest.approx(2 / math.pi * math.acos(8 / 9))
    assert found.loc[(1, 2), "shared"] == 3


def test_the_same_is_0_and_almost_the_same_is_not():
    a = torch.randn(1000, generator=generator("a"), dtype=torch.float64)
    b = torch.randn(1000, generator=generator("b"), dtype=torch.float64)
    assert angle(a, a) == angle(a, 4 * a) == cosine(a, a) == euclidean(a, a) == 0
    aside = b - (b @ a) / (a @ a) * a
    tilted = a + 1e-9 * aside * a.norm() / aside.norm()
    assert angle(a, tilted) == pytest.approx(2 / math.pi * 1e-9, rel=1e-4)


def test_measures_against_plain_formulas():
    a, b = (torch.randn(50, generator=generator("side", s), dtype=torch.float64) for s in "ab")
    similarity = float(torch.nn.functional.cosine_similarity(a, b, dim=0))
    assert angle(a, b) == pytest.approx(2 / math.pi * math.acos(similarity))
    assert cosine(a, b) == pytest.approx(1 - similarity)
    assert euclidean(a, b) == pytest.approx(math.dist(a.tolist(), b.tolist()))


def test_no_direction_no_angle():
    assert math.isnan(angle(vector(0, 0), vector(1, 0)))


@pytest.mark.parametrize(
    ("d1", "d2", "null"), [(0.37, 0.37, 0.5076), (0.4, 0.4, 0.5458), (0.9, 0.9, 0.9844), (0.38, 0.4, 0.5333)]
)
def test_null_angles_of_the_sheet(d1, d2, null):
    assert null_angle(d1, d2) == pytest.approx(null, abs=5e-5)


def test_null_of_an_init_that_did_not_move_is_the_other_distance():
    assert null_angle(0, 0.3) == pytest.approx(0.3)


@pytest.mark.parametrize("measure", ["angle", "cosine", "euclidean"])
def test_displaced_at_right_angles_two_networks_are_their_null_apart(measure):
    """Displacements along axes that neither the init nor the other uses: the distance is exactly the null."""
    init = {"w": vector(3, 0, 0), "b": vector(1.0)}
    states = {1: {"w": vector(3, 2, 0), "b": vector(1.0)}, 2: {"w": vector(3, 0, 5), "b": vector(1.0)}}
    row = matrix(states, {1: {}, 2: {}}, ["w", "b"], init, measure).iloc[-1]
    assert row["distance"] > 0
    assert row["null"] == pytest.approx(row["distance"])


def rounds():
    draw = generator("rounds")
    init = {"w": torch.randn(6, 5, generator=draw), "v": torch.randn(4, generator=draw), "bias": torch.zeros(3)}
    masks = {0: {}, 1: {"w": torch.rand(6, 5, generator=draw) < 0.7}}
    masks[2] = {"w": masks[1]["w"] & (torch.rand(6, 5, generator=draw) < 0.7), "v": vector(1, 0, 1, 1).bool()}
    states = {r: {n: t + torch.randn(t.shape, generator=draw) for n, t in init.items()} for r in masks}
    return states, masks, init


@pytest.mark.parametrize(
    ("measure", "distance"), [("angle", angle), ("cosine", cosine), ("euclidean", euclidean)], ids=lambda v: str(v)[:9]
)
def test_all_pairs_against_one_at_a_time(measure, distance):
    states, masks, init = rounds()
    table = matrix(states, masks, ["w", "v"], init, measure)
    assert list(zip(table["a"], table["b"], strict=True)) == [
        ("init", 0), ("init", 1), ("init", 2), (0, 1), (0, 2), (1, 2),
    ]  # fmt: skip

    def kept(state, *several):
        """Zeros where one of the masks prunes, element by element."""
        values = []
        for name in ("w", "v"):
            for i, value in enumerate(state[name].flatten().tolist()):
                values.append(value if all(bool(m[name].flatten()[i]) for m in several if name in m) else 0.0)
        return torch.tensor(values, dtype=torch.float64)

    for row in table.itertuples():
        both = [masks[key] for key in (row.a, row.b) if key != "init"]
        one, two = (kept(init if key == "init" else states[key], *both) for key in (row.a, row.b))
        assert row.distance == pytest.approx(distance(one, two))
        assert row.shared == int((two != 0).sum())
        if row.a == "init":
            assert math.isnan(row.null)
        else:
            d1, d2 = (distance(kept(init, *both), end) for end in (one, two))
            nulls = {"angle": null_angle(d1, d2), "cosine": d1 + d2 - d1 * d2, "euclidean": (d1**2 + d2**2) ** 0.5}
            assert row.null == pytest.approx(nulls[measure])


def test_square_is_symmetric_in_the_tables_order():
    states, masks, init = rounds()
    table = matrix(states, masks, ["w", "v"], init)
    wide = square(table)
    assert list(wide.index) == list(wide.columns) == ["init", 0, 1, 2]
    assert np.array_equal(wide, wide.T)
    assert (np.diag(wide) == 0).all()
    assert wide.loc[0, 2] == table.query("a == 0 and b == 2")["distance"].item()
    assert square(table, "null").loc["init"].isna().tolist() == [False, True, True, True]


def test_mistakes():
    states, masks, init = rounds()
    with pytest.raises(UserError, match="did you mean 'euclidean'"):
        matrix(states, masks, ["w"], init, "euclidian")
    with pytest.raises(ValueError, match="'init'"):
        matrix({"init": init}, {"init": {}}, ["w"], init)


def apart(points):
    difference = np.asarray(points)[:, None] - np.asarray(points)[None]
    return pd.DataFrame(np.sqrt((difference**2).sum(-1)), index=list("abcd"), columns=list("abcd"))


def test_mds_finds_points_of_a_plane_again():
    distances = apart([(0, 0), (3, 0), (3, 4), (-2, 7)])
    points = mds(distances)
    assert list(points.index) == list("abcd")
    assert list(points.columns) == ["x1", "x2"]
    assert np.allclose(apart(points), distances)
    assert points["x1"].var() > points["x2"].var()
    assert points.equals(mds(distances))
    assert all(points[x].loc[points[x].abs().idxmax()] > 0 for x in points)


def test_mds_in_one_dimension_by_hand():
    """Four points of a line, mean 3: −3, −2, 0, 5."""
    points = mds(apart([(0,), (1,), (3,), (8,)]), 1)
    assert points["x1"].tolist() == pytest.approx([-3, -2, 0, 5])


def test_mds_wants_all_distances():
    holed, lopsided = apart([(0,), (1,), (3,), (8,)]), apart([(0,), (1,), (3,), (8,)])
    holed.iloc[0, 1] = holed.iloc[1, 0] = float("nan")
    lopsided.iloc[0, 1] = 2
    for wrong in (holed, lopsided):
        with pytest.raises(ValueError, match="symmetric"):
            mds(wrong)
