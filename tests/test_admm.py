"""ADMM: the recursion against plain loops, known sparse optima of quadratics, chains of runs in the lab."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ltkit import data, models
from ltkit.errors import UserError
from ltkit.lab import material
from ltkit.prune import admm, masks, tickets
from ltkit.seeds import generator
from ltkit.spec import Admm, Anchor, From, Gradual, Magnitude, Network, Random, Recipe, Run, Task, canonical
from ltkit.train import Cohort, Job, cohort_key, extra

CPU, LENET = torch.device("cpu"), Network(width=0.1)
DENSE = Run(task=Task(), network=LENET, recipe=Recipe(epochs=4, lr=0.05, batch_size=32))


def keeping(kept):
    """P that keeps so many of each tensor."""
    return lambda weights: masks.by_layer({name: weights[name].abs() for name in kept}, kept)


halves = keeping({"a": 6, "b": 12})  # of `drawn`


def drawn(rounds, dtype=torch.float64):
    g = generator("admm")
    shapes = {"a": (3, 4), "bias": (3,), "b": (2, 3, 2, 2)}
    return [{n: torch.randn(s, generator=g, dtype=dtype) for n, s in shapes.items()} for _ in range(rounds)]


# The recursion


def test_two_rounds_by_hand():
    keep = keeping({"w": 1})
    chain = [{"w": torch.tensor(w)} for w in ([3.0, -2], [2.5, -1.5], [1.0, -2])]
    # Z_0 = (3, 0), U_0 = 0; Z_1 = (2.5, 0), U_1 = (0, -1.5); W_2 + U_1 = (1, -3.5), Z_2 = (0, -3.5), U_2 = (1, 0).
    found = [admm.targets(chain[:k], keep)["w"].tolist() for k in (1, 2, 3)]
    assert found == [[3, 0], [2.5, 1.5], [-1, -3.5]]
    expected = [2 / math.sqrt(13), 1.5 / math.sqrt(8.5), math.sqrt(1 + 1.5**2) / math.sqrt(5)]
    assert admm.residual(chain, keep) == pytest.approx(expected)
    assert math.isnan(admm.residual([{"w": torch.zeros(2)}], keep)[0])
    with pytest.raises(ValueError, match="begins with the weights of the dense network"):
        admm.targets([], keep)


def slow(chain, kept):
    """Z - U and residuals of one vector by the sheet's steps in Python floats, each round's P by sorting."""

    def project(v):
        largest = sorted(range(len(v)), key=lambda i: -abs(v[i]))[:kept]
        return [value if i in largest else 0.0 for i, value in enumerate(v)]

    z, u = project(chain[0]), [0.0] * len(chain[0])
    squares = [sum((a - b) ** 2 for a, b in zip(chain[0], z, strict=True))]
    for w in chain[1:]:
        z = project([a + b for a, b in zip(w, u, strict=True)])
        u = [b + a - c for a, b, c in zip(w, u, z, strict=True)]
        squares.append(sum((a - b) ** 2 for a, b in zip(w, z, strict=True)))
    return [a - b for a, b in zip(z, u, strict=True)], squares


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_a_plain_loop_agrees(rounds):
    chain = drawn(rounds)
    before = [{n: t.clone() for n, t in each.items()} for each in chain]
    found, residuals = admm.targets(chain, halves), admm.residual(chain, halves)
    assert found.keys() == {"a", "b"}  # the bias isn't pruned, and has no target
    off = [0.0] * rounds
    for name, target in found.items():
        each, squares = slow([w[name].flatten().tolist() for w in chain], target.numel() // 2)
        assert target.shape == chain[0][name].shape
        assert target.flatten().tolist() == pytest.approx(each, rel=1e-12)
        off = [a + b for a, b in zip(off, squares, strict=True)]
    whole = [sum(float(w[n].square().sum()) for n in found) for w in chain]
    assert residuals == pytest.approx([math.sqrt(a / b) for a, b in zip(off, whole, strict=True)])
    assert all(torch.equal(a[n], b[n]) for a, b in zip(chain, before, strict=True) for n in a)


def test_the_losses_gradient_is_autograds_and_a_finite_difference():
    chain = drawn(3)
    start, target = chain[-1], admm.targets(chain, halves)
    loss = extra.stack("admm", [0.3], [{n: t.unsqueeze(0) for n, t in target.items()}], [{}], CPU)
    loss = replace(loss, strength=loss.strength.double())
    weights = {n: t.unsqueeze(0) for n, t in start.items()}
    leaves = {n: t.clone().requires_grad_() for n, t in start.items()}
    z, u = {}, {}
    for i, each in enumerate(chain):
        for n in target:
            z[n] = masks.apply({n: each[n] + u.get(n, 0)}, halves({k: each[k] + u.get(k, 0) for k in target}))[n]
        u = {n: u.get(n, 0) + each[n] - z[n] if i else 0 * each[n] for n in target}
    value = sum(0.3 / 2 * (leaves[n] - z[n] + u[n]).norm() ** 2 for n in target)  # as the sheet writes it
    value.backward()
    assert extra.loss(loss, weights).item() == pytest.approx(value.item(), rel=1e-7)
    added = dict(zip(weights, extra.add(loss, weights, [0 * t for t in weights.values()]), strict=True))
    assert not added["bias"].any()
    for name in target:
        assert torch.allclose(added[name][0], leaves[name].grad, rtol=1e-6)
        at = (0,) * weights[name].dim()
        values = []
        for sign in (1, -1):
            moved = weights[name].clone()
            moved[at] += sign * 1e-5
            values.append(extra.loss(loss, weights | {name: moved}).item())
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(added[name][at].item(), rel=1e-5)


# Convex toys: the smallest (w - c)ᵀA(w - c) / 2 with at most k weights that aren't 0

DIAGONAL = [[1.0, 0.0], [0.0, 10.0]]
CORRELATED = [[2.0, 1.2, 0.3], [1.2, 3.0, 0.8], [0.3, 0.8, 1.0]]
TOYS = [  # A, c, k, ρ, the best support, the one that magnitude pruning of the optimum c takes
    (DIAGONAL, [2.0, 1.5], 1, 4.0, [1], [0]),
    (CORRELATED, [0.7, 1.0, 1.2], 1, 1.0, [1], [2]),
    (CORRELATED, [1.0, 0.9, -1.3], 2, 2.0, [0, 1], [0, 2]),
    (CORRELATED, [-0.6, 1.0, 1.2], 2, 2.0, [1, 2], [1, 2]),
]


def best(curvature, optimum, k):
    """The best of all supports of k weights, each solved exactly."""
    found = []
    for support in map(list, itertools.combinations(range(len(optimum)), k)):
        w = torch.zeros_like(optimum)
        w[support] = torch.linalg.solve(curvature[support][:, support], (curvature @ optimum)[support])
        off = w - optimum
        found.append((float(off @ curvature @ off), support, w))
    return min(found)[1:]


@pytest.mark.parametrize("solver", ["exact", "gradients"])
@pytest.mark.parametrize(("curvature", "optimum", "k", "rho", "support", "cut"), TOYS)
def test_it_finds_the_best_sparse_solution_of_a_quadratic(curvature, optimum, k, rho, support, cut, solver):
    """Also where pruning the optimum by magnitude takes the wrong weights."""
    curvature, optimum = (torch.tensor(each, dtype=torch.float64) for each in (curvature, optimum))
    keep = keeping({"w": k})
    chain = [{"w": optimum}]
    strength, whole = torch.tensor([rho], dtype=torch.float64), torch.ones(1, len(optimum), dtype=torch.bool)
    for _ in range(50):
        towards, w = admm.targets(chain, keep)["w"], chain[-1]["w"].clone()
        if solver == "exact":
            both = curvature + rho * torch.eye(len(w), dtype=w.dtype)
            w = torch.linalg.solve(both, curvature @ optimum + rho * towards)
        else:
            for _ in range(30):
                pull = extra.GRADIENTS["admm"](w[None], towards[None, None], whole, strength)[0]
                w = w - 0.14 * (curvature @ (w - optimum) + pull) / max(1, rho / 2)
        chain.append({"w": w})
    where, solution = best(curvature, optimum, k)
    assert keep(chain[0])["w"].nonzero().flatten().tolist() == cut
    assert keep(chain[-1])["w"].nonzero().flatten().tolist() == where == support
    assert torch.allclose(chain[-1]["w"], solution, atol=1e-6)
    residuals = admm.residual(chain, keep)
    assert residuals[0] > 0.3
    assert residuals[-1] < 1e-6


# The spec


def test_the_chain_of_runs():
    start = DENSE.replace(recipe=Recipe(steps=50, lr=0.1, schedule="cosine", warmup=2, weight_decay=5e-4, gamma=0.2))
    chain = tickets.admm(start, density=0.3, rounds=3, epochs=6, lr=0.01, rho=0.1, scope="global", prunable="all")
    assert [run.kind for run in chain] == ["admm"] * 3
    assert [run.extra.runs for run in chain] == [(start,), (start, chain[0]), (start, *chain[:2])]
    assert [run.start for run in chain] == [From(run=run, epoch=None, resume=0) for run in (start, *chain[:2])]
    assert [set(run.parents) for run in chain] == [set(run.extra.runs) for run in chain]
    assert [len(run.parents) for run in chain] == [1, 2, 3]
    (recipe,) = {run.recipe for run in chain}
    thirds = {"schedule": "step", "milestones": (1 / 3, 2 / 3), "gamma": 0.1, "warmup": 0}
    assert recipe == start.recipe.replace(epochs=6, steps=None, lr=0.01, **thirds)
    loss = chain[2].extra
    assert (loss.density, loss.scope, loss.prunable, loss.strength) == (0.3, "global", "all", 0.1)
    plain = tickets.admm(DENSE, density=0.3, rounds=1, epochs=9)[0]
    assert (plain.recipe.lr, plain.extra.strength, plain.extra.scope) == (1e-3, 1e-3, "layer")
    cut = Magnitude(run=chain[2], density=0.3, scope="layer")
    assert [tickets.ticket(start, cut).kind, tickets.fine_tune(start, cut).kind] == ["ticket", "finetuned"]
    assert tickets.admm(DENSE, density=0.3, rounds=0, epochs=1) == []


def test_everything_of_the_loss_is_in_the_identity():
    other = DENSE.replace(order=1)
    losses = [None, Admm(runs=(DENSE,), density=0.5, strength=1)]
    for change in ({"runs": (other,)}, {"runs": (DENSE, other)}, {"runs": (other, DENSE)}, {"density": 0.4},
                   {"scope": "global"}, {"scope": "erk"}, {"prunable": "all"}, {"strength": 2}):  # fmt: skip
        losses.append(losses[1].replace(**change))
    runs = [DENSE.replace(extra=loss) for loss in losses]
    assert len({run.identity for run in runs}) == len(losses) == 10
    assert all(Run(**run.model_dump()) == run for run in runs)
    assert DENSE.identity in canonical(runs[1])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Admm(runs=(), density=0.5, strength=1), "Admm: admm needs at least one run, the dense one"),
        (lambda: Admm(runs=(DENSE, DENSE), density=0.5, strength=1), "names a run twice"),
        (lambda: Admm(runs=(tickets.random(DENSE, density=0.5),), density=0.5, strength=1), "has a random mask"),
        (lambda: tickets.admm(DENSE, density=0.5, rounds=1, epochs=1, rho=0), "strength: input should be greater"),
        (lambda: tickets.admm(DENSE, density=0.5, rounds=1, epochs=1, rho=-1), "strength"),
        (lambda: tickets.admm(DENSE, density=0, rounds=1, epochs=1), "density"),
        (lambda: tickets.admm(DENSE, density=0.5, rounds=1, epochs=0), "epochs"),
        (lambda: tickets.admm(DENSE, density=0.5, rounds=1, epochs=1, scope="layers"), "scope"),
        (lambda: tickets.admm(DENSE, density=0.5, rounds=1, epochs=1, prunable="no_last"), "prunable.*'no_first'"),
        (lambda: DENSE.replace(network=Network(), extra=Admm(runs=(DENSE,), density=0.5, strength=1)), "same network"),
        (lambda: tickets.admm(DENSE.replace(mask=Gradual(density=0.5, every=1)), density=0.5, rounds=1, epochs=1),
         "has a gradual mask"),
        (lambda: DENSE.replace(mask=Random(density=0.5), extra=Admm(runs=(DENSE,), density=0.5, strength=1)),
         "Run: admm trains a dense network: it can't join a random mask"),
    ],
)  # fmt: skip
def test_mistakes_are_one_clear_line(make, says):
    with pytest.raises(UserError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_who_may_share_a_cohort():
    chains = [tickets.admm(DENSE, density=d, rounds=2, epochs=2, rho=rho) for d, rho in ((0.5, 0.1), (0.2, 1.0))]
    keys = [cohort_key(run) for chain in chains for run in chain]
    assert len(set(keys)) == 1  # however many rounds came before: there is one target
    anchored = chains[0][0].replace(extra=Anchor(run=DENSE, strength=0.1))
    assert cohort_key(anchored) not in keys


# Training


def stepped(jobs, steps):
    """A cohort after some steps, in float64."""
    cohort = Cohort(jobs, CPU)
    cohort.net.double()
    cohort.lr, cohort.mean, cohort.std = (t.double() for t in (cohort.lr, cohort.mean, cohort.std))
    cohort.slots = {slot: {n: t.double() for n, t in each.items()} for slot, each in cohort.slots.items()}
    cohort.normal = lambda x: data.normalise(x, cohort.mean, cohort.std).double()
    cohort.images = cohort.images.double()
    mine = cohort.extra
    cohort.extra = replace(mine, strength=mine.strength.double(), references=mine.references.double())
    cohort.begin_epoch(0)
    for step in range(steps):
        cohort.step(step)
    return cohort


def test_members_with_their_own_rho_equal_lone_trainings(tiny):
    """They differ in the tensors that they look at too: a LeNet-5 whose first convolution is pruned, and one not."""
    base = DENSE.replace(task=tiny, network=Network(arch="lenet_5", width=0.5), recipe=Recipe(epochs=2, batch_size=16))
    shape, classes = material.frame(base, None)
    first = models.init(base.network, shape, classes, base.start)
    jobs = []
    for density, rho, which in ((0.5, 2.0, "all"), (0.2, 0.5, "no_first")):
        run = tickets.admm(base, density=density, rounds=1, epochs=2, lr=0.05, rho=rho, prunable=which)[0]
        names = models.prunable(base.network, shape, classes, which)
        target = admm.targets([first], keeping({name: int(density * first[name].numel()) for name in names}))
        jobs.append(Job(run, first, extra={n: t.unsqueeze(0) for n, t in target.items()}))
    together = stepped(jobs, 6)
    alone = [stepped([job], 6).member(0) for job in jobs]
    for r, each in enumerate(alone):
        assert all(torch.allclose(t, each[n], rtol=1e-9, atol=1e-11) for n, t in together.member(r).items())
    assert not torch.allclose(alone[0]["conv1.weight"], alone[1]["conv1.weight"], atol=1e-2)


def test_a_falling_residual_in_the_lab(lab):
    """Digits, two rounds of two epochs: the penalty brings W to its projection, next to none doesn't."""
    options = {"density": 0.2, "rounds": 2, "epochs": 2, "lr": 0.05}
    strong, weak = (tickets.admm(DENSE, **options, rho=rho) for rho in (0.1, 1e-9))
    lab.run([*strong, *weak])
    falling, still = (material.admm_residual(chain[-1], lab.store, lab.root) for chain in (strong, weak))
    assert len(falling) == len(still) == 3
    assert falling[0] == still[0] > 0.3
    assert falling[1] < 0.6 * falling[0]
    assert falling[2] < 0.7 * falling[1]
    assert min(still) > 0.95 * still[0]
    assert material.admm_residual(strong[0], lab.store, lab.root) == falling[:2]
    with pytest.raises(ValueError, match="isn't a round of ADMM"):
        material.admm_residual(DENSE, lab.store, lab.root)

    # W_2 is nearly sparse, so that the mask cut from it costs little: less than the dense network's.
    def lost(run):
        weights = lab.weights(run)
        cut = material.make_mask(run, Magnitude(run=run, density=0.2, scope="layer"), lab.store, lab.root)
        assert masks.counts(cut) == {n: round(0.2 * m.numel()) for n, m in cut.items()}
        return sum(float(weights[n][~m].norm() ** 2) for n, m in cut.items()) / sum(
            float(weights[n].norm() ** 2) for n in cut
        )

    assert lost(strong[1]) < lost(strong[0]) < lost(DENSE) / 4


@pytest.mark.parametrize("scope", ["layer", "global", "erk"])
def test_a_jobs_references_follow_the_masks_that_magnitude_cuts(tiny, lab, scope):
    dense = DENSE.replace(task=tiny, recipe=Recipe(epochs=1, batch_size=16))
    chain = tickets.admm(dense, density=0.25, rounds=2, epochs=1, lr=0.05, rho=0.5, scope=scope)
    lab.run(chain)
    assert [lab.mask(run) for run in chain] == [{}, {}]
    job = material.job(chain[0], lab.store, None)
    cut = material.make_mask(dense, Magnitude(run=dense, density=0.25, scope=scope), lab.store, None)
    first, second = lab.weights(dense), lab.weights(chain[0])
    assert job.extra.keys() == cut.keys() == set(models.prunable(LENET, (1, 8, 8), 4))
    for name, target in job.extra.items():
        assert torch.equal(target[0], first[name] * cut[name])
        assert torch.equal(job.weights[name], first[name])
    assert job.slots == job.mask == {}
    after, again = material.job(chain[1], lab.store, None).extra, Magnitude(run=chain[0], density=0.25, scope=scope)
    cut = material.make_mask(dense, again, lab.store, None)
    assert after.keys() == cut.keys()
    for name, target in after.items():  # U_0 = 0, so that Z - U is W_1 where it is kept and -W_1 elsewhere
        assert torch.equal(target[0], torch.where(cut[name], second[name], -second[name]))


def test_what_diverged_or_has_another_shape(tiny, lab, tmp_path):
    dense = DENSE.replace(task=tiny, recipe=Recipe(epochs=1, batch_size=16, lr=100.0, momentum=0.99))
    run = tickets.admm(dense, density=0.5, rounds=1, epochs=1)[0]
    lab.run([run])
    assert lab.store.done(dense.name)["outcome"] == "diverged"
    assert lab.store.done(run.name)["outcome"] == "undefined"
    x, y = np.zeros((40, 4, 4), np.uint8), np.arange(40) % 4
    np.savez(tmp_path / "small.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    short = Recipe(epochs=1, batch_size=16)
    other = dense.replace(task=Task(data=f"npz:{tmp_path / 'small.npz'}"), recipe=short)
    wrong = dense.replace(recipe=short, extra=Admm(runs=(other,), density=0.5, strength=1.0))
    with pytest.raises(UserError, match=f"{wrong.name}: {other.name} was trained on images of another shape") as caught:
        lab.run([wrong])
    assert "\n" not in str(caught.value)
