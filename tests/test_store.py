"""The store: whole or not at all, racing writers, damage, leftovers, mistakes."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from ltkit.errors import UserError
from ltkit.store import Damaged, open_store
from ltkit.store import store as module
from ltkit.store.tensors import load

NAME = "ticket-0123456789ab"
FILES = {"spec.json": b"{}", "env.json": b"{}", "metrics.csv": b"epoch,split,loss,correct,count\n1,test,0.5,9,10\n"}


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "runs")


def publish(store, name=NAME, weights=b"w" * 1000):
    store.publish({name: ({**FILES, "weights.safetensors": weights}, {"outcome": "finished"})})


def test_round_trip(store):
    assert store.done(NAME) is None
    publish(store)
    assert store.names() == [NAME]
    stored = store.read(NAME)
    assert stored.done["outcome"] == "finished"
    assert stored.metrics.correct.tolist() == [9]
    assert store.content(NAME, "weights.safetensors") == b"w" * 1000
    assert store.verify(NAME) is None
    assert [p.name for p in store.path.iterdir() if p.name.startswith(".")] == []


def test_tensors_come_in_the_order_of_their_names():
    """Else their order would be chance, and with it what is drawn or summed tensor by tensor."""
    content = safetensors.torch.save({name: torch.zeros(1) for name in "cadbfe"})
    assert all("".join(load(content)) == "abcdef" for _ in range(5))
    package = Path(module.__file__).parents[1]
    direct = re.compile(r"safetensors(\.torch)? import .*\b(load|load_file|safe_open)\b|safetensors\.torch\.load")
    readers = {path.name for path in package.rglob("*.py") if direct.search(path.read_text())}
    assert readers == {"tensors.py"}


def test_a_folder_without_done_is_no_run(store):
    publish(store)
    (store.folder(NAME) / "done.json").unlink()
    assert store.names() == []
    assert store.done(NAME) is None
    assert "not finished" in store.verify(NAME)


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        ("weights.safetensors", lambda b: b[:-1]),
        ("weights.safetensors", lambda b: bytes([b[0] ^ 1]) + b[1:]),
        ("done.json", lambda b: b[: len(b) // 2]),
        ("done.json", lambda b: b.replace(b"finished", b"tinished")),
        ("done.json", lambda b: b"[]"),
        ("metrics.csv", lambda b: b.replace(b"9", b"8")),
    ],
)
def test_damage_is_found_and_never_half_read(store, file, harm):
    publish(store)
    path = store.folder(NAME) / file
    path.write_bytes(harm(path.read_bytes()))
    assert store.verify(NAME) is not None
    with pytest.raises(Damaged):
        store.content(NAME, file if file != "done.json" else "weights.safetensors")


def test_a_missing_file_is_damage(store):
    publish(store)
    (store.folder(NAME) / "weights.safetensors").unlink()
    with pytest.raises(Damaged, match="missing"):
        store.done(NAME)


def test_publishing_over_a_damaged_run_replaces_it(store):
    publish(store)
    (store.folder(NAME) / "weights.safetensors").write_bytes(b"x" * 1000)
    publish(store)
    assert store.verify(NAME) is None
    assert store.content(NAME, "weights.safetensors") == b"w" * 1000


def test_publishing_again_keeps_the_first(store):
    publish(store, weights=b"first")
    publish(store, weights=b"other")
    assert store.content(NAME, "weights.safetensors") == b"first"


def _race(path, number, barrier):
    store = open_store(path)
    barrier.wait()
    publish(store, weights=bytes([number]) * 200_000)


def test_eight_racing_writers_leave_one_good_copy(store):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(8)
    writers = [context.Process(target=_race, args=(store.path, n, barrier)) for n in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [w.exitcode for w in writers] == [0] * 8
    assert store.verify(NAME) is None
    assert len(set(store.content(NAME, "weights.safetensors"))) == 1
    assert sorted(p.name for p in store.path.iterdir()) == ["store.json", NAME]


def test_a_writer_that_dies_leaves_nothing_that_counts(store, monkeypatch):
    monkeypatch.setattr(module.Store, "_rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        publish(store)
    assert store.names() == []
    assert list(store.path.glob(".tmp-*")) == []


def test_sweep_takes_what_is_dead_and_leaves_what_may_live(store):
    publish(store)
    for name in (".tmp-a", ".trash-b", ".state-c"):
        (store.path / name).mkdir()
    (store.path / ".tmp-a" / "f").write_bytes(b"12345")
    assert [p.name for p, _, _ in store.sweep(apply=False)] == [".trash-b"]
    later = os.stat(store.path / ".tmp-a").st_mtime + 2 * module.STALE_SECONDS
    found = {p.name: size for p, size, _ in store.sweep(apply=True, now=later)}
    assert set(found) == {".tmp-a", ".trash-b", ".state-c"}
    assert found[".tmp-a"] == 5
    assert sorted(p.name for p in store.path.iterdir()) == ["store.json", NAME]


def test_find_by_prefix(store):
    publish(store)
    publish(store, "dense-0123ffffffff")
    assert store.find(NAME) == NAME
    assert store.find("dense") == "dense-0123ffffffff"
    assert store.find("01234") == NAME
    with pytest.raises(UserError, match="means 2 runs"):
        store.find("0123")
    with pytest.raises(UserError, match="did you mean 'ticket-0123456789ab'"):
        store.find("ticket-0123456789ax")


@pytest.mark.parametrize("name", ["../x", "ticket-xyz", "a/b", ""])
def test_names_that_are_no_runs_are_refused(store, name):
    with pytest.raises(UserError, match="is no run"):
        store.folder(name)


def test_mistakes(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file stands where|part of that path"):
        open_store(tmp_path / "file")
    newer = tmp_path / "newer"
    open_store(newer)
    (newer / "store.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(UserError, match="written by a newer ltkit"):
        open_store(newer)


def test_a_full_disk_is_one_line_and_loses_nothing(store, monkeypatch):
    publish(store)

    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.files, "write", full)
    with pytest.raises(UserError, match="disk is full"):
        publish(store, "dense-0123ffffffff")
    assert store.names() == [NAME]
    assert list(store.path.glob(".tmp-*")) == []


def test_where_the_store_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("LTKIT_STORE", str(tmp_path / "named"))
    monkeypatch.chdir(tmp_path)
    assert open_store().path == tmp_path / "named"
    assert open_store(tmp_path / "argument").path == tmp_path / "argument"
    monkeypatch.delenv("LTKIT_STORE")
    assert module.default_path().is_absolute()
    assert tmp_path not in module.default_path().parents


def test_the_store_needs_no_torch():
    code = "import sys, ltkit.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
