"""Loss and hits of many weight vectors on the same images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IMAGES_AT_ONCE = 4096  # over all members, so that memory stays bounded whatever the cohort


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats, no smoothing) and counts; counts, not rates, so that two scores compare exactly."""

    loss: float
    correct: int
    count: int

    @property
    def accuracy(self) -> float:
        """Percent."""
        return 100 * self.correct / self.count


@torch.no_grad()
def evaluate(net: nn.Module, x: Tensor, y: Tensor, members: int, precision: str = "fp32") -> list[Score]:
    """Scores of each member of a cohort network on images x (N, C, H, W), already normalised, with labels y (N,).

    The network is put into eval mode (BatchNorm's running statistics) and back into the mode it was in.
    """
    was, device = net.training, x.device
    net.eval()
    loss = torch.zeros(members, dtype=torch.float64 if device.type != "mps" else torch.float32, device=device)
    hits = torch.zeros(members, dtype=torch.int64, device=device)
    for images, labels in zip(*(t.split(max(1, IMAGES_AT_ONCE // members)) for t in (x, y)), strict=True):
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = net(images.expand(members, *images.shape)).float().flatten(0, 1)
        shared = labels.repeat(members)
        loss += F.cross_entropy(logits, shared, reduction="none").view(members, -1).sum(1)
        hits += (logits.argmax(1) == shared).view(members, -1).sum(1)
    net.train(was)
    return [Score(a / len(y), b, len(y)) for a, b in zip(loss.tolist(), hits.tolist(), strict=True)]
