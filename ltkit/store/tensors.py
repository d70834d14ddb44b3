"""Named tensors as bytes, and back."""

from __future__ import annotations

import safetensors.torch
from torch import Tensor


def load(content: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file, sorted by name; SafetensorError for other bytes.

    The library itself gives them in an order that differs from call to call, and what is drawn or summed tensor by
    tensor would differ with it.
    """
    return dict(sorted(safetensors.torch.load(content).items()))
