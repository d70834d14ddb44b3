"""Many runs: what a listing, a lookup and a plan cost, counted in files opened and looked at, not in seconds."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ltkit.lab.plan import plan
from ltkit.prune import tickets
from ltkit.show import runs as show
from ltkit.store import Store, open_store

ROOT = Path(__file__).resolve().parents[1]
COUNT = 40
FILES = 5  # of a run, beside done.json

spec = importlib.util.spec_from_file_location("bench_scale", ROOT / "bench/scale.py")
assert spec is not None
assert spec.loader is not None
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)

counting: Counter[str] | None = None


def hear(event: str, args: tuple[Any, ...]) -> None:
    if counting is not None and event in ("open", "os.listdir", "os.scandir"):
        counting[event] += 1


sys.addaudithook(hear)  # for good: a hook can't be taken out again


class Counted:
    """Counts files opened, folders listed and os.stat's while it lasts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch, self.found = monkeypatch, Counter[str]()

    def __enter__(self) -> Counter[str]:
        global counting
        counting, stat = self.found, os.stat

        def counted(*args: Any, **named: Any) -> os.stat_result:
            self.found["stat"] += 1
            return stat(*args, **named)

        self.patch.setattr(os, "stat", counted)
        return self.found

    def __exit__(self, *_: object) -> None:
        global counting
        counting = None
        self.patch.undo()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = open_store(tmp_path / "runs")
    bench.fill(made, COUNT)
    return made


def test_names_opens_nothing(store, monkeypatch):
    with Counted(monkeypatch) as found:
        names = store.names()
    assert len(names) == COUNT
    assert found == {"os.scandir": 1, "stat": COUNT}


def test_a_lookup_opens_one_file(store, monkeypatch):
    name = store.names()[0]
    with Counted(monkeypatch) as found:
        assert store.done(name)["outcome"] == "finished"
    assert found == {"open": 1, "stat": FILES}
    with Counted(monkeypatch) as found:
        assert store.done("dense-0123456789ab") is None
    assert found["open"] + found["stat"] <= 2


def test_the_first_listing_opens_two_files_a_run_and_the_next_one_file_in_all(store, monkeypatch):
    monkeypatch.setattr(show, "MANY", 10)
    with Counted(monkeypatch) as found:
        first = show.listing(store)
    assert 2 * COUNT <= found["open"] <= 2 * COUNT + 10
    assert found["os.listdir"] == COUNT
    with Counted(monkeypatch) as found:
        assert show.listing(store) == first
    assert found["open"] == 1
    assert found["stat"] <= COUNT * (FILES + 2)
    assert first.count("resnet20") == COUNT


def test_few_runs_are_listed_without_a_file_of_its_own(store):
    show.listing(store)
    assert not (store.path / show.KEPT).exists()


HARMS = {
    "weights.safetensors": lambda file: file.write_bytes(file.read_bytes()[:-1]),
    "mask.safetensors": lambda file: file.unlink(),
    "spec.json": lambda file: file.write_bytes(file.read_bytes().replace(b'"lr": 0.1', b'"lr": 0.2')),
    "done.json": lambda file: file.write_bytes(file.read_bytes().replace(b'"finished"', b'"diverged"')),
    "metrics.csv": lambda file: file.write_bytes(b""),
}
SAID = {
    "weights.safetensors": "weights.safetensors has another size than was published",
    "mask.safetensors": "a file is missing",
    "spec.json": "spec.json isn't what was published (checksum)",
    "done.json": "done.json was altered",
    "metrics.csv": "metrics.csv has another size than was published",
}


@pytest.mark.parametrize("file", HARMS)
def test_damage_after_a_listing_is_said_by_the_next_and_gone_when_mended(store, monkeypatch, file):
    monkeypatch.setattr(show, "MANY", 10)
    before = show.listing(store)
    name = store.names()[3]
    shutil.copytree(store.folder(name), store.path / "copy")
    HARMS[file](store.folder(name) / file)
    for _ in range(2):
        lines = show.listing(store).splitlines()
        assert lines[4].split()[0] == name
        assert lines[4].split(None, 1)[1] == f"damaged: {SAID[file]}"
        assert [*lines[:4], *lines[5:]] == [*before.splitlines()[:4], *before.splitlines()[5:]]
    shutil.rmtree(store.folder(name))
    (store.path / "copy").rename(store.folder(name))
    assert show.listing(store) == before


def test_what_comes_and_goes_is_listed_so(store, monkeypatch):
    monkeypatch.setattr(show, "MANY", 10)
    show.listing(store)
    gone, left = store.names()[0], store.names()[1:]
    store.discard(gone)
    later = bench.run(10_000)
    store.publish({later.name: bench.contents(later)})
    listed = [line.split()[0] for line in show.listing(store).splitlines()[1:-1]]
    assert listed == sorted([*left, later.name])
    assert [line.split()[0] for line in show.listing(store, "dense").splitlines()[1:-1]] == [
        name for name in listed if name.startswith("dense-")
    ]


def test_rows_of_runs_that_are_gone_are_not_kept_for_ever(store, monkeypatch):
    monkeypatch.setattr(show, "MANY", 10)
    show.listing(store)
    for name in store.names():
        store.discard(name)
    for number in range(100, 120):
        one = bench.run(number)
        store.publish({one.name: bench.contents(one)})
    show.listing(store)
    assert (store.path / show.KEPT).read_text().count("resnet20") == 20


@pytest.mark.parametrize("harm", [lambda b: b[:-5], lambda b: b.replace(b"resnet20", b"resnet32"), lambda b: b"\xff"])
def test_a_kept_listing_that_is_not_whole_is_not_believed(store, monkeypatch, harm):
    monkeypatch.setattr(show, "MANY", 10)
    before = show.listing(store)
    kept = store.path / show.KEPT
    kept.write_bytes(harm(kept.read_bytes()))
    assert show.listing(store) == before
    assert "resnet32" not in kept.read_text()


def test_a_kept_listing_of_another_form_is_not_believed(store, monkeypatch):
    monkeypatch.setattr(show, "MANY", 10)
    before = show.listing(store)
    monkeypatch.setattr(show, "FORM", "2 something else")
    with Counted(monkeypatch) as found:
        assert show.listing(store) == before
    assert found["open"] >= 2 * COUNT


def test_a_store_that_can_not_be_written_to_is_listed(store, monkeypatch):
    monkeypatch.setattr(show, "MANY", 10)

    def refuse(*args: Any) -> None:
        raise PermissionError(13, "permission denied")

    monkeypatch.setattr(show.files, "replace", refuse)
    assert show.listing(store).count("resnet20") == COUNT
    assert not (store.path / show.KEPT).exists()


@pytest.mark.parametrize("harm", ["{}", "[]", '{"run": {}}', '{"run": {"network": 3}}', "nothing"])
def test_a_spec_that_is_none_is_damaged(tmp_path, harm):
    store = open_store(tmp_path / "runs")
    one = bench.run(1)
    contents, facts = bench.contents(one)
    store.publish({one.name: ({**contents, "spec.json": harm.encode()}, facts)})
    assert show.listing(store).splitlines()[1].split()[1] == "damaged:"


# Plans


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    found: Counter[str] = Counter()
    done = Store.done

    def counted(self: Store, name: str) -> dict[str, Any] | None:
        found[name] += 1
        return done(self, name)

    monkeypatch.setattr(Store, "done", counted)
    return found


def test_a_plan_looks_up_each_run_once(tmp_path, looked_up):
    runs = bench.graph(100)
    todo = plan(runs, Store(tmp_path))
    assert len(todo) == len(looked_up) == 100
    assert set(looked_up.values()) == {1}
    assert max(work.height for work in todo.values()) == bench.CHAIN - 1


def test_a_plan_with_checkpoints_looks_up_each_entry_a_few_times(tmp_path, looked_up):
    whole = bench.run(0)
    chain = tickets.imp(whole, rounds=30, rate=0.2)
    runs = [*chain, *(tickets.ticket(whole, run.mask, epoch) for run in chain for epoch in (1, 2))]
    todo = plan(runs, Store(tmp_path))
    assert len(todo) == 91
    assert todo[whole.name].keep == {1, 2}
    assert sum(looked_up.values()) <= 3 * len(todo)
