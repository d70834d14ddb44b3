"""Two processes on one store: no run is trained by both, and what a dead one held is taken over."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

import ltkit.lab.lease as module
from ltkit.lab import Lab
from ltkit.lab.lease import Leases
from ltkit.prune import tickets
from ltkit.spec import Init, Network, Recipe, Run

NAME, OTHER = "dense-0123456789ab", "ticket-0123456789ab"


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def held(folder):
    return sorted(file.name for file in (folder / "leases").iterdir())


def written(folder, name, **told):
    """A lease as another process would have left it."""
    (folder / "leases").mkdir(exist_ok=True)
    (folder / "leases" / name).write_text(json.dumps({"place": "elsewhere", "process": 1, "lease": "a", **told}))


def test_only_one_has_a_run_until_it_gives_it_back(folder):
    one, two = Leases(folder), Leases(folder)
    assert one.take([NAME, OTHER]) == {NAME, OTHER}
    assert two.take([NAME]) == set()
    one.give([NAME])
    assert two.take([NAME, OTHER]) == {NAME}
    assert held(folder) == [NAME, OTHER]
    two.close()
    one.close()
    assert held(folder) == []


def test_what_a_process_of_this_machine_held_that_is_gone_is_free_at_once(folder):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    written(folder, NAME, place=module._place(), process=child.pid)
    written(folder, OTHER, place=module._place(), process=os.getpid())
    leases = Leases(folder)
    assert leases.take([NAME, OTHER]) == {NAME}
    leases.close()


@pytest.mark.parametrize("content", [{}, {"process": "no number"}, {"process": 2**70}])
def test_what_another_machine_held_is_free_when_it_has_been_silent_for_long(folder, monkeypatch, content):
    clock = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    written(folder, NAME, **content)
    leases = Leases(folder, patience=30)
    assert not leases.take([NAME])
    clock += 29
    assert not leases.take([NAME])
    os.utime(folder / "leases" / NAME, (5, 5))  # a sign of life, by a clock that is decades late
    clock += 29
    assert not leases.take([NAME])
    clock += 30
    assert not leases.take([NAME])
    clock += 1
    assert leases.take([NAME]) == {NAME}
    leases.close()


def test_an_empty_file_is_a_lease_that_is_being_written(folder):
    (folder / "leases").mkdir()
    (folder / "leases" / NAME).touch()
    assert not Leases(folder).take([NAME])
    leases = Leases(folder, patience=-1)
    assert not leases.take([NAME])
    assert leases.take([NAME])
    leases.close()


def test_a_holder_touches_its_leases(folder, monkeypatch):
    one, two, now = Leases(folder, beat=0.02), Leases(folder, patience=1), 0.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))
    one.take([NAME])
    file, until = folder / "leases" / NAME, time.monotonic() + 60
    for _ in range(5):
        assert not two.take([NAME])
        seen, now = file.stat().st_mtime_ns, now + 0.9
        while file.stat().st_mtime_ns == seen:
            assert time.monotonic() < until
            time.sleep(0.01)
    one.close()
    assert two.take([NAME])
    two.close()


def test_what_was_taken_away_stays_with_who_took_it(folder):
    one, two = Leases(folder), Leases(folder)
    one.take([NAME])
    (folder / "leases" / NAME).unlink()
    two.take([NAME])
    one.give([NAME])
    assert held(folder) == [NAME]
    two.close()


def test_a_lease_that_came_to_life_while_it_was_taken_away_is_put_back(folder):
    written(folder, NAME)
    file = folder / "leases" / NAME
    assert not module._remove(file, b"what was there before")
    assert json.loads(file.read_text())["place"] == "elsewhere"
    assert module._remove(file, file.read_bytes())
    assert held(folder) == []
    assert module._remove(file, b"")  # gone already


def study(task):
    runs = []
    for seed in range(6):
        recipe = Recipe(epochs=4, lr=0.1, batch_size=4)
        dense = Run(task=task, network=Network(width=0.1), recipe=recipe, start=Init(seed=seed), order=seed)
        runs += [dense, *tickets.imp(dense, rounds=1, rate=0.5)]
    return runs


def train(store, task, workers, both, told):
    """One of two processes; neither goes on before each has a run: a quick one would leave the other nothing."""
    take, one_at_a_time, first = Leases.take, threading.Lock(), []

    def taking(leases, names):
        with one_at_a_time:
            taken = take(leases, names)
            if taken and not first:
                first.append(taken)
                both.wait(240)
            return taken

    Leases.take = taking
    lab = Lab(store, device="cpu", members=1, workers=workers, compile="never", progress=False)
    tally = lab.run(study(task))
    told.put((tally.needed, tally.trained, [lab.store.done(run.name)["outcome"] for run in study(task)]))


@pytest.mark.slow
def test_two_processes_train_every_run_once(tmp_path, tiny):
    context = multiprocessing.get_context("spawn")
    both, told = context.Barrier(2), context.Queue()
    processes = [context.Process(target=train, args=(tmp_path, tiny, workers, both, told)) for workers in (1, 2)]
    for process in processes:
        process.start()
    answers = [told.get(timeout=300) for _ in processes]
    for process in processes:
        process.join(60)
    assert [needed for needed, _, _ in answers] == [12, 12]
    assert sum(trained for _, trained, _ in answers) == 12
    assert min(trained for _, trained, _ in answers) > 0  # each had one, and the other let it have it
    assert {outcome for _, _, outcomes in answers for outcome in outcomes} == {"finished"}
    assert held(tmp_path) == []
