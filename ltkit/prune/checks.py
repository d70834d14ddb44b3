"""Sanity checks: each destroys one kind of information that a mask, or a start, could have taken from the data.

Plain functions from runs to runs (sanity_checks.md section 3), so that any check applies to any method. Where a check
changes nothing, since a run's mask never saw what it destroys, the answer is the very run that was given.
Rearranging, re-initializing and inverting are `tickets.shuffled`, `tickets.reinit` and `tickets.inverted`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..spec import From, Grown, Init, Magnitude, MaskSpec, Run, Scored, Seed, Shuffled, Task

Change = Callable[[Task], Task]


def corrupted(run: Run, *, labels: bool = True, pixels: bool = True, seed: Seed = 12345) -> Run:
    """The mask is made from random labels and shuffled pixels, or either; what is trained sees clean data (check 1)."""

    def corrupt(task: Task) -> Task:
        changes = {"labels": "random"} if labels else {}
        return task.replace(**changes, **({"pixels": "shuffled"} if pixels else {}), corruption_seed=seed)

    return run.replace(mask=_mask_from(run.mask, corrupt))


def halved(run: Run, seed: Seed = 0) -> Run:
    """Mask and pretrained weights come from half of the training images; what is trained sees all (check 3)."""

    def halve(task: Task) -> Task:
        return task.replace(subset=task.subset / 2, subset_seed=seed)

    return run.replace(start=_start_from(run.start, halve), mask=_mask_from(run.mask, halve))


def shortened(run: Run) -> Run:
    """Mask and pretrained weights come from half as many epochs on all images: halving's control for fewer updates."""

    def shorten(parent: Run) -> Run:
        epochs = parent.recipe.epochs
        if epochs is None or epochs < 2:
            raise ValueError("half of a training needs one of at least 2 epochs")
        return parent.replace(recipe=parent.recipe.replace(epochs=epochs // 2))

    start, mask = run.start, run.mask
    if isinstance(start, From):
        epoch = None if start.epoch is None else max(1, start.epoch // 2)
        start = start.replace(run=shorten(start.run), epoch=epoch)
    if isinstance(mask, Magnitude):
        mask = mask.replace(run=shorten(mask.run))
    return run.replace(start=start, mask=mask)


def weights_shuffled(run: Run, seed: Seed | None = None) -> Run:
    """The kept weights of each layer change places among themselves; the mask stays (check 4)."""
    return run.replace(start=run.start.replace(permute=run.order if seed is None else seed))


def _from(run: Run, change: Change) -> Run:
    """A run that others are made from, on other data, with all that it was made from itself."""
    start, mask = _start_from(run.start, change), _mask_from(run.mask, change)
    return run.replace(task=change(run.task), start=start, mask=mask)


def _start_from(start: Init | From, change: Change) -> Init | From:
    return start.replace(run=_from(start.run, change)) if isinstance(start, From) else start


def _mask_from(mask: MaskSpec, change: Change) -> MaskSpec:
    if isinstance(mask, Magnitude):
        return mask.replace(run=_from(mask.run, change))
    if isinstance(mask, Scored) and mask.task is not None:
        return mask.replace(task=change(mask.task))
    if isinstance(mask, Shuffled | Grown):
        return mask.replace(mask=_mask_from(mask.mask, change))
    return mask
