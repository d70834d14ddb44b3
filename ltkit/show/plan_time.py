"""How long a pass of an image takes on the machine at hand: each kind of network is trained for a moment.

On made-up images, eagerly, as many networks together and as many cohorts side by side as the lab would have.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from .. import models
from ..models.cost import multiplications
from ..spec import Dense, Init, Network, Repel, Run, Task
from ..train import Cohort, Job
from ..train.device import out_of_memory, wait
from ..train.graph import WARM
from .plan_cost import Shape, facts

EACH = 3.0  # seconds that a kind of network may take
ALL = 60.0  # and all of them
STEP = 0.8  # seconds that a step is to take at most; a smaller batch is taken where one would take longer
LEAST = 6  # images of a batch
GUESS = 3e-10  # seconds of a step that a multiplication is thought to take on a CPU, until one kind was measured


@dataclass(frozen=True)
class Kind:
    """What decides how long a pass of an image takes: all runs of a kind take the same."""

    network: Network
    shape: Shape
    classes: int
    batch: int
    precision: str
    optimizer: str
    crop: bool
    flip: bool
    extra: str  # the kind of its extra loss

    @property
    def work(self) -> int:
        """Multiplications of an image's forward pass."""
        return multiplications(self.network, self.shape, self.classes)


def kind(run: Run) -> Kind:
    """The kind of network that a run trains."""
    known, recipe, task = facts(run.task), run.recipe, run.task
    batch = min(recipe.batch_size, known.train)
    extra = run.extra.kind if run.extra else ""
    how = (recipe.precision, recipe.optimizer, bool(task.crop), task.flip, extra)
    return Kind(run.network, known.shape, known.classes, batch, *how)


@dataclass
class Load:
    """What is ahead of one kind."""

    images: float = 0.0  # passes
    members: float = 0.0  # networks a cohort, times passes
    sample: Run | None = None

    def add(self, run: Run, images: float, members: int) -> None:
        """Counts a run that trains together with so many."""
        self.images += images
        self.members += images * members
        if self.sample is None or _references(self.sample) < _references(run):
            self.sample = run

    @property
    def together(self) -> int:
        """Networks a cohort, by the mean over passes."""
        return max(1, round(self.members / self.images)) if self.images else 1


def _references(run: Run) -> int:
    return len(run.extra.runs) if isinstance(run.extra, Repel) else 0


@dataclass(frozen=True)
class Rates:
    """Seconds of a pass of an image by kind, cohorts side by side counted together, and where they come from."""

    seconds: Mapping[Kind, float]
    measured: frozenset[Kind]
    took: float


def rates(ahead: Mapping[Kind, Load], device: torch.device, workers: int, limit: float = ALL) -> Rates:
    """Measures the kinds with most work first, until `limit` seconds are over; scales the others.

    A kind that wasn't measured takes the time a multiplication of the nearest one that was: of its architecture and
    precision, else of its precision, else of any.
    """
    begun = time.monotonic()
    left = sorted(ahead, key=lambda kind: -kind.work * ahead[kind].images)
    found: dict[Kind, float] = {}
    with tempfile.TemporaryDirectory(prefix="ltkit-plan-") as folder:
        for kind in left:
            if found and time.monotonic() - begun > limit - EACH:
                break
            expected = _scaled(kind, found) if found else GUESS * kind.work * (device.type == "cpu")
            took = measure(kind, ahead[kind], device, workers, Path(folder), expected)
            if took is not None:
                found[kind] = took
    every = {kind: found[kind] if kind in found else _scaled(kind, found) for kind in left}
    return Rates(every, frozenset(found), time.monotonic() - begun)


def _scaled(kind: Kind, found: Mapping[Kind, float]) -> float:
    """Seconds a pass from the measured kind that is most like it."""

    def unlike(other: Kind) -> tuple[bool, bool, bool, float]:
        other_kind = other.precision != kind.precision, other.network.arch != kind.network.arch
        return *other_kind, other.extra != kind.extra, abs(math.log(other.work / kind.work))

    near = min(found, key=unlike, default=None)
    return found[near] * kind.work / near.work if near else math.nan


def measure(
    kind: Kind, load: Load, device: torch.device, workers: int, folder: Path, expected: float = 0.0
) -> float | None:
    """Seconds that a pass of an image takes, all workers together.

    By the `expected` ones the batch is bounded, so that a step doesn't take longer than `STEP`. None where a step of
    `LEAST` images would still take longer than twice `EACH`, or even one network has no memory.
    """
    members, batch = load.together, kind.batch
    while True:
        if expected:
            batch = min(kind.batch, max(LEAST, int(STEP / (expected * members * workers))))
            if expected * batch * members * workers > 2 * EACH:
                return None
        try:
            return _timed(_jobs(kind, load, members, batch, _images(kind, folder)), device, workers, kind.batch)
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        if members == 1:
            return None
        members //= 2


def _images(kind: Kind, folder: Path) -> Task:
    """A task of noise in the shape of the kind's images: a few batches of them."""
    channels, height, width = kind.shape
    many = max(2 * kind.batch, 2 * kind.classes)
    path = folder / f"{channels}-{height}-{width}-{kind.classes}-{many}.npz"
    if not path.exists():
        draw, labels = np.random.default_rng(0), np.arange(many) % kind.classes
        x = draw.integers(0, 256, (many, height, width, channels), dtype=np.uint8)
        np.savez(path, x_train=x, y_train=labels, x_test=x[: kind.classes], y_test=labels[: kind.classes])
    return Task(data=f"npz:{path}", validation=0.0, crop=2 * kind.crop, flip=kind.flip)


def _jobs(kind: Kind, load: Load, members: int, batch: int, task: Task) -> list[Job]:
    """The members of a cohort: one start for all, half of the prunable weights masked, the sample's extra loss."""
    sample = load.sample
    assert sample is not None
    recipe = sample.recipe.replace(batch_size=batch)
    run = sample.replace(task=task, recipe=recipe, start=Init(), mask=Dense(), order=0)
    weights = models.init(kind.network, kind.shape, kind.classes, Init())
    names = models.prunable(kind.network, kind.shape, kind.classes, "default")
    mask = {name: torch.rand(weights[name].shape) < 0.5 for name in names}
    many = max(1, _references(run))
    extra = {name: weights[name].expand(many, *weights[name].shape) for name in names} if run.extra else {}
    return [Job(run, weights, mask, extra=extra) for _ in range(members)]


def _timed(jobs: list[Job], device: torch.device, workers: int, batch: int) -> float:
    """Seconds a pass of an image while `workers` cohorts train, each in a thread of its own, after the first steps.

    Where their batch is smaller than `batch`, the part of a step that doesn't depend on it (the update of the weights,
    say) is told from the rest by a third of a batch, and shared out over the whole one.
    """

    def begin(_: int) -> Cohort:
        cohort = Cohort(jobs, device)
        cohort.begin_epoch(0)
        return _warmed(cohort, device)

    def passes(cohort: Cohort) -> float:
        own = cohort.time.batch
        whole = _step(cohort, device, EACH / 3)
        if own < batch:
            cohort.time = replace(cohort.time, batch=own // 3)
            part = _step(_warmed(cohort, device), device, EACH / 6)
            an_image = max(0.0, whole - part) / (own - own // 3)
            whole += an_image * (batch - own)
        return batch * cohort.members / whole

    threads = max(1, torch.get_num_threads() // workers)
    with ThreadPoolExecutor(workers, "plan", torch.set_num_threads, (threads,)) as pool:
        return 1 / sum(pool.map(passes, list(pool.map(begin, range(workers)))))


def _warmed(cohort: Cohort, device: torch.device) -> Cohort:
    """The cohort after its first steps of a shape: on CUDA they end with the capture of a graph."""
    for step in range(WARM + 1 if device.type == "cuda" else 1):
        cohort.step(step % cohort.time.per_epoch)
    wait(device)
    return cohort


def _step(cohort: Cohort, device: torch.device, seconds: float) -> float:
    """The mean time of a step, from all that go into so many seconds."""
    begun, steps = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        cohort.step(steps % cohort.time.per_epoch)
        steps += 1
    wait(device)
    return (time.monotonic() - begun) / steps
