"""The plane through three solutions: coordinates by hand, distances kept, the very weights at the three points."""

import functools
import math

import numpy as np
import pytest
import torch

from ltkit import models
from ltkit.analyze.path import scores
from ltkit.analyze.plane import plane, surface
from ltkit.seeds import generator
from ltkit.spec import Init, Network

SHAPE, CLASSES, NETWORK = (1, 8, 8), 4, Network(width=0.1)


def point(*values):
    return {"w": torch.tensor(values[:2]), "v": torch.tensor(values[2:3]), "running_mean": torch.tensor(values[3:])}


def solutions():
    return [models.init(NETWORK, SHAPE, CLASSES, Init(seed=seed)) for seed in range(3)]


def apart(one, two):
    return math.sqrt(sum(float(((one[n] - two[n]).double() ** 2).sum()) for n in one))


def test_coordinates_by_hand():
    """b − a = (3, 4, 0) of length 5; c − a = (0, 5, 3): 4 along it, and 3² + 3² left over. Buffers don't count."""
    on = plane(point(1.0, 1, 1, 0), point(4.0, 5, 1, 10), point(1.0, 6, 4, 20), ["w", "v"])
    assert np.allclose(on.points, [[0, 0], [5, 0], [4, math.sqrt(18)]])
    middle = on.at(2.5, 0)
    assert middle["w"].tolist() == [2.5, 3]
    assert middle["running_mean"].tolist() == [5]


def test_the_three_points_are_the_very_weights():
    states = solutions()
    on = plane(*states, states[0])
    for (x, y), expected in zip(on.points, states, strict=True):
        assert all(torch.equal(t, expected[name]) for name, t in on.at(x, y).items())


def test_distances_in_the_plane_are_distances_of_weights():
    states = solutions()
    on = plane(*states, states[0])
    draw = torch.rand(6, 2, generator=generator("points"), dtype=torch.float64) * 10 - 3
    for (x, y), (u, v) in zip(draw[:3].tolist(), draw[3:].tolist(), strict=True):
        assert apart(on.at(x, y), on.at(u, v)) == pytest.approx(math.dist((x, y), (u, v)), rel=1e-4)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert math.dist(on.points[i], on.points[j]) == pytest.approx(apart(states[i], states[j]))


def test_three_states_on_a_line():
    a, b = solutions()[:2]
    between = {name: (a[name] + b[name]) / 2 for name in a}
    for three in ((a, b, between), (a, a, b), (a, b, a)):
        with pytest.raises(ValueError, match="one line"):
            plane(*three, a)


def test_surface_scores_each_state_of_its_grid():
    states, draw = solutions(), generator("images")
    on = plane(*states, states[0])
    x, y = torch.randn(40, *SHAPE, generator=draw), torch.randint(CLASSES, (40,), generator=draw)
    score = functools.partial(scores, NETWORK, SHAPE, CLASSES, x=x, y=y)
    table = surface(on, score, points=4, margin=0.5)
    low, high = on.points.min(0), on.points.max(0)
    assert len(table) == 16
    assert table["x"].min() == pytest.approx(low[0] - 0.5 * (high[0] - low[0]))
    assert table["y"].max() == pytest.approx(high[1] + 0.5 * (high[1] - low[1]))
    for row in table.itertuples():
        (one,) = score([on.at(row.x, row.y)])
        assert row.error == 100 * (one.count - one.correct) / one.count
        assert row.loss == pytest.approx(one.loss, rel=1e-5)


def test_without_a_margin_the_grid_meets_the_solutions():
    states, draw = solutions(), generator("images")
    on = plane(*states, states[0])
    x, y = torch.randn(40, *SHAPE, generator=draw), torch.randint(CLASSES, (40,), generator=draw)
    score = functools.partial(scores, NETWORK, SHAPE, CLASSES, x=x, y=y)
    table = surface(on, score, points=3, margin=0)
    assert table["loss"].iloc[0] == pytest.approx(score(states[:1])[0].loss, rel=1e-5)
