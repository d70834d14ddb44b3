"""How many networks train together: the trial of sizes before long work on a GPU, here on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ltkit.lab import Lab, lab, sizes
from ltkit.spec import Anchor, Network, Recipe, Run
from ltkit.train import Cohort
from ltkit.train.graph import WARM

CPU = torch.device("cpu")
# Seconds a step; a network's share is 2, .8, .6, .5, .49 and .55.
COSTS = {1: 2.0, 8: 6.4, 16: 9.6, 32: 16.0, 64: 31.5, 128: 70.0}


def test_sizes_are_tried_up_to_the_number_of_runs_and_once() -> None:
    asked: list[int] = []

    def seconds(size: int) -> float:
        asked.append(size)
        return COSTS[size]

    found = sizes.attempt({}, 40, seconds)
    assert asked == [1, 8, 16, 32]
    assert found == pytest.approx({"1": 2000, "8": 800, "16": 600, "32": 500})
    more = sizes.attempt(found, 200, seconds)
    assert asked[4:] == [64, 128]
    assert more == pytest.approx({**found, "64": 1000 * 31.5 / 64, "128": 1000 * 70 / 128})
    assert sizes.attempt(more, 200, seconds) == more
    assert len(asked) == 6


def test_nothing_is_tried_beyond_what_the_memory_holds() -> None:
    asked: list[int] = []

    def seconds(size: int) -> float:
        asked.append(size)
        if size > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return COSTS[size]

    found = sizes.attempt({}, 200, seconds)
    assert asked == [1, 8, 16, 32]
    assert found["32"] is None
    assert sizes.attempt(found, 200, seconds) == found
    assert len(asked) == 4
    assert sizes.smallest(found) == 16


def test_another_error_is_no_lack_of_memory() -> None:
    def seconds(size: int) -> float:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        sizes.attempt({}, 200, seconds)


@pytest.mark.parametrize(
    ("times", "size"),
    [
        ({"1": 2.0, "8": 0.8, "16": 0.6, "32": 0.5, "64": 0.49}, 32),  # 64 is better, but by less than it must be
        ({"1": 2.0, "8": 0.8, "16": 0.6, "32": 0.5, "64": 0.45}, 64),
        ({"1": 0.5, "8": 0.9, "16": 0.8, "32": None}, 1),  # alone it is fastest
        ({"1": None}, 1),
    ],
)
def test_the_smallest_size_that_is_as_good_as_the_best(times: sizes.Times, size: int) -> None:
    assert sizes.smallest(times) == size


@pytest.fixture
def run(tiny: Any) -> Run:
    recipe = Recipe(epochs=2, lr=0.05, batch_size=16, schedule="cosine")
    return Run(task=tiny.replace(crop=1), network=Network(arch="resnet8", width=0.25), recipe=recipe)


def test_a_trial_takes_steps_of_so_many_masked_networks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """After those in which kernels are chosen and a graph is captured; only the others are timed."""
    now, seen = [0.0], []

    def step(cohort: Cohort, number: int) -> None:
        seen.append((cohort.members, number, {name: mask.float().mean().item() for name, mask in cohort.masks.items()}))
        now[0] += 100 if len(seen) <= WARM + 2 else 3

    monkeypatch.setattr(Cohort, "step", step)
    monkeypatch.setattr(sizes.time, "perf_counter", lambda: now[0])
    assert sizes.step_seconds(run.replace(extra=Anchor(strength=0.1)), 3, None, CPU) == pytest.approx(3)
    assert [number for _, number, _ in seen] == [*range(WARM + 2), *range(sizes.STEPS)]
    assert {members for members, _, _ in seen} == {3}
    assert all(0.2 < share < 0.8 for share in seen[0][2].values())
    assert len(seen[0][2]) > 5


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"))],
)
def test_a_trial_runs(device: str, run: Run) -> None:
    assert sizes.step_seconds(run, 2, None, torch.device(device)) > 0


def test_what_was_measured_stays_in_the_store(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer runs ahead the same size comes out: what an interrupt left is only found by the same cohort."""
    asked: list[int] = []

    def seconds(run: Run, members: int, root: str | None, device: torch.device) -> float:
        asked.append(members)
        return COSTS[members]

    monkeypatch.setattr(sizes, "step_seconds", seconds)
    store = Lab(tmp_path).store

    def size(alike: int, steps: int = 10_000, **recipe: Any) -> int | None:
        own = run.replace(recipe=run.recipe.replace(**recipe))
        return sizes.measured_size(own, steps, alike, None, CPU, store.path)

    assert size(70, steps=700) is None  # short work
    assert size(7) is None  # fewer than the smallest cohort that is tried
    assert size(70) == 32
    assert asked == [1, 8, 16, 32, 64]
    assert size(9) == size(2) == size(9, steps=1) == 32  # however little is left
    assert size(70, lr=0.5) == 32  # members may have learning rates of their own
    assert len(asked) == 5
    assert not store.sweep(apply=True, now=1e12)
    assert size(70, batch_size=8) == 32
    assert len(asked) == 10
    for file in (tmp_path / "sizes").iterdir():
        file.write_bytes(b"{")
    assert size(70) == 32
    assert len(asked) == 15


def test_the_lab_asks_for_a_trial_on_cuda_only(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it trains is put down instead of trained; a trial says 5, or nothing before short work."""
    runs = [run.replace(order=order) for order in range(12)]
    asked: list[tuple[int, int]] = []

    def measured_size(run: Run, steps: int, alike: int, *rest: Any) -> int | None:
        asked.append((steps, alike))
        return 5 if alike == 12 else None

    monkeypatch.setattr(lab, "measured_size", measured_size)

    def cohorts(runs: list[Run], device: str = "cuda", **options: Any) -> list[int]:
        ours, found = Lab(tmp_path, progress=False, workers=1, **options), list[int]()
        monkeypatch.setattr(ours, "device", torch.device(device))
        monkeypatch.setattr(ours, "train_free", lambda cohort, *rest: found.append(len(cohort)) or [])
        ours.run(runs)
        return found

    assert cohorts(runs) == [5, 5, 2]
    assert set(asked) == {(2 * (144 // 16), 12)}
    assert cohorts(runs[:11]) == [11]
    asked.clear()
    assert cohorts(runs, "cpu") == [12]
    assert cohorts(runs, members=4) == [4, 4, 4]
    assert not asked
