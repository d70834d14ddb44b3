"""How a random mask shares its weights out over the layers: uniform, ER, ERK (gradient_flow.md section 2 and P7)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import torch

from .masks import Mask

Shapes = Mapping[str, tuple[int, ...]]


def layer_counts(shapes: Shapes, kept: int, distribution: str) -> dict[str, int]:
    """Weights kept in each tensor, `kept` in all.

    Shapes are (out, in) or (out, in, height, width). ER weighs a layer by (in + out) / (in * out), ERK adds the
    kernel's height and width above and below the line; both divide by a common factor, layers that would pass 1 are
    dense.
    """
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


def random_mask(shapes: Shapes, kept: Mapping[str, int], generator: torch.Generator) -> Mask:
    """Exactly `kept[name]` positions of each tensor, uniformly at random."""
    mask: Mask = {}
    for name, shape in shapes.items():
        flat = torch.zeros(math.prod(shape), dtype=torch.bool)
        flat[torch.randperm(flat.numel(), generator=generator)[: kept[name]]] = True
        mask[name] = flat.view(shape)
    return mask
