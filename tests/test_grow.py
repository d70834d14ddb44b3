"""Masks that change while training: an update by hand, the schedules, and trainings against plain torch loops."""

import math
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ltkit import data
from ltkit.errors import UserError
from ltkit.lab import material
from ltkit.prune import masks, tickets
from ltkit.seeds import generator
from ltkit.spec import From, Gradual, Grown, Init, Magnitude, Network, Random, Recipe, Repel, Run, Shuffled, Task
from ltkit.train import Cohort, Job, change, grow, train
from ltkit.train.cohort import cohort_key

CPU = torch.device("cpu")
LENET, LENET_5 = Network(width=0.1), Network(arch="lenet_5", width=0.3, norm="batch")
SGD = Recipe(steps=14, lr=0.125, batch_size=16, weight_decay=2**-7)  # exact in float32
DENSE = Run(task=Task(), network=Network(), recipe=Recipe(epochs=3))


@pytest.fixture
def dense(tiny):
    return Run(task=tiny, network=LENET, recipe=SGD)


def family(dense):
    """A run of each way that a mask can change; nine steps an epoch, fourteen in all."""
    every = {"density": 0.3, "every": 3, "end": 0.9, "drop": 0.5}
    return {
        "rigl": tickets.grown(dense, "rigl", **every),
        "rigl after the step": tickets.grown(dense, "rigl", **every, replaces_step=False),
        "rigl, none again": tickets.grown(dense, "rigl", **every, again=False),
        "inverted": tickets.grown(dense, "rigl_inverted", **every),
        "set": tickets.grown(dense, "set", **every),
        "set after the step": tickets.grown(dense, "set", **every, replaces_step=False, distribution="uniform"),
        "gradual": tickets.gradual(dense, 0.2, begin=0.1, end=0.7, every=2),
        "gradual, global": tickets.gradual(dense, 0.2, begin=0.0, end=1.0, every=4, scope="global"),
    }


# One layer


def test_the_update_of_the_sheet():
    """gradient_flow.md section 8."""
    weights = torch.tensor([0.5, -0.1, 0.3, 0, 0, 0])
    mask = torch.tensor([1, 1, 1, 0, 0, 0]).bool()
    grads = torch.tensor([0.1, 0.9, 0.2, 0.3, 0.8, -0.4])

    def after(method, **options):
        return grow.update(weights, mask, grads, 1, method, **options).nonzero().flatten().tolist()

    assert after("rigl") == [0, 1, 2]
    assert after("rigl", again=False) == [0, 2, 4]
    assert after("rigl_inverted") == [0, 2, 3]
    assert after("rigl_inverted", again=False) == [0, 2, 3]
    assert grow.update(weights, mask, grads, 0, "rigl").tolist() == mask.tolist()
    scores = torch.rand(6, generator=generator("here"))
    expected = max((1, 3, 4, 5), key=lambda i: float(scores[i]))
    assert after("set", generator=generator("here")) == sorted({0, 2, expected})
    with pytest.raises(ValueError, match="unknown method 'riggle'"):
        after("riggle")
    with pytest.raises(ValueError, match="can't keep -1 of 3 weights"):
        grow.update(weights, mask, grads, 4, "rigl")
    with pytest.raises(ValueError, match="can't grow 2 of 0 weights"):
        grow.update(weights, torch.ones_like(mask), grads, 2, "rigl", again=False)


def test_drop_fractions_of_the_sheet():
    fractions = [grow.drop_fraction(t, 25_000, 0.3) for t in (0, 6250, 12_500, 18_750, 25_000)]
    assert [grow.drop_count(f, 100, 900) for f in fractions] == [30, 25, 15, 4, 0]
    assert fractions == pytest.approx([0.3, 0.15 * (1 + 2**-0.5), 0.15, 0.15 * (1 - 2**-0.5), 0])
    assert grow.drop_count(0.29, 100, 900) == 29  # 28.999999999999996 in floats
    assert grow.drop_count(0.3, 100, 10) == 30
    assert grow.drop_count(0.3, 100, 10, again=False) == 10


def by_sorting(weights, mask, scores, k, again):
    """P2 word for word on lists."""
    active = [i for i, m in enumerate(mask) if m]
    kept = sorted(active, key=lambda i: (-abs(weights[i]), i))[: len(active) - k]
    free = [i for i in range(len(mask)) if i not in (kept if again else active)]
    grown = sorted(free, key=lambda i: (-scores[i], i))[:k]
    return [i in kept or i in grown for i in range(len(mask))]


@pytest.mark.parametrize("method", ["rigl", "rigl_inverted", "set"])
@pytest.mark.parametrize("again", [True, False])
def test_updates_are_the_words_of_the_procedure(method, again):
    """Small whole numbers, so that there are many ties; densities from nearly empty to dense."""
    draw = torch.Generator().manual_seed(0)
    for case in range(60):
        weights, grads = (torch.randint(-3, 4, (5, 7), generator=draw).float() for _ in range(2))
        mask = torch.rand(5, 7, generator=draw) < (case % 12) / 10
        active = int(mask.sum())
        k = grow.drop_count(0.1 + 0.9 * (case % 5) / 4, active, 35 - active, again)
        new = grow.update(weights * mask, mask, grads, k, method, generator("case", case), again)
        scores = {
            "rigl": grads.abs().flatten(),
            "rigl_inverted": -grads.abs().flatten(),
            "set": torch.rand(35, generator=generator("case", case)),
        }[method].tolist()
        flat = (weights * mask).flatten().tolist()
        assert new.flatten().tolist() == by_sorting(flat, mask.flatten().tolist(), scores, k, again)
        assert int(new.sum()) == active
        assert new.shape == mask.shape


def test_ranking_is_that_of_other_masks_and_survives_divergence():
    draw = torch.Generator().manual_seed(1)
    for kept in range(31):
        scores = torch.randint(0, 5, (30,), generator=draw).float()
        assert grow.largest(scores, kept).tolist() == masks.top(scores, kept).nonzero().flatten().tolist()
        assert grow.largest(scores.double() / 3, kept).tolist() == grow.largest(scores, kept).tolist()
    wild = torch.tensor([math.nan, 1, math.inf, -math.inf, math.nan])
    found = [grow.largest(wild, kept).tolist() for kept in range(6)]
    assert found == [[], [2], [1, 2], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]]
    for wrong in (6, -1):
        with pytest.raises(ValueError, match=f"can't keep {wrong} of 5"):
            grow.largest(wild, wrong)
    for method in ("rigl", "rigl_inverted", "set"):
        for again in (True, False):
            for weights in (wild, torch.full((5,), math.nan)):
                mask = torch.tensor([True, False, True, False, False])
                new = grow.update(weights, mask, wild, 1, method, generator("here"), again)
                assert int(new.sum()) == 2
    inverted = grow.update(torch.ones(5), mask, wild, 1, "rigl_inverted", again=False)
    assert inverted.nonzero().flatten().tolist() == [0, 1]  # neither what is infinite nor what is no number


def test_the_gradual_schedule_of_the_sheet():
    def gone(t):
        return float(1 - grow.gradual_density(t, 3000, 7000, 0.05))

    assert [gone(t) for t in (3000, 3100, 4000, 5000, 6000, 7000)] == pytest.approx(
        [0, 0.069484, 0.549219, 0.83125, 0.935156, 0.95], abs=5e-7
    )
    assert (gone(0), gone(9000)) == (0, 0.95)
    sizes = (5 * 5 * 6, 5 * 5 * 6 * 16, 256 * 120, 120 * 84, 84 * 10)
    end = grow.gradual_density(7000, 3000, 7000, 0.05)
    assert [grow.gradual_kept(n, end) for n in sizes[:1]] == [8]  # 150 * 0.05 = 7.5
    assert [grow.gradual_kept(n, end) for n in (150, 2400, 30720, 10080, 840)] == [8, 120, 1536, 504, 42]
    assert grow.gradual_kept(3, Fraction(1, 100)) == 1
    spec = Gradual(density=0.05, begin=3000 / 11_719, end=7000 / 11_719, every=100)
    assert [t for t in range(11_719) if change.is_due(spec, t, 11_719)] == list(range(3000, 7001, 100))


def test_when_updates_are_due():
    grown = Grown(method="rigl", mask=Random(density=0.5), every=100, end=25_000 / 32_000)
    assert [t for t in range(32_000) if change.is_due(grown, t, 32_000)] == list(range(100, 25_000, 100))
    assert change.last_update(grown, 32_000) == 24_900
    assert change.last_update(grown, 128) is None
    assert change.last_update(grown, 130) == 100
    uneven = Gradual(density=0.1, begin=0.2, end=0.75, every=3)
    assert [t for t in range(20) if change.is_due(uneven, t, 20)] == [4, 7, 10, 13, 15]  # the end is always reached
    late = Gradual(density=0.1, begin=0.5, end=1.0, every=4)
    assert [t for t in range(20) if change.is_due(late, t, 20)] == [10, 14, 18, 19]
    assert change.last_update(late, 20) == 19
    short = Gradual(density=0.1, begin=0.4, end=0.6, every=5)
    assert [t for t in range(2) if change.is_due(short, t, 2)] == [1]
    assert grow.gradual_density(1, *change.span(short, 2), 0.1) == Fraction(1, 10)


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_gradual_pruning_keeps_the_largest_of_what_is_left(scope):
    weights = {"a": torch.tensor([[9.0, -8, 1], [2, 3, 3]]), "b": torch.tensor([0.1, -0.2, 0.3, 7])}
    alive = {"a": torch.tensor([[True, False, True], [True, True, True]]), "b": torch.ones(4).bool()}
    new = grow.gradual(weights, alive, Fraction(1, 2), scope)
    expected = {
        "layer": ([[1, 0, 0], [0, 1, 1]], [0, 0, 1, 1]),
        "global": ([[1, 0, 0], [1, 1, 1]], [0, 0, 0, 1]),
    }[scope]
    assert (new["a"].int().tolist(), new["b"].int().tolist()) == expected


# The spec


def test_what_changes_has_a_name_and_parents_of_its_own():
    pruned = tickets.gradual(DENSE, 0.1, every=5)
    first = tickets.imp(DENSE, rounds=1)[0]
    nested = Shuffled(mask=Magnitude(run=first, density=0.5), seed=3)
    runs = {
        "grown": (tickets.grown(DENSE, "rigl", density=0.1, every=5), ()),
        "gradual": (pruned, ()),
        "ticket": (tickets.ticket(DENSE, Magnitude(run=pruned, density=0.1)), (pruned,)),
    }
    for kind, (run, parents) in runs.items():
        assert (run.kind, run.parents) == (kind, parents)
        assert Run(**run.model_dump()) == run
    as_in_d = tickets.ticket(DENSE, Grown(method="set", mask=Magnitude(run=pruned, density=0.1), every=5))
    assert (as_in_d.kind, as_in_d.parents) == ("grown", (pruned,))
    deep = DENSE.replace(mask=Grown(method="rigl", mask=nested, every=5), start=From(run=DENSE, epoch=1, resume=1))
    assert deep.parents == (DENSE, first)
    assert deep.kind == "grown"
    assert tickets.reinit(as_in_d).mask == as_in_d.mask
    changes = [{}, {"method": "set"}, {"every": 6}, {"end": 0.5}, {"drop": 0.2}, {"again": False}]
    changes += [{"replaces_step": False}, {"mask": Random(density=0.2)}, {"method": "set", "seed": 1}]
    mask = Grown(method="rigl", mask=Random(density=0.1), every=5)
    assert len({DENSE.replace(mask=mask.replace(**c)).identity for c in changes}) == len(changes)


def test_tickets_that_grow_begin_where_their_static_control_is():
    dense = DENSE.replace(order=7)
    control = tickets.random(dense, density=0.1, distribution="erk")
    for method in ("set", "rigl", "rigl_inverted"):
        run = tickets.grown(dense, method, density=0.1, every=5)
        assert run.mask.mask == control.mask
        assert (run.start, run.order, run.mask.seed) == (dense.start, 7, 7 if method == "set" else 0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Grown(method="rigl", mask=Random(density=0.1), every=0), "every"),
        (lambda: Grown(method="regl", mask=Random(density=0.1), every=1), "method"),
        (lambda: Grown(method="rigl", mask=Random(density=0.1), every=1, seed=1), "seed is for set"),
        (lambda: Grown(method="rigl", mask=Gradual(density=0.1, every=1), every=1), "'random', 'magnitude'"),
        (lambda: Shuffled(mask=Gradual(density=0.1, every=1)), "'dense', 'magnitude'"),
        (lambda: Gradual(density=0.1, every=1, begin=0.6, end=0.6), "begin must lie before end"),
        (lambda: Gradual(density=0.1), "'every' is missing"),
        (
            lambda: tickets.gradual(DENSE, 0.1, every=1).replace(extra=Repel(runs=(DENSE,), strength=1)),
            "can't join a gradual one",
        ),
    ],
)
def test_mistakes_are_one_clear_line(make, says):
    with pytest.raises(UserError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_only_masks_that_stay_are_shuffled_and_inverted():
    for run in (tickets.gradual(DENSE, 0.1, every=1), tickets.grown(DENSE, "set", density=0.1, every=1)):
        with pytest.raises(ValueError, match="can be shuffled"):
            tickets.shuffled(run)
        with pytest.raises(ValueError, match="can be inverted"):
            tickets.inverted(run)


# Training


def job_of(run):
    return material.job(run, None, None)


def stepped(jobs, steps, double=False, listen=None):
    """A cohort after some steps, without the loop around it; `double`: in fp64, where rounding hides no mistake."""
    cohort = Cohort(jobs, CPU)
    if double:
        cohort.net.double()
        cohort.lr, cohort.mean, cohort.std = (t.double() for t in (cohort.lr, cohort.mean, cohort.std))
        cohort.slots = {slot: {n: t.double() for n, t in each.items()} for slot, each in cohort.slots.items()}
        cohort._decays = cohort._decays and [t.double() for t in cohort._decays]
        cohort.normal = lambda x: data.normalise(x, cohort.mean, cohort.std).double()
        cohort.images = cohort.images.double()
    if listen:
        cohort.listeners.append(listen)
    for step in range(steps):
        if step % cohort.time.per_epoch == 0:
            cohort.begin_epoch(step // cohort.time.per_epoch)
        cohort.step(step)
    return cohort


def gap(a, b):
    """The largest difference of two networks, in units of the largest number of the tensor."""
    assert a.keys() == b.keys()
    return max(float((a[n] - b[n]).abs().max() / a[n].abs().max().clamp(min=1e-3)) for n in a)


def ordinary(network, weights):
    """The same network in torch.nn, its parameters under the same names."""
    net = nn.Module()
    if network == LENET_5:
        for name in ("conv1", "conv2"):
            out, inputs = weights[f"{name}.weight"].shape[:2]
            net.add_module(name, nn.Conv2d(inputs, out, 5, padding=2))
            net.add_module(name.replace("conv", "bn"), nn.BatchNorm2d(out))
    for name in ("fc1", "fc2", "fc3"):
        net.add_module(name, nn.Linear(*weights[f"{name}.weight"].shape[::-1]))
    assert not net.load_state_dict(dict(weights), strict=False).unexpected_keys

    def forward(x):
        if network == LENET_5:
            x = F.max_pool2d(net.bn1(net.conv1(x)).relu(), 2)
            x = F.max_pool2d(net.bn2(net.conv2(x)).relu(), 2)
        return net.fc3(net.fc2(net.fc1(x.flatten(1)).relu()).relu())

    return net.double(), forward


def batches(run):
    dataset, size = data.load(run.task), run.recipe.batch_size
    images = data.normalise(dataset.train_x.unsqueeze(0), dataset.mean, dataset.std)[0].double()
    for epoch in range(9):
        order = data.order(run.order, epoch, len(images))
        for first in range(0, len(images) - size + 1, size):
            rows = order[first : first + size]
            yield images[rows], dataset.train_y[rows]


def slow_mask(run, step, steps, weights, mask, grads):
    """The masks after the update in `step`, by sorting lists; None when there is none."""
    spec, sizes = run.mask, {name: m.numel() for name, m in mask.items()}
    if isinstance(spec, Grown):
        end = round(spec.end * steps)
        if step == 0 or step % spec.every or step >= end:
            return None
        new, share = {}, spec.drop * (1 + math.cos(math.pi * step / end)) / 2
        for name, m in mask.items():
            active = int(m.sum())
            k = math.floor(share * active)
            if not spec.again:
                k = min(k, sizes[name] - active)
            size = grads[name].abs().flatten()
            chance = torch.rand(sizes[name], generator=generator("grow", spec.seed, step, name))
            scores = {"rigl": size, "rigl_inverted": -size, "set": chance}[spec.method].tolist()
            flat = by_sorting(weights[name].flatten().tolist(), m.flatten().tolist(), scores, k, spec.again)
            new[name] = torch.tensor(flat).view(m.shape)
        return new
    first, last = round(spec.begin * steps), min(round(spec.end * steps), steps - 1)
    if not first <= step <= last or ((step - first) % spec.every and step != last):
        return None
    left = 1 - (1 - spec.density) * (1 - (1 - (step - first) / (last - first)) ** 3)
    places = [(name, i) for name in mask for i in range(sizes[name]) if mask[name].flatten()[i]]
    places.sort(key=lambda at: -abs(float(weights[at[0]].flatten()[at[1]])))
    if spec.scope == "global":
        kept = places[: math.floor(left * sum(sizes.values()) + 0.5)]
    else:
        of = {name: [at for at in places if at[0] == name] for name in mask}
        kept = [at for name in mask for at in of[name][: max(1, math.floor(left * sizes[name] + 0.5))]]
    new = {name: torch.zeros(sizes[name], dtype=torch.bool) for name in mask}
    for name, i in kept:
        new[name][i] = True
    return {name: new[name].view(mask[name].shape) for name in mask}


def slow_training(run):
    """torch.optim.SGD with masked gradients; masks and momentum are changed by hand."""
    start, recipe = job_of(run), run.recipe
    net, forward = ordinary(run.network, start.weights)
    parameters, mask = dict(net.named_parameters()), dict(start.mask)
    optimizer = torch.optim.SGD(parameters.values(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)
    for step, (x, y) in zip(range(14), batches(run), strict=False):
        optimizer.zero_grad()
        F.cross_entropy(forward(x), y).backward()
        grads = {name: parameters[name].grad.clone() for name in mask}
        for name, m in mask.items():
            parameters[name].grad.mul_(m)
        with torch.no_grad():
            replaced = getattr(run.mask, "replaces_step", False)
            new = slow_mask(run, step, 14, parameters, mask, grads) if replaced else None
            if new is None:
                optimizer.step()
                for name, m in mask.items():
                    parameters[name].mul_(m)  # what momentum still moves
                if not replaced:
                    new = slow_mask(run, step, 14, parameters, mask, grads)
            for name, m in (new or {}).items():
                parameters[name].mul_(m & mask[name])
                optimizer.state[parameters[name]]["momentum_buffer"][m & ~mask[name]] = 0
            mask = new or mask
    state = {name: t.detach() for name, t in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    return state, mask


@pytest.mark.parametrize("network", [LENET, LENET_5], ids=["mlp", "conv"])
@pytest.mark.parametrize("case", family(DENSE))
def test_a_plain_loop_gives_the_same_weights_and_masks(dense, network, case):
    """In a cohort with a static neighbour, in fp64, to the last of fourteen steps."""
    run = family(dense.replace(network=network, order=7))[case]
    fast = stepped([job_of(run), job_of(dense.replace(network=network))], 14, double=True)
    weights, mask = slow_training(run)
    assert all(torch.equal(fast.member_mask(0)[name], m) for name, m in mask.items())
    assert gap(fast.member(0), weights) < 1e-6  # logits become float32 on the way to the loss
    begun = job_of(run)
    assert any(not torch.equal(m, begun.mask[name]) for name, m in mask.items())
    assert gap(fast.member(0), dict(begun.weights)) > 0.05


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "adam", "lr": 0.01}], ids=["sgd", "adam"])
def test_a_cohort_of_all_kinds_equals_lone_trainings(dense, recipe):
    dense = dense.replace(recipe=SGD.replace(**recipe))
    runs = [*family(dense).values(), tickets.random(dense, density=0.3), dense]
    assert {cohort_key(run) for run in runs} == {cohort_key(dense)}
    jobs = [job_of(run) for run in runs]
    together = stepped(jobs, 14, double=True)
    for r, job in enumerate(jobs):
        alone = stepped([job], 14, double=True)
        assert gap(together.member(r), alone.member(0)) < 1e-10
        assert masks.counts(together.member_mask(r)) == masks.counts(alone.member_mask(0))
        assert all(torch.equal(m, alone.member_mask(0)[name]) for name, m in together.member_mask(r).items())
        assert int(together.member_slots(r)["updates"]) == int(alone.member_slots(0)["updates"])
    static = [Job(dense.replace(order=90 + r), job.weights, job.mask) for r, job in enumerate(jobs[:-2])]
    quiet = stepped([*static, *jobs[-2:]], 14, double=True)
    for r in (len(jobs) - 2, len(jobs) - 1):  # to the bit: nobody notices that others change
        assert gap(together.member(r), quiet.member(r)) == 0


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "adam", "lr": 0.01}], ids=["sgd", "adam"])
def test_every_update_keeps_its_promises(dense, recipe):
    """Counts, zeros, fresh starts of what grows, nothing else touched; an update instead of a step, or after it."""
    dense = dense.replace(recipe=SGD.replace(**recipe))
    runs, seen, grown_again = list(family(dense).values()), [], 0
    begun = [masks.counts(job_of(run).mask) for run in runs]

    def listen(cohort, step, moment, new):
        nonlocal grown_again
        slots = {f"{s}/{n}": t for s, each in cohort.slots.items() for n, t in each.items()}
        tensors = {name: t.detach().clone() for name, t in {**cohort.state(), **slots}.items()}
        now = {name: m.clone() for name, m in cohort.masks.items()}
        if moment == "before":
            seen.append((step, now, tensors))
            return
        _, was, before = seen[-1]
        for r in range(len(runs)):
            for name, m in now.items():
                if r not in new:
                    assert torch.equal(m[r], was[name][r])
                    continue
                grown, kept = m[r] & ~was[name][r], m[r] & was[name][r]
                assert torch.equal(m[r], new[r][name])
                assert not tensors[name][r][~m[r]].any()
                assert not tensors[name][r][grown].any()
                for key in (name, *(f"{slot}/{name}" for slot in cohort.slots)):
                    assert torch.equal(tensors[key][r][kept], before[key][r][kept])
                    assert key == name or not tensors[key][r][grown].any()
                grown_again += int(grown.sum())
        for key, t in tensors.items():
            if key.split("/")[-1] not in now:
                assert torch.equal(t, before[key])
        for r, mask in new.items():
            if isinstance(runs[r].mask, Grown):
                assert masks.counts(mask) == begun[r]
            else:
                left = grow.gradual_density(step, *change.span(runs[r].mask, 14), runs[r].mask.density)
                if runs[r].mask.scope == "layer":
                    assert masks.counts(mask) == {n: grow.gradual_kept(m.numel(), left) for n, m in mask.items()}
                else:
                    assert sum(masks.counts(mask).values()) == grow.gradual_kept(2260, left)

    stepped([job_of(run) for run in runs], 14, listen=listen)
    assert [step for step, *_ in seen] == [0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13]
    assert grown_again > 100


@pytest.mark.parametrize("recipe", [{}, {"optimizer": "adam", "lr": 0.01}, {"precision": "bf16"}])
def test_a_replaced_step_was_never_made(dense, recipe):
    dense = dense.replace(recipe=SGD.replace(**recipe), network=LENET_5)
    runs = [family(dense)["rigl"], dense, family(dense)["rigl after the step"]]
    for jobs in ([job_of(run) for run in runs], [job_of(runs[0])]):
        cohort = stepped(jobs, 3)
        mask, before, slots = cohort.member_mask(0), cohort.member(0), cohort.member_slots(0)
        cohort.step(3)
        after, after_slots, now = cohort.member(0), cohort.member_slots(0), cohort.member_mask(0)
        assert [int(t["updates"]) for t in (slots, after_slots)] == [3, 3]
        assert cohort.updates == [3, 4, 4][: len(jobs)]
        assert any(not torch.equal(mask[name], now[name]) for name in mask)
        for name, t in after.items():
            expected = before[name]
            if name in mask:
                expected = torch.where(now[name] & mask[name], expected, 0)
            assert torch.equal(t, expected) != ("running" in name)  # BatchNorm has seen the batch
        for name in mask:
            grown, kept = now[name] & ~mask[name], now[name] & mask[name]
            for slot in cohort.slots:
                key = f"{slot}/{name}"
                assert torch.equal(after_slots[key][kept], slots[key][kept])
                assert not after_slots[key][grown].any()
        assert all(torch.equal(t, slots[key]) for key, t in after_slots.items() if key.split("/")[-1] not in mask)
        for name, leaf in cohort.leaves.items():
            assert torch.equal(leaf, cohort.weights[name].to(leaf.dtype))


def test_grow_scores_are_of_the_batch_and_dense(dense):
    """The gradient of the step's own batch by autograd, of inactive weights too: without them nothing could grow."""
    run = family(dense)["rigl"]
    cohort = stepped([job_of(run)], 3)
    x, y = cohort.batch(3)
    loss = F.cross_entropy(cohort.net(x)[0], y[0])
    grads = dict(zip(cohort.weights, torch.autograd.grad(loss, cohort.weights.values()), strict=True))
    old, name = cohort.member_mask(0), "fc1.weight"
    k = grow.drop_count(grow.drop_fraction(3, 13, 0.5), int(old[name].sum()), 10_000)
    expected = grow.update(cohort.weights[name][0], old[name], grads[name][0], k, "rigl")
    assert k > 50
    cohort.step(3)
    assert torch.equal(cohort.member_mask(0)[name], expected)
    assert int((expected & ~old[name]).sum()) > 20


def test_divergence_of_a_member_that_grows_touches_nobody_else(dense):
    dense = dense.replace(recipe=SGD.replace(weight_decay=1e-4))
    runs = list(family(dense).values())
    wild = [run.replace(recipe=SGD.replace(lr=100, weight_decay=1)) for run in runs]  # 99-fold a step
    long = [run.replace(recipe=run.recipe.replace(steps=90)) for run in [*wild, *runs]]
    outcomes = train([job_of(run) for run in long], CPU)
    assert [outcome.diverged is not None for outcome in outcomes] == [True] * 8 + [False] * 8
    for tame, lost in zip(outcomes[8:], outcomes[:8], strict=True):
        assert masks.counts(tame.mask) == masks.counts(lost.mask) or tame.job.run.mask.kind == "gradual"


# Through the lab


FILES = ("spec.json", "metrics.csv", "weights.safetensors", "mask.safetensors")
EPOCHS = Recipe(epochs=4, lr=0.05, batch_size=16, weight_decay=0.001)


def content(lab, name):
    return {file: lab.store.content(name, file) for file in FILES}


@pytest.fixture
def kill_at(monkeypatch):
    """The next time that a cohort comes to a step it is interrupted there."""
    fatal, real = [], Cohort.step

    def step(self, number):
        if number in fatal:
            fatal.clear()
            raise KeyboardInterrupt
        real(self, number)

    monkeypatch.setattr(Cohort, "step", step)
    return fatal.append


def test_a_killed_training_resumes_to_the_same_bits(dense, make_lab, kill_at):
    """All kinds in a cohort, each with a checkpoint after the second epoch; killed in the third."""
    dense = dense.replace(recipe=EPOCHS, network=LENET_5)
    runs = [*family(dense).values(), dense]
    study = [*runs, *(dense.replace(start=From(run=run, epoch=2, resume=2)) for run in runs)]
    undisturbed, lab = make_lab("undisturbed", members=20), make_lab("killed", members=20, save_seconds=0)
    undisturbed.run(study)
    kill_at(22)
    with pytest.raises(KeyboardInterrupt):
        lab.run(study)
    assert lab.store.names() == []
    lab.run(study)
    for name in [*(run.name for run in study), *(f"{run.name}@2" for run in runs)]:
        assert content(lab, name) == content(undisturbed, name), name


def test_checkpoints_have_the_mask_of_their_epoch_and_runs_their_last(dense, lab):
    from safetensors.torch import load

    dense = dense.replace(recipe=EPOCHS)
    runs = list(family(dense).values())
    rewound = [dense.replace(start=From(run=run, epoch=2, resume=2)) for run in runs]
    lab.run([*runs, *rewound])
    jobs = [job_of(run) for run in runs]
    there, end = stepped(jobs, 18), stepped(jobs, 36)
    for r, (run, child) in enumerate(zip(runs, rewound, strict=True)):
        stored = load(lab.store.content(f"{run.name}@2", "mask.safetensors"))
        assert stored.keys() == there.member_mask(r).keys()
        assert all(torch.equal(stored[name], m) for name, m in there.member_mask(r).items())
        assert all(torch.equal(lab.mask(run)[name], m) for name, m in end.member_mask(r).items())
        assert gap(lab.weights(run), end.member(r)) == 0
        assert gap(lab.weights(child, 0), there.member(r)) == 0
        assert gap(lab.weights(run, 2), there.member(r)) == 0
        assert lab.store.read(run.name).done["kept"] == masks.counts(lab.mask(run))
        assert any(not torch.equal(stored[name], m) for name, m in lab.mask(run).items())
        start = lab.weights(run, 0)
        assert not any(start[name][~m].any() for name, m in jobs[r].mask.items())


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("density", [0.05, 0.011])
def test_a_ticket_of_a_gradual_run_has_its_very_mask(dense, lab, density, scope):
    """At 0.011 fc3 would round to 0 of 40 weights: the schedule keeps 1, as the sheet says."""
    dense = dense.replace(recipe=EPOCHS)
    pruned = tickets.gradual(dense, density, every=2, scope=scope)
    drawn = [tickets.ticket(dense, Magnitude(run=pruned, density=density, scope=s)) for s in ("layer", "global")]
    smaller = tickets.ticket(dense, Magnitude(run=pruned, density=density / 2))
    lab.run([*drawn, smaller])
    final = lab.mask(pruned)
    if scope == "layer":
        assert masks.counts(final) == {
            name: max(1, math.floor(n * density + 0.5))
            for name, n in {"fc1.weight": 1920, "fc2.weight": 300, "fc3.weight": 40}.items()
        }
    else:
        assert sum(masks.counts(final).values()) == math.floor(2260 * density + 0.5)
    for run in drawn:
        assert all(torch.equal(m, final[name]) for name, m in lab.mask(run).items())
        assert gap(lab.weights(run, 0), dict(job_of(dense).weights) | lab.weights(run, 0)) == 0
    assert sum(masks.counts(lab.mask(smaller)).values()) == math.floor(2260 * density / 2 + 0.5)
    assert all((lab.mask(smaller)[name] <= m).all() for name, m in final.items())


def test_the_pruned_mask_can_begin_a_growth(dense, lab):
    """P3b: static, SET and RigL from the mask that a pruned run ended with."""
    dense = dense.replace(recipe=EPOCHS)
    pruned = tickets.gradual(dense, 0.1, every=2)
    first = Magnitude(run=pruned, density=0.1)
    grown = tickets.ticket(dense, Grown(method="rigl", mask=first, every=3, replaces_step=False, end=1.0))
    lab.run([grown, tickets.ticket(dense, first)])
    assert masks.counts(lab.mask(grown)) == masks.counts(lab.mask(pruned))
    start, mask = lab.weights(grown, 0), lab.mask(pruned)
    assert all(torch.equal(start[name] != 0, m) for name, m in mask.items())
    assert any(not torch.equal(lab.mask(grown)[name], m) for name, m in mask.items())
    assert gap(lab.weights(tickets.ticket(dense, first), 0), start) == 0


def test_a_mask_that_would_never_change_is_one_clear_line(dense, lab):
    rare = tickets.grown(dense, "set", density=0.5, every=11)
    with pytest.raises(UserError, match="its mask would never change from step 0 to 14") as caught:
        lab.run([rare])
    assert "\n" not in str(caught.value)
    pruned = tickets.gradual(dense.replace(recipe=EPOCHS), 0.5, every=3, end=0.4)
    late = pruned.replace(start=From(run=dense.replace(recipe=EPOCHS), epoch=2, resume=2))
    with pytest.raises(UserError, match="from step 18 to 36"):
        lab.run([late])


def test_a_layer_that_gradual_pruning_empties_is_said(dense, lab, caplog):
    lab.run([tickets.gradual(dense, 0.0005, every=1, scope="global")])
    assert "the mask keeps nothing of fc" in caplog.text


def test_another_start_and_seed_change_the_course(dense):
    runs = [family(dense)["set"]]
    runs.append(runs[0].replace(mask=runs[0].mask.replace(seed=1)))
    runs.append(runs[0].replace(start=Init(seed=1)))
    cohort = stepped([job_of(run) for run in runs], 7)
    one, other, third = (cohort.member_mask(r)["fc1.weight"] for r in range(3))
    assert not torch.equal(one, other)
    assert not torch.equal(one, third)
