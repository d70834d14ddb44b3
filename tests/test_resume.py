"""Killed trainings go on to the same bits; a rewound network is where it was: weights, buffers, optimizer, schedule."""

import pytest
import torch
from safetensors.torch import load

from ltkit.errors import UserError
from ltkit.lab import Lab, material
from ltkit.lab import lab as lab_module
from ltkit.prune import tickets
from ltkit.spec import From, Init, Magnitude, Network, Recipe, Run, Task
from ltkit.store import files
from ltkit.train import Cohort, train
from ltkit.train.schedule import factor

CPU = torch.device("cpu")
LENET, LENET_5 = Network(width=0.1), Network(arch="lenet_5", norm="batch")
SGD = Recipe(epochs=4, lr=0.05, batch_size=16, weight_decay=0.001, schedule="step")
ADAM = SGD.replace(optimizer="adam", lr=0.005, schedule="cosine")
KINDS = {
    "mlp-sgd": (LENET, SGD, {}),
    "bn-nesterov-augmented": (LENET_5, SGD.replace(nesterov=True), {"crop": 1, "flip": True}),
    "bn-adam": (LENET_5, ADAM, {}),
    "bn-bf16": (LENET_5, SGD.replace(precision="bf16"), {}),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def dense(request, tiny):
    network, recipe, augmentation = request.param
    return Run(task=tiny.replace(**augmentation), network=network, recipe=recipe)


@pytest.fixture
def plain(tiny):
    return Run(task=tiny, network=LENET, recipe=SGD)


@pytest.fixture
def steps(monkeypatch):
    """The steps that cohorts make, as (members, step); `steps.kill_at(step)` makes the next one there the last."""

    class Steps(list):
        fatal = None

        def kill_at(self, step):
            self.fatal = step

    seen, real = Steps(), Cohort.step

    def step(self, number):
        if number == seen.fatal:
            seen.fatal = None
            raise KeyboardInterrupt
        seen.append((self.members, number))
        real(self, number)

    monkeypatch.setattr(Cohort, "step", step)
    return seen


def content(lab, name):
    """All of a run that its spec decides."""
    folder = lab.store.folder(name)
    return {
        f: (folder / f).read_bytes() for f in ("spec.json", "metrics.csv", "weights.safetensors", "mask.safetensors")
    }


def leftovers(lab):
    return [path.name for path in lab.store.path.iterdir() if path.name.startswith(".")]


# Killed and taken up again


def test_a_killed_training_resumes_to_the_same_bits(dense, make_lab, steps):
    """Two twins in one cohort, one of them with a checkpoint; killed in the third epoch; nine steps an epoch."""
    undisturbed, lab = make_lab("undisturbed"), make_lab("killed", save_seconds=0)
    twins = [dense, dense.replace(order=1), tickets.ticket(dense, dense.mask, rewind=1)]
    undisturbed.run(twins)
    steps.kill_at(22)
    with pytest.raises(KeyboardInterrupt):
        lab.run(twins)
    assert lab.store.names() == []
    assert [name.startswith(".state-") for name in leftovers(lab)] == [True]
    steps.clear()
    tally = lab.run(twins)
    assert steps[0] == (2, 18)  # the third epoch from its beginning, not the first
    assert (tally.needed, tally.trained) == (3, 3)
    for name in [*(run.name for run in twins), f"{dense.name}@1"]:
        assert content(lab, name) == content(undisturbed, name)
    assert leftovers(lab) == []


def test_a_training_killed_twice_resumes_twice(plain, make_lab, steps):
    undisturbed, lab = make_lab("undisturbed"), make_lab("killed", save_seconds=0)
    undisturbed.run([plain])
    for fatal in (13, 31):
        steps.kill_at(fatal)
        with pytest.raises(KeyboardInterrupt):
            lab.run([plain])
    lab.run([plain])
    assert content(lab, plain.name) == content(undisturbed, plain.name)


def test_what_was_finished_before_the_kill_is_kept(plain, make_lab, steps):
    lab = make_lab(save_seconds=0)
    quick = plain.replace(recipe=plain.recipe.replace(epochs=1))
    steps.kill_at(13)
    with pytest.raises(KeyboardInterrupt):
        lab.run([quick, plain])
    assert lab.store.names() == [quick.name]
    done = (lab.store.folder(quick.name) / "done.json").stat().st_mtime_ns
    tally = lab.run([quick, plain])
    assert (tally.needed, tally.trained, tally.reused) == (2, 1, 1)
    assert (lab.store.folder(quick.name) / "done.json").stat().st_mtime_ns == done


def test_states_are_saved_now_and_then_only(plain, make_lab, steps):
    lab = make_lab(save_seconds=3600)
    steps.kill_at(22)
    with pytest.raises(KeyboardInterrupt):
        lab.run([plain])
    assert leftovers(lab) == []
    lab.run([plain])
    assert steps[22:][0] == (1, 0)


@pytest.mark.parametrize(
    "harm",
    [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-9] + bytes([b[-9] ^ 1]) + b[-8:]],
    ids=["truncated", "empty", "a bit flipped"],
)
def test_a_damaged_state_is_said_and_the_training_begins_anew(plain, make_lab, steps, caplog, harm):
    undisturbed, lab = make_lab("undisturbed"), make_lab("killed", save_seconds=0)
    undisturbed.run([plain])
    steps.kill_at(22)
    with pytest.raises(KeyboardInterrupt):
        lab.run([plain])
    (state,) = lab.store.path.glob(".state-*")
    state.write_bytes(harm(state.read_bytes()))
    steps.clear()
    lab.run([plain])
    assert steps[0] == (1, 0)
    assert "is damaged: the training begins anew" in caplog.text
    assert content(lab, plain.name) == content(undisturbed, plain.name)
    assert leftovers(lab) == []


def test_a_state_without_the_checkpoint_that_is_wanted_now_is_no_use(plain, make_lab, steps):
    """Killed after the epoch that, by the time of the next call, somebody wants to rewind to."""
    undisturbed, lab = make_lab("undisturbed"), make_lab("killed", save_seconds=0)
    study = [plain, *tickets.imp(plain, rounds=1, rewind=1)]
    undisturbed.run(study)
    steps.kill_at(22)
    with pytest.raises(KeyboardInterrupt):
        lab.run([plain])
    lab.run(study)
    for name in [*(run.name for run in study), f"{plain.name}@1"]:
        assert content(lab, name) == content(undisturbed, name)


def test_a_state_beyond_the_checkpoint_is_no_use(plain, make_lab, steps):
    """Killed here, trained to the end in another cohort, then a checkpoint is missing from before the kill."""
    undisturbed, lab = make_lab("undisturbed"), make_lab("killed", save_seconds=0)
    study = [plain, *tickets.imp(plain, rounds=1, rewind=1)]
    undisturbed.run(study)
    steps.kill_at(22)
    with pytest.raises(KeyboardInterrupt):
        lab.run(study)
    lab.run([plain])
    assert not lab.store.folder(f"{plain.name}@1").exists()
    lab.run(study)
    assert content(lab, f"{plain.name}@1") == content(undisturbed, f"{plain.name}@1")


def test_a_full_disk_while_saving_the_state_is_one_clear_line(plain, make_lab, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", full)
    with pytest.raises(UserError, match="the disk is full") as caught:
        make_lab(save_seconds=0).run([plain])
    assert "\n" not in str(caught.value)


# Rewound


def test_a_rewound_ticket_starts_where_the_dense_network_was(dense, lab):
    """Slip (1) of the peers: weights, buffers and optimizer at the rewind point, bit for bit, and 0 where pruned."""
    ticket = tickets.imp(dense, rounds=1, rate=0.5, rewind=2)[0]
    lab.run([ticket])
    mask, start = lab.mask(ticket), lab.weights(ticket, epoch=0)
    there = independently(dense, 2)
    slots = there.member_slots(0)
    for name, then in there.member(0).items():
        if name in mask:
            assert not start[name][~mask[name]].any()
            assert torch.equal(start[name][mask[name]], then[mask[name]])
        else:
            assert torch.equal(start[name], then)
        assert torch.equal(lab.weights(dense, epoch=2)[name], then)
    assert lab.store.read(ticket.name).done["density"] == pytest.approx(0.5, abs=1e-3)
    job = material.job(ticket, lab.store, None)
    assert job.slots.keys() == slots.keys()
    assert all(torch.equal(job.slots[key], tensor) for key, tensor in slots.items())
    assert int(slots["updates"]) == 18
    cohort = Cohort([job], CPU)
    assert (cohort.first_epoch, cohort.updates) == (2, [18])
    assert all(torch.equal(cohort.member_slots(0)[key], tensor) for key, tensor in slots.items())


def independently(run, epochs):
    """A dense run's cohort after some epochs, without lab and loop."""
    lone = Cohort([material.Job(run, material.start(run, None, None)[0])], CPU)
    for epoch in range(epochs):
        lone.begin_epoch(epoch)
        for step in range(9 * epoch, 9 * epoch + 9):
            lone.step(step)
    return lone


def test_pruned_weights_are_zero_all_the_way(dense, lab):
    ticket = tickets.imp(dense, rounds=2, rate=0.5, rewind=1)[-1]
    lab.run([ticket])
    job = material.job(ticket, lab.store, None)
    seen = []

    def probe(cohort, step):
        seen.append(step)
        for name, mask in job.mask.items():
            assert not cohort.weights[name][0][~mask].any()

    outcome = train([job], CPU, probes=[probe])[0]
    assert seen == list(range(9, 37))
    assert all(torch.equal(outcome.weights[name], tensor) for name, tensor in lab.weights(ticket).items())


def test_going_on_from_a_checkpoint_ends_at_the_dense_networks_weights(dense, lab):
    """No mask: the same batches, rates and optimizer state lead to the same bits."""
    again = dense.replace(start=From(run=dense, epoch=2, resume=2))
    lab.run([dense, again])
    assert again.name != dense.name
    ends = [lab.store.content(run.name, "weights.safetensors") for run in (dense, again)]
    assert ends[0] == ends[1]


def test_going_on_elsewhere_on_the_schedule_begins_with_a_fresh_optimizer(dense, lab):
    later = dense.replace(start=From(run=dense, epoch=1, resume=2))
    lab.run([later])
    job = material.job(later, lab.store, None)
    assert job.slots == {}
    there = independently(dense, 1).member(0)
    assert all(torch.equal(job.weights[name], tensor) for name, tensor in there.items())


@pytest.mark.parametrize("resume", [0, 2])
def test_fine_tuning_and_learning_rate_rewinding(dense, lab, resume):
    """θ_T under the mask, a fresh optimizer, the schedule and the data order taken up at epoch `resume`."""
    tuned = tickets.fine_tune(dense, Magnitude(run=dense, rate=0.5), resume)
    lab.run([tuned])
    job, end, mask = material.job(tuned, lab.store, None), lab.weights(dense), lab.mask(tuned)
    assert job.slots == {}
    for name, tensor in end.items():
        assert torch.equal(job.weights[name], torch.where(mask[name], tensor, 0) if name in mask else tensor)
    cohort = Cohort([job], CPU)
    assert cohort.updates == [0]
    assert not any(tensor.any() for slot in cohort.slots.values() for tensor in slot.values())
    for epoch in range(resume, 4):
        cohort.begin_epoch(epoch)
        for step in range(9 * epoch, 9 * epoch + 9):
            cohort.step(step)
            expected = -factor(dense.recipe, step, cohort.time) * dense.recipe.lr
            assert cohort.rates["fc3.bias"].flatten()[0] == pytest.approx(expected)
    trained = lab.weights(tuned)
    assert all(torch.equal(cohort.member(0)[name], tensor) for name, tensor in trained.items())
    assert lab.store.read(tuned.name).metrics.epoch.min() == resume + 1


def test_rewound_and_fresh_adam_in_one_cohort(tiny, make_lab):
    """The cohort's key doesn't say whose optimizer is fresh: Adam's count of steps must be each member's own."""
    dense = Run(task=tiny, network=LENET, recipe=ADAM)
    study = [
        tickets.ticket(dense, Magnitude(run=dense, rate=0.5), 2),
        tickets.fine_tune(dense, Magnitude(run=dense, rate=0.5), 2),
    ]
    together, alone = make_lab("together"), make_lab("alone", members=1)
    together.run(study)
    alone.run(study)
    assert [together.store.read(run.name).env["cohort"] for run in study] == [2, 2]
    for run in study:
        for name, tensor in alone.weights(run).items():
            assert torch.allclose(tensor, together.weights(run)[name], atol=1e-3)


def test_a_checkpoint_that_is_wanted_later_is_trained_up_to_that_epoch_only(plain, lab, steps):
    lab.run([plain, plain.replace(order=1)])
    before = {f.name: f.stat().st_mtime_ns for f in lab.store.folder(plain.name).iterdir()}
    assert not list(lab.store.path.glob("*@*"))
    steps.clear()
    ticket = tickets.imp(plain, rounds=1, rewind=1)[0]
    tally = lab.run([plain, ticket])
    assert steps == [
        (1, step) for step in [*range(9), *range(9, 36)]
    ]  # one epoch for the checkpoint, three for the ticket
    assert [path.name for path in lab.store.path.glob("*@*")] == [f"{plain.name}@1"]
    assert {f.name: f.stat().st_mtime_ns for f in lab.store.folder(plain.name).iterdir()} == before
    assert tally.needed == 2
    assert lab.run([plain, ticket]).trained == 0
    tensors = load(lab.store.content(f"{plain.name}@1", "weights.safetensors"))
    assert int(tensors["slots/updates"]) == 9


@pytest.mark.parametrize(("factor", "warns"), [(None, False), (1.009, False), (1.02, True), (float("nan"), True)])
def test_a_training_that_goes_another_way_when_it_is_repeated_is_said(factor, warns, plain, lab, caplog):
    """What is stored of it is spoiled here in the epoch that both have last; the second training comes to the same."""
    lab.run([plain])
    contents = {file: lab.store.content(plain.name, file) for file in lab.store.done(plain.name)["files"]}
    if factor is not None:
        metrics = lab.store.read(plain.name).metrics
        at = (metrics.split == "train") & (metrics.epoch == 2)
        metrics.loc[at, "loss"] *= factor
        contents["metrics.csv"] = metrics.to_csv(index=False, na_rep="nan").encode()
        lab.store.discard(plain.name)
        lab.store.publish({plain.name: (contents, {"outcome": "finished"})})
    lab.run(tickets.imp(plain, rounds=1, rewind=2))
    said = [record.message for record in caplog.records if "is of another training" in record.message]
    assert len(said) == warns
    assert all(plain.name in text and "after epoch 2 is" in text for text in said)
    assert lab.store.content(plain.name, "metrics.csv") == contents["metrics.csv"]


def test_the_ends_of_a_training_need_no_checkpoint(plain, lab):
    first = plain.replace(start=From(run=plain, epoch=0, resume=0))
    last = plain.replace(start=From(run=plain, epoch=4, resume=1))
    lab.run([first, last])
    assert not list(lab.store.path.glob("*@*"))
    assert lab.weights(first).keys() == lab.weights(plain).keys()
    assert all(torch.equal(tensor, lab.weights(plain)[name]) for name, tensor in lab.weights(first).items())
    assert all(torch.equal(tensor, lab.weights(plain)[name]) for name, tensor in lab.weights(last, 0).items())


def test_a_start_that_its_parent_never_reached_is_one_clear_line(plain, lab):
    late = plain.replace(start=From(run=plain, epoch=2, resume=2))
    before = plain.replace(start=From(run=late, epoch=1, resume=1))
    with pytest.raises(UserError, match="no run can start at 1"):
        lab.run([before])
    short = plain.replace(recipe=plain.recipe.replace(epochs=None, steps=13))
    with pytest.raises(UserError, match="no run can start at 3"):
        lab.run([short.replace(start=From(run=short, epoch=3, resume=1))])


def test_origin_and_starts_of_a_chain(plain, lab):
    """Every round of IMP goes back to the same θ_k, not to the round before."""
    study = tickets.imp(plain, rounds=3, rate=0.5, rewind=1)
    lab.run(study)
    for ticket in study:
        assert ticket.start == From(run=plain, epoch=1, resume=1)
        mask, then = lab.mask(ticket), lab.weights(plain, 1)
        for name, start in lab.weights(ticket, 0).items():
            assert torch.equal(start, torch.where(mask[name], then[name], 0) if name in mask else then[name])
    fresh = plain.replace(start=Init(seed=3))
    lab.run([fresh])
    assert not torch.equal(lab.weights(fresh, 0)["fc1.weight"], lab.weights(plain, 0)["fc1.weight"])


def test_the_time_left_counts_only_what_is_left(tmp_path, monkeypatch):
    """Killed in its fourth of six epochs, a training is taken up after the third: three epochs are left, not six."""
    seen: list[tuple[int, int]] = []

    class Watched(lab_module.Progress):
        def epoch(self, networks: int, accuracy: float, earlier: int = 0) -> None:
            super().epoch(networks, accuracy, earlier)
            seen.append((self.done_epochs, self.epochs))
            if len(seen) == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(lab_module, "Progress", Watched)
    run = Run(task=Task(), network=LENET, recipe=Recipe(lr=0.1, epochs=6, batch_size=512))
    lab = Lab(tmp_path, workers=1, progress=False, save_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        lab.run([run])
    lab.run([run])
    assert seen == [(1, 6), (2, 6), (3, 6), (4, 6), (1, 3), (2, 3), (3, 3)]
