"""The lab: what is missing is trained, parents first, nothing twice; every control runs; damage, divergence, memory."""

import errno
import os
import re
import weakref

import numpy as np
import pandas as pd
import pytest
import torch

import ltkit.lab.lab as module
from ltkit import data, models
from ltkit.errors import UserError
from ltkit.lab import Lab, Tally, material
from ltkit.prune import masks, tickets
from ltkit.spec import From, Init, Magnitude, Network, Random, Recipe, Run
from ltkit.store import files
from ltkit.train import evaluate

NETWORK = Network(width=0.1)  # 30 and 10 units: 2,260 prunable weights on four classes of 8x8 images
PRUNABLE = 64 * 30 + 30 * 10 + 10 * 4
RECIPE = Recipe(epochs=3, lr=0.1, batch_size=16)


@pytest.fixture
def dense(tiny):
    return Run(task=tiny, network=NETWORK, recipe=RECIPE)


@pytest.fixture
def trained(monkeypatch):
    """The names of each cohort that is trained."""
    cohorts, real = [], module.train

    def spy(jobs, *args, **options):
        cohorts.append([job.run.name for job in jobs])
        return real(jobs, *args, **options)

    monkeypatch.setattr(module, "train", spy)
    return cohorts


def weights_file(lab, run):
    return lab.store.content(run.name, "weights.safetensors")


# What is trained, and when


def test_parents_are_trained_first_and_nothing_twice(dense, lab, trained):
    last = tickets.imp(dense, rounds=2)[-1]
    tally = lab.run([last, tickets.reinit(last)])
    order = [name for cohort in trained for name in cohort]
    assert len(order) == len(set(order)) == 4
    for run in (last, last.parents[0], tickets.reinit(last)):
        assert all(order.index(parent.name) < order.index(run.name) for parent in run.parents)
    assert trained[-1] == [last.name, tickets.reinit(last).name]  # one cohort
    assert (tally.needed, tally.trained, tally.reused) == (2, 2, 0)
    again = lab.run([last, tickets.reinit(last), last, dense])
    assert (again.needed, again.trained, again.reused) == (3, 0, 3)
    assert len(trained) == 3
    assert lab.tally == tally + again
    assert str(Tally(3, 1, 12.4)) == "3 runs: 1 trained in 12 s, 2 found in the store"
    assert sorted(lab.store.names()) == sorted(order)


def test_the_same_spec_twice_gives_the_same_bits(dense, make_lab):
    """Slip (4) of the peers: initialization, order and augmentation are all in the seed."""
    run = dense.replace(task=dense.task.replace(crop=1, flip=True, labels="random"), start=Init(seed=3), order=4)
    first, second = make_lab("first"), make_lab("second")
    torch.manual_seed(1)
    first.run([run])
    torch.manual_seed(2)
    second.run([run])
    assert weights_file(first, run) == weights_file(second, run)
    assert first.store.content(run.name, "metrics.csv") == second.store.content(run.name, "metrics.csv")


def test_what_others_want_of_a_run_does_not_change_it(dense, make_lab):
    watched, plain = make_lab("watched"), make_lab("plain")
    watched.run([dense, *(dense.replace(start=From(run=dense, epoch=e, resume=e)) for e in (1, 2))])
    plain.run([dense])
    assert watched.store.folder(f"{dense.name}@2").exists()
    assert weights_file(watched, dense) == weights_file(plain, dense)


def test_results_do_not_depend_on_the_grouping(dense, make_lab):
    """Tickets and dense networks of four seeds, alone and eight together: at most two of 80 test images differ."""
    seeds = [dense.replace(start=Init(seed=s), order=s) for s in range(4)]
    study = [*seeds, *(tickets.imp(run, rounds=1, rate=0.5)[0] for run in seeds)]
    one, eight = make_lab("one", members=1), make_lab("eight", members=8)
    one.run(study)
    eight.run(study)
    assert [lab.store.read(study[-1].name).env["cohort"] for lab in (one, eight)] == [1, 4]
    correct = [[lab.store.read(run.name).done["final"]["test"]["correct"] for run in study] for lab in (one, eight)]
    assert all(abs(a - b) <= 2 for a, b in zip(*correct, strict=True))
    assert len(set(correct[0])) > 1  # the runs do differ


def test_members_bound_the_cohort(dense, make_lab, trained):
    make_lab(members=2).run([dense.replace(order=s) for s in range(5)])
    assert [len(cohort) for cohort in trained] == [2, 2, 1]


# A user's file that is written again


@pytest.fixture
def own(dense, tmp_path):
    """Writes other images to the same file, and gives the dense network on them."""

    def write(seed):
        x = np.random.default_rng(seed).integers(0, 256, (80, 8, 8), dtype=np.uint8)
        path, y = tmp_path / "own.npz", np.arange(80) % (3 + seed % 2)
        np.savez(path, x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
        os.utime(path, (seed, seed))  # a file system's clock may not have moved on
        return dense.replace(task=dense.task.replace(data=f"npz:{path}", validation=0))

    return write


def test_a_run_whose_data_changed_after_it_was_named_is_refused(own, lab):
    run = own(0)
    first = run.name
    other = own(1)
    with pytest.raises(UserError, match=rf"own.npz changed after {first} was named .*: put that back, or make the run"):
        lab.run([run])
    assert lab.store.names() == []
    lab.run([other])
    assert own(0).name == first
    assert lab.run([run]).trained == 1


def test_what_is_kept_of_data_is_kept_of_its_content(own, make_lab):
    """Masks of SNIP, shapes and classes: another file at the same path gives its own."""
    lab, fresh = make_lab(), make_lab("fresh")
    for seed in (0, 1, 2):
        run = tickets.scored(own(seed), "snip", density=0.2)
        assert material.frame(run, None) == ((1, 8, 8), 3 + seed % 2)
        lab.run([run])
    material._scored_now.cache_clear()
    fresh.run([run])
    assert weights_file(lab, run) == weights_file(fresh, run)


# What is recorded


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_logged_and_recomputed_accuracy_agree_exactly(precision, dense, lab):
    """Slip (6) of the peers: counts, of the last epoch's weights."""
    dense = dense.replace(recipe=RECIPE.replace(precision=precision))
    ticket = tickets.imp(dense, rounds=1, rate=0.5)[0]
    lab.run([dense, ticket])
    for run in (dense, ticket):
        weights, dataset = lab.weights(run), data.load(run.task)
        net = models.build(run.network, dataset.shape, dataset.classes)
        net.load_state_dict({name: tensor.unsqueeze(0) for name, tensor in weights.items()})
        for split in ("validation", "test"):
            x, y = getattr(dataset, f"{split}_x"), getattr(dataset, f"{split}_y")
            x = data.normalise(x, dataset.mean, dataset.std)
            score = evaluate(net, x.bfloat16() if precision == "bf16" else x, y, 1, precision)[0]
            final = lab.store.read(run.name).done["final"][split]
            assert (score.correct, score.count) == (final["correct"], final["count"])
            assert score.loss == pytest.approx(final["loss"], rel=1e-6)
        row = lab.table([({}, run)]).iloc[0]
        assert row.accuracy == score.accuracy > 50  # it learned something: chance is 25


def test_the_table_has_a_row_a_run_and_its_labels_first(dense, lab):
    without = dense.replace(task=dense.task.replace(validation=0))
    lab.run([dense, without])
    missing = dense.replace(order=9)
    table = lab.table([({"arm": "dense", "seed": 0}, dense), ({"arm": "other", "seed": 1}, missing), ({}, without)])
    assert list(table.columns) == ["arm", "seed", "accuracy", "validation", "train_loss", "outcome", "run"]
    assert table.run.tolist() == [dense.name, missing.name, without.name]
    assert table.outcome.tolist() == ["finished", "missing", "finished"]
    assert pd.api.types.is_float_dtype(table.accuracy)
    assert pd.api.types.is_float_dtype(table.validation)
    assert table.accuracy.isna().tolist() == [False, True, False]
    assert table.validation.isna().tolist() == [False, True, True]
    assert pd.api.types.is_float_dtype(lab.table([({}, without)]).validation)
    last = lab.store.read(dense.name).metrics.query("split == 'validation' and epoch == 3").iloc[0]
    assert table.validation[0] == 100 * last.correct / last["count"]
    assert table.train_loss[0] == lab.store.read(dense.name).done["final"]["train"]["loss"]


def test_weights_at_the_start_are_the_masked_initialization(dense, lab):
    ticket = tickets.imp(dense, rounds=1, rate=0.5)[0]
    lab.run([ticket])
    fresh, mask, start = models.init(NETWORK, (1, 8, 8), 4, dense.start), lab.mask(ticket), lab.weights(ticket, epoch=0)
    assert lab.mask(dense) == {}
    for name, tensor in fresh.items():
        assert torch.equal(lab.weights(dense, epoch=0)[name], tensor)
        assert torch.equal(start[name], torch.where(mask[name], tensor, 0) if name in mask else tensor)
    assert any(not torch.equal(tensor, start[name]) for name, tensor in lab.weights(ticket).items())


# Masks from trained runs


def test_imp_keeps_exactly_what_the_ladder_says_and_nests(dense, lab):
    rounds, one_shot = tickets.imp(dense, rounds=6, rate=0.3), tickets.omp(dense, rounds=6, rate=0.3)
    lab.run([*rounds, *one_shot])
    left, above, end = PRUNABLE, None, lab.weights(dense)
    for ticket, shot in zip(rounds, one_shot, strict=True):
        left -= 3 * left // 10
        mask = lab.mask(ticket)
        assert sum(masks.counts(mask).values()) == left == sum(masks.counts(lab.mask(shot)).values())
        assert lab.store.read(ticket.name).done["kept"] == masks.counts(mask)
        assert lab.store.read(ticket.name).done["density"] == left / PRUNABLE
        above = above or {name: torch.ones_like(m) for name, m in mask.items()}
        assert all((mask[name] <= above[name]).all() for name in mask)
        dropped = torch.cat([end[name].abs()[above[name] & ~mask[name]] for name in mask])
        assert dropped.max() <= torch.cat([end[name].abs()[mask[name]] for name in mask]).min()
        above, end = mask, lab.weights(ticket)


CONTROLS = {
    "reinit": tickets.reinit,
    "shuffled": tickets.shuffled,
    "inverted": tickets.inverted,
    "shuffled inverted": lambda ticket: tickets.shuffled(tickets.inverted(ticket)),
    "omp": lambda ticket: tickets.omp(ticket.parents[0], rounds=1, rate=0.6)[0],
    "omp rewound": lambda ticket: tickets.omp(ticket.parents[0], rounds=1, rate=0.6, rewind=1)[0],
    "by layer": lambda ticket: tickets.imp(ticket.parents[0], rounds=1, rate=0.6, scope="layer")[0],
    "random": lambda ticket: tickets.random(ticket.parents[0], rate=0.6),
    "random er": lambda ticket: tickets.random(ticket.parents[0], density=0.4, distribution="er"),
    "random erk": lambda ticket: tickets.random(ticket.parents[0], density=0.4, distribution="erk"),
    "fine-tuned": lambda ticket: tickets.fine_tune(ticket.parents[0], ticket.mask),
    "rate rewound": lambda ticket: tickets.fine_tune(ticket.parents[0], ticket.mask, resume=1),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_runs(control, dense, lab):
    """Slip (3) of the peers: a control that had never been run raised."""
    ticket = tickets.imp(dense, rounds=1, rate=0.6)[0]
    run = CONTROLS[control](ticket)
    lab.run([ticket, run])
    mask, other = lab.mask(ticket), lab.mask(run)
    kept = sum(masks.counts(mask).values())
    assert kept == PRUNABLE - 6 * PRUNABLE // 10 == 904
    assert sum(masks.counts(other).values()) == kept
    end, finished = lab.weights(run), lab.table([({}, run)]).outcome[0]
    assert finished == "finished"
    assert not any(end[name][~m].any() for name, m in other.items())
    same = all(torch.equal(mask[name], other[name]) for name in mask)
    assert same == (control in ("reinit", "omp", "omp rewound", "fine-tuned", "rate rewound"))
    if control == "reinit":
        drawn = models.init(NETWORK, (1, 8, 8), 4, Init(seed=dense.start.seed, draw=1))
        assert torch.equal(lab.weights(run, 0)["fc1.weight"], torch.where(mask["fc1.weight"], drawn["fc1.weight"], 0))
    if control in ("shuffled", "by layer", "random"):
        expected = {
            "shuffled": masks.counts(mask),
            "by layer": {"fc1.weight": 768, "fc2.weight": 120, "fc3.weight": 16},
        }
        assert masks.counts(other) == expected.get(control, {"fc1.weight": 768, "fc2.weight": 120, "fc3.weight": 16})
    if control == "inverted":  # of 2260 weights the 904 largest and the 904 smallest
        assert not any((mask[name] & other[name]).any() for name in mask)
        sizes = torch.cat([lab.weights(dense)[name].abs()[other[name]] for name in other])
        assert sizes.max() <= torch.cat([lab.weights(dense)[name].abs()[~other[name]] for name in other]).min()


def test_an_inverted_mask_stays_within_its_parents(dense, lab):
    second = tickets.imp(dense, rounds=2, rate=0.5)[-1]
    lab.run([tickets.inverted(second)])
    above, inner = lab.mask(second.parents[0]), lab.mask(tickets.inverted(second))
    assert all((inner[name] <= above[name]).all() for name in inner)


def test_a_prunable_set_of_its_own(tiny, lab):
    dense = Run(task=tiny, network=Network(arch="resnet8", width=0.25), recipe=RECIPE.replace(epochs=1))
    study = [tickets.imp(dense, rounds=1, rate=0.5, prunable=which)[0] for which in ("default", "no_shortcut", "all")]
    lab.run(study)
    for ticket in study:
        names = models.prunable(dense.network, (1, 8, 8), 4, ticket.mask.prunable)
        assert list(lab.mask(ticket)) == names or set(lab.mask(ticket)) == set(names)
        assert lab.store.read(ticket.name).done["density"] == pytest.approx(0.5, abs=1e-3)
    sizes = [sum(m.numel() for m in lab.mask(ticket).values()) for ticket in study]
    assert sizes[1] < sizes[0] < sizes[2]


def test_a_layer_that_loses_everything_is_said(dense, lab, caplog):
    spec = Magnitude(run=dense, density=0.5)
    weights = {"fc1.weight": torch.ones(3, 4), "fc2.weight": torch.full((2, 3), 1e-3)}
    shapes = {name: tuple(t.shape) for name, t in weights.items()}
    assert masks.counts(material.magnitude(spec, shapes, weights, {})) == {"fc1.weight": 9, "fc2.weight": 0}
    lab.run([dense.replace(mask=spec.replace(density=0.9))])
    assert caplog.text == ""
    lab.run([dense.replace(mask=spec.replace(scope="layer", density=0.01))])  # of 40 weights none
    assert "the mask keeps nothing of fc3.weight" in caplog.text


def test_what_was_never_trained_is_one_clear_line(dense, lab):
    for read in (lab.weights, lab.mask, lambda run: lab.weights(run, 2)):
        with pytest.raises(UserError, match=rf"{dense.name}\S* has no \w+.safetensors in .*: train it first"):
            read(dense)


def test_masks_come_in_the_order_of_the_layers(dense, lab):
    """safetensors gives a file's tensors in any order."""
    run = tickets.random(dense, density=0.5)
    lab.run([run, dense])
    for _ in range(20):
        assert list(lab.mask(run)) == ["fc1.weight", "fc2.weight", "fc3.weight"]
    assert lab.mask(dense) == {}


def test_more_weights_than_the_parent_has_left_is_one_clear_line(dense, lab):
    sparse = tickets.ticket(dense, Magnitude(run=dense, density=0.2))
    with pytest.raises(UserError, match=r"density 0\.5: can't keep 1130 of 452 weights") as caught:
        lab.run([tickets.ticket(dense, Magnitude(run=sparse, density=0.5))])
    assert "\n" not in str(caught.value)
    assert sparse.name in lab.store.names()


# Divergence


def test_divergence_is_an_outcome_and_touches_nobody_else(dense, make_lab):
    lab, undisturbed = make_lab(), make_lab("undisturbed")
    wild = dense.replace(
        recipe=RECIPE.replace(lr=100, weight_decay=1)
    )  # weights grow 99-fold a step, whatever the loss
    tame = dense.replace(recipe=RECIPE.replace(weight_decay=1e-4))
    ticket, child = (tickets.imp(run, rounds=1)[0] for run in (wild, tame))
    tuned = tickets.fine_tune(wild, Random(density=0.5))
    lab.run([wild, tame, ticket, child, tuned, tickets.reinit(ticket)])
    undisturbed.run([tame, child])
    table = lab.table(
        [({"run_of": run.kind}, run) for run in (wild, tame, ticket, child, tuned, tickets.reinit(ticket))]
    )
    assert table.outcome.tolist() == ["diverged", "finished", "undefined", "finished", "undefined", "undefined"]
    assert table.accuracy.isna().tolist() == [True, False, True, False, True, True]
    assert table.train_loss.isna().tolist() == [True, False, True, False, True, True]
    assert lab.store.read(wild.name).env["cohort"] == 2
    for run in (tame, child):
        for name, tensor in undisturbed.weights(run).items():
            assert torch.allclose(lab.weights(run)[name], tensor, atol=1e-4)
    assert f"{wild.name} diverged" in lab.store.read(ticket.name).done["reason"]
    assert lab.store.read(wild.name).done["diverged_epoch"] >= 1
    assert lab.run([wild, ticket, tickets.reinit(ticket)]).trained == 0
    assert all(lab.store.verify(name) is None for name in lab.store.names())


# Damage


@pytest.mark.parametrize(
    "harm", [lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b[: len(b) // 2]], ids=["bit", "cut"]
)
def test_a_damaged_parent_is_reported_and_trained_again(dense, lab, caplog, harm):
    """A flipped bit shows only when the weights are opened, a cut file at once; either way the same bits come back."""
    first, second = tickets.imp(dense, rounds=2)
    lab.run([first])
    sound = weights_file(lab, first)
    path = lab.store.folder(first.name) / "weights.safetensors"
    path.write_bytes(harm(sound))
    assert lab.store.verify(first.name) is not None
    tally = lab.run([first, second, dense])
    assert (tally.needed, tally.trained, tally.reused) == (3, 2, 1)
    assert f"{first.name}: weights.safetensors" in caplog.text
    assert "will be trained again" in caplog.text
    assert weights_file(lab, first) == sound
    assert all(lab.store.verify(name) is None for name in lab.store.names())


def test_a_damaged_checkpoint_is_made_again(dense, lab, caplog):
    rewound = dense.replace(start=From(run=dense, epoch=1, resume=1))
    lab.run([rewound])
    name = f"{dense.name}@1"
    sound = lab.store.content(name, "weights.safetensors")
    (lab.store.folder(name) / "weights.safetensors").write_bytes(b"x" * len(sound))
    other = dense.replace(start=From(run=dense, epoch=1, resume=1), order=1)
    assert lab.run([rewound, other]).trained == 1
    assert f"{name}: weights.safetensors" in caplog.text
    assert lab.store.content(name, "weights.safetensors") == sound


# Memory and disk


@pytest.mark.parametrize("device", ["gpu", "cpu"])
def test_a_cohort_that_does_not_fit_is_halved(device, dense, lab, monkeypatch, caplog):
    sizes, real, held = [], module.train, []

    class Big:
        pass

    def small_memory(jobs, *args, **options):
        assert not held or held[-1]() is None  # what was tried before is gone
        sizes.append(len(jobs))
        if len(jobs) > 2:
            big = Big()
            held.append(weakref.ref(big))
            if device == "cpu":
                torch.empty(2**50)  # a RuntimeError of the allocator
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(jobs, *args, **options)

    monkeypatch.setattr(module, "train", small_memory)
    study = [dense.replace(order=s) for s in range(5)]
    lab.run(study)
    assert sizes == [5, 2, 1, 2]  # not 3: the memory is known by then
    assert "5 networks don't fit the memory together: trying halves" in caplog.text
    assert lab.run(study).trained == 0
    sizes.clear()
    lab.run(run.replace(recipe=run.recipe.replace(lr=0.01)) for run in study)
    assert sizes == [2, 1, 2]  # nor is it asked again
    assert caplog.text.count("trying halves") == 1


@pytest.mark.parametrize(("error", "runs"), [(torch.OutOfMemoryError("no"), 1), (RuntimeError("shapes differ"), 2)])
def test_one_network_that_does_not_fit_and_other_errors_are_errors(dense, lab, monkeypatch, error, runs):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(module, "train", fail)
    with pytest.raises(type(error)):
        lab.run([dense.replace(order=s) for s in range(runs)])


@pytest.mark.parametrize(
    ("number", "says"), [(errno.EROFS, "the disk is read-only"), (errno.ENOSPC, "the disk is full")]
)
def test_a_store_that_can_not_be_written_is_one_clear_line(dense, lab, monkeypatch, number, says):
    real = files.write

    def refuse(path, content):
        if path.name == "metrics.csv":
            raise OSError(number, "refused")
        real(path, content)

    lab.run([dense])
    monkeypatch.setattr(files, "write", refuse)
    with pytest.raises(UserError, match=says) as caught:
        lab.run([dense, dense.replace(order=1)])
    assert "\n" not in str(caught.value)
    assert lab.store.names() == [dense.name]
    assert not [path for path in lab.store.path.iterdir() if path.name.startswith(".")]


def test_a_store_that_can_not_be_made_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="a file"):
        Lab(tmp_path / "file" / "runs")


def test_devices_are_what_is_there(tmp_path):
    assert Lab(tmp_path, device="auto").device.type in ("cpu", "cuda", "mps")
    with pytest.raises(UserError, match=r"device 'tpu' isn't there; this machine has .*cpu"):
        Lab(tmp_path, device="tpu")


@pytest.mark.slow
def test_compiled_and_eager_trainings_agree(dense, make_lab):
    from ltkit.train.device import can_compile

    if not can_compile("cpu"):
        pytest.skip("nothing to compile with")
    run = dense.replace(recipe=RECIPE.replace(epochs=None, steps=4))
    labs = [make_lab(name, compile=name) for name in ("never", "always")]
    for lab in labs:
        lab.run([run])
    eager, compiled = (lab.weights(run) for lab in labs)
    assert all(torch.allclose(eager[name], compiled[name], atol=1e-4) for name in eager)


def test_compiling_is_for_long_work_only(dense, make_lab, monkeypatch):
    lab = make_lab(compile="auto")
    assert not lab._worth_compiling(dense, 1)
    monkeypatch.setitem(module.WORTH_COMPILING, "cpu", 1.0)
    monkeypatch.setattr(module, "can_compile", lambda kind: True)
    assert lab._worth_compiling(dense, 1)
    monkeypatch.setattr(module, "can_compile", lambda kind: False)
    assert not lab._worth_compiling(dense, 1)


def test_progress_speaks_in_lines_where_nobody_watches(dense, make_lab, monkeypatch, capsys):
    import ltkit.lab.progress as progress

    monkeypatch.setenv("LTKIT_HEADLESS", "1")
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    make_lab(progress=True).run([dense, dense.replace(order=1)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"0/2 runs, about \d+ s left, training accuracy \d+\.\d %", line) for line in lines)
    assert "about 0 s left" in lines[-1]


def test_nothing_to_do_is_fine(lab):
    assert lab.run([]).needed == 0
    assert list(lab.table([])) == []
