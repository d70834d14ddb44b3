"""Fresh weights, drawn layer by layer from a generator of their own.

Standard deviations (for uniform schemes the limit is sqrt(3) times that), with fans as in torch.nn.init, counted on the
weight's shape (out, in/groups, k, k): fan_in = in/groups*k*k, fan_out = out*k*k.

    kaiming_normal, kaiming_uniform   sqrt(2 / fan_in)
    kaiming_normal_out                sqrt(2 / fan_out), what existence.md section 4 gives for convolutions
    glorot_normal, glorot_uniform     sqrt(2 / (fan_in + fan_out))

Biases start at 0, BatchNorm at weight 1, bias 0, mean 0, variance 1.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import UserError, nearest

SCHEMES = ("kaiming_normal", "kaiming_normal_out", "kaiming_uniform", "glorot_normal", "glorot_uniform")


def draw(shapes: Mapping[str, torch.Size], seed: int, number: int, scheme: str) -> dict[str, Tensor]:
    """Fresh tensors (float32, CPU) for the names of one network's state, in their order.

    The generator is seeded with the SHA-256 of `init/<seed>/<number>`, so neighbouring seeds are unrelated.
    """
    if scheme not in SCHEMES:
        raise UserError(f"unknown init scheme '{scheme}'{nearest(scheme, SCHEMES)}; known: {', '.join(SCHEMES)}")
    digest = hashlib.sha256(f"init/{seed}/{number}".encode()).digest()
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    fresh = {}
    for name, shape in shapes.items():
        tensor = torch.zeros(shape, dtype=torch.float32, device="cpu")
        if len(shape) >= 2 and scheme.endswith("uniform"):
            limit = math.sqrt(3) * spread(shape, scheme)
            tensor.uniform_(-limit, limit, generator=generator)
        elif len(shape) >= 2:
            tensor.normal_(0, spread(shape, scheme), generator=generator)
        elif name.endswith((".weight", ".running_var")):
            tensor.fill_(1)
        fresh[name] = tensor
    return fresh


def spread(shape: torch.Size, scheme: str) -> float:
    """The standard deviation of a weight of that shape under `scheme`."""
    field = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * field, shape[0] * field
    if scheme.startswith("glorot"):
        return math.sqrt(2 / (fan_in + fan_out))
    return math.sqrt(2 / (fan_out if scheme.endswith("out") else fan_in))
