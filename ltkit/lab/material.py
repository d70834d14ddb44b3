"""From a run's words to tensors: its start, its mask. Reads parents from the store."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Mapping

from safetensors.torch import load
from torch import Tensor

from .. import data, models
from ..errors import UserError
from ..prune import masks
from ..prune.distribution import layer_counts, random_mask
from ..prune.masks import Mask
from ..seeds import generator
from ..spec import Dense, Init, Magnitude, MaskSpec, Random, Run, Shuffled, Task
from ..store import Store
from ..train import Job
from .plan import needs_checkpoint

log = logging.getLogger("ltkit")


class ParentDiverged(Exception):
    """The weights that a run needs are no numbers."""


def frame(run: Run, root: str | None) -> tuple[tuple[int, int, int], int]:
    """Input shape and number of classes of a run's task."""
    return _facts(run.task, root)[:2]


def images(run: Run, root: str | None) -> int:
    """How many images a run is trained on."""
    return _facts(run.task, root)[2]


@functools.lru_cache(maxsize=64)
def _facts(task: Task, root: str | None) -> tuple[tuple[int, int, int], int, int]:
    dataset = data.load(task, root)
    return dataset.shape, dataset.classes, len(dataset.train_y)


def job(run: Run, store: Store, root: str | None, keep: frozenset[int] = frozenset()) -> Job:
    """Everything that a run starts from. Raises `ParentDiverged`, and `Damaged` for a parent that can't be trusted."""
    weights, slots = start(run, store, root)
    mask = make_mask(run, run.mask, store, root)
    return Job(run, masks.apply(weights, mask), mask, slots, keep)


def start(run: Run, store: Store, root: str | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and buffers before any mask, and the optimizer's state ({}: fresh)."""
    if isinstance(run.start, Init):
        return models.init(run.network, *frame(run, root), run.start), {}
    parent = run.start.run
    if run.start.epoch == 0:
        return dict(job(parent, store, root).weights), {}
    epoch = needs_checkpoint(run)
    if epoch is None:
        return trained(parent, store), {}
    if (store.done(parent.name) or {}).get("outcome") == "undefined":
        raise ParentDiverged(f"{parent.name} was never trained")
    tensors = load(store.content(f"{parent.name}@{epoch}", "weights.safetensors"))
    slots = {name.removeprefix("slots/"): t for name, t in tensors.items() if name.startswith("slots/")}
    weights = {name: t for name, t in tensors.items() if not name.startswith("slots/")}
    # A state belongs to its own place on the schedule: a start that jumps elsewhere begins with a fresh optimizer.
    return weights, slots if run.start.resume == epoch else {}


def trained(run: Run, store: Store) -> dict[str, Tensor]:
    """The final weights and buffers of a finished run."""
    done = store.done(run.name)
    if done is not None and done["outcome"] != "finished":
        raise ParentDiverged(f"{run.name} {done['outcome']}")
    return load(store.content(run.name, "weights.safetensors"))


def make_mask(run: Run, spec: MaskSpec, store: Store, root: str | None) -> Mask:
    """The mask that `spec` means for `run`'s network; {} for a dense one."""
    if isinstance(spec, Dense):
        return {}
    if isinstance(spec, Shuffled):
        return masks.shuffle(make_mask(run, spec.mask, store, root), generator("shuffle", spec.seed))
    shape, classes = frame(run, root)
    names = models.prunable(run.network, shape, classes, spec.prunable)
    if isinstance(spec, Random):
        sizes = {name: tuple(t.shape) for name, t in models.init(run.network, shape, classes, Init()).items()}
        shapes = {name: sizes[name] for name in names}
        total = sum(math.prod(shape) for shape in shapes.values())
        per_layer = layer_counts(shapes, spec.kept(total), spec.distribution)
        return random_mask(shapes, per_layer, generator("random mask", spec.seed))
    return magnitude(spec, names, trained(spec.run, store), load(store.content(spec.run.name, "mask.safetensors")))


def magnitude(spec: Magnitude, names: list[str], weights: Mapping[str, Tensor], parent: Mapping[str, Tensor]) -> Mask:
    """The mask that `spec` cuts from trained `weights`, inside the `parent` mask of the run that trained them."""
    sign = 1 if spec.keep == "largest" else -1
    scores = {name: sign * weights[name].abs() for name in names}
    alive = {name: parent[name] if name in parent else weights[name] == weights[name] for name in names}
    sizes, left = {n: s.numel() for n, s in scores.items()}, masks.counts(alive)
    try:
        if spec.scope == "layer":
            mask = masks.by_layer(scores, {n: spec.kept(sizes[n], left[n]) for n in names}, alive)
        else:
            mask = masks.by_score(scores, spec.kept(sum(sizes.values()), sum(left.values())), alive)
    except ValueError as error:  # a density above the one that the parent was trained at
        raise UserError(f"mask of {spec.run.name} at density {spec.density}: {error}") from None
    empty = [name for name, count in masks.counts(mask).items() if count == 0]
    if empty:
        log.warning("the mask cut from %s keeps nothing of %s: no signal passes there", spec.run.name, ", ".join(empty))
    return mask
