"""Selection on the hand cases of greedy_bounds.md section 8, against exact fractions and against brute force."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from ltkit.analyze.regimes import gaussian, orthonormal, two_layer
from ltkit.prune import greedy
from ltkit.prune.greedy_problem import lowest, move
from ltkit.seeds import generator

TRIANGLE = [[0, 0], [1, 0], [0, 1]]
SQUARE = [[1, 0], [0, 1], [-1, 0], [0, -1]]


def slow(phi, iterations, rule="line"):
    """P1 and P2 in exact fractions, trying every neuron: (picks, steps, errors, weights). Ties: the lowest index."""
    phi = [[Fraction(x) for x in row] for row in phi]
    n = len(phi)
    t = [sum(column) / n for column in zip(*phi, strict=True)]

    def dot(x, y):
        return sum(a * b for a, b in zip(x, y, strict=True))

    def minus(x, y):
        return [a - b for a, b in zip(x, y, strict=True)]

    picks, steps, errors = [], [], []
    a, h = [Fraction(0)] * n, [Fraction(0)] * len(t)
    for k in range(1, iterations + 1):
        found = []
        for j in range(n):
            u = minus(phi[j], h)
            if k == 1:
                gamma = Fraction(1)
            elif rule in ("repeats", "code"):
                if rule == "code" and a[j]:
                    continue
                gamma = Fraction(1, k)
            else:
                low = -a[j] / (1 - a[j]) if rule == "negative" and a[j] != 1 else Fraction(0)
                gamma = min(max(dot(minus(t, h), u) / dot(u, u) if any(u) else low, low), Fraction(1))
            rest = minus([x + gamma * y for x, y in zip(h, u, strict=True)], t)
            found.append((dot(rest, rest), j, gamma))
        error, j, gamma = min(found)
        a = [(1 - gamma) * x for x in a]
        a[j] += gamma
        h = [x + gamma * (y - x) for x, y in zip(h, phi[j], strict=True)]
        picks, steps, errors = [*picks, j], [*steps, gamma], [*errors, error]
    return picks, steps, errors, a


def select(phi, iterations, rule="line", form="gram"):
    problem = greedy.from_contributions(phi)
    if rule in ("repeats", "code"):
        return greedy.one_over_k(problem, iterations, repeats=rule == "repeats")
    options = {"negative": rule == "negative", "tol": 0.0}
    if form == "direct":
        return greedy.direct(phi, iterations, **options)
    return greedy.local_imitation(problem, iterations, **options)


@pytest.mark.parametrize("form", ["gram", "direct"])
def test_triangle_by_hand(form):
    """The sixth step of the sheet is a rounded fraction (10/241, 2023/1709976); these are exact."""
    found = select(TRIANGLE, 6, form=form)
    assert found.picks.tolist() == [0, 1, 2, 1, 2, 1]
    assert found.steps == pytest.approx([1, 1 / 3, 3 / 10, 6 / 61, 42 / 689, 18942 / 456493], rel=1e-12)
    errors = [2 / 9, 1 / 9, 1 / 90, 5 / 1098, 1681 / 756522, 408565369 / 345346997346]
    assert found.errors == pytest.approx(errors, rel=1e-12)
    assert found.sizes.tolist() == [1, 2, 3, 3, 3, 3]


@pytest.mark.parametrize("form", ["gram", "direct"])
def test_triangle_with_negative_steps_by_hand(form):
    found = select(TRIANGLE, 5, "negative", form)
    assert found.picks[3] == 0
    assert found.steps[3] == pytest.approx(-3 / 13)
    assert found.errors[3:] == pytest.approx([2 / 585, 5 / 44109])


def test_triangle_with_steps_of_one_over_k_by_hand():
    """Better than line search at k = 3: being greedy is no guarantee."""
    found = select(TRIANGLE, 6, "repeats")
    assert found.errors == pytest.approx([2 / 9, 5 / 36, 0, 1 / 72, 1 / 45, 0], abs=1e-15)
    assert found.steps == pytest.approx([1 / k for k in range(1, 7)])
    assert found.errors[2] < select(TRIANGLE, 3).errors[2]


def test_square_by_hand():
    assert select(SQUARE, 4).errors == pytest.approx([1, 0], abs=1e-15)  # nothing is left to do after two
    assert select(SQUARE, 6, "repeats").errors == pytest.approx([1, 0, 1 / 9, 0, 1 / 25, 0], abs=1e-15)
    assert select(SQUARE, 4, "code").errors == pytest.approx([1, 0, 1 / 9, 0], abs=1e-15)


@pytest.mark.parametrize("rule", ["line", "negative", "repeats", "code"])
@pytest.mark.parametrize("form", ["gram", "direct"])
def test_orthonormal_takes_the_neurons_in_order(rule, form):
    found = select(orthonormal(6), 6, rule, form)
    assert found.picks.tolist() == list(range(6))
    assert found.steps == pytest.approx([1 / k for k in range(1, 7)])
    assert found.errors == pytest.approx([1 / n - 1 / 6 for n in range(1, 7)], abs=1e-14)


@pytest.mark.parametrize("rule", ["line", "negative", "repeats", "code"])
@pytest.mark.parametrize("form", ["gram", "direct"])
@pytest.mark.parametrize("seed", range(4))
def test_small_integers_against_exact_fractions(rule, form, seed):
    draw = generator("small", seed)
    phi = torch.randint(-4, 5, (6 + seed, 3 + seed), generator=draw).tolist()
    phi[3] = phi[1]  # an exact tie
    picks, steps, errors, weights = slow(phi, 6, rule)
    found = select(phi, 6, rule, form)
    assert found.picks.tolist() == picks
    assert found.steps == pytest.approx([float(x) for x in steps], abs=1e-11)
    assert found.errors == pytest.approx([float(x) for x in errors], abs=1e-11)
    assert found.weights == pytest.approx([float(x) for x in weights], abs=1e-11)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("shape", [(40, 6), (120, 30), (30, 90)])
def test_gram_form_is_the_direct_form(shape, negative):
    """Over more iterations than the Gram form goes without computing its products afresh."""
    phi = gaussian(*shape, 0)
    gram = greedy.local_imitation(greedy.from_contributions(phi), 130, negative=negative, tol=1e-8)
    direct = greedy.direct(phi, 130, negative=negative, tol=1e-8)
    assert gram.picks.tolist() == direct.picks.tolist()
    assert gram.steps == pytest.approx(direct.steps, rel=1e-6)
    assert gram.errors == pytest.approx(direct.errors, rel=1e-6)
    assert gram.weights == pytest.approx(direct.weights, abs=1e-9)
    assert greedy.explicit_errors(phi, gram) == pytest.approx(gram.errors, rel=1e-6)


def test_direct_form_sees_what_the_gram_form_cannot():
    phi = gaussian(200, 5, 0)
    problem = greedy.from_contributions(phi)
    gram, direct = greedy.local_imitation(problem, 100, tol=0.0), greedy.direct(phi, 100, tol=1e-26)
    assert direct.errors[-1] <= 1e-26 * problem.target
    assert gram.errors[-1] > 1e-17 * problem.target
    assert len(gram.errors) < len(direct.errors)


@pytest.mark.parametrize("rule", ["line", "negative", "repeats", "code"])
def test_bookkeeping(rule):
    phi = two_layer(50, 12, 1)
    found = select(phi, 45, rule)
    assert found.weights.sum() == pytest.approx(1, abs=1e-12)
    assert found.weights.min() >= 0
    assert found.sizes[-1] == np.count_nonzero(found.weights)
    assert (found.sizes <= np.arange(1, len(found.sizes) + 1)).all()
    h = found.weights @ phi
    assert found.errors[-1] == pytest.approx(((h - phi.mean(axis=0)) ** 2).sum(), rel=1e-6)
    if rule == "repeats":
        assert found.weights * 45 == pytest.approx(np.bincount(found.picks, minlength=50))
    if rule == "code":
        assert len(set(found.picks)) == 45


def test_a_negative_step_can_take_a_neuron_out_for_good():
    """a_j = .2 has low = −.25; that step makes it exactly 0 and the others 1.25 times what they were."""
    weights = np.array([0.2, 0.3, 0.5])
    move(weights, 0, -0.25)
    assert weights.tolist() == pytest.approx([0, 0.375, 0.625])
    assert weights[0] == 0
    phi, target = [[3, 1], [0, -2], [-2, -4], [-4, -4]], [-1, 1]
    for found in (
        greedy.local_imitation(greedy.from_contributions(phi, target), 4, negative=True),
        greedy.direct(phi, 4, target=target, negative=True),
    ):
        assert found.picks.tolist() == [1, 0, 3, 1]
        assert found.steps == pytest.approx([1, 1 / 3, 2 / 17, -10 / 7])
        assert found.sizes.tolist() == [1, 2, 3, 2]
        assert found.weights == pytest.approx([5 / 7, 0, 0, 2 / 7])
        assert found.errors[-1] == pytest.approx(296 / 49)


def test_stops():
    phi = gaussian(100, 20, 0)
    problem = greedy.from_contributions(phi)
    found = greedy.local_imitation(problem, 100, neurons=7)
    assert found.sizes[-1] == 7
    assert (found.sizes[:-1] < 7).all()
    found = greedy.local_imitation(problem, 1000, tol=1e-3)
    assert found.errors[-1] <= 1e-3 * problem.target < found.errors[-2]
    outside = greedy.from_contributions(SQUARE, target=[3, 0])  # the nearest point of the hull is the first neuron
    found = greedy.local_imitation(outside, 10)
    assert found.picks.tolist() == [0]
    assert found.errors.tolist() == [4]


def test_linear_layer_by_its_products():
    draw = generator("linear", 0)
    a, w = torch.rand(17, 9, generator=draw).double(), torch.randn(4, 9, generator=draw).double()
    phi = 9 * torch.einsum("sj,oj->jso", a, w).flatten(1)
    ours, theirs = greedy.from_linear(w, a), greedy.from_contributions(phi)
    assert ours.gram == pytest.approx(theirs.gram, rel=1e-10)
    assert ours.cross == pytest.approx((phi @ phi.mean(0)).numpy(), rel=1e-10)
    assert ours.target == pytest.approx(float((a @ w.T).square().sum()), rel=1e-10)
    assert phi.mean(0).numpy() == pytest.approx((a @ w.T).flatten().numpy())


def test_another_target():
    phi, target = gaussian(30, 5, 0), np.full(5, 0.1)
    gram = greedy.local_imitation(greedy.from_contributions(phi, target), 20)
    direct = greedy.direct(phi, 20, target=target)
    assert gram.picks.tolist() == direct.picks.tolist()
    assert gram.errors[-1] == pytest.approx(((gram.weights @ phi - target) ** 2).sum())
    assert greedy.explicit_errors(phi, gram, target) == pytest.approx(gram.errors)


def test_prefix_is_the_selection_that_ended_there():
    phi = gaussian(40, 10, 2)
    long, short = select(phi, 30, "negative"), select(phi, 11, "negative")
    cut = greedy.prefix(long, 11)
    for name in ("picks", "steps", "errors", "sizes", "weights"):
        assert getattr(cut, name).tolist() == getattr(short, name).tolist()


@pytest.mark.parametrize("shape", [(30, 40), (60, 5), (25, 25)])
def test_least_squares_is_lstsq_and_never_worse(shape):
    phi = gaussian(*shape, 1)
    problem, t = greedy.from_contributions(phi), phi.mean(axis=0)
    random = greedy.random(problem, 12, generator("ls", 0))
    for before in (greedy.local_imitation(problem, 12), greedy.one_over_k(problem, 12), random):
        after = greedy.least_squares(problem, before)
        used = np.flatnonzero(before.weights)
        best = np.linalg.lstsq(phi[used].T, t, rcond=None)[0]
        least = ((best @ phi[used] - t) ** 2).sum()
        assert after.errors[-1] == pytest.approx(least, abs=1e-10 * problem.target)
        assert after.errors[-1] == pytest.approx(((after.weights @ phi - t) ** 2).sum(), abs=1e-10 * problem.target)
        assert after.errors[-1] <= before.errors[-1]
        assert set(np.flatnonzero(after.weights)) <= set(used)
        assert before.weights.sum() == pytest.approx(1)


def test_least_squares_by_hand():
    """One neuron (2, 0) for t = (1, 1): weight 1 gives D = 2, weight 1/2 gives 1."""
    problem = greedy.from_contributions([[2, 0], [0, 2]])
    found = greedy.least_squares(problem, greedy.local_imitation(problem, 1))
    assert found.weights == pytest.approx([0.5, 0])
    assert found.errors == pytest.approx([1])


def test_equal_weights_of_the_baselines():
    phi = gaussian(20, 7, 4)
    problem, t = greedy.from_contributions(phi), phi.mean(axis=0)
    for found in (greedy.random(problem, 9, generator("r", 1)), greedy.norm(problem, 9), greedy.backward(problem, 9)):
        assert sorted(set(found.picks)) == np.flatnonzero(found.weights).tolist()
        assert found.weights[found.picks] == pytest.approx(np.full(9, 1 / 9))
        explicit = [((phi[found.picks[:n]].mean(axis=0) - t) ** 2).sum() for n in range(1, 10)]
        assert found.errors == pytest.approx(explicit)
        assert greedy.explicit_errors(phi, found) == pytest.approx(explicit)
        assert found.sizes.tolist() == list(range(1, 10))


def test_norm_takes_the_largest_first():
    assert greedy.norm(greedy.from_contributions([[1, 0], [0, 3], [-3, 0], [2, 0]]), 4).picks.tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize("seed", range(3))
def test_backward_against_trying_every_removal(seed):
    phi = gaussian(12, 4, seed)
    t, left, dropped = phi.mean(axis=0), list(range(12)), []
    while len(left) > 1:
        after = [((phi[[i for i in left if i != j]].mean(axis=0) - t) ** 2).sum() for j in left]
        dropped.append(left.pop(int(np.argmin(after))))
    found = greedy.backward(greedy.from_contributions(phi), 12)
    assert found.picks.tolist() == [*left, *reversed(dropped)]


def test_random_is_its_generators():
    problem = greedy.from_contributions(gaussian(50, 5, 0))
    first, again, other = (greedy.random(problem, 20, generator("random", s)).picks.tolist() for s in (0, 0, 1))
    assert first == again != other


def toy(phi, t):
    """A convex discrepancy of many weight vectors at once, and its gradient."""
    return (lambda w: ((w @ phi - t) ** 2).sum(axis=1)), (lambda w: 2 * phi @ (w @ phi - t))


def recall(phi, shortlist, iterations=25, gamma=None, target=None):
    """How many picks of the exact greedy path the shortlist finds from the same weights; step 1/k, or fixed."""
    value, gradient = toy(phi, phi.mean(axis=0) if target is None else target)
    path = greedy.one_over_k(greedy.from_contributions(phi, target), iterations)
    hits = 0
    for k in range(2, iterations + 1):
        weights = greedy.prefix(path, k - 1).weights
        step = gamma or 1 / k
        exact = int(np.argmin(value((1 - step) * weights + step * np.eye(len(phi)))))
        pick, _, _ = greedy.taylor(weights, gradient(weights), value, steps=[step], shortlist=shortlist)
        hits += pick == exact
    return hits / (iterations - 1)


@pytest.mark.parametrize("seed", range(3))
def test_taylor_shortlist_recovers_the_exact_pick_on_a_convex_toy(seed):
    """Contributions at one distance from t: the slopes rank like the discrepancies, so even a list of one will do."""
    sphere = gaussian(60, 20, seed)
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    assert recall(sphere, shortlist=1, target=np.zeros(20)) == 1
    assert recall(gaussian(60, 40, seed), shortlist=1, gamma=1e-4) == 1  # short steps: the slope is all
    assert recall(gaussian(60, 80, seed), shortlist=10) >= 0.9  # F18's margin
    assert recall(gaussian(60, 40, seed), shortlist=60) == 1


def test_taylor_fails_where_lengths_differ_widely():
    assert recall(two_layer(60, 20, 0), shortlist=10) < 0.5


def test_taylor_fails_where_the_gradient_vanishes():
    """At a = 1/N: the true pick is neuron 5, which half a step leads back to t, yet it isn't even tried."""
    phi = np.array([[3.0, 0], [0, 3], [-3, 0], [0, -3], [0.5, 0.5], [-0.1, 0], [-0.4, -0.5]])
    value, gradient = toy(phi, phi.mean(axis=0))
    even = np.full(7, 1 / 7)
    assert gradient(even) == pytest.approx(np.zeros(7), abs=1e-15)
    assert int(np.argmin(value((even + np.eye(7)) / 2))) == 5
    assert greedy.taylor(even, np.zeros(7), value, steps=[0.5], shortlist=3)[0] < 3


def test_taylor_tries_only_the_shortlist_with_every_step():
    phi = gaussian(20, 6, 0)
    value, gradient = toy(phi, phi.mean(axis=0))
    weights, seen = greedy.prefix(select(phi, 4), 3).weights, []

    def counted(candidates):
        seen.append(candidates)
        return value(candidates)

    pick, step, error = greedy.taylor(weights, gradient(weights), counted, steps=[0.1, 0.25], shortlist=3)
    (candidates,) = seen
    assert candidates.shape == (6, 20)
    assert candidates.sum(axis=1) == pytest.approx(np.ones(6))
    lowest = np.argsort(phi @ (weights @ phi - phi.mean(axis=0)))[:3]  # the Frank-Wolfe vertex comes first
    assert pick in lowest
    assert (
        error
        == value(candidates).min()
        == pytest.approx(value(((1 - step) * weights + step * np.eye(20)[pick])[None])[0])
    )


def test_what_is_no_selection():
    problem = greedy.from_contributions(TRIANGLE)
    with pytest.raises(ValueError, match="can't pick 4 of 3 neurons without repeats"):
        greedy.one_over_k(problem, 4, repeats=False)
    with pytest.raises(ValueError, match="can't pick 4 of 3"):
        greedy.norm(problem, 4)
    with pytest.raises(ValueError, match="at least one step"):
        greedy.local_imitation(problem, 0)
    with pytest.raises(ValueError, match="no finite numbers"):
        greedy.from_contributions([[float("nan"), 0]])
    with pytest.raises(ValueError, match="not one of shape"):
        greedy.from_contributions([1, 2])


def test_the_lowest_is_never_nan_and_of_equals_the_first():
    nan = float("nan")
    assert lowest(np.array([nan, 3.0, 2.0, 2.0, nan]), 0.0) == 2
    assert lowest(np.array([1.0 + 1e-13, 1.0]), 1.0) == 0  # equal, within rounding
    with pytest.raises(ValueError, match="nothing can be picked by discrepancies that are no numbers"):
        lowest(np.array([nan, nan]), 0.0)
