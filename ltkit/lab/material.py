"""From a run's words to tensors: its start, its mask, what its extra loss refers to. Reads parents from the store."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar

import torch
from torch import Tensor

from .. import data, models
from ..errors import UserError
from ..prune import admm, given, masks, scores
from ..prune.distribution import Shapes, layer_counts, random_mask
from ..prune.masks import Mask
from ..seeds import generator
from ..spec import (
    Admm,
    Anchor,
    Dense,
    Given,
    Gradual,
    Grown,
    Init,
    Magnitude,
    MaskSpec,
    Network,
    Random,
    Run,
    Scored,
    Shuffled,
    Task,
    origin,
    user_files,
)
from ..store import Store
from ..store.tensors import load
from ..train import Job
from .plan import needs_checkpoint

log = logging.getLogger("ltkit")


class ParentDiverged(Exception):
    """The weights that a run needs are no numbers."""


def frame(run: Run, root: str | None) -> tuple[tuple[int, int, int], int]:
    """Input shape and number of classes of a run's task."""
    return FACTS.get()(run.task, root)[:2]


def images(run: Run, root: str | None) -> int:
    """How many images a run is trained on."""
    return FACTS.get()(run.task, root)[2]


def _facts(task: Task, root: str | None) -> tuple[tuple[int, int, int], int, int]:
    return _facts_now(task, root, str(user_files(task)))


@functools.lru_cache(maxsize=64)
def _facts_now(task: Task, root: str | None, files: str) -> tuple[tuple[int, int, int], int, int]:
    dataset = data.load(task, root)
    return dataset.shape, dataset.classes, len(dataset.train_y)


# What tells shape, classes and number of training images of a task: the images, or what is known without them.
FACTS: ContextVar[Callable[[Task, str | None], tuple[tuple[int, int, int], int, int]]] = ContextVar(
    "facts", default=_facts
)


def job(run: Run, store: Store, root: str | None, keep: frozenset[int] = frozenset(), refuse: bool = False) -> Job:
    """Everything that a run starts from. Raises `ParentDiverged`, and `Damaged` for a parent that can't be trusted.

    A mask that keeps nothing of a layer is said to be one; with `refuse` it is a UserError. So is a user's file that
    has changed since the run was named: something else would be stored under that name.
    """
    check_files(run)
    weights, slots = start(run, store, root)
    mask = make_mask(run, run.mask, store, root)
    say_collapse(run, mask, refuse)
    weights = masks.apply(weights, mask)
    if run.start.permute is not None:
        within = mask or {
            name: weights[name] == weights[name] for name in models.prunable(run.network, *frame(run, root))
        }
        weights = masks.permute_kept(weights, within, generator("permute", run.start.permute))
    if isinstance(run.start, Init):
        weights = models.rescale(weights, mask, run.start.fan, run.start.scheme)
    return Job(run, weights, mask, slots, keep, references(run, weights, mask, store, root))


def check_files(run: Run) -> None:
    """UserError for a user's file that isn't what it was when the run was named; a file is hashed when it changes."""
    now = user_files(run)
    if changed := [file for file, content in run.files.items() if now[file] != content]:
        which = f"{', '.join(changed)} changed after {run.name} was named by its content"
        raise UserError(f"{which}: put that back, or make the run anew; other content belongs in a file of its own")


def say_collapse(run: Run, mask: Mapping[str, Tensor], refuse: bool = False) -> None:
    """Logs which layers a mask keeps nothing of; with `refuse` a UserError."""
    if empty := [name for name, count in masks.counts(mask).items() if count == 0]:
        text = f"{run.name}: the mask keeps nothing of {', '.join(empty)}, no signal passes there (layer collapse)"
        if refuse:
            raise UserError(text)
        log.warning(text)


def references(
    run: Run, weights: Mapping[str, Tensor], mask: Mask, store: Store, root: str | None
) -> dict[str, Tensor]:
    """What the extra loss of `run` refers to, as a `Job` takes it; `weights` are its start, masked. {}: no extra loss.

    It looks at the tensors of the mask, those that are prunable by default where there is none; ADMM's at those that it
    prunes. Raises `ParentDiverged`, and UserError for a run on images of another shape.
    """
    if run.extra is None:
        return {}
    if not isinstance(run.extra, Anchor):
        others = {other.name: trained(other, store) for other in run.extra.runs}
    elif run.extra.run is None:
        others = {run.name: dict(weights)}
    else:
        others = {run.extra.run.name: trained(run.extra.run, store)}
    which = run.extra.prunable if isinstance(run.extra, Admm) else "default"
    names = list(mask) or models.prunable(run.network, *frame(run, root), which)
    for other, tensors in others.items():
        if any(tensors[name].shape != weights[name].shape for name in names):
            raise UserError(f"{run.name}: {other} was trained on images of another shape, or other classes")
    if isinstance(run.extra, Admm):
        towards = admm.targets(list(others.values()), _projection(run.extra, names))
        return {name: tensor.unsqueeze(0) for name, tensor in towards.items()}
    kept = [masks.apply(tensors, mask) for tensors in others.values()]
    return {name: torch.stack([tensors[name] for tensors in kept]) for name in names}


def admm_residual(run: Run, store: Store, root: str | None) -> list[float]:
    """‖W - Z‖ / ‖W‖ of the dense network and of each round of ADMM up to the finished `run` (`prune.admm.residual`).

    Raises `ParentDiverged`, and ValueError for a run that isn't one of ADMM.
    """
    if not isinstance(run.extra, Admm):
        raise ValueError(f"{run.name} isn't a round of ADMM")
    names = models.prunable(run.network, *frame(run, root), run.extra.prunable)
    return admm.residual([trained(each, store) for each in (*run.extra.runs, run)], _projection(run.extra, names))


def _projection(spec: Admm, names: list[str]) -> admm.Keep:
    cut = Magnitude(run=spec.runs[0], density=spec.density, scope=spec.scope, prunable=spec.prunable)
    return lambda weights: magnitude(cut, {name: tuple(weights[name].shape) for name in names}, weights, {})


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
    """The mask that `spec` means for `run`'s network, at the start if it changes in training; {} for a dense one."""
    if isinstance(spec, Dense):
        return {}
    if isinstance(spec, Grown):
        return make_mask(run, spec.mask, store, root)
    if isinstance(spec, Shuffled):
        return masks.shuffle(make_mask(run, spec.mask, store, root), generator("shuffle", spec.seed))
    if isinstance(spec, Scored):
        return scored(spec, run.network, frame(run, root), root)
    shape, classes = frame(run, root)
    names = models.prunable(run.network, shape, classes, "all" if isinstance(spec, Given) else spec.prunable)
    sizes = {name: tuple(t.shape) for name, t in models.init(run.network, shape, classes, origin(run)).items()}
    shapes = {name: sizes[name] for name in names}
    if isinstance(spec, Given):
        return given.read(spec, shapes)
    if isinstance(spec, Gradual):
        return {name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()}
    if isinstance(spec, Random):
        total = sum(math.prod(shape) for shape in shapes.values())
        per_layer = shares(run.network, shapes, spec.kept(total), spec.distribution)
        return random_mask(shapes, per_layer, generator("random mask", spec.seed))
    return magnitude(spec, shapes, trained(spec.run, store), load(store.content(spec.run.name, "mask.safetensors")))


def shares(network: Network, shapes: Shapes, kept: int, distribution: str) -> dict[str, int]:
    """Weights kept in each tensor; UserError for a distribution that can't keep so many of this network."""
    try:
        return layer_counts(shapes, kept, distribution, vgg=network.arch.startswith("vgg"))
    except ValueError as error:
        raise UserError(f"{network.arch}: {error}") from None


def scored(spec: Scored, network: Network, frame: tuple[tuple[int, int, int], int], root: str | None) -> Mask:
    """The mask of a method at initialization, in float64 on the CPU: it doesn't depend on where the run is trained.

    Kept in memory for the controls that use it again, as long as the user's files are what they were.
    """
    return _scored_now(spec, network, frame, root, str(user_files((spec, network))))


@functools.lru_cache(maxsize=128)
def _scored_now(
    spec: Scored, network: Network, frame: tuple[tuple[int, int, int], int], root: str | None, files: str
) -> Mask:
    shape, classes = frame
    names = models.prunable(network, shape, classes, spec.prunable)
    fresh = models.init(network, shape, classes, spec.start)
    state = {name: t.double().unsqueeze(0) for name, t in fresh.items()}
    kept = [spec.kept(sum(fresh[name].numel() for name in names))]
    x = y = None
    if spec.task:
        dataset = data.load(spec.task, root)
        rows = scores.balanced_rows(dataset.train_y, classes, spec.per_class, generator("scoring", spec.seed))
        x = data.normalise(dataset.train_x[rows], dataset.mean, dataset.std).double().unsqueeze(0)
        y = dataset.train_y[rows].unsqueeze(0)
    return scores.score_masks(
        models.build(network, shape, classes),
        state,
        names,
        kept,
        spec.method,
        x,
        y,
        shape=shape,
        rounds=spec.steps,
        keep=spec.keep,
        bn=spec.batch_norm,
        halves=spec.halves,
    )[0]


def magnitude(spec: Magnitude, shapes: Shapes, weights: Mapping[str, Tensor], parent: Mapping[str, Tensor]) -> Mask:
    """The mask that `spec` cuts from trained `weights`, inside the `parent` mask of the run that trained them."""
    own = spec.run.mask
    same = isinstance(own, Gradual) and (own.density, own.prunable) == (spec.density, spec.prunable)
    if same and spec.scope in ("layer", "global"):  # a few weights more or fewer, by how its layers were rounded
        return {name: parent[name] for name in shapes}
    sign = 1 if spec.keep == "largest" else -1
    ranked = {name: sign * weights[name].abs() for name in shapes}
    alive = {name: parent[name] if name in parent else weights[name] == weights[name] for name in shapes}
    sizes, left = {n: s.numel() for n, s in ranked.items()}, masks.counts(alive)
    total = spec.kept(sum(sizes.values()), sum(left.values()))
    try:
        if spec.scope == "layer":
            return masks.by_layer(ranked, {n: spec.kept(sizes[n], left[n]) for n in shapes}, alive)
        if spec.scope == "global":
            return masks.by_score(ranked, total, alive)
        return masks.by_layer(ranked, shares(spec.run.network, shapes, total, spec.scope), alive)
    except ValueError as error:  # a density above the one that the parent was trained at
        raise UserError(f"mask of {spec.run.name} at density {spec.density}: {error}") from None
