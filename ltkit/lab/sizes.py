"""How many networks train together."""

from __future__ import annotations

import torch

from ..spec import Run


def best_size(run: Run, shape: tuple[int, int, int], classes: int, device: torch.device) -> int:
    """How many networks train fastest together: see bench/README.md.

    On a GPU as many as keep it busy. On a CPU, a thread a cohort, sixteen where images are small or there are no
    convolutions: an operation's own cost counts there. Else one: a grouped convolution beats single ones on 8x8 maps
    and loses to them on 32x32.
    """
    if device.type != "cpu":
        return 32
    return 16 if run.network.arch == "lenet_300_100" or shape[1] * shape[2] <= 16 * 16 else 1


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory didn't suffice, on any device."""
    words = ("not enough memory", "can't allocate memory", "out of memory")  # torch on Windows, on Linux, on mps
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in words)
