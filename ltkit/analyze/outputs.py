"""What many weight vectors answer to the same images, as cohorts."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..spec import Network
from ..train.evaluate import IMAGES_AT_ONCE
from .path import State, stacks


@torch.no_grad()
def logits(
    network: Network,
    shape: tuple[int, int, int],
    classes: int,
    members: Iterable[State],
    x: Tensor,
    *,
    device: torch.device | None = None,
    group: int | None = None,
    precision: str = "fp32",
) -> Tensor:
    """The logits (R, N, classes), float32 on the CPU, of R states for images x (N, C, H, W), normalised.

    BatchNorm takes the running statistics. `members` may be a generator; `device`, `group` and `precision` are those of
    `ltkit.analyze.path.scores`.
    """
    device = device or x.device
    x = x.to(device)
    found = []
    for net, count in stacks(network, shape, classes, members, device, group):
        net.eval()
        answers = []
        for images in x.split(max(1, IMAGES_AT_ONCE // count)):
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                answers.append(net(images.expand(count, *images.shape)).float().cpu())
        found.append(torch.cat(answers, 1))
    return torch.cat(found)
