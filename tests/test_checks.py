"""Sanity checks are transformations of runs: what they destroy, what they leave, and what a lab makes of them."""

import pytest
import torch

from ltkit import data, models
from ltkit.errors import UserError
from ltkit.prune import checks, masks, tickets
from ltkit.spec import From, Grown, Init, Magnitude, Network, Recipe, Run, Scored, Shuffled, Task

RECIPE = Recipe(epochs=4, lr=0.1, batch_size=16)


@pytest.fixture
def dense(tiny):
    return Run(task=tiny, network=Network(width=0.1), recipe=RECIPE, start=Init(seed=3), order=3)


def every(dense):
    """A run of each method, by name."""
    mask = Magnitude(run=dense, density=0.2)
    methods = {name: tickets.scored(dense, name, density=0.2) for name in ("snip", "grasp", "synflow", "magnitude")}
    return methods | {
        "random": tickets.random(dense, density=0.2),
        "ticket": tickets.ticket(dense, mask),
        "imp": tickets.imp(dense, rounds=2)[-1],
        "weight rewinding": tickets.ticket(dense, mask, 1),
        "lr rewinding": tickets.fine_tune(dense, mask, resume=1),
        "hybrid": tickets.fine_tune(dense, mask.replace(scope="smart"), resume=1),
    }


@pytest.mark.parametrize("labels", [True, False])
def test_corruption_reaches_what_the_mask_saw_and_nothing_else(labels, dense):
    for name, run in every(dense).items():
        checked = checks.corrupted(run, labels=labels, pixels=not labels)
        assert (checked.task, checked.start, checked.order) == (run.task, run.start, run.order)
        if name in ("synflow", "magnitude", "random"):
            assert checked == run  # they never saw the data
            continue
        seen = checked.mask.task if isinstance(checked.mask, Scored) else checked.mask.run.task
        assert (seen.labels, seen.pixels) == (("random", "true") if labels else ("true", "shuffled"))
    chain = checks.corrupted(every(dense)["imp"]).mask.run
    assert chain.mask.run.task.labels == "random"  # all rounds of IMP, not the last alone


def test_corruption_reaches_through_a_shuffled_mask(dense):
    run = tickets.shuffled(every(dense)["snip"])
    assert checks.corrupted(run).mask == Shuffled(mask=checks.corrupted(every(dense)["snip"]).mask, seed=run.mask.seed)


def test_corruption_reaches_through_a_mask_that_will_move(dense):
    first = Magnitude(run=dense, density=0.2)
    grown = dense.replace(mask=Grown(method="rigl", mask=first, every=2))
    assert checks.corrupted(grown).mask.mask == checks.corrupted(dense.replace(mask=first)).mask


def test_halving_is_for_pretraining(dense):
    runs = every(dense)
    run = checks.halved(runs["lr rewinding"])
    assert run.start.run.task.subset == run.mask.run.task.subset == 0.5
    assert run.start.run == run.mask.run  # one pretraining
    assert run.task.subset == 1
    assert checks.halved(runs["random"]) == runs["random"]
    short = checks.shortened(runs["lr rewinding"])
    assert short.start.run.recipe.epochs == short.mask.run.recipe.epochs == 2
    assert short.recipe.epochs == 4
    assert checks.shortened(runs["weight rewinding"]).start.run.recipe.epochs == 2


def test_shuffled_weights_stay_in_their_layer_and_under_their_mask(dense, lab):
    runs = every(dense)
    for name in ("lr rewinding", "weight rewinding", "snip"):
        run, checked = runs[name], checks.weights_shuffled(runs[name])
        lab.run([run, checked])
        before, after, mask = lab.weights(run, 0), lab.weights(checked, 0), lab.mask(checked)
        assert all(torch.equal(mask[key], lab.mask(run)[key]) for key in mask)
        for key in mask:
            assert torch.equal(before[key].flatten().sort().values, after[key].flatten().sort().values)
            assert not after[key][~mask[key]].any()
            assert not torch.equal(before[key], after[key])
        assert all(torch.equal(before[key], after[key]) for key in before if key not in mask)


def test_permuting_by_hand():
    weights = {"a": torch.tensor([1.0, 2, 3, 4]), "b": torch.tensor([5.0, 6])}
    mask = {"a": torch.tensor([True, False, True, True])}
    moved = masks.permute_kept(weights, mask, torch.Generator().manual_seed(1))
    assert moved["a"][1] == 2  # a pruned place is left as it is
    assert sorted(moved["a"][mask["a"]].tolist()) == [1, 3, 4]
    assert weights["a"].tolist() == [1, 2, 3, 4]
    assert moved["b"] is weights["b"]


def test_what_is_permuted_does_not_depend_on_the_order_of_the_weights():
    draw = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(40, generator=draw) for name in "abc"}
    mask = {name: torch.rand(40, generator=draw) < 0.5 for name in "abc"}
    first, second = (
        masks.permute_kept({name: weights[name] for name in order}, mask, torch.Generator().manual_seed(1))
        for order in ("abc", "cab")
    )
    assert all(torch.equal(first[name], second[name]) for name in "abc")


# In the lab


@pytest.mark.parametrize("pruned", [True, False])
def test_permuted_trained_weights_are_the_same_whenever_they_are_read(pruned, dense, lab):
    """A file's tensors come in another order at each reading: that order decided who got which permutation."""
    run = dense.replace(start=From(run=dense, permute=3))
    run = run.replace(mask=Magnitude(run=dense, density=0.3)) if pruned else run
    lab.run([run])
    first = lab.weights(run, 0)
    for _ in range(8):
        again = lab.weights(run, 0)
        assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("method", ["snip", "grasp", "synflow", "magnitude"])
def test_scored_masks_are_exact_on_the_very_start_and_repeatable(method, dense, make_lab):
    run = tickets.scored(dense, method, density=0.2)
    total = 64 * 30 + 30 * 10 + 10 * 4
    lab, other = make_lab("one"), make_lab("two", workers=2)
    for each in (lab, other):
        each.run([run, tickets.reinit(run), tickets.inverted(run)])
    mask = lab.mask(run)
    assert sum(masks.counts(mask).values()) == round(0.2 * total)
    assert all(torch.equal(mask[name], other.mask(run)[name]) for name in mask)
    assert all(torch.equal(mask[name], lab.mask(tickets.reinit(run))[name]) for name in mask)
    start = models.init(run.network, (1, 8, 8), 4, Init(seed=3))
    assert all(torch.equal(lab.weights(run, 0)[name], start[name] * mask[name]) for name in mask)
    worst = lab.mask(tickets.inverted(run))
    assert sum(masks.counts(worst).values()) == round(0.2 * total)
    shared = sum(int((mask[name] & worst[name]).sum()) for name in mask)
    # The worst are others. SynFlow scores anew after each step, and soon no signal passes: as good as chance.
    assert shared < (0.25 if method == "synflow" else 0.1) * round(0.2 * total)


def test_magnitude_at_init_against_torch(dense, lab):
    from torch.nn.utils import prune

    run = tickets.scored(dense, "magnitude", density=0.25)
    lab.run([run])
    start = models.init(run.network, (1, 8, 8), 4, run.start)
    layers = {name: torch.nn.Linear(*reversed(start[name].shape)) for name in lab.mask(run)}
    for name, layer in layers.items():
        layer.weight.data = start[name].clone()
    pairs = [(layer, "weight") for layer in layers.values()]
    prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=0.75)
    assert all(torch.equal(layer.weight_mask.bool(), lab.mask(run)[name]) for name, layer in layers.items())


def test_a_scoring_set_smaller_than_the_classes_is_refused(dense, lab):
    fewest = int(torch.bincount(data.load(dense.task).train_y).min())
    run = tickets.scored(dense, "snip", density=0.2, per_class=fewest + 1)
    with pytest.raises(UserError, match=rf"scoring needs {fewest + 1} images of each class, class \d has {fewest}"):
        lab.run([run])


def test_a_method_and_its_data_must_agree(tiny):
    with pytest.raises(UserError, match="snip needs a task to take samples from"):
        Scored(method="snip", start=Init(), density=0.1)
    with pytest.raises(UserError, match="synflow sees no data"):
        Scored(method="synflow", start=Init(), task=tiny, density=0.1)
    with pytest.raises(UserError, match="grasp scores once; steps is for synflow"):
        Scored(method="grasp", start=Init(), task=tiny, density=0.1, steps=2)


def test_hybrid_keeps_the_largest_of_each_layer_in_prescribed_numbers(dense, lab):
    """LeNet-300-100 at width .1: three layers, the classifier's 40 weights keep 12, the rest by 12 : 6."""
    run = tickets.fine_tune(dense, Magnitude(run=dense, density=0.2, scope="smart"), resume=1)
    twin = tickets.random(dense, density=0.2, distribution="smart")
    lab.run([run, twin])
    kept = masks.counts(lab.mask(run))
    assert kept == masks.counts(lab.mask(twin))
    assert list(kept.values())[-1] == 12
    assert sum(kept.values()) == 452
    trained = lab.weights(dense)
    for name, mask in lab.mask(run).items():
        assert trained[name][mask].abs().min() >= trained[name][~mask].abs().max()


def test_a_layer_that_keeps_nothing_is_reported_or_refused(dense, make_lab, caplog):
    run = tickets.random(dense, density=0.001)
    with pytest.raises(
        UserError, match=r"keeps nothing of fc2.weight, fc3.weight, no signal passes there \(layer collapse\)"
    ):
        make_lab("strict", collapse="refuse").run([run])
    make_lab("kind").run([run])
    assert "layer collapse" in caplog.text
    with pytest.raises(UserError, match=r"lenet_300_100: the smart profile can't keep 2 weights"):
        make_lab("kind").run([tickets.random(dense, density=0.001, distribution="smart")])


def test_fields_that_came_later_leave_old_names_alone():
    dense = Run(task=Task(), network=Network(), recipe=Recipe(epochs=3))
    assert dense.identity.startswith("11ff6f2c0aba")
    assert dense.replace(start=Init(permute=0)).identity != dense.identity
    assert Run(**dense.replace(start=From(run=dense, permute=2)).model_dump()).start.permute == 2
