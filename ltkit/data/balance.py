"""Class-balanced choices of images: how many of each class, and which."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from ..spec import round_half_up


def share(labels: Tensor, classes: int, fraction: float) -> list[int]:
    """How many images of each class make up `fraction` of all: round(fraction * N) in total, exactly.

    Each class gives its own fraction rounded down; what is then missing comes from the classes with the largest
    remainders (the lower label first), so that no class is more than one image away from its fraction.
    """
    part = Fraction(str(fraction))
    exact = [part * count for count in torch.bincount(labels, minlength=classes).tolist()]
    counts = [int(value) for value in exact]
    missing = round_half_up(part * len(labels)) - sum(counts)
    for label in sorted(range(classes), key=lambda c: counts[c] - exact[c])[:missing]:
        counts[label] += 1
    return counts


def pick(labels: Tensor, counts: list[int], stream: torch.Generator) -> Tensor:
    """A bool tensor (N,), true for `counts[c]` of the images with label c, drawn without replacement.

    With the same stream, larger counts add images to those that smaller counts choose.
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label, count in enumerate(counts):
        members = torch.where(labels == label)[0]
        chosen[members[torch.randperm(len(members), generator=stream)[:count]]] = True
    return chosen
