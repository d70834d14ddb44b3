"""Steps, epochs and the learning rate's course."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..spec import Recipe


@dataclass(frozen=True)
class Clock:
    """How a recipe's epochs become steps on a training set: incomplete last batches are left out."""

    batch: int
    per_epoch: int  # steps
    total: int  # steps

    @property
    def epochs(self) -> int:
        """Epochs begun, the last one perhaps cut short by a number of steps."""
        return -(-self.total // self.per_epoch)


def clock(recipe: Recipe, images: int) -> Clock:
    """The clock of `recipe` on `images` training images; a batch is at most the whole set."""
    batch = min(recipe.batch_size, images)
    per_epoch = images // batch
    return Clock(batch, per_epoch, recipe.steps or (recipe.epochs or 0) * per_epoch)


def factor(recipe: Recipe, step: int, time: Clock) -> float:
    """What the learning rate is multiplied by at 0-based `step`.

    Linear warm-up over the first `warmup` epochs (its first step is one part of the ramp, not 0), then the schedule:
    `step` drops by gamma at each milestone, a fraction of the whole training, warm-up included; `cosine` falls to 0
    over what follows the warm-up.
    """
    ramp = round(recipe.warmup * time.per_epoch)
    if step < ramp:
        return (step + 1) / ramp
    if recipe.schedule == "step":
        return recipe.gamma ** sum(step >= round(m * time.total) for m in recipe.milestones)
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - ramp) / max(1, time.total - ramp)))
    return 1.0
