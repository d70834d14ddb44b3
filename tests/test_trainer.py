"""The trainer: a cohort against lone trainings, and both against torch.nn, torch.optim and arithmetic by hand."""

import math
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ltkit import data, models
from ltkit.errors import UserError
from ltkit.lab.material import frame
from ltkit.models.plain import torch_module
from ltkit.prune import masks
from ltkit.prune.distribution import random_mask
from ltkit.seeds import generator
from ltkit.spec import From, Init, Network, Recipe, Run
from ltkit.train import Cohort, Job, cohort_key, evaluate, loop, train
from ltkit.train.schedule import Clock, clock, factor

CPU = torch.device("cpu")
LENET, LENET_5 = Network(width=0.1), Network(arch="lenet_5", norm="batch")
RESNET, MOBILENET = Network(arch="resnet8", width=0.25), Network(arch="mobilenet_v1", width=0.06)
SGD = {"epochs": 2, "lr": 0.05, "batch_size": 16, "weight_decay": 0.001}


def run_of(task, network=LENET, **changes):
    recipe = {**SGD, **{key: changes.pop(key) for key in list(changes) if key in Recipe.model_fields}}
    return Run(task=task, network=network, recipe=Recipe(**recipe), **changes)


def mask_of(run, density=0.4, seed=0):
    shape, classes = frame(run, None)
    weights = models.init(run.network, shape, classes, Init())
    shapes = {name: tuple(weights[name].shape) for name in models.prunable(run.network, shape, classes)}
    kept = {name: max(1, round(density * math.prod(shape))) for name, shape in shapes.items()}
    return random_mask(shapes, kept, generator("test", seed))


def job_of(run, mask=None, keep=(), slots=None):
    weights = models.init(run.network, *frame(run, None), run.start)
    return Job(run, masks.apply(weights, mask or {}), mask or {}, slots or {}, frozenset(keep))


def stepped(jobs, steps, first=0, double=False, **options):
    """A cohort after some steps, without the loop around it; `double`: in fp64, where rounding hides no mistake."""
    cohort = Cohort(jobs, CPU, **options)
    if double:
        cohort.net.double()
        cohort.lr, cohort.mean, cohort.std = (t.double() for t in (cohort.lr, cohort.mean, cohort.std))
        cohort.slots = {slot: {n: t.double() for n, t in each.items()} for slot, each in cohort.slots.items()}
        cohort._decays = cohort._decays and [t.double() for t in cohort._decays]
        cohort.normal = lambda x: data.normalise(x, cohort.mean, cohort.std).double()
        cohort.images = cohort.images if cohort.augmented else cohort.images.double()
    for step in range(first, first + steps):
        if step % cohort.time.per_epoch == 0 or step == first:
            cohort.begin_epoch(step // cohort.time.per_epoch)
        cohort.step(step)
    return cohort


def gap(a, b, but=()):
    """The largest difference of two networks, in units of the largest number of the tensor."""
    assert a.keys() == b.keys()
    return max(float((a[n] - b[n]).abs().max() / a[n].abs().max().clamp(min=1e-3)) for n in a if n not in but)


# A cohort of R equals R lone trainings


@pytest.mark.parametrize(
    ("network", "recipe", "augmentation"),
    [
        (LENET, {}, {}),
        (LENET, {"nesterov": True, "label_smoothing": 0.1}, {"crop": 1, "flip": True}),
        (LENET, {"optimizer": "adam", "lr": 0.01}, {}),
        (RESNET, {}, {"crop": 1}),
        (RESNET, {"optimizer": "adam", "lr": 0.01}, {"flip": True}),
        (MOBILENET, {"lr": 0.01}, {}),
    ],
)
def test_a_cohort_equals_lone_trainings(tiny, network, recipe, augmentation):
    """Nine members, each different in one thing from the first; after some steps each is where it would be alone.

    In fp64 for all. In fp32 for LeNet alone: under another kernel's rounding a unit of a ResNet changes sides at 0 and
    its BatchNorms carry that on; MobileNet's 27 on maps of one pixel blow rounding up a thousandfold a step.
    """
    task = tiny.replace(subset=0.8, **augmentation)
    base = run_of(task, network, **recipe)
    members = [
        job_of(base),
        job_of(base.replace(recipe=base.recipe.replace(lr=base.recipe.lr * 2))),
        job_of(base.replace(recipe=base.recipe.replace(weight_decay=0.3))),
        job_of(base, mask_of(base)),
        job_of(base.replace(start=Init(seed=1, draw=1)), mask_of(base, 0.2, 1)),
        job_of(base.replace(order=5)),
        job_of(base.replace(task=task.replace(labels="random", corruption_seed=3))),
        job_of(base.replace(task=task.replace(pixels="shuffled", corruption_seed=4))),
        job_of(base.replace(task=task.replace(subset_seed=1))),
    ]
    steps, tolerances = (2, [(True, 1e-4)]) if network == MOBILENET else (4, [(True, 1e-10)])
    tolerances += [(False, 1e-4)] if network == LENET else []
    for double, tolerance in tolerances:
        together = stepped(members, steps, double=double)
        for r, job in enumerate(members):
            assert gap(together.member(r), stepped([job], steps, double=double).member(0)) < tolerance
            if r:
                assert gap(together.member(r), together.member(0)) > 1e-2  # what differs makes a difference


def test_a_member_keeps_its_own_optimizer_state(tiny):
    """Adam's count of steps is the member's own: a rewound and a fresh one can train side by side."""
    run = run_of(tiny, optimizer="adam", lr=0.01)
    past = stepped([job_of(run.replace(order=1))], 9)
    rewound = Job(run, past.member(0), slots=past.member_slots(0))
    assert int(rewound.slots["updates"]) == 9
    together = stepped([rewound, job_of(run)], 4, first=9)
    for r, job in enumerate([rewound, job_of(run)]):
        alone = stepped([job], 4, first=9)
        assert gap(together.member(r), alone.member(0)) < 1e-5
        assert int(together.member_slots(r)["updates"]) == (13, 4)[r]


def test_another_optimizers_state_is_none(tiny):
    sgd = stepped([job_of(run_of(tiny))], 5)
    adam = run_of(tiny, optimizer="adam", lr=0.01)
    inherited = stepped([Job(adam, sgd.member(0), slots=sgd.member_slots(0))], 3)
    fresh = stepped([Job(adam, sgd.member(0))], 3)
    assert gap(inherited.member(0), fresh.member(0)) == 0


def test_what_may_share_a_cohort(tiny):
    base = run_of(tiny)
    alike = [base.replace(recipe=base.recipe.replace(lr=0.3)), base.replace(order=3), base.replace(start=Init(seed=2))]
    assert {cohort_key(run) for run in alike} == {cohort_key(base)}
    others = [
        run_of(tiny, batch_size=8),
        run_of(tiny, momentum=0.5),
        run_of(tiny, weight_decay=0),
        run_of(tiny, RESNET),
        run_of(tiny.replace(crop=1)),
        run_of(tiny.replace(split_seed=1)),
        base.replace(start=From(run=base, epoch=1, resume=1)),
    ]
    assert len({cohort_key(run) for run in [base, *others]}) == 8
    with pytest.raises(ValueError, match="can't share a cohort"):
        Cohort([job_of(base), job_of(others[0])], CPU)


@pytest.mark.parametrize("network", [LENET, LENET_5, RESNET])
def test_bf16_layers_compute_what_autocast_would(tiny, network):
    """The layers hold bf16 copies of the weights; losses and gradients are autocast's on the fp32 ones, bit for bit."""
    run = run_of(tiny, network, precision="bf16")
    cohort = stepped([job_of(run, mask_of(run)), job_of(run.replace(order=1))], 3)
    (x, y), net = cohort.batch(3), models.build(network, (1, 8, 8), 4, 2).train()
    net.load_state_dict({name: tensor.detach() for name, tensor in cohort.state().items()})
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(x).float()
    loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view(2, -1).mean(1)
    grads = dict(zip(dict(net.named_parameters()), torch.autograd.grad(loss.sum(), net.parameters()), strict=True))
    ours, _ = cohort._loss(cohort.net, x, y, 0.0, True)
    assert torch.equal(ours, loss)
    for name, grad in zip(cohort.leaves, torch.autograd.grad(ours.sum(), cohort.leaves.values()), strict=True):
        assert torch.equal(grad.float(), grads[name])


@pytest.mark.parametrize("weight_decay", [0, 0.01])
@pytest.mark.parametrize("recipe", [{"momentum": 0}, {}, {"nesterov": True}, {"optimizer": "adam", "lr": 0.005}])
def test_bf16_updates_fp32_weights_by_every_optimizer(tiny, recipe, weight_decay):
    runs = [run_of(tiny, precision=p, weight_decay=weight_decay, **recipe) for p in ("bf16", "fp32")]
    rough, exact = (stepped([job_of(run, mask_of(run))], 3) for run in runs)
    assert {tensor.dtype for tensor in rough.state().values()} == {torch.float32}
    assert 0 < gap(rough.member(0), exact.member(0)) < 0.5
    for name, leaf in rough.leaves.items():
        assert leaf.dtype == torch.bfloat16
        assert torch.equal(leaf, rough.weights[name].bfloat16())
        assert not torch.equal(leaf.float(), rough.weights[name])
    for name, mask in rough.masks.items():
        assert not rough.leaves[name][~mask].any()


def test_bf16_cohorts_keep_fp32_weights_and_end_where_lone_ones_do(tiny):
    run = run_of(tiny, precision="bf16")
    jobs = [job_of(run), job_of(run.replace(order=1))]
    together = stepped(jobs, 4)
    assert {t.dtype for t in together.member(0).values()} == {torch.float32}
    assert gap(together.member(1), stepped(jobs[1:], 4).member(0)) < 0.02
    assert 0 < gap(together.member(0), stepped([job_of(run_of(tiny))], 4).member(0)) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("network", [LENET, Network(arch="lenet_5")])
def test_a_compiled_step_equals_an_eager_one(tiny, network):
    """Adam with masks and decay; SGD is compiled in test_lab.py. LeNet-5's second convolution is a product here."""
    from ltkit.train.device import can_compile

    if not can_compile("cpu"):
        pytest.skip("nothing to compile with")
    run = run_of(tiny, network, optimizer="adam", lr=0.01, batch_size=32)
    jobs = [job_of(run, mask_of(run)), job_of(run.replace(order=1))]
    eager, compiled = stepped(jobs, 4), stepped(jobs, 4, compile=True)
    assert all(gap(eager.member(r), compiled.member(r)) < 1e-4 for r in range(2))
    assert not compiled.member(0)["fc1.weight"][~jobs[0].mask["fc1.weight"]].any()


# Against a slow reference: an ordinary network, torch.optim, the mask multiplied after each step


def ordinary(run, weights):
    """The same network in torch.nn, its parameters under the same names; a ResNet's layers in the cohort's order."""
    network, net = run.network, nn.Module()
    if network.arch not in ("lenet_300_100", "lenet_5"):
        net = torch_module(network, *frame(run, None), weights).train()
        return net, net
    if network.arch == "lenet_5":
        for name in ("conv1", "conv2"):
            out, inputs = weights[f"{name}.weight"].shape[:2]
            net.add_module(name, nn.Conv2d(inputs, out, 5, padding=2))
            net.add_module(name.replace("conv", "bn"), nn.BatchNorm2d(out))
    for name in ("fc1", "fc2", "fc3"):
        net.add_module(name, nn.Linear(*weights[f"{name}.weight"].shape[::-1]))
    missing = net.load_state_dict(dict(weights), strict=False)
    assert not missing.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in missing.missing_keys)

    def forward(x):
        if network.arch == "lenet_5":
            x = F.max_pool2d(net.bn1(net.conv1(x)).relu(), 2)
            x = F.max_pool2d(net.bn2(net.conv2(x)).relu(), 2)
        return net.fc3(net.fc2(net.fc1(x.flatten(1)).relu()).relu())

    return net, forward


def batches(run):
    """The batches of an epoch after another, picked, cropped and flipped image by image."""
    dataset, crop = data.load(run.task), run.task.crop
    n, size = len(dataset.train_y), run.recipe.batch_size
    for epoch in range(run.recipe.epochs):
        order = data.order(run.order, epoch, n)
        shifts, flips = data.shifts(run.order, epoch, n, crop), data.flips(run.order, epoch, n)
        for first in range(0, n - size + 1, size):
            images = []
            for at in range(first, first + size):
                top, left = shifts[at].tolist()
                image = F.pad(dataset.train_x[order[at]], [crop] * 4)[:, top : top + 8, left : left + 8]
                images.append(image.flip(2) if run.task.flip and flips[at] else image)
            x = (torch.stack(images) / 255 - dataset.mean[:, None, None]) / dataset.std[:, None, None]
            yield x, dataset.train_y[order[first : first + size]]


def slow_training(run, mask, schedule=None, steps=10):
    recipe = run.recipe
    net, forward = ordinary(run, job_of(run, mask).weights)
    net.double()
    if recipe.optimizer == "adam":
        optimizer = torch.optim.Adam(net.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    else:
        optimizer = torch.optim.SGD(
            net.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=recipe.nesterov
        )
    scheduler = schedule(optimizer) if schedule else None
    for _, (x, y) in zip(range(steps), batches(run), strict=False):
        log = forward(x.double()).log_softmax(1)
        smooth = recipe.label_smoothing
        loss = -((1 - smooth) * log.gather(1, y[:, None])[:, 0] + smooth * log.mean(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name in mask:
                    parameter.mul_(mask[name])
    return {name: t.detach() for name, t in net.state_dict().items() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    ("network", "recipe", "augmentation"),
    [
        (LENET, {"momentum": 0}, {}),
        (LENET, {"momentum": 0.9}, {}),
        (LENET, {"nesterov": True, "weight_decay": 0.05}, {"crop": 2, "flip": True}),
        (LENET, {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.05}, {}),
        (LENET, {"label_smoothing": 0.3, "weight_decay": 0}, {"flip": True}),
        (LENET_5, {}, {}),
        (LENET_5, {"optimizer": "adam", "lr": 0.01}, {"crop": 1}),
        (Network(arch="resnet20", width=0.25), {}, {"crop": 1, "flip": True}),
    ],
)
def test_a_slow_training_with_torchs_optimizers_gives_the_same_weights(tiny, network, recipe, augmentation):
    run = run_of(tiny.replace(**augmentation), network, order=7, **recipe)
    mask = mask_of(run)
    other = run.replace(order=8)  # in a cohort, where sharing would show
    fast = stepped([job_of(run, mask), job_of(other)], 10, double=True).member(0)
    slow = slow_training(run, mask)
    # Before BatchNorm a bias has no gradient but rounding noise, which Adam blows up to steps of its full size.
    noise = ("conv1.bias", "conv2.bias", "bn1.running_mean", "bn2.running_mean") if recipe.get("optimizer") else ()
    assert gap(fast, slow, noise) < 1e-4
    assert gap(fast, dict(job_of(run, mask).weights)) > 0.05  # it did move


@pytest.mark.parametrize(
    ("recipe", "schedule"),
    [
        (
            {"schedule": "step"},
            lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [9, 14], 0.1),
        ),  # round(0.75 * 18) = 14
        ({"schedule": "cosine"}, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 18)),
        ({"warmup": 1.0}, lambda o: torch.optim.lr_scheduler.LinearLR(o, 1 / 9, 1.0, 8)),
    ],
)
def test_schedules_are_torchs(tiny, recipe, schedule):
    run = run_of(tiny, **recipe)
    fast = stepped([job_of(run, mask_of(run))], 16, double=True).member(0)
    assert gap(fast, slow_training(run, mask_of(run), schedule, 16)) < 1e-4
    time = clock(run.recipe, 144)
    assert (time.batch, time.per_epoch, time.total) == (16, 9, 18)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = schedule(optimizer)
    for step in range(18):
        assert factor(run.recipe, step, time) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        scheduler.step()


def test_warm_up_by_hand():
    recipe, time = Recipe(epochs=3, warmup=1, schedule="step", milestones=(0.5,)), Clock(2, 4, 12)
    assert [factor(recipe, step, time) for step in range(12)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1] + [0.1] * 6)
    cosine = recipe.replace(schedule="cosine")
    assert factor(cosine, 4, time) == 1  # the whole of what follows the warm-up is one half wave
    assert factor(cosine, 8, time) == pytest.approx(0.5)
    assert factor(cosine, 11, time) == pytest.approx((1 + math.cos(math.pi * 7 / 8)) / 2)


def test_incomplete_batches_are_left_out_and_steps_can_end_an_epoch_early():
    assert clock(Recipe(epochs=3, batch_size=10), 45) == Clock(10, 4, 12)
    assert clock(Recipe(epochs=3, batch_size=100), 45) == Clock(45, 1, 3)
    time = clock(Recipe(steps=9, batch_size=10), 45)
    assert (time.total, time.epochs) == (9, 3)


# Masks inside the step


@pytest.mark.parametrize(
    "recipe",
    [{"momentum": 0}, {"momentum": 0.9}, {"nesterov": True}, {"optimizer": "adam", "lr": 0.01}],
)
def test_pruned_weights_stay_zero_and_kept_ones_move_whatever_their_sign(tiny, recipe):
    """Slip (2) of the peers: masking gradients by `weight < threshold` froze every negative weight."""
    run = run_of(tiny, **{"weight_decay": 0.01, **recipe})
    mask = mask_of(run)
    job = job_of(run, mask)
    cohort = Cohort([job, job_of(run)], CPU)
    for step in range(9):
        if step == 0:
            cohort.begin_epoch(0)
        cohort.step(step)
        for name, m in mask.items():
            assert not cohort.member(0)[name][~m].any()
    for name, m in mask.items():
        before, after = job.weights[name], cohort.member(0)[name]
        for sign in (before < 0, before > 0):
            assert (after != before)[m & sign].all()
    assert cohort.member(1)["fc1.weight"][~mask["fc1.weight"]].all()  # its dense neighbour isn't pruned


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "adam", "lr": 0.01}, {"precision": "bf16"}])
def test_a_mask_can_change_in_the_middle(tiny, recipe):
    run = run_of(tiny, **recipe)
    cohort = stepped([job_of(run), job_of(run)], 3)
    dense, name = cohort.member(1), "fc2.weight"
    keep = cohort.weights[name].detach() > 0
    keep[1] = True
    cohort.set_mask(name, keep)
    assert not cohort.member(0)[name][~keep[0]].any()
    assert not cohort.leaves[name][~keep].any()
    assert torch.equal(cohort.member(0)[name][keep[0]], dense[name][keep[0]])
    assert gap(cohort.member(1), dense) == 0
    for step in range(3, 6):
        cohort.step(step)
    assert not cohort.member(0)[name][~keep[0]].any()
    assert (cohort.member(0)[name][keep[0]] != dense[name][keep[0]]).all()
    cohort.set_mask(name, torch.ones_like(keep))  # what grows again starts from 0
    cohort.step(6)
    grown = cohort.member(0)[name][~keep[0]]
    assert (grown != 0).float().mean() > 0.5
    assert gap(cohort.member(1), stepped([job_of(run), job_of(run)], 7).member(1)) == 0


# The loop


def test_the_same_training_twice_is_the_same_bits_and_records_everything(tiny):
    run = run_of(tiny, LENET_5, epochs=3)
    plain = train([job_of(run)], CPU)[0]
    seen = []

    def probe(cohort, step):
        seen.append((step, float(cohort.weights["fc3.bias"].detach().norm())))
        torch.rand(3)  # torch's own stream may be used by a probe
        cohort.member_slots(0)

    torch.manual_seed(1)
    watched = train([job_of(run, keep=(1, 2, 3))], CPU, probes=[probe], tick=lambda *_: None)[0]
    assert all(torch.equal(plain.weights[n], watched.weights[n]) for n in plain.weights)
    assert plain.metrics == watched.metrics
    assert [step for step, _ in seen] == list(range(28))
    assert sorted(watched.checkpoints) == [1, 2, 3]
    assert not plain.checkpoints
    for name, tensor in watched.weights.items():
        assert torch.equal(watched.checkpoints[3][name], tensor)
    first = stepped([job_of(run)], 9)
    reached = {**first.member(0), **{f"slots/{n}": t for n, t in first.member_slots(0).items()}}
    assert reached.keys() == watched.checkpoints[1].keys()
    assert all(torch.equal(watched.checkpoints[1][n], t) for n, t in reached.items())


def test_metrics_are_counts_of_what_was_seen(tiny):
    run = run_of(tiny, epochs=2)
    outcome = train([job_of(run)], CPU)[0]
    rows = {(row["epoch"], row["split"]): row for row in outcome.metrics}
    assert [rows[e, s]["count"] for e in (1, 2) for s in ("train", "validation", "test")] == [144, 16, 80] * 2
    _, forward = ordinary(run, outcome.weights)
    dataset = data.load(tiny)
    x = (dataset.test_x / 255 - dataset.mean[:, None, None]) / dataset.std[:, None, None]
    with torch.no_grad():
        logits = forward(x)
    assert (
        rows[2, "test"]["correct"] == int((logits.argmax(1) == dataset.test_y).sum()) == outcome.final["test"].correct
    )
    assert rows[2, "test"]["loss"] == pytest.approx(float(F.cross_entropy(logits, dataset.test_y)), rel=1e-5)
    cohort, losses, hits = Cohort([job_of(run)], CPU), [], 0
    cohort.begin_epoch(0)
    for step in range(9):
        x, y = cohort.batch(step)
        logits = cohort.net(x)[0].detach()
        losses.append(float(F.cross_entropy(logits, y[0])))
        hits += int((logits.argmax(1) == y[0]).sum())
        cohort.step(step)
    assert rows[1, "train"]["correct"] == hits
    assert rows[1, "train"]["loss"] == pytest.approx(sum(losses) / 9, rel=1e-5)


def test_evaluation_is_the_same_in_pieces_and_leaves_the_network_as_it_was(tiny, monkeypatch):
    cohort = stepped([job_of(run_of(tiny, LENET_5)), job_of(run_of(tiny, LENET_5, order=1))], 9)
    before = cohort.member(0)
    whole = evaluate(cohort.net, *cohort.held_out["test"], 2)
    assert cohort.net.training
    assert gap(before, cohort.member(0)) == 0  # BatchNorm saw nothing
    monkeypatch.setitem(evaluate.__globals__, "IMAGES_AT_ONCE", 14)  # pieces of 7: the last has 3
    pieces = evaluate(cohort.net, *cohort.held_out["test"], 2)
    assert [(p.correct, p.count) for p in pieces] == [(w.correct, w.count) for w in whole]
    assert [p.loss for p in pieces] == pytest.approx([w.loss for w in whole])
    assert whole[0].accuracy == 100 * whole[0].correct / 80


def test_steps_can_end_in_the_middle_of_an_epoch(tiny):
    outcome = train([job_of(run_of(tiny, epochs=None, steps=13), keep=(1, 2))], CPU)[0]
    assert [row["count"] for row in outcome.metrics if row["split"] == "train"] == [144, 64]
    assert int(outcome.checkpoints[1]["slots/updates"]) == 9
    assert int(outcome.checkpoints[2]["slots/updates"]) == 13


def test_what_can_not_be_trained_is_said_in_one_line(tiny):
    short = run_of(tiny, epochs=None, steps=13)
    over = short.replace(start=From(run=short, epoch=2, resume=2))
    weights = job_of(short).weights
    with pytest.raises(UserError, match="nothing is left to train from epoch 2 of 2"):
        train([Job(over, weights)], CPU)
    with pytest.raises(UserError, match="from epoch 0 to 2: no run can start at 5"):
        train([job_of(short, keep=(5,))], CPU)


def test_a_last_update_that_destroys_the_weights_is_divergence_too(tiny):
    """The loss of a step is taken before its update: an epoch of one step ends with a loss that is still a number."""
    outcome = train([job_of(run_of(tiny, epochs=1, batch_size=144, lr=100, momentum=0.99))], CPU, probes=[spoil])[0]
    assert math.isfinite(outcome.final["train"].loss)
    assert not math.isfinite(outcome.final["test"].loss)
    assert outcome.diverged == 1


def spoil(cohort, step):
    """Makes the next update infinite without touching the loss before it."""
    cohort.lr.fill_(float("inf"))


def test_the_state_between_epochs_round_trips(tiny):
    run = run_of(tiny, LENET_5, optimizer="adam", lr=0.01, epochs=3)
    states, jobs = [], [job_of(run), job_of(run.replace(order=1), keep=(1, 3))]
    whole = train(jobs, CPU, save_state=states.append, save_seconds=0)
    assert len(states) == 2  # not after the last epoch
    for state in states:
        again = train(jobs, CPU, state=state)
        for a, b in zip(whole, again, strict=True):
            assert gap(a.weights, b.weights) == 0
            assert a.metrics == b.metrics
            assert a.checkpoints.keys() == b.checkpoints.keys()
            assert all(gap(a.checkpoints[e], b.checkpoints[e]) == 0 for e in a.checkpoints)
    assert [loop.restore(Cohort(jobs, CPU), state).epoch for state in states] == [1, 2]


@pytest.mark.parametrize(("takes", "epochs"), [(0, [2, 4, 6, 8, 10, 12]), (4, [2, 6, 10]), (1000, [2])])
def test_saving_takes_a_tenth_of_the_time_at_most(tiny, monkeypatch, takes, epochs):
    """An epoch of 10 seconds, a state at most every 15; one that takes 4 is next due when 36 are over."""
    now, saved = [0], []

    def tick(epoch, last, accuracy):
        now[0] += 10

    def save(state):
        saved.append(loop.restore(Cohort(jobs, CPU), state).epoch)
        now[0] += takes

    jobs = [job_of(run_of(tiny, epochs=13))]
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    train(jobs, CPU, save_state=save, save_seconds=15, tick=tick)
    assert saved == epochs


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")
def test_memory_that_tensors_free_is_there_for_the_next_ones():
    code = """if True:
        import ctypes, resource, sys
        from ltkit.train.device import keep_memory
        libc = ctypes.CDLL(None)
        libc.malloc.restype = libc.memset.restype = ctypes.c_void_p
        libc.free.argtypes = [ctypes.c_void_p]
        libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
        def faults():  # in a step that fills and frees twelve pieces of 16 MB, with nothing small left between them
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for piece in [libc.memset(libc.malloc(16_000_000), 1, 16_000_000) for _ in range(12)]:
                libc.free(piece)
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        if sys.argv[1] == "keep":
            keep_memory()
        print(*(faults() for _ in range(6)))
    """
    least = {}
    for word in ("keep", "not"):
        done = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=True)
        least[word] = min(map(int, done.stdout.split()))
    assert least["keep"] < 20 < least["not"]  # of 47,000 pages a step, or of 92 huge ones


@pytest.mark.parametrize(
    ("epochs", "expected"), [(1, [1]), (3, [1, 2, 3]), (6, [2, 4, 6]), (7, [2, 4, 6, 7]), (20, [4, 8, 12, 16, 20])]
)
def test_held_out_images_are_scored_now_and_then_and_at_the_end(epochs, expected):
    assert [epoch for epoch in range(1, epochs + 1) if loop.is_scored(epoch, epochs)] == expected
