"""Who trains with whom is settled beforehand, and several cohorts side by side give the bits of one after the other."""

import threading

import pytest
import torch

import ltkit.lab.lab as module
from ltkit.lab.cohorts import Stopped, compose, each
from ltkit.lab.plan import plan
from ltkit.prune import tickets
from ltkit.spec import From, Init, Network, Recipe, Run

RECIPE = Recipe(epochs=2, lr=0.1, batch_size=16)


@pytest.fixture
def study(tiny):
    """Two seeds of two networks with chains, controls, a rewound ticket, and two learning rates."""
    runs = []
    for network in (Network(width=0.1), Network(arch="resnet8", width=0.25)):
        for seed in (0, 1):
            dense = Run(task=tiny, network=network, recipe=RECIPE, start=Init(seed=seed), order=seed)
            chain = tickets.imp(dense, rounds=2, rate=0.5)
            runs += [dense, *chain, *(tickets.reinit(run) for run in chain), tickets.ticket(dense, chain[0].mask, 1)]
            runs.append(dense.replace(recipe=RECIPE.replace(lr=0.05)))
    return runs


def test_cohorts_hold_every_run_once_and_parents_come_first(study, lab):
    todo = plan(study, lab.store)
    cohorts = compose(todo, lambda run: 3)
    names = [work.run.name for cohort in cohorts for work in cohort]
    assert sorted(names) == sorted(todo)
    assert max(map(len, cohorts)) == 3
    place = {name: number for number, cohort in enumerate(cohorts) for name in (w.run.name for w in cohort)}
    assert all(place[parent] < place[name] for name in names for parent in todo[name].waits_for)
    heights = [cohort[0].height for cohort in cohorts if not cohort[0].waits_for]
    assert heights == sorted(heights, reverse=True)  # what the longest chain waits for goes first
    assert {len({work.until for work in cohort}) for cohort in cohorts} == {1}


def test_side_by_side_gives_the_bits_of_one_after_the_other(study, make_lab):
    one, two = make_lab("one", workers=1), make_lab("two", workers=2)
    tallies = [lab.run(study) for lab in (one, two)]
    assert tallies[0].trained == tallies[1].trained == len(study)
    assert one.store.names() == two.store.names()
    for name in one.store.names():
        for file in ("weights.safetensors", "mask.safetensors", "metrics.csv"):
            assert one.store.content(name, file) == two.store.content(name, file), name


def test_cohorts_really_train_at_the_same_time(study, make_lab, monkeypatch):
    both, threads, real = threading.Barrier(2, timeout=60), [], module.train

    def meet(*args, **options):
        both.wait()  # broken, and so an error, unless a second cohort is on its way
        threads.append(torch.get_num_threads())
        return real(*args, **options)

    monkeypatch.setattr(module, "train", meet)
    lrs = (0.1, 0.05)
    make_lab(workers=2).run([study[0].replace(recipe=RECIPE.replace(lr=lr, epochs=n)) for n in (1, 2) for lr in lrs])
    assert threads == [1, 1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError("shapes differ")])
def test_an_error_ends_the_others_and_loses_nothing_finished(error, study, make_lab, monkeypatch):
    lab, real, stopped, failed = make_lab(workers=2), module.train, [], threading.Event()
    long, short = study[0].replace(recipe=RECIPE.replace(epochs=10_000)), study[7]
    first = study[0]

    def spy(jobs, *args, tick, **options):
        if jobs[0].run == short:
            failed.set()
            raise error
        try:
            failed.wait(60 if jobs[0].run == long else 0)
            return real(jobs, *args, tick=tick, **options)
        except Stopped:
            stopped.append(jobs[0].run.name)
            raise

    lab.run([first])
    monkeypatch.setattr(module, "train", spy)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        lab.run([first, long, short])
    assert stopped == [long.name]  # at the end of an epoch, ten thousand would take minutes
    assert lab.store.names() == [first.name]
    monkeypatch.setattr(module, "train", real)
    assert lab.run([first, short]).trained == 1


def test_a_damaged_parent_is_made_again_beside_others(study, make_lab, caplog):
    lab = make_lab(workers=2)
    dense, ticket = study[0], study[1]
    lab.run([dense])
    path = lab.store.folder(dense.name) / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    lab.run([ticket, study[7], study[13], dense.replace(start=From(run=dense, epoch=1, resume=1))])
    assert "it will be trained again" in caplog.text
    assert all(lab.store.verify(name) is None for name in lab.store.names())


def test_one_worker_runs_here_and_in_order(study, lab):
    cohorts, seen = compose(plan(study, lab.store), lambda run: 2), []

    def train(cohort):
        seen.append((cohort, threading.current_thread()))
        return []

    each(cohorts, train, threading.Event(), 1, 1)
    assert [cohort for cohort, _ in seen] == cohorts
    assert {thread for _, thread in seen} == {threading.main_thread()}


@pytest.mark.parametrize("cause", [KeyboardInterrupt, OSError])
def test_a_second_ctrl_c_while_python_notes_the_first_is_one(study, lab, monkeypatch, cause):
    def twice(*words, **named):
        try:
            raise cause
        except cause:
            raise RuntimeError("release unlocked lock")  # noqa: B904  # as threading.Condition does

    monkeypatch.setattr("ltkit.lab.cohorts.wait", twice)
    cohorts, stop = compose(plan(study, lab.store), lambda run: 4), threading.Event()
    with pytest.raises(KeyboardInterrupt if cause is KeyboardInterrupt else RuntimeError):
        each(cohorts, lambda cohort: [], stop, 2, 1)
    assert stop.is_set()
