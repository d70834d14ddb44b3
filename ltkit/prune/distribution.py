"""How a random mask shares its weights out over the layers.

uniform, er, erk                            gradient_flow.md section 2 and P7
smart, balanced, linear, cubic, ascending   sanity_checks.md section 2: prescribed profiles over the depth
smart+2, smart-1                            smart with two layers more, one fewer in its formula (claim B7)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from fractions import Fraction

import torch

from .masks import Mask

Shapes = Mapping[str, tuple[int, ...]]

# Density of layer `at` = 1 ... depth - 1, up to a common factor; layer `depth`, the classifier, has one of its own.
PROFILES: dict[str, Callable[[int, int], int]] = {
    "smart": lambda at, depth: (depth - at + 1) ** 2 + (depth - at + 1),
    "smart+2": lambda at, depth: (depth - at + 3) ** 2 + (depth - at + 3),
    "smart-1": lambda at, depth: (depth - at) ** 2 + (depth - at),
    "balanced": lambda at, depth: 1,
    "linear": lambda at, depth: depth - at + 1,
    "cubic": lambda at, depth: (depth - at + 1) ** 3,
    "ascending": lambda at, depth: at**2 + at,
}
CLASSIFIER = Fraction(3, 10)  # its density in all profiles


def layer_counts(shapes: Shapes, kept: int, distribution: str, vgg: bool = False) -> dict[str, int]:
    """Weights kept in each tensor, `kept` in all.

    Shapes are (out, in) or (out, in, height, width), in module order. ER weighs a layer by (in + out) / (in * out), ERK
    adds the kernel's height and width above and below the line; both divide by a common factor, layers that would pass
    1 are dense. For the profiles and `vgg` see `profile_counts`. Raises ValueError for a distribution that is unknown
    and for a count that a profile can't keep.
    """
    if distribution in PROFILES:
        return profile_counts(shapes, kept, distribution, vgg)
    if distribution not in ("uniform", "er", "erk"):
        raise ValueError(f"unknown distribution '{distribution}'")
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    raw = {name: _raw(shape, distribution) for name, shape in shapes.items()}
    dense: set[str] = set()
    while True:
        rest = [name for name in shapes if name not in dense]
        left = kept - sum(sizes[name] for name in dense)
        epsilon = Fraction(left) / sum((raw[name] * sizes[name] for name in rest), Fraction(0)) if rest else Fraction(0)
        over = [name for name in rest if epsilon * raw[name] > 1]
        if not over:
            break
        largest = max(raw[name] for name in over)
        dense |= {name for name in over if raw[name] == largest}
    share = {name: Fraction(sizes[name]) if name in dense else epsilon * raw[name] * sizes[name] for name in shapes}
    return _apportion(share, kept, sizes)


def _raw(shape: tuple[int, ...], distribution: str) -> Fraction:
    if distribution == "uniform":
        return Fraction(1)
    sides = shape[:2] if distribution == "er" else shape
    return Fraction(sum(sides), math.prod(sides))


def _apportion(share: Mapping[str, Fraction], kept: int, sizes: Mapping[str, int]) -> dict[str, int]:
    """Whole counts by largest remainders (ties: the earlier layer), so that they sum to `kept` exactly."""
    counts = {name: int(value) for name, value in share.items()}
    order = sorted(share, key=lambda name: counts[name] - share[name])  # stable: ties stay in layer order
    for name in (order * 2)[: kept - sum(counts.values())]:
        if counts[name] < sizes[name]:
            counts[name] += 1
    assert sum(counts.values()) == kept, "largest remainders always fit"
    return counts


def profile_counts(shapes: Shapes, kept: int, profile: str, vgg: bool = False) -> dict[str, int]:
    """Weights kept in each tensor by one of `PROFILES`, `kept` in all (sanity_checks.md section 2: smart ratio).

    The last tensor is the classifier and keeps 0.3 of its weights; the others share the rest of the budget in
    proportion to profile times size. With `vgg` (a VGG network) every profile but balanced is divided by the square of
    the layer's number. A layer that would keep more than it has is dense, its surplus goes to the next layers until one
    has room for all of it. A count may be 0: `ascending` leaves nothing of ResNet-32's first convolution.

    Deviation: the paper rounds down and leaves the total a few weights short. Here the missing ones go to the largest
    remainders among the layers that are neither dense by that clipping nor the classifier, so that counts are exact.

    Raises ValueError where the profile is not defined or its budget can't be met: without a linear classifier at the
    end, with that layer alone, with `kept` below the classifier's share or above what the profile can keep, and where
    a layer behind the first with room would keep more than it has, which the paper's code cuts without redistribution.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    *layers, classifier = shapes
    if not layers or len(shapes[classifier]) != 2:
        raise ValueError(
            f"the {profile} profile needs everything prunable, a linear classifier last and other layers before it; "
            f"here are {len(shapes)} layers, the last is {classifier}"
        )
    counts = {classifier: int(CLASSIFIER * sizes[classifier])}
    budget, room = kept - counts[classifier], sum(sizes[name] for name in layers)
    if not 0 <= budget <= room:
        raise ValueError(
            f"the {profile} profile can't keep {kept} weights: the classifier keeps {counts[classifier]}, "
            f"the other layers at most {room}"
        )
    squares = vgg and profile != "balanced"
    raw = {
        name: Fraction(PROFILES[profile](at, len(shapes)), at**2 if squares else 1)
        for at, name in enumerate(layers, start=1)
    }
    scale = Fraction(budget, sum(int(sizes[name] * raw[name]) for name in layers))
    share = {name: scale * raw[name] for name in layers}
    clipped = _clip(share, sizes)
    for name in layers:
        if share[name] > 1:
            raise ValueError(
                f"the {profile} profile can't keep {kept} weights: {name} would keep {float(share[name]):.2f} times "
                "what it has, and no layer takes that surplus"
            )
        counts[name] = int(share[name] * sizes[name])
    missing = kept - sum(counts.values())
    step = 1 if missing > 0 else -1  # flooring γ's denominator can leave a tiny budget over instead of short
    free = [name for name in layers if name not in clipped]
    free.sort(key=lambda name: step * (counts[name] - share[name] * sizes[name]))  # stable: ties stay in layer order
    for name in itertools.cycle([*free, *reversed(clipped)]):
        if missing == 0:
            break
        if 0 <= counts[name] + step <= sizes[name]:
            counts[name] += step
            missing -= step
    return {name: counts[name] for name in shapes}


def _clip(share: dict[str, Fraction], sizes: Mapping[str, int]) -> list[str]:
    """Cuts densities above 1 from the front and hands their surplus on, in place; the layers that are dense by that.

    It stops at the first layer that leaves no surplus, as the paper's code does.
    """
    clipped, surplus = [], 0
    for name in share:
        size = sizes[name]
        if share[name] >= 1:
            surplus += int((share[name] - 1) * size)
        elif (room := int((1 - share[name]) * size)) >= surplus:
            share[name] += Fraction(surplus, size)
            break
        else:
            surplus -= room
        share[name] = Fraction(1)
        clipped.append(name)
        if surplus == 0:
            break
    return clipped


def random_mask(shapes: Shapes, kept: Mapping[str, int], generator: torch.Generator) -> Mask:
    """Exactly `kept[name]` positions of each tensor, uniformly at random."""
    mask: Mask = {}
    for name, shape in shapes.items():
        flat = torch.zeros(math.prod(shape), dtype=torch.bool)
        flat[torch.randperm(flat.numel(), generator=generator)[: kept[name]]] = True
        mask[name] = flat.view(shape)
    return mask
