"""What a run costs before it is trained: epochs, passes of images, bytes in the store. Looks at no image."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from .. import models
from ..data import npz
from ..lab import material
from ..lab.plan import Work
from ..spec import Dense, Given, Gradual, Grown, MaskSpec, Network, Run, Shuffled, Task, plain, round_half_up
from ..store.files import dump
from ..train import Trace, change, optim
from ..train.job import resume_epoch
from ..train.loop import is_scored
from ..train.schedule import clock

Shape = tuple[int, int, int]

# Shape, classes, training and test images of the known data sets as they come.
KNOWN: dict[str, tuple[Shape, int, int, int]] = {
    "digits": ((1, 8, 8), 10, 1297, 500),
    "mnist": ((1, 28, 28), 10, 60_000, 10_000),
    "fashion_mnist": ((1, 28, 28), 10, 60_000, 10_000),
    "cifar10": ((3, 32, 32), 10, 50_000, 10_000),
    "cifar100": ((3, 32, 32), 100, 50_000, 10_000),
}
FORWARD = 1 / 3  # of a training step's time is its forward pass
ROW, TRACED_ROW = 38, 110  # bytes of a line in metrics.csv, in trace.csv
TEXT = 1150  # bytes of env.json and of done.json without its counts


@dataclass(frozen=True)
class Facts:
    """What is known of a task without its images."""

    shape: Shape
    classes: int
    train: int  # images that are trained on
    held_out: int  # images that are scored now and then: validation and test


@functools.lru_cache(maxsize=64)
def facts(task: Task) -> Facts:
    """The facts of a task: from a table, or a user's own file; raises `UserError` for one that can't be read."""
    if task.data in KNOWN:
        shape, classes, pool, test = KNOWN[task.data]
    else:
        x, y, test_x, _ = npz.read(task.data.removeprefix("npz:"))
        shape, classes, pool, test = (x.shape[1], x.shape[2], x.shape[3]), int(y.max()) + 1, len(x), len(test_x)
    validation = round_half_up(Fraction(str(task.validation)) * pool)  # as ltkit.data.balance.share adds up
    train = round_half_up(Fraction(str(task.subset)) * (pool - validation))
    return Facts(shape, classes, train, validation + test)


@contextlib.contextmanager
def without_images() -> Iterator[None]:
    """Within it `ltkit.lab.material` takes shapes and counts from `facts`, so that grids are built where no data is."""

    def known(task: Task, root: str | None) -> tuple[Shape, int, int]:
        found = facts(task)
        return found.shape, found.classes, found.train

    before = material.FACTS.set(known)
    try:
        yield
    finally:
        material.FACTS.reset(before)


@dataclass(frozen=True)
class Cost:
    """What a work takes."""

    epochs: int
    images: int  # passes of a training image, forward and backward
    beside: float  # what scoring and tracing take, as passes of training images
    bytes: int  # in the store


def cost(work: Work, trace: Trace | None = None) -> Cost:
    """The cost of a run, or of what is missing of it; `trace` is that of the call which trains it."""
    run, known = work.run, facts(work.run.task)
    time, trace = clock(run.recipe, known.train), trace if work.traced else None
    first, last = resume_epoch(run), min(time.epochs, work.until or time.epochs)
    begin, end = first * time.per_epoch, min(last * time.per_epoch, time.total)
    scored = sum(is_scored(epoch, time.epochs) for epoch in range(first + 1, last + 1))
    beside, rows, snapshots, spec = FORWARD * scored * known.held_out, 0, 0, run.mask
    if trace:
        due: set[int] = set()
        if isinstance(spec, Grown | Gradual):
            due = {step for step in range(begin, end) if change.is_due(spec, step, time.total)}
        rows = 2 + (end - begin) // trace.every + 2 * len(due)
        snapshots = sum(2 if step in due else 1 for step in trace.snapshots if begin <= step <= end)
        beside += rows * min(trace.images, known.train)
    lines = last - first + scored * (2 if run.task.validation else 1)
    return Cost(last - first, (end - begin) * time.batch, beside, _stored(work, lines, rows, snapshots))


def _stored(work: Work, lines: int, rows: int, snapshots: int) -> int:
    """Bytes of the files that a work adds to the store."""
    run = work.run
    state, masked = _state(run), _masked(run)
    mask = {name: (state[name][0], "BOOL", 1) for name in masked}
    text = TEXT + _spec(run)
    total = 0
    if not work.there:
        total += _tensors(state) + _tensors(mask) + text + ROW * lines + sum(len(name) + 14 for name in masked)
    if work.keep:
        names = [f"{slot}/{name}" for slot in optim.slot_names(run.recipe) for name in _parameters(run)]
        slots = {f"slots/{name}": state[name.partition("/")[2]] for name in names}
        kept = _tensors({**state, **slots, "slots/updates": ((), "I64", 8)}) + _tensors(mask) + text
        total += len(work.keep) * kept
    if rows:
        total += text + TRACED_ROW * rows + snapshots * (_tensors(state) + _tensors(mask))
    return total


Tensors = Mapping[str, tuple[tuple[int, ...], str, int]]  # name -> (shape, safetensors' name of the type, its bytes)


def _tensors(tensors: Tensors) -> int:
    """Bytes of a safetensors file: eight, a JSON header padded to eight, the numbers."""
    header: dict[str, object] = {}
    end = 0
    for name, (shape, kind, width) in tensors.items():
        begin, end = end, end + width * torch.Size(shape).numel()
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}
    return 8 + -(-len(json.dumps(header, separators=(",", ":"))) // 8) * 8 + end


def _state(run: Run) -> Tensors:
    known = facts(run.task)
    return _network(run.network, known.shape, known.classes)[0]


def _parameters(run: Run) -> tuple[str, ...]:
    known = facts(run.task)
    return _network(run.network, known.shape, known.classes)[1]


@functools.lru_cache(maxsize=256)
def _network(network: Network, shape: Shape, classes: int) -> tuple[Tensors, tuple[str, ...]]:
    with torch.device("meta"):
        net = models.build(network, shape, classes)
    return {name: _told(tensor) for name, tensor in net.state_dict().items()}, tuple(
        n for n, _ in net.named_parameters()
    )


def _told(tensor: Tensor) -> tuple[tuple[int, ...], str, int]:
    kind = "F32" if tensor.dtype == torch.float32 else "I64"
    return tuple(tensor.shape[1:]), kind, tensor.element_size()


def _masked(run: Run) -> list[str]:
    """The tensors that a run's mask has."""
    mask: MaskSpec = run.mask
    while isinstance(mask, Shuffled | Grown):
        mask = mask.mask
    if isinstance(mask, Dense):
        return []
    known = facts(run.task)
    which = "all" if isinstance(mask, Given) else mask.prunable
    return models.prunable(run.network, known.shape, known.classes, which)


@functools.lru_cache(maxsize=20_000)
def _spec(run: Run) -> int:
    return len(dump({"schema": 1, "identity": run.identity, "kind": run.kind, "run": plain(run)}))
