"""When a layer has enough neurons: at a discrepancy, at a drop of a measure, or at a budget of the whole network.

A stop looks at a path of selection, never at how it was made; it chooses one of the path's iterations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from torch import Tensor, nn

from ..errors import UserError
from ..spec import round_half_up
from .channels import Group
from .greedy_problem import Selection, prefix
from .slim import places

FINEST = 10_000  # a budget's common density is a multiple of 1/FINEST


@dataclass(frozen=True)
class Discrepancy:
    """The first iteration with D <= `relative` * ‖t‖²; for global imitation the logits' error instead, and logits."""

    relative: float


@dataclass(frozen=True)
class Drop:
    """Few neurons with which `measure` of the network is at most `most` below what it was before this layer.

    `measure` may read labels (the accuracy on held-out images, say); it decides when to stop, never which neuron.
    """

    most: float  # in the units of `measure`
    measure: Callable[[nn.Module], float]


@dataclass(frozen=True)
class Budget:
    """At most `share` of the whole network's parameters or multiply-adds, or `share` of each layer's neurons.

    All layers that are pruned keep the same density, so that methods are compared at equal widths and costs [kit].
    """

    share: float
    of: Literal["parameters", "multiply_adds", "neurons"] = "parameters"


Stop = Discrepancy | Drop | Budget


def at(selection: Selection, neurons: int) -> Selection:
    """The path's best iteration among those with `neurons` distinct neurons, or with as many as it has below that."""
    sizes = selection.sizes
    most = sizes[sizes <= neurons].max()
    best = np.where(sizes == most, selection.errors, np.inf).argmin()
    return prefix(selection, int(best) + 1)


def first_below(selection: Selection, floor: float) -> Selection | None:
    """The path up to its first iteration with D <= `floor`; None if there is none."""
    below = np.flatnonzero(selection.errors <= floor)
    return prefix(selection, int(below[0]) + 1) if len(below) else None


def enough(path: Callable[[int], Selection], fits: Callable[[Selection], bool], most: int) -> Selection | None:
    """A selection of fewer than `most` neurons that fits while with one neuron less it doesn't; None if there is none.

    `path(n)` goes to n distinct neurons, or ends before. Found by doubling, then halving: O(log N) trials. Where more
    neurons can fit worse there may be a smaller selection that fits too.
    """
    if most < 2:
        return None
    low, high = 0, 1
    while not fits(at(whole := path(high), high)):
        if high == most - 1 or whole.sizes.max() < high:
            return None
        low, high = high, min(2 * high, most - 1)
    high = min(high, int(whole.sizes.max()))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(at(whole, middle)) else (middle, high)
    return at(whole, high)


def budget_counts(module: nn.Module, groups: Sequence[Group], budget: Budget, image: Tensor) -> dict[str, int]:
    """How many neurons each producer of `groups` keeps: the largest common density within the budget, at least one.

    UserError for a share that is none, or that can't be met because of what isn't pruned.
    """
    if not 0 < budget.share <= 1:
        raise UserError(f"a budget is a share above 0 and at most 1, not {budget.share}")
    if budget.of == "neurons":
        return {g.producer: max(1, round_half_up(Fraction(str(budget.share)) * g.channels)) for g in groups}

    def counts(step: int) -> dict[str, int]:
        return {g.producer: max(1, step * g.channels // FINEST) for g in groups}

    there = places(module, image) if budget.of == "multiply_adds" else None
    most = budget.share * size(module, groups, counts(FINEST), there)
    low, high = 0, FINEST + 1  # what step `low` gives fits, `high` doesn't
    if (least := size(module, groups, counts(0), there)) > most:
        raise UserError(
            f"a share of {budget.share} of the {budget.of} is {most:.0f}, but {least} are left with one neuron a layer"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(module, groups, counts(middle), there) <= most else (low, middle)
    return counts(low)


def size(module: nn.Module, groups: Sequence[Group], counts: Mapping[str, int], there: Mapping[str, int] | None) -> int:
    """Parameters, or with places `there` multiply-adds, of the network when the producers keep `counts`."""
    out = {name: g for g in groups for name in (g.producer, *g.between)}
    into = {g.consumer: g for g in groups}
    total = 0
    for full, parameter in module.named_parameters():
        name = full.rpartition(".")[0]
        count, matrix = parameter.numel(), parameter.dim() > 1
        for g in (out.get(name), into.get(name) if matrix else None):
            if g is not None:
                count = count // g.channels * counts[g.producer]
        if there is None:
            total += count
        elif matrix:
            total += count * there[name]
    return total
