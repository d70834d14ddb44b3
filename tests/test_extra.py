"""Extra losses: gradients against autograd and by hand, cohorts against lone trainings, chains that are repelled."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ltkit import data, models
from ltkit.analyze.distance import matrix
from ltkit.errors import UserError
from ltkit.lab import lab as lab_module
from ltkit.lab import material
from ltkit.prune import masks, tickets
from ltkit.prune.distribution import random_mask
from ltkit.seeds import generator
from ltkit.spec import Anchor, From, Init, Magnitude, Network, Random, Recipe, Repel, Run, Task, canonical
from ltkit.train import Cohort, Job, cohort_key, extra

CPU = torch.device("cpu")
LENET, RESNET = Network(width=0.1), Network(arch="resnet8", width=0.25)
SGD = Recipe(epochs=4, lr=0.05, batch_size=16, weight_decay=0.001)
DENSE = Run(task=Task(), network=Network(), recipe=Recipe(epochs=3))


@pytest.fixture
def dense(tiny):
    return Run(task=tiny, network=LENET, recipe=SGD)


# The formulas


def vectors(strength, dtype=torch.float64):
    """mode_connectivity.md section 8: θ, the directions of Θ, m, λ, with values where m prunes."""
    theta = torch.tensor([[1, 2, 5, 2]], dtype=dtype)
    optima = torch.tensor([[[2, 2, 9, 1], [2, -1, 3, 0]]], dtype=dtype)
    mask = torch.tensor([[True, True, False, True]])
    return theta, extra.directions(optima, mask), mask, torch.tensor([strength], dtype=dtype)


@pytest.mark.parametrize(("strength", "expected"), [(2.0, 64 / 81), (-1.0, -0.395062)])
def test_repelling_by_hand(strength, expected):
    theta, towards, mask, strengths = vectors(strength)
    assert extra.repel_loss(theta, towards, mask, strengths).item() == pytest.approx(expected, abs=1e-6)
    gradient = extra.repel_gradient(theta, towards, mask, strengths)
    assert gradient[0, 2] == 0
    assert float((gradient * theta * mask).sum()) == pytest.approx(0, abs=1e-15)
    # The cosine c is 8/9 to the first, 0 to the second: λ·c·(v - c·u)/‖θ⊙m‖, u = (1, 2, 0, 2)/3, v = (2, 2, 0, 1)/3.
    by_hand = [strength * 8 / 27 * (v - 8 / 9 * u) / 3 for u, v in zip((1, 2, 0, 2), (2, 2, 0, 1), strict=True)]
    assert gradient[0].tolist() == pytest.approx(by_hand)


def test_anchoring_by_hand():
    theta, reference = torch.tensor([[1.0, 2, 5, 2]]), torch.tensor([[[0.0, 2, 7, -1]]])
    mask = torch.tensor([[True, True, False, True]])
    for strength in (0.5, -0.5):
        assert extra.anchor_loss(theta, reference, mask, torch.tensor([strength])).tolist() == [strength / 2 * 10]
        gradient = extra.anchor_gradient(theta, reference, mask, torch.tensor([strength]))
        assert gradient.tolist() == [[strength, 0, 0, strength * 3]]


def drawn(members=3, references=4, size=7):
    """Members with weights, optima, masks and strengths of their own; pruned weights aren't 0."""
    g = torch.Generator().manual_seed(0)
    theta = torch.randn(members, size, generator=g, dtype=torch.float64)
    others = torch.randn(members, references, size, generator=g, dtype=torch.float64)
    mask = torch.rand(members, size, generator=g) < 0.6
    return theta, others, mask, torch.tensor([2.0, -1.0, 0.3], dtype=torch.float64)[:members]


def slow_loss(kind, theta, others, mask, strength):
    """One member's loss as it is written on the sheet: theta (N,), others (K, N), mask (N,)."""
    if kind == "anchor":
        return strength / 2 * ((theta - others[0]) * mask).norm() ** 2
    kept = theta * mask
    cosines = [torch.dot(kept, other * mask) / (kept.norm() * (other * mask).norm()) for other in others]
    return strength / len(others) * sum(cosine**2 for cosine in cosines)


@pytest.mark.parametrize("kind", ["repel", "anchor"])
def test_gradients_are_autograds_and_finite_differences(kind):
    theta, others, mask, strength = drawn(references=1 if kind == "anchor" else 4)
    references = extra.directions(others, mask) if kind == "repel" else others
    args = (references, mask, strength)
    values, gradient = extra.LOSSES[kind](theta, *args), extra.GRADIENTS[kind](theta, *args)
    for r in range(3):
        own = theta[r].clone().requires_grad_()
        value = slow_loss(kind, own, others[r], mask[r], strength[r])
        assert values[r].item() == pytest.approx(value.item(), rel=1e-12)
        assert torch.allclose(gradient[r], torch.autograd.grad(value, own)[0], rtol=1e-12, atol=1e-14)
    assert not gradient[~mask].any()
    assert gradient[mask].all()
    for at in range(theta.shape[1]):  # one coordinate of all members, since nothing mixes them
        step = torch.zeros_like(theta)
        step[:, at] = 1e-6
        up, down = (extra.LOSSES[kind](theta + sign * step, *args) for sign in (1, -1))
        assert torch.allclose((up - down) / 2e-6, gradient[:, at], rtol=1e-6, atol=1e-8)


def test_what_has_no_direction_is_left_out_and_gives_numbers():
    theta, others, mask, strength = drawn(2)
    others[0, 1] = 0
    mask[1] = False
    towards = extra.directions(others, mask)
    value, gradient = (f["repel"](theta, towards, mask, strength) for f in (extra.LOSSES, extra.GRADIENTS))
    without = extra.directions(others[:1, [0, 2, 3]], mask[:1])
    assert value[0].item() == pytest.approx(3 / 4 * extra.repel_loss(theta[:1], without, mask[:1], strength[:1]).item())
    assert gradient.isfinite().all()
    assert not gradient[1].any()
    assert value[1] == 0


def test_members_may_look_at_different_tensors():
    """One member prunes tensor a, one b under a mask; what a member doesn't look at has no part in its loss."""
    g = torch.Generator().manual_seed(1)
    weights = {
        name: torch.randn(2, *shape, generator=g) for name, shape in {"a": (2, 3), "bias": (3,), "b": (4,)}.items()
    }
    own = [{"a": torch.randn(2, 2, 3, generator=g)}, {"b": torch.randn(2, 4, generator=g)}]
    mask = torch.tensor([True, False, True, True])
    together = extra.stack("repel", [2.0, -1.0], own, [{}, {"b": mask}], CPU)
    slow = [
        slow_loss("repel", weights["a"][0].flatten(), own[0]["a"].flatten(1), torch.ones(6), 2.0),
        slow_loss("repel", weights["b"][1], own[1]["b"], mask, -1.0),
    ]
    assert extra.loss(together, weights).tolist() == pytest.approx([float(value) for value in slow], rel=1e-5)
    grads = [torch.zeros_like(t) for t in weights.values()]
    added = dict(zip(weights, extra.add(together, weights, grads), strict=True))
    assert not any(grad.any() for grad in grads)  # nothing is changed in place
    assert [bool(added[name][r].any()) for name in weights for r in (0, 1)] == [True, False, False, False, False, True]
    assert (added["b"][1] != 0).tolist() == mask.tolist()
    with pytest.raises(ValueError, match="needs the weights that it refers to"):
        extra.stack("repel", [2.0, -1.0], [own[0], {}], [{}, {}], CPU)


# The spec


def test_an_extra_loss_is_in_the_identity_and_no_extra_loss_is_not():
    assert DENSE.identity.startswith("11ff6f2c0aba")
    assert "extra" not in canonical(DENSE)
    other = DENSE.replace(order=1)
    losses = [
        None,
        Repel(runs=(DENSE,), strength=2),
        Repel(runs=(DENSE,), strength=-1),
        Repel(runs=(other,), strength=2),
        Repel(runs=(DENSE, other), strength=2),
        Anchor(strength=2),
        Anchor(run=DENSE, strength=2),
        Anchor(run=other, strength=2),
    ]
    assert len({DENSE.replace(extra=loss).identity for loss in losses}) == len(losses)
    text = canonical(DENSE.replace(extra=losses[4]))
    assert DENSE.identity in text
    assert other.identity in text
    for loss in losses:
        run = DENSE.replace(extra=loss)
        assert Run(**run.model_dump()) == run
        assert run.replace(extra=None) == DENSE


def test_kinds_and_parents():
    other, first = DENSE.replace(order=1), tickets.imp(DENSE, rounds=1)[0]
    second = tickets.ticket(DENSE, Magnitude(run=first, rate=0.2), rewind=1)
    kinds = {
        "repelled": (Repel(runs=(other, first), strength=2), (DENSE, first, other)),
        "attracted": (Repel(runs=(first,), strength=-1), (DENSE, first)),
        "anchored": (Anchor(run=other, strength=-1), (DENSE, first, other)),
    }
    for kind, (loss, parents) in kinds.items():
        run = second.replace(extra=loss)
        assert run.kind == kind
        assert run.name == f"{kind}-{run.identity[:12]}"
        assert set(run.parents) == set(parents)
        assert len(run.parents) == len(parents)
    assert DENSE.replace(extra=Anchor(strength=1)).parents == ()
    assert second.kind == "rewound"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Repel(runs=(), strength=2), "Repel: repel needs at least one run"),
        (lambda: Repel(runs=(DENSE, DENSE), strength=2), "names a run twice"),
        (lambda: Repel(runs=(DENSE,), strength=0), "a strength of 0 is no extra loss"),
        (lambda: Anchor(strength=0), "a strength of 0 is no extra loss"),
        (lambda: Anchor(strength=math.nan), "strength"),
        (lambda: Repel(runs=(DENSE,)), "'strength' is missing"),
        (lambda: Repel(run=(DENSE,), strength=2), "did you mean 'runs'"),
        (lambda: DENSE.replace(extra={"kind": "atract", "strength": 2}), "'repel', 'anchor'"),
        (lambda: DENSE.replace(network=Network(width=2), extra=Repel(runs=(DENSE,), strength=2)), "same network"),
        (lambda: DENSE.replace(network=Network(width=2), extra=Anchor(run=DENSE, strength=2)), "same network"),
    ],
)
def test_mistakes_are_one_clear_line(make, says):
    with pytest.raises(UserError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


# Runs


def test_imp_repels_all_earlier_rounds_or_the_last():
    plain, chain = tickets.imp(DENSE, rounds=3), tickets.imp(DENSE, rounds=3, repel=2.0)
    assert [run.extra.runs for run in chain] == [(DENSE,), (DENSE, chain[0]), (DENSE, *chain[:2])]
    assert {run.extra.strength for run in chain} == {2.0}
    assert [run.mask.run for run in chain] == [DENSE, *chain[:2]]  # it prunes what was repelled
    assert {run.start for run in chain} == {DENSE.start}
    last = tickets.imp(DENSE, rounds=3, repel=-1.0, last_only=True)
    assert [run.extra.runs for run in last] == [(DENSE,), (last[0],), (last[1],)]
    rewound = tickets.imp(DENSE, rounds=2, repel=2.0, rewind=1)[1]
    assert rewound.start == From(run=DENSE, epoch=1, resume=1)
    assert [run.extra for run in plain] == [None] * 3


def test_the_reinitialised_control_has_the_same_loss():
    chain = tickets.imp(DENSE, rounds=2, repel=2.0)
    control = tickets.reinit(chain[1])
    assert (control.extra, control.mask) == (chain[1].extra, chain[1].mask)
    assert control.start == Init(draw=1)
    plain = tickets.imp(DENSE, rounds=2)
    other = tickets.repelled(tickets.reinit(plain[1]), [DENSE, plain[0]], -1.0)
    assert other.extra == Repel(runs=(DENSE, plain[0]), strength=-1.0)
    assert other.replace(extra=None) == tickets.reinit(plain[1])


# Training


def job_of(run, mask=None, seed=0):
    """A job whose references are its start, half covered by other fresh weights, instead of trained ones."""
    frame = material.frame(run, None)
    mask, names = mask or {}, models.prunable(run.network, *frame)
    weights = masks.apply(models.init(run.network, *frame, run.start), mask)
    if run.extra is None:
        return Job(run, weights, mask)
    count = len(run.extra.runs) if isinstance(run.extra, Repel) else 1
    others = [models.init(run.network, *frame, Init(seed=9, draw=seed + k)) for k in range(count)]
    covered = [masks.apply({n: weights[n] + other[n] for n in names}, mask) for other in others]
    return Job(run, weights, mask, extra={n: torch.stack([other[n] for other in covered]) for n in names})


def mask_of(run, density=0.4, seed=0):
    weights = models.init(run.network, *material.frame(run, None), Init())
    shapes = {name: tuple(weights[name].shape) for name in models.prunable(run.network, *material.frame(run, None))}
    return random_mask(shapes, {n: round(density * math.prod(s)) for n, s in shapes.items()}, generator("test", seed))


def stepped(jobs, steps, double=False, **options):
    """A cohort after some steps, without the loop around it; `double`: in fp64, where rounding hides no mistake."""
    cohort = Cohort(jobs, CPU, **options)
    if double:
        cohort.net.double()
        cohort.lr, cohort.mean, cohort.std = (t.double() for t in (cohort.lr, cohort.mean, cohort.std))
        cohort.slots = {slot: {n: t.double() for n, t in each.items()} for slot, each in cohort.slots.items()}
        cohort._decays = cohort._decays and [t.double() for t in cohort._decays]
        cohort.normal = lambda x: data.normalise(x, cohort.mean, cohort.std).double()
        cohort.images = cohort.images.double()
        mine = cohort.extra
        cohort.extra = mine and replace(mine, strength=mine.strength.double(), references=mine.references.double())
    for step in range(steps):
        if step % cohort.time.per_epoch == 0:
            cohort.begin_epoch(step // cohort.time.per_epoch)
        cohort.step(step)
    return cohort


def gap(a, b):
    """The largest difference of two networks, in units of the largest number of the tensor."""
    assert a.keys() == b.keys()
    return max(float((a[n] - b[n]).abs().max() / a[n].abs().max().clamp(min=1e-3)) for n in a)


def two(dense):
    return (dense.replace(order=90), dense.replace(order=91))


LOSSES = {
    "repel": lambda dense, strength: Repel(runs=two(dense), strength=strength),
    "anchor": lambda dense, strength: Anchor(run=two(dense)[0], strength=strength),
}
STRONG = {"repel": 10.0, "anchor": 1.0}  # a cosine's gradient is small: so that it shows after a few steps
RECIPES = {
    "sgd": SGD.replace(nesterov=True, weight_decay=0.05),
    "adam": SGD.replace(optimizer="adam", lr=0.01),
    "plain": SGD.replace(momentum=0, weight_decay=0),
}


@pytest.mark.parametrize(("network", "recipe"), [(LENET, "sgd"), (LENET, "adam"), (LENET, "plain"), (RESNET, "sgd")])
@pytest.mark.parametrize("kind", LOSSES)
def test_a_cohort_equals_lone_trainings(dense, network, kind, recipe):
    """Three members with masks, references and strengths of their own, and each against a run without its loss.

    In fp32 not for the ResNet: one of its ReLUs gets an input of 6e-7, whose sign is the rounding's.
    """
    base = dense.replace(network=network, recipe=RECIPES[recipe])
    runs = [base.replace(extra=LOSSES[kind](base, strength * STRONG[kind])) for strength in (2.0, -1.0, 0.5)]
    own = (None, mask_of(base), None)
    jobs = [job_of(run, mask, seed=2 * r) for r, (run, mask) in enumerate(zip(runs, own, strict=True))]
    for double, tolerance in [(True, 1e-10), (False, 1e-4)][: 2 if network == LENET else 1]:
        together = stepped(jobs, 4, double)
        for r, job in enumerate(jobs):
            alone = stepped([job], 4, double).member(0)
            assert gap(together.member(r), alone) < tolerance
            assert gap(alone, stepped([job_of(base, job.mask)], 4, double).member(0)) > 3e-3


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("recipe", ["sgd", "adam"])
def test_a_slow_training_on_both_losses_gives_the_same_weights(dense, kind, recipe):
    """torch.optim on cross-entropy plus the sheet's formula, by autograd; the mask is multiplied after each step."""
    run = dense.replace(recipe=RECIPES[recipe])
    run = run.replace(extra=LOSSES[kind](run, -STRONG[kind]))
    mask, recipe = mask_of(run), run.recipe
    job = job_of(run, mask)
    source, net = Cohort([job], CPU), models.build(run.network, (1, 8, 8), 4).double().train()
    net.load_state_dict({name: t.unsqueeze(0) for name, t in job.weights.items()})
    parameters = dict(net.named_parameters())
    if recipe.optimizer == "adam":
        optimizer = torch.optim.Adam(parameters.values(), recipe.lr, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.SGD(
            parameters.values(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
        )
    others = torch.cat([job.extra[name].flatten(1) for name in mask], 1).double()
    kept = torch.cat([m.flatten() for m in mask.values()])
    for step in range(9):
        if step == 0:
            source.begin_epoch(0)
        x, y = source.batch(step)
        theta = torch.cat([parameters[name].flatten() for name in mask])
        loss = F.cross_entropy(net(x.double())[0], y[0]) + slow_loss(kind, theta, others, kept, -STRONG[kind])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for name, m in mask.items():
                parameters[name].mul_(m)
    fast = stepped([job], 9, double=True).member(0)
    assert gap(fast, {name: t[0].detach() for name, t in net.state_dict().items()}) < 1e-4


def test_a_probe_can_log_the_loss(dense):
    run = dense.replace(extra=Repel(runs=two(dense), strength=2.0))
    mask = mask_of(run)
    job = job_of(run, mask)
    seen, cohort = [], Cohort([job], CPU)
    cohort.begin_epoch(0)
    for step in range(9):
        seen.append(extra.loss(cohort.extra, cohort.weights).item())
        cohort.step(step)
    theta, others = (torch.cat([t[n].flatten(f) for n in mask], f) for t, f in ((job.weights, 0), (job.extra, 1)))
    kept = torch.cat([m.flatten() for m in mask.values()])
    assert seen[0] == pytest.approx(float(slow_loss("repel", theta, others, kept, 2.0)), rel=1e-4)
    assert seen == sorted(seen, reverse=True)
    assert seen[8] < 0.95 * seen[0]


def test_who_may_share_a_cohort(dense):
    a, b = two(dense)
    alike = [Repel(runs=(a,), strength=2), Repel(runs=(b,), strength=-1)]
    assert len({cohort_key(dense.replace(extra=loss)) for loss in alike}) == 1
    others = [None, alike[0], Repel(runs=(a, b), strength=2), Anchor(strength=2)]
    assert len({cohort_key(dense.replace(extra=loss)) for loss in others}) == 4
    assert cohort_key(dense.replace(extra=Anchor(strength=2))) == cohort_key(
        dense.replace(extra=Anchor(run=a, strength=1))
    )


def test_runs_without_an_extra_loss_pay_nothing(dense, monkeypatch):
    calls = []
    monkeypatch.setattr(extra, "add", lambda *args: calls.append(args))
    monkeypatch.setattr(extra, "stack", lambda *args: calls.append(args))
    assert stepped([job_of(dense), job_of(dense.replace(order=1))], 2).extra is None
    assert calls == []


def test_bf16_networks_are_repelled_in_fp32(dense):
    """After one step of plain SGD the difference that the loss makes is -lr times its gradient, to fp32's precision."""
    recipe = RECIPES["plain"].replace(precision="bf16")
    plain = dense.replace(recipe=recipe)
    run = plain.replace(extra=Repel(runs=two(plain), strength=2.0))
    job, mask = job_of(run, mask_of(run)), mask_of(run)
    before = Cohort([job], CPU)
    nothing = [torch.zeros_like(t) for t in before.weights.values()]
    expected = dict(zip(before.weights, extra.add(before.extra, before.weights, nothing), strict=True))
    with_it, without = stepped([job], 1), stepped([job_of(plain, mask)], 1)
    assert {t.dtype for t in with_it.state().values()} == {torch.float32}
    for name, leaf in with_it.leaves.items():
        moved = without.weights[name] - with_it.weights[name]
        assert torch.allclose(moved, recipe.lr * expected[name], rtol=1e-3, atol=1e-7)
        assert bool(moved.any()) == (name in mask)
        assert leaf.dtype == torch.bfloat16
        assert torch.equal(leaf, with_it.weights[name].bfloat16())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["sgd", "adam"])
def test_a_compiled_step_equals_an_eager_one(dense, recipe):
    from ltkit.train.device import can_compile

    if not can_compile("cpu"):
        pytest.skip("nothing to compile with")
    base = dense.replace(recipe=RECIPES[recipe])
    runs = [base.replace(extra=Repel(runs=two(base), strength=strength)) for strength in (2.0, -1.0)]
    jobs = [job_of(runs[0], mask_of(base)), job_of(runs[1], seed=2)]
    eager, compiled = stepped(jobs, 4), stepped(jobs, 4, compile=True)
    assert all(gap(eager.member(r), compiled.member(r)) < 1e-4 for r in range(2))


# In the lab


def angles(lab, dense, chain):
    """The angular distance of each pair of rounds, 0 the dense network."""
    runs = dict(enumerate([dense, *chain]))
    names = models.prunable(dense.network, (1, 8, 8), 4)
    states, kept = ({key: read(run) for key, run in runs.items()} for read in (lab.weights, lab.mask))
    table = matrix(states, kept, names, lab.weights(dense, 0))
    return {(row.a, row.b): row.distance for row in table.itertuples() if row.a != "init"}


def chain_of(dense, strength=None, **options):
    return tickets.imp(dense, rounds=3, rate=0.3, repel=strength, **options)


def test_repelled_rounds_are_further_from_all_earlier_optima_and_attracted_ones_closer(dense, lab):
    chains = {strength: chain_of(dense, strength) for strength in (None, 2.0, -1.0)}
    lab.run([run for chain in chains.values() for run in chain])
    plain, repelled, attracted = (angles(lab, dense, chain) for chain in chains.values())
    assert plain.keys() == {(a, b) for a in range(4) for b in range(a + 1, 4)}
    for pair, angle in plain.items():
        assert attracted[pair] < 0.95 * angle
        assert repelled[pair] > 1.1 * angle


def test_repelling_the_last_round_only_makes_rounds_alternate(dense, lab):
    """Claim C11: closer to the round before the last than to the last one."""
    chain = chain_of(dense, 2.0, last_only=True)
    lab.run(chain)
    found = angles(lab, dense, chain)
    assert found[0, 2] < found[1, 2]
    assert found[1, 3] < found[2, 3]


@pytest.mark.parametrize("network", [LENET, RESNET], ids=["lenet", "resnet"])
def test_anchors_hold_or_push_away(dense, network, lab):
    dense = dense.replace(network=network)
    plain = tickets.imp(dense, rounds=1, rate=0.5)[0]
    anchored = {
        (where, strength): plain.replace(extra=Anchor(run=where, strength=strength))
        for where in (None, dense)
        for strength in (0.1, -0.1)
    }
    lab.run([plain, *anchored.values()])
    mask = lab.mask(plain)

    def distance(run, where):
        weights, reference = lab.weights(run), lab.weights(run, 0) if where is None else lab.weights(where)
        return math.sqrt(sum(float((weights[n] - reference[n])[mask[n]].square().sum()) for n in mask))

    for where in (None, dense):
        near, far = (distance(anchored[where, strength], where) for strength in (0.1, -0.1))
        assert near < 0.8 * distance(plain, where) < 0.8 * 0.8 * far
    assert all(not lab.weights(run)[n][~mask[n]].any() for run in anchored.values() for n in mask)


def test_a_jobs_references_are_the_final_weights_under_its_own_mask(dense, lab):
    chain = chain_of(dense, 2.0)
    lab.run(chain)
    job, mask = material.job(chain[1], lab.store, None), lab.mask(chain[1])
    assert job.extra.keys() == mask.keys() == set(models.prunable(LENET, (1, 8, 8), 4))
    for name, stacked in job.extra.items():
        for other, reference in zip((dense, chain[0]), stacked, strict=True):
            assert torch.equal(reference, lab.weights(other)[name] * mask[name])
    start = chain[1].replace(start=From(run=dense, permute=1), extra=Anchor(strength=1))
    job = material.job(start, lab.store, None)
    assert all(torch.equal(job.extra[name][0], job.weights[name]) for name in mask)
    unmasked = material.job(dense.replace(extra=Anchor(run=chain[1], strength=1)), lab.store, None)
    assert unmasked.mask == {}
    assert all(torch.equal(unmasked.extra[name][0], lab.weights(chain[1])[name]) for name in mask)
    assert unmasked.extra.keys() == mask.keys()
    assert material.job(dense, lab.store, None).extra == {}


def test_references_are_trained_first(dense, lab, monkeypatch):
    order, real = [], lab_module.train

    def spy(jobs, *args, **options):
        order.append([job.run.name for job in jobs])
        return real(jobs, *args, **options)

    monkeypatch.setattr(lab_module, "train", spy)
    short = dense.replace(recipe=SGD.replace(epochs=1))
    others = [short.replace(order=3), short.replace(recipe=SGD.replace(epochs=2))]
    run = tickets.repelled(short, others, 2.0)
    anchored = short.replace(extra=Anchor(run=run, strength=0.1))
    twins = [tickets.repelled(short.replace(order=1), others, -1.0), anchored.replace(order=1)]
    lab.run([anchored, *twins])
    names = [name for cohort in order for name in cohort]
    assert len(names) == len(set(names)) == 6
    assert set(order[-1]) == {anchored.name, twins[1].name}  # one cohort, and so the two below
    assert {run.name, twins[0].name} in [set(cohort) for cohort in order]
    for each in (run, anchored, *twins):
        assert all(names.index(parent.name) < names.index(each.name) for parent in each.parents)


@pytest.mark.parametrize("loss", ["repel", "anchor", "start"])
def test_a_killed_training_resumes_to_the_same_bits(dense, make_lab, monkeypatch, loss):
    first = tickets.imp(dense, rounds=1, rewind=1)[0]
    losses = {"repel": Repel(runs=(dense, first), strength=2.0), "anchor": Anchor(run=first, strength=0.1)}
    run = tickets.ticket(dense, Magnitude(run=first, rate=0.2), 1).replace(
        extra=losses.get(loss, Anchor(strength=-0.1))
    )
    undisturbed, lab = make_lab("undisturbed"), make_lab("killed", save_seconds=0)
    undisturbed.run([run])
    lab.run([first])
    seen, real = [], Cohort.step

    def step(self, number):
        if number == 22 and 22 not in seen:
            seen.append(number)
            raise KeyboardInterrupt
        seen.append(number)
        real(self, number)

    monkeypatch.setattr(Cohort, "step", step)
    with pytest.raises(KeyboardInterrupt):
        lab.run([run])
    made = len(seen)
    lab.run([run])
    assert seen[made] == 18  # the third epoch from its beginning
    ends = [each.store.content(run.name, "weights.safetensors") for each in (undisturbed, lab)]
    assert ends[0] == ends[1]


def test_a_reference_that_diverged_leaves_the_run_undefined(dense, lab):
    wild = dense.replace(recipe=SGD.replace(lr=100.0, momentum=0.99))
    runs = [tickets.repelled(dense, [wild, dense], 2.0), dense.replace(extra=Anchor(run=wild, strength=1.0))]
    lab.run(runs)
    assert lab.store.done(wild.name)["outcome"] == "diverged"
    for run in runs:
        assert lab.store.done(run.name)["outcome"] == "undefined"
        assert wild.name in lab.store.done(run.name)["reason"]


def test_references_of_other_images_are_one_clear_line(dense, lab, tmp_path):
    x, y = np.zeros((40, 4, 4), np.uint8), np.arange(40) % 4
    np.savez(tmp_path / "small.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    other = dense.replace(task=Task(data=f"npz:{tmp_path / 'small.npz'}"), recipe=SGD.replace(epochs=1))
    run = tickets.repelled(tickets.ticket(dense, Random(density=0.5)), [other], 2.0)
    with pytest.raises(UserError, match=f"{run.name}: {other.name} was trained on images of another shape") as caught:
        lab.run([run])
    assert "\n" not in str(caught.value)
