"""Faults, made on purpose: killed processes, full disks, flipped bits, set clocks, shares that vanish, Ctrl-C twice.

What a test compares is what a spec decides: the table of a study, and the files of its runs, bit for bit. Racing
writers, NaN losses, memory that doesn't suffice and single kills are in test_store, test_lab, test_resume, test_lease.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import psutil
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from ltkit import params
from ltkit.errors import UserError
from ltkit.lab import Lab
from ltkit.lab.lease import Leases
from ltkit.prune import tickets
from ltkit.spec import Network, Recipe, Run, Task
from ltkit.store import Damaged, Store, files, open_store
from ltkit.store import store as module
from ltkit.train import Cohort

ROOT = Path(__file__).resolve().parents[1]
DECIDED = ("spec.json", "metrics.csv", "weights.safetensors", "mask.safetensors")  # by the spec alone
RECIPE = Recipe(epochs=2, lr=0.1, batch_size=16)

posix = pytest.mark.skipif(os.name != "posix", reason="signals, forks and limits are POSIX")


def small_study(task: Task) -> list[Run]:
    """A dense network with a checkpoint, a rewound ticket, and the next round's."""
    return tickets.imp(Run(task=task, network=Network(width=0.1), recipe=RECIPE), rounds=2, rewind=1)


@pytest.fixture(scope="module")
def task(tiny: Task) -> Task:
    return tiny


@pytest.fixture(scope="module")
def undisturbed(tiny: Task, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of `small_study`, made without faults."""
    lab = quiet(tmp_path_factory.mktemp("undisturbed"))
    lab.run(small_study(tiny))
    return lab.store


def quiet(store: Path, **options: Any) -> Lab:
    return Lab(
        store, device="cpu", **{"progress": False, "compile": "never", "save_seconds": 0, "workers": 1, **options}
    )


def decided(store: Store) -> dict[str, bytes]:
    """All that the specs of a store's runs and checkpoints decide."""
    found = [path for path in store.path.glob("*-*/*") if path.name in DECIDED and not path.parent.name.startswith(".")]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in found}


def sound(store: Store) -> bool:
    """Whether all that is there is whole; and what isn't a run doesn't look like one."""
    folders = [path.name for path in store.path.iterdir() if module.NAME.fullmatch(path.name)]
    return [store.verify(name) for name in folders] == [None] * len(folders)


def one_line(error: BaseException) -> str:
    assert "\n" not in str(error)
    assert len(str(error)) < 500
    return str(error)


# kill -9. A child of a small process that has imported everything is started, killed and started again.


def tables(lab: Lab, seeds: list[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of a small existence study: its runs, and what is measured on them."""
    from ltkit.studies import existence  # here, since the other processes need none of it

    net = "lenet_300_100*0.1"
    few = {"networks": [net], "contrasts": [], "claim_network": net, "epochs": 3, "seeds": seeds}
    levels = {"levels": [2], "contrast_levels": [2], "claim_level": 2, "overlap_level": 2}
    wanted = existence.Params(**params.read(ROOT / "params" / "smoke" / "existence.yaml") | few | levels)
    return existence.collect(wanted, lab), existence.overlap(wanted, lab)


def lives(folder: str, kills: int, seeds: list[int], options: dict[str, Any]) -> None:
    """Makes the study undisturbed, then anew while it is killed; says how often it was caught alive."""
    torch.set_num_threads(1)
    draw = random.Random(0)

    def born(store: str) -> int:
        child = os.fork()
        if not child:
            code = 1
            try:
                tables(quiet(Path(folder) / store, **options), seeds)
                code = 0
            finally:
                os._exit(code)
        return child

    begun = time.monotonic()
    _, status = os.waitpid(born("undisturbed"), 0)
    assert status == 0
    whole, caught = time.monotonic() - begun, 0
    for _ in range(kills):  # lives of 0.7 of the whole time in all: it can't be done before the last
        child = born("killed")
        time.sleep(draw.uniform(0.02, 1.4) * whole / kills)
        os.kill(child, signal.SIGKILL)
        caught += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    _, status = os.waitpid(born("killed"), 0)
    assert status == 0
    print(json.dumps({"caught": caught}))


def call(folder: Path, code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a function of this file in a process of its own."""
    words = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); import test_faults as t; {code}",
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, capture_output=True, text=True, timeout=300, cwd=folder, env=env, **options)


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "seeds", "options"),
    [(20, [0], {"members": 1}), (8, [0, 1], {"workers": 2})],
    ids=["alone", "cohorts of two workers"],
)
def test_a_study_that_is_killed_at_random_moments_ends_as_if_it_were_not(
    kills: int, seeds: list[int], options: dict[str, Any], tmp_path: Path
) -> None:
    """Trained one by one the files are the same bits. In cohorts it depends on the kills who trains with whom, and so
    do the last bits: at most 2 of the 500 test images differ."""
    done = call(tmp_path, f"t.lives({str(tmp_path)!r}, {kills}, {seeds}, {options})")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["caught"] >= kills // 2  # all, unless the machine was slow when it timed the whole
    whole, killed = (quiet(tmp_path / name) for name in ("undisturbed", "killed"))
    assert sound(killed.store)
    assert killed.store.names() == whole.store.names()
    wanted, found = tables(whole, seeds), tables(killed, seeds)
    assert (whole.tally.trained, killed.tally.trained) == (0, 0)
    assert len(wanted[0]) == 32 * len(seeds)
    if "members" in options:
        assert decided(killed.store) == decided(whole.store)
        for table, other in zip(wanted, found, strict=True):
            pd.testing.assert_frame_equal(table, other, check_exact=True)
    else:
        rest = ["accuracy", "validation", "train_loss"]
        pd.testing.assert_frame_equal(wanted[0].drop(columns=rest), found[0].drop(columns=rest), check_exact=True)
        assert (wanted[0].accuracy - found[0].accuracy).abs().max() <= 100 * 2 / 500 + 1e-9
    killed.store.sweep(apply=True, now=time.time() + 2 * module.STALE_SECONDS)
    assert {p.name for p in killed.store.path.iterdir()} == {p.name for p in whole.store.path.iterdir()}
    assert sound(killed.store)


# A full disk


def test_a_disk_that_fills_up_at_any_moment_keeps_what_is_finished(
    task: Task, undisturbed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nth file is written by half, and from then on none: for every n."""
    real, number, study = files.write, 0, small_study(task)
    while True:
        number, seen, lab = number + 1, 0, quiet(tmp_path / str(number))

        def full(path: Path, content: bytes, last: int = number) -> None:
            nonlocal seen
            seen += 1
            if seen >= last:
                path.write_bytes(content[: len(content) // 2] if seen == last else b"")
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            real(path, content)

        with monkeypatch.context() as patch, contextlib.suppress(UserError):
            patch.setattr(files, "write", full)
            lab.run(study)
        if seen < number:
            break
        assert not lab.tally.needed  # it was refused
        assert not [path.name for path in lab.store.path.iterdir() if path.name.startswith(".tmp-")]
        assert sound(lab.store)
        there = decided(lab.store)
        lab.run(study)
        assert decided(lab.store) == decided(undisturbed)
        assert there.items() <= decided(undisturbed).items()
        shutil.rmtree(lab.store.path)
    assert number > 20


def limited(folder: str, data: str, sizes: list[int]) -> None:
    """`small_study` where no file may be larger than so many bytes; says what is said, for each size."""
    import resource  # here, since Windows has none

    torch.set_num_threads(1)
    for most in sizes:
        child = os.fork()
        if not child:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            try:
                quiet(Path(folder) / str(most)).run(small_study(Task(data=data)))
            except UserError as error:
                print(one_line(error), flush=True)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


@posix
@pytest.mark.slow
def test_a_limit_on_the_size_of_files_is_one_clear_line(task: Task, undisturbed: Store, tmp_path: Path) -> None:
    """The system's own refusal: of the store's label, a lease, a description, weights, a checkpoint."""
    sizes = [0, 100, 600, 5_000, 15_000]
    for size in sizes[1:]:
        open_store(tmp_path / str(size))
    done = call(tmp_path, f"t.limited({str(tmp_path)!r}, {task.data!r}, {sizes})")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(sizes)
    for line, size in zip(said, sizes, strict=True):
        assert line.startswith(f"store {tmp_path / str(size)}")
        assert "a file would be larger than is allowed; finished runs are kept" in line
        lab = quiet(tmp_path / str(size))
        assert not list(lab.store.path.rglob(".tmp-*"))
        assert not list(lab.store.path.glob("leases/*"))
        assert sound(lab.store)
        lab.run(small_study(task))
        assert decided(lab.store) == decided(undisturbed)


# Bits and pieces


HARMS: dict[str, Callable[[bytes], bytes]] = {
    "a bit at the beginning": lambda b: bytes([b[0] ^ 1]) + b[1:],
    "a bit in the middle": lambda b: b[: len(b) // 2] + bytes([b[len(b) // 2] ^ 16]) + b[len(b) // 2 + 1 :],
    "a bit at the end": lambda b: b[:-1] + bytes([b[-1] ^ 128]),
    "cut by one byte": lambda b: b[:-1],
    "cut by half": lambda b: b[: len(b) // 2],
    "emptied": lambda b: b"",
    "longer": lambda b: b + b"\0",
}


@pytest.mark.parametrize("harm", HARMS)
def test_damage_to_any_file_is_found_and_mended(harm: str, task: Task, undisturbed: Store, tmp_path: Path) -> None:
    shutil.copytree(undisturbed.path, tmp_path / "runs")
    lab, study = quiet(tmp_path / "runs"), small_study(task)
    name = study[0].name
    for file in sorted(path.name for path in lab.store.folder(name).iterdir()):
        path = lab.store.folder(name) / file
        path.write_bytes(HARMS[harm](path.read_bytes()))
        assert name in (lab.store.verify(name) or "")
        with pytest.raises(Damaged) as caught:
            lab.store.content(name, file if file != "done.json" else "spec.json")
        assert name in one_line(caught.value)
        assert [found.name for found, _, _ in lab.store.sweep(apply=True)] == [name]
        assert lab.run(study).trained == 1
        assert lab.store.verify(name) is None
        assert decided(lab.store) == decided(undisturbed)


def test_no_bit_of_a_completion_record_can_be_flipped_unseen(undisturbed: Store, tmp_path: Path) -> None:
    shutil.copytree(undisturbed.path, tmp_path / "runs")
    store, draw = open_store(tmp_path / "runs"), random.Random(0)
    name = store.names()[0]
    path = store.folder(name) / "done.json"
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << draw.randrange(8)]) + good[place + 1 :])
        with pytest.raises(Damaged):
            store.done(name)


def test_damaged_weights_under_a_study_are_one_clear_line_and_then_mended(
    task: Task, undisturbed: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The bit shows when a notebook opens the weights, after `Lab.run` found the run there."""
    shutil.copytree(undisturbed.path, tmp_path / "runs")
    lab, study = quiet(tmp_path / "runs"), small_study(task)
    path = lab.store.folder(study[0].name) / "weights.safetensors"
    path.write_bytes(HARMS["a bit in the middle"](path.read_bytes()))
    lab.run(study)
    with pytest.raises(UserError, match=r"published \(checksum\); `ltkit gc --yes` removes it") as caught:
        lab.weights(study[0])
    one_line(caught.value)
    lab.store.sweep(apply=True)
    assert lab.run(study).trained == 1
    assert lab.weights(study[0]).keys()
    assert decided(lab.store) == decided(undisturbed)


# Clocks


class Killed(KeyboardInterrupt):
    pass


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """The next training ends at this step, as if by a kill."""
    fatal: list[int | None] = [None]
    real = Cohort.step

    def step(self: Cohort, number: int) -> None:
        if number == fatal[0]:
            fatal[0] = None
            raise Killed
        real(self, number)

    monkeypatch.setattr(Cohort, "step", step)
    return lambda number: fatal.__setitem__(0, number)


@pytest.fixture(params=["back an hour a look", "forth an hour a look", "to 1970 and back"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that somebody sets all the time."""
    now, looks = time.time(), iter(range(10**9))
    hour = {"back an hour a look": -3600, "forth an hour a look": 3600}.get(request.param)
    monkeypatch.setattr(time, "time", lambda: now + hour * next(looks) if hour is not None else now * (next(looks) % 2))


def test_training_goes_by_no_wall_clock(
    clock: None, task: Task, undisturbed: Store, tmp_path: Path, kill_at: Callable[[int | None], None]
) -> None:
    lab, study = quiet(tmp_path / "runs"), small_study(task)
    kill_at(13)
    with pytest.raises(Killed):
        lab.run(study)
    (state,) = lab.store.path.glob(".state-*")
    os.utime(state, (1, 1) if time.time() > 1 else (2**32, 2**32))
    lab.run(study)
    assert decided(lab.store) == decided(undisturbed)
    assert lab.run(study).trained == 0
    lab.store.sweep(apply=True)
    assert decided(lab.store) == decided(undisturbed)


@pytest.mark.parametrize("when", [0, 2**33], ids=["1970", "2242"])
def test_files_of_another_time_are_what_they_are(when: int, task: Task, undisturbed: Store, tmp_path: Path) -> None:
    """Nothing is trained again, no run is swept; a living writer's folder stays, whenever it seems to be from."""
    shutil.copytree(undisturbed.path, tmp_path / "runs")
    lab = quiet(tmp_path / "runs")
    writing = files.temporary_for(lab.store.path / "dense-0123456789ab")
    dead = writing.with_name(writing.name.rpartition("-")[0] + f"-{gone()}")
    for folder in (writing, dead):
        folder.mkdir()
    for path in [lab.store.path, *lab.store.path.rglob("*")]:
        os.utime(path, (when, when))
    assert lab.run(small_study(task)).trained == 0
    assert [path.name for path, _, _ in lab.store.sweep(apply=True)] == ([dead.name] if when == 0 else [])
    assert writing.is_dir()
    assert decided(lab.store) == decided(undisturbed)
    assert sound(lab.store)


def gone() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_dead_writers_number_says_nothing(tmp_path: Path) -> None:
    for name, lives in [("", os.getpid()), ("x", 1), (".tmp-a", 0), ("-" + "9" * 30, 0), (f"-{gone()}", 0)]:
        path = tmp_path / f"{name}-{lives}" if lives else tmp_path / f"x{name}"
        assert files.has_living_writer(path) == bool(lives)


# A network share that vanishes


class Share:
    """Whether the store's disk answers. `leave_at` the nth look at it, for so many looks."""

    def __init__(self, root: Path) -> None:
        self.root, self.looks = str(root), 0
        self.leave_at(0, 0)

    def leave_at(self, number: int, lasts: float) -> None:
        self.looks, self.first, self.last = 0, number, number + lasts

    def look(self, *what: Any) -> None:
        paths = [os.fspath(path) for path in what if isinstance(path, (str, os.PathLike))]
        if not any(str(path).startswith(self.root) for path in paths):
            return
        self.looks += 1
        if self.first <= self.looks < self.last:
            number = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT)[self.looks % 4]
            raise OSError(number, os.strerror(number), paths[0])


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Share:
    """Every way to the store leads over it."""
    away = Share(tmp_path / "runs")
    monkeypatch.setattr(files, "PAUSE", 0.0)

    def through(owner: Any, name: str, paths: int) -> None:
        real = getattr(owner, name)

        def asked(*words: Any, **named: Any) -> Any:
            away.look(*words[:paths])
            return real(*words, **named)

        monkeypatch.setattr(owner, name, asked)

    for name in ("stat", "lstat", "mkdir", "scandir", "unlink", "open", "utime"):
        through(os, name, 1)
    for name in ("rename", "replace", "link"):
        through(os, name, 2)
    through(io, "open", 1)
    monkeypatch.setattr(builtins, "open", io.open)
    real_fsync = os.fsync

    def fsync(handle: int) -> None:
        away.look(away.root)
        real_fsync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    return away


def test_a_share_that_vanishes_for_a_moment_is_waited_for(
    task: Task, undisturbed: Store, tmp_path: Path, share: Share, caplog: pytest.LogCaptureFixture
) -> None:
    """At any look at the store, for a few looks."""
    study = small_study(task)
    share.leave_at(0, 0)
    quiet(tmp_path / "runs").run(study)
    looks = share.looks
    assert looks > 100
    draw, notes = random.Random(0), 0
    for number in sorted(draw.sample(range(1, looks), 20)):
        shutil.rmtree(tmp_path / "runs")
        caplog.clear()
        share.leave_at(number, draw.randint(1, 6))
        lab = quiet(tmp_path / "runs")
        lab.run(study)
        notes += "; trying again for up to 60 s" in caplog.text
        assert decided(lab.store) == decided(undisturbed), number
        assert sound(lab.store)
    assert notes >= 16  # some looks may as well fail


def test_a_share_that_stays_away_is_one_clear_line(
    task: Task, undisturbed: Store, tmp_path: Path, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.02)
    monkeypatch.setattr(Leases.__init__, "__defaults__", (0.1, 0.5))  # a lease that can't be given back is waited out
    study = small_study(task)
    for number in (1, 50, 100, 150):
        share.leave_at(number, float("inf"))
        with pytest.raises(
            UserError, match=r"for 0 s; is its disk or network share there\? finished runs are"
        ) as caught:
            quiet(tmp_path / "runs").run(study)
        one_line(caught.value)
        share.leave_at(0, 0)
        if (tmp_path / "runs").exists():
            assert sound(open_store(tmp_path / "runs"))
    lab = quiet(tmp_path / "runs")
    lab.run(study)
    assert decided(lab.store) == decided(undisturbed)


def test_a_list_of_runs_is_whole_or_none(undisturbed: Store, share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, share.root = undisturbed.names(), str(undisturbed.path)
    share.leave_at(3, 2)
    assert undisturbed.names() == wanted
    monkeypatch.setattr(files, "PATIENCE", 0.0)
    share.leave_at(3, float("inf"))
    with pytest.raises(UserError, match="is its disk or network share there"):
        undisturbed.names()


def test_patience_is_for_shares_only(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PAUSE", 0.0)
    left = [errno.EIO, errno.ESTALE, errno.ENOENT]

    def act() -> None:
        raise OSError(left.pop(0), "said", "/some/place")

    with caplog.at_level(logging.WARNING), pytest.raises(FileNotFoundError):
        files.patient(act)()
    assert [record.getMessage() for record in caplog.records] == ["/some/place: said; trying again for up to 60 s"]


# Ctrl-C, and again


def forever(task: Task) -> Run:
    return small_study(task)[0].parents[0].replace(recipe=RECIPE.replace(epochs=100_000))


def under_way(store: Path, trainings: int = 1) -> bool:
    """Waits until so many trainings have saved their first states."""
    deadline = time.monotonic() + 90
    while len(list(store.glob(".state-*"))) < trainings and time.monotonic() < deadline:
        time.sleep(0.05)
    return time.monotonic() < deadline


def interrupted(folder: str, data: str, ways: list[tuple[int, float]]) -> None:
    """Says Ctrl-C twice to a script that trains, for each number of workers and pause; prints how that ended."""
    torch.set_num_threads(1)
    told = []
    for number, (workers, pause) in enumerate(ways):
        place, run = Path(folder) / str(number), forever(Task(data=data))
        child = os.fork()
        if not child:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
            try:
                try:
                    quiet(place, workers=workers, members=1).run([run, run.replace(order=1)])
                except KeyboardInterrupt:
                    os._exit(130)
            except KeyboardInterrupt:  # the second one came on the way to the line above
                os._exit(130)
            finally:
                os._exit(1)
        assert under_way(place, workers)
        begun = time.monotonic()
        os.kill(child, signal.SIGINT)
        time.sleep(pause)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGINT)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told.append([status, time.monotonic() - begun])
    print(json.dumps(told))


@posix
@pytest.mark.slow
def test_ctrl_c_twice_ends_a_script_soon(task: Task, tmp_path: Path) -> None:
    """With one worker in this thread, or several in threads of their own that have to hear of it."""
    ways = [(1, 0.0), (1, 0.05), (2, 0.0), (2, 0.02), (2, 0.2)]
    done = call(tmp_path, f"t.interrupted({str(tmp_path)!r}, {task.data!r}, {ways})")
    assert done.returncode == 0, done.stderr
    for number, (status, seconds) in enumerate(json.loads(done.stdout)):
        assert status == 130
        assert seconds < 10
        goes_on(task, tmp_path / str(number))


def goes_on(task: Task, place: Path) -> None:
    """After an interruption nothing is damaged, and the next call takes the training up at once where it was."""
    store = open_store(place)
    assert sound(store)
    assert store.names() == []
    seen: list[int] = []

    def step(self: Cohort, number: int) -> None:
        seen.append(number)
        raise Killed

    begun = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cohort, "step", step)
        with pytest.raises(Killed):
            quiet(place, members=1).run([forever(task)])
    assert time.monotonic() - begun < 10  # nobody waits for the dead
    assert seen[0] >= 9
    assert seen[0] % 9 == 0


@posix
@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_ctrl_c_twice_ends_a_notebook_soon(pause: float, task: Task, tmp_path: Path) -> None:
    """`ltkit run`: one line, status 130, and no kernel that goes on training."""
    place, sign = tmp_path / "runs", tmp_path / "sign"
    model = "from ltkit.params import Parameters\nclass Params(Parameters):\n    epochs: int\n"
    (tmp_path / "toy_faults.py").write_text(model)
    body = (
        "import os, sys\nfrom pathlib import Path\n"
        f"sys.path.insert(0, {str(ROOT / 'tests')!r})\nimport test_faults as t\n"
        f"Path({str(sign)!r}).write_text(str(os.getpid()))\n"
        f"t.quiet(Path({str(place)!r}), members=1).run([t.forever(t.Task(data={task.data!r}))])"
    )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"ltkit": {"params": "toy_faults:Params"}, "kernelspec": kernel}
    cells = [new_code_cell("epochs: int = 1", metadata={"tags": ["parameters"]}), new_code_cell(body)]
    nbformat.write(new_notebook(cells=cells, metadata=metadata), tmp_path / "toy.ipynb")
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\nfrom ltkit.cli import main; main()"
    words = [sys.executable, "-c", code, "run", str(tmp_path / "toy.ipynb"), "-o", str(tmp_path / "out.ipynb")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=env)
    assert under_way(place)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(pause)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - begun < 20
    assert said.strip() == "ltkit: interrupted; finished runs are kept, and the same command goes on from there"
    assert process.returncode == 130
    assert ended(int(sign.read_text()), 10)
    assert not (tmp_path / "out.ipynb").exists()
    goes_on(task, place)


def ended(number: int, seconds: float) -> bool:
    """Whether a process is gone after so many seconds at most."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(number).status() == psutil.STATUS_ZOMBIE:
                return True  # in a container where nobody collects orphans
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.1)
    return False
