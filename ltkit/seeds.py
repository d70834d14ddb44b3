"""Random streams that depend on what they are for and on nothing else."""

from __future__ import annotations

import hashlib

import torch


def generator(*purpose: object) -> torch.Generator:
    """A CPU generator seeded from the words of `purpose`, such as ("order", seed, epoch).

    Hashed, so that neighbouring seeds and different purposes give unrelated streams on every device and in any cohort.
    """
    text = "/".join(str(word) for word in purpose)
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(seed)
