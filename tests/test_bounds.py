"""The proved bounds of greedy_bounds.md hold at every step, over seeds and shapes, and fail where they must."""

from itertools import combinations

import numpy as np
import pytest

from ltkit.analyze import bounds
from ltkit.analyze.regimes import gaussian, orthonormal, two_layer
from ltkit.prune import greedy
from ltkit.prune.greedy import Selection
from ltkit.seeds import generator

TRIANGLE = np.array([[0.0, 0], [1, 0], [0, 1]])
SQUARE = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
DEEP = 1e-20  # of V: below, rounding has its say in the ratio of two D
CASES = [
    *((gaussian, n, r) for n, r in ((5, 1), (9, 2), (40, 3), (300, 4), (100, 5), (12, 6), (7, 20), (30, 60))),
    *((two_layer, n, r) for n, r in ((40, 2), (500, 3), (200, 5), (60, 20), (15, 30))),
]


@pytest.mark.parametrize(("layer", "neurons", "rank"), CASES)
@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_line_search_never_violates_b1_b2_b4(layer, neurons, rank, negative, seed):
    phi = layer(neurons, rank, seed)
    given, path = bounds.geometry(phi), greedy.direct(phi, 60, negative=negative, tol=0.0)
    errors, deep = greedy.explicit_errors(phi, path), DEEP * given.spread
    assert bounds.excess(errors, bounds.b2(given, len(errors)), deep) <= 1e-9
    assert bounds.excess(errors, bounds.b4(errors), deep) <= 1e-12
    if np.isnan(given.radius):
        assert given.dimension > 8
        return
    assert bounds.excess(errors[1:], given.shrink * errors[:-1], deep) <= 1e-9
    assert bounds.excess(errors, bounds.b1(given, errors[0], len(errors)), deep) <= 1e-9


@pytest.mark.parametrize(("layer", "neurons", "rank"), CASES)
@pytest.mark.parametrize("seed", range(3))
def test_one_over_k_never_violates_b2_b3(layer, neurons, rank, seed):
    phi = layer(neurons, rank, seed)
    given, path = bounds.geometry(phi), greedy.one_over_k(greedy.from_contributions(phi), 200)
    errors, deep = greedy.explicit_errors(phi, path), DEEP * given.spread
    assert bounds.excess(errors, bounds.b2(given, 200), deep) <= 1e-9
    assert np.isnan(given.radius) or bounds.excess(errors, bounds.b3(given, 200), deep) <= 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_the_gram_form_keeps_the_bounds_too(seed):
    phi = gaussian(80, 4, seed)
    given, path = bounds.geometry(phi), greedy.local_imitation(greedy.from_contributions(phi), 60)
    errors = greedy.explicit_errors(phi, path)
    assert bounds.excess(errors[1:], given.shrink * errors[:-1]) <= 1e-9
    assert bounds.excess(errors, bounds.b2(given, len(errors))) <= 1e-9


def test_bounds_fail_where_nothing_is_proved():
    """What the tests above look for does occur: without full candidates, off the hull, without line search."""
    given = bounds.geometry(SQUARE)
    rising = greedy.one_over_k(greedy.from_contributions(SQUARE), 6).errors
    assert bounds.excess(rising, bounds.b4(rising)) == np.inf  # from 0 up again: the 1/k step is not monotone
    phi = gaussian(40, 3, 0)
    outside = greedy.direct(phi, 60, target=[1.5, -1.5, 1.5]).errors
    given = bounds.geometry(phi)
    assert bounds.excess(outside, bounds.b2(given, len(outside))) > 1
    assert bounds.excess(outside[1:], given.shrink * outside[:-1]) > 1e-9
    last = greedy.norm(greedy.from_contributions(phi), 40).errors
    assert bounds.excess(last, bounds.b2(given, 40)) > 0.1
    assert bounds.excess(last, bounds.b3(given, 40) / 1000) > 1


def test_geometry_of_the_triangle():
    given = bounds.geometry(TRIANGLE)
    assert (given.neurons, given.dimension) == (3, 2)
    assert given.spread == pytest.approx(4 / 9)
    assert given.diameter**2 == pytest.approx(2)
    assert given.radius**2 == pytest.approx(1 / 18)
    assert given.shrink == pytest.approx(35 / 36)
    assert given.target == pytest.approx(2 / 9)
    assert bounds.b6(given) == 3


def test_geometry_of_other_shapes():
    square = bounds.geometry(SQUARE)
    assert (square.radius, square.diameter, square.spread) == pytest.approx((0.5**0.5, 2, 1))
    line = bounds.geometry([[0, 0], [3, 3], [1, 1], [4, 4]])  # t = (2, 2)
    assert line.dimension == 1
    assert (line.radius, line.diameter) == pytest.approx((8**0.5, 32**0.5))
    point = bounds.geometry([[0.1, 0.3]] * 5)
    assert (point.dimension, point.diameter, point.radius) == (0, pytest.approx(0, abs=1e-15), 0)
    assert np.isnan(bounds.geometry(gaussian(100, 9, 0)).radius)


@pytest.mark.parametrize("width", [2, 3, 8, 50])
def test_geometry_of_orthonormal_contributions(width):
    given = bounds.geometry(orthonormal(width))
    assert given.dimension == width - 1
    assert given.radius / given.diameter == pytest.approx(1 / (2 * width * (width - 1)) ** 0.5, rel=1e-9)
    assert given.spread == pytest.approx(1 - 1 / width)


@pytest.mark.parametrize("seed", range(3))
def test_radius_of_a_simplex_and_of_its_hull_agree(seed):
    """A point doubled makes it no simplex by count, so the hull's facets are asked."""
    phi = gaussian(5, 4, seed)
    weighted = bounds.geometry(np.concatenate([phi, phi]))
    assert weighted.radius == pytest.approx(bounds.geometry(phi).radius, rel=1e-9)


def test_radius_by_directions():
    """From inside, the hull's width along any direction is at least r, and about r along the worst of many."""
    phi = gaussian(30, 3, 0)
    given, psi = bounds.geometry(phi), phi - phi.mean(axis=0)
    ways = gaussian(100_000, 3, 1)
    reach = (psi @ (ways / np.linalg.norm(ways, axis=1, keepdims=True)).T).max(axis=0)
    assert given.radius <= reach.min() <= 1.02 * given.radius
    assert given.diameter == pytest.approx(max(np.linalg.norm(a - b) for a, b in combinations(phi, 2)))


def test_b7_is_the_mean_over_all_subsets():
    phi = two_layer(7, 4, 0)
    given, t = bounds.geometry(phi), phi.mean(axis=0)
    for n in range(1, 8):
        every = [((phi[list(s)].mean(axis=0) - t) ** 2).sum() for s in combinations(range(7), n)]
        assert np.mean(every) == pytest.approx(float(bounds.b7(given.spread, n, 7)), abs=1e-14)


def test_b7_and_random_draws():
    phi = gaussian(40, 10, 0)
    given, problem = bounds.geometry(phi), greedy.from_contributions(phi)
    draws = np.array([greedy.random(problem, 12, generator("b7", s)).errors for s in range(1000)])
    away = draws.mean(axis=0) - bounds.b7(given.spread, np.arange(1, 13), 40)
    assert np.all(np.abs(away) < 3 * draws.std(axis=0) / 1000**0.5)


@pytest.mark.parametrize("width", [4, 30])
def test_b5_is_what_every_subset_of_orthonormal_contributions_has(width):
    problem = greedy.from_contributions(orthonormal(width))
    sizes = np.arange(1, width + 1)
    exact = bounds.b5(sizes, width)
    assert bounds.b7(1 - 1 / width, sizes, width) == pytest.approx(exact, abs=1e-15)
    for found in (greedy.random(problem, width, generator("b5", 0)), greedy.backward(problem, width)):
        assert found.errors == pytest.approx(exact, abs=1e-12)
        assert greedy.least_squares(problem, greedy.prefix(found, width // 2)).errors[-1] < exact[width // 2 - 1]


@pytest.mark.parametrize("seed", range(5))
def test_b8_least_squares_is_never_worse(seed):
    phi = two_layer(60, 15, seed)
    problem = greedy.from_contributions(phi)
    for path in (greedy.local_imitation(problem, 40), greedy.one_over_k(problem, 40), greedy.norm(problem, 40)):
        for k in (1, 3, 10, 40):
            before = greedy.prefix(path, k)
            after = ((greedy.least_squares(problem, before).weights @ phi - phi.mean(axis=0)) ** 2).sum()
            assert after <= ((before.weights @ phi - phi.mean(axis=0)) ** 2).sum() * (1 + 1e-9) + 1e-13 * problem.target


def test_curve_says_what_is_proved_for_which_rule():
    given, problem = bounds.geometry(TRIANGLE), greedy.from_contributions(TRIANGLE)
    table = bounds.curve(greedy.local_imitation(problem, 6), given, "line")
    assert table["iteration"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["neurons"].tolist() == [1, 2, 3, 3, 3, 3]
    assert table["relative"][:3].tolist() == pytest.approx([1, 1 / 2, 1 / 20])
    assert table["b1"][:3].tolist() == pytest.approx([2 / 9, 2 / 9 * 35 / 36, 2 / 9 * (35 / 36) ** 2])
    assert table["b2"].tolist() == pytest.approx([4 / 9 / k for k in range(1, 7)])
    assert table["b7"][:3].tolist() == pytest.approx([4 / 9, 1 / 9, 0], abs=1e-15)
    assert table["b3"].isna().all()
    steps = bounds.curve(greedy.one_over_k(problem, 6), given, "one_over_k")
    reach = 2 / (2 / 18**0.5) + 2**0.5
    assert steps["b3"].tolist() == pytest.approx([(reach / k) ** 2 for k in range(1, 7)])
    assert steps["b1"].isna().all()
    rest = bounds.curve(greedy.norm(problem, 3), given, "equal")
    assert rest[["b1", "b2", "b3"]].isna().all(axis=None)
    centred = bounds.curve(
        greedy.local_imitation(greedy.from_contributions(SQUARE), 2), bounds.geometry(SQUARE), "line"
    )
    assert centred["relative"].isna().all()


def test_excess_by_hand():
    assert bounds.excess(np.array([3.0, 1, 0.5]), np.array([4.0, 0.8, 1])) == pytest.approx(0.25)
    assert bounds.excess(np.array([3.0, 1, 0.5]), np.array([4.0, 0.8, 1]), floor=1) == pytest.approx(-0.25)
    assert np.isnan(bounds.excess(np.ones(2), np.full(2, np.nan)))
    assert bounds.excess(np.zeros(2), np.ones(2)) == bounds.excess(np.zeros(0), np.zeros(0)) == -np.inf


def test_fits_of_exact_laws():
    k = np.arange(2, 40)
    fit = bounds.semilog(k, 5 * np.exp(-0.3 * k))
    assert (fit.slope, fit.low, fit.high, fit.r2) == pytest.approx((-0.3, -0.3, -0.3, 1))
    assert fit.held_out == pytest.approx(0, abs=1e-12)
    fit = bounds.loglog(k, 5.0 * k**-1.5)
    assert (fit.slope, fit.low, fit.high, fit.r2) == pytest.approx((-1.5, -1.5, -1.5, 1))
    assert bounds.semilog(k, 5.0 * k**-1.5).held_out > 0.3


def test_fit_by_hand():
    """ln D = 0, 1, 0, 1 at k = 1..4: slope 1/5; without one point 0, 1/14, 5/14, 0; held-out errors -2/3, 3/7, ..."""
    y = np.array([0.0, 1, 0, 1])
    fit = bounds.semilog([1, 2, 3, 4], np.exp(y))
    jackknife = []
    missed = []
    for i in range(4):
        rest = [j for j in range(4) if j != i]
        slope, at = np.polyfit(np.array(rest) + 1, y[rest], 1)
        jackknife.append(slope)
        missed.append(y[i] - slope * (i + 1) - at)
    sd = (3 / 4 * ((np.array(jackknife) - np.mean(jackknife)) ** 2).sum()) ** 0.5
    assert fit.slope == pytest.approx(0.2)
    assert fit.r2 == pytest.approx(0.2)
    assert (fit.high - fit.low) / 2 == pytest.approx(3.182446 * sd)
    assert fit.held_out == pytest.approx(np.sqrt(np.mean(np.square(missed))))


def test_the_interval_covers_the_slope_of_correlated_points():
    """Neighbouring points move together here, for which the textbook interval of a slope is far too narrow."""
    k = np.arange(2, 60)
    inside, narrow = 0, 0
    for seed in range(200):
        shocks, noise = gaussian(58, 1, seed)[:, 0], np.zeros(58)
        for i in range(1, 58):
            noise[i] = 0.8 * noise[i - 1] + 0.2 * shocks[i]
        fit = bounds.semilog(k, np.exp(-0.1 * k + noise))
        inside += fit.low <= -0.1 <= fit.high
        rest = noise - np.polyval(np.polyfit(k, noise, 1), k)
        half = 2 * (rest.var() * 58 / 56 / ((k - k.mean()) ** 2).sum()) ** 0.5
        narrow += abs(fit.slope + 0.1) <= half
    assert inside >= 170
    assert narrow <= 140


def path(errors, width=10_000, sizes=None):
    """A selection that has these errors, a neuron an iteration."""
    k = len(errors)
    numbers = np.arange(1, k + 1)
    return Selection(numbers - 1, 1 / numbers, np.asarray(errors), numbers if sizes is None else sizes, np.zeros(width))


K = np.arange(1, 101)


@pytest.mark.parametrize(
    ("errors", "regime"),
    [
        (np.exp(-0.2 * K), "exponential"),
        (np.exp(-0.05 * K), "exponential"),
        (K**-1.0, "polynomial"),
        (K**-2.0, "polynomial"),
        (np.full(100, 0.5), "none"),  # far below chance and yet no decay
    ],
)
def test_regime_of_exact_laws(errors, regime):
    noise = 1 + 0.05 * gaussian(100, 1, 0)[:, 0]
    wiggle = noise if regime != "none" else 1 + K * 1e-6
    assert bounds.decay(path(errors * wiggle), spread=1000.0, target=1.0).regime == regime


def test_no_gain_on_chance_is_no_decay_whatever_the_law():
    chance = bounds.b7(1000.0, K, 10_000)
    assert bounds.decay(path(chance / 1.9), 1000.0, 1.0).regime == "none"
    found = bounds.decay(path(chance / 2.1), 1000.0, 1.0)
    assert found.regime == "polynomial"
    assert found.gain == pytest.approx(2.1)
    assert found.loglog.slope == pytest.approx(-1, abs=0.01)


def test_window():
    """From k = 2 to the floor, or to the last iteration with at most half of the neurons in."""
    found = bounds.decay(path(np.exp(-1.0 * K)), 1000.0, 1.0)
    assert (found.points, found.neurons) == (26, 27)  # exp(-27) > 1e-12 > exp(-28)
    assert found.semilog.slope == pytest.approx(-1)
    found = bounds.decay(path(K**-2.0, width=61), 1000.0, 1.0)
    assert (found.points, found.neurons) == (29, 30)
    again = np.where(K == 5, 0.0, K**-2.0)  # what comes after an exact 0 is not looked at
    found = bounds.decay(path(again[:20], sizes=np.minimum(K[:20], 4)), 1000.0, 1.0)
    assert found.points == 3
    assert found.regime == "exponential"


def test_too_few_points():
    with pytest.raises(ValueError, match="3 iterations with at most half of 10000 neurons are too few"):
        bounds.decay(path(np.exp(-0.2 * K[:4])), 1000.0, 1.0)
    with pytest.raises(ValueError, match="at most half of 7 neurons"):
        bounds.decay(path(np.exp(-0.2 * K[:7]), width=7), 1000.0, 1.0)
    assert np.isnan(bounds.semilog([1, 2, 3], [3, 2, 1]).slope)


def test_an_exact_hit_is_exponential():
    found = bounds.decay(greedy.direct(gaussian(100, 1, 0), 50), 1.0, 1.0)
    assert found.regime == "exponential"
    assert np.isnan(found.semilog.slope)
