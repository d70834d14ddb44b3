"""`ltkit plan`: what it says is what a lab then trains and stores, and it changes nothing."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ltkit import cli, data, params
from ltkit.errors import UserError
from ltkit.lab import material
from ltkit.prune import tickets
from ltkit.show import plan_time
from ltkit.show.plan import family, plan, rows
from ltkit.show.plan_cost import KNOWN, facts, without_images
from ltkit.show.plan_time import Kind, Load, kind, rates
from ltkit.spec import Init, Network, Recipe, Run, Task
from ltkit.train.schedule import clock

ROOT = Path(__file__).resolve().parents[1]
SMOKE = ROOT / "params/smoke"
SMALL: dict[str, dict[str, Any]] = {  # changes of the smoke scale, so that a study is trained in a few seconds
    "existence": {"networks": ["lenet_300_100*0.1"], "contrasts": [], "claim_network": "lenet_300_100*0.1"},
    "gradient_flow": {"contrasts": [], "batch_size": 16},
    "mode_connectivity": {"networks": ["conv2*0.06+bn"], "contrast_settings": []},
}


def scale(folder: Path, tiny: Task, *studies: str, **changes: Any) -> Path:
    """A scale's folder with small studies on tiny images."""
    folder.mkdir()
    for study in studies:
        given = {**params.read(SMOKE / f"{study}.yaml"), "data": tiny.data, "seeds": [0], **SMALL.get(study, {})}
        (folder / f"{study}.yaml").write_text(yaml.safe_dump(given | changes))
    return folder


def loaded(folder: Path, study: str) -> tuple[Any, Any]:
    """A study's module and parameters."""
    module = importlib.import_module(f"ltkit.studies.{study}")
    return module, params.load(folder / f"{study}.yaml", module.Params)


def content(store: Path) -> int:
    """Bytes of all that is published."""
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file() and file.name != "store.json")


@pytest.mark.parametrize("study", ["existence", "gradient_flow", "mode_connectivity"])
def test_what_is_said_is_what_the_lab_does(study, tmp_path, tiny, make_lab):
    """Runs, epochs, image passes to the last one; bytes, with checkpoints and traces, within a tenth."""
    folder = scale(tmp_path / "small", tiny, study)
    lab = make_lab(members=8)
    said, both = rows(folder, store=lab.store.path, device="cpu")
    assert (said.study, both.study, said.stored) == (study, "all", 0)

    module, given = loaded(folder, study)
    module.collect(given, lab)
    names = lab.store.names()
    assert said.runs == said.left == both.runs == len(names)
    metrics = [lab.store.read(name).metrics.query("split == 'train'") for name in names]
    assert said.epochs == sum(map(len, metrics))
    assert said.images == sum(int(table["count"].sum()) for table in metrics)
    assert said.bytes == pytest.approx(content(lab.store.path), rel=0.1)

    after, _ = rows(folder, store=lab.store.path, device="cpu")
    assert (after.runs, after.stored, after.left) == (len(names), len(names), 0)
    assert (after.epochs, after.images, after.bytes) == (0, 0, 0)
    assert "0 %" not in plan(folder, store=lab.store.path)  # nothing is measured, and nothing divided by nothing


def test_what_is_missing_of_a_store_is_what_is_trained(tmp_path, tiny, make_lab):
    folder = scale(tmp_path / "small", tiny, "mode_connectivity")
    module, given = loaded(folder, "mode_connectivity")
    lab = make_lab()
    module.collect(given, lab)
    rewound = next(run for run in module.every_run(given) if run.kind == "rewound")
    parent, epoch, resume = rewound.start.run, rewound.start.epoch, rewound.start.resume
    shutil.rmtree(lab.store.folder(rewound.name))
    said, _ = rows(folder, store=lab.store.path)
    assert (said.runs - said.stored, said.left, said.epochs) == (1, 1, rewound.recipe.epochs - resume)

    shutil.rmtree(lab.store.folder(f"{parent.name}@{epoch}"))  # then its parent is trained again, up to there
    said, _ = rows(folder, store=lab.store.path)
    assert (said.runs - said.stored, said.left, said.epochs) == (1, 2, rewound.recipe.epochs - resume + epoch)
    before = content(lab.store.path)
    again = make_lab()
    module.collect(given, again)
    assert again.tally.trained == 2
    assert said.bytes == pytest.approx(content(lab.store.path) - before, rel=0.1)


def test_by_hand():
    """Two networks, two seeds; 1,297 digits less 130 are 18 batches of 64, for 4 and for 2 epochs."""
    said, _ = rows(SMOKE, ["greedy_bounds"], store="/nowhere/at/all")
    assert (said.runs, said.stored, said.left) == (4, 0, 4)
    assert (said.epochs, said.images) == (2 * 4 + 2 * 2, (2 * 4 + 2 * 2) * 18 * 64)
    assert sorted(kind.network.arch for kind in said.loads) == ["lenet_300_100", "resnet8"]
    lenet = next(load for kind, load in said.loads.items() if kind.network.arch == "lenet_300_100")
    # Both held-out sets once an epoch, a forward pass being a third; both seeds train together.
    assert lenet.images == pytest.approx(2 * 4 * (18 * 64 + (130 + 500) / 3))
    assert lenet.together == 2


def test_shared_runs_count_once():
    *studies, both = rows(SMOKE, ["existence", "weight_correlation", "sanity_checks"], store="/nowhere/at/all")
    every: dict[str, Run] = {}
    for row in studies:
        module, given = loaded(SMOKE, row.study)
        own = family(module.every_run(given))
        assert row.runs == len(own)
        every |= own
    assert both.runs == both.left == len(every) < sum(row.runs for row in studies)
    assert both.epochs < sum(row.epochs for row in studies)
    assert both.bytes < sum(row.bytes for row in studies)


def test_nothing_is_written_to_the_store(tmp_path, tiny, make_lab, capsys):
    folder = scale(tmp_path / "small", tiny, "greedy_bounds")
    absent = tmp_path / "absent"
    plan(folder, store=absent, measure=False)
    assert not absent.exists()
    lab = make_lab()
    before = {path: path.stat().st_mtime_ns for path in [lab.store.path, *lab.store.path.rglob("*")]}
    plan(folder, store=lab.store.path, measure=False)
    assert before == {path: path.stat().st_mtime_ns for path in [lab.store.path, *lab.store.path.rglob("*")]}


@pytest.fixture
def no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("images were read")

    monkeypatch.setattr(data, "load", refuse)
    monkeypatch.setattr(data.sources, "read", refuse)


@pytest.mark.usefixtures("no_images")
def test_it_works_without_the_data(capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        cli.main(["plan", str(ROOT / "params/mnist"), "--store", str(tmp_path / "s"), "--data", "/no", "--no-measure"])
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "study"
    assert [line.split()[0] for line in lines[1:8]] == [*sorted(p.stem for p in ROOT.glob("params/mnist/*")), "all"]
    assert all("not measured" in line for line in lines[1:8])
    assert len({len(line) for line in lines[:8]}) == 1
    assert "Not counted: measures after training" in lines[-2]


def test_a_mistake_is_the_line_of_a_report(capsys, tmp_path, tiny):
    folder = scale(tmp_path / "small", tiny, "existence", "greedy_bounds", epoch=3)
    for words, said in [
        ([str(folder)], "existence.yaml: unknown key 'epoch' (did you mean 'epochs'?)"),
        ([str(SMOKE), "--only", "existense"], "no study 'existense' (did you mean 'existence'?); there are existence,"),
        ([str(ROOT / "params/smok")], "no such folder of parameter files"),
    ]:
        with pytest.raises(SystemExit) as end:
            cli.main(["plan", *words])
        error = capsys.readouterr().err
        assert end.value.code == 2
        assert said in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("validation", [0.0, 0.1, 0.33])
@pytest.mark.parametrize("subset", [1.0, 0.37])
def test_facts_are_those_of_the_images(tiny, validation, subset):
    for name in ("digits", tiny.data):
        task = Task(data=name, validation=validation, subset=subset, labels="random")
        whole = data.load(task)
        held_out = len(whole.validation_y) + len(whole.test_y)
        found = facts(task)
        assert (found.shape, found.classes, found.train) == (whole.shape, whole.classes, len(whole.train_y))
        assert found.held_out == held_out
        with without_images():
            run = Run(task=task, network=Network(), recipe=Recipe(epochs=1))
            assert material.frame(run, "/nowhere") == (whole.shape, whole.classes)
    assert set(KNOWN) == set(data.sources.LABELS)
    with pytest.raises(UserError, match="can't read it"):
        facts(Task(data="npz:/nowhere.npz"))


# Time


def toy(arch: str, width: float = 1.0, **recipe: Any) -> Kind:
    given = {"epochs": 2, "batch_size": 32, **recipe}
    return kind(Run(task=Task(), network=Network(arch=arch, width=width), recipe=Recipe(**given)))


def test_kinds_that_were_not_measured_are_scaled(monkeypatch):
    """The most work is measured first; the rest by multiplications, of the nearest of the same architecture."""
    big, small, other = toy("lenet_300_100"), toy("lenet_300_100", 0.5), toy("lenet_5")
    tried = []

    def measure(kind, load, device, workers, folder, expected):
        tried.append((kind, expected))
        return 0.25

    monkeypatch.setattr(plan_time, "measure", measure)
    ahead = {small: Load(1e3, 8e3), other: Load(1, 1), big: Load(1e6, 1e6)}
    cpu = torch.device("cpu")
    found = rates(ahead, cpu, 1, limit=0.0)
    assert found.measured == {big}
    assert tried == [(big, plan_time.GUESS * big.work)]
    assert found.seconds[small] == pytest.approx(0.25 * small.work / big.work)
    assert found.seconds[other] == pytest.approx(0.25 * other.work / big.work)
    assert [ahead[one].together for one in (small, other, big)] == [8, 1, 1]

    tried.clear()
    found = rates(ahead, cpu, 1)
    assert found.measured == {big, small, other}
    assert [one for one, _ in tried] == sorted(ahead, key=lambda one: -one.work * ahead[one].images)
    assert tried[1][1] == pytest.approx(0.25 * tried[1][0].work / big.work)


def test_a_measurement_is_a_training_of_that_shape(monkeypatch, tmp_path):
    monkeypatch.setattr(plan_time, "EACH", 0.15)
    begun: list[Any] = []

    class Seen(plan_time.Cohort):
        def __init__(self, jobs, device):
            super().__init__(jobs, device)
            begun.append(self)

    monkeypatch.setattr(plan_time, "Cohort", Seen)
    task = Task(data="cifar100", crop=4, flip=True)
    recipe = Recipe(epochs=9, batch_size=48, optimizer="adam", lr=0.01, schedule="cosine")
    whole = Run(task=task, network=Network(arch="conv2", width=0.05), recipe=recipe, start=Init(seed=3))
    pushed = tickets.imp(whole, rounds=3, rate=0.2, repel=2.0)[-1]
    load = Load()
    load.add(pushed, 100.0, 3)
    cpu = torch.device("cpu")
    took = plan_time.measure(kind(pushed), load, cpu, 2, tmp_path)
    assert took is not None
    assert 0 < took < 1
    assert len(begun) == 2
    for cohort in begun:
        assert (cohort.members, cohort.time.batch, cohort.shape, cohort.classes) == (3, 48, (3, 32, 32), 100)
        assert cohort.augmented
        assert cohort.extra.references.shape[:2] == (3, 3)
        assert set(cohort.masks) == set(pushed_prunable(pushed))

    begun.clear()  # a step that would take too long is made with fewer images, or not at all
    wanted = plan_time.STEP / (10 * 3)
    monkeypatch.setattr(plan_time, "EACH", 30.0)
    monkeypatch.setattr(plan_time, "_timed", lambda jobs, device, workers, batch: jobs[0].run.recipe.batch_size)
    assert plan_time.measure(kind(pushed), load, cpu, 1, tmp_path, wanted) == 10
    assert plan_time.measure(kind(pushed), load, cpu, 1, tmp_path, 100.0) is None


def pushed_prunable(run: Run) -> list[str]:
    from ltkit import models

    return models.prunable(run.network, (3, 32, 32), 100)


def test_memory_that_does_not_suffice_halves_the_cohort(monkeypatch, tmp_path):
    tried = []

    def timed(jobs, device, workers, batch):
        tried.append(len(jobs))
        if len(jobs) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 0.5

    monkeypatch.setattr(plan_time, "_timed", timed)
    run = Run(task=Task(), network=Network(width=0.1), recipe=Recipe(epochs=1))
    load = Load()
    load.add(run, 1.0, 5)
    assert plan_time.measure(kind(run), load, torch.device("cpu"), 1, tmp_path) == 0.5
    assert tried == [5, 2, 1]


def test_hours_are_passes_times_their_seconds(monkeypatch):
    monkeypatch.setattr(plan_time, "measure", lambda *args: 3.6)
    said, _ = rows(SMOKE, ["greedy_bounds"], store="/nowhere/at/all")
    passes = sum(load.images for load in said.loads.values())
    text = plan(SMOKE, ["greedy_bounds"], store="/nowhere/at/all")
    hours = 3.6 * passes / 3600
    assert f"{hours:.3g}" in text.splitlines()[1].split()
    assert "2 of 2 kinds of network were measured, 100 % of the work" in text


def test_a_small_batch_is_told_from_a_whole_one(monkeypatch):
    """A step of 3 ms and 1 ms an image: with 9 images 12 ms, with 3 of them 6; so 48 images take 51."""

    class Fake:
        members = 2

        def __init__(self, jobs, device):
            self.time = clock(Recipe(epochs=1, batch_size=9), 99)

        def begin_epoch(self, epoch):
            pass

        step = begin_epoch

    monkeypatch.setattr(plan_time, "Cohort", Fake)
    monkeypatch.setattr(plan_time, "_step", lambda cohort, device, seconds: 3e-3 + 1e-3 * cohort.time.batch)
    cpu = torch.device("cpu")
    assert plan_time._timed([], cpu, 1, 48) == pytest.approx(51e-3 / (48 * 2))
    assert plan_time._timed([], cpu, 1, 9) == pytest.approx(12e-3 / (9 * 2))
    assert plan_time._timed([], cpu, 4, 9) == pytest.approx(12e-3 / (9 * 2) / 4)
