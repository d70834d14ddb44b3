"""Traces: gradient norms by autograd and by hand, recording that changes nothing, entries beside their runs."""

import json
import math

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load

import ltkit.lab.lab as module
from ltkit import data, models
from ltkit.errors import UserError
from ltkit.lab import Trace, material
from ltkit.lab.plan import plan
from ltkit.prune import masks, tickets
from ltkit.show.runs import listing
from ltkit.spec import Anchor, From, Init, Network, Random, Recipe, Run
from ltkit.train import Cohort, trace, train

CPU = torch.device("cpu")
LENET, LENET_5 = Network(width=0.1), Network(arch="lenet_5", width=0.3, norm="batch")
RECIPE = Recipe(steps=14, lr=0.1, batch_size=16, weight_decay=0.01)
TRACE = Trace(every=5, images=40, snapshots=(0, 4, 6, 14))


@pytest.fixture
def dense(tiny):
    return Run(task=tiny, network=LENET, recipe=RECIPE)


def family(dense):
    every = {"density": 0.3, "every": 3, "end": 0.9, "drop": 0.5}
    return [
        tickets.grown(dense, "rigl", **every),
        tickets.grown(dense, "set", **every, replaces_step=False),
        tickets.gradual(dense, 0.2, begin=0.2, end=0.7, every=3),
        tickets.random(dense, density=0.3),
        dense,
    ]


def job_of(run, traced=None):
    job = material.job(run, None, None)
    return type(job)(**{**vars(job), "trace": traced})


def stepped(runs, steps, listen=None):
    cohort = Cohort([job_of(run) for run in runs], CPU)
    cohort.listeners += [listen] if listen else []
    for step in range(steps):
        if step % cohort.time.per_epoch == 0:
            cohort.begin_epoch(step // cohort.time.per_epoch)
        cohort.step(step)
    return cohort


def plain_gradients(run, weights, images):
    """Mean cross-entropy and its gradients on the first images of the fixed order, by a network of one member."""
    dataset = data.load(run.task)
    order = trace.batch_rows(Cohort([job_of(run)], CPU), images)[0][0]
    x = (dataset.train_x[order] / 255 - dataset.mean[:, None, None]) / dataset.std[:, None, None]
    net = models.build(run.network, dataset.shape, dataset.classes).train()
    net.load_state_dict({name: t.unsqueeze(0) for name, t in weights.items()})
    loss = F.cross_entropy(net(x.unsqueeze(0))[0], dataset.train_y[order])
    names, tensors = zip(*net.named_parameters(), strict=True)
    return float(loss.detach()), {n: g[0] for n, g in zip(names, torch.autograd.grad(loss, tensors), strict=True)}


def length(grads):
    return math.sqrt(sum(float(g.double().square().sum()) for g in grads.values()))


# The numbers


def test_norms_by_hand():
    grads = {"a": torch.tensor([[[3.0, 4]], [[1, 2]]]), "bias": torch.tensor([[12.0], [2]])}
    keep = {"a": torch.tensor([[[True, True]], [[False, True]]])}
    assert trace.norm(grads, {}).tolist() == [13, 3]
    assert trace.norm(grads, keep).tolist() == pytest.approx([13, math.sqrt(8)])
    nothing = {"a": torch.zeros(2, 1, 2, dtype=torch.bool)}
    assert trace.norm(grads, nothing).tolist() == [12, 2]  # only the bias is left
    scaled = {name: -2.5 * g for name, g in grads.items()}
    assert trace.norm(scaled, keep).tolist() == pytest.approx([2.5 * 13, 2.5 * math.sqrt(8)])


@pytest.mark.parametrize("network", [LENET, LENET_5], ids=["mlp", "conv"])
def test_numbers_are_those_of_a_plain_network(dense, network):
    """Without L2, extra loss, label smoothing and augmentation; BatchNorm by the batch, running statistics kept."""
    task = dense.task.replace(crop=2, flip=True)
    recipe = RECIPE.replace(label_smoothing=0.3, weight_decay=0.2)
    base = dense.replace(task=task, recipe=recipe, network=network)
    noisy = base.replace(task=task.replace(labels="random", corruption_seed=1))
    for runs in ([base, tickets.random(base, density=0.3), noisy], [base.replace(extra=Anchor(strength=3))]):
        cohort = stepped(runs, 5)
        before = [cohort.member(r) for r in range(len(runs))]
        measured = trace.measure(cohort, trace.batch_rows(cohort, 50))
        for r, run in enumerate(runs):
            loss, grads = plain_gradients(run, before[r], 50)
            mask = cohort.member_mask(r)
            assert measured[r]["loss"] == pytest.approx(loss, rel=1e-5)
            assert measured[r]["dense_norm"] == pytest.approx(length(grads), rel=1e-4)
            assert measured[r]["gradient_norm"] == pytest.approx(length(masks.apply(grads, mask)), rel=1e-4)
            assert (measured[r]["gradient_norm"] < measured[r]["dense_norm"]) == bool(mask)
            assert math.isnan(measured[r]["gain"])
            prunable = models.prunable_count(network, (1, 8, 8), 4)
            assert measured[r]["kept"] == (sum(masks.counts(mask).values()) if mask else prunable)
            assert all(torch.equal(t, before[r][name]) for name, t in cohort.member(r).items())
    assert cohort.net.training


def test_the_batch_is_the_first_images_of_one_order_with_the_labels_that_are_trained(dense):
    runs = [dense, dense.replace(order=3), dense.replace(task=dense.task.replace(pixels="shuffled"))]
    runs.append(dense.replace(task=dense.task.replace(labels="random")))
    cohort = Cohort([job_of(run) for run in runs], CPU)
    rows, labels = trace.batch_rows(cohort, 30)
    more, _ = trace.batch_rows(cohort, 10_000)
    assert more.shape == (4, 144)  # all there are
    assert torch.equal(more[:, :30], rows)
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2] - 144)  # the same images, their pixels shuffled
    assert len(set(rows[0].tolist())) == 30
    assert rows[0].tolist() != sorted(rows[0].tolist())
    for run, own, row in zip(runs, labels, rows, strict=True):
        assert torch.equal(own, data.load(run.task).train_y[row % 144])
    assert torch.equal(labels[0], labels[2])
    assert not torch.equal(labels[0], labels[3])


def test_growing_without_dropping_raises_the_square_by_the_gain(dense):
    """Sheet trap 3: at 0 new weights change no output, so the other gradients stay as they are."""
    cohort = stepped([tickets.random(dense, density=0.3), dense], 7)
    rows = trace.batch_rows(cohort, 60)
    grown = {
        name: m | (torch.rand(m.shape, generator=torch.manual_seed(0)) < 0.2)
        for name, m in cohort.member_mask(0).items()
    }
    before = trace.measure(cohort, rows, {0: grown})
    for name, m in grown.items():
        cohort.set_mask(name, torch.stack([m, torch.ones_like(m)]))
    after = trace.measure(cohort, rows)
    assert before[0]["gain"] > 0.01 * before[0]["gradient_norm"] ** 2
    assert after[0]["gradient_norm"] ** 2 == pytest.approx(
        before[0]["gradient_norm"] ** 2 + before[0]["gain"], rel=1e-6
    )
    assert after[0]["dense_norm"] == before[0]["dense_norm"]
    assert math.isnan(before[1]["gain"])
    assert after[1] == pytest.approx(before[1], nan_ok=True)


# What is recorded, and when


def rows_of(outcome):
    return pd.DataFrame(outcome.record.rows, columns=trace.COLUMNS)


def test_records_come_every_so_often_and_around_updates(dense):
    outcomes = train([job_of(run, TRACE) for run in family(dense)], CPU)
    plain = [(0, "step"), (5, "step"), (10, "step"), (14, "step")]
    updates = [(3, 6, 9, 12), (3, 6, 9, 12), (3, 6, 9, 10), (), ()]  # gradual: from 0.2 to 0.7 of 14 steps
    prunable = 2260
    for outcome, due in zip(outcomes, updates, strict=True):
        table = rows_of(outcome)
        found = list(zip(table.step, table.moment, strict=True))
        assert sorted(found) == sorted(plain + [(step, m) for step in due for m in ("before", "after")])
        assert [step for step, _ in found] == sorted(step for step, _ in found)
        assert all(found.index((s, "before")) + 1 == found.index((s, "after")) for s in due)
        assert table.gain.notna().tolist() == [moment == "before" for _, moment in found]
        assert (table.loss > 0).all()
        assert (table.gradient_norm <= table.dense_norm).all()
    kept = [rows_of(outcome).kept.tolist() for outcome in outcomes]
    assert set(kept[0]) == set(kept[1]) == set(kept[3]) == {678}
    assert set(kept[4]) == {prunable}
    assert (kept[2][0], kept[2][-1]) == (prunable, 384 + 60 + 8)
    assert set(rows_of(outcomes[2]).gain.dropna()) == {0}
    rigl, set_ = (rows_of(outcome).gain.dropna() for outcome in outcomes[:2])
    assert rigl.iloc[0] > 2 * set_.iloc[0] > 0


def test_the_last_record_of_before_is_where_the_update_begins(dense):
    """With a replaced step nothing lies between the step's own record and the update's; after a step, the step does."""
    runs = family(dense)[:2]
    every = Trace(every=1, images=40)
    for outcome, same in zip(train([job_of(run, every) for run in runs], CPU), (True, False), strict=True):
        table = rows_of(outcome).set_index(["step", "moment"])
        for step in (3, 6, 9, 12):
            at = table.loc[step]
            assert (at.loss["step"] == at.loss["before"]) == same
            assert at.loss["after"] != at.loss["before"]
            assert table.loss[step + 1, "step"] == at.loss["after"]


@pytest.mark.parametrize("network", [LENET, LENET_5], ids=["mlp", "conv"])
def test_recording_never_changes_what_is_trained(dense, network):
    runs = [run.replace(task=dense.task.replace(crop=1)) for run in family(dense.replace(network=network))]
    kept = [{"keep": frozenset({1})}, {}, {}, {}, {}]
    jobs = [type(job)(**{**vars(job), **extra}) for job, extra in zip(map(job_of, runs), kept, strict=True)]
    watched = [type(job)(**{**vars(job), "trace": Trace(every=1, images=99, snapshots=(3, 4))}) for job in jobs]
    for silent, loud in zip(train(jobs, CPU), train(watched, CPU), strict=True):
        for a, b in (
            (silent.weights, loud.weights),
            (silent.mask, loud.mask),
            *zip(silent.checkpoints.values(), loud.checkpoints.values(), strict=True),
        ):
            assert a.keys() == b.keys()
            assert all(torch.equal(t, b[name]) for name, t in a.items())
        assert silent.metrics == loud.metrics
        assert silent.record is None
        assert len(loud.record.rows) >= 15


@pytest.mark.parametrize("network", [LENET, LENET_5], ids=["mlp", "conv"])
def test_traces_of_a_cohort_equal_lone_ones(dense, network):
    runs = family(dense.replace(network=network, recipe=RECIPE.replace(steps=5)))
    short = Trace(every=2, images=40)
    for run, together in zip(runs, train([job_of(run, short) for run in runs], CPU), strict=True):
        alone = rows_of(train([job_of(run, short)], CPU)[0])
        pd.testing.assert_frame_equal(rows_of(together), alone, rtol=2e-3)


def test_a_traced_member_beside_others(dense):
    runs = family(dense)
    outcomes = train([job_of(run, TRACE if r == 1 else None) for r, run in enumerate(runs)], CPU)
    assert [outcome.record is None for outcome in outcomes] == [True, False, True, True, True]
    whole = train([job_of(run, TRACE) for run in runs], CPU)[1]
    pd.testing.assert_frame_equal(rows_of(outcomes[1]), rows_of(whole))
    with pytest.raises(ValueError, match="share one trace"):
        train([job_of(runs[0], TRACE), job_of(runs[1], TRACE.replace(every=4))], CPU)


def test_a_trace_has_a_name_of_its_own():
    assert TRACE.name.startswith("trace-")
    others = [TRACE.replace(every=6), TRACE.replace(images=41), TRACE.replace(snapshots=(0, 4, 6))]
    assert len({TRACE.name, *(other.name for other in others)}) == 4
    assert Trace(every="5", images=40, snapshots=[0, 4, 6, 14]).name == TRACE.name
    for wrong, says in (
        ({"every": 0}, "every"),
        ({"snapshots": (3, 1)}, "rise"),
        ({"evry": 3}, "did you mean 'every'"),
    ):
        with pytest.raises(UserError, match=says):
            Trace(**{"every": 1, **wrong})


# Through the lab


@pytest.fixture
def trained(monkeypatch):
    """The names of each cohort that is trained."""
    cohorts, real = [], module.train

    def spy(jobs, *args, **options):
        cohorts.append([job.run.name for job in jobs])
        return real(jobs, *args, **options)

    monkeypatch.setattr(module, "train", spy)
    return cohorts


def stamps(lab, name):
    return {file.name: file.stat().st_mtime_ns for file in lab.store.folder(name).iterdir()}


def test_missing_traces_are_made_and_nothing_is_overwritten(dense, lab, trained):
    old, new = family(dense)[:2], family(dense)[2:]
    lab.run(old)
    before = [stamps(lab, run.name) for run in old]
    trained.clear()
    tally = lab.run([*old, *new], TRACE)
    assert (tally.needed, tally.trained) == (5, 5)
    assert len(trained) == 1  # what is missing and what lacks its trace together
    assert [stamps(lab, run.name) for run in old] == before
    assert lab.run([*new, *old], TRACE).trained == 0
    assert lab.run([*old, *new]).trained == 0
    for run in (*old, *new):
        table = lab.trace(run, TRACE)
        assert list(table.columns) == list(trace.COLUMNS)
        assert {"step", "before", "after"} >= set(table.moment) >= {"step"}
        assert table.dtypes.astype(str).tolist()[2:] == ["float64"] * 4 + ["int64"]
    alone = train([job_of(run, TRACE) for run in (*old, *new)], CPU)
    for outcome in alone:
        pd.testing.assert_frame_equal(lab.trace(outcome.job.run, TRACE), rows_of(outcome), check_exact=True)
    trained.clear()
    other = TRACE.replace(every=7)
    lab.run([old[1]], other)
    assert trained == [[old[1].name]]
    assert not lab.store.folder(f"{old[0].name}@{other.name}").exists()


def test_snapshots_are_of_the_moments_around_an_update(dense, lab):
    runs = family(dense)
    lab.run(runs, TRACE)
    seen = {}

    def listen(cohort, step, moment, new):
        for r in new:
            seen[r, step, moment] = cohort.member(r), cohort.member_mask(r)

    stepped(runs, 14, listen)
    for r, run in enumerate(runs):
        start, mask = lab.snapshot(run, TRACE, 0, "step")
        assert all(torch.equal(t, lab.weights(run, 0)[name]) for name, t in start.items())
        assert mask.keys() == lab.mask(run).keys()
        end, mask = lab.snapshot(run, TRACE, 14, "step")
        assert all(torch.equal(t, lab.weights(run)[name]) for name, t in end.items())
        assert list(mask) == list(lab.mask(run))
        assert all(torch.equal(m, lab.mask(run)[name]) for name, m in mask.items())
        lab.snapshot(run, TRACE, 4, "step")
        if r < 3:
            for moment in ("before", "after"):
                for stored, there in zip(lab.snapshot(run, TRACE, 6, moment), seen[r, 6, moment], strict=True):
                    assert stored.keys() == there.keys()
                    assert all(torch.equal(t, there[name]) for name, t in stored.items())
            first, second = (lab.snapshot(run, TRACE, 6, moment)[1] for moment in ("before", "after"))
            assert any(not torch.equal(m, second[name]) for name, m in first.items())
        with pytest.raises(
            UserError, match=r"no snapshot of step 6 .* there are: 0 \(step\), 4 \(step\), 6 "
        ) as caught:
            lab.snapshot(run, TRACE, 6, "step" if r < 3 else "after")
        assert "\n" not in str(caught.value)


def test_parents_are_trained_for_a_trace_but_not_traced(dense, lab):
    ticket = tickets.imp(dense.replace(recipe=RECIPE.replace(steps=None, epochs=2)), rounds=1, rewind=1)[0]
    lab.run([ticket], TRACE)
    parent = ticket.parents[0]
    assert sorted(p.name for p in lab.store.path.glob("*@*")) == [f"{parent.name}@1", f"{ticket.name}@{TRACE.name}"]
    assert lab.trace(ticket, TRACE).step.tolist() == [9, 10, 15, 18]  # its own first step, not the schedule's
    with pytest.raises(UserError, match=r"has no trace.csv in .*: train it first"):
        lab.trace(parent, TRACE)
    todo = plan([parent, ticket.replace(order=4)], lab.store, TRACE.name)
    assert [(work.run.name, work.there, work.traced, work.until) for work in todo.values()] == [
        (parent.name, True, True, None),
        (ticket.replace(order=4).name, False, True, None),
    ]


@pytest.mark.parametrize("first", [0, 1])
def test_a_checkpoint_and_a_trace_are_made_in_one_training(dense, lab, trained, first):
    """Whichever is asked for first: the run is trained to its end, once."""
    dense = dense.replace(recipe=RECIPE.replace(steps=None, epochs=3))
    lab.run([dense])
    before = stamps(lab, dense.name)
    trained.clear()
    study = [dense, dense.replace(start=From(run=dense, epoch=1, resume=1), order=2)]
    lab.run([study[first], study[1 - first]], TRACE)
    assert trained == [[dense.name], [study[1].name]]
    assert lab.store.folder(f"{dense.name}@1").exists()
    assert lab.trace(dense, TRACE).step.max() == 27
    assert stamps(lab, dense.name) == before


def test_a_killed_training_resumes_its_trace(dense, make_lab, monkeypatch):
    runs = family(dense.replace(recipe=RECIPE.replace(steps=None, epochs=4), network=LENET_5))
    about = Trace(every=4, images=50, snapshots=(12, 13, 30))
    undisturbed, lab = make_lab("undisturbed"), make_lab("killed", save_seconds=0)
    undisturbed.run(runs, about)
    real, fatal = Cohort.step, [22]

    def step(self, number):
        if number in fatal:
            fatal.clear()
            raise KeyboardInterrupt
        real(self, number)

    monkeypatch.setattr(Cohort, "step", step)
    with pytest.raises(KeyboardInterrupt):
        lab.run(runs, about)
    assert lab.store.names() == []
    lab.run(runs, about)
    for run in runs:
        name = f"{run.name}@{about.name}"
        assert lab.store.content(name, "trace.csv") == undisturbed.store.content(name, "trace.csv")
        first, second = (load(one.store.content(name, "weights.safetensors")) for one in (lab, undisturbed))
        assert first.keys() == second.keys()
        assert all(torch.equal(t, second[key]) for key, t in first.items())
        assert lab.store.content(run.name, "weights.safetensors") == undisturbed.store.content(
            run.name, "weights.safetensors"
        )


def test_a_state_of_a_training_without_the_trace_is_no_use(dense, make_lab, monkeypatch):
    dense = dense.replace(recipe=RECIPE.replace(steps=None, epochs=4))
    lab, real, fatal = make_lab(save_seconds=0), Cohort.step, [22]

    def step(self, number):
        if number in fatal:
            fatal.clear()
            raise KeyboardInterrupt
        real(self, number)

    monkeypatch.setattr(Cohort, "step", step)
    with pytest.raises(KeyboardInterrupt):
        lab.run([dense])
    lab.run([dense], TRACE)
    assert lab.trace(dense, TRACE).step.tolist() == [*range(0, 36, 5), 36]


def test_divergence_and_what_was_never_trained(dense, lab):
    wild = dense.replace(recipe=RECIPE.replace(lr=100, weight_decay=1, steps=90))
    child = tickets.imp(wild, rounds=1)[0]
    lab.run([child])
    about = Trace(every=30, images=20)
    for _ in range(2):
        tally = lab.run([wild, child], about)
    assert tally.trained == 0
    table = lab.trace(wild, about)
    assert table.step.tolist() == [0, 30, 60, 90]
    assert table.loss.isna().any()
    assert lab.trace(child, about).empty
    assert lab.table([({}, child)]).outcome[0] == "undefined"


def test_the_store_looks_after_traces_as_after_checkpoints(dense, lab, caplog):
    run = family(dense)[0]
    lab.run([run], TRACE)
    name = f"{run.name}@{TRACE.name}"
    assert lab.store.names() == [run.name]
    assert name not in listing(lab.store)
    assert lab.store.verify(name) is None
    assert lab.store.sweep(True) == []
    spec = json.loads(lab.store.content(name, "spec.json"))
    assert spec["trace"] == {"every": 5, "images": 40, "snapshots": [0, 4, 6, 14]}
    assert spec["identity"] == run.identity
    sound = lab.store.content(name, "trace.csv")
    (lab.store.folder(name) / "trace.csv").write_bytes(sound[:-1])
    assert [(path.name, "trace.csv" in why) for path, _, why in lab.store.sweep(False)] == [(name, True)]
    lab.run([run], TRACE)
    assert "it will be trained again" in caplog.text
    assert lab.store.content(name, "trace.csv") == sound
    with pytest.raises(UserError, match="is no run"):
        lab.store.folder(f"{run.name}@trace-12")


def test_the_order_of_the_fixed_batch_is_nobody_elses(tiny):
    """Another order, start or mask: the same batch; it is the same for all that are compared."""
    base = Run(task=tiny, network=LENET, recipe=RECIPE)
    others = [base, base.replace(order=5, start=Init(seed=4), mask=Random(density=0.5))]
    first, second = (trace.batch_rows(Cohort([job_of(run)], CPU), 20)[0] for run in others)
    assert torch.equal(first, second)
