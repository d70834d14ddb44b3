"""When the masks of a cohort's members change, and how a step goes in which some do.

A member's update uses its own dense gradient of the step's batch, of the cross-entropy alone, as it was before any
weight moved: gradients come dense from the network, the masks sit in the rates. Other members don't notice.
Deviation where the update follows the step: D's code scores after the step, on a fixed block of images, with L2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ..seeds import generator
from ..spec import Gradual, Grown
from . import grow

if TYPE_CHECKING:
    from .cohort import Cohort


def due(cohort: Cohort, step: int) -> list[int]:
    """The members whose masks are updated in this step; each counts its schedule from the beginning of the recipe's."""
    return [r for r, spec in cohort.changing.items() if is_due(spec, step, cohort.time.total)]


def is_due(spec: Grown | Gradual, step: int, total: int) -> bool:
    """Whether `spec` changes a mask in 0-based `step` of `total`."""
    if isinstance(spec, Grown):
        return 0 < step < round(spec.end * total) and step % spec.every == 0
    first, last = span(spec, total)
    return first <= step <= last and ((step - first) % spec.every == 0 or step == last)


def span(spec: Gradual, total: int) -> tuple[int, int]:
    """The steps of gradual pruning's first and last update: the last one is made, at the latest in the last step."""
    last = min(round(spec.end * total), total - 1)
    return min(round(spec.begin * total), last), last


def last_update(spec: Grown | Gradual, total: int) -> int | None:
    """The step after which the mask stays as it is; None when it never changes."""
    if isinstance(spec, Gradual):
        return span(spec, total)[1]
    updates = (round(spec.end * total) - 1) // spec.every
    return updates * spec.every if updates > 0 else None


def step(cohort: Cohort, number: int, grads: Sequence[Tensor], members: Sequence[int]) -> None:
    """The optimizer's step and then the mask updates of `members`, which are due in step `number`.

    For those whose update replaces the step, weights, slots and Adam's count are as if it hadn't been made.
    `cohort.listeners` hear of the updates right before and right after.
    """
    specs = cohort.changing
    still = [r for r in members if isinstance(spec := specs[r], Grown) and spec.replaces_step]
    _step_others(cohort, number, grads, still)
    own = dict(zip(cohort.weights, grads, strict=True))
    new = {r: _new_mask(cohort, r, number, own) for r in members}
    for listen in cohort.listeners:
        listen(cohort, number, "before", new)
    for name in {name: None for mask in new.values() for name in mask}:
        stacked = cohort.masks[name].clone()
        for r, mask in new.items():
            if name in mask:
                stacked[r] = mask[name]
        cohort.set_mask(name, stacked)
    for listen in cohort.listeners:
        listen(cohort, number, "after", new)


def _new_mask(cohort: Cohort, r: int, number: int, grads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    spec, total = cohort.changing[r], cohort.time.total
    mask = {name: cohort.masks[name][r] for name in cohort.jobs[r].mask}
    weights = {name: cohort.weights[name][r].detach() for name in mask}
    if isinstance(spec, Gradual):
        return grow.gradual(weights, mask, grow.gradual_density(number, *span(spec, total), spec.density), spec.scope)
    fraction = grow.drop_fraction(number, round(spec.end * total), spec.drop)
    new = {}
    for name, m in mask.items():
        active = int(m.sum())
        k = grow.drop_count(fraction, active, m.numel() - active, spec.again)
        # A stream for each update and layer: who else trains, or a resumed training, changes nothing.
        chance = generator("grow", spec.seed, number, name) if spec.method == "set" else None
        new[name] = grow.update(weights[name], m, grads[name][r], k, spec.method, chance, spec.again)
    return new


def _step_others(cohort: Cohort, number: int, grads: Sequence[Tensor], still: Sequence[int]) -> None:
    """The optimizer's step of all members but `still`."""
    if len(still) == cohort.members:
        return
    counts, rows = list(cohort.updates), list(still)
    tensors = [*cohort.weights.values(), *(t for each in cohort.slots.values() for t in each.values())]
    before = [t[rows] for t in tensors] if rows else []
    cohort.update(number, grads)
    for target, old in zip(tensors if rows else [], before, strict=True):
        target[rows] = old
    for r in rows:
        cohort.updates[r] = counts[r]
    cohort.spread()
